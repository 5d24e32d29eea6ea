"""A simulated user put together from five parts, and two more where they are known."""

from __future__ import annotations

import copy
from typing import Self

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.features import FeatureTables
from simulators.base import Feedback, ItemAppeal, SessionState
from simulators.kernels.responses import logits_to_probability, purchases
from simulators.parts.contract import (
    Attractiveness,
    Conversion,
    Dwell,
    Dynamics,
    Examination,
    Part,
    Population,
    Returns,
)
from simulators.parts.layout import Layout
from simulators.parts.memory import SessionMemory, Tables
from simulators.parts.visits import Visits

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
        dwell: Time on a product after the click; None: `Feedback.dwell` is None.
        returns: Whether another visit follows.
        several_visits: Users who leave live through the visits that `returns` draws for them: `left` means for good.
            A visit begins with a first query and an empty record of its own; the context stays.

    Raises:
        InputError: Several visits are asked for without `returns`.
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
        dwell: Dwell | None = None,
        returns: Returns | None = None,
        several_visits: bool = False,
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
        self.dwell = dwell
        self.returns = returns
        if several_visits and returns is None:
            raise InputError(
                "several visits of a user, but nothing says who comes back",
                where="ComposedSimulator",
                mend="give the part `returns`, or leave several_visits out",
            )
        self._lay_out(Visits() if several_visits else None)

    def _lay_out(self, visits: Visits | None) -> None:
        self.visits = visits
        more = (self.dwell, self.returns, visits)
        self._begun = tuple(part for part in (*self.parts, *more) if isinstance(part, Part))
        record = SessionMemory.widths(self.features.item_vectors.shape[1], self.ring)
        self.layout = Layout.join(record, *(part.columns for part in self._begun))
        self.memory = SessionMemory(Tables(self.features), self.layout, self.ring)
        self._own_columns = frozenset(self.layout.widths)

    def one_visit(self) -> Self:
        """The same users, each living a single visit."""
        if self.visits is None:
            return self
        other = copy.copy(self)
        other._lay_out(None)
        return other

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
        for part in self._begun:
            part.begin(state, self.memory, seed=seed)
        return state

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        """Answer `slates` (B, K) and advance `state` by one step; -1 marks an empty position."""
        slates = np.require(slates, np.int32, ["C", "W"])
        if self.slate_size is not None and slates.shape[1] > self.slate_size:
            raise ValueError(
                f"a slate of {slates.shape[1]} items for a simulator fitted to pages of {self.slate_size}"
            )
        user = state if self.visits is None else self.visits.now(state, self.memory)
        logits = self.attractiveness.logits(user, self.memory, slates)
        click = self.examination.click(user, logits, seed=seed)
        purchase = np.zeros_like(click)
        chance = np.zeros(click.shape)
        if click.any():
            chance = self.conversion.probability(user, self.memory, np.where(click > 0, slates, np.int32(-1)))
            purchases(len(click), purchase, click, chance, user.user, user.step, np.uint64(seed))
        self.memory.note_promise(user, slates, logits, click, chance)
        page = (user, self.memory, slates, click, purchase)
        dwell = None if self.dwell is None else self.dwell.seconds(*page, seed=seed)
        again = np.zeros(len(click), np.bool_)
        if self.visits is not None and self.returns is not None:
            again = np.isfinite(self.returns.after(*page, seed=seed)[1])
        left = self.dynamics.advance(*page, seed=seed)
        self.memory.remember(user, slates, click, purchase)
        state.query = user.query
        state.step += 1
        back = np.flatnonzero(left & again)
        if back.size:
            self._come_back(state, back, seed)
            left = left & ~again
        return Feedback(click=click, purchase=purchase, left=left, dwell=dwell)

    def _come_back(self, state: SessionState, rows: NDArray[np.intp], seed: int) -> None:
        """The users at `rows` begin their next visit."""
        assert self.visits is not None
        next_visit = self.visits.next(state, self.memory, rows)
        next_visit.query[:] = self.population.arrive(next_visit.user, seed=seed)[0]
        for part in self._begun:
            part.begin(next_visit, self.memory, seed=seed)
        for name in self.layout.widths.keys() - self._own_columns:  # of whoever lent us a wider layout
            self.layout.of(next_visit.hidden, name)[:] = self.layout.of(state.hidden, name)[rows]
        state.query[rows] = next_visit.query
        state.hidden[rows] = next_visit.hidden

    def appeal(self, state: SessionState, items: NDArray[np.int32]) -> ItemAppeal:
        """Click and purchase probability of `items` (B, M) if each stood first; -1 gives 0."""
        items = np.require(items, np.int32, ["C", "W"])
        user = state if self.visits is None else self.visits.now(state, self.memory)
        click = self.attractiveness.logits(user, self.memory, items)
        logits_to_probability(len(items), click, click)
        purchase = self.conversion.probability(user, self.memory, items)
        return ItemAppeal(click=click.astype(np.float32), purchase=purchase.astype(np.float32))

    def examination_weights(self, n_positions: int) -> NDArray[np.float32]:
        """(K,) average probability that a position is looked at."""
        return self.examination.weights(n_positions)
