"""Rows with too few or too many cells, in files read whole and in chunks: named, whatever ends a line."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from behavior.errors import InputError
from behavior.readers.raw import delimited_chunks, read_table


def _file(folder: Path, content: bytes) -> Path:
    path = folder / "log.csv"
    path.write_bytes(content)
    return path


def test_a_carriage_return_within_a_row_cuts_it_in_two(tmp_path: Path) -> None:
    path = _file(tmp_path, b"a,b,c\n1,x\ry,3\n4,5,6\n")
    with pytest.raises(InputError, match=r"(?s)fewer cells.*line 2: found 2 cells\n  line 3: found 2 cells"):
        read_table(path)


def test_carriage_returns_alone_end_the_lines_of_old_files(tmp_path: Path) -> None:
    frame = read_table(_file(tmp_path, b"a,b,c\r1,2,3\r4,5,\r"))
    assert frame["b"].tolist() == ["2", "5"]


def test_a_carriage_return_in_quotes_is_part_of_the_cell(tmp_path: Path) -> None:
    frame = read_table(_file(tmp_path, b'a,b,c\n1,"x\ry",3\n4,5,\n'))
    assert frame["b"].tolist() == ["x\ry", "5"]


def test_a_cell_longer_than_the_limit_of_the_csv_module(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    frame = read_table(_file(tmp_path, b"a,b\n" + b"x" * (limit + 1) + b",1\ny,\n"))
    assert frame["a"].str.len().tolist() == [limit + 1, 1]
    assert csv.field_size_limit() == limit


def _told(read: Callable[[], pd.DataFrame]) -> list[list[str | None]] | str:
    """The rows, or what is said of them."""
    try:
        frame = read()
    except InputError as error:
        return str(error)
    return [[None if pd.isna(cell) else str(cell) for cell in row] for row in frame.to_numpy().tolist()]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"a,b,c\n1,2,3\n4,5,6\n7,8,9\n", None),
        (b"a,b,c\n1,2,\n4,5,\n7,8,\n", None),
        (b"a,b,c\n1,2,3\n4,5,6\n7,8,9\n1,2\n4,5,6\n7\n", "line 5: found 2 cells\n  line 7: found 1 cells"),
        (b"a,b,c\n1,2,3\n4,5,6\n7,8,9\n1,2,3,4\n", "Expected 3 fields in line 5, saw 4"),
        (b"a,b,c\n1,2,3,\n4,5,6,\n7,8,9,\n", "the rows have more cells than the header, which has 3"),
        (b'a,b,c\n1,2,3\n4,5,6\n7,"x\ny",\n', None),
        (b"a,b,c\n1,2,3\n4,5,6\n\n7,8,9\n", None),
    ],
)
def test_chunks_are_refused_as_the_whole_is(tmp_path: Path, content: bytes, found: str | None) -> None:
    path = _file(tmp_path, content)
    whole = _told(lambda: read_table(path))
    assert _told(lambda: pd.concat(delimited_chunks(path, 2))) == whole
    if found is None:
        assert isinstance(whole, list)
    else:
        assert found in whole


def test_no_chunk_is_given_once_its_rows_are_in_doubt(tmp_path: Path) -> None:
    path = tmp_path / "log.tsv.gz"
    path.write_bytes(gzip.compress(b"a\tb\n" + b"1\t2\n" * 5 + b"3\n"))
    chunks = delimited_chunks(path, 2)
    assert [len(next(chunks)) for _ in range(2)] == [2, 2]
    with pytest.raises(
        InputError, match=r"fewer cells than the header, which has 2\n  line 7: found 1 cells"
    ):
        next(chunks)
