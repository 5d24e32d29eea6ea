"""A world whose users hide nothing: the hidden state stands in the observed context.

A learner trained there is a reference for how much is lost to what an agent cannot see: what it earns above the same
learner in the world as it is, is the price of hidden state; what an oracle earns above it is the price of learning.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.world import World
from simulators.base import Feedback, InspectableSimulator, ItemAppeal, SessionState, UserSimulator

__all__ = ["OpenSimulator", "privileged_world"]


class OpenSimulator:
    """The same users, whose context (B, F + L) is what the shop knows and then their whole hidden state.

    Chance is untouched: a user does on the same pages what they do in the simulator inside.

    Args:
        inner: The simulator.
    """

    def __init__(self, inner: UserSimulator) -> None:
        self.inner = inner
        self.n_items, self.n_queries = inner.n_items, inner.n_queries
        self.slate_size = inner.slate_size
        hidden = inner.begin(np.zeros(1, np.int64), seed=0).hidden
        self._known = inner.context_size
        self.context_size = inner.context_size + int(hidden.shape[1])
        if not hidden.shape[1]:
            raise InputError(
                f"{type(inner).__name__} hides nothing",
                where="privileged_world",
                mend="train in the world as it is: there is nothing to show",
            )

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        """The users `users` (B,) as they arrive."""
        return self._opened(self.inner.begin(users, seed=seed))

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        """Show `slates` (B, K) and advance `state` in place."""
        closed = self._closed(state)
        feedback = self.inner.respond(closed, slates, seed=seed)
        state.put(np.arange(state.user.shape[0]), self._opened(closed))
        return feedback

    def appeal(self, state: SessionState, items: NDArray[np.int32]) -> ItemAppeal:
        """See `InspectableSimulator`."""
        return self._inspectable().appeal(self._closed(state), items)

    def examination_weights(self, n_positions: int) -> NDArray[np.float32]:
        """See `InspectableSimulator`."""
        return self._inspectable().examination_weights(n_positions)

    def _inspectable(self) -> InspectableSimulator:
        if not isinstance(self.inner, InspectableSimulator):
            raise InputError(
                f"{type(self.inner).__name__} cannot be looked into",
                where="OpenSimulator",
                mend="use a simulator with appeal() and examination_weights()",
            )
        return self.inner

    def _opened(self, state: SessionState) -> SessionState:
        return dataclasses.replace(state, context=np.concatenate([state.context, state.hidden], axis=1))

    def _closed(self, state: SessionState) -> SessionState:
        return dataclasses.replace(state.copy(), context=state.context[:, : self._known].copy())


def privileged_world(world: World) -> World:
    """The same world with its users' hidden state observed: learners train in it unchanged.

    Raises:
        InputError: The users hide nothing.
    """
    return dataclasses.replace(world, simulator=OpenSimulator(world.simulator))
