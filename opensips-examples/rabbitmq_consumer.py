#!/usr/bin/env python3
"""Writes what Janus says from a RabbitMQ into a database, each event once: for billing and audit.

The bridge keeps every event on disk until a queue of the broker has it. In its configuration:

    [events]
    store = true
    subscribers = [
      {event = "E_JANUS_EVENT", socket = "rabbitmq:bridge:secret@mq.example.org/exchange=janus?events"},
      {event = "E_JANUS_STATUS", socket = "rabbitmq:bridge:secret@mq.example.org/exchange=janus?events"},
    ]

The bridge declares nothing. This program declares the exchange, a quorum queue (which survives the loss of a node) and
their binding. Until then events wait in the log of the bridge.

An event that comes twice has the same message_id, JANUS_ID/EPOCH-N, which is the key of its row. A message is
acknowledged once its row is on the disk; if this program, the broker or the machine dies before that, it comes again.
If numbers of one EPOCH are missing between two rows of a gateway, an E_JANUS_STATUS events_lost reports it.

    apt install python3-pika
    python3 rabbitmq_consumer.py 'amqp://consumer:secret@mq.example.org' events.db
    sqlite3 events.db "SELECT * FROM event WHERE janus_id = 'gw1' ORDER BY epoch, n"
"""

import json
import sqlite3
import sys
import time

import pika

EXCHANGE, QUEUE, ROUTING_KEY = "janus", "janus-events", "events"
AT_A_TIME = 100  # messages that the broker hands over before it hears of the first
SCHEMA = """CREATE TABLE IF NOT EXISTS event
    (janus_id TEXT, epoch INTEGER, n INTEGER, id TEXT UNIQUE, name TEXT, params TEXT)"""


def keep(database: sqlite3.Connection, message_id: str, body: bytes) -> None:
    """One row an event; a copy changes nothing."""
    event = json.loads(body)
    janus_id, _, seq = message_id.rpartition("/")  # what MI raised, and an events_lost, have other ids
    epoch, _, n = seq.partition("-")
    numbered = janus_id and epoch.isdigit() and n.isdigit()
    row = (janus_id, int(epoch), int(n)) if numbered else (None, None, None)
    params = json.dumps(event.get("params"), ensure_ascii=False)
    database.execute(
        "INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?, ?)", (*row, message_id, event["method"], params)
    )


def consume(parameters: pika.URLParameters, database: sqlite3.Connection) -> None:
    """Until the connection ends. Raises pika.exceptions.AMQPError."""
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.exchange_declare(EXCHANGE, "direct", durable=True)
        channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(QUEUE, EXCHANGE, ROUTING_KEY)
        channel.basic_qos(prefetch_count=AT_A_TIME)
        print("consuming", QUEUE, flush=True)
        for method, properties, body in channel.consume(QUEUE):
            with database:  # a transaction
                keep(database, properties.message_id, body)
            channel.basic_ack(method.delivery_tag)


def main(url: str, file: str) -> None:
    """For ever."""
    database = sqlite3.connect(file)
    database.execute(SCHEMA)
    while True:
        try:
            consume(pika.URLParameters(url), database)
        except pika.exceptions.AMQPError as exc:
            print("no broker:", repr(exc), file=sys.stderr, flush=True)
            time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
