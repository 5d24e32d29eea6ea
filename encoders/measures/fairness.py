"""Whether a ranking shows groups of items, such as brands or new items, as much as they deserve.

The exposure of an item is `1 / log2(1 + rank)` on the first page of every query, weighed by the query's traffic; its
merit is its relevance to the query. A group is treated in proportion to its merit where its share of all exposure
equals its share of all merit: the ratio of the two is 1 (Singh and Joachims, "Fairness of Exposure in Rankings",
KDD 2018, disparate treatment).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.candidates import ExactSource
from encoders.features import RelevanceTables
from encoders.measures.comparison import MeasureRow, draw_queries, resampled
from encoders.pairs import PairCounts

__all__ = ["GroupExposure", "compare_exposure", "group_shares"]

DEPARTURE = "exposure out of proportion to merit"


@dataclass(frozen=True, kw_only=True)
class GroupExposure:
    """Exposure of groups before and after."""

    rows: tuple[MeasureRow, ...]
    """Per group, exposure share / merit share; under 'all', the share of exposure that stands in the wrong group
    (half the sum of absolute differences between both shares; 0 is proportional)."""
    merit: dict[str, float]
    """Merit share of each group."""
    items: dict[str, int]
    """Items of each group."""


def compare_exposure(
    before: RelevanceTables,
    after: RelevanceTables,
    merit: NDArray[np.float32] | PairCounts,
    group: NDArray[np.int64],
    names: Sequence[str],
    queries: NDArray[np.int64],
    *,
    traffic: NDArray[np.float64] | None = None,
    page: int = 10,
    seed: int = 0,
) -> GroupExposure:
    """Exposure against merit of each group, under both models, with intervals over queries.

    Args:
        before: The model to compare with.
        after: The model.
        merit: (Q, I) relevance, at least 0; or pairs, whose debiased click rates it then is.
        group: (I,) group of each item, -1 for none.
        names: Of the groups (G).
        queries: (n,) queries to rank for.
        traffic: (Q,) weight of each query, Q the queries of the tables; all alike by default.
        page: Places that are seen.
        seed: Of the bootstrap.
    """
    weight = np.ones(len(after.click_query)) if traffic is None else traffic
    draws = draw_queries(len(queries), seed)
    worth = weight[queries, None] * _worth(merit, queries, group, len(names))  # (n, G)
    sides = [
        weight[queries, None] * _exposure(tables, queries, group, len(names), page)
        for tables in (before, after)
    ]
    everyone = np.ones(len(queries), np.bool_)
    one, other = (_Departure(exposure, worth) for exposure in sides)
    rows = resampled(DEPARTURE, "all", one, other, everyone, draws)
    for g, name in enumerate(names):
        one_ratio, other_ratio = (_Ratio(exposure, worth, g) for exposure in sides)
        rows += resampled("exposure / merit", name, one_ratio, other_ratio, everyone, draws)
    shares = group_shares(worth.sum(axis=0, keepdims=True))[0]
    return GroupExposure(
        rows=tuple(rows),
        merit={name: float(share) for name, share in zip(names, shares, strict=True)},
        items={name: int((group == g).sum()) for g, name in enumerate(names)},
    )


def group_shares(amount: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of amounts (S, G) as shares of each row's total; nan where there is nothing to share."""
    total = amount.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(amount / total, np.float64)


class _Ratio:
    """Exposure share over merit share of one group, under query weights."""

    def __init__(self, exposure: NDArray[np.float64], worth: NDArray[np.float64], group: int) -> None:
        self._exposure, self._worth, self._group = exposure, worth, group

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        shown, deserved = group_shares(weights @ self._exposure), group_shares(weights @ self._worth)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = shown[:, self._group] / deserved[:, self._group]
        return np.where(np.isfinite(ratio), ratio, np.nan)


class _Departure:
    """Share of exposure in the wrong group, under query weights."""

    def __init__(self, exposure: NDArray[np.float64], worth: NDArray[np.float64]) -> None:
        self._exposure, self._worth = exposure, worth

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        gap = np.abs(group_shares(weights @ self._exposure) - group_shares(weights @ self._worth))
        return np.asarray(0.5 * gap.sum(axis=1), np.float64)


def _worth(
    merit: NDArray[np.float32] | PairCounts,
    queries: NDArray[np.int64],
    group: NDArray[np.int64],
    n_groups: int,
) -> NDArray[np.float64]:
    """Merit (n, G) of each group's items for each of `queries` (n,)."""
    if isinstance(merit, PairCounts):
        out = np.zeros((len(queries), n_groups))
        order = np.argsort(queries, kind="stable")
        at = np.minimum(np.searchsorted(queries[order], merit.query), max(len(queries) - 1, 0))
        row = order[at] if len(queries) else np.zeros(merit.n_pairs, np.int64)
        mine = np.flatnonzero((group[merit.item] >= 0) & np.isin(merit.query, queries))
        np.add.at(out, (row[mine], group[merit.item[mine]]), merit.click_rate()[mine])
        return out
    member = (group[:, None] == np.arange(n_groups)).astype(np.float64)  # (I, G)
    return np.asarray(merit[queries].astype(np.float64) @ member, np.float64)


def _exposure(
    tables: RelevanceTables, queries: NDArray[np.int64], group: NDArray[np.int64], n_groups: int, page: int
) -> NDArray[np.float64]:
    """Exposure (n, G) that the first page of each query gives each group."""
    rows, _ = ExactSource(tables.item).search(tables.click_query[queries], page)
    seen = 1.0 / np.log2(np.arange(2, page + 2))
    out = np.zeros((len(queries), n_groups))
    for place in range(page):
        item = rows[:, place]
        known = np.flatnonzero((item >= 0) & (group[item] >= 0))
        np.add.at(out, (known, group[item[known]]), seen[place])
    return out
