"""`python -m simulators validate`, from a log to the verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulators.__main__ import main

QUICK = ("--sessions", "100", "--bootstrap", "400", "--folds", "2", "--quiet")
TINY = ("--store-size", "tiny")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit") / "users"
    assert main(["fit", "--out", str(folder), "--strengths", "300", "--quiet", *TINY]) == 0
    return folder


def test_the_verdict_comes_first(fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, plots = tmp_path / "trust.json", tmp_path / "plots"
    command = ["validate", "--simulator", str(fitted), *TINY, *QUICK]
    assert main([*command, "--json", str(report), "--plots", str(plots)]) == 0
    shown = capsys.readouterr().out
    found = json.loads(report.read_text(encoding="utf-8"))
    assert " ".join(shown.split()).startswith(found["verdict"]["headline"])
    assert "What users may be used for" in shown
    assert max(len(line) for line in shown.splitlines() if str(plots) not in line) <= 100
    assert found["config"]["sessions"] == 100
    assert str(plots / "calibration.png") in shown
    assert (plots / "calibration.png").is_file()
    # nothing is overwritten, and nothing is measured before that is known
    assert main([*command, "--json", str(report)]) == 2
    assert main([*command, "--plots", str(plots)]) == 2
    assert main([*command, "--bootstrap", "10"]) == 2
    assert main(["validate", "--simulator", str(tmp_path / "nowhere"), *TINY, *QUICK]) == 2
    errors = capsys.readouterr().err
    assert errors.count("error: ") == 4
    assert "at least 400" in errors
    assert "Traceback" not in errors


def test_a_simulator_of_another_log_is_refused(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = json.loads((fitted / "simulator.json").read_text(encoding="utf-8"))
    other["context_names"] = [*other["context_names"], "moon"]
    home = fitted.parent / "moonlit"
    home.mkdir()
    for name in ("parts.npz", "features.npz"):
        (home / name).write_bytes((fitted / name).read_bytes())
    (home / "simulator.json").write_text(json.dumps(other), encoding="utf-8")
    assert main(["validate", "--simulator", str(home), *TINY, *QUICK]) == 2
    assert "moon" in capsys.readouterr().err
