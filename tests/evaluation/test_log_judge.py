"""The fluent layer: all estimators that fit a log, differences, which estimator is chosen, and bad input."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.base import Draw, Policy
from agents.baselines import PopularityPolicy, RandomPolicy, RelevancePolicy
from behavior.catalog import Catalog
from behavior.errors import InputError
from behavior.steps import LoggedSteps
from envs.observation import Observation
from envs.recorder import SessionRecorder
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.estimators import Estimate, iips, ratio_estimate
from evaluation.estimators.registry import EstimatorEntry, entry_of
from evaluation.evidence import Evidence
from evaluation.log_judge import LogJudge
from evaluation.online import policy_seed

Pages = Callable[..., tuple[LoggedSteps, Observation]]
TASK = TaskConfig(slate_size=3, n_candidates=8, max_steps=4)
WORLD = toy_world(n_items=60, n_queries=6, n_candidates=8, seed=0)
BEHAVIOUR = RelevancePolicy(temperature=2.0)
CATALOG = Catalog.from_frame(pd.DataFrame({"item_id": [str(i) for i in range(60)]}))


@pytest.fixture(scope="module")
def judge(first_pages: Pages) -> LogJudge:
    steps, observation = first_pages(WORLD, TASK, BEHAVIOUR, 3000, seed=1, draw_seed=policy_seed(1))
    return LogJudge.of(steps, observation)


def doubled(evidence: Evidence) -> Estimate:
    """An estimator of one's own: twice the log's mean, whatever the policy."""
    total = 2 * evidence.total[:, None]
    return ratio_estimate(
        "DOUBLED", weights=np.ones_like(total), numerator=total, denominator=np.ones_like(total)
    )


def test_all_estimators_that_fit_are_used(judge: LogJudge) -> None:
    found = judge.with_policies({"same": BEHAVIOUR, "random": RandomPolicy()}).judge(progress=False)
    assert {"iips", "sniips", "rips", "snrips", "sips", "snsips"} <= set(found["same"].figures)
    assert not {"ips", "snips"} & set(found["same"].figures), "these are for single impressions"
    total = (judge.steps.click + 5.0 * judge.steps.purchase).sum(axis=1)
    for name, figure in found["same"].figures.items():
        if entry_of(name).needs in ("item", "cascade", "slate") and not entry_of(name).reward_model:
            assert figure.value == pytest.approx(total.mean(), abs=1e-9), name
            assert figure.believed
            assert figure.lift.value == pytest.approx(0, abs=1e-9)
    assert found.logged.value == pytest.approx(total.mean())
    assert found.chosen == "sniips"
    assert found.ranking() == found.believed()


def test_differences_are_paired_over_users(judge: LogJudge) -> None:
    found = judge.with_policies({"same": BEHAVIOUR, "random": RandomPolicy()}).judge(progress=False)
    gap = found.difference("same", "random")
    a, b = (found[name].figures["sniips"] for name in ("same", "random"))
    assert gap.value == pytest.approx(a.value - b.value)
    apart = float(np.hypot(a.interval.standard_error, b.interval.standard_error))
    assert gap.standard_error < apart, "errors on the same rows go together"
    assert gap.n_clusters == 3000
    with pytest.raises(InputError, match="no policy named 'nobody'"):
        found.difference("same", "nobody")


def test_sessions_of_one_user_are_one_unit(judge: LogJudge) -> None:
    same = dataclasses.replace(judge, steps=dataclasses.replace(judge.steps, user=judge.steps.user // 100))
    found = same.with_policies({"random": RandomPolicy()}).judge(progress=False)
    assert found.n_users == 30
    figure = found["random"].figures["sniips"]
    assert figure.interval.n_clusters == 30
    assert not figure.believed, "thirty users are too few"
    assert "effective number of users" in figure.reason


def test_what_cannot_be_believed_is_never_first(judge: LogJudge) -> None:
    """A policy of which the log shows next to nothing has an estimate of some height, and stands last."""
    sharp = PopularityPolicy(WORLD.features)
    found = judge.with_policies({"sharp": sharp, "random": RandomPolicy()}).judge(progress=False)
    doubted = found["sharp"].figures["snsips"]
    assert not doubted.believed
    assert found.ranking("snsips")[-1] == "sharp"
    assert "sharp" not in found.believed("snsips")
    doubted_first = {name: found[name].figures["snsips"].value for name in ("sharp", "random")}
    assert found.ranking("snsips") == ("random", "sharp"), doubted_first


def test_an_estimator_of_ones_own(judge: LogJudge) -> None:
    mine = EstimatorEntry(name="mine", call=doubled, needs="any", assumes="nothing", normalised=True)
    found = (
        judge.with_policies({"random": RandomPolicy()}).with_estimators(mine, "iips").judge(progress=False)
    )
    figures = found["random"].figures
    assert set(figures) == {"mine", "iips"}
    assert figures["mine"].value == pytest.approx(2 * found.logged.value)
    plain = iips(*_arrays(judge))
    assert figures["iips"].value == pytest.approx(plain.value, rel=1e-8), "marginals are exact to 1e-9"
    named = judge.with_policies({"random": RandomPolicy()}).with_estimators(f"{__name__}:doubled")
    assert named.judge(progress=False)["random"].figures[f"{__name__}:doubled"].value == figures["mine"].value


def _arrays(judge: LogJudge) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n_candidates = (judge.observation.candidates >= 0).sum(axis=1)[:, None]
    uniform = np.broadcast_to(1.0 / n_candidates, judge.steps.propensity.shape)
    return judge.steps.click + 5.0 * judge.steps.purchase, judge.steps.propensity, uniform


def test_influence_between_items_moves_the_choice(first_pages: Pages) -> None:
    """Where a click ends the page, the item-wise figure is refuted by the log itself, for all policies."""
    steps, observation = first_pages(WORLD, TASK, BEHAVIOUR, 6000, seed=2, draw_seed=policy_seed(2))
    rng = np.random.default_rng(0)
    appeal = np.linspace(0.02, 0.98, 60)[steps.item % 60]
    click = (rng.random(steps.item.shape) < appeal).astype(np.uint8)
    alone = np.cumsum(click, axis=1) - click == 0  # nothing above was clicked
    steps = dataclasses.replace(steps, click=click * alone, purchase=np.zeros_like(click))
    cheap = _ByRow(1.0)
    found = LogJudge.of(steps, observation).with_policies({"by row": cheap}).judge(progress=False)
    assert found.chosen in ("snrips", "snsips")
    assert any("influence each other" in note for note in found.notes)


class _ByRow(RelevancePolicy):
    """Prefers items of high row numbers."""

    name = "by row"

    def __init__(self, weight: float) -> None:
        super().__init__(temperature=1.0)
        self._weight = weight

    def scores(self, observation: Observation) -> np.ndarray:
        return self._weight * observation.candidates.astype(np.float64) / 30


class _Silent(Policy):
    name = "silent"

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: object = None
    ) -> np.ndarray:
        return np.tile(np.arange(slate_size), (observation.candidates.shape[0], 1))


def test_a_policy_without_propensities_has_no_figures(judge: LogJudge) -> None:
    found = judge.with_policies({"silent": _Silent()}).judge(progress=False)
    assert not found["silent"].figures
    assert "cannot state" in found["silent"].reason
    assert found.chosen == ""
    assert found.select() is None


def test_a_file_is_enough(tmp_path: Path) -> None:
    log = SessionRecorder(WORLD, TASK).record(BEHAVIOUR, n_sessions=80, seed=3, progress=False).log()
    log.write(tmp_path / "log.csv")
    from_file = LogJudge.read(tmp_path / "log.csv")
    found = from_file.with_policies({"random": RandomPolicy()}).judge(progress=False)
    again = LogJudge.read(log).with_policies({"random": RandomPolicy()}).judge(progress=False)
    assert found["random"].figures["sniips"].value == again["random"].figures["sniips"].value
    assert found.n_pages == from_file.steps.n_steps


def test_shuffled_rows_give_the_same_figure(judge: LogJudge) -> None:
    order = np.random.default_rng(0).permutation(judge.steps.n_steps)
    other = LogJudge.of(judge.steps.take(order), judge.observation.take(order))
    one, two = (
        made.with_policies({"random": RandomPolicy()}).judge(progress=False)["random"].figures["snrips"]
        for made in (judge, other)
    )
    assert two.value == pytest.approx(one.value, abs=1e-12)
    assert two.interval.low == pytest.approx(one.interval.low, abs=1e-9)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: {"propensity": np.full_like(s.propensity, np.nan)}, "0 of 3000 logged pages state"),
        (
            lambda s: {"propensity": np.where(s.step[:, None] >= 0, 0.0, s.propensity)},
            "propensity is 0, expected a probability above 0",
        ),
        (lambda s: {"propensity": s.propensity * 9}, "expected a probability above 0 and at most 1"),
        (lambda s: {"cascade_propensity": s.cascade_propensity[:, ::-1]}, "cascade_propensity rises"),
        (lambda s: {"propensity": s.cascade_propensity / 2}, "at least the cascade_propensity"),
        (lambda s: {"slate_propensity": s.slate_propensity * 2}, "of the last position"),
        (lambda s: {"cascade_propensity": s.cascade_propensity / 2}, "the item's own propensity"),
    ],
)
def test_propensities_that_are_none(
    judge: LogJudge, spoil: Callable[[LoggedSteps], dict[str, Any]], message: str
) -> None:
    bad = dataclasses.replace(judge, steps=dataclasses.replace(judge.steps, **spoil(judge.steps)))
    with pytest.raises(InputError, match=message) as caught:
        bad.with_policies({"random": RandomPolicy()}).judge(progress=False)
    assert caught.value.mend


def test_a_log_without_chance_is_named(judge: LogJudge) -> None:
    ones = np.ones_like(judge.steps.propensity)
    steps = dataclasses.replace(
        judge.steps, propensity=ones, cascade_propensity=ones, slate_propensity=ones[:, 0]
    )
    found = dataclasses.replace(judge, steps=steps).with_policies({"random": RandomPolicy()})
    assert any("without chance" in note for note in found.judge(progress=False).notes)


def test_names_are_taken_once(judge: LogJudge) -> None:
    named = judge.with_policies({"a": RandomPolicy()})
    with pytest.raises(InputError, match="two policies are called 'a'"):
        named.with_policies({"a": RandomPolicy()})
    with pytest.raises(InputError, match="no policy to judge"):
        judge.judge()
    with pytest.raises(InputError, match="did you mean 'snrips'"):
        judge.with_estimators("snrps")
    with pytest.raises(InputError, match="single impressions"):
        named.with_estimators("snips").judge(progress=False)


def test_fitted_values_of_sessions_are_made_where_tables_are_known() -> None:
    log = SessionRecorder(WORLD, TASK).record(BEHAVIOUR, n_sessions=150, seed=3, progress=False).log()
    judge = LogJudge.read(log, catalog=CATALOG, queries=WORLD.queries).with_estimators("fqe")
    with pytest.raises(InputError, match="no tables of items"):
        judge.with_policies({"random": RandomPolicy()}).judge(progress=False)
    found = judge.with_policies({"random": RandomPolicy()}, shop=(WORLD.features, TASK)).judge(progress=False)
    figure = found["random"].figures["fqe"]
    sessions = (judge.steps.click + 5.0 * judge.steps.purchase).sum() / 150
    assert figure.per == "session"
    assert figure.diagnostics.trust == "doubtful"  # whatever its weights: nothing corrects the fit
    assert figure.interval.n_clusters == 150
    assert figure.value == pytest.approx(sessions, rel=0.5), (
        "of the order of what the log's own sessions are worth"
    )
    assert figure.lift.value == pytest.approx(figure.value - sessions)
