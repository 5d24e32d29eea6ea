"""Between pages: leaving, and the next query."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simulators.base import SessionState
from simulators.kernels.responses import leave, next_query
from simulators.parts.contract import Part
from simulators.parts.memory import SessionMemory

__all__ = ["FittedDynamics", "OnePage"]


@dataclass(frozen=True, kw_only=True, eq=False)
class OnePage(Part):
    """Everyone leaves after one page: all that a log of single impressions can tell."""

    kind: ClassVar[str] = "one-page"

    def advance(
        self,
        state: SessionState,
        memory: SessionMemory,
        slates: NDArray[np.int32],
        click: NDArray[np.uint8],
        purchase: NDArray[np.uint8],
        *,
        seed: int,
    ) -> NDArray[np.bool_]:
        """All True."""
        return np.ones(slates.shape[0], np.bool_)


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedDynamics(Part):
    """Leaving: logistic in the page just seen. Next query: kept, or drawn from the log's transitions.

    P(next = q' | q, outcome) = stay[outcome] if q' = q, else
    (1 - stay[outcome]) * (trust_q * count(q, q') / count(q) + (1 - trust_q) * frequency(q') / (1 - frequency(q))),
    with trust_q = count(q) / (count(q) + alpha); outcome is 0 without a click, 1 with a click, 2 with a purchase.
    """

    kind: ClassVar[str] = "fitted"

    leave_weights: NDArray[np.float32]
    """(PP,) one weight for each column of `page_names`."""
    stay: NDArray[np.float64]
    """(3,) chance to keep the query after no click, a click, a purchase."""
    row_start: NDArray[np.int64]
    """(Q+1,) where the logged successors of each query begin (compressed rows; without the query itself)."""
    row_query: NDArray[np.int32]
    """(Z,) the successors."""
    row_cumulative: NDArray[np.float64]
    """(Z,) their cumulative share within the row."""
    row_trust: NDArray[np.float64]
    """(Q,) weight of the row against the overall frequencies."""
    frequency: NDArray[np.float64]
    """(Q,) smoothed frequency of each query, adding up to 1."""

    def __post_init__(self) -> None:
        kinds = {"leave_weights": np.float32, "row_start": np.int64, "row_query": np.int32}
        for name in (field.name for field in fields(self)):
            kind = kinds.get(name, np.float64)
            object.__setattr__(self, name, np.require(getattr(self, name), kind, ["C", "W"]))
        object.__setattr__(self, "_cumulative", np.cumsum(self.frequency))

    def advance(
        self,
        state: SessionState,
        memory: SessionMemory,
        slates: NDArray[np.int32],
        click: NDArray[np.uint8],
        purchase: NDArray[np.uint8],
        *,
        seed: int,
    ) -> NDArray[np.bool_]:
        """Who left (B,); sets the next query of all."""
        n = slates.shape[0]
        left = np.empty(n, np.bool_)
        leave(
            n,
            left,
            slates,
            click,
            purchase,
            state.query,
            state.step,
            state.context,
            state.hidden,
            memory.tables.kernel,
            memory.columns,
            np.empty((n, len(self.leave_weights)), np.float32),
            self.leave_weights,
            state.user,
            np.uint64(seed),
        )
        next_query(
            n,
            state.query,
            click,
            purchase,
            self.stay,
            self.row_start,
            self.row_query,
            self.row_cumulative,
            self.row_trust,
            self.frequency,
            self.__dict__["_cumulative"],
            state.user,
            state.step,
            np.uint64(seed),
        )
        return left

    def transition_probability(
        self, query: NDArray[np.int32], following: NDArray[np.int32], outcome: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """P(next = following | query, outcome), shape (M,), as in the formula above."""
        out = np.empty(len(query), np.float64)
        share = np.diff(self.row_cumulative, prepend=0.0)
        starts = self.row_start[:-1][self.row_start[:-1] < len(share)]
        share[starts] = self.row_cumulative[starts]
        for m, (q, nxt, o) in enumerate(zip(query, following, outcome, strict=True)):
            if q == nxt or len(self.frequency) < 2:
                out[m] = self.stay[o] if len(self.frequency) > 1 else 1.0
                continue
            row = slice(self.row_start[q], self.row_start[q + 1])
            within = share[row][self.row_query[row] == nxt].sum()
            overall = self.frequency[nxt] / max(1.0 - self.frequency[q], 1e-12)
            trust = self.row_trust[q]
            out[m] = (1.0 - self.stay[o]) * (trust * within + (1.0 - trust) * overall)
        return out
