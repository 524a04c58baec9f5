#!/usr/bin/env python3
"""Prints what Janus says by itself: it receives E_JANUS_EVENT and E_JANUS_STATUS on a UDP socket.

The bridge sends what OpenSIPS's event_datagram would send, so this program works with either. In the bridge's
configuration:

    [events]
    subscribers = [
      {event = "E_JANUS_EVENT", socket = "udp:127.0.0.1:8890"},
      {event = "E_JANUS_STATUS", socket = "udp:127.0.0.1:8890"},
    ]

or, for an hour, by MI: janus-bridge mi event_subscribe E_JANUS_EVENT udp:127.0.0.1:8890
On one machine UDP delivers whatever is read in time. What does not fit into the receiver's buffer is lost, and nobody
is told. Where every event counts, subscribe a tcp: socket: the bridge fills it only as fast as it is read.

    python3 event_consumer.py [PORT]
"""

import json
import socket
import sys


def main(port: int) -> None:
    """Print one line an event, for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)  # the kernel caps it at net.core.rmem_max
        receiver.bind(("127.0.0.1", port))
        while True:
            event = json.loads(receiver.recv(65535))
            values = event["params"]
            if event["method"] == "E_JANUS_EVENT":
                body = json.loads(values["janus_body"])  # JSON within JSON, as OpenSIPS's own event has it
                print(values["janus_id"], body["janus"], "from handle", body.get("sender"), flush=True)
            elif event["method"] == "E_JANUS_STATUS":
                print(values["janus_id"], "is", values["status"], values["reason"], values["detail"], flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8890)
