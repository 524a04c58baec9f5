"""The words of a reload and of systemd's STATUS=."""

import pytest
import trio

from bridge.core.registry import TableChanges
from bridge.daemon.news import news_of, status_of
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running

NOTHING = TableChanges()


async def test_the_status_names_the_gateways_that_are_not_ready_and_stays_short() -> None:
    bed = LinkBed()
    assert status_of("none", bed.registry) == "table none, 0 of 0 gateways ready"
    rows = {f"gw{number}": "janusws://127.0.0.1:1" for number in range(1, 4)}
    async with running(bed, {**rows, "disabled": "http://no.janus"}):
        assert status_of("fresh", bed.registry) == "table fresh, 0 of 4 gateways ready; not ready: disabled gw1 gw2 gw3"
        bed.reconcile({f"gw{number}": "janusws://127.0.0.1:1" for number in range(1, 10)})
        expected = "table stale, 0 of 9 gateways ready; not ready: gw1 gw2 gw3 gw4 gw5 and 4 more"
        assert status_of("stale", bed.registry) == expected


async def test_whatever_changes_the_status_is_news(janus: Janus) -> None:
    bed = LinkBed()
    told = [""]

    async def listen() -> None:
        while True:
            await bed.registry.news.wait()
            told.append(status_of("fresh", bed.registry))

    async with running(bed, {"gw1": janus.url}), trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await bed.until(lambda: told[-1] == "table fresh, 1 of 1 gateways ready")
        bed.reconcile({"gw1": janus.url, "gw2": "http://no.janus"})
        await bed.until(lambda: told[-1] == "table fresh, 1 of 2 gateways ready; not ready: gw2")
        bed.reconcile({"gw2": "http://no.janus"})
        await bed.until(lambda: told[-1] == "table fresh, 0 of 1 gateways ready; not ready: gw2")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("keys", "files_of", "table", "certificate", "expected"),
    [
        ([], [], NOTHING, False, "nothing changed"),
        ([], [], None, False, "nothing changed"),
        (["mi.token", "log.level"], [], NOTHING, False, "changed: mi.token, log.level"),
        ([], [], NOTHING, True, "changed: the content of mi.http_tls_cert"),
        (["mi.http_tls_cert"], [], NOTHING, True, "changed: mi.http_tls_cert"),
        ([], ["gw1"], NOTHING, False, "changed: the content of TLS files of gw1"),
        (
            ["janus.gateways.gw1.tls_ca"],
            ["gw1", "gw2"],
            NOTHING,
            False,
            "changed: janus.gateways.gw1.tls_ca, the content of TLS files of gw2",
        ),
        ([], [], TableChanges(added=["b", "a"], removed=["c"]), False, "changed: table: added a b, removed c"),
        ([], [], TableChanges(changed=list("gfedcba")), False, "changed: table: changed a b c d e and 2 more"),
    ],
)
def test_a_reload_says_what_changed(
    keys: list[str], files_of: list[str], table: TableChanges | None, certificate: bool, expected: str
) -> None:
    assert news_of(keys, files_of, table, certificate=certificate) == f"done; {expected}"
    partly = "nothing new was taken" if expected == "nothing changed" else f"taken in part; {expected}"
    assert news_of(keys, files_of, table, certificate=certificate, faults=["a fault"]) == partly
