"""The most that can be foretold of clicks by who knows the true users, and sees of them what a shop sees.

For users inside a fitted family this is the family's own prediction. The demo store's users have hidden tastes and
moods; they are averaged over with the weights that all earlier pages of the session give them (a particle filter).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.belief_filter import BeliefFilter, FilterConfig
from behavior.steps import LoggedSteps, SessionEnd
from benchmarks.fit_study.worlds import Shop
from simulators.base import Feedback
from simulators.composed import ComposedSimulator
from simulators.fidelity import replay_logits
from simulators.fitting.scores import log_likelihood, position_rates

__all__ = ["best_log_likelihood", "fitted_log_likelihood", "rates_log_likelihood"]

_TOGETHER = 64  # sessions


def rates_log_likelihood(train: LoggedSteps, held: LoggedSteps) -> NDArray[np.float64]:
    """(M,) of the clicks of each held-out page, by the rate of its positions."""
    rates = position_rates(train.click, train.item >= 0)
    return _by_page(np.broadcast_to(rates, held.item.shape), held)


def fitted_log_likelihood(simulator: ComposedSimulator, held: LoggedSteps) -> NDArray[np.float64]:
    """(M,) of the clicks of each held-out page under a fitted simulator, given all that came before."""
    logits = replay_logits(simulator, held)
    return _by_page(simulator.examination.click_probability_given_above(logits, held.click), held)


def best_log_likelihood(shop: Shop, held: LoggedSteps, *, guesses: int = 512) -> NDArray[np.float64]:
    """(M,) of the clicks of each held-out page under the true users, given all that the shop saw before."""
    if isinstance(shop.users, ComposedSimulator):
        return fitted_log_likelihood(shop.users, held)
    users = shop.store.true_simulator
    belief_filter = BeliefFilter(users, FilterConfig(guesses=guesses, pool=4 * guesses))
    out = np.empty(held.n_steps)
    _, start, length = np.unique(held.session, return_index=True, return_counts=True)
    for a in range(0, len(start), _TOGETHER):
        first, pages = start[a : a + _TOGETHER], length[a : a + _TOGETHER]
        belief = belief_filter.begin(
            held.user[first].astype(np.int64), held.query[first], np.ascontiguousarray(held.context[first])
        )
        here = np.arange(len(first))
        for t in range(int(pages.max())):
            stay = np.flatnonzero(pages[here] > t)
            if len(stay) < len(here):
                belief, here = belief.take(stay), here[stay]
            row = first[here] + t
            last = pages[here] == t + 1
            after = np.where(last, row, np.minimum(row + 1, held.n_steps - 1))
            many = np.repeat(row, guesses)
            answer = Feedback(
                click=held.click[many],
                purchase=held.purchase[many],
                left=np.repeat(last & (held.session_end[row] == SessionEnd.LEFT), guesses),
            )
            prior = belief.chances()
            chances = users.answer_and_click_chances(
                belief.state,
                held.item[many],
                answer,
                query=held.query[np.repeat(after, guesses)],
                context=held.context[many],
            )
            clicks = chances[:, 1].reshape(-1, guesses)
            top = clicks.max(axis=1, keepdims=True)
            out[row] = top[:, 0] + np.log((prior * np.exp(clicks - top)).sum(axis=1))
            belief.log_weight += chances[:, 0].reshape(-1, guesses)
    return out


def _by_page(chance: NDArray[np.float64], held: LoggedSteps) -> NDArray[np.float64]:
    return np.asarray(np.where(held.item >= 0, log_likelihood(chance, held.click), 0.0).sum(axis=1))
