"""What an agent sees: ids, scores and the last page's feedback, as named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Observation"]


@dataclass(frozen=True)
class Observation:
    """The observations of `B` users. Item and query ids are table rows; -1 means none.

    Tables indexed by these ids carry one zero row at the end, which -1 selects in NumPy and torch alike.
    """

    query: NDArray[np.int32]  # (B, 1) row of the query table
    context: NDArray[np.float32]  # (B, F) what the shop knows of the user
    candidates: NDArray[np.int32]  # (B, N) catalogue rows, best first, -1 padding at the end
    scores: NDArray[np.float32]  # (B, N) relevance of each candidate (click probability), 0 at padding
    seen: NDArray[np.float32]  # (B, N) how often this candidate was shown earlier in the session
    last_slate: NDArray[np.int32]  # (B, K) the previous page, -1 on the first
    last_click: NDArray[np.float32]  # (B, K) 0 or 1
    last_purchase: NDArray[np.float32]  # (B, K) 0 or 1
    clicked: NDArray[np.int32]  # (B, H) the last H clicked items, newest first, -1 padding
    progress: NDArray[
        np.float32
    ]  # (B, 4) step/T, steps left/T, log1p(clicks so far), log1p(purchases so far)

    @classmethod
    def from_dict(cls, arrays: Mapping[str, NDArray[Any]]) -> Observation:
        """From a Gymnasium observation; a single observation becomes a batch of one."""
        batched = arrays["candidates"].ndim == 2
        return cls(**{name: arrays[name] if batched else arrays[name][None] for name in _NAMES})

    @classmethod
    def empty(
        cls, n_users: int, context: int, n_candidates: int, slate_size: int, history: int
    ) -> Observation:
        """Fresh arrays, yet to be written."""
        return cls(
            np.empty((n_users, 1), np.int32),
            np.empty((n_users, context), np.float32),
            np.empty((n_users, n_candidates), np.int32),
            np.empty((n_users, n_candidates), np.float32),
            np.empty((n_users, n_candidates), np.float32),
            np.empty((n_users, slate_size), np.int32),
            np.empty((n_users, slate_size), np.float32),
            np.empty((n_users, slate_size), np.float32),
            np.empty((n_users, history), np.int32),
            np.empty((n_users, 4), np.float32),
        )

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """The arrays, in the order of the fields (no copies)."""
        return tuple(self.__dict__.values())

    def as_dict(self) -> dict[str, NDArray[Any]]:
        """As Gymnasium wants it (no copies)."""
        return dict(self.__dict__)

    def rows(self) -> list[dict[str, NDArray[Any]]]:
        """Every user's observation as Gymnasium wants it (views)."""
        return [dict(zip(_NAMES, row, strict=True)) for row in zip(*self.arrays(), strict=True)]

    def take(self, rows: NDArray[Any]) -> Observation:
        """The observations at `rows`."""
        return Observation(*[array[rows] for array in self.__dict__.values()])


_NAMES = tuple(f.name for f in fields(Observation))
