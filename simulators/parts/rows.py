"""Names and widths of the feature rows that the kernels write; one list for fitting, simulation and reports."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.features import FeatureTables
from encoders.pair_table import NAMES as PAIR_NAMES
from simulators.base import SessionState
from simulators.kernels.session import N_FIXED, N_PAGE_FIXED, impression_rows, page_rows
from simulators.parts.memory import SessionMemory

__all__ = [
    "MAX_CROSS",
    "impression_names",
    "make_impression_rows",
    "make_page_rows",
    "page_names",
    "pair_names",
]

MAX_CROSS = 128
"""Context x numeric products are left out where there would be more than this many."""

_FIXED = (
    "constant",
    "relevance: click logit",
    "relevance: purchase logit",
    "similarity to items clicked in this session",
    "similarity to items passed over in this session",
    "log1p(times shown before)",
    "clicked before",
    "bought before",
    "log1p(items of this category shown before)",
    "log1p(items of this category clicked before)",
    "log1p(clicks so far)",
    "log1p(purchases so far)",
    "log1p(pages in a row without a click)",
    "log1p(step)",
)

_PAGE_FIXED = (
    "constant",
    "log1p(clicks on the page)",
    "any click on the page",
    "any purchase on the page",
    "mean relevance of the page",
    "best relevance of the page",
    "share of items shown before",
    "log1p(clicks so far)",
    "log1p(pages in a row without a click)",
    "log1p(step)",
    "step",
    "logit of the mean appeal of the page",
    "chances of a purchase of what was clicked, summed",
    "appeal of earlier pages over the usual, summed",
    "chances of a purchase of earlier clicks, summed",
)

assert len(_FIXED) == N_FIXED
assert len(_PAGE_FIXED) == N_PAGE_FIXED


def impression_names(features: FeatureTables, context_names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the P columns of an impression row."""
    cross = tuple(f"{c} x {f}" for c in context_names for f in features.numeric_names)
    return (
        *_FIXED,
        *features.numeric_names,
        *context_names,
        *(cross if len(cross) <= MAX_CROSS else ()),
        *(f"match {d}" for d in range(features.item_vectors.shape[1])),
        *pair_names(features),
    )


def pair_names(features: FeatureTables) -> tuple[str, ...]:
    """Names of the last columns of an impression row: what is known of query and item together."""
    return () if features.pairs is None else PAIR_NAMES[: features.pairs.values.shape[1]]


def page_names(features: FeatureTables, context_names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the PP columns of a page row."""
    return (
        *_PAGE_FIXED,
        *(f"mean of shown: {f}" for f in features.numeric_names),
        *(f"mean of clicked: {f}" for f in features.numeric_names),
        *context_names,
    )


def make_impression_rows(
    memory: SessionMemory, state: SessionState, items: NDArray[np.int32], n_columns: int
) -> NDArray[np.float32]:
    """Rows (B, M, P) of `items` (B, M) as the users see them now; zeros where the item is -1."""
    out = np.empty((*items.shape, n_columns), np.float32)
    impression_rows(
        items.shape[0],
        out,
        items,
        state.query,
        state.step,
        state.context,
        state.hidden,
        memory.tables.kernel,
        memory.columns,
    )
    return out


def make_page_rows(
    memory: SessionMemory,
    state: SessionState,
    items: NDArray[np.int32],
    click: NDArray[np.uint8],
    purchase: NDArray[np.uint8],
    n_columns: int,
) -> NDArray[np.float32]:
    """Rows (B, PP) of pages just answered, before they enter the record."""
    out = np.empty((items.shape[0], n_columns), np.float32)
    page_rows(
        items.shape[0],
        out,
        items,
        click,
        purchase,
        state.query,
        state.step,
        state.context,
        state.hidden,
        memory.tables.kernel,
        memory.columns,
    )
    return out
