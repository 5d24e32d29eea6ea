"""The tables and column offsets that kernels read, as named tuples (numba passes them by field)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from encoders.features import FeatureTables

__all__ = ["KernelTables", "MemoryColumns", "find_pair", "kernel_tables", "sigmoid"]


class KernelTables(NamedTuple):
    """`FeatureTables`, reduced to what the kernels touch; all arrays C-contiguous."""

    item_vectors: NDArray[np.float32]  # (I, D)
    query_vectors: NDArray[np.float32]  # (Q, D)
    item_numeric: NDArray[np.float32]  # (I, F)
    item_category: NDArray[np.int32]  # (I,)
    relevance_item: NDArray[np.float32]  # (I, R)
    relevance_click: NDArray[np.float32]  # (Q, R)
    relevance_purchase: NDArray[np.float32]  # (Q, R)
    click_bias: float
    purchase_bias: float
    pair_start: NDArray[np.int64]  # (Q+1,)
    pair_item: NDArray[np.int32]  # (Z,)
    pair_values: NDArray[np.float32]  # (Z+1, G), the last row for pairs that are not in the table


class MemoryColumns(NamedTuple):
    """Where the record of the session lies in `SessionState.hidden`."""

    clicks: int  # so far
    purchases: int  # so far
    dry_pages: int  # pages in a row without a click
    shown: int  # items shown so far; also the write position of the ring
    clicked_sum: int  # D columns: sum of the vectors of clicked items
    ignored_sum: int  # D columns: sum of the vectors of shown but unclicked items
    ring_item: int  # R columns: the last R shown items, -1 where none
    ring_mark: int  # R columns: 0 shown, 1 clicked, 2 bought
    ring_size: int
    promise: (
        int  # N_PROMISE columns: how appealing the pages were, see `simulators.kernels.session.note_promise`
    )


def kernel_tables(features: FeatureTables) -> KernelTables:
    """The kernels' view of `features`, copied only where the memory layout demands it."""

    def table(array: NDArray[Any]) -> NDArray[np.float32]:
        return np.require(array, np.float32, ["C", "W"])

    relevance, pairs = features.relevance, features.pairs
    # Single queries are learned of by the fit itself, under a prior that its own held-out pages choose.
    click_query = relevance.click_query if features.words_click_query is None else features.words_click_query
    if pairs is None:
        start, item = np.zeros(features.n_queries + 1, np.int64), np.empty(0, np.int32)
        values = np.empty((1, 0), np.float32)
    else:
        start, item = pairs.start, pairs.item
        values = np.concatenate([pairs.values, pairs.default[None]])
    return KernelTables(
        item_vectors=table(features.item_vectors),
        query_vectors=table(features.query_vectors),
        item_numeric=table(features.item_numeric),
        item_category=np.require(features.item_category, np.int32, ["C", "W"]),
        relevance_item=table(relevance.item),
        relevance_click=table(click_query),
        relevance_purchase=table(relevance.purchase_query),
        click_bias=float(relevance.click_bias),
        purchase_bias=float(relevance.purchase_bias),
        pair_start=np.require(start, np.int64, ["C", "W"]),
        pair_item=np.require(item, np.int32, ["C", "W"]),
        pair_values=table(values),
    )


@njit(cache=True)
def find_pair(tables: Any, query: Any, item: Any) -> Any:
    """Row of a (query, item) pair in the table of pairs, by bisection; Z where it is not there."""
    if query < 0:
        return tables.pair_item.shape[0]
    low, high = tables.pair_start[query], tables.pair_start[query + 1]
    end = high
    while low < high:
        middle = (low + high) // 2
        if tables.pair_item[middle] < item:
            low = middle + 1
        else:
            high = middle
    if low < end and tables.pair_item[low] == item:
        return low
    return tables.pair_item.shape[0]


@njit(cache=True, inline="always")
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)) without overflow."""
    if x >= 0.0:
        return 1.0 / (1.0 + np.exp(-x))
    e = np.exp(x)
    return e / (1.0 + e)
