"""Marginalised importance sampling of sessions: weights of states instead of weights of histories.

With discrete states `z_t`, the page's ratio `c_t`, and for each step and state the means over the sessions there

    r(t, z) = mean(c_t r_t)      P_t(z' | z) = mean(c_t 1[z_{t+1} = z'])

the states that the policy judged would meet follow from `d_0` = the log's first states and `d_{t+1} = P_t' d_t`, and

    MIS = sum_t gamma^t sum_z d_t(z) r(t, z)

(Xie, Ma, Wang: Towards optimal off-policy evaluation for reinforcement learning with marginalized importance sampling,
NeurIPS 2019, section 3; averaging ratios over equal actions: Yin and Wang: Asymptotically efficient off-policy
evaluation for tabular reinforcement learning, AISTATS 2020.) The variance no longer multiplies over pages, but the
state must be one: given it, what happens next must not depend on the pages before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.checks import array_of
from evaluation.estimators.result import Estimate, ratio_estimate
from evaluation.estimators.sessions_layout import SessionLayout
from evaluation.estimators.sessions_weights import discount, weigh_sessions

__all__ = ["session_mis"]


def session_mis(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    session: ArrayLike,
    step: ArrayLike,
    state: ArrayLike,
    action: ArrayLike | None = None,
    gamma: float = 1.0,
    self_normalised: bool = False,
) -> Estimate:
    """State-marginal importance sampling per session, `sum_t gamma^t sum_z d_t(z) r(t, z)`; with `action`, of both.

    Consistent if the propensities are right, the log could show whatever the policy would, and `state` is Markov: given
    it, rewards and the next state depend on the page alone, not on the pages before. The propensities of both policies
    may depend on more than the state only if that does not tell more of what comes. One state for all makes pages
    independent of each other; the whole history for a state gives PDIS back. With `action`, the page's ratio is
    averaged over the pages of one step, state and action: right if rewards and next states depend on the page through
    its action alone, such as "how many of the items are of the user's favourite kind". Source: Xie, Ma and Wang,
    NeurIPS 2019.

    Args:
        reward: (M,) reward of each logged page, or (M, K) of its positions.
        logging: (M,) logged joint propensity of the page.
        evaluation: (M,) the same under the policy judged.
        session: (M,) label of each page's session.
        step: (M,) the page's number in its session, 0, 1, ...
        state: (M,) label of the state before the page (a hash or a bin of what was observed).
        action: (M,) label of what the page does; None: every page for itself.
        gamma: Discount per page.
        self_normalised: Whether means are over the ratios' sum in their state instead of their number: the shares of
            states then sum to one (with `action` None).

    Returns:
        The estimate; its rows are sessions, sorted by label; its terms are the linearised ones (their mean is the value
        exactly), its weights (S, T) those of each page, and after a session's end that of having ended. Not a ratio of
        sums: denominators are ones, and a bootstrap over them takes the shares of states as they were found.

    Raises:
        InputError: As of `pdis`, or states without labels.
    """
    name = "SN-MIS" if self_normalised else "MIS"
    if array_of(logging, "logging", name).ndim == 2:
        raise InputError(
            f"`logging` has shape {np.shape(logging)}, expected (rows,)",
            where=name,
            mend="Pass joint propensities of whole pages.",
        )
    found = weigh_sessions(reward, logging, evaluation, session=session, step=step, carry=None, where=name)
    factor = discount(gamma, where=name)
    layout = found.layout
    code = _codes(state, layout, "state", name)  # (S, T) -1 after the end
    group = code if action is None else _pairs(code, _codes(action, layout, "action", name))
    ratio = (np.asarray(evaluation, np.float64) / np.asarray(logging, np.float64)).reshape(-1)
    ratio = layout.table(np.maximum(ratio, 0.0), fill=0.0)  # (S, T)
    return _marginalised(
        name, layout, found.reward[:, :, 0], ratio, code, group, action is not None, factor, self_normalised
    )


def _codes(values: ArrayLike, layout: SessionLayout, label: str, where: str) -> NDArray[np.int64]:
    """Dense codes (S, T) of labels (M,), -1 after a session's end."""
    array = array_of(values, label, where, numeric=False)
    if array.shape != layout.row.shape:
        raise InputError(
            f"`{label}` has shape {array.shape} for {layout.row.shape[0]} rows",
            where=where,
            mend="Pass one label per logged row.",
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise InputError(
            f"`{label}` is missing",
            where=f"{where}, row {int(np.flatnonzero(np.isnan(array))[0])}",
            mend="Give unknown ones a label of their own.",
        )
    _, dense = np.unique(array, return_inverse=True)
    out = np.full((layout.n_sessions, layout.n_steps), -1, np.int64)
    out[layout.row, layout.step] = dense.reshape(-1)
    return out


def _pairs(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(first < 0, -1, first * (int(second.max()) + 1) + second)


def _marginalised(
    name: str,
    layout: SessionLayout,
    reward: NDArray[np.float64],
    ratio: NDArray[np.float64],
    code: NDArray[np.int64],
    group: NDArray[np.int64],
    pooled: bool,
    gamma: float,
    normalise: bool,
) -> Estimate:
    """Forward: shares of states, hence weights. Backward: values of states, hence linearised terms."""
    S, T = reward.shape
    n_states = int(code.max()) + 1
    weight = np.zeros((S, T))  # d_t(z) / (share of z in the log), before the page's own ratio
    own, count = np.zeros((S, T)), np.zeros((T, n_states))
    share = np.bincount(code[:, 0], minlength=n_states) / S  # (Z,) d_t
    for t in range(T):
        here = np.flatnonzero(code[:, t] >= 0)
        z = code[here, t]
        own[here, t] = _cell_mean(ratio[here, t], group[here, t]) if pooled else ratio[here, t]
        size = own[here, t] if normalise else np.ones(here.size)
        count[t] = np.bincount(z, weights=size, minlength=n_states)
        weight[here, t] = np.divide(share[z] * S, count[t][z], out=np.zeros(here.size), where=count[t][z] > 0)
        gone = np.flatnonzero(code[:, t] < 0)  # having ended is a state too
        if gone.size:
            weight[gone, t], own[gone, t] = max(0.0, 1.0 - share.sum()) * S / gone.size, 1.0
        if t + 1 < T:
            stays = here[code[here, t + 1] >= 0]
            flow = weight[stays, t] * own[stays, t] / S
            share = np.bincount(code[stays, t + 1], weights=flow, minlength=n_states)
    value = np.zeros(n_states)  # V_{t+1}(z), from the last step back
    terms = np.zeros(S)
    for t in range(T - 1, -1, -1):
        here = np.flatnonzero(code[:, t] >= 0)
        z = code[here, t]
        after = np.zeros(here.size)
        if t + 1 < T:
            following = code[here, t + 1]
            after = np.where(following >= 0, value[np.maximum(following, 0)], 0.0)
        outcome = reward[here, t] + gamma * after
        total = np.bincount(z, weights=own[here, t] * outcome, minlength=n_states)
        now = np.divide(total, count[t], out=np.zeros(n_states), where=count[t] > 0)
        size = own[here, t] if normalise else np.ones(here.size)
        ours = own[here, t] * outcome
        if pooled:  # the cell's mean ratio is an estimate as well
            spread = ratio[here, t] - own[here, t]
            ours = ours + spread * (_cell_mean(outcome, group[here, t]) - (now[z] if normalise else 0.0))
        terms[here] += gamma**t * weight[here, t] * (ours - size * now[z])
        value = now
    terms += value[code[:, 0]]  # the first states themselves are a sample
    return ratio_estimate(
        name,
        weights=weight * own,
        numerator=terms[:, None],
        denominator=np.ones((S, 1)),
    )


def _cell_mean(values: NDArray[np.float64], cell: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each value replaced by the mean of its cell."""
    _, dense = np.unique(cell, return_inverse=True)
    dense = dense.reshape(-1)
    return np.asarray((np.bincount(dense, weights=values) / np.bincount(dense))[dense], np.float64)
