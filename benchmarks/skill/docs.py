"""Writes the tables and pictures of docs/learning.md from the kept result, so that no figure is copied by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from behavior.errors import InputError
from benchmarks.speed.docs import RESULTS, fill_blocks
from benchmarks.speed.table import number

__all__ = ["table_of_longer", "tables_of", "write_docs"]

_ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = _ROOT / "docs" / "learning.md"
PICTURES = _ROOT / "docs" / "pictures"


def write_docs(
    kept: Path = RESULTS / "learning_tasks.json",
    longer: Path = RESULTS / "learning_longer.json",
    document: Path = DOCUMENT,
    pictures: Path = PICTURES,
) -> dict[str, Any]:
    """Fill the document, draw the pictures; gives the kept result.

    Args:
        kept: The result of the whole table.
        longer: That of the cells that were trained longer; where there is none, its table says so.
        document: What is filled.
        pictures: Where the pictures go.

    Raises:
        InputError: There is no result, or the document has no place for its tables.
    """
    from benchmarks.skill.pictures import draw_curves, draw_shares

    if not kept.is_file():
        raise InputError(
            "there is no result to write from",
            where=str(kept),
            mend="run python -m benchmarks.learning with --json",
        )
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    agents = agents_of(found)
    ceiling = "belief" if any(row["case"].endswith("to belief") for row in found["cases"]) else "planning"
    draw_shares(found, pictures / "learning-shares.svg", ceiling=ceiling, agents=agents)
    draw_curves(found, pictures / "learning-steps.svg", against="steps", agents=agents)
    draw_curves(found, pictures / "learning-seconds.svg", against="seconds", agents=agents)
    shown = "\n\n".join(
        f"![{what}](pictures/learning-{name}.svg)"
        for name, what in (
            (
                "shares",
                f"Share of the gap from random to the {ceiling} oracle, by task and agent, with intervals",
            ),
            ("steps", "Score of the validation users against user-steps of training, a panel a task"),
            ("seconds", "Score of the validation users against seconds of training, a panel a task"),
        )
    )
    more = {"learning-longer": "Not measured yet."}
    if longer.is_file():
        more["learning-longer"] = table_of_longer(json.loads(longer.read_text(encoding="utf-8")))
    written = fill_blocks(document, tables_of(found) | more | {"learning-pictures": shown})
    print(f"{document.name}: {', '.join(written)}", file=sys.stderr)
    return found


def agents_of(found: Mapping[str, Any]) -> list[str]:
    """The trained agents, in the order of the result."""
    return list(dict.fromkeys(curve["agent"] for curve in found["curves"]))


def tables_of(found: Mapping[str, Any]) -> dict[str, str]:
    """Name of a table -> Markdown."""
    rows = {row["case"]: row for row in found["cases"]}
    tasks = list(dict.fromkeys(case.split(": ")[0] for case in rows))
    agents = agents_of(found)
    versions = ", ".join(f"{name} {text}" for name, text in found["versions"].items())
    head = f"{found['machine']}; {versions}; budget of a cell: {found['budget']}.\n\n"
    others = ("random", "popularity", "relevance", "mmr", "myopic", "planning", "belief")
    known = [who for who in others if any(f"{task}: {who}, score" in rows for task in tasks)]
    scored = [task for task in tasks if f"{task}: random, score" in rows]
    tables = {
        "learning-scores": head + _grid(rows, scored, [*known, *agents], "{task}: {who}, score", _value),
        "learning-training": _grid(
            rows, scored, agents, "{task}: {who}, training", lambda row: f"{number(row['value'])} s"
        ),
    }
    for ceiling in ("belief", "planning"):
        form = f"{{task}}: {{who}}, share of random to {ceiling}"
        tables[f"learning-share-{ceiling}"] = _grid(rows, tasks, agents, form, _share)
    for rival in ("click-greedy", "relevance"):
        form = f"{{task}}: {{who}}, above {rival}"
        tables[f"learning-above-{rival}"] = _grid(rows, scored, agents, form, _difference(rows))
    future = [who for who in agents if any(f"{task}: {who}, above {who}-gamma-0" in rows for task in tasks)]
    tables["learning-future"] = _grid(
        rows, scored, future, "{task}: {who}, above {who}-gamma-0", _difference(rows)
    )
    return tables


def table_of_longer(found: Mapping[str, Any]) -> str:
    """One line for each task and agent that was trained longer."""
    rows = {row["case"]: row for row in found["cases"]}
    columns = (
        ("seconds of training", "training", _value),
        ("score", "score", _value),
        ("share of random to belief", "share of random to belief", _share),
        ("share of random to planning", "share of random to planning", _share),
        ("above relevance order", "above relevance", _difference(rows)),
    )
    lines = [
        f"Budget of a cell: {found['budget']}.\n",
        "| task | agent | " + " | ".join(title for title, _, _ in columns) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for task in dict.fromkeys(curve["task"] for curve in found["curves"]):
        for agent in agents_of(found):
            if f"{task}: {agent}, score" not in rows:
                continue
            cases = [(f"{task}: {agent}, {what}", show) for _, what, show in columns]
            shown = [show(rows[case]) if case in rows else "" for case, show in cases]
            lines.append(f"| {task} | {agent} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _grid(
    rows: Mapping[str, Mapping[str, Any]], tasks: Sequence[str], columns: Sequence[str], form: str, show: Any
) -> str:
    """A line a task, a column a policy; columns without any figure are left out."""
    cells = {
        (task, who): show(rows[form.format(task=task, who=who)])
        for task in tasks
        for who in columns
        if form.format(task=task, who=who) in rows
    }
    used = [who for who in columns if any((task, who) in cells for task in tasks)]
    if not used:
        return "Not measured yet."
    lines = ["| task | " + " | ".join(used) + " |", "|---|" + "---:|" * len(used)]
    for task in tasks:
        if any((task, who) in cells for who in used):
            lines.append(f"| {task} | " + " | ".join(cells.get((task, who), "") for who in used) + " |")
    return "\n".join(lines)


def _value(row: Mapping[str, Any]) -> str:
    return f"{row['value']:.1f}"


def _share(row: Mapping[str, Any]) -> str:
    return f"{100 * row['value']:.0f} % ({100 * row['low']:.0f} to {100 * row['high']:.0f})"


def _difference(rows: Mapping[str, Mapping[str, Any]]) -> Any:
    """'+1.9 (+1.4; lowest seed +1.6)': the mean, the low end of its interval, the lowest of the seeds."""

    def show(row: Mapping[str, Any]) -> str:
        least = rows[f"{row['case']}, lowest seed"]["value"]
        return f"{row['value']:+.1f} ({row['low']:+.1f}; {least:+.1f})"

    return show
