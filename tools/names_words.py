"""What the names mean that have no words in the program: for docs/names.md.

Owns these words. ``tools/names`` refuses to work where they name what the program does not.
"""

HEAD = """\
# Names

Everything that a user of janus-bridge types or reads and a script may depend on. A change to a name in this file is a
breaking change. The file is made from the program by `python -m tools.names`; a test compares the two.

The command line has its names in `janus-bridge COMMAND --help`; the members of a Janus answer are Janus's own.

"""

# code and message -> when
ERRORS = {
    "-32700 Parse error": "bytes that are not JSON",
    "-32602 Invalid params": "parameters that fit no form of the method; `data` says why",
    "-32601 Method not found": "no such MI method",
    "-32600 Invalid Request": "JSON, but not a request; a batch",
    "-32001 Method ambiguous": "the part after the colon fits several methods",
    "-32000 Server error": "a fault of the bridge; its log has the details",
    "400 Invalid Janus command": "Janus could not answer it, or it would harm a managed session; nothing was sent",
    "400 Bad parameter value": "`event_subscribe`: no such event, no such socket, or not allowed",
    "400 Bad Params": "`raise_event`: parameters that are not a list",
    "400 No Params": "`raise_event`: an object; OpenSIPS takes only its text",
    "403 Forbidden": "the caller's role in `[mi] roles` may not call this method",
    "404 Unknown Janus ID": "no such row; or the row was removed while the command was in flight",
    "500 Events cannot be read": "`event_replay`, `event_store_list`: the log of events on the disk cannot be read",
    "503 Events are not kept": "`event_replay`, `event_store_list`: `[events] store` is off, or could not be opened",
    "503 No cluster": "`janus_cluster_list`: `[cluster] cluster_id` is not set",
    "404 Event not published": "`subscribers_list`: no such event",
    "404 Event not registered": "`raise_event`: no such event",
    "404 Subscriber does not exist": "`subscribers_list`: no such socket",
    "404 Statistics Not Found": "no such statistic",
    "404 unknown MI command": "`which`, `help`: no such method",
    "421 Misdirected": "(between bridges of a cluster) what the command names is not here; nothing was sent",
    "408 Janus command timed out": '`data`: "not sent", "no answer" or "acknowledged, no event came"',
    "409 Janus connection kept": "`janus_reconnect`: Janus hands over no sessions; the old connection serves on",
    "480 Temporarily Unavailable": "`raise_event`: no subscriber that could get it",
    "500 Internal error": "any other failure; `data` says which",
    "500 Janus table not loaded": "`janus_reload`: the table cannot be read; `data` says why",
    "502 Janus connection lost": "it was sent, then the connection was lost: the outcome is unknown",
    "503 Janus draining": "attach or create on a gateway that is being drained; nothing was sent: use another gateway",
    "503 Janus take-over pending": "(cluster) the bridge that may have it is silent; nothing was sent: safe to repeat",
    "503 Janus not connected": "nothing was sent: safe to repeat",
    "503 Too many bytes pending": "requests hold as many bytes as `[mi] pending_bytes` allows; nothing was done",
    "503 Too many commands in flight": "nothing was sent: safe to repeat",
}

STATES = {
    "connecting": "a connection is being opened, or sessions are being claimed or created on it",
    "ready": "commands are sent",
    "backoff": "the last attempt failed; the next one follows after a pause",
    "disabled": "its row cannot be used; `last_error` says why",
}

GAUGES = {
    "gateways": "rows of the table",
    "gateways_draining": "gateways that take no new sessions and handles (`janus_drain`)",
    "gateways_ready": "gateways to which commands can be sent",
    "sessions": "Janus sessions kept, managed ones and those of callers",
    "handles": "plugin handles known",
    "in_flight": "commands accepted and not answered yet",
    "queue_events": "events that wait for subscribers",
    "queue_bytes": "their size in bytes",
    "events_sent": "events delivered to the present subscribers",
    "table_fresh": "1 if the gateways are what the database said when it was last asked, else 0",
    "table_age": "seconds since the table was read from the database; -1 if it never was",
    "log_drops": "lines of the log that were not read fast enough, or could not be written",
    "loop_lag_us": "the longest delay of the event loop in the last minute, in microseconds",
    "pending_mi": "bytes of requests held; `pending_bytes` in `[mi]` is the limit",
    "pending_janus": "bytes of unfinished messages of Janus (fragments); at most 16 times `max_message_size`",
    "pending_events": "bytes held in queues of events; `pending_bytes` in `[events]` is the limit",
    "memory_used": "bytes of memory used in the control group that is nearest to its limit; -1 without a limit",
    "memory_limit": "that limit, as `MemoryMax=` sets it; -1 without one",
    "tasks_used": "tasks in the control group that is nearest to its limit; -1 without a limit",
    "tasks_limit": "that limit, as `TasksMax=` sets it; -1 without one",
}

TIMESTAMP = ("core:timestamp", "non-incremental", "seconds since the start, as in OpenSIPS")

JANUS_SEQ = (
    "on `mi:` sockets, and on the others with `events.numbered`: EPOCH-N, the same for every copy of an event. EPOCH "
    "stands for one start of the bridge, N counts the gateway's events from 1. `events_lost` has EPOCH-N.lost, from "
    "the last event lost"
)

STATUSES = {
    "connected": "commands are sent from now on",
    "disconnected": "commands get 503 from now on",
    "session_lost": "Janus no longer knows this session, nor its handles",
    "events_lost": "so many events did not reach this subscriber, at this place; `reason` is one of those above, or "
    "`restart` (Janus spoke while no process of the bridge was reading), or `take-over` (the same in a cluster)",
    "taken_over": "(cluster) sessions of another bridge live here from now on, or sessions of this one live elsewhere",
}

PAGES = {
    "/": "status page, for a person",
    "/metrics": "the metrics above and those of the process (`process_...`), for Prometheus",
    "/readyz": "200 once the table was asked for, with its state (fresh, stale, none) and the reason; else 503",
    "/healthz": "200 while the event loop answers; open to everybody, without a token",
}
