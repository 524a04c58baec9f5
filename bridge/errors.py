"""The whole tree of errors.

Owns every error that crosses a layer. Each class carries what a caller of the MI sees: ``code`` and ``message``
are fixed texts (contract 6.3), ``data`` says the reason in words.

    BridgeError
    ├── ConfigError          (exit code 2; never an MI answer)
    ├── MalformedMessage     bytes that are not what their sender claims (bad JSON, too deep)
    ├── UnknownJanusId       404 "Unknown Janus ID"
    ├── InvalidCommand       400 "Invalid Janus command"
    ├── LinkDown             503 "Janus not connected"           nothing was sent: safe to repeat
    ├── TooManyInFlight      503 "Too many commands in flight"   nothing was sent: safe to repeat
    ├── TransactionLost      502 "Janus connection lost"         sent, the link fell: outcome unknown
    ├── TransactionTimeout   408 "Janus command timed out"
    └── TableUnavailable     500 "Janus table not loaded"        (janus_reload)
"""


class BridgeError(Exception):
    """Base of everything the bridge raises on purpose. ``data`` is one line of words for a person."""

    code = 500
    message = "Internal error"

    def __init__(self, data: str | None = None) -> None:
        super().__init__(data if data is not None else self.message)
        self.data = data


class ConfigError(BridgeError):
    """Configuration that cannot be used; the text names file, section, key and value."""


class MalformedMessage(BridgeError):
    """Text from outside that is no JSON of the agreed shape and size."""

    code = -32700
    message = "Parse error"


class UnknownJanusId(BridgeError):
    code = 404
    message = "Unknown Janus ID"


class InvalidCommand(BridgeError):
    code = 400
    message = "Invalid Janus command"


class LinkDown(BridgeError):
    code = 503
    message = "Janus not connected"


class TooManyInFlight(BridgeError):
    code = 503
    message = "Too many commands in flight"


class TransactionLost(BridgeError):
    code = 502
    message = "Janus connection lost"


class TransactionTimeout(BridgeError):
    code = 408
    message = "Janus command timed out"


class TableUnavailable(BridgeError):
    code = 500
    message = "Janus table not loaded"
