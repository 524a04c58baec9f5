"""How things stand and what a reload changed, in the words of a line.

Owns the words. Must not know how anything is applied, and never sees a value: a key may hold a secret.
"""

from collections.abc import Collection, Iterable

from bridge.core.registry import LinkRegistry, TableChanges

_NAMES = 5  # of gateways, said by name; the rest by their number


def status_of(freshness: str, links: LinkRegistry) -> str:
    """For systemd, e.g. ``table fresh, 1 of 3 gateways ready; not ready: gw2 gw3``."""
    missing = [link.gateway.janus_id for link in links if not link.roster.ready]
    text = f"table {freshness}, {len(links) - len(missing)} of {len(links)} gateways ready"
    return f"{text}; not ready: {_some(missing)}" if missing else text


def news_of(
    keys: Iterable[str],
    files_of: Collection[str],
    table: TableChanges | None,
    *,
    certificate: bool,
    faults: Collection[str] = (),
) -> str:
    """E.g. ``done; changed: mi.token, log.level, table: added gw2``.

    ``keys`` are changed settings. ``files_of`` are gateways whose secrets or TLS are others now, be it by a key or by
    what a file holds; ``certificate`` says that of the MI's own. ``table`` is None where it could not be read.
    ``faults`` are what could not be taken.
    """
    found = list(keys)
    if certificate and not any(key.startswith("mi.http_tls_") for key in found):
        found.append("the content of mi.http_tls_cert")
    by_content = [one for one in files_of if not any(key.startswith(f"janus.gateways.{one}") for key in found)]
    if by_content:
        found.append(f"the content of TLS files of {_some(by_content)}")
    if table is not None:
        kinds = {"added": table.added, "changed": table.changed, "removed": table.removed}
        rows = [f"{what} {_some(names)}" for what, names in kinds.items() if names]
        if rows:
            found.append("table: " + ", ".join(rows))
    if not found:
        return "nothing new was taken" if faults else "done; nothing changed"
    return f"{'taken in part' if faults else 'done'}; changed: {', '.join(found)}"


def _some(names: Collection[str]) -> str:
    shown = sorted(names)[:_NAMES]
    more = len(names) - len(shown)
    return " ".join(shown) + (f" and {more} more" if more else "")
