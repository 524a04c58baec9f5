"""API secrets, stored and signed tokens (contract 3.2; reference janus.md, section 8)."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.credentials import Credentials, signed_token
from tests.support.janus import Janus, JanusOptions
from tests.support.janus_client import AdminClient, JanusClient, JanusError

SECRET = "s3cret"
ECHOTEST, VIDEOROOM = "janus.plugin.echotest", "janus.plugin.videoroom"


def applied(credentials: Credentials, **request: Any) -> dict[str, Any]:
    credentials.apply(request)
    return request


@dataclass
class Wall:
    """A clock that a test sets."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def signer(wall: Wall, ttl: int = 100) -> Credentials:
    return Credentials(token_secret=SECRET, token_ttl=ttl, now=wall)


def expiry(credentials: Credentials) -> int:
    token: str = applied(credentials)["token"]
    return int(token.partition(",")[0])


# What stands in a request


def test_nothing_configured_leaves_the_callers_own() -> None:
    assert applied(Credentials(), janus="ping", token="t", apisecret="a") == {
        "janus": "ping",
        "token": "t",
        "apisecret": "a",
    }


def test_configured_secrets_override_those_of_a_command() -> None:
    credentials = Credentials(api_secret="ours", token="our token")
    assert applied(credentials, apisecret="theirs", token="their token") == {"apisecret": "ours", "token": "our token"}


def test_signed_token_overrides_a_stored_one() -> None:
    credentials = Credentials(token="stored", token_secret=SECRET, now=Wall())
    assert applied(credentials)["token"] != "stored"


def test_secrets_are_in_no_repr() -> None:
    credentials = Credentials(api_secret="xyzzy1", token="xyzzy2", token_secret="xyzzy3", now=Wall())
    credentials.grant(["janus.plugin.p"])
    signed = applied(credentials)["token"]
    assert "xyzzy" not in repr(credentials)
    assert signed.partition(":")[2] not in repr(credentials)


# When a signed token is made anew


def test_signed_token_is_kept_until_half_of_its_time_has_passed() -> None:
    wall = Wall()
    credentials = signer(wall)
    made = applied(credentials)["token"]
    wall.now += 49.9
    assert applied(credentials)["token"] == made
    wall.now += 0.1
    assert expiry(credentials) == int(wall.now) + 100


def test_clock_that_is_set_back_renews_it() -> None:
    """Else a token would be used until the clock was there again, and Janus, whose clock is right, would refuse it."""
    wall = Wall()
    credentials = signer(wall)
    applied(credentials)
    wall.now -= 3600
    assert expiry(credentials) == int(wall.now) + 100


@given(st.lists(st.floats(-1e6, 1e6), max_size=20), st.integers(1, 10_000))
def test_no_request_travels_with_less_than_half_of_the_time_left(steps: list[float], ttl: int) -> None:
    wall = Wall()
    credentials = signer(wall, ttl)
    for step in steps:
        wall.now += step
        left = expiry(credentials) - wall.now
        assert ttl / 2 - 1 < left <= ttl  # whole seconds


def test_token_ends_with_the_lease_of_its_bridge() -> None:
    """In a cluster: a second is a second of Janus, which takes a token to the end of the one that it names."""
    wall, lease = Wall(1_000.2), Wall(1_008.7)
    credentials = Credentials(token_secret=SECRET, token_ttl=100, now=wall, lease=lease)
    assert expiry(credentials) == 1_008
    lease.now = 1_009.7  # a beat
    assert expiry(credentials) == 1_009
    first = applied(credentials)
    wall.now, lease.now = 1_000.9, 1_009.8
    assert applied(credentials) == first  # signed once a second at most
    lease.now = math.inf
    assert expiry(credentials) == 1_100
    lease.now = -math.inf
    assert expiry(credentials) == 0


def test_rights_for_other_plugins_need_another_token() -> None:
    credentials = signer(Wall())
    nothing = applied(credentials)["token"]
    credentials.grant([ECHOTEST])
    one = applied(credentials)["token"]
    credentials.grant([ECHOTEST])
    assert one == applied(credentials)["token"] != nothing
    assert one.partition(":")[0].split(",")[1:] == ["janus", ECHOTEST]


# What Janus says to it


@pytest.fixture(scope="module")
def signing_janus() -> Iterator[Janus]:
    with Janus(JanusOptions(token_auth_secret=SECRET)) as janus:
        yield janus


async def code(client: JanusClient, credentials: Credentials, **request: Any) -> int:
    """The error that Janus answers with, 0 for none."""
    try:
        await client.request(applied(credentials, **request))
    except JanusError as exc:
        return exc.code
    return 0


def now_with(plugins: list[str], **arguments: Any) -> Credentials:
    credentials = Credentials(now=time.time, **{"token_secret": SECRET, **arguments})
    credentials.grant(plugins)
    return credentials


async def test_janus_accepts_a_signed_token_for_its_plugins_alone(signing_janus: Janus) -> None:
    async with JanusClient.open(signing_janus) as client:
        credentials = now_with([ECHOTEST])
        session = (await client.request(applied(credentials, janus="create")))["data"]["id"]
        assert await code(client, credentials, janus="attach", session_id=session, plugin=ECHOTEST) == 0
        assert await code(client, credentials, janus="attach", session_id=session, plugin=VIDEOROOM) == 405
        credentials.grant([ECHOTEST, VIDEOROOM])
        assert await code(client, credentials, janus="attach", session_id=session, plugin=VIDEOROOM) == 0


async def test_janus_accepts_a_token_for_all_the_plugins_that_it_names(signing_janus: Janus) -> None:
    async with JanusClient.open(signing_janus) as client:
        plugins = sorted((await client.info())["plugins"])
        credentials = now_with(plugins)
        session = (await client.request(applied(credentials, janus="create")))["data"]["id"]
        for plugin in plugins:
            assert await code(client, credentials, janus="attach", session_id=session, plugin=plugin) == 0


async def test_janus_wants_a_token_before_its_plugins_are_known(signing_janus: Janus) -> None:
    async with JanusClient.open(signing_janus) as client:
        assert await code(client, Credentials(), janus="create") == 403
        assert await code(client, now_with([]), janus="create") == 0


@pytest.mark.parametrize(
    "token",
    [
        lambda: signed_token("wrong", int(time.time()) + 60, []),
        lambda: signed_token(SECRET, int(time.time()) - 1, []),
        lambda: signed_token(SECRET, int(time.time()) + 60, []).replace("janus", "other", 1),
        lambda: signed_token(SECRET, int(time.time()) + 60, [])[:-2],
    ],
    ids=["wrong secret", "expired", "forged", "cut"],
)
async def test_janus_refuses_any_other(signing_janus: Janus, token: Callable[[], str]) -> None:
    async with JanusClient.open(signing_janus) as client:
        assert await code(client, Credentials(token=token()), janus="create") == 403


async def test_fresh_token_continues_an_old_session(signing_janus: Janus) -> None:
    wall = Wall(time.time())
    credentials = signer(wall)
    async with JanusClient.open(signing_janus) as client:
        session = (await client.request(applied(credentials, janus="create")))["data"]["id"]
        first = expiry(credentials)
        wall.now += 60
        assert await code(client, credentials, janus="keepalive", session_id=session) == 0
        assert expiry(credentials) > first


async def test_janus_is_the_fence_for_a_bridge_that_comes_late(signing_janus: Janus) -> None:
    lease = Wall(time.time() + 60)
    late, heir = now_with([], lease=lease), now_with([])
    async with JanusClient.open(signing_janus) as client:
        session = (await client.request(applied(late, janus="create")))["data"]["id"]
        lease.now = time.time() - 2
        for verb in ("keepalive", "claim", "destroy"):
            assert await code(client, late, janus=verb, session_id=session) == 403
        assert await code(client, heir, janus="keepalive", session_id=session) == 0


async def test_janus_accepts_a_stored_token_and_an_api_secret(janus_factory: Callable[..., Janus]) -> None:
    server = janus_factory(token_auth=True, api_secret="api")
    async with AdminClient.open(server) as admin:
        await admin.add_token("stored")
    async with JanusClient.open(server) as client:
        assert await code(client, Credentials(), janus="create") == 403
        assert await code(client, Credentials(api_secret="api"), janus="create") == 0
        assert await code(client, Credentials(token="stored"), janus="create") == 0
        assert await code(client, Credentials(api_secret="wrong", token="wrong"), janus="create") == 403
