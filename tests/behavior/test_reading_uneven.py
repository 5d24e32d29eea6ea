"""Rows with too few cells: named with their lines, whatever ends a line and however long a cell is."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from behavior.errors import InputError
from behavior.readers.raw import read_table


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
