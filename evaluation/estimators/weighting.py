"""The arithmetic that all plain importance-weighting estimators share: `w = evaluation / logging`, then `w r`."""

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
    check_shown,
    numbers,
)
from evaluation.estimators.result import Estimate

__all__ = ["weighted_by_position", "weighted_estimate"]


@dataclass(frozen=True)
class _Weighted:
    """Rows of rewards, logged and evaluation probabilities; checked a block at a time while they are in the cache."""

    name: str
    reward: NDArray[np.float64]
    """(n,) or (n, K)."""
    logging: NDArray[np.float64]
    """(n,) or (n, K)."""
    evaluation: NDArray[np.float64]
    """(n,) or (n, K)."""
    shown: NDArray[np.bool_] | None
    """(n, K) which positions hold an item; None: all."""
    normalise: bool

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.reward.shape[0])

    @property
    def width(self) -> int:
        """Positions."""
        return int(self.reward.shape[1]) if self.reward.ndim == 2 else 1

    def block(self, rows: slice) -> Block:
        """Weights and weighted rewards of some rows."""
        r, b, e = self.reward[rows], self.logging[rows], self.evaluation[rows]
        if self.shown is not None:
            shown = self.shown[rows]
            r = np.where(shown, r, 0.0)
            if b.ndim == 2:
                b, e = np.where(shown, b, 1.0), np.where(shown, e, 1.0)
        if not (
            np.isfinite(r).all()
            and b.min() > 0
            and b.max() <= 1 + SLACK
            and e.min() >= -SLACK
            and e.max() <= 1 + SLACK
        ):
            self._refuse()
        if e.min() < 0:  # rounding, within the slack
            e = np.maximum(e, 0.0)
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # infinite weights are refused where they are summed
            w = e / b
            if r.ndim > w.ndim:
                r = r @ np.ones(r.shape[1])  # (m,) the page's sum
            if w.ndim == 1:
                w, r = w[:, None], r[:, None]
            return Block(w, w * r, w if self.normalise else None)

    def _refuse(self) -> None:
        """Says what is wrong, with its row; a block only knows that something is."""
        r, b, e = self.reward, self.logging, self.evaluation
        if self.shown is not None:
            r = np.where(self.shown, r, 0.0)
            if b.ndim == 2:
                b, e = np.where(self.shown, b, 1.0), np.where(self.shown, e, 1.0)
        check_reward(r, ndim=r.ndim, where=self.name)
        check_probabilities(b, name="logging", ndim=b.ndim, positive=True, where=self.name)
        check_probabilities(e, name="evaluation", ndim=e.ndim, positive=False, where=self.name)


def weighted_estimate(
    name: str,
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    reward_ndim: int,
    propensity_ndim: int,
    normalise: bool,
    shown: ArrayLike | None = None,
) -> Estimate:
    """`sum_p mean(w_p r_p)`, or `sum_p sum(w_p r_p) / sum(w_p)` where `normalise`.

    Args:
        name: Name of the estimator.
        reward: (n,) or (n, K).
        logging: (n,) or (n, K) logged probabilities, in (0, 1].
        evaluation: (n,) or (n, K) probabilities of the same under the policy judged.
        reward_ndim: Dimensions that `reward` must have.
        propensity_ndim: Dimensions that both probabilities must have; 1 for slates weighs the row sums.
        normalise: Whether the weights are divided by their mean.
        shown: (n, K) which positions of a short page hold an item, None for all. What the other arrays hold
            elsewhere is not looked at: such a position pays nothing, whatever the policy.

    Raises:
        InputError: Shapes that do not go together, fewer than two rows, or values that are not what they must be.
    """
    r = numbers(reward, "reward", reward_ndim, name)
    b = numbers(logging, "logging", propensity_ndim, name)
    e = numbers(evaluation, "evaluation", propensity_ndim, name)
    if 0 in r.shape[1:]:
        raise InputError("slates without positions", where=name, mend="Pass rewards (n, K) with K above 0.")
    if reward_ndim == propensity_ndim:
        check_same_rows(name, reward=r, logging=b, evaluation=e)
    else:
        check_same_rows(name, reward_sum=r[:, 0], logging=b, evaluation=e)
    if r.shape[0] < 2:
        check_reward(r, ndim=reward_ndim, where=name)
    mask = None if shown is None else check_shown(shown, r.shape, where=name)
    return estimate_rows(name, _Weighted(name, r, b, e, mask, normalise))


def weighted_by_position(
    name: str,
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    shown: ArrayLike | None,
    *,
    normalise: bool,
) -> Estimate:
    """Each position's reward by its own ratio: (n, K) rewards and probabilities, as for `weighted_estimate`."""
    return weighted_estimate(
        name,
        reward,
        logging,
        evaluation,
        reward_ndim=2,
        propensity_ndim=2,
        normalise=normalise,
        shown=shown,
    )
