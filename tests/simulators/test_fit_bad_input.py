"""Logs that carry no simulator, by every way in: a clear message, and nothing written."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from behavior.errors import InputError
from simulators.__main__ import main
from simulators.clicks import ClickFitConfig, compare_click_models, fit_click_model, pages_of
from simulators.example import example_features, example_log
from simulators.fitting.caution import check_display, groups_of_positions
from simulators.fitting.config import FitConfig
from simulators.fitting.fit import fit_simulator
from simulators.registry import SimulatorInputs, make_simulator

Frame = pd.DataFrame
QUICK = ("--strengths", "300", "--quiet")


def good_log(n_sessions: int = 60) -> Frame:
    """Two pages a session, three of eight items a page, in a random order."""
    rng = np.random.default_rng(3)
    rows = []
    for session in range(n_sessions):
        for step in range(2):
            time = f"2024-01-{1 + session // 24:02d}T{session % 24:02d}:{step:02d}:00+00:00"
            for position, item in enumerate(rng.permutation(8)[:3]):
                click = int(rng.random() < (0.6 if item < 3 else 0.2) / (1 + position))
                rows.append(
                    (f"s{session}", f"u{session}", step, time, f"q{item % 2}", position, f"i{item}", click)
                )
    columns = ["session_id", "user_id", "step", "timestamp", "query", "position", "item_id", "click"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["query"] = frame.groupby(["session_id", "step"])["query"].transform("first")
    return frame.assign(purchase=0)


def out_of_order(frame: Frame) -> Frame:
    swapped = {
        "2024-01-02T03:00:00+00:00": "2024-01-02T03:01:00+00:00",
        "2024-01-02T03:01:00+00:00": "2024-01-02T03:00:00+00:00",
    }
    return frame.assign(timestamp=frame["timestamp"].replace(swapped))


CASES: dict[str, tuple[Callable[[Frame], Frame], tuple[str, ...]]] = {
    "one position": (
        lambda f: f[f["position"] == 0],
        ("items at one position only", "where: column position", "at least two positions"),
    ),
    "no clicks": (
        lambda f: f.assign(click=0),
        (
            "holds no click",
            "where: column click, 252 shown items in 42 training sessions",
            "mapping of the click",
        ),
    ),
    "all clicks": (
        lambda f: f.assign(click=1),
        ("every shown item of the log was clicked", "where: column click", "shown and not clicked"),
    ),
    "one item": (
        lambda f: f[f["position"] == 0].assign(item_id="i0"),
        ("shows one item only", "where: column item_id", "several items"),
    ),
    "times out of order": (
        out_of_order,
        (
            "expected no time before that of the session's earlier rows",
            "row 16",
            "column 'timestamp'",
            "repairs",
        ),
    ),
    "never moved": (
        lambda f: f.assign(item_id="i" + f["position"].astype(str)),
        (
            "no item was ever shown at two positions",
            "where: columns position and item_id",
            "some pages shuffled",
        ),
    ),
}


@pytest.fixture(params=CASES)
def bad(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, tuple[str, ...]]:
    """A log of one of the cases, and what has to be said of it."""
    break_it, says = CASES[request.param]
    break_it(good_log()).to_csv(tmp_path / "log.csv", index=False)
    return tmp_path / "log.csv", says


def refused(command: str, says: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Run `python -m simulators COMMAND`: it ends with 2, and a message that holds `says`."""
    assert main(shlex.split(command)) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "mend:" in err
    assert "Traceback" not in err
    for text in says:
        assert text in err, err


def test_fit(bad: tuple[Path, tuple[str, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, says = bad
    refused(f"fit --data {log} --out {tmp_path / 'new'} --strengths 300 --quiet", says, capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv"]


def test_fit_clicks(
    bad: tuple[Path, tuple[str, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, says = bad
    if says[0].startswith("no item"):  # the tables of this command know items by query
        says = (
            "no query and item was ever shown",
            "where: columns query",
            "change their positions",
        )
    models = "pbm ubm cascade ccm dbn"
    refused(f"fit-clicks --data {log} --json {tmp_path / 'new.json'} --models {models} --quiet", says, capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv"]


def test_check_and_validate_of_a_click_model_by_name(
    bad: tuple[Path, tuple[str, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, says = bad
    refused(f"check pbm --data {log} --quiet", says, capsys)
    refused(f"validate --simulator pbm --data {log} --json {tmp_path / 'new.json'} --quiet", says, capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv"]


def test_train(bad: tuple[Path, tuple[str, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.main import main as train

    log, says = bad
    command = f"--preset smoke --data {log} --logs {tmp_path / 'logs'} --name x --quiet"
    assert train(shlex.split(command)) == 2
    err = capsys.readouterr().err
    for text in says:
        assert text in err, err
    assert not list((tmp_path / "logs").glob("x/simulators/*"))


@pytest.fixture
def log() -> SimulatorInputs:
    return SimulatorInputs(
        features=example_features(),
        train=example_log(n_sessions=200),
        valid=example_log(n_sessions=50, first_user=200),
        slate_size=5,
        fit=FitConfig(strengths=(300.0,)),
        progress=False,
    )


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("click", "holds no click"),
        ("every", "every shown item of the log was clicked"),
        ("item", "one item only"),
        ("position", "one position only"),
    ],
)
@pytest.mark.parametrize("name", ["pbm", "cascade", "dcm", "ccm", "dbn", "sdbn", "mnl"])
def test_in_python(case: str, says: str, name: str, log: SimulatorInputs) -> None:
    train = log.train
    if case == "click":
        train.click[:] = 0
    elif case == "every":
        train.click[:] = 1
    elif case == "item":
        train.item[:] = 4
    else:
        train.item[:, 1:] = -1
    with pytest.raises(InputError, match=says):
        fit_simulator(name, train, log.valid, log.features, log.fit, progress=False)


@pytest.mark.parametrize("name", ["pbm", "cascade", "ccm", "dbn"])
def test_a_fixed_display_tells_nothing_of_position(name: str, log: SimulatorInputs) -> None:
    log.train.item[:] = np.arange(5) + 5 * (log.train.query % 3)[:, None]  # 15 items, each at one place
    with pytest.raises(InputError, match="no item was ever shown at two positions: how far users look"):
        fit_simulator(name, log.train, log.valid, log.features, log.fit, progress=False)
    for free in ("dcm", "sdbn"):
        check_display(free, log.train)
    # One page on which they stand the other way round ties the positions; many items are told by their features.
    log.train.item[0] = log.train.item[0][::-1]
    log.train.item[1] = np.roll(log.train.item[1], 1)
    check_display(name, log.train)
    log.train.item[:] = np.arange(5) + 5 * (np.arange(log.train.n_steps) % 30)[:, None]
    check_display(name, log.train)


def test_groups_of_positions() -> None:
    position, unit = np.array([0, 1, 1, 2, 4]), np.array([7, 7, 8, 9, 9])
    np.testing.assert_array_equal(groups_of_positions(position, unit, 5), [0, 0, 1, -1, 1])


def test_click_models_that_stop_unseen_need_moved_items(log: SimulatorInputs) -> None:
    log.train.item[:] = np.arange(5) + 5 * log.train.query[:, None]
    pages = pages_of(log.train, n_items=200)
    plain = ClickFitConfig(strengths=(3.0,))
    for name in ("cascade", "ccm", "dbn"):
        with pytest.raises(
            InputError, match="stop early and that the items below appeal little look the same"
        ):
            fit_click_model(name, pages, plain)
    found = compare_click_models(pages, pages, plain, models=("ccm", "dcm"), n_bootstrap=50)
    assert found["ccm"].refused.startswith("no query and item was ever shown at two positions")
    assert found["dcm"].scores is not None
    by_features = pages_of(log.train, n_items=200, tables=log.features)
    told = fit_click_model("ccm", by_features, ClickFitConfig(appeal="features", strengths=(300.0,)))
    assert any(note.startswith("WARNING: no query and item") for note in told.notes)


def test_sessions_longer_than_the_memory(tmp_path: Path, log: SimulatorInputs) -> None:
    def notes(ring: int) -> list[str]:
        found = make_simulator("pbm", log, {"ring": str(ring)})
        return [note for note in found.notes if "remembers one by one" in note]  # type: ignore[attr-defined]

    shown = np.bincount(log.train.session) * 5
    assert notes(int(shown.max())) == []
    (note,) = notes(10)
    assert note.startswith(f"{(shown > 10).mean():.0%} of the sessions show more than the 10 items")
    assert f"the longest {shown.max()}" in note


def test_a_fit_that_does_not_converge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good_log().to_csv(tmp_path / "log.csv", index=False)
    command = (
        f"fit --data {tmp_path / 'log.csv'} --out {tmp_path / 'new'} --max-iterations 1 --strengths 3 --quiet"
    )
    assert main(shlex.split(command)) == 0
    out = capsys.readouterr().out
    assert (
        "WARNING: the fit of clicks, leaving did not converge in 1 iterations: its figures are provisional"
        in out
    )
    # It stays with the simulator, for the report of whatever is trained in it.
    about = json.loads((tmp_path / "new" / "simulator.json").read_text())
    assert any("did not converge" in note for note in about["report"]["notes"])
    assert (
        main(shlex.split(command.replace("iterations 1 ", "iterations 60 ").replace("/new", "/newer"))) == 0
    )
    assert "did not converge" not in capsys.readouterr().out


def test_numbers_that_no_fit_can_use(log: SimulatorInputs) -> None:
    log.features.item_numeric[:, 0] = np.nan
    with pytest.raises(
        InputError, match="columns of what is known of shown items and pages hold numbers that are not"
    ):
        fit_simulator("pbm", log.train, log.valid, log.features, log.fit, progress=False)
