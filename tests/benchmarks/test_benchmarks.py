from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from behavior.errors import InputError
from benchmarks.common import Case, Options, case, main, result

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(
    path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem not in ("__init__", "common")
)


def _run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def _check(found: dict[str, Any], name: str) -> None:
    """The form that every benchmark promises."""
    assert list(found) == ["benchmark", "machine", "versions", "cases"]
    assert found["benchmark"] == name
    assert isinstance(found["machine"], str)
    assert "python" in found["versions"]
    assert all(isinstance(text, str) for text in found["versions"].values())
    assert found["cases"]
    names = [row["case"] for row in found["cases"]]
    assert len(set(names)) == len(names)
    for row in found["cases"]:
        assert list(row) == ["case", "value", "unit", "reference", "ratio"]
        assert isinstance(row["value"], float)
        assert math.isfinite(row["value"])
        if row["reference"]:
            assert row["ratio"] == pytest.approx(row["value"] / row["reference"])
        else:
            assert row["ratio"] is None


def test_all_benchmarks_are_found() -> None:
    assert {"encoders", "environment", "ope", "pipeline_runs", "simulators", "store"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_help_names_the_command_and_its_options(name: str) -> None:
    done = _run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"python -m benchmarks.{name}" in done.stdout
    assert "--quick" in done.stdout
    assert "--json" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_exists_is_refused_before_anything_is_measured(name: str, tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    file.write_text("mine")
    done = _run(name, "--quick", "--json", str(file))
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert file.read_text() == "mine"


def test_the_quick_form_prints_and_writes_one_object(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "ope.json"
    done = _run("ope", "--quick", "--json", str(file))
    assert done.returncode == 0, done.stderr
    written = json.loads(file.read_text(encoding="utf-8"))
    assert json.loads(done.stdout) == written
    _check(written, "ope")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["encoders", "environment", "simulators", "store"])
def test_every_quick_form_has_that_shape(name: str) -> None:
    done = _run(name, "--quick")
    assert done.returncode == 0, done.stderr
    _check(json.loads(done.stdout), name)


def test_a_ratio_needs_a_reference_that_is_not_zero() -> None:
    assert case("a", 3, "s", 2) == Case(case="a", value=3.0, unit="s", reference=2.0, ratio=1.5)
    assert case("a", 3, "s") == Case(case="a", value=3.0, unit="s", reference=None, ratio=None)
    assert case("a", 3, "s", 0) == Case(case="a", value=3.0, unit="s", reference=0.0, ratio=None)


def test_options_reach_the_measurement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def measure(options: Options) -> dict[str, Any]:
        return result("here", [case("quick", options.quick, "")], packages=("numpy",))

    file = tmp_path / "here.json"
    for arguments, value in (((), 0.0), (("--quick", "--json", str(file)), 1.0)):
        assert main(measure, description=None, arguments=arguments) == 0
        printed = json.loads(capsys.readouterr().out)
        _check(printed, "here")
        assert printed["cases"][0]["value"] == value
    assert json.loads(file.read_text(encoding="utf-8")) == printed


def test_a_users_mistake_ends_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def measure(options: Options) -> dict[str, Any]:
        raise InputError("nothing to measure", where="here", mend="bring some")

    file = tmp_path / "none.json"
    assert main(measure, description=None, arguments=["--json", str(file)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "nothing to measure" in told.err
    assert not file.exists()


def test_figures_are_printed_even_where_they_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(options: Options) -> dict[str, Any]:
        return result("here", [case("one", 1, "")], packages=())

    (tmp_path / "file").write_text("not a folder")
    target = tmp_path / "file" / "here.json"
    assert main(measure, description=None, arguments=["--json", str(target)]) == 2
    told = capsys.readouterr()
    _check(json.loads(told.out), "here")
    assert "error: " in told.err
