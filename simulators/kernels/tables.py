"""The tables and column offsets that kernels read, as named tuples (numba passes them by field)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from encoders.features import FeatureTables

__all__ = ["KernelTables", "MemoryColumns", "kernel_tables", "sigmoid"]


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


def kernel_tables(features: FeatureTables) -> KernelTables:
    """The kernels' view of `features`, copied only where the memory layout demands it."""

    def table(array: NDArray[Any]) -> NDArray[np.float32]:
        return np.require(array, np.float32, ["C", "W"])

    relevance = features.relevance
    return KernelTables(
        item_vectors=table(features.item_vectors),
        query_vectors=table(features.query_vectors),
        item_numeric=table(features.item_numeric),
        item_category=np.require(features.item_category, np.int32, ["C", "W"]),
        relevance_item=table(relevance.item),
        relevance_click=table(relevance.click_query),
        relevance_purchase=table(relevance.purchase_query),
        click_bias=float(relevance.click_bias),
        purchase_bias=float(relevance.purchase_bias),
    )


@njit(cache=True, inline="always")
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)) without overflow."""
    if x >= 0.0:
        return 1.0 / (1.0 + np.exp(-x))
    e = np.exp(x)
    return e / (1.0 + e)
