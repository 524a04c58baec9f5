"""What an opensips.cfg says about the janus module."""

import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.opensips_cfg import JanusUse, ModuleParameter, included, read
from bridge.protocol.opensips_lex import Place, Script

CFG = """\
# modparam("janus", "janus_db_url", "in a comment")
loadmodule "janus.so"
db_default_url = "mysql://u:p@h/d"
modparam("janus", "janus_cmd_timeout", 3000)
modparam("b2b|janus", 'janus_db_table', "webrtc \\"a\\" 'b'")
modparam("tm", "fr_timeout", 5)
route {
  /* janus_send_request("x", "y")
     modparam("janus", "janus_ping_interval", 9) */
  xlog("janus_send_request(in a string) for E_JANUS_EVENT");
  janus_send_request("gw1", "{
    \\"janus\\": \\"ping\\" }", $var(r));
}
event_route[E_JANUS_EVENT] { exit; }
event_route[E_OTHER] { exit; }
"""


def script(text: str) -> Script:
    return Script([(Place("x", number), f"{line}\n") for number, line in enumerate(text.split("\n"), 1)])


def used(text: str) -> JanusUse:
    return read(script(text))


def lines(places: list[Place]) -> list[int]:
    return [place.line for place in places]


def test_what_concerns_the_module_is_found_with_its_lines() -> None:
    use = used(CFG)
    assert list(use.parameters.values()) == [
        ModuleParameter(Place("x", 4), "janus_cmd_timeout", 3000),
        ModuleParameter(Place("x", 5), "janus_db_table", "webrtc \"a\" 'b'"),
    ]
    assert use.globals == {"db_default_url": ModuleParameter(Place("x", 3), "db_default_url", "mysql://u:p@h/d")}
    assert lines(use.loads["janus"]) == [2]
    assert [call.place.line for call in use.calls] == [11]
    assert lines(use.event_routes) == [14]
    assert (use.remainders, use.foreign) == ([], {})


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"janus", "p", 5', 5),
        ('"janus", "p", -5', -5),
        ('"janus", "p", +0x10', 16),
        ('"janus", "p", 010', 8),
        ('"janus", "p", yes', 1),
        ('"JANUS", "p", "a"', "a"),
        ('"(usrloc|janus)", "p", "a"', "a"),
        ('"usrloc|janu[sx]", "p", "a"', "a"),
        ('"[[:alpha:]]+", "p", "a"', "a"),
        ('"janus", "p", "a" \'b\' # c\n "d"', "abd"),
        ("'janus', /* /* */ */ 'p', 'a\\n'", "a\\n"),
        ('"janus", "p", "\\x61\\142\\q"', "ab\\q"),
        ('"janus", "p", "\xc3\xa9"', "\xe9"),  # UTF-8
        ('"jan" , "p", "a"', ...),
        ('"janus2", "p", "a"', ...),
        ('"not janus", "p", "a"', ...),
    ],
)
def test_a_modparam_as_opensips_reads_it(written: str, value: object) -> None:
    found = used(f"modparam({written})").parameters
    assert [parameter.value for parameter in found.values()] == ([] if value is ... else [value])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('modparam("janus", "p", $(timeout))', "p cannot be read"),
        ('modparam("janus", "p", janus)', "p cannot be read"),
        ('modparam("janus", "p", "a" + "b")', "p cannot be read"),
        ('modparam("janus", "p", "a"', "p cannot be read"),
        ('modparam("janus", p, 1)', "a modparam of janus cannot be read"),
        ('modparam("janus", "p", "a\\\nb")', "p has a line break behind a backslash, which OpenSIPS spoils"),
        ('modparam("janus", "p", "\xe9")', "p is not UTF-8 text"),
        ('modparam("janus", "p", "x${DB}")', "p holds ${, as if a preprocessor were to fill it in"),
        ('modparam("janus", "p", "x$ENV(DB)")', "p holds $ENV(, as if a preprocessor were to fill it in"),
        ('modparam("janus", "p", "{{ db }}")', "p holds {{, as if a preprocessor were to fill it in"),
        ('modparam("janus", "p", "`x\'")', "p holds `, as if a preprocessor were to fill it in"),
        ('modparam("janus", "p", "__DB__")', "p holds __DB__, as if a preprocessor were to fill it in"),
    ],
)
def test_a_modparam_that_cannot_be_read_is_named(text: str, fault: str) -> None:
    # As of OpenSIPS's, the last one counts.
    [parameter] = (
        used(f'modparam("janus", "p", 7)\n{text}').parameters.values()
        if "p, 1" not in text
        else (used(text).parameters.values())
    )
    assert (parameter.value, parameter.fault) == (None, fault)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modparam(JANUS, x, 1)", "a modparam that cannot be read"),
        ("modparam(“janus”, “x”, 1)".encode().decode("latin-1"), "a modparam that cannot be read"),
        ('modparam("(janus", "x", 1)', "a modparam whose module is no regular expression"),
        ('; include_file "x.cfg"', "include_file is only followed where it begins its line and names a file in quotes"),
        ('route { raise_event("E_JANUS_EVENT"); }', "E_JANUS_EVENT is used here, in a way that has no counterpart"),
        ("route { exec('opensips-cli -x mi event_subscribe E_JANUS_EVENT udp:h:1'); }", "E_JANUS_EVENT is used here,"),
        ('route { notify_on_event("E_JANUS_EVENT", $avp(f), "r", 5); }', "E_JANUS_EVENT is used here,"),
        ("route { subscribe_event($var(e), $var(s)); }", "a subscribe_event whose event cannot be read"),
    ],
)
def test_what_else_cannot_be_read_is_named(text: str, words: str) -> None:
    [(place, found)] = used(text).remainders
    assert place.line == 1
    assert found.startswith(words)


@pytest.mark.parametrize(
    "route",
    [
        "event_route[E_JANUS_EVENT]",
        'event_route ["E_JANUS_EVENT"]',
        "event_route['E_JANUS_EVENT']",
        "event_route/*a*/[ # b\n /* c */ E_JANUS_EVENT ]",
    ],
)
def test_an_event_route_in_any_form(route: str) -> None:
    assert lines(used(f"{route} {{ exit; }}").event_routes) == [1]


def test_subscriptions_of_the_script() -> None:
    use = used(
        'startup_route {\n subscribe_event("E_JANUS_EVENT", "tcp:127.0.0.1:9000/x", 60);\n'
        ' subscribe_event("E_OTHER", "x");\n}\nmodparam("event_stream", "reliable_mode", 1)\n'
    )
    [call] = use.subscriptions
    assert call.place.line == 2
    assert [argument and argument.value for argument in call.arguments or ()] == [
        b"E_JANUS_EVENT",
        b"tcp:127.0.0.1:9000/x",
        60,
    ]
    assert use.others["event_stream.reliable_mode"].value == 1
    assert use.remainders == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("define(`DB', `x')", "define( outside of a route, as in m4"),
        ("route { xlog(`x'); }", "a backtick, as m4 quotes"),
        ("dnl a comment", "dnl, a word of m4"),
        ("changequote([[,]])", "changequote, a word of m4"),
        ("udp_workers={{ workers }}", "{{ workers }}, a placeholder of a template"),
        ("{% if tls %}", "{% i, a placeholder of a template"),
        ("socket=udp:${IP}:5060", "${, a placeholder of a template"),
        ("#!define WITH_TLS", "#!define, which is Kamailio's, and a comment to OpenSIPS"),
        ("!!define X", "!! outside of a route"),
        ("log_level=3 // more", "//, which begins no comment in OpenSIPS"),
        ("a\0b", "a NUL character, at which OpenSIPS gives up"),
        ('route { xlog("a); }', "a string that does not end"),
        ("/* a /* b */", "a comment that does not end"),
    ],
)
def test_what_opensips_does_not_read_is_recognised(text: str, words: str) -> None:
    assert used(f"log_level=3\n{text}").foreign.get(words) == Place("x", 2)


def test_what_is_ordinary_is_not_strange() -> None:
    use = used(
        "#!/usr/sbin/opensips\n\ufeffsocket=udp:[::1]:5060 # `a' // b\n".encode().decode("latin-1")
        + 'mpath="/x/"\nroute { if (!!is_method("A") && $(ru{uri.host}) =~ "^a//b") { { f("{{ `x`"); } } }\n'
        + 'startup_route { $json(a) := "{\\"a\\": {}}"; $var(x) = 4 / 2; }\n'
        'dst_blacklist = gw:{( tcp , 1.2.3.4/24 , 0 , "" )}\n'
    )
    assert use.foreign == {}


@given(st.text(alphabet='modparam("janus",)\'\\\n#/* =10', max_size=200))
def test_any_text_has_an_answer(text: str) -> None:
    used(text)
    used('modparam("janus"' + text)


def test_a_global_without_quotes_is_named() -> None:
    [parameter] = used("db_default_url = DB_URL\n").globals.values()
    assert (parameter.value, parameter.fault) == (None, "db_default_url is not a string in quotes")
    assert used("db_default_url").globals == {}
    assert used('db_version_table="v"').globals["db_version_table"].value == "v"


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('include_file "a.cfg"\n', "a.cfg"),
        ("\t import_file\t'a.cfg' rest\n", "a.cfg"),
        ('include_file"ab"', "ab"),
        ('include_file "a"', None),  # OpenSIPS wants two characters
        ('# include_file "a.cfg"', None),
        ('x include_file "a.cfg"', None),
        ('include_files "a.cfg"', None),
        ('include_file "a.cfg', None),
    ],
)
def test_a_line_that_includes(line: str, path: str | None) -> None:
    assert included(line) == path


def test_where_a_call_stands() -> None:
    calls = used(
        "route { janus_send_request($a, $b); if (janus_send_request($a, $b)) exit; else janus_send_request($a, $b);\n"
        " async(janus_send_request($a, $b), r); }"
    ).calls
    assert [(call.statement, call.waits) for call in calls] == [
        (True, True),
        (False, True),
        (True, True),
        (False, False),
    ]


@pytest.mark.parametrize(
    "unit",
    [
        *('"\\', "/*", "*/", "$(", "$var(", '"', "'", "(", "\\", "{{", "`", "#!define\n", '"a" ', "a", "0", "\0"),
        *('modparam("janus",', "modparam(\n", 'modparam("janus", "a", "x" ', "janus_send_request(", "include_file\n"),
        *('subscribe_event("E_JANUS_EVENT",', 'event_route["E_JANUS_EVENT"', "db_default_url=", '"\\\\\n', "//", "${"),
    ],
)
def test_work_grows_with_the_text_and_not_faster(unit: str) -> None:
    def work(size: int) -> int:
        """Lines of Python that run; what runs in C is bounded by the patterns, which never go back."""
        text = (unit * (size // len(unit) + 1))[:size]
        made = script(text)
        count = 0

        def step(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal count
            count += 1
            return step

        tracer = sys.gettrace()  # that of coverage
        sys.settrace(step)
        try:
            read(made)
        finally:
            sys.settrace(tracer)
        return count

    assert work(8 * 200) <= 10 * work(200)
