"""Columns and cells that a published format promises, checked with the file's own names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from behavior.errors import InputError
from behavior.faults import Fault, raise_faults, suggest
from behavior.parse import as_number, as_utc
from behavior.readers.raw import read_head, read_table
from behavior.readers.room import GROWTH, check_room

__all__ = ["number_cells", "read_published", "time_cells"]


def read_published(
    path: Path,
    required: Sequence[str],
    title: str,
    *,
    optional: Sequence[str] = (),
    separator: str = ",",
    progress: bool = False,
) -> pd.DataFrame:
    """The named columns of a published CSV file; all cells are text, the other columns take no memory.

    Args:
        path: The file.
        required: Columns that must be there.
        title: The format's name, for the message.
        optional: Columns that are taken where they are there.
        separator: What stands between the cells.
        progress: Show a bar where reading lasts longer than two seconds.

    Raises:
        InputError: Columns are missing (the nearest of the file's own is named), or the file cannot be read.
    """
    head = read_head(path, separator)
    found = [str(name) for name in head]
    missing = [name for name in required if name not in found]
    if missing:
        free = [name for name in found if name not in required]
        lines = [f"  {name}. {suggest(name, free)}".rstrip() for name in missing]
        raise InputError(
            f"the file lacks columns that {title} has\n"
            + "\n".join(lines)
            + f"\n  columns found: {', '.join(found[:30])}",
            where=str(path),
            mend="give the file as published, or read it as a table of your own with a mapping file "
            "(docs/your-own-logs.md)",
        )
    wanted = {*required, *optional}
    letters = head.apply(
        lambda cells: cells.str.len().sum() + len(cells)
    )  # with what stands between the cells
    if len(head):
        check_room(path, GROWTH * float(letters[[n in wanted for n in found]].sum() / letters.sum()))
    return read_table(path, progress=progress, columns=wanted, separator=separator)


def number_cells(frame: pd.DataFrame, column: str, path: Path, *, least: float = -np.inf) -> pd.Series:
    """The column as float64.

    Raises:
        InputError: A cell is missing, no number, not finite, or below `least`; each with its row.
    """
    number = as_number(frame[column])
    bad = ~np.isfinite(number) | (number < least)
    expected = "a number" if least == -np.inf else f"a number of at least {least:g}"
    _refuse(frame, column, bad, expected, path)
    return number


def time_cells(frame: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """The column as times, datetime64[ns, UTC].

    Raises:
        InputError: A cell is missing or no time; each with its row.
    """
    time = as_utc(frame[column])
    _refuse(frame, column, time.isna(), "a time, as a number of seconds (ms, µs, ns) since 1970", path)
    return time


def _refuse(frame: pd.DataFrame, column: str, bad: pd.Series, expected: str, path: Path) -> None:
    raise_faults(
        [
            Fault(
                row=int(row) + 1,
                column=column,
                found="nothing" if pd.isna(frame[column].loc[row]) else repr(str(frame[column].loc[row])),
                expected=expected,
                mend="the file may be damaged: fetch it again, or leave these rows out",
            )
            for row in frame.index[bad]
        ],
        str(path),
    )
