"""What a fit knows and how well: one held-out score for each part."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from simulators.fitting.scores import log_loss

__all__ = ["FitReport", "PartScore", "coin_score", "plain"]


@dataclass(frozen=True, kw_only=True)
class PartScore:
    """One part, judged on sessions it was not fitted to; nan where the held-out part holds no such event."""

    part: str
    """Which part: clicks, purchases, leaving, next query."""
    metric: str
    """What was measured."""
    value: float
    """Of the fitted part."""
    baseline: float
    """Of the baseline."""
    baseline_name: str
    """What it is compared with."""
    n: int
    """Held-out observations."""
    higher_is_better: bool = False
    """Direction of the metric."""

    @property
    def beats_baseline(self) -> bool:
        """Whether the part is better than its baseline."""
        return self.value > self.baseline if self.higher_is_better else self.value < self.baseline


def coin_score(
    part: str,
    metric: str,
    outcome: NDArray[np.uint8],
    logits: NDArray[np.float64],
    rate: float,
    baseline_name: str,
) -> PartScore:
    """The log-loss of outcomes (n,) given their logits (n,), against that of one `rate` for all."""
    return PartScore(
        part=part,
        metric=metric,
        value=log_loss(1.0 / (1.0 + np.exp(-logits)), outcome),
        baseline=log_loss(np.full(len(outcome), rate), outcome),
        baseline_name=baseline_name,
        n=len(outcome),
    )


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """The fit in figures."""

    name: str
    """The click model."""
    n_sessions: int
    """Training sessions."""
    n_steps: int
    """Training pages."""
    n_clicks: int
    """Training clicks."""
    n_purchases: int
    """Training purchases."""
    seconds: float
    """Time the fit took."""
    strengths: dict[str, float]
    """Strength of the prior chosen for each part; for "queries' vectors" how many times tighter theirs is."""
    scores: tuple[PartScore, ...]
    """Held-out scores."""
    perplexity: tuple[float, ...]
    """Held-out perplexity of clicks by position."""
    baseline_perplexity: tuple[float, ...]
    """Of the constant rate by position."""
    notes: tuple[str, ...]
    """What the user should know before trusting the simulator."""

    def to_json(self) -> dict[str, Any]:
        """Plain data; nan becomes None."""
        return {key: plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FitReport:
        """The inverse of `to_json`."""

        def number(value: float | None) -> float:
            return math.nan if value is None else value

        scores = tuple(
            PartScore(**{**s, "value": number(s["value"]), "baseline": number(s["baseline"])})
            for s in data["scores"]
        )
        return cls(
            **{
                **data,
                "scores": scores,
                "notes": tuple(data["notes"]),
                "perplexity": tuple(number(p) for p in data["perplexity"]),
                "baseline_perplexity": tuple(number(p) for p in data["baseline_perplexity"]),
            }
        )

    def table(self) -> Table:
        """The scores for the terminal."""
        table = Table(
            title=f"{self.name}: fitted to {self.n_sessions:,} sessions, {self.n_clicks:,} clicks",
            title_justify="left",
        )
        for column in ("part", "held-out metric", "fitted", "baseline", "baseline is", "n"):
            table.add_column(column, justify="right" if column in ("fitted", "baseline", "n") else "left")
        for s in self.scores:
            table.add_row(s.part, s.metric, _show(s.value), _show(s.baseline), s.baseline_name, f"{s.n:,}")
        return table


def _show(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def plain(value: Any) -> Any:
    """`value` with lists for tuples and None for nan, all the way down: what JSON can hold."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
