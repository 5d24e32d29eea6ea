"""How sure a distribution of rewards is: intervals of its figures, and a band around the whole of it.

The bootstrap gives each cluster (session or user) a Poisson(1) weight and works out the distribution anew, ratios,
quantiles and all. The finite-sample band is for plain weights with a bound that is known beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators.distribution import RewardDistribution, cdf_of, figures_of_mass
from evaluation.intervals.interval import Interval, check_level

__all__ = ["Band", "bootstrap_band", "bounded_band", "distribution_figures"]

_MOST_POINTS = 100_000


@dataclass(frozen=True, kw_only=True)
class Band:
    """A band that holds the whole distribution function at once with probability `level`."""

    support: NDArray[np.float64]
    """(U,)"""
    low: NDArray[np.float64]
    """(U,) lower edge of the distribution function."""
    high: NDArray[np.float64]
    """(U,) upper edge."""
    level: float
    """Probability with which all of it lies inside."""
    method: str
    """How it was made."""


def distribution_figures(
    distribution: RewardDistribution,
    *,
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9),
    cvar: tuple[float, ...] = (0.1,),
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Mean, variance, quantiles and means of the worst shares, each with a percentile interval over clusters.

    Args:
        distribution: What was estimated.
        quantiles: Shares, as for `RewardDistribution.quantile`.
        cvar: Shares, as for `RewardDistribution.cvar`.
        n_resamples: Resamples.
        seed: Of the resampling.
        level: Confidence level of each interval.

    Returns:
        `mean`, `variance`, `quantile 0.1`, ..., `cvar 0.1`, ... The ends are infinite with fewer than two clusters.
    """
    check_level(level)
    for share in (*quantiles, *cvar):
        if not 0 < share < 1:
            raise InputError(
                f"a share of {share}", where="distribution figures", mend="Pass shares in (0, 1)."
            )
    names = ["mean", "variance", *(f"quantile {q:g}" for q in quantiles), *(f"cvar {c:g}" for c in cvar)]
    values = figures_of_mass(distribution.support, distribution.mass, quantiles, cvar)
    count = int(distribution.clusters.max()) + 1
    drawn = np.array(
        [
            figures_of_mass(distribution.support, np.diff(cdf, prepend=0.0), quantiles, cvar)
            for cdf in _resampled(distribution, n_resamples, seed)
        ]
    )
    ends = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)  # (2, F)
    if count < 2:
        ends = np.array([[-np.inf], [np.inf]]) * np.ones_like(ends)
    return {
        name: Interval(
            value=float(values[f]),
            low=float(ends[0, f]),
            high=float(ends[1, f]),
            standard_error=float(drawn[:, f].std(ddof=1)),
            level=level,
            n_clusters=count,
            method=f"cluster bootstrap ({n_resamples})",
        )
        for f, name in enumerate(names)
    }


def bootstrap_band(
    distribution: RewardDistribution, *, n_resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Band:
    """A band of one width, the `level` quantile over resamples of the greatest distance from the estimate.

    Right in the limit of many effective clusters (Bickel and Freedman: Some asymptotic theory for the bootstrap,
    Annals of Statistics 1981, section 4).
    """
    check_level(level)
    far = [float(np.abs(cdf - distribution.cdf).max()) for cdf in _resampled(distribution, n_resamples, seed)]
    reach, how = float(np.quantile(far, level)), f"cluster bootstrap ({n_resamples})"
    return _band(distribution.support, distribution.cdf, reach, level, how)


def bounded_band(distribution: RewardDistribution, *, weight_bound: float, level: float = 0.95) -> Band:
    """A band that holds for any number of units, for plain weights that can never be above `weight_bound`.

    With a bound of 1 (the log's own policy) it is that of Dvoretzky, Kiefer and Wolfowitz with Massart's constant
    (Annals of Probability 1990). Otherwise Hoeffding's inequality at `m` levels of the true distribution at once,
    between which it rises by at most 1 / (m + 1): half the width is the least over m of
    `bound sqrt(log(2 m / delta) / (2 n)) + 1 / (m + 1)`.

    Args:
        distribution: A plain one (`self_normalised=False`) of units that are independent.
        weight_bound: The largest weight that could have occurred, by the policies, not by the log.
        level: Confidence level.

    Raises:
        InputError: Self-normalised weights, several units of one cluster, or a bound below the largest weight.
    """
    check_level(level)
    where, n = "bounded band", distribution.values.shape[0]
    if distribution.self_normalised:
        raise InputError(
            "self-normalised weights have no such band",
            where=where,
            mend="Estimate with self_normalised=False, or take bootstrap_band.",
        )
    if np.unique(distribution.clusters).size != n:
        raise InputError(
            "several units of one cluster depend on each other",
            where=where,
            mend="Pass one unit per session or user, or take bootstrap_band.",
        )
    largest = float(distribution.weights.max())
    if not (math.isfinite(weight_bound) and weight_bound >= largest):
        raise InputError(
            f"a bound of {weight_bound}, but a weight of {largest:.4g} occurs",
            where=where,
            mend="Pass the largest ratio of both policies' probabilities that is possible.",
        )
    delta = 1.0 - level
    if weight_bound <= 1.0 and bool((distribution.weights == 1.0).all()):
        reach, how = math.sqrt(math.log(2 / delta) / (2 * n)), "Dvoretzky-Kiefer-Wolfowitz"
    else:
        m = np.arange(1, min(n, _MOST_POINTS) + 1, dtype=np.float64)
        widths = weight_bound * np.sqrt(np.log(2 * m / delta) / (2 * n)) + 1 / (m + 1)
        reach, how = float(widths.min()), f"Hoeffding, weights at most {weight_bound:g}"
    code = np.searchsorted(distribution.support, distribution.values)
    mass = np.bincount(code, weights=distribution.weights, minlength=distribution.support.shape[0])
    # As it was estimated, without the 1 at the last logged value: above it there may be rewards that the log never saw.
    return _band(distribution.support, np.minimum(np.cumsum(mass) / n, 1.0), reach, level, how)


def _band(
    support: NDArray[np.float64], cdf: NDArray[np.float64], reach: float, level: float, method: str
) -> Band:
    low, high = np.maximum(cdf - reach, 0.0), np.minimum(cdf + reach, 1.0)
    return Band(support=support, low=low, high=high, level=level, method=method)


def _resampled(
    distribution: RewardDistribution, n_resamples: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Distribution functions (U,) of resamples; one without any weight is drawn again."""
    if n_resamples < 1:
        raise InputError(f"{n_resamples} resamples", where="distribution", mend="Ask for at least one.")
    rng = np.random.default_rng(seed)
    code = np.searchsorted(distribution.support, distribution.values)
    count, size = int(distribution.clusters.max()) + 1, distribution.support.shape[0]
    made = 0
    while made < n_resamples:
        times = rng.poisson(1.0, count)[distribution.clusters]  # (n,)
        mass = np.bincount(code, weights=times * distribution.weights, minlength=size).astype(np.float64)
        if mass.any():
            made += 1
            yield cdf_of(mass, float(times.sum()), distribution.self_normalised)
