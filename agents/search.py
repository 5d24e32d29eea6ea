"""Searches for ways to do well without knowing the user: guards against tasks that can be cheated.

The best constant slate (the same candidate positions on every page for everyone), the best constant score direction
(one set of weights over public features for everyone: the best policy that is not personal), and the policy that keeps
users longest. A task worth learning leaves most of the gap between random and the planning oracle to neither of them.
All are searched by the cross-entropy method (Rubinstein 1999) on users of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from agents.base import Draw, Policy
from agents.kernels.greedy import pick_slates
from agents.plackett_luce import top_k
from agents.planning import FIRST_PLANNER_USER, GreedyFamily, Tuning, family_of, stream_seed, tune
from agents.practice import serve_sessions
from agents.worth import Worth
from encoders.features import FeatureTables
from envs.observation import Observation
from envs.world import TaskConfig, World
from simulators.base import SessionState

__all__ = [
    "ConstantSlate",
    "LongestSession",
    "ScoreDirection",
    "SearchConfig",
    "best_constant_slate",
    "best_score_direction",
    "longest_session",
]


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How hard to look."""

    rounds: int = 20
    """Rounds of the cross-entropy search."""
    population: int = 32
    """Attempts per round."""
    elite: int = 6
    """Best of them, which the next round is drawn around."""
    users: int = 160
    """Sessions of each attempt, the same users for all attempts of a round."""
    final_users: int = 800
    """Sessions by which the best of the search is compared with its starting point."""
    max_vectors: int = 16
    """Columns of the item vectors that a score direction weighs (their principal components, where there are more)."""
    seed: int = 0
    """Of the search and its users."""
    progress: bool = True
    """Show bars on a terminal."""


class ConstantSlate(Policy):
    """Shows the same candidate positions on every page.

    Args:
        preference: (N,) worth of each candidate position; the K highest that can be shown are.
    """

    name = "constant slate"

    def __init__(self, preference: NDArray[np.float64]) -> None:
        self.preference = np.asarray(preference, np.float64)

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Slates (B, K); padding gives way to the next in preference."""
        return _constant(observation, self.preference[None], slate_size)


class ScoreDirection(Policy):
    """Ranks by one direction in the space of public features, the same for every user.

    Args:
        features: The public tables.
        weights: (W,) of log relevance, seen count, crowding of a category, numeric columns, item vector columns.
        max_vectors: Columns of the item vectors; see `SearchConfig`.
    """

    name = "score direction"

    def __init__(
        self, features: FeatureTables, weights: NDArray[np.float64], *, max_vectors: int = 16
    ) -> None:
        self._space = _Space(features, max_vectors)
        self.weights = np.asarray(weights, np.float64)
        self._items = self._space.item_scores(self.weights[None])  # (1, I)

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Slates (B, K)."""
        policy = np.zeros(observation.query.shape[0], np.int64)
        return self._space.rank(observation, self.weights[None], self._items, policy, slate_size)


class LongestSession(Policy):
    """Sees the hidden state and ranks so that users stay, whether or not they click or buy.

    Args:
        family: Greedy policies whose worth is the length of the session.
        theta: (Z * P,) the weights that keep users longest.
    """

    name = "longest session"
    privileged: ClassVar[bool] = True

    def __init__(self, family: GreedyFamily, theta: NDArray[np.float64]) -> None:
        self.family, self.theta = family, theta

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Slates (B, K)."""
        if state is None:
            raise ValueError("this policy ranks by the users' hidden state: pass state=core.state")
        theta = np.broadcast_to(self.theta, (state.user.shape[0], self.theta.shape[0]))
        return self.family.slates(state, theta, items=observation.candidates, relevance=observation.scores)


def best_constant_slate(world: World, task: TaskConfig, config: SearchConfig | None = None) -> ConstantSlate:
    """The constant slate with the highest score on the search's users; it starts from relevance order."""
    config = config or SearchConfig()
    N = task.n_candidates

    def scores(attempts: NDArray[np.float64], users: int, seed: int) -> NDArray[np.float64]:
        numbers, each = _users(attempts, users)

        def server(
            slots: NDArray[np.int64], observation: Observation, state: SessionState
        ) -> NDArray[np.int64]:
            return _constant(observation, each[slots], task.slate_size)

        score, _ = serve_sessions(world, task, numbers, server, seed=seed)
        return _mean(score, users)

    start = -3.0 * np.arange(N, dtype=np.float64) / N
    return ConstantSlate(_cross_entropy(scores, start, np.ones(N), config, "constant slates"))


def best_score_direction(
    world: World, task: TaskConfig, config: SearchConfig | None = None
) -> ScoreDirection:
    """The score direction with the highest score on the search's users; it starts from relevance order."""
    config = config or SearchConfig()
    space = _Space(world.features, config.max_vectors)

    def scores(attempts: NDArray[np.float64], users: int, seed: int) -> NDArray[np.float64]:
        numbers = _users(attempts, users)[0]
        policy = np.repeat(np.arange(attempts.shape[0]), users)
        items = space.item_scores(attempts)

        def server(
            slots: NDArray[np.int64], observation: Observation, state: SessionState
        ) -> NDArray[np.int64]:
            return space.rank(observation, attempts, items, policy[slots], task.slate_size)

        score, _ = serve_sessions(world, task, numbers, server, seed=seed)
        return _mean(score, users)

    start = np.zeros(space.width)
    start[0] = 1.0
    found = _cross_entropy(scores, start, np.full(space.width, 0.5), config, "score directions")
    return ScoreDirection(world.features, found, max_vectors=config.max_vectors)


def longest_session(world: World, task: TaskConfig, config: SearchConfig | None = None) -> LongestSession:
    """The policy of the oracles' greedy family that keeps users longest on the search's users."""
    config = config or SearchConfig()
    family = family_of(world, task, Worth.of_length(world.simulator.n_items))
    tuning = Tuning(
        rounds=config.rounds, population=config.population, elite=config.elite, users=config.users
    )
    theta, _ = tune(family, tuning, seed=config.seed, progress=config.progress)
    return LongestSession(family, theta)


class _Space:
    """Public features of candidates, and policies that weigh them."""

    FIXED = 3  # log relevance, seen count, crowding

    def __init__(self, features: FeatureTables, max_vectors: int) -> None:
        numeric = np.nan_to_num(np.asarray(features.item_numeric, np.float32))
        vectors = np.asarray(features.item_vectors, np.float32)
        if vectors.shape[1] > max_vectors:
            sample = vectors[:: max(1, vectors.shape[0] // 5000)].astype(np.float64)
            _, _, axes = np.linalg.svd(sample - sample.mean(axis=0), full_matrices=False)
            vectors = vectors @ axes[:max_vectors].T.astype(np.float32)
        scale = np.maximum(vectors.std(), 1e-6)
        self._columns = np.concatenate([numeric, vectors / scale], axis=1)  # (I, C)
        self._category = np.ascontiguousarray(features.item_category, np.int32)
        self.width = self.FIXED + self._columns.shape[1]

    def item_scores(self, weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """What each item gets for itself under each of the weights (M, W), shape (M, I)."""
        return np.ascontiguousarray(weights[:, self.FIXED :].astype(np.float32) @ self._columns.T)

    def rank(
        self,
        observation: Observation,
        weights: NDArray[np.float64],
        items: NDArray[np.float32],
        policy: NDArray[np.int64],
        slate_size: int,
    ) -> NDArray[np.int64]:
        """Slates (B, K) under policy `policy[b]` of the weights (M, W) and their item scores (M, I)."""
        shown = np.ascontiguousarray(observation.candidates)
        own = weights[policy]  # (B, W)
        value = items[policy[:, None], shown].astype(np.float64)
        value += own[:, :1] * np.log(np.maximum(observation.scores, 1e-6)) - own[:, 1:2] * observation.seen
        # Crowding shrinks positive values: above zero, on a scale that scores do not leave.
        value = np.exp(np.clip(value - value.max(axis=1, keepdims=True), -30.0, 0.0))
        out = np.empty((shown.shape[0], slate_size), np.int64)
        pick_slates(
            shown.shape[0],
            shown,
            value,
            self._category,
            np.maximum(own[:, 2], 0.0),
            np.zeros(shown.shape[0], np.int64),
            out,
        )
        return out


def _constant(
    observation: Observation, preference: NDArray[np.float64], slate_size: int
) -> NDArray[np.int64]:
    return top_k(np.where(observation.candidates >= 0, preference, -np.inf), slate_size)


def _users(attempts: NDArray[np.float64], users: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """User numbers (M * users,), the same for every attempt, and the attempt (M * users, W) of each."""
    numbers = FIRST_PLANNER_USER + 9973 * np.arange(users, dtype=np.int64)
    return np.tile(numbers, attempts.shape[0]), np.repeat(attempts, users, axis=0)


def _mean(score: NDArray[np.float64], users: int) -> NDArray[np.float64]:
    means: NDArray[np.float64] = score.reshape(-1, users).mean(axis=1)
    return means


def _cross_entropy(
    scores: Callable[[NDArray[np.float64], int, int], NDArray[np.float64]],
    start: NDArray[np.float64],
    spread: NDArray[np.float64],
    config: SearchConfig,
    what: str,
) -> NDArray[np.float64]:
    """The best vector found for `scores` (attempts, users, seed) -> means; `start`, where nothing beats it."""
    rng = np.random.default_rng(stream_seed(config.seed, 21))
    mean, least = start, 0.05 * spread
    bar = None if config.progress else True
    for r in tqdm(range(config.rounds), desc=f"tries {what}", leave=False, disable=bar):
        attempts = mean + spread * rng.normal(size=(config.population, mean.shape[0]))
        attempts[0] = mean
        found = scores(attempts, config.users, stream_seed(config.seed, 22, r))
        best = attempts[np.argsort(-found, kind="stable")[: config.elite]]
        mean = 0.3 * mean + 0.7 * best.mean(axis=0)
        spread = np.maximum(0.4 * spread + 0.6 * best.std(axis=0), least)
    rivals = np.stack([start, mean])
    found = scores(rivals, config.final_users, stream_seed(config.seed, 23))
    winner: NDArray[np.float64] = rivals[int(found.argmax())]
    return winner
