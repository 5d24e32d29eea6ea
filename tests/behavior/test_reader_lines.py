"""Rows and lines that are not what the rest of the file is: never shifted or filled up in silence."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from behavior import InputError
from behavior.__main__ import main
from behavior.readers.raw import read_records, read_table


def test_short_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text('a,b,c\n1,2,\n\n"x\ny",2,3\n4,5\n6\n')
    with pytest.raises(
        InputError, match=r"which has 3\n  line 6: found 2 cells\n  line 7: found 1 cells"
    ) as caught:
        read_table(path)
    assert caught.value.where == str(path)
    packed = tmp_path / "log.csv.gz"
    packed.write_bytes(gzip.compress(b"a,b,c\n1,2,3\n4,5\n"))
    with pytest.raises(InputError, match="line 3: found 2 cells"):
        read_table(packed)


def test_empty_cells_at_the_end_are_no_short_rows(tmp_path: Path) -> None:
    path = tmp_path / "log.tsv"
    path.write_text("a\tb\tc\n1\t2\t\n3\t\t4\n")
    frame = read_table(path)
    assert frame.shape == (2, 3)
    assert frame["c"].isna().tolist() == [True, False]


def test_rows_longer_than_the_header_are_not_shifted(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,2,3\n4,5,6\n")
    with pytest.raises(InputError, match="more cells than the header, which has 2"):
        read_table(path)


def test_a_bad_line_of_json_lines_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"a": 2\n"text"\n\xff\n{"a": 3}\n')
    with pytest.raises(InputError) as caught:
        read_records(path)
    told = str(caught.value)
    for text in ("line 3: found '{\"a\": 2'", "line 4: found a str", "line 5: found "):
        assert text in told
    path.write_text('{"a": 1}\n{"a": 2}\n')
    assert read_records(path) == [{"a": 1}, {"a": 2}]


def test_no_command_is_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["behavior"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    assert "formats" in capsys.readouterr().out
