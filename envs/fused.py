"""`FusedEngine`: the built-in shopper and the environment's own work in one pass over the users."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from envs.engines import check_strict
from envs.history import History
from envs.kernels import core as kernels
from envs.kernels import fused
from envs.observation import Observation
from envs.results import StepResult
from envs.tables import StepTables
from envs.world import TaskConfig, World
from simulators.base import Feedback, SessionState
from simulators.kernels.twins import PARALLEL_FROM
from simulators.shopper import ShopperSimulator

__all__ = ["FusedEngine", "can_fuse"]

_LARGEST = 64
"""Users a thread takes at a time, at most; no result depends on it."""


def can_fuse(world: World, task: TaskConfig) -> bool:
    """Whether this world and task can be advanced in one pass: the shopper as it stands, and no rules."""
    return type(world.simulator) is ShopperSimulator and task.rules is None


class FusedEngine:
    """See `envs.engines.Engine`; gives the bits of `ComposedEngine`.

    Args:
        simulator: The shopper.
        task: Sizes, horizon and reward.
        tables: The world's tables as the kernels read them.
        history: The sessions' records.
    """

    def __init__(
        self, simulator: ShopperSimulator, task: TaskConfig, tables: StepTables, history: History
    ) -> None:
        self.task = task
        self.tables = tables
        self.history = history
        self.shop = simulator.tables(task.slate_size)
        self.new_observation = Observation.empty
        """Where observations are written: put another in its place for arrays of your own, page-locked ones say."""
        rows = tables.candidates
        self._page = (rows.items, rows.scores, rows.lengths, tables.vectors,
                      not np.may_share_memory(tables.vectors, self.shop.items), tables.price, tables.profit,
                      tables.weights, tables.score_weights)  # fmt: skip
        self._records = (history.head, history.table, history.shown, history.totals, np.int64(task.max_steps))

    def advance(
        self, state: SessionState, actions: NDArray[np.int64], rows: NDArray[np.int64], seed: np.uint64
    ) -> StepResult:
        """See `Engine`."""
        task = self.task
        B, K = actions.shape
        n_rows = rows.shape[0]
        make = np.empty if n_rows == B else np.zeros  # who rests keeps zeros
        positions = make((B, K), np.int64)
        slates = np.empty((B, K), np.int32) if n_rows == B else np.full((B, K), -1, np.int32)
        repairs = make(B, np.int32)
        parts, reward, score = make((B, 8), np.float64), make(B, np.float64), make(B, np.float64)
        click, cart, purchase = make((B, K), np.uint8), make((B, K), np.uint8), make((B, K), np.uint8)
        terminated, truncated = make(B, np.bool_), make(B, np.bool_)
        observation = self.new_observation(
            B, state.context.shape[1], task.n_candidates, K, task.history, task.memory
        )
        if task.duplicates == "error":
            candidates = self.tables.candidates
            kernels.place(
                n_rows, rows, actions, state.query, candidates.items, candidates.lengths, positions,
                slates, repairs,
            )  # fmt: skip
            check_strict(state, actions, positions, repairs, self.tables)
        fused.advance(
            n_rows, _portion(n_rows), rows, self.shop, state.user, state.step, state.query, state.hidden,
            state.context, seed, actions, *self._page, *self._records, positions, slates, repairs,
            click, cart, purchase, terminated, truncated, parts, reward, score,
            *observation.arrays(),
        )  # fmt: skip
        return StepResult(
            observation=observation,
            reward=reward,
            parts=parts,
            score=score,
            terminated=terminated,
            truncated=truncated,
            feedback=Feedback(click=click, purchase=purchase, left=terminated, cart=cart),
            slates=slates,
            positions=positions,
            repairs=repairs,
        )

    def renew(
        self,
        state: SessionState,
        rows: NDArray[np.int64],
        users: NDArray[np.int64],
        seed: np.uint64,
        observation: Observation,
    ) -> Observation:
        """See `Engine`."""
        n_rows = rows.shape[0]
        candidates, task = self.tables.candidates, self.task
        before = Observation.empty(
            n_rows, state.context.shape[1], task.n_candidates, task.slate_size, task.history, task.memory
        )
        # A renewal is a fraction of a step: it takes twice the users to be worth waking the threads for.
        fused.renew(
            n_rows // 2, _portion(n_rows), rows, users, self.shop, state.user, state.step, state.query, state.hidden,
            state.context, seed, candidates.items, candidates.scores, *self._records, *observation.arrays(),
            *before.arrays(),
        )  # fmt: skip
        return before


def _portion(n_rows: int) -> int:
    """Users a thread takes at a time: a few portions a thread, as long as the stages are well filled."""
    if n_rows < PARALLEL_FROM:
        return max(1, n_rows)  # nobody is left where all sessions are over
    return max(8, min(_LARGEST, -(-n_rows // (4 * numba.get_num_threads()))))
