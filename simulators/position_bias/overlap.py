"""How far features foretell the position: what is left over is all that regression EM can learn examination from.

For two neighbouring positions a logistic regression is taught, on some queries, to tell their items apart by features,
and asked on the others. The overlap is its log-loss there over that of a coin: 1 where position has nothing to do with
features, 0 where features give it away. Queries, not sessions, are set apart, and an item that stood at a position for
a query counts once: a ranker that shows a query the same page every time would else be looked up, not foretold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Overlap", "measure_overlap", "page_orderings"]

Floats = NDArray[np.float64]
_MOST_ROWS = 50_000
_FOLDS = 5
_FEWEST = 10  # items at either position to learn from
_FEWEST_QUERIES = 10


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Features beside positions."""

    with_next: Floats  # (K-1,) overlap of positions k and k+1, in [0, 1]; nan where either has too few items
    effective: (
        Floats  # (K-1,) items of queries that can be compared: overlap times the harmonic size of the two
    )
    ordered_by: tuple[str, ...]
    """Columns along which (nearly) all pages are ordered: a ranker's own score among the features."""


def measure_overlap(
    rows: NDArray[np.float32],
    position: NDArray[np.int64],
    page: NDArray[np.int64],
    query: NDArray[np.int64],
    item: NDArray[np.int64],
    *,
    n_positions: int,
    names: tuple[str, ...],
    seed: int = 0,
) -> Overlap:
    """Overlap of neighbouring positions.

    Args:
        rows: (n, P) features.
        position: (n,) 0-based.
        page: (n,) row of the log.
        query: (n,) of the page.
        item: (n,).
        n_positions: K.
        names: Of the P columns.
        seed: Of the folds.
    """
    # The last impression of each query and item at each position, of the latest ones.
    late = slice(max(len(rows) - _MOST_ROWS, 0), None)
    key = np.stack([query[late], item[late], position[late]], axis=1)[::-1]
    _, first = np.unique(key, axis=0, return_index=True)
    kept = len(rows) - 1 - first
    group = query[kept] if len(np.unique(query[kept])) >= _FEWEST_QUERIES else page[kept]
    _, dense = np.unique(group, return_inverse=True)
    fold = np.random.default_rng([seed, 0x0F01]).permutation(int(dense.max(initial=0)) + 1)[dense] % _FOLDS
    x, at = rows[kept], position[kept]
    scale = np.maximum(x.std(axis=0), 1e-6)
    x = (x - x.mean(axis=0)) / scale
    shown = np.bincount(at, minlength=n_positions)
    overlap = np.array([_overlap_of(x, at, fold, k) for k in range(n_positions - 1)], np.float64)
    both = 2.0 * shown[1:] * shown[:-1] / np.maximum(shown[1:] + shown[:-1], 1)
    return Overlap(
        with_next=overlap,
        effective=np.nan_to_num(overlap) * both,
        ordered_by=page_orderings(rows, position, page, names),
    )


def _overlap_of(
    x: NDArray[np.float32], position: NDArray[np.int64], fold: NDArray[np.int64], k: int
) -> float:
    from sklearn.linear_model import LogisticRegression

    use = (position == k) | (position == k + 1)
    x, y, part = x[use], position[use] - k, fold[use]
    bits = np.zeros(len(y))
    for f in range(_FOLDS):
        taught, asked = part != f, part == f
        if min(np.bincount(y[taught], minlength=2)) < _FEWEST or not asked.any():
            return float("nan")
        log_chance = (
            LogisticRegression(C=1.0, max_iter=500).fit(x[taught], y[taught]).predict_log_proba(x[asked])
        )
        bits[asked] = -log_chance[np.arange(len(log_chance)), y[asked]] / np.log(2.0)
    return float(np.clip(bits.mean(), 0.0, 1.0))


def page_orderings(
    rows: NDArray[np.float32], position: NDArray[np.int64], page: NDArray[np.int64], names: tuple[str, ...]
) -> tuple[str, ...]:
    """Columns that rise, or fall, from each item to the next on 99 % of the pages' neighbours or more.

    Args:
        rows: (n, P), in page order.
        position: (n,).
        page: (n,).
        names: P names.
    """
    next_to = (page[1:] == page[:-1]) & (position[1:] == position[:-1] + 1)
    if int(next_to.sum()) < 20:
        return ()
    step = rows[1:][next_to] - rows[:-1][next_to]
    one_way = np.maximum((step > 0).mean(axis=0), (step < 0).mean(axis=0))
    return tuple(name for name, share in zip(names, one_way, strict=True) if share >= 0.99)
