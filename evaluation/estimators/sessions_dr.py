"""Doubly robust estimators of sessions of slates: a value model, corrected by what happened.

With any functions `q_t` (value of the page shown, to the session's end) and `v_t = sum_a pi_e(a) q_t(a)`:

    DR  = mean_s(sum_t gamma^t [w_t (r_t - q_t) + w_{t-1} v_t]),   w_{-1} = 1

(Jiang and Li: Doubly robust off-policy value evaluation for reinforcement learning, ICML 2016, the recursion of its
section 4, unrolled.) WDR divides the weights of each step by their sum over sessions instead of S (Thomas and
Brunskill: Data-efficient off-policy policy evaluation for reinforcement learning, ICML 2016). Cascade-DR takes every
position of every page for a decision (Kiyohara et al.: Doubly robust off-policy evaluation for ranking policies under
the cascade behavior model, WSDM 2022, there for one page).

`evaluation.fqe` makes `q` and `v` that are cross-fitted by session.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.checks import array_of, check_same_rows
from evaluation.estimators.result import Estimate, ratio_estimate
from evaluation.estimators.sessions_weights import WeighedSessions, discount, weigh_sessions

__all__ = ["session_cascade_dr", "session_dr", "session_wdr"]


def session_dr(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    q: ArrayLike,
    v: ArrayLike,
    *,
    session: ArrayLike,
    step: ArrayLike,
    gamma: float = 1.0,
) -> Estimate:
    """Doubly robust value per session, `mean_s(sum_t gamma^t [w_t (r_t - q_t) + w_{t-1} v_t])`, `w_{-1} = 1`.

    Unbiased for any `q` that does not depend on the session it is used on, if `v` is the expectation of `q` over the
    pages of the policy judged (an average over its draws will do) and the propensities are right; consistent too if
    the propensities are wrong and `q` is right. The better `q`, the smaller the variance; weights of whole sessions
    still multiply what `q` leaves over. With q = v = 0 it is PDIS. Source: Jiang and Li, ICML 2016.

    Args:
        reward: (M,) reward of each logged page, or (M, K) of its positions.
        logging: (M,) logged joint propensity of the page.
        evaluation: (M,) the same under the policy judged.
        q: (M,) value, from this page to the session's end, of the page that was shown.
        v: (M,) the same of the policy's own page, before it is drawn.
        session: (M,) label of each page's session.
        step: (M,) the page's number in its session, 0, 1, ...
        gamma: Discount per page, the one that `q` was made with.

    Returns:
        The estimate; its rows are sessions, sorted by label, its columns steps.
    """
    found, q_table, v_table = _prepared(
        "session DR", reward, logging, evaluation, q, v, session, step, ndim=1
    )
    return _plain("session DR", found, q_table, v_table, discount(gamma, where="session DR"))


def session_wdr(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    q: ArrayLike,
    v: ArrayLike,
    *,
    session: ArrayLike,
    step: ArrayLike,
    gamma: float = 1.0,
) -> Estimate:
    """Weighted doubly robust value per session: each step's weights are divided by their sum over sessions, not by S.

    Consistent, much steadier; arguments as for `session_dr`. Source: Thomas and Brunskill, ICML 2016.
    """
    found, q_table, v_table = _prepared(
        "session WDR", reward, logging, evaluation, q, v, session, step, ndim=1
    )
    return _weighted("session WDR", found, q_table, v_table, discount(gamma, where="session WDR"))


def session_cascade_dr(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    q: ArrayLike,
    v: ArrayLike,
    *,
    session: ArrayLike,
    step: ArrayLike,
    gamma: float = 1.0,
    self_normalised: bool = False,
) -> Estimate:
    """Cascade-DR per session: the `mean_s(sum_t ...)` of `session_dr`, t running over all positions of all pages.

    Unbiased as for `session_dr`, where a position's reward depends on the pages before and on the items down to it.
    A reward is weighed by the items down to its position instead of by the whole page. One page a session:
    Cascade-DR of slates.

    Args:
        reward: (M, K) reward of each position.
        logging: (M, K) logged joint propensity of the page down to each position.
        evaluation: (M, K) the same under the policy judged.
        q: (M, K) value of the item shown at each position, given those above it, from there to the session's end.
        v: (M, K) the same of the policy's own choice at this position, given the items shown above it.
        session: (M,) label of each page's session.
        step: (M,) the page's number in its session, 0, 1, ...
        gamma: Discount per page (positions of a page are not discounted against each other).
        self_normalised: Whether weights are divided by their sum over sessions at each position, as in `session_wdr`.
    """
    name = "session Cascade-WDR" if self_normalised else "session Cascade-DR"
    found, q_table, v_table = _prepared(name, reward, logging, evaluation, q, v, session, step, ndim=2)
    form = _weighted if self_normalised else _plain
    return form(name, found, q_table, v_table, discount(gamma, where=name))


def _prepared(
    name: str,
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    q: ArrayLike,
    v: ArrayLike,
    session: ArrayLike,
    step: ArrayLike,
    *,
    ndim: int,
) -> tuple[WeighedSessions, NDArray[np.float64], NDArray[np.float64]]:
    if array_of(logging, "logging", name).ndim != ndim:
        raise InputError(
            f"`logging` has shape {np.shape(logging)}, expected {'(rows,)' if ndim == 1 else '(rows, positions)'}",
            where=name,
            mend="Pass joint propensities of whole pages to DR and WDR, cascade ones of positions to Cascade-DR.",
        )
    found = weigh_sessions(reward, logging, evaluation, session=session, step=step, carry=None, where=name)
    shape = np.shape(logging)
    tables = []
    for label, values in (("q", q), ("v", v)):
        try:
            array = np.asarray(values, np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"`{label}` is not an array of numbers", where=name, mend="Pass numbers."
            ) from error
        check_same_rows(name, **{label: array, "logging": np.empty(shape)})
        if not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            raise InputError(
                f"`{label}` holds a value that is not finite",
                where=f"{name}, row {row}",
                mend="The value model must foretell every logged page.",
            )
        tables.append(found.layout.table(array.reshape(shape[0], -1), fill=0.0))
    return found, tables[0], tables[1]


def _plain(
    name: str, found: WeighedSessions, q: NDArray[np.float64], v: NDArray[np.float64], gamma: float
) -> Estimate:
    S = found.layout.n_sessions
    factor = found.layout.discounts(gamma)[:, None]  # (T, 1)
    terms = factor * (found.weight * (found.reward - q) + found.before * v)  # (S, T, P)
    weight = found.weight.reshape(S, -1)
    return ratio_estimate(
        name, weights=weight, numerator=terms.reshape(S, -1), denominator=np.ones_like(weight)
    )


def _weighted(
    name: str, found: WeighedSessions, q: NDArray[np.float64], v: NDArray[np.float64], gamma: float
) -> Estimate:
    """Two columns a decision: what happened by `w_t`, what was foretold by `w_{t-1}`, each over its own sum."""
    S = found.layout.n_sessions
    factor = found.layout.discounts(gamma)[:, None]
    weight, before = found.weight.reshape(S, -1), found.before.reshape(S, -1)
    happened = (factor * found.weight * (found.reward - q)).reshape(S, -1)
    foretold = (factor * found.before * v).reshape(S, -1)
    weights = np.concatenate([weight, before], axis=1)  # (S, 2 T P)
    return ratio_estimate(
        name, weights=weights, numerator=np.concatenate([happened, foretold], axis=1), denominator=weights
    )
