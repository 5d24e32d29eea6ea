"""The final table: one row per policy, on the console, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from behavior.files import atomic_path
from evaluation.formatting import count, percent, plus_minus, share
from evaluation.intervals import Interval
from evaluation.off_policy import OffPolicyResult
from evaluation.outcomes import OnlineResult

__all__ = ["FinalTable", "TableRow", "build_table"]

_WIDTH = 120


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One policy."""

    policy: str
    """Its name."""
    kind: str
    """'baseline', 'behaviour' (it made the log), 'trained' or 'oracle'."""
    n_users: int
    """Users it served."""
    score: Interval
    """Score per session in the world of judgement."""
    clicks: Interval
    """Clicks per session."""
    purchases: Interval
    """Purchases per session."""
    share_of_gap: Interval | None
    """Share of the way from random to the planning oracle; None where one of the two is missing."""
    ndcg: float
    """NDCG@10 against true relevance; nan where that is unknown."""
    coverage: float
    """Distinct items shown over items of the catalogue."""
    fitted_score: Interval | None
    """Score per session in the fitted simulator; None where not evaluated, or where that is the world of judgement."""
    off_policy: OffPolicyResult | None
    """Judged from the log; None (blank) for oracles."""

    @property
    def off_policy_text(self) -> str:
        """`0.512 ±0.021`, 'no support', or nothing."""
        found = self.off_policy
        if found is None or found.status == "not applicable":
            return ""
        if found.status == "no support":
            return "no support"
        return plus_minus(found.interval)


@dataclass(frozen=True, kw_only=True)
class FinalTable:
    """All policies."""

    rows: tuple[TableRow, ...]
    """In the order of the evaluation."""
    world: str
    """Where the scores were earned, such as 'the true store' or 'the fitted simulator'."""
    level: float
    """Confidence level of the intervals."""
    purchase_weight: float
    """The score is clicks + purchase_weight x purchases."""
    trained_in: str = "the fitted simulator"
    """The simulator that policies were trained in, in words."""

    @property
    def estimator(self) -> str:
        """Name of the off-policy estimator, empty where none was used."""
        return next((row.off_policy.estimator for row in self.rows if row.off_policy), "")

    @property
    def per(self) -> str:
        """What an off-policy value is per."""
        return "impression" if self.estimator == "SNIPS" else "slate"

    def row(self, policy: str) -> TableRow:
        """The row of `policy`."""
        return next(row for row in self.rows if row.policy == policy)

    def notes(self) -> tuple[str, ...]:
        """What a reader must know to read the table."""
        users = {row.n_users for row in self.rows}
        served = f"{max(users):,}" if len(users) == 1 else f"{max(users):,} (some: {min(users):,})"
        lines = [
            f"Score (clicks + {self.purchase_weight:g} x purchases), clicks and purchases per session in {self.world}, "
            f"on the same {served} held-out users; ± is half a {self.level:.0%} interval."
        ]
        if any(row.fitted_score for row in self.rows):
            lines.append(f"Score in simulator: the same in {self.trained_in}, that policies were trained in.")
        if self.estimator:
            lines.append(
                f"{self.estimator}: self-normalised {'' if self.per == 'impression' else 'item-position '}inverse "
                f"propensity score per logged {self.per} on held-out logged states; ESS: effective sample size in "
                f"{self.per}s; 'no support': the log cannot say; blank: the policy states no propensities."
            )
        return tuple(lines)

    def render(self, console: Console | None = None) -> None:
        """Prints the table; fits 120 columns, and a narrower terminal loses no figure."""
        console = console or Console()
        before = console.width
        try:
            console.width = max(before, _WIDTH)  # rich would cut figures to fit; a terminal merely wraps
            console.print(self.rich(), crop=False)
        finally:
            console.width = before
        for note in self.notes():
            console.print(Text(note, style="dim"))

    def rich(self) -> Table:
        """The table as rich wants it."""
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
        table.add_column("policy", no_wrap=True)
        columns = self._columns()
        for heading, _ in columns:
            table.add_column(heading, justify="right", no_wrap=True)
        for i, row in enumerate(self.rows):
            style = {"trained": "bold green", "oracle": "dim"}.get(row.kind, "")
            table.add_row(row.policy, *(cells[i] for _, cells in columns), style=style)
        return table

    def _columns(self) -> list[tuple[str, list[str]]]:
        """Headings and cells of the console table; a column without any figure is left out."""
        rows = self.rows
        columns = [
            ("score", [plus_minus(row.score) for row in rows]),
            ("clicks", [plus_minus(row.clicks) for row in rows]),
            ("purchases", [plus_minus(row.purchases) for row in rows]),
            ("share of gap", [share(row.share_of_gap) for row in rows]),
            ("NDCG\n@10", ["" if math.isnan(row.ndcg) else f"{row.ndcg:.3f}" for row in rows]),
            ("cover-\nage", [percent(row.coverage) for row in rows]),
            ("score in\nsimulator", [plus_minus(row.fitted_score) for row in rows]),
            (f"{self.estimator}\nper {self.per}", [row.off_policy_text for row in rows]),
            ("ESS", [count(row.off_policy.ess) if row.off_policy else "" for row in rows]),
        ]
        return [(heading, cells) for heading, cells in columns if any(cells)]

    def records(self) -> list[dict[str, Any]]:
        """One flat dict per row; None where there is no figure."""
        return [_record(row) for row in self.rows]

    def to_csv(self) -> str:
        """The records as CSV."""
        records = self.records()
        out = io.StringIO()
        writer = csv.DictWriter(out, fieldnames=list(records[0]) if records else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return out.getvalue()

    def to_json(self) -> str:
        """The records as JSON, with what they were measured in."""
        return json.dumps(
            {
                "world": self.world,
                "level": self.level,
                "purchase_weight": self.purchase_weight,
                "rows": self.records(),
            },
            indent=2,
            allow_nan=False,
        )

    def write(self, folder: Path, stem: str = "table") -> tuple[Path, Path]:
        """Writes `<stem>.csv` and `<stem>.json` into `folder`, each at once or not at all."""
        paths = folder / f"{stem}.csv", folder / f"{stem}.json"
        for path, text in zip(paths, (self.to_csv(), self.to_json()), strict=True):
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return paths


def build_table(
    online: OnlineResult,
    *,
    world: str,
    fitted: OnlineResult | None = None,
    off_policy: Mapping[str, OffPolicyResult] | None = None,
    trained: str | None = None,
    trained_in: str = "the fitted simulator",
    behaviour: str | None = "behavior",
    oracles: Collection[str] = ("myopic", "planning"),
    low: str = "random",
    high: str = "planning",
    level: float = 0.95,
) -> FinalTable:
    """Puts the final table together.

    Args:
        online: The evaluation in the world of judgement: the true store where it exists, else the fitted simulator.
        world: Name of that world.
        fitted: The evaluation in the fitted simulator, where that is another world.
        off_policy: Off-policy results by policy name; oracles need none.
        trained: Name of the trained policy.
        trained_in: Name of the simulator that it was trained in.
        behaviour: Name of the logging policy.
        oracles: Names of the policies that see hidden state.
        low: Policy at 0 % of the gap.
        high: Policy at 100 % of the gap.
        level: Confidence level.
    """
    has_gap = low in online.outcomes and high in online.outcomes
    rows = []
    for name, outcome in online.outcomes.items():
        kind = (
            "trained"
            if trained is not None and name.split(",")[0] == trained  # "ppo, sampled" is "ppo" as it explores
            else "oracle"
            if name in oracles
            else "behaviour"
            if name == behaviour
            else "baseline"
        )
        rows.append(
            TableRow(
                policy=name,
                kind=kind,
                n_users=outcome.n_users,
                score=outcome.interval("score", level=level),
                clicks=outcome.interval("clicks", level=level),
                purchases=outcome.interval("purchases", level=level),
                share_of_gap=online.share_of_gap(name, low=low, high=high, level=level) if has_gap else None,
                ndcg=outcome.interval("ndcg", level=level).value,
                coverage=outcome.coverage,
                fitted_score=(
                    fitted[name].interval("score", level=level)
                    if fitted is not None and name in fitted.outcomes
                    else None
                ),
                off_policy=(off_policy or {}).get(name) if kind != "oracle" else None,
            )
        )
    return FinalTable(
        rows=tuple(rows),
        world=world,
        level=level,
        purchase_weight=online.purchase_weight,
        trained_in=trained_in,
    )


def _record(row: TableRow) -> dict[str, Any]:
    found = row.off_policy
    record: dict[str, Any] = {"policy": row.policy, "kind": row.kind, "n_users": row.n_users}
    for name, interval in (
        ("score", row.score),
        ("clicks", row.clicks),
        ("purchases", row.purchases),
        ("share_of_gap", row.share_of_gap),
        ("fitted_score", row.fitted_score),
        ("off_policy", found.interval if found else None),
        ("off_policy_lift", found.lift if found else None),
    ):
        for suffix in ("value", "low", "high"):
            key = name if suffix == "value" else f"{name}_{suffix}"
            record[key] = _finite(getattr(interval, suffix)) if interval is not None else None
    record["ndcg"] = _finite(row.ndcg)
    record["coverage"] = _finite(row.coverage)
    record["off_policy_estimator"] = found.estimator if found else None
    record["off_policy_status"] = found.status if found else None
    record["off_policy_reason"] = found.reason if found else None
    record["off_policy_ess"] = _finite(found.ess) if found else None
    return record


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
