"""What a simulated user is: the state of a batch of sessions, the feedback, and the `UserSimulator` contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Feedback",
    "InspectableSimulator",
    "ItemAppeal",
    "SessionState",
    "TransparentSimulator",
    "UncertainSimulator",
    "UserSimulator",
]


@dataclass
class SessionState:
    """`B` users in the middle of their sessions; a simulator advances the arrays in place.

    `user` is the key of all chance: the same (seed, user, step) sees the same random numbers in any batch.
    """

    user: NDArray[np.int64]  # (B,) user index
    step: NDArray[np.int32]  # (B,) pages seen so far
    query: NDArray[np.int32]  # (B,) the query of the page to be shown next
    context: NDArray[np.float32]  # (B, F) what the shop knows of the user; F may be 0
    hidden: NDArray[np.float32]  # (B, L) the simulator's own, never shown to agents

    def copy(self) -> SessionState:
        """A state that can be advanced without touching this one."""
        return self.take(np.arange(self.user.shape[0]))

    def take(self, rows: NDArray[np.integer[Any]]) -> SessionState:
        """A copy of the users at `rows`; a row may be asked for many times (planners do)."""
        return SessionState(
            user=self.user[rows],
            step=self.step[rows],
            query=self.query[rows],
            context=self.context[rows],
            hidden=self.hidden[rows],
        )

    def put(self, rows: NDArray[np.integer[Any]], other: SessionState) -> None:
        """Overwrite the users at `rows` with those of `other` (len(rows) of them): a masked reset."""
        self.user[rows] = other.user
        self.step[rows] = other.step
        self.query[rows] = other.query
        self.context[rows] = other.context
        self.hidden[rows] = other.hidden


@dataclass(frozen=True)
class Feedback:
    """The response of `B` users to slates of `K` items."""

    click: NDArray[np.uint8]  # (B, K)
    purchase: NDArray[np.uint8]  # (B, K); never without a click
    left: NDArray[np.bool_]  # (B,) the user is gone; the next query is meaningless then
    cart: NDArray[np.uint8] | None = None  # (B, K) put into the cart; None where the simulator knows no cart
    dwell: NDArray[np.float32] | None = None  # (B, K) seconds on what was clicked, else 0; None: not known


@dataclass(frozen=True)
class ItemAppeal:
    """What a user would do with an item placed first on an otherwise neutral page."""

    click: NDArray[np.float32]  # (B, M) probability of a click given examination
    purchase: NDArray[np.float32]  # (B, M) probability of a purchase given a click


@runtime_checkable
class UserSimulator(Protocol):
    """Users who look at slates. Stateless itself: all that changes lives in `SessionState`.

    Every random number is a function of (seed, state.user, state.step, purpose), never of the batch; so a user's
    session is the same to the bit alone or among thousands.
    """

    n_items: int
    n_queries: int
    context_size: int
    slate_size: int | None  # longest slate it can answer; None: any

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        """The users `users` (B,) as they arrive, with their first query and `step` 0."""
        ...

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        """Show `slates` (B, K), catalogue rows without repeats, and advance `state` in place by one step."""
        ...


@runtime_checkable
class InspectableSimulator(UserSimulator, Protocol):
    """A simulator that oracles can look into."""

    def appeal(self, state: SessionState, items: NDArray[np.int32]) -> ItemAppeal:
        """How appealing `items` (B, M) are right now; -1 gives 0. Does not change `state`."""
        ...

    def examination_weights(self, n_positions: int) -> NDArray[np.float32]:
        """(K,) average probability that a position is looked at, falling from the first."""
        ...


@runtime_checkable
class UncertainSimulator(UserSimulator, Protocol):
    """A simulator of several members that disagree about what the log could not tell: see docs/ensembles.md."""

    n_members: int

    def page_values(
        self,
        state: SessionState,
        slates: NDArray[np.int32],
        *,
        click: float,
        purchase: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """(B, M) what each member expects of showing `slates` (B, K) now; does not change `state`.

        Args:
            state: (B,) users before the page.
            slates: (B, K) catalogue rows; -1 marks an empty position.
            click: Worth of a click.
            purchase: (I,) worth of a purchase of each item, on top of its click.
        """
        ...


@runtime_checkable
class TransparentSimulator(InspectableSimulator, Protocol):
    """A simulator whose chances can be computed as well as drawn: for belief filters and exact planning."""

    def absorb(
        self,
        state: SessionState,
        slates: NDArray[np.int32],
        feedback: Feedback,
        *,
        query: NDArray[np.int32],
        context: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        """Advance `state` in place as `respond` does where it draws `feedback`, and say how probable that was.

        Args:
            state: (B,) users before the page.
            slates: (B, K) catalogue rows.
            feedback: What happened; carts are not looked at.
            query: (B,) the next query, taken as given.
            context: (B, F) the next context; it tells whether a user came back for another visit.

        Returns:
            (B,) log-probability of the clicks, the purchases and of leaving, staying or coming back; and of `query`,
            where what users ask next tells of them. A simulator that has to guess what no answer shows may give an
            unbiased estimate of the probability and a state drawn to match, its chance keyed by `state.user` and
            `state.step` and in no way by the environment's.
        """
        ...

    def context_log_density(self, state: SessionState, context: NDArray[np.float32]) -> NDArray[np.float64]:
        """(B,) log-density, up to a constant, of a first `context` (B, F) for users as `begin` makes them.

        `state.query` is the first query as it was asked, which may count as well; all else in `state` is as made.
        """
        ...
