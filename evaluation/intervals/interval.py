"""What an interval is, and the sums over clusters that all of them are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError

__all__ = ["Interval", "check_level", "cluster_index", "cluster_sums", "undetermined"]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value with its two-sided confidence interval."""

    value: float
    """The point estimate."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""
    standard_error: float
    """Standard error (of the bootstrap distribution for a bootstrap; nan where the method has none)."""
    level: float
    """Confidence level, such as 0.95."""
    n_clusters: int
    """Independent units (sessions, users) behind it."""
    method: str
    """How it was made."""

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0


def cluster_index(clusters: NDArray[Any] | None, n: int) -> tuple[NDArray[np.intp], int]:
    """Number (n,) of each row's cluster among the sorted labels, and how many there are; None: a row a cluster.

    Raises:
        InputError: Not one label for each row.
    """
    if clusters is None:
        return np.arange(n), n
    if clusters.shape != (n,):
        raise InputError(
            f"{clusters.shape} cluster labels for {n} rows", where="clusters", mend="Pass one label per row."
        )
    if np.issubdtype(clusters.dtype, np.integer) and clusters.min() >= 0 and clusters.max() < n:
        # Labels that are numbers without gaps need no sorting.
        dense = clusters.astype(np.intp, copy=False)
        if bool((np.bincount(dense) > 0).all()):
            return dense, int(dense.max()) + 1
    _, dense = np.unique(clusters, return_inverse=True)
    return dense, int(dense.max()) + 1


def cluster_sums(rows: NDArray[np.float64], dense: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Sums (C, J) of `rows` (n, J) over the clusters `dense` (n,)."""
    sums = np.empty((count, rows.shape[1]))
    for j in range(rows.shape[1]):
        sums[:, j] = np.bincount(dense, weights=rows[:, j], minlength=count)
    return sums


def check_level(level: float) -> None:
    """Refuses a confidence level outside (0, 1)."""
    if not 0 < level < 1:
        raise InputError(f"confidence level {level}", where="level", mend="Pass a level between 0 and 1.")


def undetermined(value: float, level: float, count: int) -> Interval:
    """The interval of which nothing can be said: from minus to plus infinity."""
    return Interval(
        value=value,
        low=float("-inf"),
        high=float("inf"),
        standard_error=float("nan"),
        level=level,
        n_clusters=count,
        method="undetermined (fewer than two clusters)" if count < 2 else "undetermined (no value)",
    )
