"""Where each part keeps its columns of `SessionState.hidden`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Layout"]


class Layout:
    """Named, adjoining column ranges.

    Args:
        widths: Number of columns of each name, in order.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        self.widths = dict(widths)
        self.slices: dict[str, slice] = {}
        start = 0
        for name, width in self.widths.items():
            self.slices[name] = slice(start, start + width)
            start += width
        self.width = start

    @classmethod
    def join(cls, *blocks: Mapping[str, int]) -> Layout:
        """One layout for several parts' columns; a name may be claimed once only.

        Raises:
            ValueError: Two parts claim the same name.
        """
        widths: dict[str, int] = {}
        for block in blocks:
            for name, width in block.items():
                if name in widths:
                    raise ValueError(f"two parts claim the hidden column {name!r}: rename one of them")
                widths[name] = width
        return cls(widths)

    def start(self, name: str) -> int:
        """First column of `name`."""
        return int(self.slices[name].start)

    def of(self, hidden: NDArray[np.float32], name: str) -> NDArray[Any]:
        """The columns of `name` (B, width): a view, so that writing to it changes `hidden`."""
        return hidden[:, self.slices[name]]
