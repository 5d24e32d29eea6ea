"""Percentile bootstrap over clusters that works out every ratio anew in every resample.

A resample gives each cluster a Poisson(1) weight instead of drawing clusters with replacement: the same to order
1 / C for ratios, because numbers of rows are in the denominators (Hanley and MacGibbon, Comput. Methods Programs
Biomed. 2006; Chamandy et al., Google technical report 2012). The weights are functions of (seed, cluster, resample),
so logs can be streamed, in any order, without holding more than the resampled sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators.result import Estimate
from evaluation.intervals.interval import Interval, check_level, cluster_index, cluster_sums

__all__ = ["BootstrapSums", "bootstrap_difference", "bootstrap_estimate", "bootstrap_ratio", "cluster_keys"]

_MIX = np.uint64(0x9E3779B97F4A7C15)
_CHUNK = 65_536  # rows whose sums are made at once: bounds what is held beside the inputs


class BootstrapSums:
    """Resampled sums of a log that comes in chunks; memory for them alone, `2P x resamples` numbers.

    Rows of one cluster may come in different chunks. The figures do not depend on the order of rows or chunks, but
    for rounding.

    Args:
        n_resamples: Number of resamples.
        seed: Seed of the weights, 0 to 2^64 - 1.

    Example:
        `sums = BootstrapSums(1000); sums.add(numerator, denominator, session); sums.interval()`
    """

    def __init__(self, n_resamples: int = 1000, *, seed: int = 0) -> None:
        if n_resamples < 1:
            raise InputError(
                f"{n_resamples} resamples",
                where="BootstrapSums",
                mend="Ask for at least one; 1,000 are usual.",
            )
        self.n_resamples = n_resamples
        self.seed = seed
        self._drawn: NDArray[np.float64] | None = None  # (2P, tiles)
        self._totals: NDArray[np.float64] | None = None  # (2P,)

    def add(
        self, numerator: NDArray[np.float64], denominator: NDArray[np.float64], clusters: NDArray[Any]
    ) -> None:
        """Take in rows: `numerator` and `denominator` (n, P), `clusters` (n,) labels."""
        keys = cluster_keys(clusters)
        for start in range(0, keys.shape[0], _CHUNK):
            rows = slice(start, start + _CHUNK)
            self._add(np.concatenate([numerator[rows], denominator[rows]], axis=1), keys[rows])

    def _add(self, stats: NDArray[np.float64], keys: NDArray[np.uint64]) -> None:
        # Here, not above: numba takes half a second to load, and most callers of this room need no bootstrap.
        from evaluation.kernels.poisson_sums import TILE, poisson_sums

        if self._drawn is None or self._totals is None:
            tiles = -(-self.n_resamples // TILE)
            self._drawn = np.zeros((stats.shape[1], tiles * TILE))
            self._totals = np.zeros(stats.shape[1])
        self._totals += stats.sum(axis=0)
        stats = np.ascontiguousarray(stats)
        poisson_sums(stats.shape[0], np.ascontiguousarray(keys), stats, np.uint64(self.seed), self._drawn)

    def ratios(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Each ratio on the rows as they are (P,), and in each resample (R, P); nan where a denominator is 0."""
        if self._drawn is None or self._totals is None:
            raise InputError(
                "no rows", where="BootstrapSums", mend="Add rows before asking for the interval."
            )
        drawn = self._drawn[:, : self.n_resamples]
        width = drawn.shape[0] // 2
        return _parts(self._totals[:width], self._totals[width:]), _parts(drawn[:width], drawn[width:]).T

    def interval(
        self, *, n_clusters: int, level: float = 0.95, signs: NDArray[np.float64] | None = None
    ) -> Interval:
        """Percentile interval of the sum of the ratios, each times its sign (P,)."""
        check_level(level)
        whole, resampled = self.ratios()
        signs = np.ones(whole.shape[0]) if signs is None else signs
        return _percentiles(float(whole @ signs), resampled @ signs, level=level, n_clusters=n_clusters)


def cluster_keys(clusters: NDArray[Any]) -> NDArray[np.uint64]:
    """A 64-bit key (n,) for each label: whole numbers as they are, anything else hashed."""
    if np.issubdtype(clusters.dtype, np.integer):
        return clusters.astype(np.int64).view(np.uint64)
    import pandas as pd

    return np.asarray(pd.util.hash_array(clusters), np.uint64)


def bootstrap_ratio(
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
    *,
    clusters: NDArray[Any] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    signs: NDArray[np.float64] | None = None,
) -> Interval:
    """Percentile bootstrap of `sum_p sign_p sum(numerator_p) / sum(denominator_p)`, resampling whole clusters.

    Args:
        numerator: (n,) or (n, P).
        denominator: (n,) or (n, P).
        clusters: (n,) labels of users or sessions; None: every row for itself.
        n_resamples: Number of resamples.
        seed: Seed of the resampling.
        level: Confidence level.
        signs: (P,) factor of each ratio; None: all 1.
    """
    check_level(level)
    if numerator.shape != denominator.shape or numerator.shape[0] == 0:
        raise InputError(
            f"numerator {numerator.shape}, denominator {denominator.shape}",
            where="bootstrap_ratio",
            mend="Pass two arrays of the same shape with at least one row.",
        )
    n = numerator.shape[0]
    top, bottom = numerator.reshape(n, -1), denominator.reshape(n, -1)
    if signs is not None:
        top = top * signs
    if top.shape[1] > 1 and bool((bottom == bottom[:, :1]).all()):
        # Ratios with one denominator add up before they are resampled.
        top, bottom = top.sum(axis=1, keepdims=True), bottom[:, :1]
    sums = BootstrapSums(n_resamples, seed=seed)
    if clusters is None:
        _add_rows(sums, top, bottom)
        count = n
    else:
        dense, count = cluster_index(clusters, n)
        labels = np.empty(count, np.uint64)
        labels[dense] = cluster_keys(clusters)
        tops, bottoms = cluster_sums(top, dense, count), cluster_sums(bottom, dense, count)
        for start in range(0, count, _CHUNK):
            rows = slice(start, start + _CHUNK)
            sums._add(np.concatenate([tops[rows], bottoms[rows]], axis=1), labels[rows])
    found = sums.interval(n_clusters=count, level=level)
    if count < 2:
        return _unbounded(found)
    return found


def _add_rows(sums: BootstrapSums, top: NDArray[np.float64], bottom: NDArray[np.float64]) -> None:
    """Rows without a label are known by what they hold, so that their order cannot matter; equal rows by number."""
    content = np.zeros(top.shape[0], np.uint64)
    for column in (*top.T, *bottom.T):
        bits = np.ascontiguousarray(column + 0.0).view(np.uint64)  # + 0.0: one zero, not two
        content = (content ^ bits) * _MIX
        content ^= content >> np.uint64(29)
    keys = np.empty(top.shape[0], np.uint64)
    keys[np.argsort(content, kind="stable")] = np.arange(top.shape[0], dtype=np.uint64)
    for start in range(0, top.shape[0], _CHUNK):
        rows = slice(start, start + _CHUNK)
        sums._add(np.concatenate([top[rows], bottom[rows]], axis=1), keys[rows])


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


def bootstrap_difference(
    first: Estimate,
    second: Estimate,
    *,
    clusters: NDArray[Any] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Bootstrap interval of `first.value - second.value`, both from the same rows and in the same resamples."""
    if first.numerator.shape[0] != second.numerator.shape[0]:
        raise InputError(
            f"{first.numerator.shape[0]} against {second.numerator.shape[0]} rows",
            where="bootstrap_difference",
            mend="Judge both policies on the same rows of one log.",
        )
    return bootstrap_ratio(
        np.concatenate([first.numerator, second.numerator], axis=1),
        np.concatenate([first.denominator, second.denominator], axis=1),
        clusters=clusters,
        n_resamples=n_resamples,
        seed=seed,
        level=level,
        signs=np.repeat([1.0, -1.0], [first.numerator.shape[1], second.numerator.shape[1]]),
    )


def _parts(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    """`top / bottom`; nan where a denominator is 0."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom != 0)


def _percentiles(value: float, values: NDArray[np.float64], *, level: float, n_clusters: int) -> Interval:
    n_resamples = values.shape[0]
    # A resample without any weight has no value: it says "anything", so it widens the interval on both sides.
    lost = int(np.isnan(values).sum())
    kept = np.sort(values[~np.isnan(values)])
    if lost >= (1 - level) / 2 * n_resamples:
        low, high = float("-inf"), float("inf")
    else:
        # Of R resamples and the truth each is as likely to be the k-th: quantiles stand at k / (R + 1). The usual ones
        # would cost 1 % of coverage at 200 resamples.
        ends = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2], method="weibull")
        low, high = float(ends[0]), float(ends[1])
    return Interval(
        value=value,
        low=low,
        high=high,
        standard_error=float(kept.std(ddof=1)) if kept.size > 1 else float("nan"),
        level=level,
        n_clusters=n_clusters,
        method=f"cluster bootstrap ({n_resamples})",
    )


def _unbounded(found: Interval) -> Interval:
    return Interval(
        value=found.value,
        low=float("-inf"),
        high=float("inf"),
        standard_error=float("nan"),
        level=found.level,
        n_clusters=found.n_clusters,
        method=found.method,
    )
