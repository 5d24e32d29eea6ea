"""`python -m simulators fit --simulator ensemble`: from a log to a folder that holds all members."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.__main__ import main
from simulators.ensemble import EnsembleSimulator
from simulators.storage import load_simulator


def test_an_ensemble_is_fitted_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ensemble"
    ask = ["fit", "--simulator", "ensemble", "--members", "2", "--families", "pbm", "--seed", "3"]
    assert main([*ask, "--store-size", "tiny", "--quiet", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "2 members, of the click models pbm" in said
    ensemble = load_simulator(out)
    assert isinstance(ensemble, EnsembleSimulator)
    assert [member.name for member in ensemble.members] == ["pbm", "pbm"]
    first, second = (member.attractiveness.weights for member in ensemble.members)  # type: ignore[attr-defined]
    assert (first != second).any()


def test_too_few_members_are_refused_before_the_log_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ["fit", "--simulator", "ensemble", "--members", "1", "--out", str(tmp_path / "new")]
    assert main(ask) == 2
    assert "one fit alone has no spread" in capsys.readouterr().err
