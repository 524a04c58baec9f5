"""Secrets out of texts, whoever wrote them."""

import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from bridge.config import Secret
from bridge.protocol.credentials import signed_token
from bridge.protocol.redaction import Redaction


def test_what_is_known_is_hidden_until_it_is_replaced() -> None:
    hide = Redaction()
    assert hide("token hunter22") == "token hunter22"
    hide.know("a", [Secret("hunter22"), None])
    hide.know("b", ["hunter22-long"])
    assert hide("hunter22, hunter22-long!") == "***, ***!"
    hide.know("a", [])
    assert hide("hunter22, hunter22-long!") == "hunter22, ***!"


def test_a_short_word_stays_in_texts_that_have_nothing_to_do_with_it() -> None:
    hide = Redaction()
    hide.know("a", ["janus", ""])
    assert hide("a janus") == "a janus"


def test_it_is_known_as_json_a_url_and_python_write_it() -> None:
    secret = "pä\"ss\\w'ord /?"
    hide = Redaction()
    hide.know("a", [secret])
    for form in (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret), quote(secret, safe="")):
        assert "ord" not in hide(f"got {form}!"), form


def test_a_signed_token_is_known_by_its_form() -> None:
    token = signed_token("key", 1_900_000_000, ["janus.plugin.videoroom", "janus.plugin.sip"])
    assert Redaction()(f"bad token '{token}' of {token}") == "bad token '***' of ***"


def test_session_ids_are_shortened() -> None:
    hide = Redaction()
    assert hide("No such session 7366118842339031") == "No such session 7366..."
    assert hide('{"session_id": 7366118842339031}') == '{"session_id": 7366...}'
    assert hide("session 7366..., 12345 sessions") == "session 7366..., 12345 sessions"


@given(st.text(), st.lists(st.text(min_size=6), max_size=3))
def test_it_is_total_and_leaves_nothing(text: str, secrets: list[str]) -> None:
    hide = Redaction()
    hide.know("a", secrets)
    shown = hide(text + "".join(secrets))
    assert not [secret for secret in secrets if secret in shown and secret.strip("*") and "*" not in secret]
