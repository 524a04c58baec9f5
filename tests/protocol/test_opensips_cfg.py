"""What an opensips.cfg says about the janus module."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.opensips_cfg import Modparam, read

CFG = """\
# modparam("janus", "janus_db_url", "in a comment")
loadmodule "janus.so"
db_default_url = "mysql://u:p@h/d"
modparam("janus", "janus_cmd_timeout", 3000)
modparam("b2b|janus", 'janus_db_table', 'webrtc "a" \\'b\\'')
modparam("tm", "fr_timeout", 5)
include_file "more.cfg"
route {
  /* janus_send_request("x", "y")
     modparam("janus", "janus_ping_interval", 9) */
  xlog("janus_send_request(in a string)");
  janus_send_request("gw1", "{
    \\"janus\\": \\"ping\\" }", $var(r));
}
event_route[E_JANUS_EVENT] { exit; }
event_route[E_OTHER] { exit; }
"""


def test_what_concerns_the_module_is_found_with_its_lines() -> None:
    use = read(CFG)
    assert use.modparams == [
        Modparam(4, "janus_cmd_timeout", 3000),
        Modparam(5, "janus_db_table", "webrtc \"a\" 'b'"),
    ]
    assert use.db_default_url == Modparam(3, "janus_db_url", "mysql://u:p@h/d")
    assert use.loads == [2]
    assert use.calls == [12]
    assert use.event_routes == [15]
    assert use.includes == ["more.cfg"]


@given(st.text(alphabet='modparam("janus",)\'\\\n#/* =10', max_size=200))
def test_any_text_has_an_answer(text: str) -> None:
    read(text)
    read('modparam("janus"' + text)


def test_what_is_no_value_of_a_modparam_is_left_out() -> None:
    cfg = 'modparam("janus", "janus_cmd_timeout", $(timeout))\nmodparam("janus", "janus_db_table", janus)\n'
    assert read(cfg).modparams == []


def test_a_url_without_quotes_is_taken_as_it_stands() -> None:
    assert read("db_default_url = DB_URL\n").db_default_url == Modparam(1, "janus_db_url", "DB_URL")
    assert read("db_default_url").db_default_url is None
