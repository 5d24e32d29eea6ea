"""A tiny world in which SlateQ is exact: a user picks one item of the page or none, and only that moves the state.

All states and slates can be counted, so the values that SlateQ should learn are known: `PickOne.solve` iterates
Bellman's equation over every ordered slate, and knows nothing of item-wise values.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.features import CandidateTable, FeatureTables, RelevanceTables
from envs.world import World
from simulators.base import Feedback, SessionState
from simulators.kernels.rng import Purpose, uniform_table

__all__ = ["PickOne", "PickOneUsers"]


@dataclass(frozen=True)
class PickOne:
    """The numbers of the task; states `S`, items `I`, all of them candidates, positions `K`."""

    odds: NDArray[np.float64]  # (S, I) of picking an item against picking none, at a position of weight 1
    looked: NDArray[np.float64]  # (K,) weight of each position
    after: NDArray[np.int64]  # (S, I + 1) next state after picking an item, or none (last column)
    leave: NDArray[np.float64]  # (S, I + 1) chance of leaving after it

    @classmethod
    def drawn(cls, seed: int, *, n_states: int = 3, n_items: int = 5, slate_size: int = 2) -> PickOne:
        """A task with numbers drawn at random."""
        rng = np.random.default_rng(seed)
        shape = (n_states, n_items + 1)
        return cls(
            odds=np.exp(rng.normal(0.0, 1.0, (n_states, n_items))),
            looked=np.linspace(1.0, 0.6, slate_size),
            after=rng.integers(0, n_states, shape),
            leave=rng.choice([0.05, 0.15, 0.6], shape),
        )

    @property
    def slates(self) -> NDArray[np.int64]:
        """All ordered slates (A, K)."""
        return np.array(list(itertools.permutations(range(self.odds.shape[1]), self.looked.shape[0])))

    def chances(self) -> NDArray[np.float64]:
        """Chance (S, A, K + 1) of picking each position of each slate, or none (last column)."""
        weight = self.odds[:, self.slates] * self.looked  # (S, A, K)
        below = 1.0 + weight.sum(2, keepdims=True)
        chances: NDArray[np.float64] = np.concatenate([weight, np.ones_like(below)], axis=2) / below
        return chances

    def solve(self, gamma: float, *, tolerance: float = 1e-12) -> NDArray[np.float64]:
        """Q*(s, A), (S, A): rewards are clicks, sessions end by leaving alone."""
        chance = self.chances()
        none = np.full((*self.slates.shape[:1], 1), self.odds.shape[1])
        outcome = np.concatenate([self.slates, none], axis=1)  # (A, K + 1) item picked
        reward = (outcome < self.odds.shape[1]).astype(np.float64)
        q = np.zeros(chance.shape[:2])
        while True:
            value = q.max(1)  # (S,)
            later = (1.0 - self.leave) * value[self.after]  # (S, I + 1)
            new: NDArray[np.float64] = (chance * (reward + gamma * later[:, outcome])).sum(2)
            if np.abs(new - q).max() < tolerance:
                return new
            q = new

    def world(self) -> World:
        """The task as a world; the state is told by the context, the items by one vector each."""
        n_items = self.odds.shape[1]
        unit = np.eye(n_items, dtype=np.float32)
        nothing = np.zeros((1, n_items), np.float32)
        return World(
            simulator=PickOneUsers(self),
            candidates=CandidateTable(
                items=np.arange(n_items, dtype=np.int32)[None], scores=np.full((1, n_items), 0.5, np.float32)
            ),
            features=FeatureTables(
                item_vectors=unit,
                query_vectors=unit[:1],
                item_numeric=np.zeros((n_items, 1), np.float32),
                numeric_names=("nothing",),
                item_category=np.zeros(n_items, np.int32),
                n_categories=1,
                price=np.ones(n_items, np.float32),
                popularity=np.full(n_items, 0.1, np.float32),
                relevance=RelevanceTables(
                    item=unit,
                    click_query=nothing,
                    purchase_query=nothing,
                    click_bias=0.0,
                    purchase_bias=0.0,
                ),
            ),
        )


class PickOneUsers:
    """The users of a `PickOne` task; a `UserSimulator`. The hidden state is the state, and the context shows it.

    Args:
        task: Its numbers.
    """

    def __init__(self, task: PickOne) -> None:
        self.task = task
        self.n_items, self.n_queries = task.odds.shape[1], 1
        self.slate_size: int | None = None
        self.context_size = task.odds.shape[0]

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        """Users begin in every state alike."""
        step = np.zeros(users.shape[0], np.int32)
        where = uniform_table(seed, users, step, Purpose.POPULATION, 1)[:, 0]
        state = SessionState(
            user=users.copy(),
            step=step,
            query=np.zeros(users.shape[0], np.int32),
            context=np.zeros((users.shape[0], self.context_size), np.float32),
            hidden=np.floor(where * self.context_size).astype(np.float32)[:, None],
        )
        self._tell(state)
        return state

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        """Pick one item or none, move on, and perhaps leave."""
        task, rows = self.task, np.arange(slates.shape[0])
        here = state.hidden[:, 0].astype(np.int64)
        weight = task.odds[here[:, None], slates] * task.looked  # (B, K)
        edges = np.cumsum(weight, axis=1)
        draw = uniform_table(seed, state.user, state.step, Purpose.CLICK, 1)[:, 0] * (1.0 + edges[:, -1])
        position = (draw[:, None] >= edges).sum(1)  # (B,) K: none
        click = np.zeros(slates.shape, np.uint8)
        picked = np.flatnonzero(position < slates.shape[1])
        click[picked, position[picked]] = 1
        outcome = np.full(rows.shape[0], self.n_items)
        outcome[picked] = slates[picked, position[picked]]
        leaving = uniform_table(seed, state.user, state.step, Purpose.LEAVE, 1)[:, 0]
        left = leaving < task.leave[here, outcome]
        state.hidden[:, 0] = task.after[here, outcome]
        state.step += 1
        self._tell(state)
        return Feedback(click=click, purchase=np.zeros_like(click), left=left)

    def _tell(self, state: SessionState) -> None:
        state.context[...] = np.eye(self.context_size, dtype=np.float32)[state.hidden[:, 0].astype(np.int64)]
