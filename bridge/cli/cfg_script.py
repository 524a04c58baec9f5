"""What changes in a script that leaves the janus module: a line for each place of it.

Owns the advice. Must not know settings.
"""

from collections.abc import Iterator

from bridge.protocol.event_payload import E_JANUS_EVENT as EVENT
from bridge.protocol.janus_route import converted
from bridge.protocol.opensips_cfg import FunctionCall, JanusUse

_INDENT = "    "


def script_lines(use: JanusUse) -> Iterator[str]:
    """For comments, in the order in which one works through them."""
    for place in use.loads.get("janus", ()):
        yield f'{place}: remove loadmodule "janus.so" (and its modparams)'
    if use.calls:
        yield f'Add: {_loads(use, "json", "rest_client")}include_file "janus-bridge.inc"'
        yield "(from opensips-examples/; its head explains the details), and change each call:"
    for call in use.calls:
        yield from _call(call)
    if use.event_routes and "mi_datagram.socket_name" not in use.others:
        load = _loads(use, "mi_datagram")
        yield f'Add: {load}modparam("mi_datagram", "socket_name", "udp:127.0.0.1:8080"):'
        yield "there the bridge raises the event"
    for place in use.event_routes:
        yield f"{place}: event_route[{EVENT}] stays as it is; wide integers in janus_body are strings now"
    for call in use.subscriptions:
        expiry = call.arguments is not None and len(call.arguments) > 2
        note = "; its time limit has no counterpart: the bridge's subscription never expires" if expiry else ""
        yield f"{call.place}: remove subscribe_event(): the bridge sends there itself{note}"


def _loads(use: JanusUse, *modules: str) -> str:
    """The loadmodules that the script lacks, each with the comma that follows."""
    return "".join(f'loadmodule "{module}.so", ' for module in modules if module not in use.loads)


def _call(call: FunctionCall) -> Iterator[str]:
    made = converted(call.arguments)
    head = f"{call.place}: a call of janus_send_request"
    if made is None:
        yield f"{head}, with arguments that cannot be read: change it by hand as janus-bridge.inc explains"
        return
    if not call.waits:
        yield f"{head} inside of async(): see opensips-examples/async.cfg; where it may wait, it becomes"
    elif made.before:
        yield f"{head}, whose text has to be built first: OpenSIPS fills no variables into a text for a route"
        yield "(nor quotes what they hold: build_command.cfg does); it becomes"
    else:
        yield f"{head} becomes"
    yield from (_INDENT + line for line in made.before)
    if call.statement:
        yield f"{_INDENT}{made.call};{' ' if made.after else ''}{made.after}"
    else:
        yield f"{_INDENT}{made.call}"
        if made.after:
            yield f"and behind the statement that it stands in: {made.after}"
