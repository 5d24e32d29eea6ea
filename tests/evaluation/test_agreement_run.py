"""The chapter on agreement: against the true store, against the log, where neither can be had; page and command."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agents.baselines import PopularityPolicy, RandomPolicy, RelevancePolicy
from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import CandidateTable
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import TaskConfig, World
from evaluation.__main__ import main
from evaluation.agreement_run import TRUE_STORE, AgreementChapter, judge_agreement
from evaluation.report import render_report
from evaluation.report_data import ReportData
from evaluation.run_artifacts import JudgeOptions, RunArtifacts, judge_from_log, judge_online
from evaluation.simulated_value import simulate_values
from evaluation.table import build_table
from simulators.ensemble import fit_ensemble
from simulators.example import example_candidates, example_features, example_log, example_simulator

TASK = TaskConfig(slate_size=2, n_candidates=4, max_steps=3)
OPTIONS = JudgeOptions(users=120, quiet=True)


@pytest.fixture(scope="module")
def run(first_pages: Callable[..., tuple[LoggedSteps, Observation]]) -> RunArtifacts:
    """Pages so small that the log of a soft policy supports most of the others."""
    true, other = (toy_world(n_items=40, n_queries=4, n_candidates=4, seed=seed) for seed in (0, 1))
    behavior = RelevancePolicy(temperature=3.0)
    steps, observation = first_pages(true, TASK, behavior, 1500, seed=1, draw_seed=77)
    return RunArtifacts(
        world_fitted=dataclasses.replace(true, simulator=other.simulator),
        world_true=true,
        task=TASK,
        policies={
            "random": RandomPolicy(),
            "popularity": PopularityPolicy(true.features),
            "behavior": behavior,
            "ppo": RelevancePolicy(temperature=0.5),
        },
        steps_test=steps,
        observation_test=observation,
        trained="ppo",
        simulator="pbm",
        other_simulators={"cascade": true.simulator},
    )


@pytest.fixture(scope="module")
def chapter(run: RunArtifacts) -> AgreementChapter:
    return judge_agreement(run, OPTIONS)


def test_against_the_store(run: RunArtifacts, chapter: AgreementChapter) -> None:
    found = chapter.agreement
    assert found is not None
    assert found.truth == TRUE_STORE
    assert found.reference == "behavior"
    assert len(found.names) >= 14
    assert {"random", "ppo", "mmr 0.5", "dear first"} <= set(found.names)
    # The values are those of an evaluation of its own on the same users.
    alone = judge_online(run, OPTIONS)
    at = found.names.index("ppo")
    assert found.true[at] == alone.online["ppo"].score.mean()
    assert alone.fitted is not None
    assert found.simulated[at] == alone.fitted["ppo"].score.mean()


def test_what_was_judged_already_is_not_judged_again(run: RunArtifacts, chapter: AgreementChapter) -> None:
    again = judge_agreement(run, OPTIONS, judged=judge_online(run, OPTIONS))
    assert again.to_json() == chapter.to_json()


def test_the_trained_policy_in_the_other_simulators(chapter: AgreementChapter) -> None:
    cross = chapter.cross
    assert cross is not None
    assert cross.worlds == ("pbm", "cascade", TRUE_STORE)
    assert {(cell.policy, cell.world) for cell in cross.gaps} == {("ppo", "cascade"), ("ppo", TRUE_STORE)}
    # The "cascade" here is the true simulator: it says what the true store says.
    assert cross.cell("ppo", "cascade").value == cross.cell("ppo", TRUE_STORE).value


def test_against_the_log(run: RunArtifacts) -> None:
    chapter = judge_agreement(run, OPTIONS, against="log")
    found = chapter.agreement
    assert found is not None
    assert chapter.unit == "page"
    off_policy = judge_from_log(run, OPTIONS)
    assert off_policy["random"].status == "ok"
    at = found.names.index("random")
    assert found.true[at] == off_policy["random"].value
    assert found.true_error[at] == pytest.approx(off_policy["random"].interval.standard_error)  # type: ignore[union-attr]
    assert set(found.names) | {name for name, _ in chapter.unsupported} >= set(run.policies)


def test_where_nothing_can_be_said(run: RunArtifacts) -> None:
    bare = dataclasses.replace(run, world_true=None, steps_test=None, observation_test=None)
    chapter = judge_agreement(bare, OPTIONS)
    assert chapter.agreement is None
    assert "no propensities" in chapter.sentence()
    with pytest.raises(InputError, match="not known"):
        judge_agreement(bare, OPTIONS, against="store")
    # A log in which every page was certain supports no other policy.
    steps = run.steps_test
    assert steps is not None
    certain = dataclasses.replace(steps, propensity=np.full_like(steps.propensity, 1.0))
    few = dataclasses.replace(run, world_true=None, steps_test=certain.take(np.arange(20)))
    few = dataclasses.replace(few, observation_test=run.observation_test.take(np.arange(20)))  # type: ignore[union-attr]
    chapter = judge_agreement(few, OPTIONS)
    assert chapter.agreement is None
    assert "supports an estimate of 0 of" in chapter.reason


def test_an_ensembles_intervals_are_those_of_its_members() -> None:
    features = example_features()
    log, held = example_log(n_sessions=150), example_log(n_sessions=40, first_user=150)
    ensemble = fit_ensemble(("pbm",), log, held, features, n_members=2, progress=False)
    items = example_candidates(features)
    world = World(
        simulator=ensemble,
        candidates=CandidateTable(items=items, scores=np.full(items.shape, 0.1, np.float32)),
        features=features,
    )
    task = TaskConfig(slate_size=4, n_candidates=items.shape[1], max_steps=2)
    run = RunArtifacts(
        world_fitted=world,
        world_true=dataclasses.replace(world, simulator=example_simulator("pbm", features=features)),
        task=task,
        policies={"random": RandomPolicy(), "popularity": PopularityPolicy(features)},
        steps_test=None,
        observation_test=None,
        simulator="ensemble",
    )
    found = judge_agreement(run, JudgeOptions(users=40, quiet=True)).agreement
    assert found is not None
    values = simulate_values(
        {"random": RandomPolicy()}, world, task, n_users=40, first_user=run.first_user, progress=False
    )
    interval = values["random"].interval
    at = found.names.index("random")
    assert (found.simulated_low[at], found.simulated_high[at]) == (interval.low, interval.high)
    assert np.isfinite(found.coverage.value)
    assert not any("finitely many users only" in note for note in found.notes)


def test_the_page_shows_it(run: RunArtifacts, chapter: AgreementChapter) -> None:
    table = build_table(judge_online(run, OPTIONS).online, world=TRUE_STORE, trained="ppo")
    text = render_report(ReportData(title="x", created="today", command="c", table=table, agreement=chapter))
    assert 'id="agreement"' in text
    assert "rank correlation (Spearman)" in text
    assert "Exploitation gap" in text
    assert "Simulated against true value of" in text  # the picture
    nothing = dataclasses.replace(chapter, agreement=None, reason="the log says nothing", cross=None)
    bare = render_report(ReportData(title="x", created="today", command="c", table=table, agreement=nothing))
    assert "the log says nothing" in bare
    assert "Simulated against true value of" not in bare


def test_as_data(chapter: AgreementChapter) -> None:
    data = json.loads(json.dumps(chapter.to_json(), allow_nan=False))
    assert data["simulator"] == "pbm"
    assert data["agreement"]["figures"]["spearman"]["value"] is not None
    assert len(data["cross"]["worlds"]) == 3


def test_the_command_refuses_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agreement", "--run", str(tmp_path)]) == 2
    assert "no config.yaml" in capsys.readouterr().err
