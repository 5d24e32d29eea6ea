"""Sessions of a simulator as a log: for fidelity, for tests of fitting, for benchmarks."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps, SessionEnd
from simulators.base import SessionState, UserSimulator
from simulators.kernels.rng import Purpose, gumbel_table, uniform_table

__all__ = ["LoggedPages", "PageSource", "RandomPages", "simulate_steps"]


class PageSource(Protocol):
    """Chooses what simulated users are shown."""

    def pages(self, state: SessionState, *, seed: int) -> NDArray[np.int32]:
        """Slates (B, K) for the users of `state`."""
        ...


class RandomPages:
    """`K` distinct items drawn at random from the candidates of the query.

    Args:
        candidates: (Q, N) catalogue rows of each query.
        slate_size: Positions K.
    """

    def __init__(self, candidates: NDArray[np.int32], slate_size: int) -> None:
        self.candidates = candidates
        self.slate_size = slate_size

    def pages(self, state: SessionState, *, seed: int) -> NDArray[np.int32]:
        """Slates (B, K)."""
        n = self.candidates.shape[1]
        noise = gumbel_table(seed, state.user, state.step, Purpose.POLICY, n)
        chosen = np.argsort(-noise, axis=1)[:, : self.slate_size]
        return np.ascontiguousarray(np.take_along_axis(self.candidates[state.query], chosen, axis=1))


class LoggedPages:
    """Pages of a log: a user with a query is shown some page that the log shows for that query.

    What the log's policy knew of the user is not known here, so pages are drawn without regard to it; queries
    that the log does not hold are shown a page of any query.

    Args:
        steps: The log.
        n_queries: Number of queries Q.
    """

    def __init__(self, steps: LoggedSteps, n_queries: int) -> None:
        self.item = steps.item
        self.order = np.argsort(steps.query, kind="stable")
        self.start = np.searchsorted(steps.query[self.order], np.arange(n_queries + 1))

    def pages(self, state: SessionState, *, seed: int) -> NDArray[np.int32]:
        """Slates (B, K)."""
        u = uniform_table(seed, state.user, state.step, Purpose.POLICY, 1)[:, 0]
        start, stop = self.start[state.query], self.start[state.query + 1]
        known = stop > start
        start, stop = np.where(known, start, 0), np.where(known, stop, len(self.order))
        return np.ascontiguousarray(self.item[self.order[start + (u * (stop - start)).astype(np.int64)]])


def simulate_steps(
    simulator: UserSimulator,
    source: PageSource,
    *,
    n_sessions: int,
    max_steps: int,
    seed: int,
    queries: tuple[str, ...] = (),
    context_names: tuple[str, ...] = (),
    first_user: int = 0,
) -> LoggedSteps:
    """Let users `first_user ...` look at pages from `source` until they leave or `max_steps` pages are seen.

    Returns:
        One row per page, without candidates and propensities.
    """
    state = simulator.begin(np.arange(first_user, first_user + n_sessions), seed=seed)
    rows: list[tuple[NDArray[np.int64], NDArray[np.int32], list[NDArray[np.uint8]], NDArray[np.int8]]] = []
    queried: list[NDArray[np.int32]] = []
    contexts: list[NDArray[np.float32]] = []
    dwells: list[NDArray[np.float32]] = []
    for step in range(max_steps):
        slates = source.pages(state, seed=seed)
        user, query, context = state.user.copy(), state.query.copy(), state.context.copy()
        feedback = simulator.respond(state, slates, seed=seed)
        end = np.where(feedback.left, int(SessionEnd.LEFT), 0)
        if step == max_steps - 1:
            end = np.where(feedback.left, int(SessionEnd.LEFT), int(SessionEnd.LIMIT))
        rows.append((user - first_user, slates, [feedback.click, feedback.purchase], end.astype(np.int8)))
        if feedback.dwell is not None:
            dwells.append(feedback.dwell)
        queried.append(query)
        contexts.append(context)
        state = state.take(np.flatnonzero(~feedback.left))
        if len(state.user) == 0:
            break
    session = np.concatenate([row[0] for row in rows])
    step_number = np.concatenate([np.full(len(row[0]), t, np.int32) for t, row in enumerate(rows)])
    order = np.lexsort((step_number, session))
    item = np.concatenate([row[1] for row in rows])[order]
    unknown = np.full(item.shape, np.nan)
    return LoggedSteps(
        session=session[order],
        user=session[order] + first_user,
        step=step_number[order],
        query=np.concatenate(queried)[order],
        timestamp=np.arange(len(session), dtype=np.int64) * 1_000_000_000,
        item=item,
        click=np.concatenate([row[2][0] for row in rows])[order],
        purchase=np.concatenate([row[2][1] for row in rows])[order],
        dwell=np.concatenate(dwells)[order] if dwells else None,
        candidates=np.empty((len(session), 0), np.int32),
        propensity=unknown,
        cascade_propensity=unknown.copy(),
        slate_propensity=np.full(len(session), np.nan),
        session_end=np.concatenate([row[3] for row in rows])[order],
        context=np.concatenate(contexts)[order],
        context_names=context_names or tuple(f"context {c}" for c in range(simulator.context_size)),
        queries=queries or tuple(f"query {q}" for q in range(simulator.n_queries)),
        single_impressions=False,
    )
