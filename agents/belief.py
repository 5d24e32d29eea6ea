"""The belief oracle: it knows how users are made and answer, but of this user only what an agent sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from agents.base import Draw, Policy
from agents.belief_filter import Belief, BeliefFilter, FilterConfig, SeenPage, systematic
from agents.kernels.greedy import mean_values, pick_slates
from agents.planning import FIRST_PLANNER_USER, Tuning, family_of, stream_seed, tune
from agents.practice import serve_sessions
from behavior.errors import InputError
from envs.observation import Observation
from envs.world import TaskConfig, World
from simulators.base import SessionState, TransparentSimulator
from simulators.kernels.rng import Purpose, uniform_table

__all__ = ["BeliefConfig", "BeliefOracle"]


@dataclass(frozen=True, kw_only=True)
class BeliefConfig:
    """How much a belief oracle thinks."""

    filter: FilterConfig = field(default_factory=FilterConfig)
    """How carefully users are guessed."""
    shown_to: int = 48
    """Guesses, drawn by their probability, over which a candidate's value is averaged."""
    tuning: Tuning = field(default_factory=Tuning)
    """Practice with the hidden state in sight, as the planning oracle's."""
    retuning: Tuning = field(default_factory=lambda: Tuning(rounds=6, population=10, elite=3, users=96))
    """Practice after it, in belief; rounds 0 leaves the weights as they are."""
    seed: int = 0
    """Of the oracle's own random streams."""
    progress: bool = True
    """Show bars on a terminal."""


@dataclass
class _Known:
    """All that is remembered of one user."""

    step: int
    belief: Belief  # of one user
    query: NDArray[np.int32]  # (1,) of the first page
    context: NDArray[np.float32]  # (1, F) on the first page
    pages: list[SeenPage]  # of one user each


class _Memory:
    """The beliefs about users who are being served, by any key."""

    def __init__(self, beliefs: BeliefFilter) -> None:
        self._filter = beliefs
        self._known: dict[int, _Known] = {}

    def look(
        self,
        key: NDArray[np.int64],
        user: NDArray[np.int64],
        step: NDArray[np.int32],
        observation: Observation,
    ) -> Belief:
        """Take the observations in; what is known now of the users (B,) with these keys.

        Raises:
            InputError: A user in the middle of a session whose earlier pages were not seen here.
        """
        keys, steps = key.tolist(), step.tolist()
        distinct = {k: b for b, k in enumerate(keys)}
        rows = np.array([b for k, b in distinct.items() if not self._is_current(k, steps[b])], np.int64)
        new = rows[step[rows] == 0]
        if new.size:
            self._meet(new, keys, user, observation)
        old = rows[step[rows] > 0]
        if old.size:
            self._follow(old, keys, user, steps, observation)
        found = Belief.join([self._known[k].belief for k in keys])
        self._forget(keys)
        return found

    def _is_current(self, key: int, step: int) -> bool:
        known = self._known.get(key)
        return step > 0 and known is not None and known.step == step

    def _meet(
        self, rows: NDArray[np.int64], keys: list[int], user: NDArray[np.int64], observation: Observation
    ) -> None:
        query, context = observation.query[rows, 0], observation.context[rows]
        belief = self._filter.begin(user[rows], query, context)
        for r, b in enumerate(rows.tolist()):
            one = np.array([r])
            self._known[keys[b]] = _Known(0, belief.take(one), query[one], context[one], [])

    def _follow(
        self,
        rows: NDArray[np.int64],
        keys: list[int],
        user: NDArray[np.int64],
        steps: list[int],
        observation: Observation,
    ) -> None:
        page = SeenPage(
            observation.last_slate[rows],
            (observation.last_click[rows] > 0).astype(np.uint8),
            (observation.last_purchase[rows] > 0).astype(np.uint8),
            observation.query[rows, 0],
            observation.context[rows],
        )
        known = [self._known.get(keys[b]) for b in rows.tolist()]
        for b, what in zip(rows.tolist(), known, strict=True):
            if what is None or what.step != steps[b] - 1:
                raise InputError(
                    f"user {user[b]} is at step {steps[b]}, but was last seen at "
                    f"{'none' if what is None else what.step}",
                    where="BeliefOracle.rank",
                    mend="let the oracle rank every page of a session, from the first",
                )
        seen = [what for what in known if what is not None]
        belief = Belief.join([what.belief for what in seen])
        self._filter.follow(belief, page)
        for r, what in enumerate(seen):
            what.pages.append(page.take(np.array([r])))
            what.step += 1
        lengths = np.array([what.step for what in seen])
        for length in np.unique(lengths):
            group = np.flatnonzero(lengths == length)
            members = [seen[r] for r in group.tolist()]
            part = belief.take(group)
            self._filter.refresh(
                part,
                user[rows[group]],
                np.concatenate([what.query for what in members]),
                np.concatenate([what.context for what in members]),
                [SeenPage.join([what.pages[t] for what in members]) for t in range(int(length))],
            )
            for r, what in enumerate(members):
                what.belief = part.take(np.array([r]))

    def _forget(self, keys: list[int]) -> None:
        """Drop the users who were not asked for the longest, beyond as many again as are being served."""
        for k in keys:
            self._known[k] = self._known.pop(k)
        surplus = len(self._known) - max(2 * len(keys), 256)
        for k in list(self._known)[: max(surplus, 0)]:
            del self._known[k]


class BeliefOracle(Policy):
    """Ranks by what a perfect observer could know: the posterior over hidden users, given the agent's observations.

    The value of a candidate is its value under the tuned greedy policy (`agents.planning`), averaged over guesses of
    the user. The weights are those of the planning oracle's practice, then tuned again in belief. It never looks at
    `state`; what it remembers of a user is keyed by `draw.user` and starts anew at step 0.

    Args:
        world: Its simulator must be able to compute its chances (`TransparentSimulator`).
        task: Sizes, horizon and score.
        config: How much it thinks.
        theta: Weights to start from; None: practise as the planning oracle does.

    Raises:
        InputError: The simulator cannot compute its chances.
    """

    name = "belief"
    privileged: ClassVar[bool] = False

    def __init__(
        self,
        world: World,
        task: TaskConfig | None = None,
        config: BeliefConfig | None = None,
        *,
        theta: NDArray[np.float64] | None = None,
    ) -> None:
        simulator = world.simulator
        if not isinstance(simulator, TransparentSimulator):
            raise InputError(
                f"{type(simulator).__name__} cannot say how probable an answer is",
                where="BeliefOracle",
                mend="give the simulator absorb() and context_log_density(), or leave the belief oracle out",
            )
        self.world, self.task, self.config = world, task or TaskConfig(), config or BeliefConfig()
        self.family = family_of(world, self.task)
        self._simulator: TransparentSimulator = simulator
        self._filter = BeliefFilter(simulator, self.config.filter, seed=self.config.seed)
        self._memory = _Memory(self._filter)
        self._start = theta
        self._theta: NDArray[np.float64] | None = None

    def prepare(self) -> NDArray[np.float64]:
        """Practise, if that is still to be done; gives the weights (Z * P,)."""
        if self._theta is None:
            config = self.config
            theta = self._start
            if theta is None:
                theta, _ = tune(self.family, config.tuning, seed=config.seed, progress=config.progress)
            self._theta = self._retune(theta)
        return self._theta

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Slates (B, K); every page of a session has to be asked for, in order."""
        if slate_size != self.family.slate_size:
            raise ValueError(f"this oracle ranks pages of {self.family.slate_size}, asked for {slate_size}")
        theta = self.prepare()
        belief = self._memory.look(draw.user, draw.user, draw.step, observation)
        thetas = np.broadcast_to(theta, (draw.user.shape[0], theta.shape[0]))
        return self._pages(belief, draw.user, draw.step, observation, thetas)

    def belief(self, draw: Draw, observation: Observation) -> Belief:
        """What is known of the users of `draw` (B,), whose pages have been asked for so far."""
        return self._memory.look(draw.user, draw.user, draw.step, observation)

    def _pages(
        self,
        belief: Belief,
        user: NDArray[np.int64],
        step: NDArray[np.int32],
        observation: Observation,
        theta: NDArray[np.float64],
    ) -> NDArray[np.int64]:
        """The best pages (B, K) for users of whom `belief` is known, each under weights of its own (B, Z * P)."""
        family, S = self.family, belief.log_weight.shape[1]
        (B, N), R = observation.candidates.shape, min(self.config.shown_to, S)
        offset = uniform_table(stream_seed(self.config.seed, 7), user, step, Purpose.PLANNER, 1)
        chosen = systematic(belief.chances(), offset[:, 0], R)  # (B, R)
        guesses = belief.state.take((np.arange(B)[:, None] * S + chosen).reshape(-1))
        items = np.ascontiguousarray(observation.candidates)
        appeal = self._simulator.appeal(guesses, np.repeat(items, R, axis=0))
        value, crowding = np.empty((B, N)), np.empty(B)
        mean_values(
            B,
            items,
            appeal.click.reshape(B, R, N),
            appeal.purchase.reshape(B, R, N),
            np.ascontiguousarray(observation.scores),
            family.boredom(guesses, np.repeat(items, R, axis=0)).reshape(B, R, N),
            family.columns,
            np.ascontiguousarray(theta),
            family.basis(guesses).reshape(B, R, -1),
            family.click_worth,
            family.buy,
            np.full((B, R), 1.0 / R),
            value,
            crowding,
        )
        out = np.empty((B, family.slate_size), np.int64)
        pick_slates(B, items, value, family.category, crowding, np.zeros(B, np.int64), out)
        return out

    def _scores(self, thetas: NDArray[np.float64], users: int, seed: int) -> NDArray[np.float64]:
        """Mean score (M,) of each of the weights (M, Z * P) over the same `users` sessions, ranked in belief."""
        M = thetas.shape[0]
        numbers = np.tile(FIRST_PLANNER_USER + 9973 * np.arange(users, dtype=np.int64), M)
        memory, each = _Memory(self._filter), np.repeat(thetas, users, axis=0)

        def server(
            slots: NDArray[np.int64], observation: Observation, state: SessionState
        ) -> NDArray[np.int64]:
            belief = memory.look(slots, numbers[slots], state.step, observation)
            return self._pages(belief, numbers[slots], state.step, observation, each[slots])

        score, _ = serve_sessions(self.world, self.task, numbers, server, seed=seed)
        means: NDArray[np.float64] = score.reshape(M, users).mean(axis=1)
        return means

    def _retune(self, start: NDArray[np.float64]) -> NDArray[np.float64]:
        """The cross-entropy search of `tune`, near `start` and in belief; the winner must beat `start`."""
        tuning, seed = self.config.retuning, self.config.seed
        if not tuning.rounds:
            return start
        rng = np.random.default_rng(stream_seed(seed, 12))
        mean, spread = start, np.full(start.shape, 0.15)
        myopic = self.family.myopic()
        for r in tqdm(
            range(tuning.rounds),
            desc="belief practises",
            leave=False,
            disable=None if self.config.progress else True,
        ):
            thetas = mean + spread * rng.normal(size=(tuning.population, mean.shape[0]))
            thetas[0] = mean
            if not r:
                thetas[1] = myopic
            scores = self._scores(thetas, tuning.users, stream_seed(seed, 13, r))
            best = thetas[np.argsort(-scores, kind="stable")[: tuning.elite]]
            mean = 0.3 * mean + 0.7 * best.mean(axis=0)
            spread = np.maximum(0.4 * spread + 0.6 * best.std(axis=0), 0.02)
        rivals = np.stack([start, myopic, mean])
        scores = self._scores(rivals, 4 * tuning.users, stream_seed(seed, 14))
        winner: NDArray[np.float64] = rivals[int(scores.argmax())]
        return winner
