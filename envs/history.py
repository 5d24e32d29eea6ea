"""What happened so far in `B` sessions, and how it is observed: shared by the live core and by logs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.kernels import core as kernels
from envs.kernels.page import MOST_ITEMS
from envs.observation import Observation
from envs.world import TaskConfig

__all__ = ["RETURN", "History"]

RETURN = 2
"""Column of `History.totals` that holds the return so far."""


class History:
    """The histories of `B` sessions; `envs.kernels.page` says how a session's record is laid out.

    Args:
        n_users: B.
        task: Sizes and horizon.
        n_items: Catalogue items I.
        slate_size: K, where it is not the task's (logs).
        max_pages: Longest session, where it is not the task's horizon (logs).

    Raises:
        InputError: More items than ids that fit (2^24).
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
        if n_items > MOST_ITEMS:
            raise InputError(
                f"the catalogue has {n_items} items",
                where="World.features",
                mend=f"at most {MOST_ITEMS} are possible: ids must be exact as 32-bit floats",
            )
        self.slate_size = task.slate_size if slate_size is None else slate_size
        pages = task.max_steps if max_pages is None else max_pages
        distinct = max(1, min(pages * self.slate_size, n_items))
        width = 1 << (2 * distinct - 1).bit_length()  # at most half full
        self.pages_kept, self.clicks_kept = task.memory, task.history
        self._places = max(1, task.memory) * self.slate_size  # positions of the pages in a record
        words = 1 + self._places + task.history + max(32, 2 * width) // 32
        self.horizon = task.max_steps
        self.head = np.empty((n_users, -(-words // 16) * 16), np.int32)  # whole cache lines
        self.table = np.empty((n_users, width), np.uint32)
        self.shown = np.empty((n_users, task.n_candidates), np.uint8)
        self.totals = np.empty((n_users, 8), np.float64)
        """Clicks, purchases, return, revenue, carts, profit, score and pages of each session so far."""
        self.clear(np.arange(n_users))

    @property
    def pages(self) -> NDArray[np.int32]:
        """(B,) pages so far, a view: writing to it moves the sessions on or back."""
        return self.head[:, 0]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that changes, by name (no copies)."""
        return {"head": self.head, "table": self.table, "shown": self.shown, "totals": self.totals}

    def clear(self, rows: NDArray[np.int64]) -> None:
        """Start new sessions at `rows`."""
        kernels.clear(
            rows.shape[0],
            rows,
            self.head,
            self.table,
            self.shown,
            self.totals,
            self._places + self.clicks_kept,
        )

    def note(
        self,
        rows: NDArray[np.int64],
        slates: NDArray[np.int32],
        click: NDArray[np.uint8],
        purchase: NDArray[np.uint8],
        *,
        compact: bool = True,
    ) -> None:
        """Add a page and its feedback to the sessions at `rows` (R,).

        Args:
            rows: (R,) sessions.
            slates: (R, K) catalogue rows; (B, K), of which `rows` are read, where not `compact`.
            click: Shaped as `slates`.
            purchase: Shaped as `slates`.
            compact: See `slates`.
        """
        kernels.note(
            rows.shape[0],
            rows,
            slates,
            click,
            purchase,
            compact,
            self._places,
            self.clicks_kept,
            self.head,
            self.table,
            self.totals,
        )

    def observe(
        self,
        rows: NDArray[np.int64],
        *,
        query: NDArray[np.int32],
        context: NDArray[np.float32],
        candidates: NDArray[np.int32],
        scores: NDArray[np.float32],
        by_row: bool = False,
        out: Observation | None = None,
    ) -> Observation:
        """What an agent sees of the sessions at `rows`.

        Args:
            rows: (R,) sessions.
            query: (B,) current query of every session.
            context: (B, F) context of every session, or (R, F) of the asked ones where `by_row`.
            candidates: (Q, N) candidates by query, or (R, N) by asked row where `by_row`.
            scores: Relevance, shaped as `candidates`.
            by_row: See `candidates`; the result then has R rows, else B, of which `rows` are written.
            out: Observation of all B sessions to write into; a new one where None.
        """
        if out is None:
            n_rows = rows.shape[0] if by_row else self.head.shape[0]
            out = Observation.empty(
                n_rows,
                context.shape[1],
                candidates.shape[1],
                self.slate_size,
                self.clicks_kept,
                self.pages_kept,
            )
        kernels.observe(
            rows.shape[0],
            rows,
            by_row,
            query,
            context,
            candidates,
            scores,
            self.horizon,
            self.head,
            self.table,
            self.shown,
            self.totals,
            *out.arrays(),
        )
        return out
