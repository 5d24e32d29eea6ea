"""Confidence intervals: rows of one session or user are not independent, so they are summed by cluster first.

The sandwich variance of a mean over clusters (Liang and Zeger, Biometrika 1986) with Student's t on C - 1
degrees of freedom, and a bootstrap that resamples clusters through their sufficient statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from behavior.errors import InputError
from evaluation.estimators.result import Estimate

__all__ = [
    "Interval",
    "bootstrap_estimate",
    "bootstrap_ratio",
    "estimate_interval",
    "mean_interval",
    "paired_difference",
]

_CHUNK = 2_000_000  # resampled counts held at once


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
    """Standard error (of the bootstrap distribution for a bootstrap)."""
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


def _dense(clusters: NDArray[Any] | None, n: int) -> tuple[NDArray[np.intp], int]:
    if clusters is None:
        return np.arange(n), n
    if clusters.shape != (n,):
        raise InputError(
            f"{clusters.shape} cluster labels for {n} rows", where="clusters", mend="Pass one label per row."
        )
    _, dense = np.unique(clusters, return_inverse=True)
    return dense, int(dense.max()) + 1


def _level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"confidence level {level}", where="level", mend="Pass a level between 0 and 1.")


def mean_interval(
    terms: NDArray[np.float64], *, clusters: NDArray[Any] | None = None, level: float = 0.95
) -> Interval:
    """Interval of the mean of `terms` (n,), whose rows depend on each other within `clusters` (n,).

    With `u_c = sum_{i in c} (t_i - mean)`: `var = C / (C - 1) * sum u_c^2 / n^2`. Without clusters this is the
    ordinary standard error. Linearised terms make it the delta method for ratios.
    """
    _level(level)
    n = terms.shape[0]
    if n == 0:
        raise InputError("no rows", where="mean_interval", mend="An interval needs at least one row.")
    dense, count = _dense(clusters, n)
    value = float(terms.mean())
    if count < 2 or not np.isfinite(value):
        return Interval(
            value=value,
            low=float("-inf"),
            high=float("inf"),
            standard_error=float("nan"),
            level=level,
            n_clusters=count,
            method="undetermined (fewer than two clusters)" if count < 2 else "undetermined (no value)",
        )
    sums = np.bincount(dense, weights=terms - value, minlength=count)  # (C,)
    error = float(np.sqrt(count / (count - 1) * np.square(sums).sum()) / n)
    reach = float(stdtrit(count - 1, 0.5 + level / 2)) * error
    return Interval(
        value=value,
        low=value - reach,
        high=value + reach,
        standard_error=error,
        level=level,
        n_clusters=count,
        method="clustered t" if clusters is not None else "t",
    )


def estimate_interval(
    estimate: Estimate, *, clusters: NDArray[Any] | None = None, level: float = 0.95
) -> Interval:
    """Interval of an off-policy estimate; for self-normalised forms by the delta method."""
    return mean_interval(estimate.terms, clusters=clusters, level=level)


def bootstrap_ratio(
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
    *,
    clusters: NDArray[Any] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap of `sum_p sum(numerator_p) / sum(denominator_p)`, resampling whole clusters.

    Args:
        numerator: (n,) or (n, P).
        denominator: (n,) or (n, P).
        clusters: (n,) labels; None: every row for itself.
        n_resamples: Number of resamples.
        seed: Seed of the resampling.
        level: Confidence level.
    """
    _level(level)
    if numerator.shape != denominator.shape or numerator.shape[0] == 0:
        raise InputError(
            f"numerator {numerator.shape}, denominator {denominator.shape}",
            where="bootstrap_ratio",
            mend="Pass two arrays of the same shape with at least one row.",
        )
    n = numerator.shape[0]
    top, bottom = numerator.reshape(n, -1), denominator.reshape(n, -1)
    dense, count = _dense(clusters, n)
    width = top.shape[1]
    sums = np.zeros((count, 2 * width))  # (C, 2P) all that a resample needs
    np.add.at(sums, dense, np.concatenate([top, bottom], axis=1))
    totals = sums.sum(axis=0)
    rng = np.random.default_rng(seed)
    drawn = np.empty((n_resamples, 2 * width))
    step = max(1, _CHUNK // count)
    for start in range(0, n_resamples, step):
        rows = slice(start, min(start + step, n_resamples))
        counts = rng.multinomial(count, np.full(count, 1 / count), size=rows.stop - rows.start)
        drawn[rows] = counts.astype(np.float64) @ sums
    values = _ratio(drawn[:, :width], drawn[:, width:])
    value = float(_ratio(totals[None, :width], totals[None, width:])[0])
    # A resample without any weight has no value: it says "anything", so it widens the interval on both sides.
    lost = int(np.isnan(values).sum())
    kept = np.sort(values[~np.isnan(values)])
    tail = (1 - level) / 2 * n_resamples
    if lost >= tail or count < 2:
        low, high = float("-inf"), float("inf")
    else:
        low, high = (float(v) for v in np.quantile(kept, [(1 - level) / 2, (1 + level) / 2]))
    return Interval(
        value=value,
        low=low,
        high=high,
        standard_error=float(kept.std(ddof=1)) if kept.size > 1 else float("nan"),
        level=level,
        n_clusters=count,
        method=f"cluster bootstrap ({n_resamples})",
    )


def bootstrap_estimate(
    estimate: Estimate,
    *,
    clusters: NDArray[Any] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Bootstrap interval of an off-policy estimate, from its numerators and denominators."""
    return bootstrap_ratio(
        estimate.numerator,
        estimate.denominator,
        clusters=clusters,
        n_resamples=n_resamples,
        seed=seed,
        level=level,
    )


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


def _ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row sums of `top / bottom`, (R, P) each; nan where a denominator is 0."""
    parts = np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom != 0)
    return np.asarray(parts.sum(axis=1), np.float64)
