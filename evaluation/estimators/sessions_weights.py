"""Importance weights of sessions: the product of ratios of everything a session was shown.

With pages t = 0, 1, ... and the ratio `c_t` of the whole page's probabilities under both policies, the weight of the
session up to page t is `W_t = c_0 c_1 ... c_t`. A reward of page t is weighed by `W_{t-1}` times a ratio of its own
page: of the whole slate (joint), of the slate down to its position (cascade), or of its item at its position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.checks import array_of, check_probabilities, check_reward, check_same_rows
from evaluation.estimators.sessions_layout import SessionLayout, session_layout

__all__ = ["WeighedSessions", "discount", "weigh_sessions"]

Pair = tuple[ArrayLike, ArrayLike]


@dataclass(frozen=True, kw_only=True)
class WeighedSessions:
    """Rewards and weights of `S` sessions; `P` is 1 for joint propensities, else the positions `K`.

    After a session's end rewards are 0 and weights stay what they were: the user is gone, and whatever either policy
    would show makes no difference any more.
    """

    layout: SessionLayout
    """Which row stands where."""
    reward: NDArray[np.float64]
    """(S, T, P) undiscounted."""
    weight: NDArray[np.float64]
    """(S, T, P) of the reward at this position, everything before it included."""
    before: NDArray[np.float64]
    """(S, T, P) weight of everything before this position: earlier pages, and the positions above it."""
    upto: NDArray[np.float64]
    """(S, T) weight `W_t` of all pages up to this one."""


def discount(gamma: float, *, where: str) -> float:
    """`gamma` if it is a discount in [0, 1].

    Raises:
        InputError: It is not.
    """
    if not 0 <= gamma <= 1:
        raise InputError(f"gamma is {gamma}", where=where, mend="Pass a discount between 0 and 1.")
    return float(gamma)


def weigh_sessions(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    session: ArrayLike,
    step: ArrayLike,
    carry: Pair | None,
    where: str,
) -> WeighedSessions:
    """Rewards and weights as tables of sessions.

    Args:
        reward: (M,) of each page, or (M, K) of each position; summed over positions for joint propensities.
        logging: (M,) joint propensity of each logged page, or (M, K) of its positions; in (0, 1].
        evaluation: The same under the policy judged.
        session: (M,) session labels.
        step: (M,) steps, 0-based.
        carry: Joint propensities (M,) of the whole page, logged and evaluation, by which later pages are weighed.
            None: (M,) propensities are joint themselves, and (M, K) ones are cascades whose last column is.
        where: Name of the estimator, for messages.

    Raises:
        InputError: Bad sessions, steps or propensities, (M, K) propensities that are no cascades and no `carry`, or
            weights beyond the range of numbers.
    """
    layout = session_layout(session, step, where=where)
    wide = array_of(logging, "logging", where).ndim == 2
    r = check_reward(reward, ndim=2 if array_of(reward, "reward", where).ndim == 2 else 1, where=where)
    if wide and r.ndim == 1:
        raise InputError(
            f"rewards {r.shape} with propensities of positions {np.shape(logging)}",
            where=where,
            mend="Pass the reward of each position, (rows, positions), or joint propensities (rows,).",
        )
    ndim = 2 if wide else 1
    b = check_probabilities(logging, name="logging", ndim=ndim, positive=True, where=where)
    e = check_probabilities(evaluation, name="evaluation", ndim=ndim, positive=False, where=where)
    if not wide and r.ndim == 2:
        r = r.sum(axis=1)
    check_same_rows(where, reward=r, logging=b, evaluation=e)
    if r.shape[0] != layout.row.shape[0]:
        raise InputError(
            f"{layout.row.shape[0]} session labels for {r.shape[0]} rows",
            where=where,
            mend="Pass one session label and one step per logged row.",
        )
    with np.errstate(over="ignore"):  # infinite weights are refused below, and where weights are summed
        page = _page_ratio(b, e, carry, where)  # (M,)
        own = (e / b).reshape(r.shape[0], -1)  # (M, P)
    above = np.concatenate([np.ones((own.shape[0], 1)), own[:, :-1]], axis=1)  # (M, P)
    with np.errstate(over="ignore"):
        upto = np.cumprod(layout.table(page, fill=1.0), axis=1)  # (S, T)
    if not np.isfinite(upto).all():
        label = layout.labels[int(np.flatnonzero(~np.isfinite(upto).all(axis=1))[0])]
        raise InputError(
            "the weight of a session is beyond the range of numbers",
            where=f"{where}, session {label}",
            mend="Weights of whole sessions cannot compare these policies: use fitted Q evaluation.",
        )
    past = np.concatenate([np.ones((upto.shape[0], 1)), upto[:, :-1]], axis=1)[:, :, None]  # (S, T, 1)
    return WeighedSessions(
        layout=layout,
        reward=layout.table(r.reshape(r.shape[0], -1), fill=0.0),
        weight=past * layout.table(own, fill=1.0),
        before=past * layout.table(above, fill=1.0),
        upto=np.asarray(upto, np.float64),
    )


def _page_ratio(
    b: NDArray[np.float64], e: NDArray[np.float64], carry: Pair | None, where: str
) -> NDArray[np.float64]:
    """(M,) ratio of the whole page's probabilities."""
    if carry is not None:
        logged = check_probabilities(carry[0], name="carry[0]", ndim=1, positive=True, where=where)
        judged = check_probabilities(carry[1], name="carry[1]", ndim=1, positive=False, where=where)
        check_same_rows(
            where, **{"carry[0]": logged, "carry[1]": judged, "first position": b.reshape(len(b), -1)[:, 0]}
        )
        return judged / logged
    if b.ndim == 1:
        return e / b
    rising = ((np.diff(b, axis=1) > 1e-9) | (np.diff(e, axis=1) > 1e-9)).any(axis=1)
    if rising.any():
        raise InputError(
            f"propensities that rise down the page in {int(rising.sum())} rows are no cascade propensities",
            where=f"{where}, row {int(np.flatnonzero(rising)[0])}",
            mend="Pass cascade propensities (an empty position repeats the one above it), or any others with "
            "carry=(logging, evaluation), the joint propensities of whole pages.",
        )
    return e[:, -1] / b[:, -1]
