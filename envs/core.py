"""`SlateCore`: `B` simulated sessions side by side; every face of the environment is a view of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.numeric import check_integer
from envs.checks import as_array, check_task, checked_seed
from envs.engines import ComposedEngine, Engine
from envs.fused import FusedEngine, can_fuse
from envs.history import History
from envs.kernels import core as kernels
from envs.observation import Observation
from envs.results import EpisodeStats, StepResult
from envs.rules import PageRules, rules_of
from envs.tables import CandidateRows, prepare_tables
from envs.world import TaskConfig, World
from simulators.base import SessionState
from simulators.shopper import ShopperSimulator

__all__ = ["Autoreset", "SlateCore"]

Autoreset = Literal["same_step", "next_step", "disabled"]
"""What follows a finished session: the next user's within the same step; the next user's in place of the next step
(which then ignores that slot's action and rewards it with 0); or nothing, until `reset`."""

_LAST_USER = 2**62
"""Last user to begin with: 2^31 sessions of as many users side by side stay within 64 bits."""
_MOST_AT_ONCE = 2**31 - 1

_STATE = ("user", "step", "query", "context", "hidden")


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
        autoreset: What follows a finished session; see `Autoreset`.
        fused: Whether to advance in one pass where the world allows it; the results are the same.

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
        autoreset: Autoreset = "same_step",
        fused: bool = True,
    ) -> None:
        self.world = world
        self.task = task or TaskConfig()
        check_task(world, self.task)
        for name, value, least, most in (
            ("n_users", n_users, 1, _MOST_AT_ONCE),
            ("first_user", first_user, 0, _LAST_USER),
            ("stride", 1 if stride is None else stride, 1, _MOST_AT_ONCE),
        ):
            check_integer(value, where=f"SlateCore.{name}", least=least, most=most)
        if autoreset not in get_args(Autoreset):
            raise InputError(
                f"autoreset is {autoreset!r}",
                where="SlateCore",
                mend=f"choose one of {', '.join(get_args(Autoreset))}",
            )
        self.n_users = n_users
        self.seed = checked_seed(seed)
        self.first_user = first_user
        self.stride = n_users if stride is None else stride
        self.autoreset = autoreset
        self.fused = fused
        self._tables = prepare_tables(world, self.task)
        self._history = History(n_users, self.task, world.features.n_items)
        self._rules = rules_of(world, self.task)
        self._engine: Engine = self._make_engine()
        self._everyone = np.arange(n_users, dtype=np.int64)
        self._state: SessionState | None = None
        self._over = np.zeros(n_users, np.bool_)  # finished and not yet renewed
        self._any_over = False
        nobody, F, sizes = np.empty(0, np.int64), world.simulator.context_size, self.task
        self._none_finished = (
            nobody,
            Observation.empty(0, F, sizes.n_candidates, sizes.slate_size, sizes.history, sizes.memory),
            _episodes(nobody, self._history, nobody, self._over),
        )

    def _make_engine(self) -> Engine:
        simulator = self.world.simulator
        if self.fused and isinstance(simulator, ShopperSimulator) and can_fuse(self.world, self.task):
            return FusedEngine(simulator, self.task, self._tables, self._history)
        return ComposedEngine(self.world, self.task, self._tables, self._history, self._rules)

    @property
    def candidates(self) -> CandidateRows:
        """The first N candidates of every query."""
        return self._tables.candidates

    @property
    def rules(self) -> PageRules | None:
        """The task's rules at work in this core; None where it has none."""
        return self._rules

    @property
    def state(self) -> SessionState:
        """The live state of the users, for oracles; copy it before advancing it.

        Raises:
            InputError: Before the first reset.
        """
        if self._state is None:
            raise InputError("there is no session yet", where="SlateCore.state", mend="call reset() first")
        return self._state

    @property
    def over(self) -> NDArray[np.bool_]:
        """(B,) users whose session is over and who wait to be followed by the next (never in "same_step")."""
        return self._over.copy()

    def reset(
        self,
        seed: int | None = None,
        users: NDArray[np.int64] | None = None,
        *,
        mask: NDArray[np.bool_] | None = None,
    ) -> Observation:
        """Start new sessions in all slots, or in those that `mask` names.

        Args:
            seed: The new key of all chance; the users start again from `first_user`. None: the same key, and the
                next user in each slot.
            users: (B,) the users to begin with; later episodes of slot b are `users[b] + stride`, ...
            mask: (B,) the slots to start anew, the others stay where they are; None: all.

        Returns:
            The observation of every user's current page.

        Raises:
            InputError: A seed out of range, users that are none, or a mask before the first reset, of a wrong
                shape or together with a seed (which keys the whole batch).
        """
        if seed is not None:
            seed = checked_seed(seed)
        begin = None if users is None else self._checked_users(users)
        if mask is not None:
            return self._reset_some(seed, begin, mask)
        if begin is None:
            if seed is not None or self._state is None:
                begin = self.first_user + self._everyone
            else:
                begin = self._state.user + self.stride
        if seed is not None:
            self.seed = seed
        self._state = self.world.simulator.begin(begin, seed=self.seed)
        self._history.clear(self._everyone)
        self._over[:] = False
        self._any_over = False
        return self.observe()

    def observe(self) -> Observation:
        """The observation of every user's current page, in fresh arrays."""
        state, candidates = self.state, self.candidates
        observation = self._history.observe(
            self._everyone,
            query=state.query,
            context=state.context,
            candidates=candidates.items,
            scores=candidates.scores,
        )
        if self._rules is not None:
            self._rules.hide(self._everyone, observation, state.user, state.step)
        return observation

    def choices(self) -> NDArray[np.bool_]:
        """(B, N) candidate positions that may be chosen now: not padded, and not against the task's rules."""
        if self._rules is not None:
            return self.observe().candidates >= 0
        lengths = self.candidates.lengths[self.state.query]  # (B,)
        valid: NDArray[np.bool_] = np.arange(self.task.n_candidates) < lengths[:, None]
        return valid

    def step(self, actions: NDArray[Any]) -> StepResult:
        """Show the slates `actions` (B, K), candidate positions in slate order, and advance every user.

        Raises:
            InputError: No session or one that is over, wrong shape or dtype, a position outside 0 .. N-1, or, with
                `duplicates="error"`, a repeated or padded choice. The environment is unchanged then.
        """
        state, seed = self.state, np.uint64(self.seed)
        rows = self._going_on() if self._any_over else self._everyone
        result = self._engine.advance(state, self._checked(actions, rows), rows, seed)
        if self._any_over:  # only in "next_step": the next users take the places of those who were over
            arrived = np.flatnonzero(self._over)
            users = state.user[arrived] + self.stride
            self._engine.renew(state, arrived, users, seed, result.observation)
            self._over[:] = False
            self._any_over = False

        finished = (result.terminated | result.truncated).nonzero()[0]
        if not finished.size:
            result.finished, result.final_observation, result.episodes = self._none_finished
            return result
        result.finished = finished
        result.episodes = episodes = _episodes(finished, self._history, state.user, result.terminated)
        if self.autoreset == "same_step":
            users = episodes.user + self.stride
            result.final_observation = self._engine.renew(state, finished, users, seed, result.observation)
        else:
            result.final_observation = result.observation.take(finished)
            self._over[finished] = True
            self._any_over = True
        return result

    def save_state(self) -> dict[str, NDArray[Any]]:
        """All that changes from step to step, as copies: `restore_state` goes on from here, to the bit.

        Raises:
            InputError: Before the first reset.
        """
        state = {name: getattr(self.state, name) for name in _STATE}
        kept = state | self._history.arrays() | {"over": self._over}
        return {name: array.copy() for name, array in kept.items()} | {
            "seed": np.array([self.seed], np.uint64)
        }

    def restore_state(self, saved: Mapping[str, NDArray[Any]]) -> Observation:
        """Go on from what `save_state` gave, in this core or in another of the same world, task and size.

        Returns:
            The observation of every user's current page.

        Raises:
            InputError: An array is missing, has another shape or dtype, or is of another world; nothing has changed
                then.
        """
        if not isinstance(saved, Mapping):
            raise InputError(
                f"{type(saved).__name__} is no saved state",
                where="SlateCore.restore_state",
                mend="give what save_state() gave",
            )
        state = self._state or self.world.simulator.begin(self._everyone, seed=0)
        live = {name: getattr(state, name) for name in _STATE} | self._history.arrays() | {"over": self._over}
        live["seed"] = np.empty(1, np.uint64)
        for name, array in live.items():
            found = np.asarray(saved.get(name))
            if found.shape != array.shape or found.dtype != array.dtype:
                raise InputError(
                    f"the saved {name!r} is {found.dtype} of shape {found.shape}, "
                    f"but this core needs {array.dtype} of shape {array.shape}",
                    where="SlateCore.restore_state",
                    mend="restore into a core of the same world, task and number of users",
                )
        wild = np.flatnonzero((saved["query"] < 0) | (saved["query"] >= self.world.features.n_queries))
        if wild.size:
            raise InputError(
                f"the saved query of user {saved['user'][wild[0]]} is {saved['query'][wild[0]]}, but the world has "
                f"{self.world.features.n_queries}",
                where=f"SlateCore.restore_state, row {wild[0]}",
                mend="restore into a core of the same world",
            )
        for name, array in live.items():
            array[...] = saved[name]
        self._state = state
        self.seed = int(live["seed"][0])
        self._any_over = bool(self._over.any())
        return self.observe()

    def __getstate__(self) -> dict[str, Any]:
        """For pickles and deep copies: the arguments and what changes; tables are prepared again from the world."""
        names = ("world", "task", "n_users", "seed", "first_user", "stride", "autoreset", "fused")
        kept = {name: getattr(self, name) for name in names}
        return kept | {"saved": None if self._state is None else self.save_state()}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        """See `__getstate__`."""
        saved = kept.pop("saved")
        world, task = kept.pop("world"), kept.pop("task")
        SlateCore.__init__(self, world, task, **kept)
        if saved is not None:
            self.restore_state(saved)

    def _reset_some(
        self, seed: int | None, begin: NDArray[np.int64] | None, mask: NDArray[np.bool_]
    ) -> Observation:
        state, asked = self.state, as_array(mask)
        if asked.shape != (self.n_users,) or asked.dtype != np.bool_ or seed is not None or not asked.any():
            raise InputError(
                f"mask is {mask!r}, and seed is {seed}",
                where="SlateCore.reset",
                mend=f"give {self.n_users} booleans, one of them true, and no seed: it keys the whole batch",
            )
        rows = np.flatnonzero(asked)
        users = state.user[rows] + self.stride if begin is None else begin[rows]
        observation = self.observe()
        self._engine.renew(state, rows, users, np.uint64(self.seed), observation)
        self._over[rows] = False
        self._any_over = bool(self._over.any())
        return observation

    def _going_on(self) -> NDArray[np.int64]:
        if self.autoreset == "disabled":
            b = int(np.flatnonzero(self._over)[0])
            raise InputError(
                f"the session of user {self.state.user[b]} is over",
                where=f"SlateCore.step, row {b}",
                mend="call reset() first; reset(mask=...) for the slots that are over",
            )
        return np.flatnonzero(~self._over)

    def _checked_users(self, users: NDArray[Any]) -> NDArray[np.int64]:
        begin = as_array(users)
        if (
            begin.shape != (self.n_users,)
            or not np.issubdtype(begin.dtype, np.integer)
            or begin.min() < 0
            or begin.max() > _LAST_USER
        ):
            raise InputError(
                f"users is {users!r}",
                where="SlateCore.reset",
                mend=f"give {self.n_users} user numbers, integers from 0 to {_LAST_USER}",
            )
        return begin.astype(np.int64)

    def _checked(self, actions: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        shape, N = (self.n_users, self.task.slate_size), self.task.n_candidates
        chosen = as_array(actions)
        if chosen.shape == shape and chosen.dtype.kind not in "iu":
            raise InputError(
                f"action {chosen[0, 0]} of user {self.state.user[0]} at position 0 is {chosen.dtype}, "
                "but must be an integer",
                where="SlateCore.step, row 0",
                mend="choose candidate positions; for a score per candidate, wrap the environment in ScoreAction",
            )
        if chosen.shape != shape:
            raise InputError(
                f"actions are {chosen.dtype} of shape {chosen.shape}, but must be integers of shape {shape}",
                where="SlateCore.step",
                mend="give one candidate position per user and slate position",
            )
        numbers: NDArray[np.int64] = np.ascontiguousarray(chosen, np.int64)
        wrong = np.empty(rows.shape[0], np.bool_)
        # Looking at a row takes nanoseconds and waking a thread many microseconds: threads for huge batches only.
        kernels.outside(rows.shape[0] // 256, numbers, N, rows, wrong)
        if wrong.any():
            b = rows[wrong.argmax()]
            k = int(((numbers[b] < 0) | (numbers[b] >= N)).argmax())
            raise InputError(
                f"action {chosen[b, k]} of user {self.state.user[b]} at position {k} is not one of the candidate "
                f"positions 0 .. {N - 1}",
                where=f"SlateCore.step, row {b}",
                mend="choose candidate positions, not catalogue rows",
            )
        return numbers


def _episodes(
    finished: NDArray[np.int64], history: History, user: NDArray[np.int64], terminated: NDArray[np.bool_]
) -> EpisodeStats:
    totals = history.totals[finished]  # (F, 8), see `History.totals`
    clicks, purchases, carts, length = (
        totals[:, [0, 1, 4, 7]].astype(np.int64).T
    )  # rewards may be beyond integers
    return EpisodeStats(
        user=user[finished],
        reward=totals[:, 2],
        score=totals[:, 6],
        clicks=clicks,
        carts=carts,
        purchases=purchases,
        revenue=totals[:, 3],
        margin=totals[:, 5],
        length=length,
        left=terminated[finished],
    )
