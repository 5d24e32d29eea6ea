"""One relevance model beside another on the same pairs, in the few figures that a command prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.features import RelevanceTables
from encoders.measures.comparison import compare_tables
from encoders.measures.ranking import HAS_LIBRARY
from encoders.pairs import PairCounts
from encoders.report import judge_tables, named_rows

__all__ = ["Beside", "beside"]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A model's measures, and what it gains over another's."""

    name: str
    """Of the model, or of what it was measured on."""
    before: dict[str, float]
    """The other model's measures, by name; those that could be taken."""
    after: dict[str, float]
    """The model's."""
    gains: dict[str, tuple[float, float, float]]
    """After less before by measure, and both ends of its 95 % bootstrap interval over queries. Empty without the
    library ir-measures."""
    n_pairs: int
    """Pairs measured on."""
    n_queries: int
    """Their queries."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(measure, before, after, gain with its interval) as text, one for each measure of both."""
        return [
            (measure, f"{value:.3f}", f"{self.after[measure]:.3f}", _interval(self.gains.get(measure)))
            for measure, value in self.before.items()
            if measure in self.after
        ]


def _interval(gain: tuple[float, float, float] | None) -> str:
    return "" if gain is None else f"{gain[0]:+.3f} [{gain[1]:+.3f}, {gain[2]:+.3f}]"


def beside(
    name: str,
    before: RelevanceTables,
    after: RelevanceTables,
    pairs: PairCounts,
    truth: NDArray[np.float32] | None = None,
) -> Beside:
    """Measure `after` beside `before`.

    Args:
        name: See `Beside`.
        before: The other model.
        after: The model.
        pairs: Pairs (P) that neither was trained on, of queries with a text, none twice.
        truth: True relevance (Q, I), where it is known.
    """
    gains = {}
    one, other = (dict(named_rows(judge_tables(tables, pairs, truth=truth))) for tables in (before, after))
    if HAS_LIBRARY and pairs.n_pairs:
        found = compare_tables(before, after, pairs, truth=truth)
        for measure in one:
            row = found.row(measure)
            if row is not None:
                difference = row.difference
                gains[measure] = (difference.value, difference.low, difference.high)
    return Beside(
        name=name,
        before=one,
        after=other,
        gains=gains,
        n_pairs=pairs.n_pairs,
        n_queries=len(np.unique(pairs.query)),
    )
