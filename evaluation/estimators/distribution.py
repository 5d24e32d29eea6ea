"""The distribution of rewards under a policy, not only their mean: quantiles, the worst tenth, the spread.

With values `y_i` of `n` units (sessions by their whole reward, or pages) and weights `w_i` of the unit:

    F(y) = sum_i w_i 1[y_i <= y] / sum_i w_i          self-normalised
    F(y) = min(1, sum_i w_i 1[y_i <= y] / n)          plain

(Huang, Leqi, Lipton, Azizzadenesheli: Off-policy risk assessment in contextual bandits, NeurIPS 2021, section 4; for
sessions Chandak et al.: Universal off-policy evaluation, NeurIPS 2021, section 3.) Everything else is read off `F`. A
session's whole reward needs the weight of the whole session, which dies within a few pages: look at `ess` first, and
ask of single pages where it is small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.checks import array_of, check_reward, check_same_rows
from evaluation.estimators.result import effective_sample_size
from evaluation.estimators.sessions_weights import discount, weigh_sessions
from evaluation.intervals.interval import cluster_index, cluster_sums

__all__ = [
    "FEW_UNITS",
    "RewardDistribution",
    "figures_of_mass",
    "reward_distribution",
    "session_distribution",
]

FEW_UNITS = 50.0
"""An effective number of sessions below this makes every figure of the distribution a guess, and it says so."""


@dataclass(frozen=True, kw_only=True)
class RewardDistribution:
    """An estimated distribution of rewards on the `U` values that occur in the log."""

    support: NDArray[np.float64]
    """(U,) the values, rising."""
    cdf: NDArray[np.float64]
    """(U,) estimated probability of a value at most this one; the last is 1."""
    values: NDArray[np.float64]
    """(n,) value of each unit."""
    weights: NDArray[np.float64]
    """(n,) weight of each unit."""
    clusters: NDArray[np.intp]
    """(n,) 0 .. C-1: the session or user of each unit, in the order of their labels."""
    self_normalised: bool
    """Which of the two forms."""
    ess: float
    """Effective number of clusters."""
    warnings: tuple[str, ...]
    """What a reader must know beside the figures."""

    @property
    def mass(self) -> NDArray[np.float64]:
        """(U,) probability of each value."""
        return np.diff(self.cdf, prepend=0.0)

    def probability(self, at_most: float) -> float:
        """Probability of a reward of at most this."""
        place = int(np.searchsorted(self.support, at_most, side="right"))
        return float(self.cdf[place - 1]) if place else 0.0

    def mean(self) -> float:
        """Expected reward."""
        return float(self.mass @ self.support)

    def variance(self) -> float:
        """Variance of the reward of one unit (not of the estimate)."""
        return float(figures_of_mass(self.support, self.mass, (), ())[1])

    def quantile(self, share: float) -> float:
        """The smallest value that at least this share of units stays at or below."""
        return float(figures_of_mass(self.support, self.mass, _shares((share,)), ())[2])

    def cvar(self, share: float) -> float:
        """Mean reward of the worst `share` of units (conditional value at risk of the lower tail)."""
        return float(figures_of_mass(self.support, self.mass, (), _shares((share,)))[2])


def reward_distribution(
    values: ArrayLike,
    weights: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    self_normalised: bool = True,
) -> RewardDistribution:
    """The distribution of the values of units that each have a weight of their own.

    Right (in the limit; plain: unbiased at each value) under the assumptions of the weights: whole pages need joint
    propensities, since a page's total does not split into positions.

    Args:
        values: (n,) reward of each unit: page, session, or any other figure of it.
        weights: (n,) importance weight of each unit, at least 0.
        clusters: (n,) label of the session or user of each unit; None: every unit for itself.
        self_normalised: Which form.

    Raises:
        InputError: Values or weights that are not finite, negative weights, or no weight at all.
    """
    where = "reward distribution"
    y = check_reward(values, ndim=1, where=where)
    try:
        w = np.asarray(weights, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("`weights` are not numbers", where=where, mend="Pass numbers.") from error
    check_same_rows(where, values=y, weights=w)
    bad = ~np.isfinite(w) | (w < 0)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"`weights` holds {w[row]}",
            where=f"{where}, row {row}",
            mend="Pass finite weights of at least 0.",
        )
    if not w.any():
        raise InputError(
            "all weights are 0",
            where=where,
            mend="The log never shows what the policy would show: bring a log with more exploration.",
        )
    labels = None if clusters is None else np.asarray(clusters)
    dense, count = cluster_index(labels, y.shape[0])
    support, code = np.unique(y, return_inverse=True)
    mass = np.bincount(code.reshape(-1), weights=w, minlength=support.shape[0]).astype(np.float64)
    ess = float(effective_sample_size(cluster_sums(w[:, None], dense, count))[0])
    warnings = []
    if ess < FEW_UNITS:
        warnings.append(
            f"the figures rest on an effective number of {ess:.1f} sessions: neither they nor their intervals can be "
            "believed"
        )
    return RewardDistribution(
        support=support,
        cdf=cdf_of(mass, y.shape[0], self_normalised),
        values=y,
        weights=w,
        clusters=dense,
        self_normalised=self_normalised,
        ess=ess,
        warnings=tuple(warnings),
    )


def session_distribution(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    session: ArrayLike,
    step: ArrayLike,
    gamma: float = 1.0,
    self_normalised: bool = True,
) -> RewardDistribution:
    """The distribution of a session's whole reward; arguments as for `evaluation.estimators.sessions.tis`.

    Sessions stand in the order of their labels. Each counts as a cluster of its own: where users have several, take
    `reward_distribution` with the users' labels.
    """
    name = "session distribution"
    if array_of(logging, "logging", name).ndim != 1:
        raise InputError(
            f"`logging` has shape {np.shape(logging)}, expected (rows,)",
            where=name,
            mend="Pass joint propensities of whole pages: a session's total does not split into positions.",
        )
    found = weigh_sessions(reward, logging, evaluation, session=session, step=step, carry=None, where=name)
    factor = found.layout.discounts(discount(gamma, where=name))
    total = (found.reward[:, :, 0] * factor).sum(axis=1)
    return reward_distribution(total, found.upto[:, -1], self_normalised=self_normalised)


def cdf_of(mass: NDArray[np.float64], n: float, self_normalised: bool) -> NDArray[np.float64]:
    """The distribution function (U,) of summed weights (U,) of `n` units."""
    below: NDArray[np.float64] = np.cumsum(mass)
    cdf = below / below[-1] if self_normalised else np.minimum(below / n, 1.0)
    cdf[-1] = 1.0  # no logged value is above the last one
    return cdf


def figures_of_mass(
    support: NDArray[np.float64],
    mass: NDArray[np.float64],
    quantiles: tuple[float, ...],
    cvar: tuple[float, ...],
) -> NDArray[np.float64]:
    """Mean, variance, then the quantiles and the means of the worst shares, of masses (U,) that sum to 1."""
    mean = float(mass @ support)
    cdf = np.cumsum(mass)
    figures = [mean, float(mass @ np.square(support - mean))]
    slack = 1e-12  # sums of masses reach a share of theirs but for rounding
    for share in quantiles:
        figures.append(support[min(int(np.searchsorted(cdf, share - slack)), support.size - 1)])
    for share in cvar:
        taken = np.clip(share - (cdf - mass), 0.0, mass)  # of each value, how much lies in the worst share
        figures.append(float(taken @ support) / float(taken.sum()))
    return np.array(figures, np.float64)


def _shares(shares: tuple[Any, ...]) -> tuple[float, ...]:
    for share in shares:
        if not 0 < share < 1:
            raise InputError(
                f"a share of {share}", where="reward distribution", mend="Pass shares between 0 and 1."
            )
    return tuple(float(share) for share in shares)
