"""What a judgement by a log prints, keeps and concludes: nothing is cut off, nothing is claimed that was not tested."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from agents.baselines import RandomPolicy, RelevancePolicy
from behavior.steps import LoggedSteps
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.diagnostics import TrustLimits, diagnose
from evaluation.estimators import Estimate, dm, slate_dm
from evaluation.estimators.streaming import Stream
from evaluation.formatting import a, signed
from evaluation.intervals import Interval
from evaluation.log_judge import LogJudge
from evaluation.log_judgement import LogJudgement
from evaluation.log_table import judgement_columns, judgement_to_json, print_judgement
from evaluation.log_verdict import judge_judgement
from evaluation.online import policy_seed
from evaluation.outcomes import OnlineResult, PolicyOutcome
from evaluation.support import SupportLimits

Pages = Callable[..., tuple[LoggedSteps, Observation]]
TASK = TaskConfig(slate_size=3, n_candidates=8, max_steps=4)
WORLD = toy_world(n_items=60, n_queries=6, n_candidates=8, seed=0)


@pytest.fixture(scope="module")
def judge(first_pages: Pages) -> LogJudge:
    behaviour = RelevancePolicy(temperature=1.0)
    steps, observation = first_pages(WORLD, TASK, behaviour, 2000, seed=1, draw_seed=policy_seed(1))
    return LogJudge.of(steps, observation)


@pytest.fixture(scope="module")
def found(judge: LogJudge) -> LogJudgement:
    policies = {"softer": RelevancePolicy(temperature=1.5), "random": RandomPolicy()}
    return judge.with_policies(policies).judge(progress=False)


def printed(found: LogJudgement, width: int) -> str:
    out = StringIO()
    print_judgement(found, judge_judgement(found), Console(file=out, width=width, no_color=True))
    return out.getvalue()


def served(**scores: list[float]) -> OnlineResult:
    """A simulator in which each policy served the same users, with these scores."""

    def outcome(name: str, score: list[float]) -> PolicyOutcome:
        values, nothing = np.array(score), np.zeros(len(score))
        return PolicyOutcome(
            name=name,
            score=values,
            reward=values,
            clicks=values,
            purchases=nothing,
            revenue=nothing,
            length=nothing,
            left=np.zeros(len(score), np.bool_),
            ndcg=nothing,
            diversity=nothing,
            click_by_position=np.zeros(1),
            purchase_by_position=np.zeros(1),
            coverage=0.0,
            seconds=0.0,
        )

    return OnlineResult(
        outcomes={name: outcome(name, score) for name, score in scores.items()},
        seed=0,
        first_user=0,
        purchase_weight=5.0,
    )


@pytest.mark.parametrize("width", [80, 200])
def test_no_figure_is_cut_however_many_columns_there_are(found: LogJudgement, width: int) -> None:
    many = {f"a simulator of users {n}": served(softer=[1.5, 2.5], random=[1.0, 0.0]) for n in range(8)}
    wide = dataclasses.replace(found, simulated=many)
    text = printed(wide, width)
    assert "…" not in text
    rows = [line for line in text.splitlines() if " softer " in line and "±" in line]
    for heading, cells in judgement_columns(wide):
        assert cells["softer"] in rows[0], heading


def test_no_policy_is_called_worthless_while_one_cannot_be_judged(
    judge: LogJudge,
) -> None:
    alone = judge.with_policies({"softer": RelevancePolicy(temperature=1.5)}).judge(progress=False)
    assert judge_judgement(alone).answer == "no"
    strict = dataclasses.replace(judge, limits=TrustLimits(support=SupportLimits(min_ess=1000)))
    both = strict.with_policies(
        {"softer": RelevancePolicy(temperature=1.5), "sorted": RelevancePolicy()}
    ).judge(progress=False)
    assert both["softer"].figures["sniips"].believed
    assert not both["sorted"].figures["sniips"].supported
    said = judge_judgement(both)
    assert said.answer == "perhaps"
    assert "softer surely earns less a page" in said.headline
    assert "Of sorted it says nothing that can be believed." in said.headline


def test_an_assumption_that_was_not_tested_is_said_to_be_untested(judge: LogJudge) -> None:
    policies = {"softer": RelevancePolicy(temperature=1.5)}
    tested = judge.with_policies(policies).judge(progress=False)
    power = tested["softer"].disagreement.steps[0].power  # type: ignore[union-attr]  # it has support
    assert "does not refute" in tested.why_chosen
    assert f"with a chance of {power:.0%} at most" in tested.why_chosen
    assert ("proves little" in tested.why_chosen) == (power < 0.8)
    alone = judge.with_policies(policies).with_estimators("sniips").judge(progress=False)
    assert "nothing here tests its assumption" in alone.why_chosen
    assert "refute" not in alone.why_chosen
    whole = judge.with_policies(policies).with_estimators("snsips").judge(progress=False)
    assert whole.why_chosen == "it assumes nothing of how users look at a page"


def test_the_test_of_disagreement_is_kept_with_its_power(found: LogJudgement) -> None:
    kept = judgement_to_json(found, judge_judgement(found))
    test = found["softer"].disagreement
    assert test is not None
    assert kept["disagreement"]["softer"]["steps"][0]["power"] == pytest.approx(test.steps[0].power)
    row = next(r for r in kept["figures"] if (r["policy"], r["estimator"]) == ("softer", "sniips"))
    assert row["reward_outside_support"] == 0.0, "a softer policy may show all that the log shows"


def test_a_gap_in_the_cascade_propensities_is_told(judge: LogJudge) -> None:
    gap = judge.steps.cascade_propensity.copy()
    gap[5, 1] = np.nan
    part = dataclasses.replace(judge, steps=dataclasses.replace(judge.steps, cascade_propensity=gap))
    found = part.with_policies({"a": RandomPolicy(), "b": RandomPolicy()}).judge(progress=False)
    assert "snrips" not in found["a"].figures
    told = [line for line in judge_judgement(found).warnings if "cascade_propensity" in line]
    assert len(told) == 1, "what concerns all policies is said once"
    assert told[0].startswith("1 of 2000 pages")


def test_pages_shorter_than_they_might_be_are_told(judge: LogJudge) -> None:
    item = judge.steps.item.copy()
    item[:7, 2] = -1
    steps = judge.steps
    short = dataclasses.replace(
        steps,
        item=item,
        click=np.where(item >= 0, steps.click, False),
        purchase=np.where(item >= 0, steps.purchase, False),
        slate_propensity=np.where(item[:, 2] >= 0, steps.slate_propensity, steps.cascade_propensity[:, 1]),
    )
    found = dataclasses.replace(judge, steps=short).with_policies({"a": RandomPolicy()}).judge(progress=False)
    assert any("7 of 2000 pages show fewer items" in line for line in found["a"].warnings)
    # Seven candidates fewer than positions: the same pages are as long as they can be.
    few = judge.observation.candidates.copy()
    kept = np.where(np.isin(few, -1), -1, few)
    for row in range(7):
        others = [c for c in few[row] if c not in item[row]]
        kept[row][np.isin(few[row], others)] = -1
    seen = dataclasses.replace(judge.observation, candidates=kept)
    full = dataclasses.replace(judge, steps=short, observation=seen)
    found = full.with_policies({"a": RandomPolicy()}).judge(progress=False)
    assert not any("show fewer items" in line for line in found["a"].warnings)


def test_an_estimator_that_was_named_has_a_column(judge: LogJudge) -> None:
    asked = judge.with_policies({"random": RandomPolicy()})
    found = asked.with_estimators("sniips", "iips", "slate_dm", "cascade_dr").judge(progress=False)
    headings = " ".join(heading for heading, _ in judgement_columns(found))
    assert "SLATE_DM" in headings
    assert "CASCADE_DR" in headings
    assert "\nIIPS" not in f"\n{headings}", "SNIIPS says the same better"


def test_the_highest_simulated_score_is_not_taken_for_sure(found: LogJudgement) -> None:
    near = served(softer=[3.0, 1.0, 2.0], random=[1.0, 2.0, 2.5])
    said = " ".join(judge_judgement(dataclasses.replace(found, simulated={"pbm": near})).lines)
    assert "softer has the highest score per session: the same; not surely above random." in said
    far = served(softer=[3.0, 3.1, 3.2], random=[1.0, 1.1, 1.21])
    said = " ".join(judge_judgement(dataclasses.replace(found, simulated={"pbm": far})).lines)
    assert "softer has the highest score per session: the same." in said


def test_small_differences_keep_their_digits() -> None:
    gain = Interval(
        value=-0.00017,
        low=-0.00077,
        high=0.00043,
        standard_error=0.0003,
        level=0.95,
        n_clusters=9,
        method="t",
    )
    assert signed(gain) == "-0.00017 (-0.00077 to +0.00043)"
    assert (a("impression"), a("page")) == ("an impression", "a page")


def test_a_model_that_nothing_corrects_is_never_called_sound(judge: LogJudge) -> None:
    found = (
        judge.with_policies({"softer": RelevancePolicy(temperature=1.5)})
        .with_estimators("slate_dm")
        .judge(progress=False)
    )
    figure = found["softer"].figures["slate_dm"]
    assert figure.diagnostics.trust == "doubtful"
    assert "nothing corrects" in figure.reason
    assert found.believed() == ()
    assert judge_judgement(found).answer == "perhaps"


@pytest.mark.parametrize(
    "estimate", [dm(np.arange(90.0)), slate_dm(np.full((90, 2, 4), 0.25), np.ones((90, 2, 4)))]
)
def test_nor_in_the_library_nor_by_streams(estimate: Estimate) -> None:
    assert diagnose(estimate).trust == "doubtful"
    stream, other = Stream(), Stream()
    stream.add(estimate)
    other.merge(stream)
    assert "nothing corrects" in other.estimate().caveat
