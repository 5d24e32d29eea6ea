"""Cressie-Read intervals: all values that some reweighting of the log near to equal weights would give.

Karampatziakis, Langford, Mineiro, "Empirical likelihood for contextual bandits", NeurIPS 2020. Importance weights have
mean 1 whatever the policy judged, and a likelihood of the log that knows it ties the value down. Of the power
divergences the one with power -2 (Euclidean) has a solution by formula. With probabilities q_c of the clusters,

    minimise sum_c (C q_c - 1)^2   subject to   sum q_c = 1,   sum_c q_c G_c = 0,   sum_c q_c (T_c - v M_c) = 0

where T_c sums `sum_p w_ip r_ip` over the M_c rows of a cluster and G_c sums `w_ip - 1`. Profiled over v, C times the
minimum is the squared t-statistic of the mean of `(T - v M) - b'G`, b the regression of the first on the second; the
interval holds every v at which it stays below the F quantile. So the weights act as control variates, and the interval
is never wider than Student's by more than what P fitted coefficients cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri

from behavior.errors import InputError
from evaluation.estimators.result import Estimate
from evaluation.intervals.interval import Interval, check_level, cluster_index, cluster_sums, undetermined

__all__ = ["cressie_read_interval", "plain_terms"]


def plain_terms(estimate: Estimate, where: str) -> NDArray[np.float64]:
    """The row terms (n,) of an estimate that is a plain mean.

    Raises:
        InputError: It is a ratio of sums: self-normalised.
    """
    if not bool((estimate.denominator == 1).all()):
        raise InputError(
            f"{estimate.name} is a ratio of sums, not a mean of independent terms",
            where=where,
            mend="Use the form that is not self-normalised, or a Student or bootstrap interval.",
        )
    return np.asarray(estimate.numerator.sum(axis=1), np.float64)


@dataclass(frozen=True)
class _Fit:
    """Means and residual covariance of (T, M) after regression on the weights."""

    mean: NDArray[np.float64]  # (2,)
    covariance: NDArray[np.float64]  # (2, 2)


def cressie_read_interval(
    estimate: Estimate,
    *,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
    value_range: tuple[float, float] | None = None,
) -> Interval:
    """Interval by the Cressie-Read divergence of power -2.

    Args:
        estimate: A plain (not self-normalised) estimate; its `weights` have mean 1 in expectation: full support.
        clusters: (n,) labels of users or sessions; None: every row for itself.
        level: Confidence level.
        value_range: Least and greatest value that is possible (`r_min`, `r_max` of a row): the ends are clipped to it.

    Returns:
        `value` is the likelihood's own estimate (the mean with the weights as control variates), not
        `estimate.value`. Unbounded where the numbers of rows vary so much that every value is possible, and where
        no reweighting of the log gives the weights of some column a mean of 1.

    Raises:
        InputError: A self-normalised estimate.
    """
    check_level(level)
    terms = plain_terms(estimate, "cressie_read_interval")
    n, width = estimate.weights.shape
    dense, count = cluster_index(clusters, n)
    if count <= width + 2:
        return undetermined(estimate.value, level, count)
    columns = np.column_stack([terms, np.ones(n), estimate.weights - 1.0])
    sums = cluster_sums(columns, dense, count) if clusters is not None else columns
    controls = sums[:, 2:]
    if bool(((controls.max(axis=0) < -1e-12) | (controls.min(axis=0) > 1e-12)).any()):
        return undetermined(estimate.value, level, count)  # no reweighting gives these weights a mean of 1
    fit = _residuals(sums[:, :2], controls)
    quantile = float(fdtri(1, count - 1 - width, level)) / count
    top, bottom = fit.mean
    s = fit.covariance
    # (top - v bottom)^2 <= quantile * Var(T - v M): a quadratic in v.
    a = bottom**2 - quantile * s[1, 1]
    b = top * bottom - quantile * s[0, 1]
    c = top**2 - quantile * s[0, 0]
    if not a > 0:
        return undetermined(float(top / bottom), level, count)
    root = float(np.sqrt(max(b * b - a * c, 0.0)))
    value, low, high = float(top / bottom), float((b - root) / a), float((b + root) / a)
    slope = np.array([1.0, -value])
    if value_range is not None:
        value, low, high = (float(np.clip(x, *value_range)) for x in (value, low, high))
    return Interval(
        value=value,
        low=low,
        high=high,
        standard_error=float(np.sqrt(slope @ s @ slope / count) / bottom),
        level=level,
        n_clusters=count,
        method="Cressie-Read (-2)",
    )


def _residuals(pair: NDArray[np.float64], weights: NDArray[np.float64]) -> _Fit:
    count = pair.shape[0]
    means, controls = pair.mean(axis=0), weights.mean(axis=0)
    centred, moved = pair - means, weights - controls
    # The pseudo-inverse leaves out weights that do not vary, or that repeat others.
    slope = np.linalg.pinv(moved.T @ moved, rcond=1e-10, hermitian=True) @ (moved.T @ centred)  # (P, 2)
    rest = centred - moved @ slope
    freedom = count - 1 - weights.shape[1]
    return _Fit(means - controls @ slope, rest.T @ rest / freedom)
