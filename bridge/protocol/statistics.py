"""The counters of the process, by name.

Owns their names and words: a row here is a statistic of MI and a metric (transport/pages/metrics.py makes one for each
counter that no row there shows). Must not know who counts or asks.
"""

from bridge.protocol.snapshot import OUTCOMES

# name -> help text; there are no others. Incremental ones can be reset by MI.
COUNTERS: dict[str, str] = {
    "commands": "commands accepted",
    **{f"commands_{outcome}": f"commands: {words}" for outcome, words in OUTCOMES.items()},
    "command_us": "microseconds that answered commands took, all together",
    "notifications_done": "commands sent as notifications whose ack or success was dropped",
    "events": "messages of Janus that answer no command: E_JANUS_EVENT, where there is a subscriber",
    "status_events": "E_JANUS_STATUS raised",
    "event_drops": "events that a subscriber did not get",
    "events_returned": "times that a broker gave an event back (no queue for it, or a full one); it is sent again",
    "store_full": "events that the log on disk did not get: it was full or broken, and so was what waits for it",
    "malformed": "messages of Janus that were no JSON object, too deep, or binary",
    "oversized": "messages of Janus that were over a size limit",
    "reconnects": "connections to Janus re-established",
    "connect_failures": "attempts to connect to Janus that failed",
    "sessions_lost": "sessions that Janus no longer knew",
    "mi_requests": "MI requests received",
    "mi_refused": "MI requests refused before any method saw them: by the door they came to, or as no request",
    "mi_errors": "MI requests answered with an error",
    "mi_answers_lost": "MI answers over datagrams and FIFO that were too large, not read, or found no room",
    "beats_late": "beats of this bridge that came later than ping_interval and a half, or not at all",
    "take_overs": "bridges of the cluster that were over, and whose sessions this one took",
    "hand_overs": "gateways whose sessions this bridge handed to a peer",
    "forwarded": "commands sent on to the bridge of the cluster that has their session",
    "token_failures": "HTTP requests with a wrong token",
}
