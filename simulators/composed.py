"""A simulated user put together from five parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.features import FeatureTables
from simulators.base import Feedback, ItemAppeal, SessionState
from simulators.kernels.responses import logits_to_probability, purchases
from simulators.parts.contract import Attractiveness, Conversion, Dynamics, Examination, Part, Population
from simulators.parts.layout import Layout
from simulators.parts.memory import SessionMemory, Tables

__all__ = ["ComposedSimulator"]


class ComposedSimulator:
    """Five parts behind the `InspectableSimulator` contract; any of them may be replaced on its own.

    Args:
        features: The public tables of items and queries.
        population: Who arrives.
        attractiveness: How appealing an item is.
        examination: The click model.
        conversion: Purchase after click.
        dynamics: Leaving and the next query.
        slate_size: Longest slate it can answer; None: any.
        ring: How many of the last shown items a user remembers one by one.
    """

    def __init__(
        self,
        *,
        features: FeatureTables,
        population: Population,
        attractiveness: Attractiveness,
        examination: Examination,
        conversion: Conversion,
        dynamics: Dynamics,
        slate_size: int | None = None,
        ring: int = 64,
    ) -> None:
        self.features = features
        self.population = population
        self.attractiveness = attractiveness
        self.examination = examination
        self.conversion = conversion
        self.dynamics = dynamics
        self.slate_size = slate_size
        self.ring = ring
        self.n_items = features.n_items
        self.n_queries = features.n_queries
        self.context_size = population.context_size
        record = SessionMemory.widths(features.item_vectors.shape[1], ring)
        self.layout = Layout.join(record, *(p.columns for p in self.parts if isinstance(p, Part)))
        self.memory = SessionMemory(Tables(features), self.layout, ring)

    @property
    def parts(self) -> tuple[Population, Attractiveness, Examination, Conversion, Dynamics]:
        """The five parts, in the order in which they act."""
        return self.population, self.attractiveness, self.examination, self.conversion, self.dynamics

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        """The users `users` (B,) as they arrive."""
        users = np.require(users, np.int64, ["C", "W", "O"]).copy()
        query, context = self.population.arrive(users, seed=seed)
        state = SessionState(
            user=users,
            step=np.zeros(len(users), np.int32),
            query=np.require(query, np.int32, ["C", "W"]),
            context=np.require(context, np.float32, ["C", "W"]),
            hidden=self.memory.begin(len(users)),
        )
        for part in self.parts:
            if isinstance(part, Part):
                part.begin(state, self.memory, seed=seed)
        return state

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        """Answer `slates` (B, K) and advance `state` by one step; -1 marks an empty position."""
        slates = np.require(slates, np.int32, ["C", "W"])
        if self.slate_size is not None and slates.shape[1] > self.slate_size:
            raise ValueError(
                f"a slate of {slates.shape[1]} items for a simulator fitted to pages of {self.slate_size}"
            )
        logits = self.attractiveness.logits(state, self.memory, slates)
        click = self.examination.click(state, logits, seed=seed)
        purchase = np.zeros_like(click)
        if click.any():
            chance = self.conversion.probability(
                state, self.memory, np.where(click > 0, slates, np.int32(-1))
            )
            purchases(len(click), purchase, click, chance, state.user, state.step, np.uint64(seed))
        left = self.dynamics.advance(state, self.memory, slates, click, purchase, seed=seed)
        self.memory.remember(state, slates, click, purchase)
        state.step += 1
        return Feedback(click=click, purchase=purchase, left=left)

    def appeal(self, state: SessionState, items: NDArray[np.int32]) -> ItemAppeal:
        """Click and purchase probability of `items` (B, M) if each stood first; -1 gives 0."""
        items = np.require(items, np.int32, ["C", "W"])
        click = self.attractiveness.logits(state, self.memory, items)
        logits_to_probability(len(items), click, click)
        purchase = self.conversion.probability(state, self.memory, items)
        return ItemAppeal(click=click.astype(np.float32), purchase=purchase.astype(np.float32))

    def examination_weights(self, n_positions: int) -> NDArray[np.float32]:
        """(K,) average probability that a position is looked at."""
        return self.examination.weights(n_positions)
