"""Inverse propensity scoring of slates, by what one assumes a position's reward to depend on.

With per-position rewards `r_ik`, row sums `R_i`, and ratios `w` of evaluation to logged propensities:

    SIPS = mean(w_slate R)                  the whole slate (Swaminathan et al., NeurIPS 2017)
    IIPS = mean(sum_k w_item_k r_k)         only item and position (Li et al., KDD 2018)
    RIPS = mean(sum_k w_cascade_k r_k)      only the items down to the position (McInerney et al., KDD 2020)

Fewer assumptions, more variance: the slate's ratio is a product of K ratios. The self-normalised forms divide
by the sum of weights, IIPS and RIPS position by position. A position left empty by both policies (a short
candidate list) is passed as reward 0 and both propensities 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from evaluation.estimators.checks import check_probabilities, check_reward, check_same_rows
from evaluation.estimators.result import Estimate, ratio_estimate

__all__ = ["iips", "rips", "sips", "sniips", "snrips", "snsips"]


def _whole(
    name: str, reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, normalise: bool
) -> Estimate:
    total = check_reward(reward, ndim=2, where=name).sum(axis=1)  # (n,)
    b = check_probabilities(logging, name="logging", ndim=1, positive=True, where=name)
    e = check_probabilities(evaluation, name="evaluation", ndim=1, positive=False, where=name)
    check_same_rows(name, reward_sum=total, logging=b, evaluation=e)
    w = (e / b)[:, None]  # (n, 1)
    return ratio_estimate(
        name, weights=w, numerator=w * total[:, None], denominator=w if normalise else np.ones_like(w)
    )


def _by_position(
    name: str, reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, normalise: bool
) -> Estimate:
    r = check_reward(reward, ndim=2, where=name)  # (n, K)
    b = check_probabilities(logging, name="logging", ndim=2, positive=True, where=name)
    e = check_probabilities(evaluation, name="evaluation", ndim=2, positive=False, where=name)
    check_same_rows(name, reward=r, logging=b, evaluation=e)
    w = e / b  # (n, K)
    return ratio_estimate(name, weights=w, numerator=w * r, denominator=w if normalise else np.ones_like(w))


def sips(reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike) -> Estimate:
    """Standard (whole-slate) IPS. Assumes nothing of how users respond; needs overlap of whole slates.

    Args:
        reward: (n, K) reward of each position.
        logging: (n,) logged joint propensity of the slate, in (0, 1].
        evaluation: (n,) joint probability of the same slate under the policy judged.
    """
    return _whole("SIPS", reward, logging, evaluation, normalise=False)


def snsips(reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike) -> Estimate:
    """Self-normalised whole-slate IPS, `sum(w R) / sum(w)`; arguments as for `sips`."""
    return _whole("SNSIPS", reward, logging, evaluation, normalise=True)


def iips(reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike) -> Estimate:
    """Independent (item-position) IPS.

    Unbiased where a position's reward depends on its own item and position only: no cascade, no substitution
    between shown items. The bias where users interact with the slate as a whole can have either sign.

    Args:
        reward: (n, K) reward of each position.
        logging: (n, K) logged marginal propensity of this item at this position, in (0, 1].
        evaluation: (n, K) the same marginal under the policy judged.
    """
    return _by_position("IIPS", reward, logging, evaluation, normalise=False)


def sniips(reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike) -> Estimate:
    """Self-normalised item-position IPS, `sum_k sum_i(w_ik r_ik) / sum_i(w_ik)`; arguments as for `iips`."""
    return _by_position("SNIIPS", reward, logging, evaluation, normalise=True)


def rips(reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike) -> Estimate:
    """Reward-interaction (cascade) IPS.

    Unbiased where a position's reward depends on the items down to it, in order: a user who reads from the
    top. Its weights multiply down the page, so the last positions carry the variance.

    Args:
        reward: (n, K) reward of each position.
        logging: (n, K) logged joint propensity of the slate down to each position, in (0, 1].
        evaluation: (n, K) the same under the policy judged.
    """
    return _by_position("RIPS", reward, logging, evaluation, normalise=False)


def snrips(reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike) -> Estimate:
    """Self-normalised cascade IPS, position by position; arguments as for `rips`."""
    return _by_position("SNRIPS", reward, logging, evaluation, normalise=True)
