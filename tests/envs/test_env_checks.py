"""What is impossible is refused when an environment is made, by name, and not in the middle of a session."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from behavior.errors import InputError
from envs import (
    MixReward,
    RecordSessions,
    RewardMix,
    ScoreAction,
    SlateCore,
    SlateEnv,
    SlateVecEnv,
    SlateVectorEnv,
    TaskConfig,
    toy_world,
)
from envs.business import BusinessRules
from envs.world import World
from simulators.base import Feedback

WORLD = toy_world(60, 4, 12)
TASK = TaskConfig(slate_size=3, n_candidates=12, max_steps=4, history=2)
NAN, INF = float("nan"), float("inf")


def with_features(**change):
    return dataclasses.replace(WORLD, features=dataclasses.replace(WORLD.features, **change))


def filled(array, value, at=7):
    out = array.copy()
    out[at] = value
    return out


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"slate_size": 2.5}, "TaskConfig.slate_size"),
        ({"slate_size": True}, "TaskConfig.slate_size"),
        ({"slate_size": None}, "TaskConfig.slate_size"),
        ({"n_candidates": 12.0}, "TaskConfig.n_candidates"),
        ({"n_candidates": 10**12}, "TaskConfig.n_candidates"),
        ({"max_steps": NAN}, "TaskConfig.max_steps"),
        ({"max_steps": 2**31}, "TaskConfig.max_steps"),
        ({"history": 1.5}, "TaskConfig.history"),
        ({"memory": -1}, "TaskConfig.memory"),
        ({"memory": 2.0}, "TaskConfig.memory"),
        ({"memory": 2**24}, "TaskConfig.memory"),
        ({"click_weight": NAN}, "TaskConfig.click_weight"),
        ({"purchase_weight": "many"}, "TaskConfig.purchase_weight"),
        ({"revenue_weight": INF}, "TaskConfig.revenue_weight"),
        ({"reward": None}, "TaskConfig.reward"),
        ({"reward": RewardMix(click=NAN)}, "TaskConfig.reward.click"),
        ({"reward": RewardMix(stay=-INF)}, "TaskConfig.reward.stay"),
        ({"reward": RewardMix(diversity="a")}, "TaskConfig.reward.diversity"),
        ({"rules": 5}, "TaskConfig.rules"),
    ],
)
def test_impossible_tasks_are_named(change, named):
    with pytest.raises(InputError) as caught:
        SlateEnv(WORLD, dataclasses.replace(TASK, **change))
    assert caught.value.where == named
    assert caught.value.mend


@pytest.mark.parametrize(
    ("world", "named"),
    [
        (with_features(price=filled(WORLD.features.price, INF)), "FeatureTables.price"),
        (with_features(price=WORLD.features.price[:5]), "FeatureTables.price"),
        (with_features(margin=filled(WORLD.features.margin, NAN)), "FeatureTables.margin"),
        (with_features(margin=WORLD.features.margin[:5]), "FeatureTables.margin"),
        (with_features(item_vectors=filled(WORLD.features.item_vectors, NAN)), "FeatureTables.item_vectors"),
        (with_features(item_vectors=WORLD.features.item_vectors[:, 0]), "World.features"),
        (5, "world"),
    ],
)
def test_impossible_worlds_are_named(world, named):
    with pytest.raises(InputError) as caught:
        SlateEnv(world, TASK)
    assert caught.value.where == named


@pytest.mark.parametrize("score", [NAN, INF, -0.5, 2.0])
def test_scores_that_are_no_probabilities_are_named(score):
    table = dataclasses.replace(WORLD.candidates, scores=filled(WORLD.candidates.scores, score, at=(2, 3)))
    with pytest.raises(InputError, match=r"query 2 .*for candidate 3"):
        SlateEnv(dataclasses.replace(WORLD, candidates=table), TASK)


def test_candidates_must_be_integers_with_a_score_each():
    floats = dataclasses.replace(WORLD.candidates, items=WORLD.candidates.items.astype(float))
    short = dataclasses.replace(WORLD.candidates, scores=WORLD.candidates.scores[:, :5])
    for table in (floats, short):
        with pytest.raises(InputError) as caught:
            SlateEnv(dataclasses.replace(WORLD, candidates=table), TASK)
        assert caught.value.where == "World.candidates"


def test_unknown_prices_are_allowed_and_count_nothing():
    env = SlateEnv(
        with_features(price=np.full(60, np.nan, np.float32)),
        dataclasses.replace(TASK, revenue_weight=1.0, click_weight=0.0, purchase_weight=0.0),
    )
    bought = 0
    for user in range(30):
        env.reset(seed=1, options={"user": user})
        _, _, _, _, info = env.step(np.array([0, 1, 2]))
        bought += int(info["purchase"].sum())
        assert info["score"] == 0.0
    assert bought > 0


def test_margins_are_not_rewarded_where_they_are_unknown():
    world = with_features(margin=None)
    SlateEnv(world, TASK)
    with pytest.raises(InputError, match="knows no margins") as caught:
        SlateEnv(world, dataclasses.replace(TASK, reward=RewardMix(margin=0.5)))
    assert caught.value.where == "TaskConfig.reward.margin"
    with pytest.raises(InputError, match="knows no margins"):
        MixReward(SlateEnv(world, TASK), RewardMix(margin=0.5))
    with pytest.raises(InputError, match="click is nan"):
        MixReward(SlateEnv(WORLD, TASK), RewardMix(click=NAN))


class Cartless:
    """The world's simulator without its carts."""

    def __init__(self, world: World) -> None:
        self._inner = world.simulator
        for name in ("n_items", "n_queries", "context_size", "slate_size", "begin"):
            setattr(self, name, getattr(world.simulator, name))

    def respond(self, state, slates, *, seed):
        answer = self._inner.respond(state, slates, seed=seed)
        return Feedback(click=answer.click, purchase=answer.purchase, left=answer.left)


def test_carts_are_not_rewarded_where_there_are_none():
    world = dataclasses.replace(WORLD, simulator=Cartless(WORLD))
    env = SlateEnv(world, TASK)
    env.reset(seed=1)
    assert "cart" not in env.step(np.array([0, 1, 2]))[4]
    wanted = dataclasses.replace(TASK, reward=RewardMix(cart=0.5))
    with pytest.raises(InputError, match="knows no carts"):
        SlateEnv(world, wanted)
    SlateEnv(WORLD, wanted)


@pytest.mark.parametrize(
    "options",
    [
        {"n_users": 1.5},
        {"n_users": "2"},
        {"n_users": 2, "first_user": 2**63},
        {"n_users": 2, "first_user": NAN},
        {"n_users": 2, "stride": 1.5},
        {"n_users": 2, "stride": 2**63},
    ],
    ids=str,
)
def test_impossible_batches_are_named(options):
    with pytest.raises(InputError) as caught:
        SlateCore(WORLD, TASK, **options)
    assert caught.value.where == f"SlateCore.{list(options)[-1]}"


def test_users_stay_users_to_the_last_number():
    core = SlateCore(WORLD, TASK, n_users=2)
    with pytest.raises(InputError, match="users is"):
        core.reset(users=np.array([0, 2**63 - 1]))  # whose successor would be negative
    core.reset(users=np.array([2**62 - 1, 2**62]))
    for _ in range(12):
        result = core.step(np.tile([0, 1, 2], (2, 1)))
    assert (core.state.user >= 2**62 - 1).all()
    assert np.isfinite(result.reward).all()


@pytest.mark.parametrize("options", [5, "user", [1]])
def test_reset_options_must_be_a_dictionary(options):
    for env in (SlateEnv(WORLD, TASK), SlateVectorEnv(2, WORLD, TASK)):
        with pytest.raises(InputError, match="reset options are"):
            env.reset(options=options)
        env.reset(seed=1)


@pytest.mark.parametrize(
    "options",
    [
        {"reset_mask": "ab"},
        {"reset_mask": ["a", "b"]},
        {"reset_mask": [[True], [False, True]]},
        {"users": [1, [2]]},
    ],
    ids=str,
)
def test_ragged_and_wordy_resets_are_refused(options):
    env = SlateVectorEnv(2, WORLD, TASK)
    env.reset(seed=1)
    before = env.save_state()
    with pytest.raises(InputError):
        env.reset(options=options)
    after = env.save_state()
    assert all((before[name] == after[name]).all() for name in before)


@pytest.mark.parametrize(
    "change",
    [
        {"max_per_brand": "few"},
        {"max_per_brand": 1.5},
        {"sponsored_slots": 1},
        {"sponsored_slots": (0.5,)},
        {"sponsored_slots": None},
        {"sold_out": "no"},
        {"sold_out": NAN},
        {"selling_out": None},
        {"seed": 1.5},
    ],
    ids=str,
)
def test_impossible_rules_are_named(change):
    world = dataclasses.replace(WORLD, brand=np.zeros(60, np.int32), sponsored=np.ones(60, np.bool_))
    with pytest.raises(InputError) as caught:
        SlateEnv(world, dataclasses.replace(TASK, rules=BusinessRules(**change)))
    assert caught.value.where == f"BusinessRules.{next(iter(change))}"


@pytest.mark.parametrize("wrong", [None, 5, {}, {"query": np.array([0, 4], np.int32)}], ids=str)
def test_states_of_elsewhere_are_refused(wrong):
    core = SlateCore(WORLD, TASK, n_users=2)
    core.reset(1)
    core.step(np.tile([0, 1, 2], (2, 1)))
    before = core.save_state()
    # A query beyond the world's four would be read from beside the candidates.
    saved = before | wrong if isinstance(wrong, dict) and wrong else wrong
    with pytest.raises(InputError):
        core.restore_state(saved)
    after = core.save_state()
    assert all((before[name] == after[name]).all() for name in before)


def test_ragged_scores_are_refused():
    env = ScoreAction(SlateEnv(WORLD, TASK))
    env.reset(seed=1)
    with pytest.raises(InputError, match="scores for user 0"):
        env.step([[1.0], [2.0, 3.0]])
    env.step(np.zeros(12))


@pytest.mark.parametrize("seed", ["a", [1, 2], 1.5, True])
def test_sb3_seeds_that_are_no_whole_numbers(seed: object) -> None:
    env = SlateVecEnv(2, WORLD, TASK)
    with pytest.raises(InputError, match="seed is"):
        env.seed(seed)
    env.seed(3)
    env.reset()


def test_a_recorder_that_is_none() -> None:
    with pytest.raises(InputError, match="recorder is None"):
        RecordSessions(SlateEnv(WORLD, TASK), None)
