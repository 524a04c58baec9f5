"""A call of the module's function as the route that replaces it: what OpenSIPS fills in, and what has to be built."""

import pytest

from bridge.protocol.janus_route import converted
from bridge.protocol.opensips_cfg import read
from bridge.protocol.opensips_lex import Place, Script


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ('"gw1", $var(c), $var(r)', ['route(JANUS_SEND_REQUEST, "gw1", $var(c), "r")', "$var(r) = $avp(r);"]),
        ('"gw1", "$var(c)", $avp(r)', ['route(JANUS_SEND_REQUEST, "gw1", $var(c), "r")', ""]),
        ("'gw1', '{}'", ['route(JANUS_SEND_REQUEST, "gw1", "{}")', ""]),
        (
            '"gw1", "{\\"h\\": $var(h)}", $json(r)',
            [
                '$var(janus_command) = "{\\"h\\": " + $var(h) + "}";',
                'route(JANUS_SEND_REQUEST, "gw1", $var(janus_command), "janus_answer")',
                "$json(r) = $avp(janus_answer);",
            ],
        ),
        (
            '"$avp(a)$(var(b){s.len})", "$$5", $avp(janus_reply)',
            [
                '$var(janus_id) = "" + $avp(a) + $(var(b){s.len});',
                'route(JANUS_SEND_REQUEST, $var(janus_id), "$5", "janus_answer")',
                "$avp(janus_reply) = $avp(janus_answer);",
            ],
        ),
        ('"gw1", "a$"', None),
        ('"gw1", "a$(b"', None),
        ('"gw1"', None),
        ('"gw1", f(), $var(x)', None),
        ('"gw1", "a", "b"', None),
    ],
)
def test_a_call_as_the_route_that_replaces_it(arguments: str, lines: list[str] | None) -> None:
    text = f"route {{ janus_send_request({arguments}); }}"
    [call] = read(Script([(Place("cfg", 1), text)])).calls
    made = converted(call.arguments)
    assert (None if made is None else [*made.before, made.call, made.after]) == lines
