"""The candidate source: which items are worth ranking for a query."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.features import CandidateTable, FeatureTables, RelevanceTables

__all__ = ["CandidateSource", "ExactSource", "build_candidates", "rescored"]


class CandidateSource(Protocol):
    """Items with the largest dot products, approximately or exactly."""

    def search(
        self, query_vectors: NDArray[np.float32], n: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The best `n` items of each query (Q, R): rows (Q, n), best first, -1 padded, and their dot products."""
        ...


class ExactSource:
    """Exhaustive search in tiles, so that memory does not grow with the number of queries.

    Args:
        item_vectors: (I, R).
        tile: Queries scored at once.
    """

    def __init__(self, item_vectors: NDArray[np.float32], *, tile: int = 64) -> None:
        self._item = np.ascontiguousarray(item_vectors, np.float32)
        self._tile = tile

    def search(
        self, query_vectors: NDArray[np.float32], n: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """As `CandidateSource.search`; equal scores come in catalogue order."""
        n_queries, n_items = query_vectors.shape[0], self._item.shape[0]
        rows = np.full((n_queries, n), -1, np.int32)
        scores = np.zeros((n_queries, n), np.float32)
        size = min(n, n_items)
        for start in range(0, n_queries, self._tile):
            # A padded tile of fixed size: a query's scores are the same to the bit whoever stands beside it.
            tile = np.zeros((self._tile, query_vectors.shape[1]), np.float32)
            block = query_vectors[start : start + self._tile]
            tile[: block.shape[0]] = block
            score = (tile @ self._item.T)[: block.shape[0]]  # (tile, I)
            best, found = _top(score, size)
            rows[start : start + self._tile, :size] = best
            scores[start : start + self._tile, :size] = found
        return rows, scores


def _top(score: NDArray[np.float32], size: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `size` largest of each row, best first, ties in column order."""
    if size < score.shape[1]:
        # Everything that reaches the size-th largest value is sorted in full: argpartition breaks ties arbitrarily.
        threshold = np.partition(score, score.shape[1] - size, axis=1)[:, score.shape[1] - size]
        rows = np.empty((score.shape[0], size), np.int32)
        for r in range(score.shape[0]):
            able = np.flatnonzero(score[r] >= threshold[r])
            rows[r] = able[np.argsort(-score[r, able], kind="stable")[:size]]
    else:
        rows = np.argsort(-score, axis=1, kind="stable").astype(np.int32)
    return rows, np.take_along_axis(score, rows, axis=1)


def build_candidates(
    features: FeatureTables,
    n_candidates: int,
    *,
    relevance: RelevanceTables | None = None,
    source: CandidateSource | None = None,
    popularity_weight: float = 1.0,
) -> CandidateTable:
    """The `n_candidates` items with the highest click relevance for every query.

    A query without a vector (a recommendation page, or a log without texts) blends popularity in: its logit is
    averaged with that of the relevance, `popularity_weight` to 1.

    Args:
        features: The tables.
        n_candidates: Candidates `N`; a smaller catalogue leaves padding.
        relevance: Another relevance to choose by, such as the one before fine-tuning.
        source: Where to search by text; exact search over the relevance tables by default.
        popularity_weight: Weight of popularity for queries without a vector.
    """
    if n_candidates < 1:
        raise InputError(f"at least one candidate is needed, found {n_candidates}", where="n_candidates")
    tables = relevance if relevance is not None else features.relevance
    rows, logits = (source or ExactSource(tables.item)).search(tables.click_query, n_candidates)
    logits = logits + np.float32(tables.click_bias)
    empty = np.flatnonzero(~features.query_vectors.any(axis=1))
    if empty.size:
        p = np.clip(features.popularity.astype(np.float64), 1e-6, 1.0 - 1e-6)
        popular = np.log(p / (1.0 - p))  # (I,)
        size = min(n_candidates, features.n_items)
        # Logs without texts have one empty query; with many, tiles keep the memory small.
        for start in range(0, empty.size, 64):
            part = empty[start : start + 64]
            relevant = tables.click_query[part] @ tables.item.T + np.float32(tables.click_bias)
            blend = (relevant + popularity_weight * popular) / (1.0 + popularity_weight)
            rows[part, :size], logits[part, :size] = _top(blend.astype(np.float32), size)
    scores = np.where(rows >= 0, 1.0 / (1.0 + np.exp(-logits)), 0.0)
    return CandidateTable(items=rows, scores=scores.astype(np.float32))


def rescored(found: CandidateTable, relevance: RelevanceTables) -> CandidateTable:
    """The same candidates in the same order, with the click probabilities of another relevance."""
    queries = np.arange(found.items.shape[0], dtype=np.int32)
    return CandidateTable(items=found.items, scores=relevance.click_probability(queries, found.items))
