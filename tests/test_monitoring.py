"""opensips-examples/monitoring/ against the program: dashboard and alerts use only metrics and labels that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import ProcessCollector

from bridge.protocol.event_delivery import DROP_REASONS
from bridge.protocol.snapshot import NODE_STATES, OUTCOMES, STATES
from bridge.transport.pages.metrics import PREFIX, ROWS

FOLDER = Path(__file__).parents[1] / "opensips-examples" / "monitoring"
DASHBOARD = FOLDER / "grafana-dashboard.json"
RULES = FOLDER / "janus-bridge.rules.yml"
PROMTOOL = shutil.which("promtool")

TARGET = {"job", "instance"}  # what Prometheus itself adds
VALUES: Mapping[str, set[str]] = {
    "outcome": set(OUTCOMES),
    "state": {*STATES, *NODE_STATES},
    "reason": set(DROP_REASONS),
}


def metrics() -> dict[str, set[str]]:
    """Every name of a sample, with its labels."""
    known = {"up": set(TARGET)}
    for row in ROWS:
        labels = {*row.labels, *TARGET}
        if row.kind == "histogram":
            known[f"{PREFIX}{row.name}_bucket"] = {*labels, "le"}
            known[f"{PREFIX}{row.name}_sum"] = known[f"{PREFIX}{row.name}_count"] = labels
        else:
            known[PREFIX + row.name] = labels
    for family in ProcessCollector(registry=None).collect():
        for sample in family.samples:
            known[sample.name] = set(TARGET)
    return known


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> Iterator[str]:
    """All PromQL of both files."""
    for panel in panels():
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in json.loads(DASHBOARD.read_text(encoding="utf-8"))["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"]
    yield from re.findall(r"expr: (?:\|\n)?((?:.|\n {10,})+)", RULES.read_text(encoding="utf-8"))


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_an_expression_uses_what_exists(expression: str) -> None:
    known = metrics()
    used = re.findall(r"\b(janus_bridge_\w+|process_\w+|up)\b(?:\{(.*?)\})?", expression)
    assert used
    labels = set(TARGET)
    for name, selector in used:
        assert name in known
        labels |= known[name]
        for label, text in re.findall(r'(\w+)=~?"(.*?)"', selector):
            assert label in known[name]
            if label in VALUES:
                assert set(text.split("|")) <= VALUES[label]
    for grouped in re.findall(r"\b(?:by|on) \((.*?)\)", expression):
        assert set(grouped.split(", ")) <= labels


def test_all_expressions_were_found() -> None:
    text = RULES.read_text(encoding="utf-8")
    assert len(re.findall("- alert: ", text)) == 19
    assert sum(f"expr: {line}" in text or f"expr: |\n{line}" in text for line in expressions()) == 19


@pytest.mark.parametrize("path", [DASHBOARD, RULES], ids=lambda path: path.name)
def test_the_contracts_metrics_are_used(path: Path) -> None:
    """Whoever takes the files as they are sees what contract 8.2 promises."""
    text = path.read_text(encoding="utf-8")
    wanted = ["gateway_up", "command_seconds", "commands_total", "reconnects_total", "event_drops_total"]
    wanted += ["queue_events", "loop_lag_seconds"]
    assert [name for name in wanted if PREFIX + name not in text] == []


def test_the_dashboard_shows_a_cluster() -> None:
    text = DASHBOARD.read_text(encoding="utf-8")
    wanted = ["cluster_node_state", "cluster_valid_seconds", "beats_late_total", "take_overs_total", "hand_overs_total"]
    assert [name for name in [*wanted, "forwarded_total"] if PREFIX + name not in text] == []


def test_the_dashboard_is_laid_out() -> None:
    cells: dict[tuple[int, int], str] = {}
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert cells.setdefault((x, y), panel["title"]) == panel["title"]
        assert panel["type"] == "row" or panel["description"]
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))


def test_legends_name_labels_that_are_there() -> None:
    for panel in panels():
        for target in panel.get("targets", ()):
            names = re.findall(r"janus_bridge_\w+", target["expr"])
            known = set(TARGET).union(*(metrics()[name] for name in names))
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known


@pytest.mark.program
@pytest.mark.skipif(PROMTOOL is None, reason="promtool (Debian: prometheus) is not installed")
@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", str(RULES)), ("test", "rules", str(Path(__file__).with_name("alerts.test.yml")))],
    ids=["syntax", "behaviour"],
)
def test_prometheus_takes_the_rules(arguments: tuple[str, ...]) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
