"""Whether a user comes back for another visit, and after how many days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.features import FeatureTables
from simulators.base import SessionState
from simulators.kernels.visits import come_back, visit_rows
from simulators.parts.contract import Part
from simulators.parts.memory import SessionMemory
from simulators.parts.rows import page_names

__all__ = ["HazardReturns", "make_visit_rows", "visit_names"]


def visit_names(features: FeatureTables, context_names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the PP columns of the row of a visit that has just ended."""
    return ("log1p(purchases of the visit)", *page_names(features, context_names)[1:])


def make_visit_rows(
    memory: SessionMemory,
    state: SessionState,
    items: NDArray[np.int32],
    click: NDArray[np.uint8],
    purchase: NDArray[np.uint8],
    n_columns: int,
) -> NDArray[np.float32]:
    """Rows (B, PP) of visits that end with the page `items` (B, K), before the page enters the record."""
    out = np.empty((items.shape[0], n_columns), np.float32)
    visit_rows(
        items.shape[0],
        out,
        items,
        click,
        purchase,
        state.query,
        state.step,
        state.context,
        state.hidden,
        memory.tables.kernel,
        memory.columns,
    )
    return out


@dataclass(frozen=True, kw_only=True, eq=False)
class HazardReturns(Part):
    """The next visit in discrete time: P(within span j | not before) = sigmoid(base_j + row @ weights).

    Within a span, every moment is as likely. After the last edge nothing is known: those who have not come by then
    count as gone for good.

    Source: Singer and Willett, "It's about time: using discrete-time survival analysis", J. Educational Statistics
    18(2), 1993.
    """

    kind: ClassVar[str] = "hazard"

    weights: NDArray[np.float32]
    """(PP,) one weight for each column of `visit_names`."""
    base: NDArray[np.float64]
    """(J,) logit of each span."""
    edges: NDArray[np.float64]
    """(J+1,) days since the end of the visit, from 0, rising."""

    def __post_init__(self) -> None:
        for name, kind in (("weights", np.float32), ("base", np.float64), ("edges", np.float64)):
            object.__setattr__(self, name, np.require(getattr(self, name), kind, ["C", "W"]))
        if len(self.edges) != len(self.base) + 1 or not (np.diff(self.edges) > 0).all():
            raise InputError(
                f"{len(self.base)} spans between the days {self.edges.tolist()}",
                where="HazardReturns",
                mend="give rising edges, one more than spans",
            )

    @property
    def horizon(self) -> float:
        """Days after which nothing is known."""
        return float(self.edges[-1])

    def after(
        self,
        state: SessionState,
        memory: SessionMemory,
        items: NDArray[np.int32],
        click: NDArray[np.uint8],
        purchase: NDArray[np.uint8],
        *,
        seed: int,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What follows if the visit ends with this page, which the record does not yet know.

        Returns:
            (B,) chance of another visit within `horizon` days; (B,) days until it, drawn, infinite where none comes.
        """
        rows = make_visit_rows(memory, state, items, click, purchase, len(self.weights))
        return self.draw(rows, state.user, state.step, seed=seed)

    def draw(
        self, rows: NDArray[np.float32], user: NDArray[np.int64], step: NDArray[np.int32], *, seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`after`, of the rows (B, PP) of visits that ended with page `step` (B,) of `user` (B,)."""
        chance, days = np.empty(len(rows)), np.empty(len(rows))
        come_back(
            len(rows),
            chance,
            days,
            rows,
            self.weights,
            self.base,
            self.edges,
            user,
            step,
            np.uint64(seed),
        )
        return chance, days
