"""Judging an opened run, and the command's refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from agents.base import Draw
from agents.baselines import PopularityPolicy, RandomPolicy, RelevancePolicy
from agents.oracles import MyopicOracle
from behavior.errors import InputError
from behavior.steps import LoggedSteps, SessionEnd
from encoders.features import CandidateTable
from envs.core import SlateCore
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.__main__ import main
from evaluation.online import policy_seed
from evaluation.run_artifacts import JudgeOptions, RunArtifacts, judge_run

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=4)


@pytest.fixture(scope="module")
def run() -> RunArtifacts:
    true, fitted = (toy_world(n_items=80, n_queries=6, n_candidates=12, seed=seed) for seed in (0, 1))
    fitted = dataclasses.replace(true, simulator=fitted.simulator)
    behavior = RelevancePolicy(temperature=1.0)
    n = 400
    core = SlateCore(true, TASK, n_users=n, seed=1)
    observation = core.reset()
    query = core.state.query.copy()
    draw = Draw(seed=policy_seed(1), user=core.state.user.copy(), step=core.state.step.copy())
    page = core.step(behavior.rank(observation, draw, slate_size=4))
    propensity = behavior.propensity(observation, page.positions)
    steps = LoggedSteps(
        session=np.arange(n),
        user=np.arange(n),
        step=np.zeros(n, np.int32),
        query=query,
        timestamp=np.arange(n),
        item=page.slates,
        click=page.feedback.click,
        purchase=page.feedback.purchase,
        candidates=observation.candidates,
        propensity=propensity.item,
        cascade_propensity=propensity.cascade,
        slate_propensity=propensity.slate,
        session_end=np.full(n, SessionEnd.UNKNOWN, np.int8),
        context=np.zeros((n, 0), np.float32),
        context_names=(),
        queries=true.queries,
        single_impressions=False,
    )
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
