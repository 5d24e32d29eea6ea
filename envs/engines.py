"""Two ways to advance a batch of sessions by one page, behind one interface; both give the same bits.

`ComposedEngine` takes any `UserSimulator` and does the environment's own work around its `respond`, part by part.
`envs.fused.FusedEngine` does everything in one pass where the simulator is the built-in shopper.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.history import RETURN, History
from envs.kernels import core as kernels
from envs.observation import Observation
from envs.pessimism import penalty_of
from envs.results import StepResult
from envs.rules import PageRules
from envs.tables import StepTables
from envs.world import TaskConfig, World
from simulators.base import Feedback, SessionState

__all__ = ["ComposedEngine", "Engine", "check_strict"]


class Engine(Protocol):
    """Shows pages and renews sessions."""

    def advance(
        self, state: SessionState, actions: NDArray[np.int64], rows: NDArray[np.int64], seed: np.uint64
    ) -> StepResult:
        """Show the pages `actions` (B, K) to the users at `rows`; of the others, who rest, nothing is written.

        What finished is left to the core: `finished`, `final_observation` and `episodes` are not set.

        Raises:
            InputError: A repeated or padded choice where the task is strict; nothing has changed then.
        """
        ...

    def renew(
        self,
        state: SessionState,
        rows: NDArray[np.int64],
        users: NDArray[np.int64],
        seed: np.uint64,
        observation: Observation,
    ) -> Observation:
        """Let `users` (R,) begin at `rows` and write their first observation; gives what stood there before."""
        ...


class ComposedEngine:
    """Any simulator, and the environment's work around it.

    Args:
        world: Users, candidates and tables.
        task: Sizes, horizon and reward.
        tables: The world's tables as the kernels read them.
        history: The sessions' records.
        rules: Rules of the shop; None: every candidate may be shown anywhere.
    """

    def __init__(
        self,
        world: World,
        task: TaskConfig,
        tables: StepTables,
        history: History,
        rules: PageRules | None = None,
    ) -> None:
        self.world = world
        self.task = task
        self.tables = tables
        self.history = history
        self.rules = rules
        self.penalty = penalty_of(world, task, tables)

    def advance(
        self, state: SessionState, actions: NDArray[np.int64], rows: NDArray[np.int64], seed: np.uint64
    ) -> StepResult:
        """See `Engine`."""
        tables, task = self.tables, self.task
        B, K = actions.shape
        n_rows = rows.shape[0]
        whole = n_rows == B
        query = state.query.copy()
        positions = np.zeros((B, K), np.int64)
        slates = np.full((B, K), -1, np.int32)
        repairs = np.zeros(B, np.int32)
        rules = self.rules
        if rules is None:
            items, lengths = tables.candidates.items, tables.candidates.lengths
            kernels.place(n_rows, rows, actions, query, items, lengths, positions, slates, repairs)
        else:
            rules.place(rows, actions, query, state.user, state.step, positions, slates, repairs)
        if task.duplicates == "error":
            check_strict(state, actions, positions, repairs, tables)

        live = state if whole else state.take(rows)
        step = state.step.copy() if rules is not None else state.step
        shown = slates if whole else slates[rows]
        # Before the answer: what the members expect of the page, knowing the session so far.
        doubt = None if self.penalty is None else self.penalty(live, shown)
        feedback = self.world.simulator.respond(live, shown, seed=int(seed))
        if not whole:
            state.put(rows, live)
            feedback = _spread(feedback, rows, B)
        left = np.asarray(feedback.left, np.bool_)
        # A user who left has no next query: the last observation then keeps the one that was answered.
        np.copyto(state.query, query, where=left)

        parts, reward, score = np.zeros((B, 8)), np.zeros(B), np.zeros(B)
        history = self.history
        kernels.value(
            n_rows,
            rows,
            query,
            slates,
            positions,
            feedback.click,
            np.empty((B, 0), np.uint8) if feedback.cart is None else feedback.cart,
            feedback.purchase,
            left,
            tables.candidates.scores,
            tables.vectors,
            tables.price,
            tables.profit,
            tables.weights,
            tables.score_weights,
            parts,
            reward,
            score,
            history.totals,
        )
        penalty = None
        if doubt is not None:
            penalty = np.zeros(B)
            penalty[rows] = doubt
            reward -= penalty
            history.totals[:, RETURN] -= penalty
        history.note(rows, slates, feedback.click, feedback.purchase, compact=False)
        truncated = ~left & (history.pages >= task.max_steps)
        if not whole:
            resting = np.ones(B, np.bool_)
            resting[rows] = False
            truncated[resting] = False
        result = StepResult(
            positions=positions,
            slates=slates,
            repairs=repairs,
            parts=parts,
            reward=reward,
            score=score,
            terminated=left.copy(),
            truncated=truncated,
            feedback=feedback,
            observation=self._observe(state, rows, None),
            penalty=penalty,
        )
        if rules is not None:
            result.costs = rules.costs(rows, query, state.user, step, positions, slates, repairs, feedback)
        return result

    def renew(
        self,
        state: SessionState,
        rows: NDArray[np.int64],
        users: NDArray[np.int64],
        seed: np.uint64,
        observation: Observation,
    ) -> Observation:
        """See `Engine`."""
        before = observation.take(rows)
        state.put(rows, self.world.simulator.begin(users, seed=int(seed)))
        self.history.clear(rows)
        self._observe(state, rows, observation)
        return before

    def _observe(self, state: SessionState, rows: NDArray[np.int64], out: Observation | None) -> Observation:
        candidates = self.tables.candidates
        seen = self.history.observe(
            rows,
            query=state.query,
            context=state.context,
            candidates=candidates.items,
            scores=candidates.scores,
            out=out,
        )
        if self.rules is not None:
            self.rules.hide(rows, seen, state.user, state.step)
        return seen


def check_strict(
    state: SessionState,
    actions: NDArray[np.int64],
    positions: NDArray[np.int64],
    repairs: NDArray[np.int32],
    tables: StepTables,
) -> None:
    """Raise InputError where a choice had to be repaired, naming user, position and value."""
    if not repairs.any():
        return
    b = int(np.flatnonzero(repairs)[0])
    k = int(np.flatnonzero(actions[b] != positions[b])[0])
    n = int(tables.candidates.lengths[state.query[b]])
    if actions[b, k] >= n:
        why = f"a padded candidate: there are {n}"
    elif actions[b, k] in positions[b, :k]:
        why = "in the slate already"
    else:
        why = "against the rules of the task"
    raise InputError(
        f"action {actions[b, k]} of user {state.user[b]} at position {k} is {why}",
        where=f"SlateCore.step, row {b}",
        mend="choose distinct candidates that may be shown, or set TaskConfig.duplicates to 'repair'",
    )


def _spread(feedback: Feedback, rows: NDArray[np.int64], n_users: int) -> Feedback:
    """The feedback of the users at `rows` as rows of the whole batch; nothing happened to the others."""

    def spread(array: NDArray[Any]) -> NDArray[Any]:
        out = np.zeros((n_users, *array.shape[1:]), array.dtype)
        out[rows] = array
        return out

    cart, dwell = feedback.cart, feedback.dwell
    return Feedback(
        click=spread(feedback.click),
        purchase=spread(feedback.purchase),
        left=spread(feedback.left),
        cart=None if cart is None else spread(cart),
        dwell=None if dwell is None else spread(dwell),
    )
