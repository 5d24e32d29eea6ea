"""Inverse propensity scoring where a logged row is one impression: one item in one slot.

With reward `r_i`, logged propensity `b_i = pi_b(a_i | x_i)` and `e_i = pi_e(a_i | x_i)`, `w_i = e_i / b_i`:

    IPS   = mean(w r)                 (Horvitz and Thompson 1952; Strehl et al., NeurIPS 2010)
    SNIPS = sum(w r) / sum(w)         (Swaminathan and Joachims, NeurIPS 2015)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from evaluation.estimators.checks import check_probabilities, check_reward, check_same_rows
from evaluation.estimators.result import Estimate, ratio_estimate

__all__ = ["ips", "snips"]


def _single(
    name: str, reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, normalise: bool
) -> Estimate:
    r = check_reward(reward, ndim=1, where=name)  # (n,)
    b = check_probabilities(logging, name="logging", ndim=1, positive=True, where=name)
    e = check_probabilities(evaluation, name="evaluation", ndim=1, positive=False, where=name)
    check_same_rows(name, reward=r, logging=b, evaluation=e)
    w = (e / b)[:, None]  # (n, 1)
    return ratio_estimate(
        name, weights=w, numerator=w * r[:, None], denominator=w if normalise else np.ones_like(w)
    )


def ips(reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike) -> Estimate:
    """Inverse propensity score, `mean(w r)`.

    Unbiased if the logged propensities are right and the log could show whatever the policy would (support).
    Its variance grows with the squared weights; a shift of all rewards changes its error.

    Args:
        reward: (n,) reward of each impression.
        logging: (n,) logged propensity of the item shown, given its slot; in (0, 1].
        evaluation: (n,) probability of the same item in the same slot under the policy judged.
    """
    return _single("IPS", reward, logging, evaluation, normalise=False)


def snips(reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike) -> Estimate:
    """Self-normalised IPS, `sum(w r) / sum(w)`.

    Consistent rather than unbiased, stays inside the range of the rewards, unmoved by how large the weights
    happened to be; assumptions and arguments as for `ips`.
    """
    return _single("SNIPS", reward, logging, evaluation, normalise=True)
