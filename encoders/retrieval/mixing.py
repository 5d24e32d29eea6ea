"""Candidates of every query: by relevance, by popularity and at random, in configured shares, and only allowed ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.candidates import build_candidates
from encoders.features import CandidateTable, FeatureTables
from encoders.retrieval.ann import AnnConfig, build_index
from encoders.retrieval.index import VectorIndex

__all__ = ["CandidateConfig", "CandidateFilter", "mix_candidates"]


@dataclass(frozen=True, kw_only=True)
class CandidateConfig:
    """Where the candidates of a query come from."""

    n_candidates: int = 50
    """Candidates `N` per query."""
    popular: float = 0.0
    """Share of them taken by popularity, whatever the query: what sells anyway."""
    explore: float = 0.0
    """Share of them drawn at random from all that are allowed, so that something is learned about every item."""
    search: AnnConfig = field(default_factory=AnnConfig)
    """How the rest is found by relevance."""
    seed: int = 0
    """Key of the random draws, together with the query's number."""

    def __post_init__(self) -> None:
        if self.n_candidates < 1:
            raise InputError(
                f"at least one candidate is needed, found {self.n_candidates}",
                where="CandidateConfig.n_candidates",
            )
        for name in ("popular", "explore"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(
                    f"a share lies between 0 and 1, found {getattr(self, name)}",
                    where=f"CandidateConfig.{name}",
                )
        if self.popular + self.explore > 1.0:
            raise InputError(
                f"the shares add up to {self.popular + self.explore:g}, more than 1",
                where="CandidateConfig.popular, CandidateConfig.explore",
                mend="lower one of them; what they leave is filled by relevance",
            )

    def counts(self) -> tuple[int, int, int]:
        """Candidates by relevance, by popularity and by exploration; they add up to `n_candidates`."""
        popular, explore = (round(share * self.n_candidates) for share in (self.popular, self.explore))
        explore = min(explore, self.n_candidates - popular)
        return self.n_candidates - popular - explore, popular, explore


@dataclass(frozen=True, kw_only=True)
class CandidateFilter:
    """Which items may be candidates."""

    in_stock: NDArray[np.bool_] | None = None
    """(I,) items that can be sold; all by default."""
    category: NDArray[np.int32] | None = None
    """(Q,) category that each query is confined to, -1 for none; no query is by default."""


def mix_candidates(
    features: FeatureTables,
    config: CandidateConfig,
    *,
    index: VectorIndex | None = None,
    allowed: CandidateFilter | None = None,
    progress: bool = True,
) -> CandidateTable:
    """Candidates (Q, N), best first by the relevance model's click probability; fewer allowed items leave padding.

    No item comes twice: popularity takes the most popular of what relevance left, exploration draws from the rest.
    Without shares and filters, and with exact search, it is `build_candidates`.

    Args:
        features: The tables (I items, Q queries).
        config: Shares, and how to search.
        index: An index of `features.relevance.item`; built by default.
        allowed: Which items may come; all by default.
        progress: Show bars.
    """
    allowed = allowed or CandidateFilter()
    masks = _masks(features, allowed)
    tables = features.relevance
    index = index or build_index(tables.item, config.search, queries=tables.click_query, progress=progress)
    by_relevance, n_popular, n_explore = config.counts()
    items = np.full((features.n_queries, config.n_candidates), -1, np.int32)
    popular = np.argsort(-features.popularity, kind="stable").astype(np.int32)
    for queries, mask in masks:
        found = _by_relevance(features, queries, max(by_relevance, 1), index, mask)[:, :by_relevance]
        favourites = popular if mask is None else popular[mask[popular]]
        able = np.sort(favourites)
        for row, query in enumerate(queries.tolist()):
            chosen = found[row][found[row] >= 0]
            # The first n_popular + n_chosen favourites hold at least n_popular that are not chosen yet.
            rest = favourites[: n_popular + len(chosen)]
            chosen = np.concatenate([chosen, rest[~np.isin(rest, chosen)][:n_popular]])
            drawn = _explore(able, chosen, n_explore, (config.seed, query))
            chosen = np.concatenate([chosen, drawn])
            items[query, : len(chosen)] = chosen
    probability = tables.click_probability(np.arange(features.n_queries, dtype=np.int32), items)
    order = np.argsort(np.where(items >= 0, -probability, np.inf), axis=1, kind="stable")
    return CandidateTable(
        items=np.take_along_axis(items, order, axis=1),
        scores=np.take_along_axis(probability, order, axis=1),
    )


def _masks(
    features: FeatureTables, allowed: CandidateFilter
) -> list[tuple[NDArray[np.int64], NDArray[np.bool_] | None]]:
    """Queries that share a mask of items (I,), with it; None allows all."""
    stock = allowed.in_stock
    if stock is not None and stock.shape != (features.n_items,):
        raise InputError(
            f"stock of shape {stock.shape}, expected {(features.n_items,)}", where="CandidateFilter.in_stock"
        )
    category = allowed.category
    if category is None:
        return [(np.arange(features.n_queries), stock)]
    if category.shape != (features.n_queries,):
        raise InputError(
            f"categories of shape {category.shape}, expected {(features.n_queries,)}",
            where="CandidateFilter.category",
        )
    groups: list[tuple[NDArray[np.int64], NDArray[np.bool_] | None]] = []
    for code in np.unique(category).tolist():
        mask = stock
        if code >= 0:
            mask = features.item_category == code
            mask = mask if stock is None else mask & stock
        groups.append((np.flatnonzero(category == code), mask))
    return groups


def _by_relevance(
    features: FeatureTables,
    queries: NDArray[np.int64],
    n: int,
    index: VectorIndex,
    mask: NDArray[np.bool_] | None,
) -> NDArray[np.int32]:
    """Best rows (q, n) of `queries` (q,); those without a text are ranked as `build_candidates` ranks them."""
    found, _ = index.search(features.relevance.click_query[queries], n, allowed=mask)
    wordless = ~features.query_vectors[queries].any(axis=1)
    if wordless.any():
        # All items of the few queries without a text, in order, of which the first allowed ones are taken.
        whole = build_candidates(_only(features, queries[wordless]), features.n_items).items
        for row, ranked in zip(np.flatnonzero(wordless).tolist(), whole, strict=True):
            kept = ranked[mask[ranked]] if mask is not None else ranked
            found[row] = -1
            found[row, : min(n, len(kept))] = kept[:n]
    return found


def _only(features: FeatureTables, queries: NDArray[np.int64]) -> FeatureTables:
    tables = features.relevance
    return replace(
        features,
        query_vectors=features.query_vectors[queries],
        relevance=replace(
            tables,
            click_query=tables.click_query[queries],
            purchase_query=tables.purchase_query[queries],
        ),
        pairs=None,
    )


def _explore(
    able: NDArray[np.int32], chosen: NDArray[np.int32], n: int, key: tuple[int, int]
) -> NDArray[np.int32]:
    """`n` of `able` (m,) that are not `chosen`, each as likely as any other; the same for the same key."""
    if n == 0:
        return np.zeros(0, np.int32)
    rest = able[~np.isin(able, chosen)]
    return np.random.default_rng(key).choice(rest, min(n, len(rest)), replace=False).astype(np.int32)
