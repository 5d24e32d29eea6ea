"""Groups of items and queries by what the training part of the log says of them: never by the sessions compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps

__all__ = ["Groups", "equal_groups", "item_groups", "query_groups"]


@dataclass(frozen=True, kw_only=True)
class Groups:
    """A group number for each item or query."""

    of: NDArray[np.int64]
    """(I,) or (Q,) group, 0 the least popular."""
    labels: tuple[str, ...]
    """Name of each group."""


def equal_groups(score: NDArray[np.float64], mass: NDArray[np.float64], n_groups: int) -> NDArray[np.int64]:
    """Groups (I,) of about equal mass in the order of `score`; equal scores share a group, empty groups are dropped.

    Args:
        score: (I,) what is ordered by.
        mass: (I,) how much each counts.
        n_groups: How many groups at most.
    """
    level = np.unique(score, return_inverse=True)[1]
    by_level = np.bincount(level, weights=mass)
    middle = np.cumsum(by_level) - by_level / 2.0
    raw = np.minimum((n_groups * middle / max(by_level.sum(), 1e-300)).astype(np.int64), n_groups - 1)
    dense = np.unique(raw, return_inverse=True)[1]
    return np.asarray(dense[level], np.int64)


def item_groups(train: LoggedSteps, held: LoggedSteps, n_items: int, n_groups: int) -> Groups:
    """Items by their clicks in the training part, in groups shown about equally often in the held-out part."""
    shown = held.item[held.item >= 0]
    clicks = np.bincount(train.item[(train.item >= 0) & (train.click > 0)], minlength=n_items)
    of = equal_groups(
        clicks.astype(np.float64), np.bincount(shown, minlength=n_items).astype(np.float64), n_groups
    )
    return Groups(of=of, labels=_labels(of, clicks, "clicks in training"))


def query_groups(train: LoggedSteps, held: LoggedSteps, n_queries: int, n_groups: int) -> Groups:
    """Queries by their pages in the training part, in groups with about equally many held-out pages."""
    issued = np.bincount(train.query[train.query >= 0], minlength=n_queries)
    mass = np.bincount(held.query[held.query >= 0], minlength=n_queries).astype(np.float64)
    of = equal_groups(issued.astype(np.float64), mass, n_groups)
    return Groups(of=of, labels=_labels(of, issued, "pages in training"))


def _labels(of: NDArray[np.int64], count: NDArray[np.int64], unit: str) -> tuple[str, ...]:
    found = []
    for g in range(int(of.max(initial=-1)) + 1):
        low, high = int(count[of == g].min()), int(count[of == g].max())
        found.append(f"{unit}: {low:,}" if low == high else f"{unit}: {low:,} to {high:,}")
    return tuple(found)
