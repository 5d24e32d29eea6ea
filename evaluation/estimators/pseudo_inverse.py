"""The pseudo-inverse estimator: a page's reward as a sum of unknown parts, one for each item at each position.

    PI = mean(w R),  w = phi' Gamma^+ 1_s      (Swaminathan et al., NeurIPS 2017)

It needs only the page's total R, no reward by position. Its weights have mean 1, so `w - 1` is known to average 0
and can take variance away (Vlassis, Chandrashekar, Amat, Kallus: Control variates for slate off-policy
evaluation, NeurIPS 2021):

    control="mean"     sum(w R) / sum(w)                                  self-normalised
    control="single"   mean(w R - beta (w - 1)),  beta = cov(wR, w) / var(w)
    control="slots"    mean(w R - sum_k beta_k (w_k - E_b w_k))           a coefficient for each position

The coefficients come from the same rows: a bias of order 1 / n, as with regression estimators.
`evaluation.estimators.second_moment` makes the weights.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.checks import array_of, check_reward
from evaluation.estimators.result import Estimate, ratio_estimate
from evaluation.estimators.second_moment import (
    SlateWeights,
    dense_weights,
    independent_weights,
    support_weights,
    uniform_weights,
)

__all__ = [
    "Control",
    "pseudo_inverse",
    "pseudo_inverse_independent",
    "pseudo_inverse_support",
    "pseudo_inverse_uniform",
]

Control = Literal["none", "mean", "single", "slots"]
"""Which control variate takes variance away."""

_ROUNDING = 1e-9  # weights have mean 1
_NAMES = {"none": "PI", "mean": "SNPI", "single": "PI-CV", "slots": "PI-CV by position"}


def pseudo_inverse(
    reward: ArrayLike,
    action: ArrayLike,
    evaluation: ArrayLike,
    *,
    gamma: ArrayLike,
    context: ArrayLike | None = None,
    control: Control = "none",
) -> Estimate:
    """Pseudo-inverse estimator, `mean(R phi' Gamma^+ 1_s)`, by the behaviour policy's second-moment matrix.

    Unbiased where the expected page reward is a sum over positions of something that depends on position, item and
    context only, and the policy's marginals lie in the span of the slates that the log can show. Cascades and
    substitution break it. Weights can be below 0, so its values can leave the range of the rewards. Source: Swaminathan
    et al., NeurIPS 2017; control variates by Vlassis et al., NeurIPS 2021.

    Args:
        reward: (n, K) reward of each position, or (n,) of the page.
        action: (n, K) number of the item shown, in [0, A).
        evaluation: (n, K, A) chance of each item at each position under the policy judged; (C, K, A) with `context`.
        gamma: (K A, K A) `E_b[1_s 1_s']`, row k A + a for item a at position k; with `context` also (C, K A, K A).
            Small ones only; the forms below are for those that factor.
        context: (n,) number of the row's context; None: every row states its own marginals.
        control: The control variate, see above.

    Raises:
        InputError: A matrix that is no second moment or too large, or values that are not what they must be.
    """
    name = _name(control)
    total = _total(reward, name)
    return _estimate(
        name, total, dense_weights(action, evaluation, gamma=gamma, context=context, where=name), control
    )


def pseudo_inverse_uniform(
    reward: ArrayLike,
    evaluation: ArrayLike,
    anywhere: ArrayLike,
    *,
    n_items: ArrayLike,
    control: Control = "none",
) -> Estimate:
    """Pseudo-inverse estimator for pages drawn uniformly without repeats, in closed form: any number of items.

    Assumptions as for `pseudo_inverse`.

    Args:
        reward: (n, K) reward of each position, or (n,) of the page.
        evaluation: (n, K) chance of the item shown at its position, under the policy judged.
        anywhere: (n, K) chance of the item shown at any of the positions, under the policy judged.
        n_items: Number of candidates: one number, or (n,) of each row.
        control: The control variate.
    """
    name = _name(control)
    total = _total(reward, name)
    return _estimate(name, total, uniform_weights(evaluation, anywhere, n_items=n_items, where=name), control)


def pseudo_inverse_independent(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, control: Control = "none"
) -> Estimate:
    """Pseudo-inverse estimator for behaviour that draws every position on its own: `w = 1 + sum_k (w_k - 1)`.

    Assumptions as for `pseudo_inverse`; the behaviour policy may repeat items.

    Args:
        reward: (n, K) reward of each position, or (n,) of the page.
        logging: (n, K) logged probability of the item at its position, in (0, 1].
        evaluation: (n, K) marginal of the same item there under the policy judged.
        control: The control variate.
    """
    name = _name(control)
    total = _total(reward, name)
    return _estimate(name, total, independent_weights(logging, evaluation, where=name), control)


def pseudo_inverse_support(
    reward: ArrayLike,
    logged: ArrayLike,
    slates: ArrayLike,
    probability: ArrayLike,
    evaluation: ArrayLike,
    *,
    context: ArrayLike | None = None,
    control: Control = "none",
) -> Estimate:
    """Pseudo-inverse estimator for behaviour that shows one of S known slates, of any number of items.

    Assumptions as for `pseudo_inverse`.

    Args:
        reward: (n, K) reward of each position, or (n,) of the page.
        logged: (n,) number of the row's slate, in [0, S).
        slates: (S, K) item of each position.
        probability: (S,), or (C, S) with `context`: the behaviour policy.
        evaluation: (S, K), or (C, S, K): chance under the policy judged of the item that slate s has at position k.
        context: (n,) number of the row's context.
        control: The control variate.
    """
    name = _name(control)
    total = _total(reward, name)
    weights = support_weights(logged, slates, probability, evaluation, context=context, where=name)
    return _estimate(name, total, weights, control)


def _name(control: Control) -> str:
    if control not in _NAMES:
        raise InputError(
            f"control variate {control!r}", where="PI", mend=f"Use one of {', '.join(sorted(_NAMES))}."
        )
    return _NAMES[control]


def _total(reward: ArrayLike, where: str) -> NDArray[np.float64]:
    if array_of(reward, "reward", where).ndim == 1:
        return check_reward(reward, ndim=1, where=where)
    each = check_reward(reward, ndim=2, where=where)
    if each.shape[1] == 0:
        raise InputError("slates without positions", where=where, mend="Pass rewards (n, K) with K above 0.")
    total: NDArray[np.float64] = each @ np.ones(each.shape[1])
    return total


def _estimate(name: str, total: NDArray[np.float64], slots: SlateWeights, control: Control) -> Estimate:
    w = slots.total
    if w.shape != total.shape:
        raise InputError(
            f"{total.shape[0]} rewards for {w.shape[0]} slates",
            where=name,
            mend="Pass one entry per logged row.",
        )
    weighted = w * total
    if control == "single":
        weighted = _without(weighted, (w - slots.mean.sum(axis=1))[:, None])
    elif control == "slots":
        weighted = _without(weighted, slots.parts - slots.mean)
    column = w[:, None]
    return ratio_estimate(
        name,
        weights=column,
        numerator=weighted[:, None],
        denominator=column if control == "mean" else np.broadcast_to(np.float64(1.0), column.shape),
    )


def _without(values: NDArray[np.float64], controls: NDArray[np.float64]) -> NDArray[np.float64]:
    """`values` (n,) less the linear combination of `controls` (n, P), known to average 0, that varies most with it."""
    apart = controls - controls.mean(axis=0)
    # Weights that are all alike (a policy judged on its own log) leave rounding, whose coefficients mean nothing.
    apart[:, np.abs(apart).max(axis=0, initial=0.0) <= _ROUNDING] = 0.0
    moments, with_values = apart.T @ apart, apart.T @ (values - values.mean())
    # Parts that always add up to a constant have no coefficients of their own: the least of all will do.
    beta = np.linalg.pinv(moments, rcond=1e-12, hermitian=True) @ with_values
    left: NDArray[np.float64] = values - controls @ beta
    return left
