"""Importance sampling of sessions of slates: values per session, from a log of another policy.

With rewards `r_t` (or `r_tk` of positions), the weight `w_t` of everything a session was shown up to the reward, the
whole session's weight `W` and `S` sessions:

    TIS   = mean_s(W_s sum_t gamma^t r_st)                                   trajectory-wise
    PDIS  = mean_s(sum_t gamma^t w_st r_st)                                  per decision
    WTIS  = sum_s(W_s sum_t gamma^t r_st) / sum_s W_s
    WPDIS = sum_t gamma^t (sum_s w_st r_st) / (sum_s w_st)

(Precup, Sutton, Singh: Eligibility traces for off-policy policy evaluation, ICML 2000, sections 2 and 3; McInerney et
al., KDD 2020, for cascades within a page.) A session that has ended keeps its last weight in the sums of WPDIS.

Weights of sessions multiply over pages, and die within a few of them: see docs/estimators-sessions.md before a figure
is read, and look at `ess`, the effective number of sessions at the worst step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.checks import array_of
from evaluation.estimators.result import Estimate, ratio_estimate
from evaluation.estimators.sessions_weights import Pair, WeighedSessions, discount, weigh_sessions

__all__ = ["pdis", "tis", "wpdis", "wtis"]


def pdis(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    session: ArrayLike,
    step: ArrayLike,
    gamma: float = 1.0,
    carry: Pair | None = None,
) -> Estimate:
    """Per-decision importance sampling, `mean_s(sum_t gamma^t w_st r_st)`, per session.

    Unbiased if the logged propensities are right, the log could show whatever the policy would (support), and, beyond
    joint propensities, the page is read as their form says: with cascade propensities a position's reward depends on
    the pages before and on the items down to it; with item-position ones (and `carry`) on the pages before and on its
    own item. Nothing is assumed of how users change from page to page. One page a session: SIPS, RIPS, IIPS. Source:
    Precup, Sutton and Singh, ICML 2000; within a page McInerney et al., KDD 2020.

    Args:
        reward: (M,) reward of each logged page, or (M, K) of its positions; rows in any order.
        logging: (M,) logged joint propensity of the page, or (M, K) of its positions, cascade or item-position.
        evaluation: The same under the policy judged.
        session: (M,) label of each page's session.
        step: (M,) the page's number in its session, 0, 1, ...
        gamma: Discount per page; 1 sums the rewards of a session.
        carry: Joint propensities (M,) of whole pages, (logging, evaluation), by which later pages are weighed;
            needed with item-position propensities only.

    Returns:
        The estimate; its rows are sessions, sorted by label, its columns steps (by positions).

    Raises:
        InputError: Steps with gaps, missing propensities, one session, and the like.
    """
    found = weigh_sessions(reward, logging, evaluation, session=session, step=step, carry=carry, where="PDIS")
    return _per_decision("PDIS", found, discount(gamma, where="PDIS"), normalise=False)


def wpdis(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    session: ArrayLike,
    step: ArrayLike,
    gamma: float = 1.0,
    carry: Pair | None = None,
) -> Estimate:
    """Self-normalised PDIS, `sum_t gamma^t sum_s(w_st r_st) / sum_s(w_st)`; otherwise as for `pdis`.

    Consistent rather than unbiased. With few effective sessions it leans towards the log's own value: its interval
    says nothing of that. One page a session: SNSIPS, SNRIPS, SNIIPS.
    """
    found = weigh_sessions(
        reward, logging, evaluation, session=session, step=step, carry=carry, where="WPDIS"
    )
    return _per_decision("WPDIS", found, discount(gamma, where="WPDIS"), normalise=True)


def tis(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    session: ArrayLike,
    step: ArrayLike,
    gamma: float = 1.0,
) -> Estimate:
    """Trajectory-wise importance sampling, `mean_s(W_s sum_t gamma^t r_st)`: the whole session's weight.

    Unbiased as `pdis` is, and never better for a sum of rewards; needed where the reward is no sum of pages' rewards
    (a session's distribution, see `evaluation.estimators.distribution`). Source: Precup, Sutton and Singh, ICML 2000.

    Args:
        reward: (M,) reward of each logged page, or (M, K) of its positions.
        logging: (M,) logged joint propensity of the page.
        evaluation: (M,) the same under the policy judged.
        session: (M,) label of each page's session.
        step: (M,) the page's number in its session, 0, 1, ...
        gamma: Discount per page.
    """
    return _trajectory("TIS", reward, logging, evaluation, session, step, gamma, normalise=False)


def wtis(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    session: ArrayLike,
    step: ArrayLike,
    gamma: float = 1.0,
) -> Estimate:
    """Self-normalised TIS, `sum_s(W_s sum_t gamma^t r_st) / sum_s(W_s)`: consistent; otherwise as for `tis`.

    Stays inside the range of the sessions' rewards; a reward that is the same for all sessions comes out as it is.
    """
    return _trajectory("WTIS", reward, logging, evaluation, session, step, gamma, normalise=True)


def _per_decision(name: str, found: WeighedSessions, gamma: float, *, normalise: bool) -> Estimate:
    S = found.layout.n_sessions
    factor = found.layout.discounts(gamma)[:, None]  # (T, 1)
    weight = found.weight.reshape(S, -1)  # (S, T P)
    return ratio_estimate(
        name,
        weights=weight,
        numerator=(found.weight * found.reward * factor).reshape(S, -1),
        denominator=weight if normalise else np.ones_like(weight),
    )


def _trajectory(
    name: str,
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    session: ArrayLike,
    step: ArrayLike,
    gamma: float,
    *,
    normalise: bool,
) -> Estimate:
    if array_of(logging, "logging", name).ndim == 2:
        raise InputError(
            f"`logging` has shape {np.shape(logging)}, expected (rows,)",
            where=name,
            mend="Pass joint propensities of whole pages; for positions use PDIS or WPDIS.",
        )
    found = weigh_sessions(reward, logging, evaluation, session=session, step=step, carry=None, where=name)
    factor = found.layout.discounts(discount(gamma, where=name))
    total: NDArray[np.float64] = (found.reward[:, :, 0] * factor).sum(axis=1, keepdims=True)  # (S, 1)
    weight = found.upto[:, -1:]  # (S, 1)
    return ratio_estimate(
        name,
        weights=weight,
        numerator=weight * total,
        denominator=weight if normalise else np.ones_like(weight),
    )
