"""Intervals of means over clusters by the central limit theorem, Student's t or the normal law.

The sandwich variance of a mean over clusters (Liang and Zeger, Biometrika 1986). Linearised terms make it the delta
method for ratios.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from behavior.errors import InputError
from evaluation.estimators.result import Estimate
from evaluation.intervals.interval import Interval, check_level, cluster_index, undetermined

__all__ = ["Law", "estimate_interval", "mean_interval", "paired_difference"]

Law = Literal["student", "normal"]


def mean_interval(
    terms: NDArray[np.float64],
    *,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
    law: Law = "student",
) -> Interval:
    """Interval of the mean of `terms` (n,), whose rows depend on each other within `clusters` (n,).

    With `u_c = sum_{i in c} (t_i - mean)`: `var = C / (C - 1) * sum u_c^2 / n^2`. Without clusters this is the
    ordinary standard error. Linearised terms make it the delta method for ratios.

    Args:
        terms: (n,).
        clusters: (n,) labels of users or sessions; None: every row for itself.
        level: Confidence level.
        law: "student": t with C - 1 degrees of freedom; "normal": the limit of many clusters, too narrow for few.
    """
    check_level(level)
    n = terms.shape[0]
    if n == 0:
        raise InputError("no rows", where="mean_interval", mend="An interval needs at least one row.")
    dense, count = cluster_index(clusters, n)
    value = float(terms.mean())
    if count < 2 or not np.isfinite(value):
        return undetermined(value, level, count)
    sums = np.bincount(dense, weights=terms - value, minlength=count)  # (C,)
    error = float(np.sqrt(count / (count - 1) * np.square(sums).sum()) / n)
    quantile = float(stdtrit(count - 1, 0.5 + level / 2) if law == "student" else ndtri(0.5 + level / 2))
    name = "t" if law == "student" else "normal"
    return Interval(
        value=value,
        low=value - quantile * error,
        high=value + quantile * error,
        standard_error=error,
        level=level,
        n_clusters=count,
        method=f"clustered {name}" if clusters is not None else name,
    )


def estimate_interval(
    estimate: Estimate,
    *,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
    law: Law = "student",
) -> Interval:
    """Interval of an off-policy estimate; for self-normalised forms by the delta method."""
    return mean_interval(estimate.terms, clusters=clusters, level=level, law=law)


def paired_difference(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    *,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
) -> Interval:
    """Interval of `mean(first - second)` over the same rows (the same users, or the same logged steps)."""
    if first.shape != second.shape:
        raise InputError(
            f"{first.shape} against {second.shape} rows",
            where="paired_difference",
            mend="Evaluate both on the same users.",
        )
    return mean_interval(first - second, clusters=clusters, level=level)
