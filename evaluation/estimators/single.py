"""Inverse propensity scoring where a logged row is one impression: one item in one slot.

With reward `r_i`, logged propensity `b_i = pi_b(a_i | x_i)` and `e_i = pi_e(a_i | x_i)`, `w_i = e_i / b_i`:

    IPS   = mean(w r)                 (Horvitz and Thompson 1952; Strehl et al., NeurIPS 2010)
    SNIPS = sum(w r) / sum(w)         (Swaminathan and Joachims, NeurIPS 2015)
    B-IPS = sum(v r) / sum(v)         (Sondhi, Arbour and Dimmery, AISTATS 2020)

where `v` are weights that a classifier learned (`evaluation.estimators.fitted_weights`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.blocks import Given, estimate_rows
from evaluation.estimators.checks import check_finite, check_probabilities, check_reward, check_same_rows
from evaluation.estimators.result import Estimate

__all__ = ["bips", "given_weights", "importance_weights", "ips", "snips", "weighted_mean"]


def importance_weights(
    where: str, reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Checked rewards and weights, (n,) each; errors name the estimator `where`."""
    r = check_reward(reward, ndim=1, where=where)  # (n,)
    b = check_probabilities(logging, name="logging", ndim=1, positive=True, where=where)
    e = check_probabilities(evaluation, name="evaluation", ndim=1, positive=False, where=where)
    check_same_rows(where, reward=r, logging=b, evaluation=e)
    with np.errstate(over="ignore"):
        w = e / b
    if not np.isfinite(w).all():
        row = int(np.argmin(np.isfinite(w)))
        raise InputError(
            f"a propensity of {b[row]:g} makes an infinite weight",
            where=f"{where}, row {row}",
            mend="Correct the log: a page that was shown cannot have been that unlikely.",
        )
    return r, w


def weighted_mean(
    where: str, reward: NDArray[np.float64], weights: NDArray[np.float64], *, self_normalised: bool
) -> Estimate:
    """`mean(w r)`, or `sum(w r) / sum(w)`, of checked arrays (n,)."""
    w = weights[:, None]  # (n, 1)
    return estimate_rows(where, Given(w, w * reward[:, None], w if self_normalised else None))


def ips(reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike) -> Estimate:
    """Inverse propensity score, `mean(w r)`.

    Unbiased if the logged propensities are right and the log could show whatever the policy would (support).
    Its variance grows with the squared weights; a shift of all rewards changes its error. Source: Horvitz and Thompson,
    JASA 1952; Strehl et al., NeurIPS 2010.

    Args:
        reward: (n,) reward of each impression.
        logging: (n,) logged propensity of the item shown, given its slot; in (0, 1].
        evaluation: (n,) probability of the same item in the same slot under the policy judged.
    """
    r, w = importance_weights("IPS", reward, logging, evaluation)
    return weighted_mean("IPS", r, w, self_normalised=False)


def snips(reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike) -> Estimate:
    """Self-normalised IPS, `sum(w r) / sum(w)`.

    Consistent rather than unbiased, stays inside the range of the rewards, unmoved by how large the weights
    happened to be; assumptions and arguments as for `ips`. Source: Swaminathan and Joachims, NeurIPS 2015.
    """
    r, w = importance_weights("SNIPS", reward, logging, evaluation)
    return weighted_mean("SNIPS", r, w, self_normalised=True)


def bips(reward: ArrayLike, weights: ArrayLike, *, self_normalised: bool = True) -> Estimate:
    """Balanced IPS, `sum(v r) / sum(v)`: the mean reward under weights that were learned rather than divided.

    Consistent if the weights converge to `pi_e / pi_b`; nothing has to be known of the logging policy, and
    nothing unbiased remains: an error of the classifier is an error of the value. Learned weights have no
    reason to average to 1, hence the self-normalised form by default. The standard error takes the weights
    as given.

    Args:
        reward: (n,) reward of each impression.
        weights: (n,) learned weights, not negative (`fitted_weights.balanced_weights`).
        self_normalised: Divide by the sum of weights rather than by n.

    Source: Sondhi, Arbour and Dimmery, Balanced off-policy evaluation in general action spaces, AISTATS 2020.
    """
    r = check_reward(reward, ndim=1, where="B-IPS")  # (n,)
    w = given_weights("B-IPS", weights, r)
    return weighted_mean("B-IPS", r, w, self_normalised=self_normalised)


def given_weights(where: str, weights: ArrayLike, reward: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (n,) that were handed in: finite, not negative, one per reward."""
    w = check_finite(
        weights,
        name="weights",
        ndim=1,
        low=0.0,
        where=where,
        mend="Pass one importance weight per logged row: a ratio of probabilities is never negative.",
    )
    check_same_rows(where, reward=reward, weights=w)
    return w
