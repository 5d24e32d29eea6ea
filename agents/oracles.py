"""Oracles: policies that see the simulated user's hidden state. Strong references, never bounds."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from agents.base import Draw, Policy
from agents.lookahead import PairedGains
from agents.plackett_luce import top_k
from agents.planning import GreedyFamily, Tuning, stream_seed, tune
from agents.worth import Worth
from behavior.errors import InputError
from encoders.features import CandidateTable, FeatureTables
from envs.observation import Observation
from envs.rules import PageRules
from envs.world import TaskConfig, World
from simulators.base import InspectableSimulator, SessionState

__all__ = ["MyopicOracle", "PlanningConfig", "PlanningOracle", "checked_simulator"]


class MyopicOracle(Policy):
    """Ranks by the expected score of each item alone: click x (its worth + purchase x what the purchase is worth).

    Args:
        simulator: Whom it sees through.
        purchase_weight: Worth of a purchase, of whatever item, in clicks.
        worth: What clicks and purchases earn, in place of `purchase_weight`; `for_world` takes it from the task.
    """

    name = "myopic"
    privileged: ClassVar[bool] = True

    def __init__(
        self, simulator: InspectableSimulator, purchase_weight: float = 0.0, *, worth: Worth | None = None
    ) -> None:
        self.simulator = checked_simulator(simulator)
        self.worth = worth or Worth(1.0, np.full(simulator.n_items, float(purchase_weight)))

    @classmethod
    def for_world(cls, world: World, task: TaskConfig | None = None) -> MyopicOracle:
        """The oracle of a task's score in a world.

        Raises:
            InputError: The world's simulator cannot be looked into.
        """
        simulator = checked_simulator(world.simulator)
        return cls(simulator, worth=Worth.of_task(task or TaskConfig(), world.features, simulator.n_items))

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Slates (B, K), best expected score first; ties in source order."""
        if state is None:
            raise ValueError("an oracle ranks by the users' hidden state: pass state=core.state")
        value = self.worth.expected(
            observation.candidates, self.simulator.appeal(state, observation.candidates)
        )
        return top_k(np.where(observation.candidates >= 0, value, -np.inf), slate_size)


@dataclass(frozen=True, kw_only=True)
class PlanningConfig:
    """How much a planning oracle thinks."""

    rollouts: int = 2
    """Rollouts of every proposed page in the first heat; 0 shows the tuned policy's page without looking ahead."""
    finalists: int = 3
    """Proposals that go on to the second heat."""
    final_rollouts: int = 8
    """Further rollouts of each finalist."""
    horizon: int | None = None
    """Pages looked ahead; None: to the end of the session."""
    enumerate_up_to: int = 130
    """Where there are no more ordered pages than this, every one is a proposal."""
    caution: float = 2.5
    """A page replaces the tuned policy's own only if it is better by so many standard errors."""
    tuning: Tuning = field(default_factory=Tuning)
    """Practice before serving."""
    seed: int = 0
    """Of the planner's own random streams; no seed here lets it see the environment's chance."""
    users_at_once: int = 256
    """Users planned for side by side; a matter of memory and speed alone."""
    progress: bool = True
    """Show bars on a terminal."""

    def __post_init__(self) -> None:
        if self.rollouts < 0 or self.final_rollouts < 0 or self.finalists < 1 or self.users_at_once < 1:
            raise InputError(
                f"rollouts {self.rollouts}, final_rollouts {self.final_rollouts}, finalists {self.finalists} and "
                f"users_at_once {self.users_at_once} are out of range",
                where="PlanningConfig",
                mend="rollouts and final_rollouts from 0, finalists and users_at_once from 1",
            )


class PlanningOracle(Policy):
    """Looks ahead: proposes pages, plays each out in copies of the true simulator, and shows the best.

    Before it serves it tunes a family of greedy policies in the simulator (`agents.planning.tune`). At each page it
    proposes the pages of the tuned policy, of the myopic one, of variants on both sides of the tuned weights, and
    pages that leave the best for later; plays each out with the tuned policy as its continuation and common random
    numbers; and gives the most promising further rollouts. Rollouts draw from streams of the planner's own. Policy
    rollout: Bertsekas, Tsitsiklis and Wu, "Rollout algorithms for combinatorial optimization", 1997.

    Args:
        simulator: Whom it sees through; traits must live in `SessionState`, not be drawn anew from the seed.
        candidates: Candidates of every query.
        task: Sizes, horizon and the score that is planned for.
        config: How much it thinks.
        features: Item tables, whose numeric columns and categories let it tell more policies apart; may be left out.
        rules: Rules of the shop that bind pages; None: any page may be shown.

    Raises:
        InputError: The simulator cannot be looked into.
    """

    name = "planning"
    privileged: ClassVar[bool] = True

    def __init__(
        self,
        simulator: InspectableSimulator,
        candidates: CandidateTable,
        task: TaskConfig | None = None,
        config: PlanningConfig | None = None,
        *,
        features: FeatureTables | None = None,
        rules: PageRules | None = None,
    ) -> None:
        self.task, self.config = task or TaskConfig(), config or PlanningConfig()
        self.family = GreedyFamily(
            checked_simulator(simulator),
            candidates,
            features,
            slate_size=self.task.slate_size,
            n_candidates=self.task.n_candidates,
            max_steps=self.task.max_steps,
            worth=Worth.of_task(self.task, features, simulator.n_items),
            rules=rules,
        )
        self._proposals: NDArray[np.float64] | None = None

    @classmethod
    def for_world(
        cls, world: World, task: TaskConfig | None = None, config: PlanningConfig | None = None
    ) -> PlanningOracle:
        """The oracle of a task in a world, with all that the world knows of its items.

        Raises:
            InputError: The world's simulator cannot be looked into.
        """
        return cls(
            checked_simulator(world.simulator), world.candidates, task, config, features=world.features
        )

    def prepare(self) -> NDArray[np.float64]:
        """Practise, if that is still to be done; gives the weights (V, Z * P) of the proposals, the tuned first."""
        if self._proposals is None:
            best, _ = tune(
                self.family, self.config.tuning, seed=self.config.seed, progress=self.config.progress
            )
            self._proposals = np.stack([best, *self._variants(best)])
        return self._proposals

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Slates (B, K); the same for the same state, in any batch and whatever `draw` says."""
        if state is None:
            raise ValueError("an oracle ranks by the users' hidden state: pass state=core.state")
        if slate_size != self.family.slate_size:
            raise ValueError(f"this oracle plans pages of {self.family.slate_size}, asked for {slate_size}")
        self.prepare()
        B = state.user.shape[0]
        out = np.empty((B, slate_size), np.int64)
        chunk = self.config.users_at_once
        bar = None if self.config.progress else True
        for start in tqdm(range(0, B, chunk), desc="oracle plans", leave=False, disable=bar, delay=2.0):
            rows = np.arange(start, min(B, start + chunk))
            out[rows] = self._plan(observation.take(rows), state.take(rows))
        return out

    def _plan(self, observation: Observation, state: SessionState) -> NDArray[np.int64]:
        config = self.config
        proposed = self._propose(observation, state)  # (B, V, K), the tuned policy's page first
        B, V, _ = proposed.shape
        if not config.rollouts:
            return proposed[:, 0]
        if self.family.rules is None:
            pages = np.take_along_axis(observation.candidates[:, None, :], proposed, axis=2)  # (B, V, K)
        else:  # what the shop makes of the proposals
            pages = np.stack([self.family.shown(state, proposed[:, v]) for v in range(V)], axis=1)
        gains = PairedGains(B, V)
        chosen = np.broadcast_to(np.arange(V), (B, V))
        self._rollouts(gains, state, pages, chosen, range(config.rollouts))
        if config.final_rollouts and config.finalists + 1 < V:
            chosen = gains.finalists(config.finalists)
            further = range(config.rollouts, config.rollouts + config.final_rollouts)
            self._rollouts(gains, state, pages, chosen, further)
        winner: NDArray[np.int64] = proposed[np.arange(B), gains.winner(chosen, config.caution)]
        return winner

    def _rollouts(
        self,
        gains: PairedGains,
        state: SessionState,
        pages: NDArray[np.int32],
        chosen: NDArray[np.int64],
        numbers: range,
    ) -> None:
        """Play the pages `chosen` (B, C) of `pages` (B, V, K) out, once for each of `numbers`, into `gains`."""
        B, C = chosen.shape
        everyone = np.arange(B)
        first = pages[everyone[:, None], chosen].reshape(B * C, -1)
        theta = np.repeat(self.prepare()[:1], B * C, axis=0)
        for r in numbers:
            # One key for all proposals and users of a rollout: common random numbers.
            score = self.family.play(
                state.take(np.repeat(everyone, C)),
                theta,
                seed=stream_seed(self.config.seed, 9, r),
                first=first,
                horizon=self.config.horizon,
            )
            gains.add(chosen, score.reshape(B, C))

    def _propose(self, observation: Observation, state: SessionState) -> NDArray[np.int64]:
        """Proposed pages (B, V, K) as candidate positions, the tuned policy's own first."""
        family, thetas = self.family, self.prepare()
        B, N = observation.candidates.shape
        K = family.slate_size
        appeal = family.simulator.appeal(state, observation.candidates)
        pages = []
        plan = [(v, 0) for v in range(len(thetas))] + [(0, max(1, K // 2)), (0, K)]
        for v, skip in plan:
            theta = np.repeat(thetas[v : v + 1], B, axis=0)
            pages.append(
                family.greedy(
                    state,
                    theta,
                    observation.candidates,
                    observation.scores,
                    appeal.click,
                    appeal.purchase,
                    np.full(B, skip, np.int64),
                )
            )
        if math.perm(N, K) <= self.config.enumerate_up_to:
            for page in itertools.permutations(range(N), K):
                full = (observation.candidates[:, page] >= 0).all(axis=1, keepdims=True)
                pages.append(np.where(full, np.array(page, np.int64), pages[0]))
        return np.stack(pages, axis=1)

    def _variants(self, best: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """The myopic policy, and policies on both sides of the tuned one along what trades now against later."""
        variants = [self.family.myopic()]
        for index, width in ((1, 0.5), (2, 0.5), (3, 0.15)):
            for sign in (-1.0, 1.0):
                theta = best.copy()
                theta[index] += sign * width
                variants.append(theta)
        return variants


def checked_simulator(simulator: object) -> InspectableSimulator:
    """The simulator, if oracles can look into it.

    Raises:
        InputError: It lacks `appeal` or `examination_weights`.
    """
    if not isinstance(simulator, InspectableSimulator):
        raise InputError(
            f"{type(simulator).__name__} cannot be looked into",
            where="oracle",
            mend="give the simulator the methods appeal() and examination_weights(), or leave oracles out",
        )
    return simulator
