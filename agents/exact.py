"""Exact expected scores on tiny tasks: every page, every answer, every way a session can go on.

The optimum is found by dynamic programming over the tree of histories (Bellman 1957): a task of 4 items, pages of 2
and 3 pages has some millions of leaves. It is the yardstick that planners are held to.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.base import Draw, Policy
from agents.worth import Worth
from behavior.errors import InputError
from envs.observation import Observation
from envs.world import TaskConfig, World
from simulators.base import Feedback, SessionState, TransparentSimulator

__all__ = ["TinyGame", "next_visit"]

_IMPOSSIBLE = 1e-15
_AT_ONCE = 400_000

NextVisit = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def next_visit(context: NDArray[np.float32]) -> NDArray[np.float32]:
    """The context (B, F) after the built-in shopper came back once more, a week later."""
    after = context.copy()
    after[:, 1] = np.log1p(np.rint(np.expm1(context[:, 1])) + 1.0)
    after[:, 2] = math.log1p(7.0)
    return after


@dataclass(frozen=True)
class _Answers:
    """All `A` ways in which a page of K items can be answered."""

    click: NDArray[np.uint8]  # (A, K)
    purchase: NDArray[np.uint8]  # (A, K)
    left: NDArray[np.bool_]  # (A,)
    back: NDArray[np.bool_]  # (A,) left, and came back


class TinyGame:
    """A task small enough to be solved exactly.

    Args:
        world: Of one query, with a simulator whose chances can be computed.
        task: Sizes, horizon and score.
        next_visit: The context after a user came back; None where users never do.
        limit: Leaves of the tree that are accepted.

    Raises:
        InputError: More than one query, a simulator that cannot tell its chances, or too many leaves.
    """

    def __init__(
        self,
        world: World,
        task: TaskConfig,
        *,
        next_visit: NextVisit | None = None,
        limit: float = 5e7,
    ) -> None:
        simulator = world.simulator
        queries = world.candidates.items.shape[0]
        if not isinstance(simulator, TransparentSimulator) or queries != 1:
            raise InputError(
                f"{type(simulator).__name__} with {queries} queries cannot be solved exactly",
                where="TinyGame",
                mend="give a simulator with absorb() and a world of one query",
            )
        self.simulator, self.task = simulator, task
        self.worth = Worth.of_task(task, world.features, simulator.n_items)
        row = world.candidates.items[0, : task.n_candidates]
        self.items = row[row >= 0]
        self.candidates = np.full((1, task.n_candidates), -1, np.int32)
        self.candidates[0, : row.shape[0]] = row
        self.scores = np.zeros((1, task.n_candidates), np.float32)
        self.scores[0, : row.shape[0]] = world.candidates.scores[0, : task.n_candidates]
        pages = itertools.permutations(self.items.tolist(), task.slate_size)
        self.pages = np.array(list(pages), np.int32)  # (M, K)
        self.answers = _answers(task.slate_size, next_visit is not None)
        self._next_visit = next_visit
        going_on = int((~self.answers.left).sum())
        leaves = (
            (len(self.pages) * going_on) ** (task.max_steps - 1) * len(self.pages) * len(self.answers.left)
        )
        if leaves > limit:
            raise InputError(
                f"a tree of {leaves:.2g} leaves, more than {limit:.2g}",
                where="TinyGame",
                mend="fewer candidates, positions or pages",
            )

    def optimum(self, state: SessionState) -> NDArray[np.float64]:
        """Expected score (B,) of the best policy that sees everything, from `state` on."""
        best: NDArray[np.float64] = self.page_values(state).max(axis=1)
        return best

    def page_values(self, state: SessionState) -> NDArray[np.float64]:
        """Expected score (B, M) of every one of `pages`, shown now and followed by the best policy."""
        M = len(self.pages)
        chunk = max(1, _AT_ONCE // (M * len(self.answers.left)))
        parts = []
        for start in range(0, state.user.shape[0], chunk):
            rows = np.arange(start, min(start + chunk, state.user.shape[0]))
            many = state.take(np.repeat(rows, M))
            value = self._expected(many, np.tile(self.pages, (rows.shape[0], 1)), self.optimum)
            parts.append(value.reshape(rows.shape[0], M))
        return np.concatenate(parts) if parts else np.zeros((0, M))

    def value(self, policy: Policy, state: SessionState) -> NDArray[np.float64]:
        """Expected score (B,) from `state` on of a policy that ranks by state (oracles) or by candidates alone."""
        if not state.user.shape[0]:
            return np.zeros(0)
        draw = Draw(seed=0, user=state.user, step=state.step)
        chosen = policy.rank(self._observe(state), draw, slate_size=self.task.slate_size, state=state.copy())
        return self._expected(state, self.candidates[0][chosen], lambda then: self.value(policy, then))

    def _expected(
        self,
        state: SessionState,
        slates: NDArray[np.int32],
        go_on: Callable[[SessionState], NDArray[np.float64]],
    ) -> NDArray[np.float64]:
        """Score (B,) of the pages `slates` (B, K) and of what follows, averaged over all answers."""
        B, A = slates.shape[0], len(self.answers.left)
        then = state.take(np.repeat(np.arange(B), A))
        pages = np.repeat(slates, A, axis=0)
        answer = np.tile(np.arange(A), B)
        feedback = Feedback(
            click=self.answers.click[answer],
            purchase=self.answers.purchase[answer],
            left=self.answers.left[answer],
        )
        context = then.context.copy()
        if self._next_visit is not None:
            back = self.answers.back[answer]
            context[back] = self._next_visit(then.context[back])
        chance = np.exp(
            self.simulator.absorb(then, pages, feedback, query=np.zeros(B * A, np.int32), context=context)
        )
        whole = chance.reshape(B, A).sum(axis=1)
        if np.abs(whole - 1.0).max(initial=0.0) > 1e-6:
            worst = float(whole[np.abs(whole - 1.0).argmax()])
            raise ValueError(f"the chances of all {A} answers add up to {worst}, not to 1")
        score = self.worth.of_page(pages, feedback)
        on = np.flatnonzero((chance > _IMPOSSIBLE) & ~feedback.left & (then.step < self.task.max_steps))
        if on.size:
            score[on] += go_on(then.take(on))
        value: NDArray[np.float64] = (chance * score).reshape(B, A).sum(axis=1)
        return value

    def _observe(self, state: SessionState) -> Observation:
        B, K = state.user.shape[0], self.task.slate_size
        pages = state.step.astype(np.float32) / self.task.max_steps
        zeros = np.zeros(B, np.float32)
        return Observation(
            query=state.query[:, None],
            context=state.context,
            candidates=np.repeat(self.candidates, B, axis=0),
            scores=np.repeat(self.scores, B, axis=0),
            seen=np.zeros((B, self.task.n_candidates), np.float32),
            last_slate=np.full((B, K), -1, np.int32),
            last_click=np.zeros((B, K), np.float32),
            last_purchase=np.zeros((B, K), np.float32),
            clicked=np.full((B, self.task.history), -1, np.int32),
            progress=np.stack([pages, 1.0 - pages, zeros, zeros], axis=1),
            recent_items=np.full((B, self.task.memory * K), -1, np.int32),
            recent_feedback=np.zeros((B, self.task.memory * K), np.float32),
        )


def _answers(slate_size: int, returning: bool) -> _Answers:
    """Every click vector, every set of purchases among its clicks, leaving, staying and perhaps coming back."""
    ways = [(False, False), (True, False), *([(False, True)] if returning else [])]
    rows = [
        (click, bought, *way)
        for click in itertools.product((0, 1), repeat=slate_size)
        for bought in itertools.product(*((0, 1) if c else (0,) for c in click))
        for way in ways
    ]
    return _Answers(
        click=np.array([row[0] for row in rows], np.uint8),
        purchase=np.array([row[1] for row in rows], np.uint8),
        left=np.array([row[2] for row in rows], np.bool_),
        back=np.array([row[3] for row in rows], np.bool_),
    )
