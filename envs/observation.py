"""What an agent sees: ids, scores and the last page's feedback, as named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Observation"]


@dataclass(frozen=True)
class Observation:
    """The observations of `B` users. Item and query ids are table rows; -1 means none.

    Tables indexed by these ids carry one zero row at the end, which -1 selects in NumPy and torch alike. The last two
    are empty (B, 0) where the task keeps no pages, and dictionaries then leave them out.
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
    recent_items: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 0), np.int32))
    # (B, M) the pages kept, newest first, each in slate order, -1 padding
    recent_feedback: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    # (B, M) 0 shown only (and padding), 1 clicked, 2 bought

    def __post_init__(self) -> None:
        """Where no pages were given, none are kept."""
        n_users = self.candidates.shape[0]
        if self.recent_items.shape[0] != n_users and not self.recent_items.size:
            object.__setattr__(self, "recent_items", np.empty((n_users, 0), np.int32))
            object.__setattr__(self, "recent_feedback", np.empty((n_users, 0), np.float32))

    @classmethod
    def from_dict(cls, arrays: Mapping[str, NDArray[Any]]) -> Observation:
        """From a Gymnasium observation; a single observation becomes a batch of one."""
        batched = arrays["candidates"].ndim == 2
        return cls(
            **{name: arrays[name] if batched else arrays[name][None] for name in _NAMES if name in arrays}
        )

    @classmethod
    def empty(
        cls,
        n_users: int,
        context: int,
        n_candidates: int,
        slate_size: int,
        history: int,
        memory: int = 0,
    ) -> Observation:
        """Fresh arrays, yet to be written; `memory` is in pages, M = memory x K."""
        kept = memory * slate_size
        out = object.__new__(cls)
        # Setting the fields of a frozen class one by one costs a single user's step several per cent.
        out.__dict__.update(
            query=np.empty((n_users, 1), np.int32),
            context=np.empty((n_users, context), np.float32),
            candidates=np.empty((n_users, n_candidates), np.int32),
            scores=np.empty((n_users, n_candidates), np.float32),
            seen=np.empty((n_users, n_candidates), np.float32),
            last_slate=np.empty((n_users, slate_size), np.int32),
            last_click=np.empty((n_users, slate_size), np.float32),
            last_purchase=np.empty((n_users, slate_size), np.float32),
            clicked=np.empty((n_users, history), np.int32),
            progress=np.empty((n_users, 4), np.float32),
            recent_items=np.empty((n_users, kept), np.int32),
            recent_feedback=np.empty((n_users, kept), np.float32),
        )
        return out

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """The arrays, in the order of the fields (no copies)."""
        return tuple(self.__dict__.values())

    def as_dict(self) -> dict[str, NDArray[Any]]:
        """As Gymnasium wants it (no copies)."""
        arrays = dict(self.__dict__)
        # SB3's `predict` cannot read empty entries.
        if not self.recent_items.shape[1]:
            del arrays["recent_items"], arrays["recent_feedback"]
        return arrays

    def rows(self) -> list[dict[str, NDArray[Any]]]:
        """Every user's observation as Gymnasium wants it (views)."""
        arrays = self.as_dict()
        return [dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)]

    def take(self, rows: NDArray[Any]) -> Observation:
        """The observations at `rows`."""
        return Observation(*[array[rows] for array in self.__dict__.values()])


_NAMES = tuple(f.name for f in fields(Observation))
