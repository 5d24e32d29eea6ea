"""The benchmark of big logs: its synthetic log is valid, its figures are complete, its page shows what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from behavior import load
from behavior.errors import InputError
from benchmarks.common import case, result

pytest.importorskip("duckdb", reason="big logs need the extra `big`")

from benchmarks.big_logs import N_FILES, PAGE, markdown, measure_size, write_synthetic
from benchmarks.speed.docs import RESULTS, fill_blocks


def test_a_synthetic_log_is_prepared_and_read(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "log", 8_000)
    files = sorted((tmp_path / "log").glob("*.parquet"))
    assert len(files) == N_FILES
    with pytest.raises(InputError, match="step"):  # the second file begins in the middle of sessions
        load(files[1])
    found = measure_size(tmp_path, 8_000)
    assert set(found) >= {"prepare, in all", "check and regroup", "peak memory"}
    stages = ("deal out by session", "check and regroup", "number", "write in order of time")
    assert 0 < sum(found[name][0] for name in stages) <= found["prepare, in all"][0]


def test_sizes_become_columns() -> None:
    cases = [
        case("1,000 rows: a", 2.0, "s"),
        case("1,000 rows: b", 3.0, "GB"),
        case("2,000 rows: a", 4.0, "s"),
    ]
    lines = markdown(result("big_logs", [*cases, case("2,000 rows: b", 5.0, "GB")], packages=())).splitlines()
    assert lines[2] == "| | 1,000 rows | 2,000 rows | unit |"
    assert lines[4:] == ["| a | 2 | 4 | s |", "| b | 3 | 5 | GB |"]


def test_the_page_shows_what_is_kept(tmp_path: Path) -> None:
    import json

    kept = json.loads((RESULTS / "big_logs.json").read_text(encoding="utf-8"))
    copy = tmp_path / "page.md"
    copy.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    fill_blocks(copy, {"big_logs": markdown(kept)})
    assert copy.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
