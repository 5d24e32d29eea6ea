"""`python -m behavior`, as a user meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from behavior.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "behavior", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
    )


@pytest.fixture
def clicks(tmp_path: Path, frame: pd.DataFrame) -> Path:
    path = tmp_path / "clicks.csv"
    frame.to_csv(path, index=False)
    return path


def test_inspect_shows_the_log(clicks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(clicks)]) == 0
    shown = capsys.readouterr().out
    for text in (
        "rows (items shown)",
        "8",
        "By position",
        "50.00%",
        "cascade click model",
        "no catalogue given",
    ):
        assert text in shown


def test_validate_then_convert_then_validate(clicks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(clicks)]) == 0
    assert "valid: 8 rows, 4 steps, 3 sessions, 4 items" in capsys.readouterr().out
    out = clicks.with_name("ours.parquet")
    assert main(["convert", str(clicks), "--out", str(out)]) == 0
    assert main(["validate", str(out), "--catalog", str(clicks.with_name("ours.catalog.parquet"))]) == 0
    before = out.read_bytes()
    assert main(["convert", str(clicks), "--out", str(out)]) == 2
    assert out.read_bytes() == before
    assert "there is a file already" in capsys.readouterr().err


def test_repairs_are_counted(clicks: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    frame.iloc[::-1].to_csv(clicks, index=False)
    assert main(["validate", str(clicks)]) == 2
    assert "--repairs sort" in capsys.readouterr().err
    assert main(["validate", str(clicks), "--repairs", "sort"]) == 0
    assert "repair sort: " in capsys.readouterr().out


@pytest.mark.parametrize("case", ["missing", "cut", "fault"])
def test_bad_input_ends_with_one_message_and_code_2(case: str, clicks: Path, frame: pd.DataFrame) -> None:
    path, expected = clicks, "row 2, column 'position': found 0, expected a position of its own in this page"
    if case == "missing":
        path, expected = clicks.with_name("none.csv"), "the file does not exist"
    elif case == "cut":
        path, expected = clicks.with_name("log.parquet"), "cut off"
        frame.to_parquet(path)
        path.write_bytes(path.read_bytes()[:-100])
    else:
        frame.loc[1, "position"] = 0
        frame.to_csv(path, index=False)
    done = _run("validate", path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert expected in done.stderr
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr


def test_help_reads() -> None:
    done = _run("inspect", "--help")
    assert done.returncode == 0
    assert "--repairs" in done.stdout
    assert "Mapping file" in done.stdout
