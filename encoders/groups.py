"""Training examples for the encoder: a query with some of the items it was shown with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.pairs import PairCounts

__all__ = ["QueryGroup", "draw_groups"]


@dataclass(frozen=True, kw_only=True)
class QueryGroup:
    """One query and up to `items_per_query` of its items; one query encoding serves them all."""

    query: int
    items: tuple[int, ...]


def draw_groups(pairs: PairCounts, *, max_pairs: int, items_per_query: int, seed: int) -> list[QueryGroup]:
    """Groups with `max_pairs` pairs in all at most.

    Every query comes before any comes again; beyond that, queries come in proportion to the square root of their
    clicks. Half of a group's items are drawn by clicks, the rest by exposure: what was refused teaches too.
    """
    rng = np.random.default_rng(seed)
    queries, start = np.unique(pairs.query, return_index=True)
    rows_of = np.split(np.arange(pairs.n_pairs), start[1:])
    clicks = np.array([pairs.clicks[rows].sum() for rows in rows_of])
    usable = np.flatnonzero(clicks > 0.0)
    if usable.size == 0:
        return []
    appetite = np.sqrt(clicks[usable])
    groups: list[QueryGroup] = []
    budget = max_pairs
    while budget >= 2:
        # One round: a random permutation the first time, then draws by traffic.
        if not groups:
            order = rng.permutation(usable)
        else:
            order = rng.choice(usable, size=usable.size, p=appetite / appetite.sum())
        for number in order:
            rows = rows_of[number]
            size = min(items_per_query, rows.size, budget)
            if size < 1:
                break
            chosen = _draw_rows(pairs, rows, size, rng)
            groups.append(QueryGroup(query=int(queries[number]), items=tuple(pairs.item[chosen].tolist())))
            budget -= size
    return groups


def _draw_rows(
    pairs: PairCounts, rows: NDArray[np.int64], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """`size` distinct rows: half by clicks, half by exposure (weighted sampling without replacement)."""

    # Efraimidis and Spirakis: the largest u^(1/w) are a weighted sample without replacement.
    def keys(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        logs: NDArray[np.float64] = np.log(rng.random(weight.shape[0])) / np.maximum(weight, 1e-9)
        return logs

    liked = rows[np.argsort(-keys(pairs.clicks[rows]), kind="stable")[: (size + 1) // 2]]
    rest = np.setdiff1d(rows, liked)
    filler = rest[np.argsort(-keys(pairs.exposure[rest]), kind="stable")[: size - liked.size]]
    return np.concatenate([liked, filler])
