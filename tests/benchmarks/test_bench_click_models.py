from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import click_models
from benchmarks.click_models import CLAX, demo_table, table_of
from benchmarks.speed.peer_environments import PeerMissing, run_peer
from simulators.clicks.compare import compare_click_models
from simulators.clicks.config import ClickFitConfig
from simulators.clicks.scores import rates_prediction, score
from simulators.clicks.worlds import make_world


@pytest.fixture(scope="module")
def log():
    world = make_world("pbm")
    return click_models._Log(
        name="a world", models=("pbm",), train=world.pages(90, seed=1), valid=world.pages(30, seed=2),
        test=world.pages(900, seed=3),
    )  # fmt: skip


def test_better_and_worse_by_the_direction_of_the_figure(log):
    good = score(rates_prediction(log.test, log.test), log.test)
    upside_down = make_world("pbm", centre=3.0).pages(90, seed=1)
    bad = score(rates_prediction(upside_down, log.test), log.test)
    for metric in click_models.METRICS:
        ahead, behind = (click_models._row(log, "pbm", metric, *pair) for pair in ((good, bad), (bad, good)))
        assert (ahead["clearly_better"], ahead["clearly_worse"]) == (True, False)
        assert (behind["clearly_better"], behind["clearly_worse"]) == (False, True)
        same = click_models._row(log, "pbm", metric, good, good)
        assert same["difference_interval"] == [0.0, 0.0]
        assert not same["clearly_better"]
        assert not same["clearly_worse"]
    text = table_of({"versions": {"numpy": "2"}, "differences": [ahead, behind]})
    assert text.count("| better |") == text.count("| worse |") == 1


def test_their_chances_are_read_as_ours(log, tmp_path):
    ours = rates_prediction(log.train, log.test)
    np.savez(tmp_path / "out.npz", given=ours.given_yes, marginal=ours.marginal_yes)
    theirs = click_models._their_prediction(tmp_path / "out.npz", log.test)
    np.testing.assert_allclose(theirs.given_no, ours.given_no, atol=1e-12)
    np.testing.assert_allclose(theirs.log_likelihood, ours.log_likelihood, atol=1e-10)


def test_without_the_package_it_says_so(tmp_path: Path):
    (tmp_path / "jobs.json").write_text('[{"data": "x.npz", "model": "pbm", "out": "y.npz"}]')
    with pytest.raises(PeerMissing, match="No module named 'clax'"):  # this interpreter has none
        run_peer(CLAX, Path(sys.executable), str(tmp_path / "jobs.json"))


def test_the_table_of_a_comparison(log):
    several = log.train.click.sum(axis=1).max() > 1
    assert several  # so that the multinomial choice is refused
    config = ClickFitConfig(strengths=(3.0,))
    found = compare_click_models(log.train, log.test, config, models=("pbm", "mnl"), n_bootstrap=50)
    lines = demo_table(found.to_json()).splitlines()
    assert lines[0].startswith(
        "Attractiveness from tables; 90 training pages, judged on 900 held-out ones; 95% "
    )
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[4:7]]
    assert [row[0] for row in cells] == [row.name for row in found.rows]
    assert cells[0][1] == f"{found.best.scores.log_likelihood.value:.4f}"
    assert cells[0][2:4] == ["100%", ""] if found.best.name == "pbm" else ["", ""]
    assert cells[1][3].startswith(f"{found.rows[1].behind.value:.4f} (")
    assert cells[2][-1].startswith("refused: ")
    assert lines[-1].startswith("Best: ")
