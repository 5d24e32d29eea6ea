"""What one part of a log cannot say of the whole, and must know to be read as if the whole were."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

__all__ = ["WholeLog"]


@dataclass(frozen=True, kw_only=True)
class WholeLog:
    """Facts of a whole log, for reading tables that hold some of its sessions each.

    The index of such a table says which data rows of the whole (from 0) it holds; faults are told by it.
    """

    zones: pd.Series
    """Rows by time zone (`behavior.parse.time_zone`), the most frequent first."""
    time_unit: int | None
    """Nanoseconds that a time written as a number counts; None where no time is."""
    text_context: frozenset[str]
    """The file's names of those context columns that hold texts, not numbers."""
