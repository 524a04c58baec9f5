"""``python -m tools.skipped REPORT.xml ...``: how many tests none of these runs has run, and why.

Owns that sum, which ``.ci/run`` ends with. A test that one run skips and another one runs counts as run: what cannot be
shown while lines are counted is shown on its own, and the compiled package has no lines to count.
Authority: pytest's manual, ``--junitxml``.
"""

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree


def told(reports: Iterable[Path]) -> str:
    """One line: ``4,842 tests, 43 skipped: 41 OPENSIPS_BIN names no opensips; 2 ...``, the commonest reason first."""
    ran: set[tuple[str, str]] = set()
    reasons: dict[tuple[str, str], str] = {}
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            name, skipped = (case.get("classname", ""), case.get("name", "")), case.find("skipped")
            if skipped is None:
                ran.add(name)
            else:
                reasons[name] = skipped.get("message") or "no reason was given"
    left = Counter(reason for name, reason in reasons.items() if name not in ran)
    why = "; ".join(f"{number} {reason}" for reason, number in left.most_common())
    return f"{len(ran | reasons.keys()):,} tests, {left.total()} skipped" + (f": {why}" if why else "")


if __name__ == "__main__":
    print(told(map(Path, sys.argv[1:])))
