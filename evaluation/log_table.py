"""The one table of a judgement by a log: policies, estimators, simulators, truth; on the console, as JSON, as CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from behavior.files import atomic_path
from evaluation.estimators.registry import entry_of
from evaluation.formatting import a, count, number, percent, plus_minus
from evaluation.intervals import Interval
from evaluation.log_judgement import Figure, LogJudgement

if TYPE_CHECKING:
    from evaluation.disagreement import Disagreement
    from evaluation.log_verdict import LogVerdict

__all__ = [
    "judgement_columns",
    "judgement_notes",
    "judgement_records",
    "judgement_table",
    "judgement_to_json",
    "print_judgement",
    "write_judgement",
]

_WIDEST = 10_000
_NORMALISED = {"pdis": "wpdis"}
"""Self-normalised forms that are not called `sn...`."""
_FILES = ("off_policy.json", "off_policy.csv")


def judgement_table(found: LogJudgement) -> Table:
    """Policies in the order of the ranking; `?` marks a doubtful figure, brackets one without support."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("policy", no_wrap=True)
    columns = list(judgement_columns(found))
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    believed = found.believed()
    for name in found.ranking():
        place = str(believed.index(name) + 1) if name in believed else "-"
        style = "" if name in believed else "dim"
        table.add_row(place, name, *(cells[name] for _, cells in columns), style=style)
    return table


def judgement_notes(found: LogJudgement) -> tuple[str, ...]:
    """How to read the table."""
    lines = [
        f"From the log: clicks + {found.purchase_weight:g} x purchases {a(found.per)}, on {found.n_pages:,} logged "
        f"{found.per}s of {found.n_users:,} users; ± is half a {found.level:.0%} interval over users; gain: against "
        f"the policy that made the log ({plus_minus(found.logged)}), on the same {found.per}s. `?`: doubtful; in "
        "brackets: no support; neither is ranked. ESS: effective number of users; outside: share of the policy's "
        "choices that the log seems never to show (1 less the least mean weight)."
    ]
    if found.simulated or found.truth is not None:
        lines.append("Simulators and the true store: score per session, of users who never were in the log.")
    return tuple(lines)


def print_judgement(found: LogJudgement, verdict: LogVerdict, console: Console | None = None) -> None:
    """The table, its notes, the verdict, and the warnings in red."""
    console = console or Console()
    before, table = console.width, judgement_table(found)
    try:
        # Rich would cut figures to fit; a narrower terminal merely wraps. First as wide as any table, to be measured.
        console.width = _WIDEST
        console.width = max(before, table.__rich_measure__(console, console.options).maximum)
        console.print(table, crop=False)
    finally:
        console.width = before
    for note in (*judgement_notes(found), *found.remarks):
        console.print(Text(note, style="dim"))
    console.print()
    console.print(Text(verdict.headline, style="bold"))
    for line in verdict.lines:
        console.print(Text(f"- {line}"))
    for warning in verdict.warnings:
        console.print(Text(f"WARNING  {warning}", style="bold red"))


def judgement_records(found: LogJudgement) -> list[dict[str, Any]]:
    """One flat record for each policy and estimator, best first; None where there is no number."""
    believed, rows = found.believed(), []
    for name in found.ranking():
        one = found[name]
        for figure in one.figures.values():
            rows.append(
                {
                    "policy": name,
                    "source": one.source,
                    "estimator": figure.estimator,
                    "ranked_by": figure.estimator == found.chosen,
                    "rank": believed.index(name) + 1
                    if figure.estimator == found.chosen and name in believed
                    else None,
                    **_figure_record(figure),
                }
            )
    return rows


def judgement_to_json(found: LogJudgement, verdict: LogVerdict) -> dict[str, Any]:
    """Everything as plain data."""
    return {
        "per": found.per,
        "purchase_weight": found.purchase_weight,
        "level": found.level,
        "n_pages": found.n_pages,
        "n_users": found.n_users,
        "chosen": found.chosen,
        "why_chosen": found.why_chosen,
        "logged": _interval(found.logged),
        "ranking": list(found.ranking()),
        "believed": list(found.believed()),
        "verdict": verdict.to_json(),
        "figures": judgement_records(found),
        "assumes": {
            name: entry_of(name).assumes for name in _estimators(found) if ":" not in name and _known(name)
        },
        "simulated": {
            simulator: {
                name: _interval(outcome.interval("score")) for name, outcome in result.outcomes.items()
            }
            for simulator, result in found.simulated.items()
        },
        "spread": {
            simulator: {name: _interval(interval) for name, interval in values.items()}
            for simulator, values in found.spread.items()
        },
        "truth": None
        if found.truth is None
        else {name: _interval(outcome.interval("score")) for name, outcome in found.truth.outcomes.items()},
        "disagreement": {
            name: _disagreement(one.disagreement)
            for name, one in found.policies.items()
            if one.disagreement is not None
        },
        "notes": list(found.notes),
        "remarks": list(found.remarks),
    }


def _disagreement(test: Disagreement) -> dict[str, Any]:
    """The test of whether estimators under different assumptions on users agree, with its power."""
    return {
        "p_value": _finite(test.p_value),
        "supported": test.supported,
        "words": test.words,
        "relevant": test.relevant,
        "steps": [
            {
                "assumed": step.assumed,
                "against": step.against,
                "difference": _interval(step.difference),
                "p_value": _finite(step.p_value),
                "power": _finite(step.power),
                "detectable": _finite(step.detectable),
            }
            for step in test.steps
        ],
    }


def write_judgement(found: LogJudgement, verdict: LogVerdict, folder: Path) -> tuple[Path, ...]:
    """Writes `off_policy.json` and `off_policy.csv` into `folder`, each at once or not at all."""
    records = judgement_records(found)
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(records[0]) if records else ["policy"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    texts = (
        json.dumps(judgement_to_json(found, verdict), indent=1, allow_nan=False) + "\n",
        out.getvalue(),
    )
    paths = tuple(folder / name for name in _FILES)
    for path, text in zip(paths, texts, strict=True):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return paths


def judgement_columns(found: LogJudgement) -> Iterator[tuple[str, dict[str, str]]]:
    """Headings and cells by policy, the estimator of the ranking first; plain forms only without a normalised one."""
    every = _estimators(found)
    names = [found.chosen] if found.chosen in every else []
    names += [n for n in every if n not in names and _NORMALISED.get(n, f"sn{n}") not in every]
    for position, estimator in enumerate(names):
        cells = {name: _cell(found.figure(name, estimator)) for name in found.policies}
        per = next(
            (f.per for p in found.policies.values() for f in p.figures.values() if f.estimator == estimator),
            "",
        )
        yield f"{estimator.upper()}\n{a(per)}", cells
        if position == 0 and estimator == found.chosen:
            figures = {name: found.figure(name) for name in found.policies}
            yield "gain", {n: _gain(f) for n, f in figures.items()}
            yield (
                "ESS",
                {n: "" if f is None else count(f.diagnostics.ess_clusters) for n, f in figures.items()},
            )
            yield (
                "largest\nweight",
                {n: "" if f is None else number(f.diagnostics.max_weight, 2) for n, f in figures.items()},
            )
            yield (
                "outside",
                {n: "" if f is None else percent(f.diagnostics.outside) for n, f in figures.items()},
            )
    for simulator, result in found.simulated.items():
        spread = found.spread.get(simulator, {})
        yield (
            f"in\n{simulator}",
            {
                name: plus_minus(spread.get(name, result[name].interval("score")))
                if name in result.outcomes
                else ""
                for name in found.policies
            },
        )
    if found.truth is not None:
        yield (
            "true\nstore",
            {
                name: plus_minus(found.truth[name].interval("score")) if name in found.truth.outcomes else ""
                for name in found.policies
            },
        )


def _estimators(found: LogJudgement) -> list[str]:
    return list(dict.fromkeys(name for one in found.policies.values() for name in one.figures))


def _known(name: str) -> bool:
    from evaluation.estimators.registry import estimator_names

    return name in estimator_names()


def _cell(figure: Figure | None) -> str:
    if figure is None or math.isnan(figure.value):
        return "" if figure is None else "no support"
    if not figure.supported:
        return f"({number(figure.value)})"
    return plus_minus(figure.interval) + ("" if figure.believed else " ?")


def _gain(figure: Figure | None) -> str:
    return "" if figure is None or not figure.supported else plus_minus(figure.lift)


def _figure_record(figure: Figure) -> dict[str, Any]:
    found = figure.diagnostics
    record: dict[str, Any] = {"per": figure.per}
    for name, interval in (("value", figure.interval), ("gain", figure.lift)):
        record[name] = _finite(interval.value)
        record[f"{name}_low"], record[f"{name}_high"] = _finite(interval.low), _finite(interval.high)
    return record | {
        "trust": found.trust,
        "reason": figure.reason,
        "ess": _finite(found.ess),
        "ess_users": _finite(found.ess_clusters),
        "max_weight": _finite(found.max_weight),
        "mean_weight": _finite(found.mean_weight.value),
        "top_share": _finite(found.top_share),
        "outside_support": _finite(found.outside),
        "reward_outside_support": _finite(found.unused_reward),
    }


def _interval(interval: Interval) -> dict[str, float | None]:
    return {
        "value": _finite(interval.value),
        "low": _finite(interval.low),
        "high": _finite(interval.high),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
