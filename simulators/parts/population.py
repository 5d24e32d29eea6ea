"""Who arrives: first queries and contexts, resampled from the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simulators.kernels.rng import Purpose, uniform_table
from simulators.parts.contract import Part

__all__ = ["EmpiricalPopulation"]


@dataclass(frozen=True, kw_only=True, eq=False)
class EmpiricalPopulation(Part):
    """Each user takes the first query and the context of one logged session, together."""

    kind: ClassVar[str] = "empirical"

    first_query: NDArray[np.int32]
    """(S,) first query of each logged session."""
    context: NDArray[np.float32]
    """(S, F) context of each logged session."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "first_query", np.require(self.first_query, np.int32, ["C", "W"]))
        object.__setattr__(self, "context", np.require(self.context, np.float32, ["C", "W"]))

    @property
    def context_size(self) -> int:
        """Context width F."""
        return int(self.context.shape[1])

    def arrive(self, users: NDArray[np.int64], *, seed: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """First queries (B,) and contexts (B, F)."""
        step = np.zeros(len(users), np.int32)
        u = uniform_table(seed, users, step, Purpose.POPULATION, 1)[:, 0]
        row = (u * len(self.first_query)).astype(np.int64)
        return self.first_query[row], self.context[row]
