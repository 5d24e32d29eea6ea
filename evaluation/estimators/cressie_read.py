"""The value under the likeliest reweighting of the log, where weights are known to have mean 1.

Whatever the policy judged, `E[w] = 1` if the log supports it. Karampatziakis, Langford and Mineiro, Empirical
likelihood for contextual bandits, NeurIPS 2020, let the log's rows have probabilities `q_i` near to equal that
obey this, together with *one outcome that the log happens not to hold*, of a weight `v` within the
possible range; with the power divergence of power -2 all has a formula. With `m = n + 1` outcomes,

    minimise sum_i (m q_i - 1)^2   subject to   sum_i q_i = 1,   sum_i q_i w_i = 1,

and the value is `sum_i q_i w_i r_i`, to which the unseen outcome adds `q v r` for any possible reward r. The
solution is a regression on the weights: `q_i = (1 + b (w_i - mean w)) / m` with `b = (1 - mean w) / var w`.
Where the mean weight is below 1 and weights have no known limit, the unseen outcome takes what is missing,
`1 - mean w`, at no probability at all.

`evaluation.intervals.cressie_read` is the same likelihood without the unseen outcome, for rows in clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtri

from behavior.errors import InputError
from evaluation.estimators.blocks import Given, estimate_rows
from evaluation.estimators.result import Estimate
from evaluation.estimators.single import importance_weights
from evaluation.intervals.interval import Interval, check_level

__all__ = ["cressie_read", "cressie_read_bounds"]

_NAME = "Cressie-Read"


def cressie_read(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    weight_range: tuple[float, float] = (0.0, math.inf),
    unseen_reward: float | None = None,
) -> Estimate:
    """Cressie-Read estimate, `sum_i q_i w_i r_i`: q nearest to equal with `sum_i q_i w_i = 1`; IPS with a control.

    Consistent where IPS is (right propensities, support), with a bias that vanishes faster than its error;
    a constant reward gives that constant, equal policies give the log's mean. Its gain over SNIPS is that the
    coefficient of the control variate is estimated rather than taken to be the value.

    Not a ratio of sums: `numerator` holds the linearised terms and `denominator` ones, so a bootstrap of them
    does not fit the reweighting anew.

    Args:
        reward: (n,) reward of each impression.
        logging: (n,) logged propensity of the item shown, in (0, 1].
        evaluation: (n,) probability of the same item under the policy judged.
        weight_range: Least and largest weight that is possible, not only that was seen: such as 0 and
            `1 / least propensity`. (0, inf) where nothing is known.
        unseen_reward: Reward of the outcome that the log does not hold; None: the log's mean reward.

    Returns:
        The estimate; nan where no row has weight.

    Source: Karampatziakis, Langford and Mineiro (2020); the formula is that of the module's head.
    """
    r, w = importance_weights(_NAME, reward, logging, evaluation)
    low, high = _weight_range(w, weight_range)
    filled = float(r.mean()) if unseen_reward is None else float(unseen_reward)
    if not math.isfinite(filled):
        raise InputError(f"`unseen_reward` is {filled}", where=_NAME, mend="Pass a finite reward.")
    terms = _terms(r, w, low if w.mean() >= 1 else high, filled)
    return estimate_rows(_NAME, Given(w[:, None], terms[:, None], None))


def cressie_read_bounds(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    reward_range: tuple[float, float],
    weight_range: tuple[float, float] = (0.0, math.inf),
    level: float = 0.95,
) -> Interval:
    """Interval of all values that a reweighting near to the likeliest gives, one unseen outcome included.

    Asymptotically of the stated level for independent rows; because the unseen outcome may have any possible
    weight and reward, it does not collapse where the log holds no reward at all, unlike Student's. Rows
    that belong to one session are not independent: `evaluation.intervals.cressie_read_interval`.

    Args:
        reward: (n,) reward of each impression.
        logging: (n,) logged propensity of the item shown, in (0, 1].
        evaluation: (n,) probability of the same item under the policy judged.
        reward_range: Least and largest reward that is possible; (0, 1) for clicks.
        weight_range: Least and largest weight that is possible.
        level: Confidence level.

    Source: Karampatziakis, Langford and Mineiro (2020), with the F quantile on n - 1 degrees of
    freedom for the limit's chi-square.
    """
    check_level(level)
    r, w = importance_weights(_NAME, reward, logging, evaluation)
    worst, best = (float(x) for x in reward_range)
    if not (worst <= float(r.min()) and float(r.max()) <= best and math.isfinite(best - worst)):
        raise InputError(
            f"rewards run from {r.min():g} to {r.max():g}, outside `reward_range` {reward_range}",
            where=_NAME,
            mend="Pass the least and the largest reward that a row can have.",
        )
    n = r.shape[0]
    value = cressie_read(reward, logging, evaluation, weight_range=weight_range)
    unseen = _weight_range(w, weight_range)
    likeliest = min(_Fit.of(r, w, v, worst).divergence for v in unseen)
    limit = likeliest + float(fdtri(1, n - 1, level))
    low = min(_Fit.of(r, w, v, worst).least(limit) for v in unseen)
    high = -min(_Fit.of(-r, w, v, -best).least(limit) for v in unseen)
    return Interval(
        value=value.value,
        low=min(max(low, worst), best),
        high=max(min(high, best), worst),
        standard_error=value.standard_error,
        level=level,
        n_clusters=n,
        method="Cressie-Read (-2), with an unseen outcome",
    )


@dataclass(frozen=True)
class _Fit:
    """The reweighting for one weight of the unseen outcome, and how the value moves about it."""

    value: float
    """Value at the least divergence."""
    divergence: float
    """The least divergence."""
    spread: float
    """Change of value for a unit of divergence more, squared."""

    @classmethod
    def of(cls, r: NDArray[np.float64], w: NDArray[np.float64], v: float, unseen_reward: float) -> _Fit:
        n = r.shape[0]
        m = n + 1
        if math.isinf(v):
            # The unseen outcome has no probability, and as much of sum q w = 1 as the others leave over.
            y = w * (r - unseen_reward)
            return cls(unseen_reward + float(y.mean()), 1.0 + 1.0 / n, n * float(y.var()) / m**2)
        weights, products = np.append(w, v), np.append(w * r, v * unseen_reward)  # (m,)
        spread_w = float(weights.var())
        if spread_w == 0:  # all weights are 1: nothing to regress on
            return cls(float(products.mean()), 0.0, float(products.var()) / m)
        moved, gap = weights - weights.mean(), 1.0 - float(weights.mean())
        slope = float(products @ moved) / (m * spread_w)
        rest = products - products.mean() - slope * moved
        return cls(
            float(products.mean()) + slope * gap, m * gap**2 / spread_w, float(np.square(rest).mean()) / m
        )

    def least(self, limit: float) -> float:
        """Least value at a divergence of at most `limit`; inf where there is none."""
        if limit < self.divergence:
            return math.inf
        return self.value - math.sqrt(self.spread * (limit - self.divergence))


def _terms(
    r: NDArray[np.float64], w: NDArray[np.float64], v: float, unseen_reward: float
) -> NDArray[np.float64]:
    """(n,) linearised terms, whose mean is the estimate."""
    n = r.shape[0]
    if not (w > 0).any():
        return np.full(n, np.nan)
    if math.isinf(v):
        return w * r + (1.0 - w) * unseen_reward
    m = n + 1
    mean = (float(w.sum()) + v) / m
    variance = (float(np.square(w - mean).sum()) + (v - mean) ** 2) / m
    if variance == 0:
        return r.copy()
    rise = (1.0 - mean) / variance
    q = (1.0 + rise * (w - mean)) / m  # (n,)
    rest = max(0.0, 1.0 - float(q @ w))  # the unseen outcome's share of the weight
    value = float(q @ (w * r)) + rest * unseen_reward
    products = w * r
    slope = (float(products @ (w - mean)) + v * unseen_reward * (v - mean)) / (m * variance)
    around = products - slope * w
    around -= float(around.mean())
    return np.asarray(value + around, np.float64)


def _weight_range(w: NDArray[np.float64], limits: tuple[float, float]) -> tuple[float, float]:
    low, high = (float(x) for x in limits)
    slack = 1e-9 * max(1.0, float(w.max()))
    if not (0 <= low < 1 < high and low <= w.min() + slack and w.max() <= high + slack):
        raise InputError(
            f"`weight_range` is {limits}, and the log's weights run from {w.min():g} to {w.max():g}",
            where=_NAME,
            mend="Pass the least and the largest weight that is possible: below 1, above 1, and around all weights.",
        )
    return low, high
