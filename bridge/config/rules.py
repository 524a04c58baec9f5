"""Rules that bind two settings.

Owns them, and the words for breaking one. Must not know where values come from. Authority: contract 3.2, 3.3, 8.4.
"""

from collections.abc import Iterator

from bridge.config.kinds import is_loopback
from bridge.config.settings import Config


def conflicts(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each broken rule: the path of a setting that was given and takes part in it, and what is wrong."""
    janus, mi = config.janus, config.mi
    if janus.reconnect_min > janus.reconnect_max:
        yield ("janus", "reconnect_min"), f"must not be above reconnect_max ({janus.reconnect_max:g} s)"
    if janus.db_tls_key is not None and janus.db_tls_cert is None:
        yield ("janus", "db_tls_key"), "needs db_tls_cert to be set, too"
    if mi.http_tls_key is not None and mi.http_tls_cert is None:
        yield ("mi", "http_tls_key"), "needs http_tls_cert to be set, too"
    tokens = [token for token in (mi.token, *(grant.token for grant in mi.roles)) if token is not None]
    for address in mi.http:
        if not tokens and not is_loopback(address.rpartition(":")[0]):
            yield (
                ("mi", "http"),
                f"{address!r} can be reached from other machines: set [mi] token, or listen on 127.0.0.1",
            )
    if len(set(tokens)) < len(tokens):
        yield ("mi", "roles"), "two roles share a token, or one has [mi] token: give each its own"
    for name, gateway in janus.gateways.items():
        path = ("janus", "gateways", name)
        if gateway.tls_key is not None and gateway.tls_cert is None:
            yield (*path, "tls_key"), "needs tls_cert to be set, too"
        if gateway.token is not None and gateway.token_secret is not None:
            yield (*path, "token_secret"), "cannot be set beside token: a token is either stored or signed"
