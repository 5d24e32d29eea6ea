"""IPS through click models: what the model knows of users lets pages share weight that are not the same.

Position-based model, with examination `theta_k`, and `p(i, j)` the probability that item i stands at position j:

    PBM-IPS = mean(sum_k r_k * sum_j theta_j p_e(i_k, j) / sum_j theta_j p_b(i_k, j))

(Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay, Wen: Offline evaluation of ranking policies with click
models, KDD 2018, equation 11.)

Cascade model (Craswell, Zoeter, Taylor, Ramsey: An experimental comparison of click position-bias models, WSDM 2008):
a reader goes down the page until an item satisfies. Whether position k is read depends on *which* items
stand above it, not on their order, so the cascade weight is averaged over that order:

    CM-IPS = mean(sum_k r_k P_e({i_1..i_{k-1}} above, i_k at k) / P_b({i_1..i_{k-1}} above, i_k at k))

This weight is the conditional mean of RIPS's given those items, so its variance is at most RIPS's (Rao-Blackwell).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.blocks import Block, estimate_rows
from evaluation.estimators.checks import (
    SLACK,
    check_probabilities,
    check_reward,
    check_same_rows,
    numbers,
)
from evaluation.estimators.result import Estimate
from evaluation.estimators.weighting import weighted_by_position

__all__ = ["cm_ips", "pbm_ips", "sncm_ips", "snpbm_ips"]


def pbm_ips(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, examination: ArrayLike
) -> Estimate:
    """Position-based-model IPS, `mean(sum_k r_k sum_j theta_j p_e(i_k, j) / sum_j theta_j p_b(i_k, j))`.

    Unbiased where a click is examination (of the position) times attraction (of the item), and the items the
    policy would show can stand somewhere on the logged page: it needs the item anywhere on the page rather
    than at the same position, hence far less overlap than IIPS. A wrong `examination` biases it. Source: Li et al., KDD
    2018, equation 11.

    Args:
        reward: (n, K) reward of each position, zero wherever there was no examination.
        logging: (n, K, K) logged probability that the item shown at k (axis 1) stands at j (axis 2).
        evaluation: (n, K, K) the same under the policy judged.
        examination: (K,) probability that a position is looked at, above 0 somewhere.
    """
    return _position_based("PBM-IPS", reward, logging, evaluation, examination, normalise=False)


def snpbm_ips(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, examination: ArrayLike
) -> Estimate:
    """Self-normalised PBM-IPS, `sum_ik(w_ik r_ik) / sum_i(sum_k theta_k w_ik / sum_k theta_k)`.

    A position's weights do not average 1 by themselves (an item may move to another position); the mean of a page's
    weights by examination does, and is what is divided by. Consistent; assumptions and arguments as for `pbm_ips`.
    """
    return _position_based("SNPBM-IPS", reward, logging, evaluation, examination, normalise=True)


@dataclass(frozen=True)
class _PositionBased:
    name: str
    reward: NDArray[np.float64]  # (n, K)
    logging: NDArray[np.float64]  # (n, K, K)
    evaluation: NDArray[np.float64]  # (n, K, K)
    examination: NDArray[np.float64]  # (K,)
    normalise: bool

    @property
    def n_rows(self) -> int:
        return int(self.reward.shape[0])

    @property
    def width(self) -> int:
        return int(self.reward.shape[1]) ** 2

    def block(self, rows: slice) -> Block:
        theta = self.examination
        b, e = self.logging[rows], self.evaluation[rows]  # (m, K, K)
        for name, array in (("logging", b), ("evaluation", e)):
            if not (array.min() >= -SLACK and array.max() <= 1 + SLACK):
                whole = getattr(self, name)  # the block only knows that something is wrong
                check_probabilities(whole, name=name, ndim=3, positive=False, where=self.name)
        bottom, top = b @ theta, np.maximum(e @ theta, 0.0)  # (m, K)
        if (bottom <= 0).any():
            row, position = (int(i) for i in np.argwhere(bottom <= 0)[0])
            raise InputError(
                "a shown item has no chance of being examined under the logging policy",
                where=f"{self.name}, row {rows.start + row}, position {position}",
                mend="Correct the logged propensities, or the examination probabilities.",
            )
        w = top / bottom
        if not self.normalise:
            return Block(w, w * self.reward[rows], None)
        total = (w * self.reward[rows]) @ np.ones(w.shape[1])
        return Block(w, total[:, None], ((w @ theta) / theta.sum())[:, None])


def _position_based(
    name: str,
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    examination: ArrayLike,
    *,
    normalise: bool,
) -> Estimate:
    r = check_reward(reward, ndim=2, where=name)  # (n, K)
    b, e = numbers(logging, "logging", 3, name), numbers(evaluation, "evaluation", 3, name)
    theta = check_probabilities(examination, name="examination", ndim=1, positive=False, where=name)
    check_same_rows(name, logging=b, evaluation=e)
    if b.shape != (*r.shape, r.shape[1]) or theta.shape != (r.shape[1],):
        raise InputError(
            f"reward {r.shape}, logging {b.shape} and examination {theta.shape} do not go together",
            where=name,
            mend="Pass (n, K), (n, K, K) and (K,).",
        )
    return estimate_rows(name, _PositionBased(name, r, b, e, theta, normalise))


def cm_ips(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, shown: ArrayLike | None = None
) -> Estimate:
    """Cascade-model IPS, `mean(sum_k w_k r_k)`, `w_k` of "these items above in any order, this item here".

    Unbiased where a position's reward depends on its item, and on the items above it whatever their order: cascade
    and dependent-click models, and dynamic Bayesian networks with one chance of going on. It needs the same items
    above, in any order, where RIPS needs the same order. Continuation that depends on the position alone is allowed;
    attraction that does is not. The model: Craswell et al., WSDM 2008; the weight is that of RIPS, averaged over the
    order above.

    Args:
        reward: (n, K) reward of each position.
        logging: (n, K) logged probability that the items above the position stand above it in any order, and the
            item shown there stands there; in (0, 1]. `agents.plackett_luce.prefix_sets` for Plackett-Luce policies.
        evaluation: (n, K) the same under the policy judged.
        shown: (n, K) booleans, False where a short page is empty; None: all positions hold an item.
    """
    return weighted_by_position("CM-IPS", reward, logging, evaluation, shown, normalise=False)


def sncm_ips(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, shown: ArrayLike | None = None
) -> Estimate:
    """Self-normalised CM-IPS, `sum_k sum_i(w_ik r_ik) / sum_i(w_ik)`: consistent; otherwise as for `cm_ips`."""
    return weighted_by_position("SNCM-IPS", reward, logging, evaluation, shown, normalise=True)
