"""The MI methods of the Event Interface: event_subscribe, events_list, subscribers_list, raise_event.

Owns their parameters, shapes and errors. Must not know who delivers events. Authority: OpenSIPS evi/event_interface.c
(w_mi_event_subscribe, mi_events_list, w_mi_subscribers_list, w_mi_raise_event).
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from bridge.core.evi import EventInterface
from bridge.core.mi import Command, MiRequest
from bridge.errors import BridgeError, MalformedMessage
from bridge.protocol import codec
from bridge.protocol.caller import Role
from bridge.protocol.event_filter import EventFilter
from bridge.protocol.event_payload import Params
from bridge.protocol.event_record import SEQ_FORM, read_seq
from bridge.protocol.jsonrpc import RpcError
from bridge.protocol.recipe import Parameter, bad_type, invalid_params
from bridge.protocol.reply_socket import ReplySocket, shown
from bridge.protocol.subscriptions import DEFAULT_EXPIRE, Subscription

log = logging.getLogger("bridge.evi")

# Of a socket and the caller's name. Raises a BridgeError whose text says why events may not go there.
AdmitSubscriber: TypeAlias = Callable[[ReplySocket, str], Awaitable[None]]

_EVENT = Parameter("event")
_SOCKET = Parameter("socket")
_EXPIRE = Parameter("expire", "int")
_SUBSCRIBED = _EVENT, _SOCKET, _EXPIRE
_FILTER, _NAME, _FROM = Parameter("filter", "any"), Parameter("name", "string"), Parameter("from_seq", "string")


def commands(evi: EventInterface, admit: AdmitSubscriber) -> tuple[Command, ...]:
    """The four methods on one Event Interface."""

    async def event_subscribe(call: MiRequest) -> Any:
        expire = call.arguments.get("expire", DEFAULT_EXPIRE)
        if expire < 0:
            raise invalid_params("Negative expire value")
        if expire > codec.INT32_MAX:  # OpenSIPS clips it; thousands of digits would go into the log on disk
            raise bad_type("expire")
        event, text = _filled(call, "event"), _filled(call, "socket")
        name, start = call.arguments.get("name"), _start(call)
        try:
            # A name is for those who say what they have got.
            socket = ReplySocket.parse(text, reliable=name is not None and text.startswith("tcp:"))
            await admit(socket, call.caller.name)
            wanted = _filter(call.arguments.get("filter"))
            if name is None:
                evi.subscribe(event, socket, expire, wanted)
            else:
                await evi.subscribe_as(name, event, socket, expire, wanted, start)
        except (ValueError, BridgeError) as exc:
            # OpenSIPS has one answer for all of it and says more in its log; so do we.
            log.warning("event_subscribe %s %s refused: %s", ascii(event), ascii(shown(text)), exc)
            raise RpcError(400, "Bad parameter value") from None
        return "OK"

    def events_list(call: MiRequest) -> Any:
        return {"Events": [{"name": name, "id": id} for id, name in enumerate(evi.events())]}

    def subscribers_list(call: MiRequest) -> Any:
        event, text = call.arguments.get("event"), call.arguments.get("socket")
        if event is None:
            listed = [_listed(evi, name) for name in evi.events()]
            return {"Events": [item for item in listed if item]}
        if event not in evi.events():
            raise RpcError(404, "Event not published")
        if text is None:
            return {"Event": _listed(evi, event)}
        for subscription, ttl in evi.subscribers(event):
            if str(subscription.socket) == _canonical(text):
                return {"Event": {**_head(evi, event), "Subscriber": _subscriber(subscription, ttl)}}
        raise RpcError(404, "Subscriber does not exist")

    def raise_event(call: MiRequest) -> Any:
        event = call.arguments["event"]
        if event not in evi.events():
            raise RpcError(404, "Event not registered")
        if all(subscription.socket.is_mi for subscription, _ in evi.subscribers(event)):
            raise RpcError(480, "Temporarily Unavailable")
        evi.raise_event(event, _event_params(call.arguments.get("params", [])))
        return "OK"

    return (
        Command(
            "event_subscribe",
            "evi:subscribe",
            (
                (_EVENT, _SOCKET),
                (*_SUBSCRIBED,),
                (*_SUBSCRIBED, _FILTER),
                (*_SUBSCRIBED, _NAME, _FROM),
                (*_SUBSCRIBED, _NAME, _FROM, _FILTER),
            ),
            event_subscribe,
            "subscribes a socket to an event, for an hour or for expire seconds, 0 to end it; filter is a JSON object "
            "of lists: janus_id, kind, plugin; with a name it goes on where it was after any restart, a new one from "
            "from_seq (a janus_seq) on, or from now on where that is empty",
            "evi",
            Role.COMMANDS,
        ),
        Command(
            "events_list",
            "evi:list",
            ((),),
            events_list,
            "lists the events that can be subscribed to",
            "evi",
            Role.READ_ONLY,
        ),
        Command(
            "subscribers_list",
            "evi:subscribers",
            ((), (_EVENT,), (_EVENT, _SOCKET)),
            subscribers_list,
            "lists the subscribers of all events, of one, or one subscriber",
            "evi",
            Role.READ_ONLY,
        ),
        Command(
            "raise_event",
            "evi:raise",
            ((_EVENT,), (_EVENT, Parameter("params", "any"))),
            raise_event,
            "raises an event; params is a list of values, or a text that holds a JSON object",
            "evi",
            Role.EVERYTHING,
        ),
    )


def _filled(call: MiRequest, name: str) -> str:
    value: str = call.arguments[name]
    if not value:
        raise bad_type(name)
    return value


def _filter(value: Any) -> EventFilter | None:
    """An object, or the text of one. Raises ValueError."""
    if value is None:
        return None
    try:
        members = codec.parse(value, codec.REQUEST_ELEMENTS) if isinstance(value, str) else value
    except MalformedMessage as exc:
        raise ValueError(f"the filter is no JSON: {exc}") from None
    if not isinstance(members, dict):
        raise ValueError("a filter is a JSON object")
    return EventFilter.read(members)


def _start(call: MiRequest) -> tuple[int, int] | None:
    text = call.arguments.get("from_seq", "")
    start = read_seq(text)
    if text and start is None:
        raise bad_type("from_seq", SEQ_FORM)
    return start


def _canonical(socket: str) -> str | None:
    try:
        return str(ReplySocket.parse(socket))
    except ValueError:
        return None


def _head(evi: EventInterface, event: str) -> dict[str, Any]:
    return {"name": event, "id": evi.events().index(event)}


def _listed(evi: EventInterface, event: str) -> dict[str, Any]:
    """An event as OpenSIPS lists it: nothing where nobody is subscribed."""
    subscribers = [_subscriber(subscription, ttl) for subscription, ttl in evi.subscribers(event)]
    return {**_head(evi, event), "Subscribers": subscribers} if subscribers else {}


def _subscriber(subscription: Subscription, ttl: int | None) -> dict[str, Any]:
    socket = str(subscription.socket)
    if ttl is None:
        return {"socket": socket, "expire": "never"}
    return {"socket": socket, "expire": subscription.expire, "ttl": ttl if ttl > 0 else "expired"}


def _event_params(params: Any) -> Params:
    """What MI was given, as an event's parameters: values without names from a list, named ones from a JSON text."""
    if isinstance(params, (dict, bool)) or params is None:
        raise RpcError(400, "No Params")  # OpenSIPS knows JSON objects as text only
    try:
        if isinstance(params, list):
            return [("", _listed_value(value)) for value in params]
        named = codec.parse(params) if isinstance(params, str) else None
        if isinstance(named, dict):
            return [(name, _named_value(value)) for name, value in named.items()]
    except (MalformedMessage, ValueError, OverflowError):
        pass  # no JSON, or a number without digits
    raise RpcError(400, "Bad Params")


def _listed_value(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("neither string nor number")
    return str(int(value))


def _named_value(value: Any) -> str | int:
    """A parameter: an integer of 32 bits or a string. What OpenSIPS clips or garbles arrives as its JSON text."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and codec.INT32_MIN <= value <= codec.INT32_MAX:
        return value
    return codec.render(value)
