"""``python -m tools.life``: the picture of a connection's life in docs/architecture.md, drawn from the table.

Owns that part of the file. tests/test_life_picture.py fails where table and picture differ.
"""

from pathlib import Path

from bridge.protocol.decisions import TABLE
from bridge.protocol.life import Effect, Input, State

FILE = Path(__file__).parents[1] / "docs" / "architecture.md"
BEGIN, END = "<!-- the life of a connection: python -m tools.life -->\n", "<!-- end -->\n"


def render() -> str:
    """The picture (Mermaid), and the table that it was drawn from."""
    edges: dict[tuple[State, State], list[str]] = {}
    for (state, what), row in TABLE.items():
        for target in row.to:
            edges.setdefault((state, target), []).append(what.name.lower())
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.OPENING.name}"]
    lines += [f"    {a.name} --> {_name(b)}: {', '.join(names)}" for (a, b), names in edges.items()]
    lines += ["```", "", "| in state | when | decision | leads to |", "|---|---|---|---|"]
    for (state, what), row in TABLE.items():
        meaning = " ".join((row.decision.__doc__ or "").split())
        to = ", ".join("ended" if next_one is State.ENDED else next_one.name for next_one in row.to)
        lines.append(f"| {state.name} | {what.value} | `{row.decision.__name__}`: {meaning} | {to} |")
    for title, words in (("States", State), ("What can happen", Input), ("What can be done", Effect)):
        lines += ["", f"{title}:", ""]
        lines += [f"- `{word.name.lower()}`: {word.value}" for word in words]
    return "\n".join(lines) + "\n"


def _name(state: State) -> str:
    return "[*]" if state is State.ENDED else state.name


def included(document: str) -> str:
    """The part of the document that is drawn."""
    return document.partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Write it."""
    document = FILE.read_text(encoding="utf-8")
    FILE.write_text(document.replace(BEGIN + included(document) + END, BEGIN + render() + END), encoding="utf-8")
    print(f"{FILE.relative_to(FILE.parents[1])} is drawn")


if __name__ == "__main__":
    main()
