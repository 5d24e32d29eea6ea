from __future__ import annotations

import json
from pathlib import Path

import pytest

from behavior.errors import InputError
from benchmarks.common import case, result
from benchmarks.speed.docs import DOCUMENTS, markdown, write_tables
from benchmarks.speed.table import number

PAGE = """before
<!-- table: one -->
old
<!-- end of table -->
between
<!-- table: two -->
kept
<!-- end of table -->
"""


def test_tables_are_filled_from_results_and_from_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    found = result("one", [case("a", 1234.5, "x/s", 1000), case("b", 0.5, "s")], packages=())
    (tmp_path / "one.json").write_text(json.dumps(found))
    assert write_tables(page, tmp_path) == ["one"]
    text = page.read_text()
    assert "| a | 1,234 | x/s | 1,000 | 1.23 |" in text
    assert "| b | 0.5 | s |  |  |" in text
    assert "old" not in text
    assert "between\n<!-- table: two -->\nkept\n" in text
    before = text
    write_tables(page, tmp_path)
    assert page.read_text() == before


def test_cases_by_size_become_columns() -> None:
    cases = [
        case("1,000 items: step", 10, "ns", 5),
        case("1,000 items: clicks", 2, "clicks"),
        case("2,000 items: step", 30, "ns", 5),
    ]
    lines = markdown(result("p", cases, packages=())).splitlines()
    assert lines[2].endswith("| 1,000 items | 2,000 items | unit |")
    assert lines[4] == "| step | 10 (2.00) | 30 (6.00) | ns |"
    assert lines[5] == "| clicks | 2 |  | clicks |"


def test_a_page_without_results_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with pytest.raises(InputError, match="no table"):
        write_tables(page, tmp_path)
    assert page.read_text() == PAGE


def test_the_performance_page_has_its_tables() -> None:
    text = DOCUMENTS[0].read_text(encoding="utf-8")
    names = ("environment", "peers", "step_profile", "training", "device", "ope", "ope_quick")
    for name in names:
        assert text.count(f"<!-- table: {name} -->") == 1
    assert text.count("<!-- end of table -->") == len(names)


def test_some_rows_of_a_table_can_be_quoted(tmp_path: Path) -> None:
    cases = [case(f"case {number}", float(number), "s") for number in range(1, 5)]
    (tmp_path / "one.json").write_text(json.dumps(result("one", cases)))
    page = tmp_path / "page.md"
    page.write_text("<!-- table: one, rows 2 4 -->\n<!-- end of table -->\n")
    write_tables(page, tmp_path)
    text = page.read_text()
    assert "case 2" in text
    assert "case 4" in text
    assert "case 1" not in text
    write_tables(page, tmp_path)
    assert page.read_text() == text


def test_the_documents_quote_what_is_kept(tmp_path: Path) -> None:
    for document in DOCUMENTS:
        copy = tmp_path / document.name
        copy.write_text(document.read_text(encoding="utf-8"), encoding="utf-8")
        write_tables(copy)
        assert copy.read_text(encoding="utf-8") == document.read_text(encoding="utf-8"), (
            f"{document.name} is old: run python -m benchmarks.step_profile --write-docs"
        )


def test_numbers_have_as_few_digits_as_tell_enough() -> None:
    told = [number(x) for x in (412_345.4, 612.3, 99.94, 2.345, 0.01234, None)]
    assert told == ["412,345", "612", "99.9", "2.35", "0.0123", ""]
