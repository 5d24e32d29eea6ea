"""Confidence sequences: intervals that hold at all times at once, so that one may look whenever one likes.

By betting (Waudby-Smith and Ramdas, JRSS B 2024) on importance-weighted rewards (Waudby-Smith, Wu, Ramdas,
Karampatziakis, Mineiro, "Anytime-valid off-policy inference for contextual bandits", ACM/JMS 2024). If `x_s >= 0` and
`E[x_s - v m_s | past] = 0`, the wealth

    K_t(v) = prod_{s <= t} (1 + l_s (x_s - v m_s)),     0 <= l_s <= c / (v max m),

of a gambler who bets that the mean is larger than v is a non-negative martingale, and passes 1 / alpha with
probability at most alpha, ever (Ville 1939). It falls in v, so the values still unrefuted are those above a bound. No
upper limit of the weights is needed: the other side bets on `ceiling - reward`, weighted, which is not negative either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators.result import Estimate
from evaluation.intervals.cressie_read import plain_terms
from evaluation.intervals.interval import Interval, check_level

__all__ = ["ConfidenceSequence", "confidence_sequence"]

_FRACTION = 0.5  # c above: the gambler never stakes more than this part of the wealth
_STEPS = 50  # halvings of [0, ceiling]


@dataclass(frozen=True, kw_only=True)
class ConfidenceSequence:
    """Intervals at chosen times, valid together: with confidence `level` none of them, nor any between, is wrong."""

    times: NDArray[np.int64]
    """(T,) numbers of clusters seen."""
    low: NDArray[np.float64]
    """(T,) lower ends, never falling."""
    high: NDArray[np.float64]
    """(T,) upper ends, never rising."""
    value: NDArray[np.float64]
    """(T,) the estimate at these times."""
    level: float
    """Confidence level."""

    def last(self) -> Interval:
        """The interval of the last time."""
        return Interval(
            value=float(self.value[-1]),
            low=float(self.low[-1]),
            high=float(self.high[-1]),
            standard_error=float("nan"),
            level=self.level,
            n_clusters=int(self.times[-1]),
            method="confidence sequence (betting)",
        )


def confidence_sequence(
    estimate: Estimate,
    *,
    reward_max: float | NDArray[np.float64],
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
    times: NDArray[np.int64] | None = None,
) -> ConfidenceSequence:
    """A confidence sequence of the value per row of a plain weighting estimate, rows in the order of time.

    The value must not drift: given the past, each cluster's expected reward is `v` times its expected rows. With users
    as clusters, a user stands where their first row stands.

    Args:
        estimate: IPS, IIPS, RIPS, SIPS and their like: `numerator = weights * reward`, full support.
        reward_max: Greatest reward of a column of `weights` (P,): 1 for a click at each position; K for a slate's sum.
        clusters: (n,) labels of users or sessions; None: every row for itself.
        level: Confidence level, over both sides and all times.
        times: Numbers of clusters after which to look, rising; None: the end alone.

    Raises:
        InputError: A self-normalised estimate, negative rewards, rewards above `reward_max`, times out of order.
    """
    check_level(level)
    terms = plain_terms(estimate, "confidence_sequence")
    top = estimate.weights * np.asarray(reward_max, np.float64)  # (n, P)
    total = float(np.broadcast_to(np.asarray(reward_max, np.float64), top.shape[1:]).sum())
    slack = 1e-9 * (1.0 + np.abs(top))
    if estimate.numerator.shape != top.shape or bool(
        ((estimate.numerator > top + slack) | (estimate.numerator < -slack)).any()
    ):
        raise InputError(
            f"{estimate.name} is not `weights * reward` with rewards from 0 to {reward_max}",
            where="confidence_sequence",
            mend="Use a plain weighting estimate, and name the greatest reward of a position.",
        )
    n = terms.shape[0]
    dense, count = _in_time(clusters, n)
    rows = np.bincount(dense, minlength=count).astype(np.float64)
    gain = np.bincount(dense, weights=np.maximum(terms, 0.0), minlength=count)
    loss = np.bincount(dense, weights=np.maximum(top.sum(axis=1) - terms, 0.0), minlength=count)
    at = np.array([count], np.int64) if times is None else np.asarray(times, np.int64)
    if at.size == 0 or at.min() < 1 or at.max() > count or bool((np.diff(at) <= 0).any()):
        raise InputError(
            f"times {at.tolist()} for {count} clusters",
            where="confidence_sequence",
            mend="Pass rising times.",
        )
    alpha = (1 - level) / 2
    low = _lower_ends(gain / total, rows, at, alpha) * total
    high = total - _lower_ends(loss / total, rows, at, alpha) * total
    value = np.cumsum(gain)[at - 1] / np.cumsum(rows)[at - 1]
    return ConfidenceSequence(times=at, low=low, high=high, value=value, level=level)


def _in_time(clusters: NDArray[Any] | None, n: int) -> tuple[NDArray[np.intp], int]:
    """Number (n,) of each row's cluster in order of first appearance."""
    if clusters is None:
        return np.arange(n), n
    if clusters.shape != (n,):
        raise InputError(
            f"{clusters.shape} cluster labels for {n} rows", where="clusters", mend="Pass one label per row."
        )
    _, first, dense = np.unique(clusters, return_index=True, return_inverse=True)
    rank = np.empty(first.size, np.intp)
    rank[np.argsort(first)] = np.arange(first.size)
    return rank[dense], int(first.size)


def _stakes(gain: NDArray[np.float64], rows: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """The gambler's rates (C,), each from what came before: sqrt(2 log(1/alpha) / (variance t log(1 + t)))."""
    count = gain.shape[0]
    t = np.arange(1, count + 1, dtype=np.float64)
    mean = (0.5 + np.cumsum(gain)) / (1.0 + np.cumsum(rows))  # after t
    square = 0.25 + np.cumsum(np.square(gain - mean * rows))
    variance = np.concatenate([[0.25], square[:-1] / t[:-1]])  # before t
    return np.asarray(np.sqrt(2 * np.log(1 / alpha) / (variance * t * np.log1p(t))))


def _lower_ends(
    gain: NDArray[np.float64], rows: NDArray[np.float64], times: NDArray[np.int64], alpha: float
) -> NDArray[np.float64]:
    """The least value in [0, 1] that is not refuted by each of `times` (T,)."""
    stakes = _stakes(gain, rows, alpha)
    # A cluster may turn out longer than all before: the stake must be safe for the longest that can come.
    longest = float(rows.max())
    goal = np.log(1 / alpha)
    found = np.zeros(times.shape[0])
    floor = 0.0
    for i, time in enumerate(times):
        x, m, rate = gain[:time], rows[:time], stakes[:time]
        low, high = floor, 1.0
        for _ in range(_STEPS):
            middle = (low + high) / 2
            bet = np.minimum(rate, _FRACTION / (max(middle, 1e-12) * longest))
            wealth = np.cumsum(np.log1p(bet * (x - middle * m)))
            low, high = (middle, high) if float(wealth.max()) >= goal else (low, middle)
        floor = low
        found[i] = floor
    return found
