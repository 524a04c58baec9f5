"""Wrong tokens: counted a minute and a client; the right one is never in their way."""

import pytest

from bridge.protocol.caller import Caller
from bridge.transport import failed_tokens
from bridge.transport.failed_tokens import MINUTE, TOO_MANY, FailedTokens
from bridge.transport.http_access import Access
from bridge.transport.http_messages import HttpRequest, Reply


def asked(access: Access, token: str | None, peer: str = "127.0.0.1") -> Caller | int:
    request = HttpRequest(peer)
    request.method, request.path = b"POST", b"/mi"
    request.headers = {b"host": b"h"} if token is None else {b"authorization": b"Bearer " + token.encode()}
    verdict = access.admit(request)
    return verdict.status if isinstance(verdict, Reply) else verdict


def test_a_guesser_is_told_to_wait_and_the_right_token_is_let_in(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[None] = []
    access = Access(token="right", failed=lambda: failures.append(None))
    assert [asked(access, f"guess {number}") for number in range(TOO_MANY + 5)] == [401] * TOO_MANY + [429] * 5
    assert isinstance(asked(access, "right"), Caller)
    assert asked(access, "wrong") == 429
    assert len(failures) == TOO_MANY + 6
    assert [record.getMessage() for record in caplog.records] == [
        "HTTP: loopback sent 60 wrong tokens within a minute; further requests get 429"
    ]


def test_who_shows_none_is_asked_for_it_as_often_as_it_comes() -> None:
    access = Access(token="right")
    assert {asked(access, None) for _ in range(3 * TOO_MANY)} == {401}


def test_a_minute_later_it_begins_anew_and_others_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    failed = FailedTokens(lambda: now)
    assert [failed.count("a") for _ in range(3)] == [1, 2, 3]
    assert failed.count("b") == 1
    now = MINUTE - 1
    assert failed.count("a") == 4
    now = MINUTE
    assert failed.count("a") == 1
    assert failed.count("b") == 1
    monkeypatch.setattr(failed_tokens, "_CLIENTS", 10)
    for number in range(50):
        failed.count(f"c{number}")
    assert len(failed._minutes) <= 11
