"""Ranking metrics of shown slates: pure functions of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError

__all__ = ["dcg", "ideal_dcg", "ndcg"]


def dcg(gain: NDArray[np.floating]) -> NDArray[np.float64]:
    """Discounted cumulative gain `sum_k gain_k / log2(k + 2)` over the last axis (k from 0).

    The gain is the relevance itself, not `2^relevance - 1` (Järvelin and Kekäläinen, TOIS 2002).
    """
    discount = 1.0 / np.log2(np.arange(gain.shape[-1]) + 2.0)
    return np.asarray((gain.astype(np.float64) * discount).sum(axis=-1), np.float64)


def ideal_dcg(relevance: NDArray[np.floating], depth: int) -> NDArray[np.float64]:
    """The DCG at `depth` of the best slate out of the whole catalogue.

    Args:
        relevance: (Q, I) true relevance, not negative.
        depth: Positions that count.

    Returns:
        (Q,) one ideal per query.

    Raises:
        InputError: A relevance is missing or negative.
    """
    if not np.isfinite(relevance).all() or (relevance < 0).any():
        raise InputError(
            "true relevance holds missing or negative values",
            where="NDCG",
            mend="Pass a finite relevance of at least 0 for each query and item.",
        )
    depth = min(depth, relevance.shape[1])
    best = -np.sort(-np.partition(relevance, relevance.shape[1] - depth, axis=1)[:, -depth:], axis=1)
    return dcg(best)


def ndcg(
    relevance: NDArray[np.floating],
    ideal: NDArray[np.float64],
    query: NDArray[np.integer],
    slates: NDArray[np.integer],
    *,
    depth: int = 10,
) -> NDArray[np.float64]:
    """NDCG of slates against true relevance.

    Args:
        relevance: (Q, I) true relevance.
        ideal: (Q,) of `ideal_dcg` at the same depth (or the slate's length where that is less).
        query: (B,) query rows.
        slates: (B, K) catalogue rows, -1 empty.
        depth: Positions that count.

    Returns:
        (B,); nan where nothing in the catalogue is relevant to the query.
    """
    shown = slates[:, :depth]
    gain = np.where(shown >= 0, relevance[query[:, None], shown], 0.0)
    best = ideal[query]
    quality = np.full(query.shape[0], np.nan)
    np.divide(dcg(gain), best, out=quality, where=best > 0)
    return quality
