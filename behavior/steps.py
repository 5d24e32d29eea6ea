"""The log as arrays: one row per step, ready for fitting, replay and off-policy evaluation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LoggedSteps", "SessionEnd"]


class SessionEnd(IntEnum):
    """Why a session stopped after a step; `NO` where another step follows."""

    NO = 0
    LEFT = 1
    LIMIT = 2
    UNKNOWN = 3


@dataclass(frozen=True, kw_only=True)
class LoggedSteps:
    """`M` logged steps with slates of at most `K` items out of at most `N` candidates.

    Steps are ordered by session (sessions by the time of their first step), then by step. Items and queries
    are row numbers of the catalogue and of `queries`; -1 stands for "none" or "unknown" everywhere.
    """

    session: NDArray[np.int64]  # (M,) dense session number, 0 .. S-1, in time order
    user: NDArray[np.int64]  # (M,) dense user number
    step: NDArray[np.int32]  # (M,) 0-based within the session
    query: NDArray[np.int32]  # (M,) row of `queries`
    timestamp: NDArray[np.int64]  # (M,) nanoseconds since 1970 UTC
    item: NDArray[np.int32]  # (M, K) catalogue row shown at each position, -1 unknown or empty
    click: NDArray[np.uint8]  # (M, K)
    purchase: NDArray[np.uint8]  # (M, K)
    dwell: NDArray[np.float32] | None = None  # (M, K) seconds; nan unknown, None not logged
    candidates: NDArray[np.int32]  # (M, N) in source order, -1 padding; N = 0 where the log has none
    propensity: NDArray[np.float64]  # (M, K) of this item at this position; nan unknown
    cascade_propensity: NDArray[np.float64]  # (M, K) of the slate down to here; nan unknown
    slate_propensity: NDArray[np.float64]  # (M,) of the whole slate; nan unknown
    session_end: NDArray[np.int8]  # (M,) a `SessionEnd`
    context: NDArray[np.float32]  # (M, F) what the shop knew of the user; F may be 0
    context_names: tuple[str, ...]  # F names
    queries: tuple[str, ...]  # query texts; "" is the recommendation page
    single_impressions: bool  # True: a row is one impression whose other positions are unknown

    @property
    def n_steps(self) -> int:
        """Number of steps `M`."""
        return int(self.session.shape[0])

    @property
    def n_sessions(self) -> int:
        """Number of sessions."""
        return int(np.unique(self.session).shape[0])

    @property
    def slate_size(self) -> int:
        """Number of positions `K`."""
        return int(self.item.shape[1])

    def take(self, rows: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> LoggedSteps:
        """The steps at `rows` (a mask or row numbers), in that order."""
        arrays = {
            field.name: getattr(self, field.name)[rows]
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        return dataclasses.replace(self, **arrays)

    def top(self, n_positions: int) -> LoggedSteps:
        """The first `n_positions` of every slate, as if the pages had ended there; all where they are no longer."""
        if n_positions >= self.slate_size:
            return self
        cut = {
            name: getattr(self, name)[:, :n_positions]
            for name in ("item", "click", "purchase", "dwell", "propensity", "cascade_propensity")
            if getattr(self, name) is not None
        }
        # A cascade falls down the page, so the smallest is that of the whole; unknown (nan) stays unknown.
        whole = np.where(cut["item"] >= 0, cut["cascade_propensity"], 1.0).min(axis=1)
        return dataclasses.replace(self, slate_propensity=whole, **cut)
