"""Estimators of one hyper-parameter that trade bias for variance by shrinking large weights.

With `w`, `q` and `m` as in `evaluation.estimators.doubly_robust`, each takes a shrunk weight `s(w)`:

    clipped     s = min(w, l)                 l = inf: IPS          (Ionides 2008; Bottou et al., JMLR 2013)
    sub-Gauss   s = w / (1 - l + l w)         l = 0: IPS, DR        (Metelli, Russo and Restelli, NeurIPS 2021)
    switch      s = w if w <= l else 0        l = inf: DR, 0: DM    (Wang, Agarwal and Dudik, ICML 2017)
    optimistic  s = l w / (w^2 + l)           l = inf: DR, 0: DM    (Su et al., ICML 2020)

and is `mean(s r)` without a model, `mean(m + s (r - q))` with one. All are biased by `E[(s - w)(r - q)]`, which
a good model makes small; `evaluation.estimators.tuning` chooses `l`. The diagnostics of an estimate (effective
sample, largest and mean weight) are of the shrunk weights: 1 less the mean weight is about the share of
the policy's choices that are left to the model, or, without a model, counted as worth nothing.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.doubly_robust import shrunk_dr
from evaluation.estimators.result import Estimate
from evaluation.estimators.single import importance_weights, weighted_mean

__all__ = [
    "clip",
    "clipped_dr",
    "clipped_ips",
    "dros",
    "optimistic",
    "sgdr",
    "sgips",
    "subgaussian",
    "switch",
    "switch_dr",
]


def clip(weights: NDArray[np.float64], parameter: float) -> NDArray[np.float64]:
    """`min(w, l)`; `l` in [0, inf]."""
    return np.minimum(weights, _parameter("clipping", parameter, math.inf))


def switch(weights: NDArray[np.float64], parameter: float) -> NDArray[np.float64]:
    """`w` where it does not exceed `l`, else 0; `l` in [0, inf]."""
    return np.where(weights <= _parameter("switching", parameter, math.inf), weights, 0.0)


def optimistic(weights: NDArray[np.float64], parameter: float) -> NDArray[np.float64]:
    """`l w / (w^2 + l)`, and its limits 0 at `l = 0` and `w` at `l = inf`."""
    strength = _parameter("optimistic shrinkage", parameter, math.inf)
    if strength > 1:  # the form that has its limit at infinity
        return weights / (1.0 + np.square(weights) / strength)
    bottom = np.square(weights) + strength  # the form that has its limit at 0
    return np.divide(strength * weights, bottom, out=np.zeros_like(weights), where=bottom > 0)


def subgaussian(weights: NDArray[np.float64], parameter: float) -> NDArray[np.float64]:
    """`w / (1 - l + l w)`; `l` in [0, 1]. At `l = 1` every weight above 0 is 1 (and 0 stays 0)."""
    share = _parameter("sub-Gaussian shrinkage", parameter, 1.0)
    bottom = 1.0 - share + share * weights
    return np.divide(weights, bottom, out=np.zeros_like(weights), where=bottom > 0)


def clipped_ips(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, parameter: float
) -> Estimate:
    """IPS of clipped weights, `mean(min(w, l) r)`.

    Biased towards 0 by `E[(w - l)+ r]` where rewards are not negative; unbiased at `l = inf`.

    Args:
        reward: (n,) reward of each impression.
        logging: (n,) logged propensity of the item shown, in (0, 1].
        evaluation: (n,) probability of the same item under the policy judged.
        parameter: The cap `l` in [0, inf].

    Source: Bottou et al., Counterfactual reasoning and learning systems, JMLR 2013.
    """
    r, w = importance_weights("clipped IPS", reward, logging, evaluation)
    return weighted_mean("clipped IPS", r, clip(w, parameter), self_normalised=False)


def sgips(reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, parameter: float) -> Estimate:
    """Sub-Gaussian IPS, `mean(w r / (1 - l + l w))`.

    Biased by `E[(s - w) r]`, s the shrunk weight; every s stays below `1 / l`, and error bounds decay as a Gaussian's
    (Metelli, Russo and Restelli, Subgaussian and differentiable importance sampling, NeurIPS 2021).

    Args:
        reward: (n,) reward of each impression.
        logging: (n,) logged propensity of the item shown, in (0, 1].
        evaluation: (n,) probability of the same item under the policy judged.
        parameter: `l` in [0, 1]; 0 is IPS.
    """
    r, w = importance_weights("SG-IPS", reward, logging, evaluation)
    return weighted_mean("SG-IPS", r, subgaussian(w, parameter), self_normalised=False)


def clipped_dr(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    q_logged: ArrayLike,
    q_policy: ArrayLike,
    parameter: float,
) -> Estimate:
    """Doubly robust with clipped weights, `mean(m + min(w, l) (r - q))`: Su et al. (2020).

    Called *pessimistic* there: optimal against a model of which only the largest error is known. Arguments
    as for `switch_dr`.
    """
    return shrunk_dr(
        "clipped DR", reward, logging, evaluation, q_logged, q_policy, lambda w: clip(w, parameter)
    )


def sgdr(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    q_logged: ArrayLike,
    q_policy: ArrayLike,
    parameter: float,
) -> Estimate:
    """Doubly robust with sub-Gaussian weights, `mean(m + w (r - q) / (1 - l + l w))`; `l` in [0, 1], 0 is DR.

    Arguments as for `switch_dr`, but for the range of `parameter`; source as for `sgips`.
    """
    return shrunk_dr(
        "SG-DR", reward, logging, evaluation, q_logged, q_policy, lambda w: subgaussian(w, parameter)
    )


def switch_dr(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    q_logged: ArrayLike,
    q_policy: ArrayLike,
    parameter: float,
) -> Estimate:
    """Switch-DR, `mean(m + w 1[w <= l] (r - q))`: the model alone wherever the weight is larger than `l`.

    Biased by the model's error there, `E[w 1[w > l] (q - r)]`.

    Args:
        reward: (n,) reward of each impression.
        logging: (n,) logged propensity of the item shown, in (0, 1].
        evaluation: (n,) probability of the same item under the policy judged.
        q_logged: (n,) predicted reward of the item shown.
        q_policy: (n,) predicted reward under the policy judged.
        parameter: The threshold `l` in [0, inf]; inf is DR, 0 is DM.

    Source: Wang, Agarwal and Dudik, Optimal and adaptive off-policy evaluation in contextual bandits, ICML
    2017, with the doubly robust estimator in place of IPS below the threshold.
    """
    return shrunk_dr(
        "Switch-DR", reward, logging, evaluation, q_logged, q_policy, lambda w: switch(w, parameter)
    )


def dros(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    q_logged: ArrayLike,
    q_policy: ArrayLike,
    parameter: float,
) -> Estimate:
    """Doubly robust with optimistic shrinkage, `mean(m + l w / (w^2 + l) (r - q))`.

    The weight rises with `w` up to `sqrt(l) / 2` at `w = sqrt(l)` and falls beyond: the largest weights
    are trusted least. Arguments as for `switch_dr`; `l` in [0, inf], inf is DR, 0 is DM.

    Source: Su, Dimakopoulou, Krishnamurthy and Dudik, Doubly robust off-policy evaluation with shrinkage,
    ICML 2020.
    """
    return shrunk_dr(
        "DRos", reward, logging, evaluation, q_logged, q_policy, lambda w: optimistic(w, parameter)
    )


def _parameter(what: str, value: float, high: float) -> float:
    number = float(value)
    if not 0 <= number <= high:
        raise InputError(
            f"the parameter of {what} is {value}, expected 0 to {high:g}",
            where="parameter",
            mend="Choose it by `evaluation.estimators.tuning`, or by hand within that range.",
        )
    return number
