"""What a Janus wants to see in each request: API secret, stored token, signed token (contract 3.2).

Owns how they are made and put into a request. The clock is an argument. They never appear in a ``repr``.
Authority: Janus manual, "Authentication" (auth.c): a signed token is ``EXPIRY,janus,PLUGIN,...:HMAC-SHA1`` in base64.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import floor, inf, isfinite

from bridge.protocol.codec import JsonObject

REALM = "janus"


def signed_token(secret: str, expiry: int, plugins: Sequence[str]) -> str:
    """A token that Janus with ``token_auth_secret`` accepts until ``expiry`` (unix seconds) for these plugins."""
    text = ",".join((str(expiry), REALM, *plugins))
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()
    return f"{text}:{base64.b64encode(digest).decode('ascii')}"


@dataclass(slots=True)
class Credentials:
    """The configured secrets of one gateway; they override those in a command.

    ``token_ttl`` in seconds: how long a signed token is valid; it is made anew when half of that has passed, so that no
    request travels with one about to expire. ``now`` gives unix seconds. ``lease`` too: until when this bridge may
    write to the Janus; a token ends then at the latest, so that Janus itself refuses whoever comes late.
    """

    api_secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_secret: str | None = field(default=None, repr=False)
    token_ttl: int = 3600
    now: Callable[[], float] = field(default=lambda: 0.0, repr=False)
    lease: Callable[[], float] | None = field(default=None, repr=False)
    empty: bool = field(init=False, repr=False)  # there is none
    _plugins: tuple[str, ...] = field(default=(), repr=False)
    _made: str | None = field(default=None, repr=False)
    _renew_at: float = field(default=0.0, repr=False)
    _ends: float = field(default=inf, repr=False)  # the second that the lease is known to end in

    def __post_init__(self) -> None:
        self.empty = self.api_secret is None and self.token is None and self.token_secret is None

    def grant(self, plugins: Sequence[str]) -> None:
        """Make the next signed tokens valid for these plugins (from Janus's ``info``, which needs no token)."""
        if tuple(plugins) != self._plugins:
            self._plugins = tuple(plugins)
            self._made = None

    def apply(self, request: JsonObject) -> None:
        """Put the configured secrets into a request."""
        if self.api_secret is not None:
            request["apisecret"] = self.api_secret
        if self.token_secret is not None:
            request["token"] = self._signed_now(self.token_secret)
        elif self.token is not None:
            request["token"] = self.token

    def _signed_now(self, secret: str) -> str:
        now = self.now()
        ends = inf if self.lease is None else self.lease()
        ends = floor(ends) if isfinite(ends) else ends
        # A clock set back would keep a token longer than its time; one set forward just renews.
        if self._made is None or ends != self._ends or not self._renew_at - self.token_ttl / 2 <= now < self._renew_at:
            self._ends = ends
            self._made = signed_token(secret, int(max(min(now + self.token_ttl, ends), 0)), self._plugins)
            self._renew_at = now + self.token_ttl / 2
        return self._made
