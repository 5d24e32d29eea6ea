"""`SlateCore`: `B` simulated sessions side by side; every face of the environment is a view of it."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.history import History
from envs.kernels import core as kernels
from envs.observation import Observation
from envs.results import EpisodeStats, RewardParts, StepResult
from envs.tables import check_task, prepare_candidates
from envs.world import TaskConfig, World
from simulators.base import SessionState
from simulators.kernels.rng import MAX_SEED

__all__ = ["SlateCore"]


class SlateCore:
    """`B` users who are shown slates.

    The user in slot b lives through the episodes of users `first_user + b`, `+ B`, `+ 2B`, ... All chance is a
    function of (seed, user, step), so a session is the same to the bit in a batch of any size.

    Args:
        world: Users, candidates and tables.
        task: Sizes, horizon and reward.
        n_users: Batch size B.
        seed: Key of all chance, until `reset` names another.
        first_user: User of slot 0 in its first episode.
        stride: From one user of a slot to its next; B where None. (A core of one user with `first_user=b` and
            `stride=B` lives through what slot b of a core of B users does.)
        autoreset: Whether a finished session is followed by the next user's within the same step; without it,
            `reset` must be called before the next step.

    Raises:
        InputError: The task is impossible in this world.
    """

    def __init__(
        self,
        world: World,
        task: TaskConfig | None = None,
        *,
        n_users: int,
        seed: int = 0,
        first_user: int = 0,
        stride: int | None = None,
        autoreset: bool = True,
    ) -> None:
        self.world = world
        self.task = task or TaskConfig()
        check_task(world, self.task)
        for name, value, least in (
            ("n_users", n_users, 1),
            ("first_user", first_user, 0),
            ("stride", 1 if stride is None else stride, 1),
        ):
            if value < least:
                raise InputError(
                    f"{name} is {value}", where="SlateCore", mend=f"{name} must be at least {least}"
                )
        self.n_users = n_users
        self.seed = _checked_seed(seed)
        self.first_user = first_user
        self.stride = n_users if stride is None else stride
        self.autoreset = autoreset
        self.candidates = prepare_candidates(world, self.task)
        mix = self.task.reward
        self._weights = np.array(astuple(mix), np.float64)
        self._vectors = np.ascontiguousarray(world.features.item_vectors, np.float32)
        self._score_weights = np.array(
            [self.task.click_weight, self.task.purchase_weight, self.task.revenue_weight], np.float64
        )
        self._price = np.nan_to_num(np.ascontiguousarray(world.features.price, np.float32), nan=0.0)
        margin = world.features.margin
        self._profit = (
            np.zeros_like(self._price) if margin is None else (self._price * margin).astype(np.float32)
        )
        self._history = History(n_users, self.task, world.features.n_items)
        self._everyone = np.arange(n_users, dtype=np.int64)
        self._state: SessionState | None = None
        self._over = False

    @property
    def state(self) -> SessionState:
        """The live state of the users, for oracles; copy it before advancing it.

        Raises:
            InputError: Before the first reset.
        """
        if self._state is None:
            raise InputError("there is no session yet", where="SlateCore.state", mend="call reset() first")
        return self._state

    def reset(self, seed: int | None = None, users: NDArray[np.int64] | None = None) -> Observation:
        """Start new sessions in all slots.

        Args:
            seed: The new key of all chance; the users start again from `first_user`. None: the same key, and the
                next user in each slot.
            users: (B,) the users to begin with; later episodes of slot b are `users[b] + stride`, ...

        Returns:
            The observation of the first page of every user.
        """
        if users is not None:
            begin = np.asarray(users)
            if (
                begin.shape != (self.n_users,)
                or not np.issubdtype(begin.dtype, np.integer)
                or begin.min() < 0
            ):
                raise InputError(
                    f"users is {begin.dtype} {begin.shape}, smallest {begin.min() if begin.size else None}",
                    where="SlateCore.reset",
                    mend=f"give {self.n_users} user numbers, integers from 0",
                )
            begin = begin.astype(np.int64)
        elif seed is not None or self._state is None:
            begin = self.first_user + self._everyone
        else:
            begin = self._state.user + self.stride
        if seed is not None:
            self.seed = _checked_seed(seed)
        self._state = self.world.simulator.begin(begin, seed=self.seed)
        self._history.clear(self._everyone)
        self._over = False
        none, nobody = np.empty(0, np.int64), np.zeros(self.n_users, np.bool_)
        self._none_finished = self._observe(none, self._state.query), self._episodes(none, nobody)
        return self._observe(self._everyone, self._state.query)

    def step(self, actions: NDArray[Any]) -> StepResult:
        """Show the slates `actions` (B, K), candidate positions in slate order, and advance every user.

        Raises:
            InputError: No session, wrong shape or dtype, a position outside 0 .. N-1, or, with
                `duplicates="error"`, a repeated or padded choice. The environment is unchanged then.
        """
        state = self.state
        if self._over:
            raise InputError("the session is over", where="SlateCore.step", mend="call reset() first")
        chosen = self._checked(actions, state)
        B, K = chosen.shape

        positions = np.empty((B, K), np.int64)
        slates = np.empty((B, K), np.int32)
        repairs = np.empty(B, np.int32)
        kernels.place(
            B, chosen, state.query, self.candidates.items, self.candidates.lengths, positions, slates, repairs
        )
        if self.task.duplicates == "error" and repairs.any():
            raise self._duplicate(chosen, positions, state)

        shown_query = state.query.copy()
        feedback = self.world.simulator.respond(state, slates, seed=self.seed)
        cart = np.empty((B, 0), np.uint8) if feedback.cart is None else feedback.cart
        parts = np.empty((B, 8), np.float64)
        reward, score = np.empty(B, np.float64), np.empty(B, np.float64)
        history = self._history
        kernels.reward(
            B,
            slates,
            positions,
            shown_query,
            feedback.click,
            cart,
            feedback.purchase,
            feedback.left,
            self.candidates.scores,
            self._vectors,
            self._price,
            self._profit,
            self._weights,
            self._score_weights,
            parts,
            reward,
            score,
            history.totals,
        )
        history.note(self._everyone, slates, feedback.click, feedback.purchase)

        terminated = np.array(feedback.left, np.bool_)
        truncated = ~terminated & (history.pages >= self.task.max_steps)
        finished = np.flatnonzero(terminated | truncated)
        if finished.size:
            # A user who left has no next query: the last observation then keeps the one that was answered.
            final_query = np.where(terminated, shown_query, state.query)
            final_observation = self._observe(finished, final_query)
            episodes = self._episodes(finished, terminated)
            if self.autoreset:
                arrived = self.world.simulator.begin(state.user[finished] + self.stride, seed=self.seed)
                state.put(finished, arrived)
                history.clear(finished)
                observation = self._observe(self._everyone, state.query)
            else:
                self._over = True
                observation = self._observe(self._everyone, final_query)
        else:
            final_observation, episodes = self._none_finished
            observation = self._observe(self._everyone, state.query)
        return StepResult(
            observation=observation,
            reward=reward,
            reward_parts=RewardParts(*parts.T),
            score=score,
            terminated=terminated,
            truncated=truncated,
            feedback=feedback,
            slates=slates,
            positions=positions,
            repairs=repairs,
            finished=finished,
            final_observation=final_observation,
            episodes=episodes,
        )

    def _observe(self, rows: NDArray[np.int64], query: NDArray[np.int32]) -> Observation:
        return self._history.observe(
            rows,
            query=query,
            context=self.state.context[rows],
            candidates=self.candidates.items,
            scores=self.candidates.scores,
        )

    def _episodes(self, finished: NDArray[np.int64], terminated: NDArray[np.bool_]) -> EpisodeStats:
        totals = self._history.totals[finished]  # (F, 6)
        return EpisodeStats(
            user=self.state.user[finished],
            reward=totals[:, 2],
            score=(totals[:, [0, 1, 3]] * self._score_weights).sum(axis=1),
            clicks=totals[:, 0].astype(np.int64),
            carts=totals[:, 4].astype(np.int64),
            purchases=totals[:, 1].astype(np.int64),
            revenue=totals[:, 3],
            margin=totals[:, 5],
            length=self._history.pages[finished].astype(np.int64),
            left=terminated[finished],
        )

    def _checked(self, actions: NDArray[Any], state: SessionState) -> NDArray[np.int64]:
        chosen, shape, N = np.asarray(actions), (self.n_users, self.task.slate_size), self.task.n_candidates
        if chosen.shape != shape or not np.issubdtype(chosen.dtype, np.integer):
            raise InputError(
                f"actions are {chosen.dtype} of shape {chosen.shape}, but must be integers of shape {shape}",
                where="SlateCore.step",
                mend="give one candidate position per user and slate position",
            )
        outside = (chosen < 0) | (chosen >= N)
        if outside.any():
            b, k = np.argwhere(outside)[0]
            raise InputError(
                f"action {chosen[b, k]} of user {state.user[b]} at position {k} is not one of the candidate "
                f"positions 0 .. {N - 1}",
                where=f"SlateCore.step, row {b}",
                mend="choose candidate positions, not catalogue rows",
            )
        return np.ascontiguousarray(chosen, np.int64)

    def _duplicate(
        self, chosen: NDArray[np.int64], positions: NDArray[np.int64], state: SessionState
    ) -> InputError:
        b, k = np.argwhere(chosen != positions)[0]
        padded = chosen[b, k] >= self.candidates.lengths[state.query[b]]
        why = "a padded candidate" if padded else "in the slate already"
        return InputError(
            f"action {chosen[b, k]} of user {state.user[b]} at position {k} is {why}",
            where=f"SlateCore.step, row {b}",
            mend="choose distinct candidates, or set TaskConfig.duplicates to 'repair'",
        )


def _checked_seed(seed: int) -> int:
    if not 0 <= int(seed) <= MAX_SEED:
        raise InputError(f"seed is {seed}", where="SlateCore", mend=f"choose a seed from 0 to {MAX_SEED}")
    return int(seed)
