"""IPS through a position-based click model: an item's clicks are shared between the positions it may hold.

With examination `theta_k`, and `p(i, j)` the probability that item i stands at position j,

    PBM-IPS = mean(sum_k r_k * sum_j theta_j p_e(i_k, j) / sum_j theta_j p_b(i_k, j))

(Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay, Wen: Offline evaluation of ranking policies with click
models, KDD 2018, equation 11.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from behavior.errors import InputError
from evaluation.estimators.checks import check_probabilities, check_reward, check_same_rows
from evaluation.estimators.result import Estimate, ratio_estimate

__all__ = ["pbm_ips"]


def pbm_ips(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, examination: ArrayLike
) -> Estimate:
    """Click-model IPS under the position-based model.

    Unbiased where a click is examination (of the position) times attraction (of the item), and the items the
    policy would show can stand somewhere on the logged page: it needs the item anywhere on the page rather
    than at the same position, hence far less overlap than IIPS. A wrong `examination` biases it.

    Args:
        reward: (n, K) reward of each position, zero wherever there was no examination.
        logging: (n, K, K) logged probability that the item shown at k (axis 1) stands at j (axis 2).
        evaluation: (n, K, K) the same under the policy judged.
        examination: (K,) probability that a position is looked at, above 0 somewhere.
    """
    r = check_reward(reward, ndim=2, where="PBM-IPS")  # (n, K)
    b = check_probabilities(logging, name="logging", ndim=3, positive=False, where="PBM-IPS")
    e = check_probabilities(evaluation, name="evaluation", ndim=3, positive=False, where="PBM-IPS")
    theta = check_probabilities(examination, name="examination", ndim=1, positive=False, where="PBM-IPS")
    check_same_rows("PBM-IPS", logging=b, evaluation=e)
    if b.shape != (*r.shape, r.shape[1]) or theta.shape != (r.shape[1],):
        raise InputError(
            f"reward {r.shape}, logging {b.shape} and examination {theta.shape} do not go together",
            where="PBM-IPS",
            mend="Pass (n, K), (n, K, K) and (K,).",
        )
    bottom = (b * theta).sum(axis=2)  # (n, K) how often the log let this item be seen
    if (bottom <= 0).any():
        row, position = (int(i) for i in np.argwhere(bottom <= 0)[0])
        raise InputError(
            "a shown item has no chance of being examined under the logging policy",
            where=f"PBM-IPS, row {row}, position {position}",
            mend="Correct the logged propensities, or the examination probabilities.",
        )
    w = (e * theta).sum(axis=2) / bottom  # (n, K)
    return ratio_estimate("PBM-IPS", weights=w, numerator=w * r, denominator=np.ones_like(w))
