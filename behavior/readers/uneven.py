"""Rows of a CSV file with more or fewer cells than its header: pandas shifts the former and fills up the latter."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pandas as pd

from behavior.errors import InputError
from behavior.readers.lines import LONGEST_LINE, read_lines

__all__ = ["even_chunks", "refuse_uneven"]

_MOST_NAMED = 10


def refuse_uneven(frame: pd.DataFrame, path: Path, separator: str) -> None:
    """Raise where the rows of the file do not have as many cells as its header.

    The file is gone through a second time only where its last column has empty cells, as every short row leaves one.

    Args:
        frame: All columns of the file, as pandas read them.
        path: The file.
        separator: What stands between the cells.

    Raises:
        InputError: Rows are too long, or too short; the first ten of the latter with their lines.
    """
    for _ in even_chunks([frame], path, separator):
        pass


def even_chunks(frames: Iterable[pd.DataFrame], path: Path, separator: str) -> Iterator[pd.DataFrame]:
    """The chunks `frames` of a file as they come, each checked as `refuse_uneven` does before it is given on.

    The file is gone through a second time at the first chunk whose last column has empty cells, and then as a whole:
    only its lines tell an empty cell from one that is not there. One line is held at a time.

    Raises:
        InputError: See `refuse_uneven`.
    """
    gone_through = False
    for frame in frames:
        _refuse_long(frame, path)
        if not gone_through and len(frame) and frame.iloc[:, -1].isna().any():
            _refuse_short(path, separator, frame.shape[1])
            gone_through = True
        yield frame


def _refuse_long(frame: pd.DataFrame, path: Path) -> None:
    width = frame.shape[1]
    if not isinstance(frame.index, pd.RangeIndex):
        raise InputError(
            f"the rows have more cells than the header, which has {width}",
            where=str(path),
            mend="name every column in the header, and end no row with a separator",
        )


def _refuse_short(path: Path, separator: str, width: int) -> None:
    found = list(islice(_short_rows(path, separator, width), _MOST_NAMED))
    if found:
        lines = "\n".join(f"  line {line:,}: found {cells} cells" for line, cells in found)
        raise InputError(
            f"rows have fewer cells than the header, which has {width}\n{lines}",
            where=str(path),
            mend="the file may be cut off, or a line break stands within a text: put such texts in double quotes",
        )


def _short_rows(path: Path, separator: str, width: int) -> Iterator[tuple[int, int]]:
    """Line and number of cells of the rows with fewer cells than `width`; empty lines are no rows."""
    usual = csv.field_size_limit(LONGEST_LINE)  # a cell may hold a whole page of text
    try:
        reader = csv.reader(_text_lines(path), delimiter=separator)
        yield from ((reader.line_num, len(cells)) for cells in reader if 0 < len(cells) < width)
    finally:
        csv.field_size_limit(usual)


def _text_lines(path: Path) -> Iterator[str]:
    """The lines of the file; a carriage return alone ends one too, as it does for pandas."""
    for _, line in read_lines(path, progress=False):
        yield from io.StringIO(line.decode("utf-8", "replace"), newline=None)
