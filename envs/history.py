"""What happened so far in `B` sessions, and how it is observed: shared by the live core and by logs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.kernels import core as kernels
from envs.observation import Observation
from envs.world import TaskConfig

__all__ = ["History"]


class History:
    """The histories of `B` sessions.

    Args:
        n_users: B.
        task: Sizes and horizon.
        n_items: Catalogue items I.
        slate_size: K, where it is not the task's (logs).
        max_pages: Longest session, where it is not the task's horizon (logs).
    """

    def __init__(
        self,
        n_users: int,
        task: TaskConfig,
        n_items: int,
        *,
        slate_size: int | None = None,
        max_pages: int | None = None,
    ) -> None:
        K = task.slate_size if slate_size is None else slate_size
        pages = task.max_steps if max_pages is None else max_pages
        distinct = max(1, min(pages * K, n_items))
        width = 1 << (2 * distinct - 1).bit_length()  # at most half full
        self.horizon = task.max_steps
        self.key = np.empty((n_users, width), np.int32)
        self.count = np.empty((n_users, width), np.int32)
        self.last_slate = np.empty((n_users, K), np.int32)
        self.last_click = np.empty((n_users, K), np.float32)
        self.last_purchase = np.empty((n_users, K), np.float32)
        self.clicked = np.empty((n_users, task.history), np.int32)
        self.totals = np.empty((n_users, 6), np.float64)  # clicks, purchases, return, revenue, carts, profit
        self.pages = np.empty(n_users, np.int32)
        self.clear(np.arange(n_users))

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (
            self.key,
            self.count,
            self.last_slate,
            self.last_click,
            self.last_purchase,
            self.clicked,
            self.totals,
            self.pages,
        )

    def clear(self, rows: NDArray[np.int64]) -> None:
        """Start new sessions at `rows`."""
        kernels.clear(rows.shape[0], rows, *self._arrays())

    def note(
        self,
        rows: NDArray[np.int64],
        slates: NDArray[np.int32],
        click: NDArray[np.uint8],
        purchase: NDArray[np.uint8],
    ) -> None:
        """Add a page (R, K) and its feedback to the sessions at `rows` (R,)."""
        kernels.note(rows.shape[0], rows, slates, click, purchase, *self._arrays())

    def observe(
        self,
        rows: NDArray[np.int64],
        *,
        query: NDArray[np.int32],
        context: NDArray[np.float32],
        candidates: NDArray[np.int32],
        scores: NDArray[np.float32],
        by_row: bool = False,
    ) -> Observation:
        """What an agent sees of the sessions at `rows`.

        Args:
            rows: (R,) sessions.
            query: (B,) current query of every session.
            context: (R, F) context of the asked rows.
            candidates: (Q, N) candidates by query, or (R, N) by asked row where `by_row`.
            scores: Relevance, shaped as `candidates`.
            by_row: See `candidates`.
        """
        R, N = rows.shape[0], candidates.shape[1]
        out = Observation(
            query=np.empty((R, 1), np.int32),
            context=context,
            candidates=np.empty((R, N), np.int32),
            scores=scores if by_row else scores[query[rows]],
            seen=np.empty((R, N), np.float32),
            last_slate=np.empty((R, self.last_slate.shape[1]), np.int32),
            last_click=np.empty((R, self.last_slate.shape[1]), np.float32),
            last_purchase=np.empty((R, self.last_slate.shape[1]), np.float32),
            clicked=np.empty((R, self.clicked.shape[1]), np.int32),
            progress=np.empty((R, 4), np.float32),
        )
        kernels.observe(
            R,
            rows,
            query,
            candidates,
            by_row,
            self.horizon,
            *self._arrays(),
            out.query,
            out.candidates,
            out.seen,
            out.last_slate,
            out.last_click,
            out.last_purchase,
            out.clicked,
            out.progress,
        )
        return out
