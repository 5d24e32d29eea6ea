"""The comparison that comes with every fine-tuning, on the queries that it held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.features import RelevanceTables
from encoders.measures.comparison import Comparison, compare_tables, traffic_groups
from encoders.measures.ranking import HAS_LIBRARY
from encoders.pairs import PairCounts

__all__ = ["compare_held_out", "main_rows"]

MAIN = (
    "click AUC",
    "purchase AUC (given a click)",
    "click log-loss",
    "click calibration error (ECE)",
    "NDCG@10 by clicks",
    "MRR by clicks",
    "MAP by clicks",
    "NDCG@10 by true relevance",
    "MAP by true relevance",
    "precision@10 by true relevance",
    "recall@100 of the candidate source by clicks",
    "recall@100 of the candidate source by true relevance",
)
"""What a report shows; the rest is in its JSON."""


def compare_held_out(
    before: RelevanceTables,
    after: RelevanceTables,
    held_out: PairCounts,
    log: PairCounts,
    learned: PairCounts,
    queries: Sequence[str],
    *,
    truth: NDArray[np.float32] | None = None,
) -> Comparison | None:
    """`compare_tables` by head, torso and tail of the traffic and for new items.

    None where there is nothing held out, or where the library ir-measures is not installed: fine-tuning does without.

    Args:
        before: The model to compare with.
        after: The model.
        held_out: Pairs that neither was trained on.
        log: All pairs of the training part of the log, for the traffic.
        learned: Those that were learned from: other items are new.
        queries: Texts (Q); those without one are in no group.
        truth: True relevance (Q, I).
    """
    if not HAS_LIBRARY or not held_out.n_pairs:
        return None
    traffic = np.bincount(log.query, weights=log.impressions, minlength=len(queries)).astype(np.float64)
    traffic[[not text.strip() for text in queries]] = 0.0
    shown = np.bincount(learned.item, weights=learned.impressions, minlength=len(after.item))
    return compare_tables(
        before,
        after,
        held_out,
        truth=truth,
        group_of=traffic_groups(traffic),
        new_items=shown == 0.0,
    )


def main_rows(found: Comparison) -> list[tuple[str, float, float, str]]:
    """(measure, before, after, the difference with its interval) of the main measures."""
    rows = []
    for name in MAIN:
        row = found.row(name)
        if row is not None:
            rows.append((name, row.before.value, row.after.value, row.difference.told()))
    return rows
