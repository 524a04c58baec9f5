"""Rules that bind two settings.

Owns them, and the words for breaking one. Must not know where values come from. Authority: contract 3.2, 3.3, 8.4.
"""

import dataclasses
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TypeAlias

from bridge.config.kinds import LISTENERS, is_loopback
from bridge.config.settings import ClusterSettings, Config, EventsSettings, MiSettings, default_table
from bridge.protocol.amqp_target import PIKA_NEEDED
from bridge.protocol.db_url import SqliteUrl
from bridge.protocol.plugin_types import INTEGER_MEMBERS

Conflict: TypeAlias = tuple[tuple[str, ...], str]


def conflicts(config: Config) -> Iterator[Conflict]:
    """Each broken rule: the path of a setting that was given and takes part in it, and what is wrong."""
    janus = config.janus
    if janus.reconnect_min > janus.reconnect_max:
        yield ("janus", "reconnect_min"), f"must not be above reconnect_max ({janus.reconnect_max:g} s)"
    yield from _lonely_key(("janus",), janus.db_tls_key, janus.db_tls_cert, "db_")
    yield from _of_mi(config.mi)
    yield from _of_events(config.events)
    for name, gateway in janus.gateways.items():
        path = ("janus", "gateways", name)
        yield from _lonely_key(path, gateway.tls_key, gateway.tls_cert)
        if gateway.token is not None and gateway.token_secret is not None:
            yield (*path, "token_secret"), "cannot be set beside token: a token is either stored or signed"
    if config.cluster.cluster_id is not None:
        yield from _of_cluster(config, config.cluster)


def _lonely_key(path: tuple[str, ...], key: str | None, cert: str | None, prefix: str = "") -> Iterator[Conflict]:
    if key is not None and cert is None:
        yield (*path, f"{prefix}tls_key"), f"needs {prefix}tls_cert to be set, too"


def _of_mi(mi: MiSettings) -> Iterator[Conflict]:
    yield from _lonely_key(("mi",), mi.http_tls_key, mi.http_tls_cert, "http_")
    named = [("[mi] token", mi.token), *((f"role {grant.role}", grant.token) for grant in mi.roles)]
    tokens = [(name, token) for name, token in named if token is not None]
    if not tokens:
        for key, address in reachable(mi):
            words = "can be reached from other machines: set [mi] token, or listen on 127.0.0.1"
            yield ("mi", key), f"{address!r} {words}"
    for number, (name, token) in enumerate(tokens):
        twin = next((other for other, same in tokens[:number] if same == token), None)
        if twin is not None:
            yield ("mi", "roles"), f"{twin} and {name} have the same token: give each its own"


def _of_events(events: EventsSettings) -> Iterator[Conflict]:
    subscribers = ("events", "subscribers")
    filters = {(one.event, one.socket): one.filter for one in events.subscribers}
    for one in events.subscribers:
        if filters[one.event, one.socket] != one.filter:
            yield subscribers, f"{one.socket} is given twice for {one.event}: put both filters into one"
            break
    for name, domain in events.tls_domains.items():
        yield from _lonely_key(("events", "tls_domains", name), domain.tls_key, domain.tls_cert)
    targets = [one.socket.target for one in events.subscribers if one.socket.target is not None]
    for target in targets:
        if target.tls_domain and target.tls_domain not in events.tls_domains:
            yield subscribers, f"there is no section [events.tls_domains.{target.tls_domain}]"
            break
    if targets and find_spec("pika") is None:
        yield subscribers, PIKA_NEEDED


def _of_cluster(config: Config, cluster: ClusterSettings) -> Iterator[Conflict]:
    node_id, url = ("cluster", "cluster_id"), ("cluster", "my_node_url")
    if cluster.my_node_id is None or cluster.my_node_url is None:
        yield node_id, "needs my_node_id and my_node_url to be set, too"
        return
    if cluster.node_timeout < 4 * cluster.ping_interval:
        given = "node_timeout" if cluster.node_timeout != ClusterSettings().node_timeout else "ping_interval"
        yield ("cluster", given), "node_timeout must be at least four times ping_interval: a beat may come late"
    database = cluster.db_url or config.janus.janus_db_url
    if database == default_table(config.state.dir):
        yield node_id, "needs janus_db_url, or db_url here: the default table is this bridge's alone"
        return
    if is_loopback(cluster.my_node_url.host):
        return
    if isinstance(database, SqliteUrl):
        yield url, "is of another machine's reach, and SQLite is for the bridges of one machine: use a MySQL cluster"
    if not cluster.my_node_url.tls:
        yield url, "can be reached from other machines: make it https:// ([mi] http_tls_cert)"
    if cluster.token is None and config.mi.token is None:
        yield url, "can be reached from other machines: set [mi] token, or token here"


def reachable(mi: MiSettings) -> Iterator[tuple[str, str]]:
    """Key and address of each listener that other machines reach, whichever key it stands in."""
    for row in dataclasses.fields(mi):
        if row.metadata["setting"].kind is LISTENERS:
            for address in getattr(mi, row.name):
                if not is_loopback(address.rpartition(":")[0]):
                    yield row.name, address


def doubts(config: Config) -> Iterator[str]:
    """What is no broken rule, but hardly meant."""
    janus, mi, url = config.janus, config.mi, config.cluster.my_node_url
    reached = not all(is_loopback(address.rpartition(":")[0]) for address in mi.http)
    if url is not None and not is_loopback(url.host) and reached and all(one.is_loopback for one in mi.allow):
        yield "[cluster] my_node_url: [mi] allow names this machine alone, so that the other bridges are refused"
    yield from _old_string_ids("janus", janus.integer_members, janus.string_ids)
    for name, gateway in janus.gateways.items():
        strings = janus.string_ids if gateway.string_ids is None else gateway.string_ids
        yield from _old_string_ids(f"janus.gateways.{name}", gateway.integer_members, strings)


def _old_string_ids(place: str, members: frozenset[str] | None, string_ids: frozenset[str]) -> Iterator[str]:
    """To take the ids out of the defaults was the way to say it before there was string_ids."""
    if members is None or string_ids or {"id", "room"} <= members or not members < set(INTEGER_MEMBERS):
        return
    yield (
        f"[{place}] integer_members without id and room: it is for plugins that are not known; plugins of Janus whose "
        "ids are strings are named in string_ids"
    )
