"""How long a user stays on a product after the click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from simulators.base import SessionState
from simulators.kernels.visits import MAX_POSITIONS, dwell_seconds
from simulators.parts.contract import Part
from simulators.parts.memory import SessionMemory

__all__ = ["LAWS", "LinearDwell"]

LAWS = ("log-normal", "gamma")
"""How seconds scatter."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearDwell(Part):
    """Seconds on a clicked item, their scale linear in the item's row and in whether it was bought.

    With place = row @ weights + bought * purchase, kept between `low` and `high`:

    - log-normal: log(seconds) is normal with mean `place` and standard deviation `form`;
    - gamma: seconds have mean exp(place) and shape `form`.
    """

    kind: ClassVar[str] = "linear"

    law: str
    """One of `LAWS`."""
    weights: NDArray[np.float32]
    """(P,) one weight for each column of `impression_names`."""
    bought: float
    """Added where the item is bought."""
    form: float
    """Standard deviation of the log seconds (log-normal), or the shape (gamma)."""
    low: float
    """Log of the shortest dwell that was fitted to: nothing is expected to be shorter."""
    high: float
    """Log of the longest."""

    def __post_init__(self) -> None:
        if self.law not in LAWS or not self.form > 0:
            raise InputError(
                f"a dwell of law {self.law!r} and form {self.form}",
                where="LinearDwell",
                mend=f"choose one of {', '.join(LAWS)}, and a form above 0",
            )
        object.__setattr__(self, "weights", np.require(self.weights, np.float32, ["C", "W"]))

    def seconds(
        self,
        state: SessionState,
        memory: SessionMemory,
        items: NDArray[np.int32],
        click: NDArray[np.uint8],
        purchase: NDArray[np.uint8],
        *,
        seed: int,
    ) -> NDArray[np.float32]:
        """Seconds (B, K) on the clicked ones of `items` (B, K), 0 elsewhere. The record does not yet know the page.

        Raises:
            InputError: A page of more positions than a page has random numbers for.
        """
        if items.shape[1] > MAX_POSITIONS:
            raise InputError(
                f"a page of {items.shape[1]} positions",
                where="LinearDwell",
                mend=f"show at most {MAX_POSITIONS}",
            )
        out = np.empty(items.shape, np.float32)
        dwell_seconds(
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
            self.weights,
            float(self.bought),
            float(self.low),
            float(self.high),
            self.law == "gamma",
            float(self.form),
            state.user,
            np.uint64(seed),
        )
        return out
