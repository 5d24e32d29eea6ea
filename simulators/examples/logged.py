"""What the examples take from the log as it is: who arrives, what is asked next, when users leave."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps, SessionEnd
from simulators.base import SessionState
from simulators.fitting.queries import transitions_of
from simulators.fitting.scores import position_rates
from simulators.kernels.rng import Purpose, uniform_table
from simulators.parts.population import EmpiricalPopulation

__all__ = ["LoggedSessions", "departures"]


class LoggedSessions:
    """Arrivals, next queries and departures, drawn from logged ones; chance is keyed by user and step.

    Args:
        steps: The log.
    """

    def __init__(self, steps: LoggedSteps) -> None:
        first = np.flatnonzero(np.r_[True, steps.session[1:] != steps.session[:-1]])
        self.population = EmpiricalPopulation(
            first_query=np.maximum(steps.query[first], 0), context=steps.context[first]
        )
        n_queries = len(steps.queries)
        self.asked = np.maximum(steps.query, 0)  # (M,)
        pairs = transitions_of(steps)
        order = np.argsort(pairs.query, kind="stable")
        self.following = pairs.following[order]
        self.start = np.searchsorted(pairs.query[order], np.arange(n_queries + 1))  # (Q+1,)
        self.leave = _leave_chances(steps)  # (S, 2)
        shown = steps.item >= 0
        self.rates = position_rates(steps.click, shown)  # (K,)
        self.purchase_rate = (steps.purchase[shown].sum() + 0.5) / (steps.click[shown].sum() + 1.0)

    @property
    def context_size(self) -> int:
        """Context width F."""
        return self.population.context_size

    def begin(self, users: NDArray[np.int64], hidden: NDArray[np.float32], *, seed: int) -> SessionState:
        """The users `users` (B,) with the first query and the context of a logged session each.

        Args:
            users: Who arrives.
            hidden: (B, L) the simulator's own columns.
            seed: Of all chance.
        """
        query, context = self.population.arrive(users, seed=seed)
        return SessionState(
            user=users.copy(),
            step=np.zeros(len(users), np.int32),
            query=query,
            context=context,
            hidden=hidden,
        )

    def next_query(self, state: SessionState, *, seed: int) -> NDArray[np.int32]:
        """What the users of `state` ask after this page (B,): what was once asked after their query, or else ever."""
        u = uniform_table(seed, state.user, state.step, Purpose.NEXT_QUERY, 1)[:, 0]
        start, stop = self.start[state.query], self.start[state.query + 1]
        known = stop > start
        out = self.asked[(u * len(self.asked)).astype(np.int64)]
        row = start + (u * (stop - start)).astype(np.int64)
        out[known] = self.following[row[known]]
        return out.astype(np.int32)

    def leave_chance(self, step: NDArray[np.int32], clicked: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Chance (B,) to leave after page number `step` (B,), by whether anything on it was clicked (B,)."""
        return self.leave[np.minimum(step, len(self.leave) - 1), clicked.astype(np.int64)]

    def position_weights(self, n_positions: int) -> NDArray[np.float32]:
        """(K,) click rates of the positions relative to the best, made to fall: how far users look, crudely."""
        rates = self.rates[np.minimum(np.arange(n_positions), len(self.rates) - 1)]
        return np.minimum.accumulate(rates / self.rates.max()).astype(np.float32)


def departures(steps: LoggedSteps) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pages (M,) that say whether the user stayed or left, and whether they left.

    A session that was cut off says nothing of its last page; where the log never says why sessions end, each end is a
    departure.
    """
    if steps.single_impressions:  # pages cannot be told from sessions
        return np.ones(steps.n_steps, np.bool_), np.ones(steps.n_steps, np.bool_)
    silent = [SessionEnd.LIMIT]
    if (steps.session_end == SessionEnd.LEFT).any():
        silent.append(SessionEnd.UNKNOWN)
    return ~np.isin(steps.session_end, silent), steps.session_end != SessionEnd.NO


def _leave_chances(steps: LoggedSteps) -> NDArray[np.float64]:
    """(S, 2) rates of leaving by page number and by whether anything was clicked."""
    known, left = departures(steps)
    clicked = np.asarray(steps.click.any(axis=1), np.int64)
    n = int(steps.step.max(initial=0)) + 1
    cell = steps.step[known] * 2 + clicked[known]
    count = np.bincount(cell, minlength=2 * n).reshape(n, 2)
    leaving = np.bincount(cell, left[known].astype(np.float64), minlength=2 * n).reshape(n, 2)
    overall = (leaving.sum(axis=0) + 0.5) / (count.sum(axis=0) + 1.0)
    # The overall rate counts as ten pages, so that a late page seen once does not decide.
    return np.asarray((leaving + 10.0 * overall) / (count + 10.0))
