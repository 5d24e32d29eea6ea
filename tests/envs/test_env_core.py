"""The core against a scripted simulator: rewards, repairs, histories and episodes worked out by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from behavior.errors import InputError
from encoders.features import CandidateTable
from envs.core import SlateCore
from envs.toy import toy_world
from envs.world import RewardMix, TaskConfig
from simulators.base import Feedback, SessionState

N_ITEMS, N_QUERIES = 12, 2


class Scripted:
    """Clicks every item whose row is a multiple of 3, buys multiples of 6, leaves after page `user`."""

    n_items, n_queries, context_size, slate_size = N_ITEMS, N_QUERIES, 0, 6

    def begin(self, users, *, seed):
        n = users.shape[0]
        return SessionState(
            user=users.copy(),
            step=np.zeros(n, np.int32),
            query=(users % 2).astype(np.int32),
            context=np.empty((n, 0), np.float32),
            hidden=np.empty((n, 0), np.float32),
        )

    def respond(self, state, slates, *, seed):
        click = (slates % 3 == 0).astype(np.uint8)
        purchase = (slates % 6 == 0).astype(np.uint8)
        state.step += 1
        left = state.step > state.user
        state.query[:] = np.where(left, -1, 1 - state.query)
        return Feedback(click=click, purchase=purchase, left=left)


def scripted_world():
    world = toy_world(N_ITEMS, N_QUERIES, 8, width=2)
    vectors = np.zeros((N_ITEMS, 2), np.float32)
    vectors[:, 0] = 1.0
    vectors[1::2] = [0.0, 1.0]  # odd rows are orthogonal to even rows
    price = np.arange(N_ITEMS, dtype=np.float32)
    price[0] = np.nan
    items = np.array([[0, 1, 2, 3, 4, 5, 6, 7], [11, 10, 9, 8, 7, 6, -1, -1]], np.int32)
    scores = np.where(items >= 0, np.linspace(0.8, 0.1, 8), 0.0).astype(np.float32)
    return dataclasses.replace(
        world,
        simulator=Scripted(),
        features=dataclasses.replace(world.features, item_vectors=vectors, price=price),
        candidates=CandidateTable(items=items, scores=scores),
    )


TASK = TaskConfig(
    slate_size=3,
    n_candidates=8,
    max_steps=3,
    history=3,
    purchase_weight=5.0,
    reward=RewardMix(click=1.0, purchase=5.0, revenue=0.5, relevance=10.0, diversity=2.0, stay=0.25),
)


def core(n_users=4, task=TASK, **options):
    made = SlateCore(scripted_world(), task, n_users=n_users, **options)
    made.reset(seed=0)
    return made


def test_reward_parts_by_hand():
    # User 2, query 0, shown 0, 3, 6: three clicks, two purchases; item 0's price is unknown, item 6 costs 6.
    result = core(1, first_user=2).step(np.array([[0, 3, 6]]))
    parts = {name: part[0] for name, part in result.reward_parts.as_dict().items()}
    assert parts["click"] == 3
    assert parts["purchase"] == 2
    assert parts["revenue"] == 6
    assert parts["relevance"] == pytest.approx((0.8 + 0.5 + 0.2) / 3)
    # Pairs (0, 3) and (3, 6) are orthogonal (distance 1), (0, 6) equal (distance 0).
    assert parts["diversity"] == pytest.approx(2 / 3)
    assert parts["stay"] == 1
    assert result.score[0] == 3 + 5 * 2
    assert result.reward[0] == pytest.approx(3 + 5 * 2 + 0.5 * 6 + 10 * 0.5 + 2 * 2 / 3 + 0.25)


def test_diversity_equals_the_mean_over_pairs():
    world = toy_world()
    env = SlateCore(world, TaskConfig(), n_users=5)
    env.reset()
    result = env.step(np.tile(np.arange(10) * 3, (5, 1)))
    for b in range(5):
        v = world.features.item_vectors[result.slates[b]].astype(np.float64)
        distance = [1 - v[i] @ v[j] for i in range(10) for j in range(i)]
        assert result.reward_parts.diversity[b] == pytest.approx(np.mean(distance), abs=1e-5)


@pytest.mark.parametrize(
    ("user", "action", "expected", "repairs"),
    [
        (2, [0, 1, 2], [0, 1, 2], 0),
        (2, [4, 4, 4], [4, 5, 6], 2),
        (
            2,
            [7, 7, 0],
            [7, 0, 1],
            2,
        ),  # the next unused one is found cyclically, and it pushes the next choice on
        (3, [6, 7, 1], [0, 1, 2], 3),  # query 1 has six candidates; 6 and 7 are padding
        (3, [5, 5, 6], [5, 0, 1], 2),
    ],
)
def test_repairs(user, action, expected, repairs):
    result = core(1, first_user=user).step(np.array([action]))
    assert result.positions[0].tolist() == expected
    assert result.repairs[0] == repairs
    items = scripted_world().candidates.items[user % 2]
    assert result.slates[0].tolist() == items[expected].tolist()


def test_every_action_becomes_a_valid_slate():
    task = TaskConfig(slate_size=6, n_candidates=8, max_steps=3)
    env = core(64, task)
    rng = np.random.default_rng(0)
    for _ in range(30):
        actions = rng.integers(0, 8, (64, 6))
        lengths = env.candidates.lengths[env.state.query]
        result = env.step(actions)
        assert (result.slates >= 0).all()
        assert (np.diff(np.sort(result.slates, axis=1)) > 0).all()
        pairs = zip(actions.tolist(), lengths.tolist(), strict=True)
        clean = np.array([len(set(a)) == 6 and max(a) < n for a, n in pairs])
        assert ((result.repairs == 0) == clean).all()
        assert (result.positions[clean] == actions[clean]).all()


def test_observation_follows_the_session():
    env = core(1, first_user=5)  # query 1: 11 10 9 8 7 6
    first = env.reset(seed=0)
    assert first.query[0, 0] == 1
    assert first.candidates[0].tolist() == [11, 10, 9, 8, 7, 6, -1, -1]
    assert first.last_slate[0].tolist() == [-1, -1, -1]
    assert first.clicked[0].tolist() == [-1, -1, -1]
    assert first.progress[0].tolist() == [0, 1, 0, 0]
    second = env.step(np.array([[2, 5, 0]])).observation  # shows 9 (click), 6 (click, purchase), 11
    assert second.query[0, 0] == 0
    assert second.last_slate[0].tolist() == [9, 6, 11]
    assert second.last_click[0].tolist() == [1, 1, 0]
    assert second.last_purchase[0].tolist() == [0, 1, 0]
    assert second.clicked[0].tolist() == [6, 9, -1]
    assert second.seen[0].tolist() == [0, 0, 0, 0, 0, 0, 1, 0]  # candidate 6 was shown
    np.testing.assert_allclose(second.progress[0], [1 / 3, 2 / 3, math.log(3), math.log(2)], rtol=1e-6)
    third = env.step(np.array([[6, 0, 3]])).observation  # shows 6, 0, 3: all clicked, 6 and 0 bought
    assert third.clicked[0].tolist() == [3, 0, 6]
    assert third.seen[0].tolist() == [1, 0, 1, 0, 0, 2, 0, 0]
    np.testing.assert_allclose(third.progress[0], [2 / 3, 1 / 3, math.log(6), math.log(4)], rtol=1e-6)


def test_leaving_and_the_limit_are_kept_apart_and_autoreset_goes_on_to_the_next_user():
    env = core(4)  # user u leaves after u + 1 pages; the limit is 3
    ends = []
    for _ in range(3):
        result = env.step(np.tile([0, 1, 2], (4, 1)))
        ends.append((result.terminated.tolist(), result.truncated.tolist(), result.episodes.user.tolist()))
    assert ends[0] == ([True, False, False, False], [False] * 4, [0])
    assert ends[1] == ([False, True, False, False], [False] * 4, [1])
    assert ends[2] == ([False, False, True, False], [False, False, False, True], [2, 3])
    assert env.state.user.tolist() == [4, 5, 6, 7]
    assert result.episodes.left.tolist() == [True, False]
    assert result.episodes.length.tolist() == [3, 3]
    # After the reset nothing of the old session is seen; before it, all of it.
    assert result.observation.progress[2].tolist() == [0, 1, 0, 0]
    assert result.observation.seen[2].sum() == 0
    assert result.final_observation.progress[0, 0] == 1
    # A user who left keeps the query that was answered, whatever the simulator wrote over it.
    assert result.final_observation.query[0, 0] >= 0


def test_episode_sums():
    env = core(1, first_user=1)
    a = env.step(np.array([[0, 1, 2]]))  # query 1: 11 10 9 -> one click
    b = env.step(np.array([[0, 3, 6]]))  # query 0: 0 3 6 -> three clicks, two purchases
    episode = b.episodes.row(0)
    assert (episode["clicks"], episode["purchases"], episode["length"]) == (4, 2, 2)
    assert episode["score"] == 4 + 5 * 2
    assert episode["revenue"] == 6
    assert episode["reward"] == pytest.approx(a.reward[0] + b.reward[0])


def test_without_autoreset_a_finished_session_waits_for_reset():
    env = core(1, autoreset="disabled")
    assert env.step(np.array([[0, 1, 2]])).terminated[0]
    with pytest.raises(InputError, match="over"):
        env.step(np.array([[0, 1, 2]]))
    env.reset()
    assert env.state.user.tolist() == [1]


def test_reset_chooses_users():
    env = core(2)
    assert env.state.user.tolist() == [0, 1]
    env.reset()
    assert env.state.user.tolist() == [2, 3]
    env.reset(users=np.array([40, 7]))
    assert env.state.user.tolist() == [40, 7]
    env.reset(seed=1)
    assert env.state.user.tolist() == [0, 1]
    with pytest.raises(InputError, match="users"):
        env.reset(users=np.array([1.0, 2.0]))
    with pytest.raises(InputError, match="users"):
        env.reset(users=np.array([1]))


def test_strict_duplicates_name_user_position_and_value():
    env = core(3, dataclasses.replace(TASK, duplicates="error"), first_user=10)
    with pytest.raises(InputError, match=r"action 2 of user 11 at position 2 is in the slate already"):
        env.step(np.array([[0, 1, 2], [2, 1, 2], [0, 0, 0]]))
    with pytest.raises(InputError, match=r"action 7 of user 11 at position 0 is a padded candidate"):
        env.step(np.array([[0, 1, 2], [7, 1, 2], [0, 1, 2]]))
    assert env.step(np.tile([0, 1, 2], (3, 1))).repairs.sum() == 0


def test_wrong_actions_name_user_position_and_value():
    env = core(3, first_user=10)
    with pytest.raises(InputError, match=r"action 8 of user 12 at position 1 is not one of .* 0 \.\. 7"):
        env.step(np.array([[0, 1, 2], [0, 1, 2], [0, 8, 2]]))
    with pytest.raises(InputError, match=r"action -1 of user 10"):
        env.step(np.array([[0, -1, 2], [0, 1, 2], [0, 1, 2]]))
    with pytest.raises(InputError, match=r"\(2, 3\).*\(3, 3\)"):
        env.step(np.zeros((2, 3), np.int64))
    with pytest.raises(InputError, match="float64"):
        env.step(np.zeros((3, 3)))
    with pytest.raises(InputError, match="no session"):
        SlateCore(scripted_world(), TASK, n_users=1).step(np.zeros((1, 3), np.int64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slate_size": 0}, "slate_size is 0"),
        ({"n_candidates": 2}, "n_candidates is 2, but must be at least 3"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"duplicates": "drop"}, "'drop'"),
        ({"slate_size": 7}, "at most 6 positions"),
    ],
)
def test_impossible_tasks(change, message):
    with pytest.raises(InputError, match=message):
        SlateCore(scripted_world(), dataclasses.replace(TASK, **change), n_users=1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([3, 4, -1, -1, -1, -1, -1, -1], "query 1 .* has 2 candidates, but a slate needs 3"),
        ([3, 4, 5, 12, -1, -1, -1, -1], r"candidate 12, but the catalogue's rows are 0 \.\. 11"),
        ([3, 4, 5, -1, 6, -1, -1, -1], "after padding"),
        ([3, 4, 5, 3, -1, -1, -1, -1], "candidate 3 twice"),
    ],
)
def test_impossible_candidates_name_the_query(row, message):
    world = scripted_world()
    items = world.candidates.items.copy()
    items[1] = row
    broken = dataclasses.replace(world, candidates=dataclasses.replace(world.candidates, items=items))
    with pytest.raises(InputError, match=message):
        SlateCore(broken, TASK, n_users=1)


@pytest.mark.parametrize("options", [{"n_users": 0}, {"n_users": 1, "seed": -1}, {"n_users": 1, "stride": 0}])
def test_impossible_batches(options):
    with pytest.raises(InputError):
        SlateCore(scripted_world(), TASK, **options)


def test_seen_counts_survive_many_items():
    # 100 pages of 10 out of 100 candidates: the hash rows are at most half full, and counts are exact.
    task = TaskConfig(slate_size=10, n_candidates=100, max_steps=100)
    env = SlateCore(toy_world(1000, 5, 100), task, n_users=3)
    env.reset()
    rng = np.random.default_rng(1)
    shown = np.zeros((3, 1000), np.int64)
    checked = 0
    for _ in range(300):
        result = env.step(np.argsort(rng.random((3, 100)), axis=1)[:, :10])
        np.add.at(shown, (np.arange(3)[:, None], result.slates), 1)
        shown[result.finished] = 0
        expected = np.take_along_axis(shown, result.observation.candidates, axis=1)
        assert (result.observation.seen == expected).all()
        checked = max(checked, int(expected.max()))
    assert checked > 3
