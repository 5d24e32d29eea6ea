"""Values in an ensemble: the two-way table of members and users, its intervals, and their coverage of the truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import stdtrit

from agents.baselines import PopularityPolicy, RandomPolicy, RelevancePolicy
from behavior.errors import InputError
from encoders.features import CandidateTable
from envs.world import TaskConfig, World
from evaluation.online import evaluate_policy
from evaluation.simulated_value import SimulatedValues, simulate_values, value_in_members
from simulators.base import UserSimulator
from simulators.ensemble import EnsembleSimulator, fit_ensemble
from simulators.example import example_candidates, example_features, example_log, example_simulator

FEATURES = example_features()
TASK = TaskConfig(slate_size=5, n_candidates=40, max_steps=8)


def world_of(simulator: UserSimulator) -> World:
    items = example_candidates(FEATURES)
    scores = FEATURES.relevance.click_probability(np.arange(len(items), dtype=np.int32), items)
    return World(
        simulator=simulator,
        candidates=CandidateTable(items=items, scores=scores),
        features=FEATURES,
    )


def ensemble_of(seed: int, n_sessions: int, members: int) -> EnsembleSimulator:
    log = example_log(n_sessions=n_sessions, seed=seed)
    held = example_log(n_sessions=40, seed=seed, first_user=n_sessions)
    return fit_ensemble(("pbm",), log, held, FEATURES, n_members=members, seed=seed, progress=False)


def test_a_table_worked_by_hand() -> None:
    # Member means 2, 4, 6; user means 3, 5; each cell their sum minus 4, so that nothing is left over.
    scores = np.array([[1.0, 3.0], [3.0, 5.0], [5.0, 7.0]])
    found = value_in_members(scores)
    assert found.interval.value == 4.0
    assert found.members.tolist() == [2.0, 4.0, 6.0]
    assert found.between == pytest.approx(2.0)  # variance (4 + 0 + 4) / 2
    assert found.noise == pytest.approx(1.0)  # variance 2 of the user means, over 2
    assert found.interval.standard_error == pytest.approx(np.sqrt(4 / 3 * 4 + 1))
    freedom = (16 / 3 + 1) ** 2 / ((16 / 3) ** 2 / 2 + 1)
    reach = stdtrit(freedom, 0.975) * np.sqrt(16 / 3 + 1)
    assert found.interval.high - found.interval.value == pytest.approx(reach)


def test_what_users_outside_all_families_add_is_a_share_of_the_value() -> None:
    scores = np.array([[1.0, 3.0], [3.0, 5.0], [5.0, 7.0]])
    plain, wide = value_in_members(scores), value_in_members(scores, structure=0.5)
    assert wide.interval.value == plain.interval.value
    added = wide.interval.standard_error**2 - plain.interval.standard_error**2
    assert added == pytest.approx((0.5 * 4.0) ** 2)
    both = SimulatedValues(scores={"a": scores, "b": scores - 1.0}, structure=0.5)
    assert both["a"].interval == wide.interval
    assert both.difference("a", "b").interval.standard_error == pytest.approx(0.5 * 1.0)
    with pytest.raises(InputError, match="structural share of -1"):
        value_in_members(scores, structure=-1.0)


def test_members_that_agree_leave_the_noise_of_the_users() -> None:
    scores = np.tile(np.array([1.0, 2.0, 3.0, 6.0]), (5, 1))
    found = value_in_members(scores)
    assert found.between == 0.0
    assert found.interval.standard_error == pytest.approx(np.sqrt(scores[0].var(ddof=1) / 4))


def test_the_noise_of_users_is_taken_off_the_spread_of_the_members() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        table = (
            3.0 + 0.5 * rng.normal(size=(8, 1)) + rng.normal(size=(1, 50)) + 4.0 * rng.normal(size=(8, 50))
        )
        found.append(value_in_members(table))
    raw = np.mean([f.members.var(ddof=1) for f in found])
    assert raw == pytest.approx(0.25 + 16 / 50, rel=0.1)  # what the members' means vary by, noise and all
    assert np.mean([f.between**2 for f in found]) == pytest.approx(
        0.25, rel=0.2
    )  # clipped at zero: a little more


@pytest.mark.parametrize(("between", "rest"), [(1.0, 0.5), (0.3, 3.0), (0.0, 3.0)])
def test_intervals_hold_one_more_draw_of_a_member_as_often_as_they_say(between: float, rest: float) -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(1_000):
        table = between * rng.normal(size=(8, 1)) + rng.normal(size=(1, 60)) + rest * rng.normal(size=(8, 60))
        truth = between * rng.normal()
        found = value_in_members(table).interval
        inside += found.low <= truth <= found.high
    assert inside / 1_000 > 0.935  # more where users are few: see the module
    if rest < between:
        assert inside / 1_000 < 0.975


def test_a_difference_is_paired_by_member_and_user() -> None:
    rng = np.random.default_rng(2)
    shared = rng.normal(size=(8, 1)) + rng.normal(size=(1, 40))
    a = shared + 1.0 + 0.01 * rng.normal(size=(8, 40))
    values = SimulatedValues(scores={"a": a, "b": shared})
    gain = values.difference("a", "b")
    assert gain.interval.value == pytest.approx(1.0, abs=0.01)
    assert gain.interval.half_width < 0.05 < values["a"].interval.half_width
    with pytest.raises(InputError, match="no policy named 'c'"):
        values["c"]


def test_what_has_no_spread_is_refused() -> None:
    with pytest.raises(InputError, match="1 members"):
        value_in_members(np.zeros((1, 9)))
    with pytest.raises(InputError, match="level"):
        value_in_members(np.zeros((2, 9)), level=1.0)
    with pytest.raises(InputError, match="has no members"):
        simulate_values({"random": RandomPolicy()}, world_of(example_simulator(features=FEATURES)), TASK)


def test_policies_serve_the_same_users_in_every_member() -> None:
    ensemble = ensemble_of(0, 200, 3)
    world = world_of(ensemble)
    policies = {"random": RandomPolicy(), "relevance": RelevancePolicy()}
    values = simulate_values(policies, world, TASK, n_users=40, seed=3, first_user=100, progress=False)
    assert values.scores["random"].shape == (3, 40)
    alone = evaluate_policy(
        RelevancePolicy(),
        dataclasses.replace(world, simulator=ensemble.member(1)),
        TASK,
        n_users=40,
        seed=3,
        first_user=100,
        progress=False,
    )
    np.testing.assert_array_equal(values.scores["relevance"][1], alone.score)
    expected = (values.scores["relevance"] - values.scores["random"]).mean(axis=1)
    np.testing.assert_allclose(values.difference("relevance", "random").members, expected)


@pytest.mark.slow
def test_the_truth_lies_in_the_interval() -> None:
    """A world whose true users are of the fitted family: 20 logs of 400 sessions, three policies, M = 6."""
    policies = {
        "random": RandomPolicy(),
        "relevance": RelevancePolicy(),
        "popularity": PopularityPolicy(FEATURES),
    }
    true_world = world_of(example_simulator(features=FEATURES))
    many = {"n_users": 20_000, "seed": 99, "progress": False}
    truth: dict[str, NDArray[np.float64]] = {
        name: evaluate_policy(policy, true_world, TASK, **many).score  # type: ignore[arg-type]
        for name, policy in policies.items()
    }
    inside, gains, wide = [], [], []
    for seed in range(20):
        world = world_of(ensemble_of(seed, 400, 6))
        values = simulate_values(policies, world, TASK, n_users=500, seed=seed, progress=False)
        for name in policies:
            found = values[name].interval
            inside.append(found.low <= truth[name].mean() <= found.high)
            wide.append(found.half_width / truth[name].mean())
        gain = values.difference("relevance", "random").interval
        gains.append(gain.low <= (truth["relevance"] - truth["random"]).mean() <= gain.high)
    # 60 intervals of 95 %, three of each log: 9 in 10 is more than two standard errors below even for 20 apart.
    assert np.mean(inside) >= 0.85
    assert np.mean(gains) >= 0.8
    assert np.mean(wide) < 0.35  # and they say something
