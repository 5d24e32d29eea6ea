"""Kernel of `agents.item_columns`: what a session says of each candidate, as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.twins import Twin

__all__ = ["N_COLUMNS", "columns", "linear", "spread"]

N_COLUMNS = 16
"""Columns that `columns` writes; their names stand in `agents.item_columns`."""


@njit(cache=True)
def _mean_vector(items: Any, weight: Any, vectors: Any, out: Any) -> None:
    """Weighted mean vector of `items` (M,), -1 left out; zeros where nothing weighs."""
    out[:] = 0.0
    total = 0.0
    for m in range(items.shape[0]):
        if items[m] >= 0 and weight[m] > 0.0:
            total += weight[m]
            for d in range(out.shape[0]):
                out[d] += weight[m] * vectors[items[m], d]
    if total > 0.0:
        for d in range(out.shape[0]):
            out[d] /= total


@njit(cache=True)
def _tally(category: Any, asked: Any, items: Any, weight: Any) -> float:
    """Summed weight of the `items` (M,) of category `asked`."""
    total = 0.0
    for m in range(items.shape[0]):
        if items[m] >= 0 and category[items[m]] == asked:
            total += weight[m]
    return total


@njit(cache=True)
def _row(
    query: Any,
    items: Any,
    score: Any,
    seen: Any,
    clicked: Any,
    slate: Any,
    click: Any,
    recent: Any,
    fading: Any,
    tables: Any,
    out: Any,
) -> None:
    vectors, queries, category, popularity, relevance_item, purchase_query, purchase_bias = tables
    D, H, K = vectors.shape[1], clicked.shape[0], slate.shape[0]
    ones, skip = np.ones(H), np.zeros(K)
    for k in range(K):
        skip[k] = 1.0 - click[k] if slate[k] >= 0 else 0.0
    tastes = np.zeros((4, D))
    _mean_vector(clicked, ones, vectors, tastes[0])
    _mean_vector(slate, click, vectors, tastes[1])
    _mean_vector(slate, skip, vectors, tastes[2])
    _mean_vector(recent, fading, vectors, tastes[3])
    for n in range(items.shape[0]):
        i = items[n]
        if i < 0:
            out[n, :] = 0.0
            continue
        p = min(max(score[n], 1e-4), 1.0 - 1e-4)
        out[n, 0] = np.log(p / (1.0 - p))
        out[n, 1] = popularity[i]
        buy = purchase_bias
        fit = 0.0
        if query >= 0:
            for r in range(relevance_item.shape[1]):
                buy += relevance_item[i, r] * purchase_query[query, r]
            for d in range(D):
                fit += vectors[i, d] * queries[query, d]
        out[n, 2] = min(max(buy, -6.0), 6.0)
        out[n, 3] = np.log1p(seen[n])
        out[n, 4] = 1.0 if seen[n] > 0.0 else 0.0
        out[n, 5] = fit
        for t in range(4):
            like = 0.0
            for d in range(D):
                like += vectors[i, d] * tastes[t, d]
            out[n, 6 + t] = like
        own = category[i]
        out[n, 10] = _tally(category, own, clicked, ones) / 4.0
        out[n, 11] = _tally(category, own, slate, click) / 2.0
        out[n, 12] = _tally(category, own, slate, skip) / K
        out[n, 13] = _tally(category, own, recent, fading) / K
        alike = 0.0
        for m in range(items.shape[0]):
            if seen[m] > 0.0 and items[m] >= 0 and category[items[m]] == own:
                alike += seen[m]
        out[n, 14] = np.log1p(alike) / 2.0
        before = 0.0
        for h in range(H):
            if clicked[h] == i:
                before = 1.0
        out[n, 15] = before


@Twin
def columns(
    query: Any,
    items: Any,
    score: Any,
    seen: Any,
    clicked: Any,
    slate: Any,
    click: Any,
    recent: Any,
    fading: Any,
    tables: Any,
    out: Any,
) -> None:
    """Write the columns (B, N, 16) of every candidate; zeros at padding."""
    for b in prange(items.shape[0]):
        _row(
            query[b],
            items[b],
            score[b],
            seen[b],
            clicked[b],
            slate[b],
            click[b],
            recent[b],
            fading,
            tables,
            out[b],
        )


@Twin
def linear(x: Any, weights: Any, out: Any) -> None:
    """Write `x . w_b` (B, N) for `x` (B, N, C) and a user's own weights (B, C): the same bits in any batch."""
    for b in prange(x.shape[0]):
        for n in range(x.shape[1]):
            total = 0.0
            for c in range(x.shape[2]):
                total += x[b, n, c] * weights[b, c]
            out[b, n] = total


@Twin
def spread(x: Any, root: Any, out: Any) -> None:
    """Write `|R x|` (B, N) for `x` (B, N, C) and a lower triangular `R` (C, C)."""
    for b in prange(x.shape[0]):
        for n in range(x.shape[1]):
            total = 0.0
            for i in range(root.shape[0]):
                part = 0.0
                for j in range(i + 1):
                    part += root[i, j] * x[b, n, j]
                total += part * part
            out[b, n] = np.sqrt(total)
