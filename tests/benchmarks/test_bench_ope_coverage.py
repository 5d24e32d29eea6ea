"""The coverage study: its logs are the recorder's, its propensities exact, its summary what was counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.plackett_luce import item_position_marginals
from benchmarks.ope_coverage import Study, kept_case
from benchmarks.ope_study.judge import ESTIMATORS
from benchmarks.ope_study.laws import StudyWorld
from benchmarks.ope_study.summary import is_light, summarise, tables
from envs.recorder import SessionRecorder
from evaluation.exact_design import STRUCTURES


def test_the_small_logs_are_those_of_the_recorder() -> None:
    world = StudyWorld("cascade", 3)
    pages = world.recorded(40, first_user=7)
    recorder = SessionRecorder(world.world, world.task)
    recorder.record(
        world.policy("logged"),
        n_sessions=40,
        seed=world.seed,
        policy_seed=world.seed + 1,
        first_user=7,
        progress=False,
    )
    rows = recorder.frames()[0]
    users = rows["user_id"].str.removeprefix("u").astype(int).to_numpy().reshape(-1, 3)[:, 0]
    order = np.lexsort((rows["step"].to_numpy().reshape(-1, 3)[:, 0], users))
    assert np.array_equal(pages.user, users[order])
    assert np.array_equal(pages.slate, rows["item_id"].astype(int).to_numpy().reshape(-1, 3)[order])
    assert np.array_equal(pages.click, rows["click"].to_numpy().reshape(-1, 3)[order])
    propensity = world.propensity("logged", pages)
    assert propensity.item == pytest.approx(rows["propensity"].to_numpy().reshape(-1, 3)[order], rel=1e-8)
    assert propensity.cascade == pytest.approx(
        rows["cascade_propensity"].to_numpy().reshape(-1, 3)[order], rel=1e-8
    )


@pytest.mark.parametrize("structure", STRUCTURES)
def test_weights_average_one_and_answer_the_truth(structure: str) -> None:
    """60,000 pages: mean weights within 5 standard errors of 1, SIPS within 5 of the truth by formula."""
    world = StudyWorld(structure, 3)  # type: ignore[arg-type]
    pages = world.passed(24_000, first_user=0)
    logged, near = world.propensity("logged", pages), world.propensity("near", pages)
    for ratio in (*(near.item / logged.item).T, near.slate / logged.slate):
        assert abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(ratio.size)
    total = pages.click.sum(axis=1) * near.slate / logged.slate
    expected, _ = world.passed_truth(24_000, first_user=10**6)
    error = np.sqrt(4 * total.var() / total.size + 4 * expected["near"].var() / total.size)  # 4 pages a user
    assert abs(total.mean() - expected["near"].mean()) < 5 * error


def test_propensities_of_the_tables_are_the_policies() -> None:
    world = StudyWorld("independent", 10)
    pages = world.passed(20, first_user=3)
    item = world.propensity("far", pages).item
    scores = world.scores["far"][pages.query]
    assert item == pytest.approx(item_position_marginals(scores, pages.slate.astype(np.int64)), rel=1e-8)


def test_a_case_counts_every_log_and_is_kept(tmp_path: Path) -> None:
    study = Study("cascade", 3, 1000, 4, 2000)
    found = kept_case(tmp_path / "cells", study)
    kept = tmp_path / "cells" / study.name
    kept.write_text(kept.read_text().replace("SNRIPS", "kept"))
    again = kept_case(tmp_path / "cells", study)  # read, not run
    assert {row["estimator"] for row in again["rows"]} == {"RIPS", "kept", "SIPS", "SNSIPS"}
    assert again["tests"] == found["tests"]
    names = {name for name, (_, assumed) in ESTIMATORS.items() if assumed != "independent"}
    assert {row["estimator"] for row in found["rows"]} == names
    for row in found["rows"]:
        assert row["n_logs"] == 4
        assert 900 < row["slates_a_log"] < 1100
        assert all(0 <= held <= 4 for held in row["held"].values())
    summary = summarise(found["rows"], found["tests"])
    light = [row for row in found["rows"] if is_light(row)]
    assert summary["light-tailed: least coverage, student"] == min(r["held"]["student"] / 4 for r in light)
    text = tables(
        {
            "rows": found["rows"],
            "tests": found["tests"],
            "summary": summary,
            "settings": {"logs": 4},
            "machine": "a machine",
            "versions": {},
        }
    )
    assert len(text["ope-coverage"].splitlines()) == 2 + len(found["rows"])
    assert len(text["ope-coverage-structure"].splitlines()) == 2 + 2
