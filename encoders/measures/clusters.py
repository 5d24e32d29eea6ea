"""Sums per query from which measures of pooled pairs follow for any resample of the queries.

A bootstrap over queries weighs each query by how often it was drawn. AUC, log-loss and calibration error are
functions of sums that are linear (or, for AUC, bilinear) in these weights, so the sums are made once and a thousand
resamples are matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ClusterAuc", "ClusterCalibration", "ReliabilityBin"]

_MOST_QUERIES = 2_000  # whose table of couples is kept: 32 MB; that of a large shop would not fit in memory


class ClusterAuc:
    """AUC of pooled, weighted pairs under weights of their queries.

    `wins[a, b]` is the weight of (hit of query a, miss of query b) couples in which the hit scores higher, ties half.
    Where there are too many queries for that table, the pairs are gone through in order for each resample.

    Args:
        score: (n,) of each pair.
        hits: (n,) weight of positives.
        misses: (n,) weight of negatives.
        query: (n,) number 0 .. Q-1 of each pair's query.
        n_queries: `Q`.
        table_to: The most queries for which the table is made.
    """

    def __init__(
        self,
        score: NDArray[np.float64],
        hits: NDArray[np.float64],
        misses: NDArray[np.float64],
        query: NDArray[np.int64],
        n_queries: int,
        *,
        table_to: int = _MOST_QUERIES,
    ) -> None:
        self._hits = np.bincount(query, weights=hits, minlength=n_queries)  # (Q,)
        self._misses = np.bincount(query, weights=misses, minlength=n_queries)
        self._in_order: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]] | None = None
        if n_queries > table_to:
            order = np.argsort(score, kind="stable")
            self._in_order = hits[order], misses[order], query[order]
            ranked = score[order]
            self._starts = np.flatnonzero(
                np.concatenate([[True], ranked[1:] > ranked[:-1]])
            )  # of tied scores
            return
        self._wins = np.zeros((n_queries, n_queries))
        hit = np.flatnonzero(hits > 0.0)
        for b in np.flatnonzero(self._misses > 0.0).tolist():
            mine = np.flatnonzero((query == b) & (misses > 0.0))
            order = mine[np.argsort(score[mine], kind="stable")]
            below = np.concatenate([[0.0], np.cumsum(misses[order])])
            ranked = score[order]
            beaten = below[np.searchsorted(ranked, score[hit], side="left")]
            drawn = below[np.searchsorted(ranked, score[hit], side="right")] - beaten
            self._wins[:, b] = np.bincount(
                query[hit], weights=hits[hit] * (beaten + 0.5 * drawn), minlength=n_queries
            )

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """AUC (S,) under the query weights (S, Q); nan where there are only hits or only misses."""
        couples = (weights @ self._hits) * (weights @ self._misses)
        won = self._won(weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(couples > 0.0, won / couples, np.nan), np.float64)

    def _won(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weight of the couples that are in order (S,), ties half."""
        if self._in_order is None:
            return np.asarray(np.einsum("sa,ab,sb->s", weights, self._wins, weights, optimize=True))
        hits, misses, query = self._in_order
        won = np.zeros(len(weights))
        for row, weight in enumerate(weights):
            each = weight[query]
            tied_hits, tied_misses = (
                np.add.reduceat(values * each, self._starts) for values in (hits, misses)
            )
            won[row] = tied_hits @ (np.cumsum(tied_misses) - 0.5 * tied_misses)
        return won


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Pairs of like probability: what was foretold and what happened."""

    predicted: float
    """Mean probability."""
    observed: float
    """Rate of hits."""
    weight: float
    """Examined impressions in it."""


class ClusterCalibration:
    """Log-loss and expected calibration error under weights of the queries.

    The bins hold the same weight each (equal mass; Naeini, Cooper, Hauskrecht, AAAI 2015, bin by width instead,
    which leaves click probabilities in two bins), and stay where they are while queries are resampled.

    Args:
        probability: (n,) foretold for each pair, inside (0, 1).
        hits: (n,) weight of positives.
        misses: (n,) weight of negatives.
        query: (n,) number 0 .. Q-1 of each pair's query.
        n_queries: `Q`.
        bins: Bins at most.
    """

    def __init__(
        self,
        probability: NDArray[np.float64],
        hits: NDArray[np.float64],
        misses: NDArray[np.float64],
        query: NDArray[np.int64],
        n_queries: int,
        bins: int = 10,
    ) -> None:
        p = np.clip(probability, 1e-12, 1.0 - 1e-12)
        total = hits + misses
        loss = -(hits * np.log(p) + misses * np.log1p(-p))
        self._loss = np.bincount(query, weights=loss, minlength=n_queries)  # (Q,)
        self._weight = np.bincount(query, weights=total, minlength=n_queries)
        order = np.argsort(p, kind="stable")
        reached = np.cumsum(total[order]) / max(float(total.sum()), 1e-12)
        number = np.empty(len(p), np.int64)
        number[order] = np.minimum((reached * bins - 1e-9).astype(np.int64), bins - 1)
        cell = query * bins + number

        def table(values: NDArray[np.float64]) -> NDArray[np.float64]:
            found = np.bincount(cell, weights=values, minlength=n_queries * bins).astype(np.float64)
            return found.reshape(n_queries, bins)

        self._foretold, self._hits, self._mass = table(total * p), table(hits), table(total)

    def log_loss(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean log-loss per examined impression (S,) under the query weights (S, Q)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((weights @ self._loss) / (weights @ self._weight), np.float64)

    def error(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected calibration error (S,): the mean over bins, by mass, of |foretold - observed rate|."""
        gap = np.abs(weights @ self._foretold - weights @ self._hits).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(gap / (weights @ self._mass).sum(axis=1), np.float64)

    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """The bins, by rising probability."""
        foretold, hits, mass = (table.sum(axis=0) for table in (self._foretold, self._hits, self._mass))
        return tuple(
            ReliabilityBin(predicted=float(p / m), observed=float(h / m), weight=float(m))
            for p, h, m in zip(foretold, hits, mass, strict=True)
            if m > 0.0
        )
