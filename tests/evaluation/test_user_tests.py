"""Rehearsed A/B tests and interleaving: laws of the pages, credit by hand, power and false alarms as planned."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from agents.baselines import RandomPolicy, RelevancePolicy
from agents.simple import ReversedPolicy
from behavior.errors import InputError
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.__main__ import main
from evaluation.ab_simulation import rehearse_ab_test
from evaluation.ab_test import ABDesign, plan_ab_test
from evaluation.interleaving import probabilistic, team_draft
from evaluation.interleaving_run import compare_by_interleaving, interleave
from evaluation.run_artifacts import RunArtifacts
from evaluation.user_test_commands import (
    ABSimulateArguments,
    InterleaveArguments,
    run_interleave,
    run_simulate,
)

WORLD = toy_world(n_items=60, n_queries=6, n_candidates=12, seed=0)
TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=3)
FIRST = np.array([[0, 1, 2]])
SECOND = np.array([[2, 1, 0]])


def test_team_draft_by_hand() -> None:
    """The first opens: it picks 0, the second 2; then nobody has anything left but 1, which the round's coin gives."""
    opens = team_draft(FIRST, SECOND, np.array([[0.1, 0.5, 0.1]]))
    assert opens.actions.tolist() == [[0, 2, 1]]
    assert opens.credit.tolist() == [[1, 0, 1]]
    waits = team_draft(FIRST, SECOND, np.array([[0.9, 0.5, 0.1]]))
    assert waits.actions.tolist() == [[2, 0, 1]]
    assert waits.credit.tolist() == [[0, 1, 1]]
    assert opens.preference(np.array([[1.0, 0.0, 2.0]])).tolist() == [3.0]
    assert waits.preference(np.array([[1.0, 0.0, 2.0]])).tolist() == [1.0]


def test_equal_orders_share_fairly() -> None:
    """The page is the common order, and no policy is preferred on average: every team is as probable as its mirror."""
    rng = np.random.default_rng(0)
    order = np.tile(np.arange(5), (20_000, 1))
    page = team_draft(order, order, rng.random((20_000, 5)))
    assert (page.actions == order).all()
    assert page.credit.mean(axis=0) == pytest.approx(np.full(5, 0.5), abs=0.02)
    soft = probabilistic(order, order, rng.random((20_000, 10)))
    assert soft.credit == pytest.approx(np.full((20_000, 5), 0.5)), (
        "the marginalised credit knows no coin at all"
    )


@pytest.mark.parametrize("share", [team_draft, probabilistic])
def test_pages_are_pages(share: object) -> None:
    rng = np.random.default_rng(1)
    orders = [np.argsort(rng.random((500, 9)), axis=1)[:, :4] for _ in range(2)]
    wide = 4 if share is team_draft else 8
    page = share(*orders, rng.random((500, wide)))  # type: ignore[operator]
    assert all(len(set(row)) == 4 for row in page.actions.tolist()), "no item twice"
    either = [set(a) | set(b) for a, b in zip(*(o.tolist() for o in orders), strict=True)]
    assert all(set(row) <= both for row, both in zip(page.actions.tolist(), either, strict=True))
    assert ((page.credit >= 0) & (page.credit <= 1)).all()


def test_probabilistic_pages_have_the_probabilities_of_the_paper() -> None:
    """Against enumeration of coins and items, two positions of two orders of two."""
    n, tau = 200_000, 3.0
    first, second = np.tile([0, 1], (n, 1)), np.tile([1, 0], (n, 1))
    page = probabilistic(first, second, np.random.default_rng(2).random((n, 4)), tau=tau)
    falls = np.array([1.0, 2.0**-tau])
    share = falls / falls.sum()
    zero_first = 0.5 * share[0] + 0.5 * share[1]
    assert (page.actions[:, 0] == 0).mean() == pytest.approx(zero_first, abs=0.005)
    credit = {0: share[0], 1: share[1]}  # P(first | item): share of its own chance in both
    for item, wanted in credit.items():
        assert page.credit[page.actions[:, 0] == item, 0] == pytest.approx(wanted)
    assert page.credit[:, 1] == pytest.approx(0.5), "what is left has chance 1 under both"


def test_shapes_are_checked() -> None:
    with pytest.raises(InputError, match="orders"):
        team_draft(FIRST, SECOND[:, :2], np.zeros((1, 3)))
    with pytest.raises(InputError, match="uniform numbers"):
        probabilistic(FIRST, SECOND, np.zeros((1, 3)))


def test_users_prefer_the_better_policy() -> None:
    good, bad = RelevancePolicy(), ReversedPolicy(RelevancePolicy())
    for method in ("team-draft", "probabilistic"):
        found = compare_by_interleaving(
            good,
            bad,
            WORLD,
            TASK,
            names=("good", "bad"),
            method=method,
            n_users=400,
            n_resamples=200,
            progress=False,
        )
        assert found.preference.low > 0
        assert found.agree is True
        assert found.gain.low <= found.gain.value <= found.gain.high
        assert found.users_ab / found.users_interleaving == pytest.approx(found.gain.value)
        assert "good" in " ".join(found.sentences())


def test_a_policy_is_not_preferred_to_itself() -> None:
    same = interleave(RandomPolicy(), RandomPolicy(), WORLD, TASK, n_users=600, seed=1, progress=False)
    assert abs(same.mean()) < 4 * same.std(ddof=1) / np.sqrt(600)
    again = interleave(
        RandomPolicy(), RandomPolicy(), WORLD, TASK, n_users=600, seed=1, batch=64, progress=False
    )
    assert np.array_equal(same, again), "results do not depend on the batch"


def test_power_and_false_alarms_are_those_of_the_plan() -> None:
    rng = np.random.default_rng(3)
    today = rng.poisson(2.0, 4000).astype(float)
    new = today + rng.poisson(0.3, 4000).astype(float)
    effect = float((new - today).mean())
    deviation = float(np.sqrt((today.var(ddof=1) + new.var(ddof=1)) / 2))
    plan = plan_ab_test(ABDesign(mean=float(today.mean()), deviation=deviation, effect=effect, looks=4))
    found = rehearse_ab_test(today, new, plan, rehearsals=400, seed=0)
    slack = 3.5 * np.sqrt(0.25 / 400)
    assert found.truth.value == pytest.approx(effect)
    assert found.sequential.found == pytest.approx(0.8, abs=slack)
    assert found.sequential_aa.found <= 0.05 + 3.5 * np.sqrt(0.05 * 0.95 / 400)
    assert found.always_valid_aa.found <= 0.05 + 3.5 * np.sqrt(0.05 * 0.95 / 400)
    assert found.always_valid.found < found.sequential.found, "looking at will costs power at the same size"
    assert found.sequential.users == pytest.approx(plan.expected, rel=0.06)
    assert found.sequential.estimate > effect, "a test that stops on a high overstates"
    assert found.sequential.wrong < 0.02


def test_rehearsals_need_users() -> None:
    plan = plan_ab_test(ABDesign(mean=1, deviation=1, effect=0.5))
    with pytest.raises(InputError, match="rehearse"):
        rehearse_ab_test(np.zeros(3), np.zeros(3), plan)


@pytest.fixture
def held() -> RunArtifacts:
    return RunArtifacts(
        world_fitted=WORLD,
        world_true=None,
        task=TASK,
        policies={"relevance": RelevancePolicy(), "random": RandomPolicy()},
        steps_test=None,
        observation_test=None,
    )


def test_the_commands_write_what_they_print(
    held: RunArtifacts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.json"
    words = [
        "ab-plan",
        "--mean",
        "3",
        "--deviation",
        "4",
        "--lift",
        "0.05",
        "--looks",
        "3",
        "--users-per-day",
        "900",
    ]
    assert main([*words, "--json", str(path)]) == 0
    plan = json.loads(path.read_text())
    assert plan["users"] > plan["users_fixed"]
    assert f"{plan['users']:,}" in capsys.readouterr().out.replace("\n", " ")
    assert main([*words, "--json", str(path)]) == 2, "nothing is overwritten"
    both = InterleaveArguments(run=tmp_path, first="relevance", second="random", users=60, quiet=True)
    run_interleave(dataclasses.replace(both, json=tmp_path / "i.json"), held)
    kinds = [one["method"] for one in json.loads((tmp_path / "i.json").read_text())["interleaving"]]
    assert kinds == ["team-draft", "probabilistic"]
    rehearsal = ABSimulateArguments(
        run=tmp_path, today="random", new="relevance", users=100, rehearsals=20, effect=0.5, quiet=True
    )
    run_simulate(dataclasses.replace(rehearsal, json=tmp_path / "ab.json"), held)
    assert json.loads((tmp_path / "ab.json").read_text())["rehearsals"] == 20
    for wrong in (
        dataclasses.replace(rehearsal, new="nobody"),
        dataclasses.replace(rehearsal, world="store"),
    ):
        with pytest.raises(InputError):
            run_simulate(wrong, held)


@pytest.mark.parametrize(
    "words",
    [
        ["ab-plan", "--mean", "3", "--deviation", "4"],
        ["ab-plan", "--mean", "3", "--deviation", "0", "--effect", "1"],
        ["ab-simulate", "--run", "nowhere", "--today", "a", "--new", "b"],
        ["interleave", "--run", "nowhere", "--first", "a", "--second", "b"],
    ],
)
def test_mistakes_are_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert "mend:" in printed


def test_help_texts(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("ab-plan", "ab-simulate", "interleave"):
        with pytest.raises(SystemExit) as left:
            main([command, "--help"])
        assert left.value.code == 0
        assert f"python -m evaluation {command}" in capsys.readouterr().out


def test_all_small_drafts_follow_both_orders() -> None:
    """By enumeration of all pairs of orders of three: whoever opens, position 1 is the top of one of the two."""
    for a, b in itertools.product(itertools.permutations(range(3)), repeat=2):
        for coin in (0.1, 0.9):
            page = team_draft(np.array([a]), np.array([b]), np.full((1, 3), coin))
            assert page.actions[0, 0] == (a[0] if coin < 0.5 else b[0])
            assert page.credit[0, 0] == (coin < 0.5)
            assert page.credit[0, 1] == (coin >= 0.5), "the other one picks next"
