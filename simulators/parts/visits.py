"""Several visits of one user within one episode: which visit it is, and when it began."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from simulators.base import SessionState
from simulators.parts.contract import Part
from simulators.parts.memory import SessionMemory

__all__ = ["Visits"]

_VISIT_BITS = 44


class Visits(Part):
    """Lets the parts live through each visit as if it were a session of its own.

    A visit is shown to them with steps from 0 and with a user of its own, so that no two visits draw the same numbers:
    visit v of user u is user u xor v * 2^44 to them. (Users of 2^44 and more share numbers with others' later visits.)
    """

    @property
    def columns(self) -> Mapping[str, int]:
        """Number of the visit, and the episode's pages before it."""
        return {"visit": 1, "visit_start": 1}

    def now(self, state: SessionState, memory: SessionMemory) -> SessionState:
        """The users as they stand in their visits; query, context and hidden columns are those of `state`."""
        return SessionState(
            user=self._user(state.user, memory.layout.of(state.hidden, "visit")[:, 0]),
            step=state.step - memory.layout.of(state.hidden, "visit_start")[:, 0].astype(np.int32),
            query=state.query,
            context=state.context,
            hidden=state.hidden,
        )

    def next(self, state: SessionState, memory: SessionMemory, rows: NDArray[np.intp]) -> SessionState:
        """The users at `rows` at the beginning of their next visit, still without its first query."""
        hidden = memory.begin(len(rows))
        visit = memory.layout.of(hidden, "visit")
        visit[:] = memory.layout.of(state.hidden, "visit")[rows] + 1.0
        memory.layout.of(hidden, "visit_start")[:, 0] = state.step[rows]
        return SessionState(
            user=self._user(state.user[rows], visit[:, 0]),
            step=np.zeros(len(rows), np.int32),
            query=np.zeros(len(rows), np.int32),
            context=state.context[rows],
            hidden=hidden,
        )

    @staticmethod
    def _user(user: NDArray[np.int64], visit: NDArray[np.float32]) -> NDArray[np.int64]:
        return user ^ (visit.astype(np.int64) << _VISIT_BITS)
