"""The record of the session that every part may read: what was shown, clicked and bought so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from encoders.features import FeatureTables
from simulators.base import SessionState
from simulators.kernels.session import N_PROMISE, note_promise, remember
from simulators.kernels.tables import KernelTables, MemoryColumns, kernel_tables
from simulators.parts.layout import Layout

__all__ = ["SessionMemory", "Tables"]


class Tables:
    """`FeatureTables` beside the kernels' view of them, made once and shared by all parts.

    Args:
        features: The public tables.
    """

    def __init__(self, features: FeatureTables) -> None:
        self.features = features

    @cached_property
    def kernel(self) -> KernelTables:
        """What the kernels read."""
        return kernel_tables(self.features)


@dataclass(frozen=True)
class SessionMemory:
    """Keeps the record in the hidden columns of a layout.

    Args:
        tables: The shared tables.
        layout: The simulator's layout; it holds the columns of `SessionMemory.widths`.
        ring: How many of the last shown items are remembered one by one.
    """

    tables: Tables
    layout: Layout
    ring: int

    @staticmethod
    def widths(vector_width: int, ring: int) -> dict[str, int]:
        """The columns of the record."""
        return {
            "clicks": 1,
            "purchases": 1,
            "dry_pages": 1,
            "shown": 1,
            "clicked_sum": vector_width,
            "ignored_sum": vector_width,
            "ring_item": ring,
            "ring_mark": ring,
            "promise": N_PROMISE,
        }

    @cached_property
    def columns(self) -> MemoryColumns:
        """Offsets for the kernels."""
        start = self.layout.start
        return MemoryColumns(
            clicks=start("clicks"),
            purchases=start("purchases"),
            dry_pages=start("dry_pages"),
            shown=start("shown"),
            clicked_sum=start("clicked_sum"),
            ignored_sum=start("ignored_sum"),
            ring_item=start("ring_item"),
            ring_mark=start("ring_mark"),
            ring_size=self.ring,
            promise=start("promise"),
        )

    def begin(self, n_users: int) -> NDArray[np.float32]:
        """Hidden columns (B, L) of sessions in which nothing has happened yet."""
        hidden = np.zeros((n_users, self.layout.width), np.float32)
        self.layout.of(hidden, "ring_item")[:] = -1.0
        return hidden

    def note_promise(
        self,
        state: SessionState,
        slates: NDArray[np.int32],
        logits: NDArray[np.float64],
        click: NDArray[np.uint8],
        chance: NDArray[np.float64],
    ) -> None:
        """Enter how appealing a page (B, K) is, before its users decide whether to go on.

        `logits` (B, K) are those of a click given a look, `chance` (B, K) that of a purchase given a click.
        """
        note_promise(slates.shape[0], state.hidden, slates, logits, click, chance, self.columns)

    def remember(
        self,
        state: SessionState,
        slates: NDArray[np.int32],
        click: NDArray[np.uint8],
        purchase: NDArray[np.uint8],
    ) -> None:
        """Enter an answered page (B, K) into the record."""
        remember(
            slates.shape[0],
            state.hidden,
            slates,
            click,
            purchase,
            self.tables.kernel.item_vectors,
            self.columns,
        )
