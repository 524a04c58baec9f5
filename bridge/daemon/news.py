"""What a reload changed, in the words of a log line.

Owns the words. Must not know how anything is applied, and never sees a value: a key may hold a secret.
"""

from collections.abc import Collection, Iterable

from bridge.core.registry import TableChanges

_NAMES = 5  # of gateways, said by name; the rest by their number


def news_of(keys: Iterable[str], files_of: Collection[str], table: TableChanges | None, *, certificate: bool) -> str:
    """E.g. ``mi.token, log.level, table: added gw2``.

    ``keys`` are changed settings. ``files_of`` are gateways whose secrets or TLS are others now, be it by a key or by
    what a file holds; ``certificate`` says that of the MI's own. ``table`` is None where it could not be read.
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
    return "changed: " + ", ".join(found) if found else "nothing changed"


def _some(names: Collection[str]) -> str:
    shown = sorted(names)[:_NAMES]
    more = len(names) - len(shown)
    return " ".join(shown) + (f" and {more} more" if more else "")
