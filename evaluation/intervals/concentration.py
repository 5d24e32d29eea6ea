"""Bounds that hold for every number of clusters, if the range of a term is known: Hoeffding and empirical Bernstein.

With C independent clusters of m_c rows (n in all), terms in [a, b] and z_c = sum_{i in c} (t_i - a):

    Hoeffding (JASA 1963, theorem 2)                     mean +- (b - a) sqrt(log(1/delta) sum_c m_c^2 / 2) / n
    empirical Bernstein (Maurer and Pontil, COLT 2009)   mean +- C/n (sqrt(2 V log(2/delta) / C)
                                                                      + 7 R log(2/delta) / (3 (C - 1)))

each for one side with probability 1 - delta; V the variance of z_c, R = (b - a) max_c m_c. Numbers of rows are taken
as given. For rows of their own this is the usual form. The price of the guarantee is width: the second term of
Bernstein's bound dominates until C is several times b / sd(t).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from behavior.errors import InputError
from evaluation.intervals.interval import Interval, check_level, cluster_index
from evaluation.intervals.means import mean_interval

__all__ = ["BoundMethod", "TermRange", "bernstein_interval", "hoeffding_interval", "one_sided_bound"]

BoundMethod = Literal["hoeffding", "bernstein", "student"]


@dataclass(frozen=True, kw_only=True)
class TermRange:
    """What is known of a term's range; what is None is taken from the terms, and then nothing is guaranteed."""

    low: float | None = None
    """Least possible term; None: 0, or the least term where it is negative."""
    high: float | None = None
    """Greatest possible term (of `w r`: the largest weight times the largest reward); None: the greatest seen."""

    @property
    def known(self) -> bool:
        """Whether both ends are known."""
        return self.low is not None and self.high is not None

    def of(self, terms: NDArray[np.float64]) -> tuple[float, float]:
        """Both ends for `terms` (n,).

        Raises:
            InputError: A term lies outside.
        """
        least, greatest = float(terms.min()), float(terms.max())
        low = min(0.0, least) if self.low is None else self.low
        high = greatest if self.high is None else self.high
        slack = 1e-9 * max(1.0, abs(low), abs(high))
        if least < low - slack or greatest > high + slack:
            raise InputError(
                f"terms from {least:.6g} to {greatest:.6g} outside the range {low:.6g} to {high:.6g}",
                where="TermRange",
                mend="Pass a range that every term keeps: largest weight times largest reward, per row.",
            )
        return low, high


def hoeffding_interval(
    terms: NDArray[np.float64],
    *,
    bound: TermRange,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
) -> Interval:
    """Two-sided Hoeffding interval of the mean of `terms` (n,), each side with half of `1 - level`."""
    return _two_sided("Hoeffding", terms, bound, clusters, level)


def bernstein_interval(
    terms: NDArray[np.float64],
    *,
    bound: TermRange,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
) -> Interval:
    """Two-sided empirical Bernstein interval of the mean of `terms` (n,), each side with half of `1 - level`."""
    return _two_sided("empirical Bernstein", terms, bound, clusters, level)


def one_sided_bound(
    terms: NDArray[np.float64],
    *,
    method: BoundMethod,
    side: Literal["lower", "upper"] = "lower",
    bound: TermRange | None = None,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
) -> float:
    """A value that the mean of `terms` (n,) exceeds (or, `side="upper"`, stays below) with confidence `level`.

    Args:
        terms: (n,).
        method: Of these; "student" needs no range.
        side: Which bound.
        bound: Range of a term; None: the range seen, as the Open Bandit Pipeline does, which guarantees nothing.
        clusters: (n,) labels of users or sessions; None: every row for itself.
        level: Confidence that the bound holds.

    Returns:
        The bound, not clipped to what values are possible.
    """
    check_level(level)
    if method == "student":
        found = mean_interval(terms, clusters=clusters, level=level)
        quantile = float(stdtrit(found.n_clusters - 1, level)) if found.n_clusters > 1 else float("inf")
        reach = quantile * found.standard_error if found.n_clusters > 1 else float("inf")
    else:
        name = "Hoeffding" if method == "hoeffding" else "empirical Bernstein"
        reach = _reach(name, terms, (bound or TermRange()).of(terms), clusters, 1 - level)[0]
    return float(terms.mean()) + (reach if side == "upper" else -reach)


def _two_sided(
    name: str, terms: NDArray[np.float64], bound: TermRange, clusters: NDArray[Any] | None, level: float
) -> Interval:
    check_level(level)
    if terms.shape[0] == 0:
        raise InputError("no rows", where=name, mend="An interval needs at least one row.")
    reach, count = _reach(name, terms, bound.of(terms), clusters, (1 - level) / 2)
    value = float(terms.mean())
    low, high = value - reach, value + reach
    return Interval(
        value=value,
        low=low if bound.low is None else max(low, bound.low),
        high=high if bound.high is None else min(high, bound.high),
        standard_error=float("nan"),
        level=level,
        n_clusters=count,
        method=name if bound.known else f"{name} (range as seen: no guarantee)",
    )


def _reach(
    name: str,
    terms: NDArray[np.float64],
    ends: tuple[float, float],
    clusters: NDArray[Any] | None,
    delta: float,
) -> tuple[float, int]:
    """How far the mean may lie to one side, and the number of clusters."""
    low, high = ends
    n = terms.shape[0]
    dense, count = cluster_index(clusters, n)
    rows = np.bincount(dense, minlength=count).astype(np.float64)  # (C,)
    if name == "Hoeffding":
        return float((high - low) * np.sqrt(-np.log(delta) * np.square(rows).sum() / 2) / n), count
    if count < 2:
        return float("inf"), count
    spread = float(np.bincount(dense, weights=terms - low, minlength=count).var(ddof=1))
    log = -np.log(delta / 2)
    reach = np.sqrt(2 * spread * log / count) + 7 * (high - low) * rows.max() * log / (3 * (count - 1))
    return float(reach * count / n), count
