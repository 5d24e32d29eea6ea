"""The report of position bias, its files, and the command."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from simulators.__main__ import main
from simulators.clicks.scores import Figure
from simulators.position_bias.report import PositionBiasReport, examine_position_bias
from simulators.position_bias.worlds import make_bias_world

WORLD = make_bias_world(hidden=1.0, n_positions=4, seed=1)


@pytest.fixture(scope="module")
def two_rankers() -> tuple[LoggedSteps, np.ndarray]:
    return WORLD.log("two rankers", 3_000, seed=2)


@pytest.fixture(scope="module")
def report(two_rankers: tuple[LoggedSteps, np.ndarray]) -> PositionBiasReport:
    return examine_position_bias(two_rankers[0], WORLD.features, n_bootstrap=40, progress=False)


def test_ways_side_by_side(report: PositionBiasReport, two_rankers: tuple[LoggedSteps, np.ndarray]) -> None:
    """Swaps hold the truth; features, which know less than the rankers, make the top look better than it is."""
    truth = two_rankers[1]
    assert tuple(report.swaps) == ("pooled", "all-pairs", "pivot", "chain")
    assert tuple(report.regression) == ("line", "trees")
    assert all(f.low - 0.03 <= t <= f.high + 0.03 for f, t in zip(report.swaps["pooled"], truth, strict=True))
    assert (report.regression["line"].examination[1:] < truth[1:] - 0.03).all()
    assert any("settle the examination of every position" in line for line in report.verdict())


def test_json_is_plain_and_says_what_the_table_says(report: PositionBiasReport) -> None:
    found = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert [row["position"] for row in found["positions"]] == [1, 2, 3, 4]
    assert found["positions"][2]["swaps"]["pooled"]["value"] == pytest.approx(report.swaps["pooled"][2].value)
    assert found["shares"] == {"swaps": 1.0, "features": 0.0, "nothing": 0.0}
    assert found["groups"] == [[1, 2, 3, 4]]
    ties = np.array(found["effective_clicks_between"])
    assert (np.tril(ties) == 0).all()
    assert ties.sum() > 100
    facts, ways = report.tables()
    assert facts.row_count == ways.row_count == 4
    assert [c.header for c in ways.columns][1:] == [
        "swaps, pooled",
        "swaps, all-pairs",
        "EM, line",
        "EM, trees",
    ]


def test_pictures(report: PositionBiasReport, tmp_path: Path) -> None:
    files = report.plot(tmp_path / "new")
    assert [file.name for file in files] == ["examination.png", "swaps.png"]
    assert all(file.read_bytes()[:4] == b"\x89PNG" for file in files)
    with pytest.raises(InputError, match="holds something already"):
        report.plot(tmp_path / "new")


def test_propensities_are_used_where_they_are_logged(two_rankers: tuple[LoggedSteps, np.ndarray]) -> None:
    """All alike, they change nothing but the name."""
    steps = two_rankers[0]
    logged = dataclasses.replace(steps, propensity=np.full(steps.item.shape, 0.5))
    found = examine_position_bias(logged, n_bootstrap=2, progress=False)
    values = [[f.value for f in found.swaps[name]] for name in ("pooled", "pooled, by propensities")]
    np.testing.assert_allclose(values[0], values[1], atol=1e-6)
    assert found.regression == {}


def test_warnings_are_said(report: PositionBiasReport) -> None:
    def figure(value: float) -> Figure:
        return Figure(value=value, low=value - 0.1, high=value + 0.1, draws=np.empty(0))

    warned = dataclasses.replace(
        report,
        agreement=dataclasses.replace(report.agreement, p_value=1e-4),
        stability=dataclasses.replace(report.stability, by_direction=figure(1.5)),
    ).verdict()
    assert any("disagree (p = 0.0001)" in line for line in warned)
    assert any("1.50 times as often" in line for line in warned)
    calm = dataclasses.replace(
        report,
        agreement=dataclasses.replace(report.agreement, p_value=0.5),
        stability=dataclasses.replace(report.stability, by_direction=figure(1.0)),
    ).verdict()
    assert not any("WARNING" in line for line in calm)


def test_a_deterministic_log_has_no_swaps_to_show() -> None:
    steps, _ = WORLD.log("one ranker", 600, seed=2)
    found = examine_position_bias(steps, n_bootstrap=5, progress=False)
    assert found.swaps == {}
    assert "nothing in this log tells it from relevance" in found.verdict()[0]
    with pytest.raises(InputError, match="no click"):
        examine_position_bias(dataclasses.replace(steps, click=np.zeros_like(steps.click)), progress=False)


@pytest.fixture
def command(two_rankers: tuple[LoggedSteps, np.ndarray], tmp_path: Path) -> list[str]:
    steps = two_rankers[0]
    rows = ["session_id,user_id,step,timestamp,query,position,item_id,click"]
    for m in range(600):
        for k in range(4):
            rows.append(
                f"s{m},u{m},0,2024-01-{1 + m // 30:02d}T00:00:00Z,q{steps.query[m]},{k},i{steps.item[m, k]},"
                f"{steps.click[m, k]}"
            )
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"i{i},thing {i}\n" for i in range(120)))
    text = f"position-bias --data {tmp_path / 'log.csv'} --catalog {tmp_path / 'items.csv'} --quiet --bootstrap 10"
    return text.split()


def test_the_command(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command += f"--json {tmp_path / 'found.json'} --plots {tmp_path / 'drawn'} --regressors".split()
    assert main(command) == 0
    assert "examination relative to position 1" in capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())
    assert sum(row["shown"] for row in found["positions"]) == 4 * 420  # 70 % of the sessions
    assert (tmp_path / "drawn" / "swaps.png").exists()
    assert main(command) == 2
    assert "not overwritten" in capsys.readouterr().err


@pytest.mark.slow  # a relevance model is learned for the features
def test_the_command_with_features(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--regressors", "line"]) == 0
    assert "EM, line" in capsys.readouterr().out
