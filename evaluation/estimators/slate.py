"""Inverse propensity scoring of slates, by what one assumes a position's reward to depend on.

With per-position rewards `r_ik`, row sums `R_i`, and ratios `w` of evaluation to logged propensities:

    SIPS = mean(w_slate R)                  the whole slate (Swaminathan et al., NeurIPS 2017)
    IIPS = mean(sum_k w_item_k r_k)         only item and position (Li et al., KDD 2018)
    RIPS = mean(sum_k w_cascade_k r_k)      only the items down to the position (McInerney et al., KDD 2020)

Fewer assumptions, more variance: the slate's ratio is a product of K ratios. The self-normalised forms divide
by the sum of weights, IIPS and RIPS position by position.

Short pages: positions that the log left empty are named by `shown`. They must be empty under the policy judged
too (a short candidate list), so they pay nothing and weigh 1.
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from evaluation.estimators.result import Estimate
from evaluation.estimators.weighting import weighted_by_position, weighted_estimate

__all__ = ["iips", "rips", "sips", "sniips", "snrips", "snsips"]


def _whole(
    name: str,
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    shown: ArrayLike | None,
    *,
    normalise: bool,
) -> Estimate:
    return weighted_estimate(
        name,
        reward,
        logging,
        evaluation,
        reward_ndim=2,
        propensity_ndim=1,
        normalise=normalise,
        shown=shown,
    )


def sips(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, shown: ArrayLike | None = None
) -> Estimate:
    """Standard (whole-slate) IPS, `mean(w_slate R)`.

    Unbiased however users respond, if propensities are right and the log could show every whole slate that the policy
    would. Source: Swaminathan et al., NeurIPS 2017.

    Args:
        reward: (n, K) reward of each position.
        logging: (n,) logged joint propensity of the slate, in (0, 1].
        evaluation: (n,) joint probability of the same slate under the policy judged.
        shown: (n, K) booleans, False where a short page is empty; None: all positions hold an item.
    """
    return _whole("SIPS", reward, logging, evaluation, shown, normalise=False)


def snsips(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, shown: ArrayLike | None = None
) -> Estimate:
    """Self-normalised whole-slate IPS, `sum(w R) / sum(w)`: consistent; assumptions and arguments as for `sips`."""
    return _whole("SNSIPS", reward, logging, evaluation, shown, normalise=True)


def iips(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, shown: ArrayLike | None = None
) -> Estimate:
    """Independent (item-position) IPS, `mean(sum_k w_item_k r_k)`.

    Unbiased where a position's reward depends on its own item and position only: no cascade, no substitution
    between shown items. The bias where users interact with the slate as a whole can have either sign. Source: Li et
    al., KDD 2018.

    Args:
        reward: (n, K) reward of each position.
        logging: (n, K) logged marginal propensity of this item at this position, in (0, 1].
        evaluation: (n, K) the same marginal under the policy judged.
        shown: (n, K) booleans, False where a short page is empty; None: all positions hold an item.
    """
    return weighted_by_position("IIPS", reward, logging, evaluation, shown, normalise=False)


def sniips(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, shown: ArrayLike | None = None
) -> Estimate:
    """Self-normalised IIPS, `sum_k sum_i(w_ik r_ik) / sum_i(w_ik)`: consistent; otherwise as for `iips`."""
    return weighted_by_position("SNIIPS", reward, logging, evaluation, shown, normalise=True)


def rips(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, shown: ArrayLike | None = None
) -> Estimate:
    """Reward-interaction (cascade) IPS, `mean(sum_k w_cascade_k r_k)`.

    Unbiased where a position's reward depends on the items down to it, in order: a user who reads from the
    top. Its weights multiply down the page, so the last positions carry the variance. Source: McInerney et al.,
    KDD 2020.

    Args:
        reward: (n, K) reward of each position.
        logging: (n, K) logged joint propensity of the slate down to each position, in (0, 1].
        evaluation: (n, K) the same under the policy judged.
        shown: (n, K) booleans, False where a short page is empty; None: all positions hold an item.
    """
    return weighted_by_position("RIPS", reward, logging, evaluation, shown, normalise=False)


def snrips(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, shown: ArrayLike | None = None
) -> Estimate:
    """Self-normalised RIPS, `sum_k sum_i(w_ik r_ik) / sum_i(w_ik)`: consistent; otherwise as for `rips`."""
    return weighted_by_position("SNRIPS", reward, logging, evaluation, shown, normalise=True)
