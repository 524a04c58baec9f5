"""The whole tree of errors.

Owns every error that crosses a layer. Each class carries what a caller of the MI sees: ``code`` and ``message``
are fixed texts (contract 6.3), ``data`` says the reason in words.

    BridgeError
    ├── ConfigError          (exit code 2; never an MI answer)
    │   └── AnotherNode          a bridge that runs has our node_id in the cluster
    ├── MalformedMessage     bytes that are not what their sender claims (bad JSON, too deep)
    ├── UnknownJanusId       404 "Unknown Janus ID"
    ├── InvalidCommand       400 "Invalid Janus command"
    ├── LinkDown             503 "Janus not connected"           nothing was sent: safe to repeat
    │   ├── Draining             503 "Janus draining"            nothing was sent: for another gateway
    │   ├── TakeOverPending      503 "Janus take-over pending"   nothing was sent: safe to repeat
    │   └── PeerNotReached       503                             nothing was sent to the bridge that has it
    │       └── PeerRefused          503                             it answered, and refused it as it was
    ├── TooManyInFlight      503 "Too many commands in flight"   nothing was sent: safe to repeat
    ├── OverBudget           503 "Too many bytes pending"        nothing was done: safe to repeat
    ├── TransactionLost      502 "Janus connection lost"         sent, the link fell: outcome unknown
    │   └── PeerSilent           502                             sent to the bridge that has it: outcome unknown
    ├── TransactionTimeout   408 "Janus command timed out"
    ├── ReconnectRefused     409 "Janus connection kept"         (janus_reconnect) the old one serves on
    ├── ConnectFailed        an attempt to connect to a Janus failed (inside a link; callers see LinkDown)
    └── TableUnavailable     500 "Janus table not loaded"        (janus_reload)
        └── TableRefused         the database was reached and said no: access denied, no such table or file
            └── WrongTableVersion    version row missing or another than ours (exit code 2 at start)
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


class AnotherNode(ConfigError):
    """A bridge that runs has our node_id in the cluster."""


class MalformedMessage(BridgeError):
    """Text from outside that is no JSON of the agreed shape and size. ``at``: the character where it stops."""

    code = -32700
    message = "Parse error"

    def __init__(self, data: str | None = None, at: int | None = None) -> None:
        super().__init__(data)
        self.at = at


class UnknownJanusId(BridgeError):
    code = 404
    message = "Unknown Janus ID"


class InvalidCommand(BridgeError):
    code = 400
    message = "Invalid Janus command"


class LinkDown(BridgeError):
    code = 503
    message = "Janus not connected"


class Draining(LinkDown):
    message = "Janus draining"


class TakeOverPending(LinkDown):
    """What a command names may live at a bridge of the cluster that is silent. ``why`` may quote what another bridge
    said of it; that nothing was sent is said once, at the end.
    """

    message = "Janus take-over pending"
    _nothing_sent = ": nothing was sent"

    def __init__(self, why: str) -> None:
        super().__init__(why.replace(self._nothing_sent, "") + self._nothing_sent)


class PeerNotReached(LinkDown):
    """A request to another bridge of the cluster was not sent."""


class TooManyInFlight(BridgeError):
    code = 503
    message = "Too many commands in flight"


class OverBudget(BridgeError):
    code = 503
    message = "Too many bytes pending"


class TransactionLost(BridgeError):
    code = 502
    message = "Janus connection lost"


class PeerRefused(PeerNotReached):
    """Another bridge of the cluster lets this one in no further: nothing was done, but it lives."""


class PeerSilent(TransactionLost):
    """A request to another bridge of the cluster was sent, and has no answer."""


class TransactionTimeout(BridgeError):
    code = 408
    message = "Janus command timed out"


class ReconnectRefused(BridgeError):
    code = 409
    message = "Janus connection kept"


class TableUnavailable(BridgeError):
    code = 500
    message = "Janus table not loaded"


class TableRefused(TableUnavailable):
    """Trying again will not help until somebody changes the database or the configuration."""


class WrongTableVersion(TableRefused):
    """The ``version`` table does not say 1 for our table; the text names both versions (contract 4.1)."""


class ConnectFailed(BridgeError):
    """A connection to a Janus could not be opened. ``refused``: nothing listened there, a cheap and certain answer."""

    def __init__(self, data: str, *, refused: bool = False) -> None:
        super().__init__(data)
        self.reason = data
        self.refused = refused
