"""The penalty for pages about which an ensemble's members disagree: on the reward, never on a score."""

from __future__ import annotations

import dataclasses

import gymnasium
import numpy as np
import pytest

from agents.baselines import RandomPolicy
from agents.checkpoint import task_of
from agents.page_tally import PageTally
from behavior.errors import InputError
from encoders.features import CandidateTable
from envs import SlateEnv
from envs.core import SlateCore
from envs.world import RewardMix, TaskConfig, World
from envs.wrappers import MixReward
from evaluation.online import evaluate_policy
from simulators.base import UserSimulator
from simulators.ensemble import EnsembleSimulator, fit_ensemble
from simulators.example import example_candidates, example_features, example_log, example_simulator

FEATURES = example_features()
MIX = RewardMix(click=2.0, purchase=3.0, revenue=0.1, relevance=0.0)
TASK = TaskConfig(slate_size=5, n_candidates=40, max_steps=4, reward=MIX)
DOUBTING = dataclasses.replace(TASK, pessimism=1.5)
ACTIONS = np.tile(np.array([3, 1, 4, 0, 8]), (6, 1))


def world_of(simulator: UserSimulator) -> World:
    items = example_candidates(FEATURES)
    scores = FEATURES.relevance.click_probability(np.arange(len(items), dtype=np.int32), items)
    return World(
        simulator=simulator, candidates=CandidateTable(items=items, scores=scores), features=FEATURES
    )


@pytest.fixture(scope="module")
def world() -> World:
    log = example_log(n_sessions=200)
    return world_of(fit_ensemble(("pbm",), log, log, FEATURES, n_members=3, progress=False))


def test_the_reward_falls_by_the_spread_of_the_members(world: World) -> None:
    simulator = world.simulator
    assert isinstance(simulator, EnsembleSimulator)
    plain, doubting = (SlateCore(world, task, n_users=6, seed=1) for task in (TASK, DOUBTING))
    plain.reset(), doubting.reset()
    spreads = np.zeros(6)
    for _ in range(3):
        before = doubting.state.copy()
        one, other = plain.step(ACTIONS), doubting.step(ACTIONS)
        np.testing.assert_array_equal(one.feedback.click, other.feedback.click)
        np.testing.assert_array_equal(one.parts, other.parts)
        np.testing.assert_array_equal(one.score, other.score)
        assert one.penalty is None
        assert other.penalty is not None
        expected = []
        for m in range(3):  # each member alone, on the same past
            member = simulator.member(m)
            own = before.copy()
            own.hidden = np.ascontiguousarray(own.hidden[:, : member.layout.width])
            logits = member.attractiveness.logits(own, member.memory, other.slates)
            chance = member.examination.click_probability(logits)
            buys = member.conversion.probability(own, member.memory, other.slates)
            expected.append((chance * (2.0 + buys * (3.0 + 0.1 * FEATURES.price[other.slates]))).sum(axis=1))
        spread = np.std(expected, axis=0, ddof=1)
        assert (spread > 0).all()
        np.testing.assert_allclose(other.penalty, 1.5 * spread, rtol=1e-6)
        np.testing.assert_allclose(other.reward, one.reward - other.penalty, rtol=1e-12)
        done = np.isin(np.arange(6), other.finished)
        spreads = np.where(done, 0.0, spreads + spread)
    np.testing.assert_allclose(
        doubting.save_state()["totals"][:, 2], plain.save_state()["totals"][:, 2] - 1.5 * spreads, rtol=1e-6
    )


def test_it_is_the_same_in_any_batch_and_nothing_for_who_rests(world: World) -> None:
    many = SlateCore(world, DOUBTING, n_users=6, seed=1, autoreset="next_step")
    alone = SlateCore(world, DOUBTING, n_users=1, seed=1, first_user=2, stride=6, autoreset="next_step")
    many.reset(), alone.reset()
    rested = 0
    for _ in range(12):
        a, b = many.step(ACTIONS), alone.step(ACTIONS[:1])
        assert a.penalty is not None
        assert b.penalty is not None
        assert a.penalty[2] == b.penalty[0]
        assert a.reward[2] == b.reward[0]
        assert ((a.penalty == 0) == (a.slates[:, 0] < 0)).all()
        rested += int((a.penalty == 0).sum())
    assert rested > 0


def test_scores_of_policies_know_nothing_of_it(world: World) -> None:
    one, other = (
        evaluate_policy(RandomPolicy(), world, task, n_users=30, seed=2, progress=False)
        for task in (TASK, DOUBTING)
    )
    np.testing.assert_array_equal(one.score, other.score)
    np.testing.assert_array_equal(one.reward, other.reward)
    true = world_of(example_simulator(features=FEATURES))  # without members
    assert evaluate_policy(RandomPolicy(), true, DOUBTING, n_users=5, seed=2, progress=False).n_users == 5


def test_faces_curves_and_checkpoints_tell_of_it(world: World) -> None:
    env = SlateEnv(world, DOUBTING)
    env.reset(seed=1)
    _, reward, _, _, info = env.step(ACTIONS[0])
    parts = info["reward_parts"]
    own = 2.0 * parts["click"] + 3.0 * parts["purchase"] + 0.1 * parts["revenue"]
    assert reward == pytest.approx(own - info["penalty"])
    mixed: gymnasium.Env = MixReward(
        SlateEnv(world, DOUBTING), RewardMix(click=1.0, purchase=0.0, relevance=0.0)
    )
    mixed.reset(seed=1)
    _, mix, _, _, info = mixed.step(ACTIONS[0])
    assert mix == pytest.approx(info["reward_parts"]["click"] - info["penalty"])
    core = SlateCore(world, DOUBTING, n_users=6, seed=1)
    before = core.reset()
    result = core.step(ACTIONS)
    assert result.penalty is not None
    tally = PageTally(FEATURES.n_items)
    tally.add(before, result)
    assert tally.figures()["slate/page_penalty"] == pytest.approx(result.penalty.mean())
    assert task_of(world, DOUBTING)["pessimism"] == 1.5


def test_what_cannot_be_doubted_is_refused(world: World) -> None:
    with pytest.raises(InputError, match="has no members that could disagree"):
        SlateCore(world_of(example_simulator(features=FEATURES)), DOUBTING, n_users=2)
    with pytest.raises(InputError, match="reward ignorance"):
        SlateCore(world, dataclasses.replace(TASK, pessimism=-0.5), n_users=2)
    with pytest.raises(InputError, match="pessimism"):
        SlateCore(world, dataclasses.replace(TASK, pessimism=float("nan")), n_users=2)
