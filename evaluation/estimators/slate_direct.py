"""Direct method for slates: what a reward model says that the policy's pages are worth, without any weight.

    SlateDM = mean(sum_k sum_a phi_k(a | x_i) q_k(x_i, a))

with `phi` the policy's item-position marginals and `q_k(x, a)` the model's reward of item a at position k. It
is the baseline of Swaminathan et al. (NeurIPS 2017), and what the doubly robust forms start from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.blocks import Block, Given, estimate_rows
from evaluation.estimators.checks import array_of, check_distribution, check_finite, check_same_rows
from evaluation.estimators.doubly_robust import UNCORRECTED
from evaluation.estimators.result import Estimate

__all__ = ["slate_dm", "slate_dm_from_draws"]

_MEND = "A reward model must foretell a finite number for every item and position; mend its fit."


@dataclass(frozen=True)
class _Marginals:
    evaluation: NDArray[np.float64]  # (n, K, A)
    q_hat: NDArray[np.float64]  # (n, K, A)

    @property
    def n_rows(self) -> int:
        return int(self.q_hat.shape[0])

    @property
    def width(self) -> int:
        return int(self.q_hat.shape[1] * self.q_hat.shape[2])

    def block(self, rows: slice) -> Block:
        phi = check_distribution(
            self.evaluation[rows], name="evaluation", where="SlateDM", first_row=rows.start
        )
        q = np.asarray(self.q_hat[rows], np.float64)
        by_position = np.einsum("mka,mka->mk", phi, q)
        if not np.isfinite(by_position).all():
            check_finite(self.q_hat, name="q_hat", ndim=3, where="SlateDM", mend=_MEND)
        return Block(np.ones((by_position.shape[0], 1)), by_position, None)


def slate_dm(evaluation: ArrayLike, q_hat: ArrayLike) -> Estimate:
    """Slate direct method, `mean(sum_k sum_a phi_k(a) q_k(a))`, by a model of rewards by item and position.

    Right only as far as the model is, in contexts and for items that the policy would show: nothing corrects it,
    and its standard error says nothing of the model's error. It has no weights (they are 1) and no overlap to lose.
    The model must be additive over positions given the context, and fitted to other sessions than the rows'. Source:
    Swaminathan et al., NeurIPS 2017.

    Args:
        evaluation: (n, K, A) chance of each item at each position under the policy judged; sums to 1 over items.
        q_hat: (n, K, A) the model's reward of each item there.
    """
    phi, q = array_of(evaluation, "evaluation", "SlateDM"), array_of(q_hat, "q_hat", "SlateDM")
    check_same_rows("SlateDM", evaluation=phi, q_hat=q)
    if q.ndim != 3 or q.shape[0] < 2:
        raise InputError(
            f"`q_hat` has shape {q.shape}",
            where="SlateDM",
            mend="Pass (n, K, A) with at least two rows.",
        )
    return estimate_rows("SlateDM", _Marginals(phi, q), caveat=UNCORRECTED)


def slate_dm_from_draws(predicted: ArrayLike) -> Estimate:
    """Slate direct method, `mean(sum_m predicted_m / M)`, by a model of whole pages that the policy judged drew.

    For models with interactions between items, whose mean over a policy has no formula. The draws add variance that
    the standard error holds: it is that of rows, each the mean of its own draws. Right as far as the
    model is, as for `slate_dm`.

    Args:
        predicted: (n, M) the model's reward of M pages that the policy judged drew in each row's context.
    """
    q = check_finite(predicted, name="predicted", ndim=2, where="SlateDM", mend=_MEND)
    if q.shape[0] < 2 or q.shape[1] < 1:
        raise InputError(
            f"`predicted` has shape {q.shape}",
            where="SlateDM",
            mend="Pass at least two rows and one draw a row.",
        )
    mean = (q @ np.ones(q.shape[1]))[:, None] / q.shape[1]
    return estimate_rows("SlateDM", Given(np.ones_like(mean), mean, None), caveat=UNCORRECTED)
