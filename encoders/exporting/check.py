"""An exported encoder against the original: what its scores and rankings lose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.features import RelevanceTables
from encoders.pairs import PairCounts
from encoders.report import judge_tables

__all__ = ["ExportCheck", "check_export"]


@dataclass(frozen=True, kw_only=True)
class ExportCheck:
    """Differences between the tables of two models on the same catalogue and queries."""

    largest_score_difference: float
    """Of the click probability, over all (query, item) pairs."""
    mean_score_difference: float
    """Mean of the absolute difference."""
    top_ten_shared: float
    """Mean share of a query's first ten items that both models put there."""
    ndcg_before: float
    """NDCG@10 of the original: by true relevance where it is known, else by debiased clicks; nan without either."""
    ndcg_after: float
    """The same of the exported model."""

    @property
    def ndcg_loss(self) -> float:
        """What the export costs; negative where it gains."""
        return self.ndcg_before - self.ndcg_after

    def rows(self) -> list[tuple[str, float]]:
        """(name, value) of every figure that could be taken."""
        found = [
            ("largest score difference", self.largest_score_difference),
            ("mean score difference", self.mean_score_difference),
            ("top ten shared", self.top_ten_shared),
            ("NDCG@10, original", self.ndcg_before),
            ("NDCG@10, exported", self.ndcg_after),
            ("NDCG loss", self.ndcg_loss),
        ]
        return [(name, value) for name, value in found if not math.isnan(value)]


def check_export(
    original: RelevanceTables,
    exported: RelevanceTables,
    pairs: PairCounts,
    *,
    truth: NDArray[np.float32] | None = None,
) -> ExportCheck:
    """Compare the tables of a model before and after its encoder was exported.

    Args:
        original: Tables (I items, Q queries) of the original.
        exported: Tables of the same catalogue and queries.
        pairs: What was shown and clicked, for NDCG by clicks.
        truth: True relevance (Q, I), for NDCG by truth.
    """
    queries = np.flatnonzero(np.any(original.click_query != 0.0, axis=1))
    largest, total, shared = 0.0, 0.0, []
    for start in range(0, len(queries), 64):
        rows = queries[start : start + 64]
        one, other = (_scores(tables, rows) for tables in (original, exported))
        gap = np.abs(one - other)
        largest, total = max(largest, float(gap.max(initial=0.0))), total + float(gap.sum(dtype=np.float64))
        first, second = (np.argsort(-scores, axis=1, kind="stable")[:, :10] for scores in (one, other))
        shared += [float(np.isin(a, b).mean()) for a, b in zip(first, second, strict=True)]
    before, after = (judge_tables(tables, pairs, truth=truth) for tables in (original, exported))
    return ExportCheck(
        largest_score_difference=largest,
        mean_score_difference=total / max(len(queries) * len(original.item), 1),
        top_ten_shared=float(np.mean(shared)) if shared else math.nan,
        ndcg_before=before.ndcg if math.isnan(before.true_ndcg) else before.true_ndcg,
        ndcg_after=after.ndcg if math.isnan(after.true_ndcg) else after.true_ndcg,
    )


def _scores(tables: RelevanceTables, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    logit = tables.click_query[rows] @ tables.item.T + np.float32(tables.click_bias)
    probability: NDArray[np.float32] = 1.0 / (1.0 + np.exp(-logit))
    return probability
