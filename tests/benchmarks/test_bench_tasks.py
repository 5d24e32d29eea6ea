from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents.planning import Tuning
from agents.search import SearchConfig
from behavior.errors import InputError
from benchmarks.common import Case
from benchmarks.tasks import Effort, IntervalCase, TasksOptions, judge_task, measure, short_name
from envs.tasks import SUITE
from envs.toy import toy_world
from envs.world import TaskConfig

LITTLE = Effort(
    users=48,
    search=SearchConfig(rounds=1, population=4, elite=2, users=8, final_users=16, progress=False),
    tuning=Tuning(rounds=2, population=6, elite=2, users=24),
    retuning=Tuning(rounds=0),
)


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    world = toy_world(n_items=200, n_queries=8, n_candidates=20)
    task = TaskConfig(slate_size=4, n_candidates=20, max_steps=6)
    return {one.case: one for one in judge_task("Toy", world, task, LITTLE, (0, 1))}


def test_shares_follow_from_the_scores(cases: dict[str, Case]) -> None:
    def value(name: str) -> float:
        return cases[f"Toy: {name}"].value

    gap = value("planning") - value("random")
    for who in ("popularity", "relevance", "mmr", "constant slate", "score direction", "longest session"):
        assert value(f"{who}, share of gap") == pytest.approx((value(who) - value("random")) / gap)
    assert value("planning gap") == pytest.approx(value("planning") / value("myopic") - 1)
    assert value("personalisation gap") == pytest.approx(1 - value("score direction, share of gap"))
    assert value("out of reach by hidden state") == pytest.approx((value("planning") - value("belief")) / gap)


def test_every_figure_lies_in_its_interval(cases: dict[str, Case]) -> None:
    measured = [one for one in cases.values() if isinstance(one, IntervalCase)]
    assert len(measured) == len(cases) - 1  # all but the seconds
    assert all(one.low <= one.value <= one.high and np.isfinite(one.value) for one in measured)


def test_names_and_ids_are_the_same_task() -> None:
    assert short_name("SlateRank-Boredom-v0") == short_name("Boredom") == "Boredom"
    assert len({short_name(name) for name in SUITE}) == len(SUITE)
    with pytest.raises(InputError, match="no task named 'Chess'"):
        measure(TasksOptions(task=("Chess",)))


def test_what_is_finished_is_read(tmp_path: Path) -> None:
    kept = [{"case": "Boredom: random", "value": 1.5, "unit": "x", "reference": None, "ratio": None}]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "Boredom.json").write_text(json.dumps(kept))
    found = measure(TasksOptions(task=("Boredom",), folder=tmp_path))
    assert found["benchmark"] == "tasks"
    assert found["cases"] == kept
