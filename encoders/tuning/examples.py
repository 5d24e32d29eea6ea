"""What fine-tuning learns from: texts, and how good each item is for a query by clicks or by ratings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.pairs import PairCounts

__all__ = ["Examples"]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Pairs of `Q` queries and `I` items with counts and gains."""

    queries: tuple[str, ...]
    items: tuple[str, ...]
    pairs: PairCounts  # P pairs, ordered by query, then item
    gain: NDArray[np.float64]  # (P,) how good the item is for the query, from 0
    teacher: NDArray[np.float64] | None = None  # (P,) scores of a teacher, to be distilled

    @classmethod
    def from_counts(cls, queries: Sequence[str], items: Sequence[str], pairs: PairCounts) -> Examples:
        """From a log's counts: the gain is the debiased click rate of clicked pairs."""
        gain = pairs.click_rate() * (pairs.clicks > 0)
        return cls(queries=tuple(queries), items=tuple(items), pairs=pairs, gain=gain)

    @classmethod
    def from_ratings(
        cls,
        queries: Sequence[str],
        items: Sequence[str],
        query: NDArray[Any],
        item: NDArray[Any],
        rating: NDArray[Any],
        *,
        highest: float | None = None,
    ) -> Examples:
        """From people's ratings, 0 for irrelevant: each counts as one impression, clicked by rating / highest.

        Args:
            queries: `Q` texts.
            items: `I` texts.
            query: (P,) rows of `queries`.
            item: (P,) rows of `items`.
            rating: (P,) from 0.
            highest: The best rating there is; the largest of these by default. The gain is (2^r - 1) over that of the
                highest.
        """
        order = np.lexsort((item, query))
        grade = np.asarray(rating, np.float64)[order]
        if grade.size and not (np.isfinite(grade).all() and grade.min() >= 0.0):
            raise InputError("ratings must be numbers from 0", where="Examples.from_ratings(rating=...)")
        top = float(grade.max(initial=0.0)) if highest is None else float(highest)
        share = grade / max(top, 1e-12)
        pairs = PairCounts(
            query=np.asarray(query)[order].astype(np.int32),
            item=np.asarray(item)[order].astype(np.int32),
            impressions=np.ones(grade.size),
            exposure=np.ones(grade.size),
            clicks=share,
            purchases=np.zeros(grade.size),
        )
        gain = (2.0**grade - 1.0) / (2.0 ** max(top, 1e-12) - 1.0)
        return cls(queries=tuple(queries), items=tuple(items), pairs=pairs, gain=gain)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Examples:
        """The pairs at `rows`; texts stay as they are."""
        teacher = None if self.teacher is None else self.teacher[rows]
        return replace(self, pairs=self.pairs.take(rows), gain=self.gain[rows], teacher=teacher)

    def check(self) -> None:
        """Raise where there is nothing to learn from.

        Raises:
            InputError: No pairs, or labels of one class only.
        """
        where = "the training examples"
        if self.pairs.n_pairs == 0:
            raise InputError("there are no (query, item) pairs", where=where)
        if self.pairs.clicks.sum() <= 0.0:
            raise InputError(
                f"all {self.pairs.n_pairs} pairs are negatives: nothing was clicked (or every rating is 0)",
                where=where,
                mend="give a log with clicks, or ratings above 0",
            )
        if self.pairs.misses.sum() <= 0.0:
            raise InputError(
                f"all {self.pairs.n_pairs} pairs are positives: everything shown was clicked (or has the best rating)",
                where=where,
                mend="give impressions without clicks too, or lower ratings; clicks alone do not tell good from bad",
            )
