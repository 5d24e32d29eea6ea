"""Judging an opened run, and the command's refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agents.baselines import PopularityPolicy, RandomPolicy, RelevancePolicy
from agents.oracles import MyopicOracle
from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import CandidateTable
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.__main__ import main
from evaluation.online import policy_seed
from evaluation.run_artifacts import JudgeOptions, RunArtifacts, judge_run

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=4)


@pytest.fixture(scope="module")
def run(first_pages: Callable[..., tuple[LoggedSteps, Observation]]) -> RunArtifacts:
    true, fitted = (toy_world(n_items=80, n_queries=6, n_candidates=12, seed=seed) for seed in (0, 1))
    fitted = dataclasses.replace(true, simulator=fitted.simulator)
    behavior = RelevancePolicy(temperature=1.0)
    steps, observation = first_pages(true, TASK, behavior, 400, seed=1, draw_seed=policy_seed(1))
    backwards = CandidateTable(
        items=true.candidates.items[:, ::-1].copy(), scores=true.candidates.scores[:, ::-1].copy()
    )
    return RunArtifacts(
        world_fitted=fitted,
        world_true=true,
        task=TASK,
        policies={
            "random": RandomPolicy(),
            "popularity": PopularityPolicy(true.features),
            "behavior": behavior,
            "ppo": RelevancePolicy(),
        },
        steps_test=steps,
        observation_test=observation,
        oracles_true={"myopic": MyopicOracle(true.simulator, TASK.purchase_weight)},
        trained="ppo",
        own_candidates={"behavior": backwards},
        relevance=np.ones((6, 80), np.float32),
    )


def test_a_run_is_judged(run: RunArtifacts) -> None:
    table = judge_run(run, JudgeOptions(users=60, quiet=True))
    assert [row.policy for row in table.rows] == ["random", "popularity", "behavior", "ppo", "myopic"]
    assert [row.kind for row in table.rows] == ["baseline", "baseline", "behaviour", "trained", "oracle"]
    assert table.world == "the true store"
    assert table.row("ppo").fitted_score is not None
    assert table.row("myopic").fitted_score is None, "it looks into the true users alone"
    assert table.row("behavior").off_policy is not None
    assert run.steps_test is not None
    reward = run.steps_test.click + 5.0 * run.steps_test.purchase
    assert table.row("behavior").off_policy.value == pytest.approx(reward.sum(axis=1).mean())
    assert table.row("ppo").ndcg == pytest.approx(1)
    assert table.row("random").share_of_gap is None, "there is no planning oracle to measure against"


def test_without_a_true_store_the_fitted_simulator_judges(run: RunArtifacts) -> None:
    bare = dataclasses.replace(
        run, world_true=None, steps_test=None, observation_test=None, oracles_true={}, relevance=None
    )
    table = judge_run(bare, JudgeOptions(users=20, policies=("random", "ppo"), quiet=True))
    assert table.world == "the fitted simulator"
    assert [row.policy for row in table.rows] == ["random", "ppo"]
    assert table.row("ppo").off_policy is None
    assert table.row("ppo").fitted_score is None


def test_unknown_policy(run: RunArtifacts) -> None:
    with pytest.raises(InputError, match="no policy named sarsa") as caught:
        judge_run(run, JudgeOptions(policies=("sarsa",), quiet=True))
    assert "popularity" in str(caught.value)


def test_the_command_refuses_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(tmp_path)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: this is not the folder of a run")
    assert str(tmp_path) in printed


def test_the_command_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("")
    (tmp_path / "table.csv").write_text("mine")
    assert main(["--run", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert main(["--run", str(tmp_path), "--users", "1"]) == 2
    assert (tmp_path / "table.csv").read_text() == "mine"
