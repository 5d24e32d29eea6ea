"""Where the time of a step goes: its phases as separate kernels, the one pass that the core takes, and the rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.timing import pages
from benchmarks.speed.worlds import TASK
from envs.core import SlateCore
from envs.engines import Engine
from envs.history import History
from envs.kernels import core as kernels
from envs.observation import Observation
from envs.results import StepResult
from envs.tables import prepare_tables
from envs.world import World
from simulators.base import SessionState

__all__ = ["PHASES", "StepTimes", "Traffic", "separate_phases", "whole_step"]

PHASES = ("place", "respond", "value", "note", "observe", "renew")
"""Actions to slates; the user's answer; reward and score; the session's record; the observation; new sessions."""

_WARM, _WINDOWS = 40, 20


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What users did while they were timed: averages a user-step."""

    clicks: float
    ends: float  # sessions that ended


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """Nanoseconds a user-step of `SlateCore.step`."""

    advance: float  # the one pass, with the arrays it writes
    renew: float  # of finished sessions
    rest: float  # checks, and the result put together, in Python


class _Clock:
    """Adds up what pieces of work take."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = work()
        self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - began
        return found

    def take(self) -> dict[str, float]:
        """Seconds by name, and start again."""
        spent, self.spent = self.spent, {}
        return spent


def _best_window(
    step: Callable[[int], None], clock: _Clock, names: tuple[str, ...], *, seconds: float, per_step: int
) -> dict[str, float]:
    """Nanoseconds a user-step by name, in the best of twenty windows of `seconds`: a busy moment spoils one."""
    for i in range(_WARM):
        step(i)
    done, found = _WARM, []
    for _ in range(_WINDOWS):
        clock.take()
        steps, began = 0, time.perf_counter()
        while not steps or time.perf_counter() - began < seconds:
            step(done + steps)
            steps += 1
        done += steps
        spent = clock.take()
        found.append({name: spent.get(name, 0.0) * 1e9 / (steps * per_step) for name in names})
    return min(found, key=lambda window: sum(window.values()))


class _TimedEngine:
    """An engine, and how long it takes."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.clock = _Clock()

    def advance(
        self, state: SessionState, actions: NDArray[np.int64], rows: NDArray[np.int64], seed: np.uint64
    ) -> StepResult:
        page: StepResult = self.clock("advance", lambda: self.engine.advance(state, actions, rows, seed))
        return page

    def renew(
        self,
        state: SessionState,
        rows: NDArray[np.int64],
        users: NDArray[np.int64],
        seed: np.uint64,
        observation: Observation,
    ) -> Observation:
        before: Observation = self.clock(
            "renew", lambda: self.engine.renew(state, rows, users, seed, observation)
        )
        return before


def whole_step(world: World, n_users: int, *, seconds: float) -> tuple[StepTimes, Traffic]:
    """`SlateCore.step`, split into its engine's two calls and the rest."""
    core = SlateCore(world, TASK, n_users=n_users)
    core.reset()
    slates = pages(n_users, TASK.n_candidates, TASK.slate_size, distinct=True)
    engine = _TimedEngine(core._engine)
    core._engine = engine
    counts = np.zeros(3)  # steps, clicks, ends

    def step(i: int) -> None:
        found = engine.clock("whole", lambda: core.step(slates[i % len(slates)]))
        counts[:] += (1, found.feedback.click.sum(), found.finished.size)

    best = _best_window(
        step, engine.clock, ("whole", "advance", "renew"), seconds=seconds / _WINDOWS, per_step=n_users
    )
    times = StepTimes(
        advance=best["advance"],
        renew=best["renew"],
        rest=best["whole"] - best["advance"] - best["renew"],
    )
    users = counts[0] * n_users
    return times, Traffic(clicks=float(counts[1] / users), ends=float(counts[2] / users))


def separate_phases(world: World, n_users: int, *, seconds: float) -> dict[str, float]:
    """Nanoseconds a user-step of each of `PHASES`, each a pass of its own over all users, as in `ComposedEngine`."""
    simulator, tables = world.simulator, prepare_tables(world, TASK)
    B, K, N = n_users, TASK.slate_size, TASK.n_candidates
    rows, seed = np.arange(B, dtype=np.int64), 0
    history = History(B, TASK, world.features.n_items)
    state = simulator.begin(rows, seed=seed)
    slates = pages(B, N, K, distinct=True)
    positions, shown = np.empty((B, K), np.int64), np.empty((B, K), np.int32)
    repairs, parts = np.empty(B, np.int32), np.empty((B, 8))
    reward, score = np.empty(B), np.empty(B)
    observation = Observation.empty(B, simulator.context_size, N, K, TASK.history)
    candidates = tables.candidates

    def observe(which: NDArray[np.int64]) -> None:
        history.observe(
            which,
            query=state.query,
            context=state.context,
            candidates=candidates.items,
            scores=candidates.scores,
            out=observation,
        )

    def renew(which: NDArray[np.int64]) -> None:
        observation.take(which)
        state.put(which, simulator.begin(state.user[which] + B, seed=seed))
        history.clear(which)
        observe(which)

    clock = _Clock()

    def step(i: int) -> None:
        actions, query = slates[i % len(slates)], state.query.copy()
        clock(
            "place",
            lambda: kernels.place(
                B, rows, actions, query, candidates.items, candidates.lengths, positions, shown, repairs
            ),
        )
        feedback = clock("respond", lambda: simulator.respond(state, shown, seed=seed))
        np.copyto(state.query, query, where=feedback.left)
        clock(
            "value",
            lambda: kernels.value(
                B, rows, query, shown, positions, feedback.click, feedback.cart, feedback.purchase, feedback.left,
                candidates.scores, tables.vectors, tables.price, tables.profit, tables.weights,
                tables.score_weights, parts, reward, score, history.totals,
            ),
        )  # fmt: skip
        clock("note", lambda: history.note(rows, shown, feedback.click, feedback.purchase, compact=False))
        clock("observe", lambda: observe(rows))
        finished = np.flatnonzero(feedback.left | (history.pages >= TASK.max_steps))
        if finished.size:
            clock("renew", lambda: renew(finished))

    return _best_window(step, clock, PHASES, seconds=seconds / _WINDOWS, per_step=B)
