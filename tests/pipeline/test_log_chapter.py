"""What a run keeps of the judgement by its log: files, the table of the report, and why there is none."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from agents.baselines import RandomPolicy, RelevancePolicy
from envs.recorder import SessionRecorder
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.log_judge import LogJudge
from evaluation.run_artifacts import JudgeOptions, RunArtifacts
from pipeline.log_chapter import keep_chapter, log_chapter, report_table

WORLD = toy_world(n_items=40, n_queries=4, n_candidates=6, seed=0)
TASK = TaskConfig(slate_size=2, n_candidates=6, max_steps=3)
QUIET = JudgeOptions(quiet=True)


@pytest.fixture(scope="module")
def held() -> RunArtifacts:
    log = (
        SessionRecorder(WORLD, TASK)
        .record(RelevancePolicy(temperature=2.0), n_sessions=150, progress=False)
        .log()
    )
    judge = LogJudge.read(log)
    return RunArtifacts(
        world_fitted=WORLD,
        world_true=None,
        task=TASK,
        policies={"random": RandomPolicy(), "random, again": RandomPolicy()},
        steps_test=judge.steps,
        observation_test=judge.observation,
    )


def test_the_chapter_is_kept_and_shown(held: RunArtifacts, tmp_path: Path) -> None:
    chapter = log_chapter(held, QUIET)
    assert not isinstance(chapter, str)
    names = {path.name for path in keep_chapter(chapter, tmp_path)}
    assert names == {"off_policy.json", "off_policy.csv", "off_policy.html"}
    kept = json.loads((tmp_path / "off_policy.json").read_text())
    assert set(kept["ranking"]) == {"random", "random, again"}
    table = report_table(chapter)
    assert table.columns[1] == "policy"
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert chapter.verdict.headline in table.note
    warned = dataclasses.replace(
        chapter,
        verdict=dataclasses.replace(
            chapter.verdict,
            warnings=(
                "a: NOT TO BELIEVE: 3. It is above that of b (1) and is not ranked.",
                "Items influence.",
            ),
        ),
    )
    assert "WARNING: a: NOT TO BELIEVE: 3. It is above" in report_table(warned).note
    assert "WARNING: Items influence." in report_table(warned).note
    keep_chapter(chapter, tmp_path)  # a run that goes on writes it again


def test_without_a_log_there_is_a_reason(held: RunArtifacts) -> None:
    assert "no propensities" in str(log_chapter(dataclasses.replace(held, steps_test=None), QUIET))
    assert held.steps_test is not None
    wrong = dataclasses.replace(held.steps_test, slate_propensity=np.ones(held.steps_test.n_steps))
    assert "slate_propensity" in str(log_chapter(dataclasses.replace(held, steps_test=wrong), QUIET))
