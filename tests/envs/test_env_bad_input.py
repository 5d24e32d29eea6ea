"""Mistakes are refused by user, position and value, and leave no trace: the session goes on, to the bit."""

from __future__ import annotations

import dataclasses

import gymnasium
import numpy as np
import pytest

from behavior.errors import InputError
from encoders.features import CandidateTable
from envs.core import SlateCore
from envs.sb3 import SlateVecEnv
from envs.single import SlateEnv
from envs.toy import toy_world
from envs.vector import SlateVectorEnv
from envs.world import TaskConfig
from envs.wrappers import ScoreAction, SlotBySlot
from simulators.kernels.rng import MAX_SEED

N, K, B = 15, 4, 3
TASK = TaskConfig(slate_size=K, n_candidates=N, max_steps=6)
STRICT = dataclasses.replace(TASK, duplicates="error")
WORLD = toy_world(300, 12, N)
GOOD = np.arange(B * K).reshape(B, K)  # (B, K)


class Core:
    """A batch of three users from 40 on; the others answer alike."""

    def __init__(self, task=TASK):
        self.env = SlateCore(WORLD, task, n_users=B, first_user=40)

    def reset(self, seed=None):
        return self.env.reset(seed).as_dict()

    def step(self, actions):
        result = self.env.step(actions)
        return result.observation.as_dict() | {"reward": result.reward}

    def user_of_row_one(self):
        return int(self.env.state.user[1])


class Single(Core):
    def __init__(self, task=TASK):
        self.env = SlateEnv(WORLD, task, first_user=41)

    def reset(self, seed=None):
        return self.env.reset(seed=seed)[0]

    def step(self, actions):
        actions = actions[1] if np.ndim(actions) == 2 else actions
        observation, reward, terminated, truncated, _ = self.env.step(actions)
        if terminated or truncated:
            observation = self.env.reset()[0]
        return observation | {"reward": reward}

    def user_of_row_one(self):
        return int(self.env.unwrapped.state.user[0])


class Made(Single):
    def __init__(self, task=TASK):
        self.env = gymnasium.make("envs:SlateRank-v0", world=WORLD, task=task, first_user=41)


class Vector(Core):
    def __init__(self, task=TASK):
        self.env = SlateVectorEnv(B, WORLD, task, first_user=40)

    def reset(self, seed=None):
        return self.env.reset(seed=seed)[0]

    def step(self, actions):
        observation, reward, *_ = self.env.step(actions)
        return observation | {"reward": reward}


class Sb3(Core):
    def __init__(self, task=TASK):
        self.env = SlateVecEnv(B, WORLD, task, first_user=40)

    def reset(self, seed=None):
        if seed is not None:
            self.env.seed(seed)
        return self.env.reset()

    def step(self, actions):
        observation, reward, _, _ = self.env.step(actions)
        return observation | {"reward": reward}


FACES = [Core, Single, Made, Vector, Sb3]
faces = pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__.lower())


def wrong(value, row=1, position=2, dtype=np.int64):
    actions = GOOD.astype(dtype)
    actions[row, position] = value
    return actions


REFUSED = {
    "too large": (wrong(N), rf"action {N} of user 41 at position 2 is not one of .* 0 \.\. {N - 1}"),
    "negative": (wrong(-1), "action -1 of user 41 at position 2"),
    "small ints": (wrong(-7, dtype=np.int8), "action -7 of user 41 at position 2"),
    "past int64": (wrong(2**63, dtype=np.uint64), f"action {2**63} of user 41 at position 2"),
    "floats": (GOOD.astype(float), "float64"),
    "not numbers": (np.full((B, K), np.nan), "float64"),
    "booleans": (GOOD > 3, "bool"),
    "text": (GOOD.astype(str), r"<U"),
    "objects": (GOOD.astype(object), "object"),
    "too few": (GOOD[:, :-1], rf"{K - 1}\)"),
    "too many": (np.hstack([GOOD, GOOD]), rf"{2 * K}\)"),
    "a number": (np.int64(3), r"shape \((1,)?\)"),
    "nothing": (None, "object|no actions"),
}


def follow(face, n_steps=10):
    """A session without mistakes."""
    return [face.reset(seed=7), *(face.step((GOOD + step) % N) for step in range(n_steps))]


def assert_same(pages, others):
    for page, other in zip(pages, others, strict=True):
        assert page.keys() == other.keys()
        for name, array in page.items():
            np.testing.assert_array_equal(array, other[name], err_msg=name)


@faces
def test_wrong_actions_leave_no_trace(face):
    # gymnasium.make's own checker speaks first; what it lets through is refused as everywhere
    mistakes = [REFUSED["too large"], REFUSED["negative"]] if face is Made else list(REFUSED.values())
    live = face()
    pages = [live.reset(seed=7)]
    for step in range(10):
        user = live.user_of_row_one()
        for actions, message in mistakes:
            with pytest.raises(InputError, match=message.replace("user 41", f"user {user}")):
                live.step(actions)
        pages.append(live.step((GOOD + step) % N))
    assert user != 41  # another session has begun by now
    assert_same(pages, follow(face()))


@pytest.mark.parametrize("value", [np.nan, 2.5, True, "3"], ids=str)
@faces
def test_actions_of_a_wrong_kind_are_named(face, value):
    live = face()
    live.reset(seed=7)
    with pytest.raises(
        InputError, match=rf"action .*{value}.* of user 4[01] at position 0 is .*must be an integer"
    ):
        live.step(np.full((B, K), value))
    live.step(GOOD)


@faces
def test_repeated_actions_in_strict_mode(face):
    strict = face(STRICT)
    repeated = wrong(4, position=3)  # row 1 is 4, 5, 6, 7
    pages = [strict.reset(seed=7)]
    for step in range(3):
        message = f"action 4 of user {strict.user_of_row_one()} at position 3 is in the slate already"
        with pytest.raises(InputError, match=message):
            strict.step(repeated)
        pages.append(strict.step((GOOD + step) % N))
    assert_same(pages, follow(face(STRICT), n_steps=3))


@pytest.mark.parametrize("face", [Core, Single, Vector, Sb3], ids=lambda face: face.__name__.lower())
def test_stepping_before_reset(face):
    live = face()
    with pytest.raises(InputError, match=r"(?s)no session yet.*reset\(\)"):
        live.step(GOOD)
    assert_same(follow(live), follow(face()))


def test_stepping_after_the_end():
    env = SlateEnv(WORLD, TASK, first_user=5)
    env.reset(seed=0)
    over = False
    while not over:
        *_, terminated, truncated, _ = env.step(np.arange(K))
        over = terminated or truncated
    for _ in range(2):
        with pytest.raises(InputError, match="the session of user 5 is over"):
            env.step(np.arange(K))
    assert env.reset()[1]["user"] == 6
    env.step(np.arange(K))


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 1.5, "7", np.float64(3.0)], ids=str)
@faces
def test_a_seed_out_of_range(face, seed):
    live = face()
    live.reset(seed=7)
    live.step(GOOD)
    with pytest.raises(InputError, match=f"seed is {seed}"):
        live.reset(seed=seed)
    other = face()
    other.reset(seed=7)
    other.step(GOOD)
    assert_same([live.step(GOOD)], [other.step(GOOD)])


@faces
def test_the_last_seed(face):
    assert_same([face().reset(seed=MAX_SEED)], [face().reset(seed=MAX_SEED)])


@pytest.mark.parametrize("make", [SlateEnv, SlateVectorEnv, SlateVecEnv], ids=lambda make: make.__name__)
def test_a_seed_out_of_range_at_the_start(make):
    size = () if make is SlateEnv else (2,)
    with pytest.raises(InputError, match="seed is -1"):
        make(*size, WORLD, TASK, seed=-1)


@pytest.mark.parametrize("user", [-1, 1.5, "x", None, 2**63], ids=str)
def test_a_user_who_is_none(user):
    env = SlateEnv(WORLD, TASK)
    env.reset(seed=0)
    with pytest.raises(InputError, match="user"):
        env.reset(options={"user": user})
    with pytest.raises(InputError, match="'usr'"):
        env.reset(options={"usr": 1})
    env.step(np.arange(K))
    vector = SlateVectorEnv(2, WORLD, TASK)
    vector.reset(seed=0)
    with pytest.raises(InputError, match="user"):
        vector.reset(options={"users": [user, user]})
    vector.step(GOOD[:2])


@faces
def test_fewer_candidates_than_the_slate_is_long(face, monkeypatch):
    items = WORLD.candidates.items.copy()
    items[5, K - 1 :] = -1
    short = dataclasses.replace(WORLD, candidates=CandidateTable(items=items, scores=WORLD.candidates.scores))
    monkeypatch.setitem(globals(), "WORLD", short)
    with pytest.raises(InputError, match=rf"query 5 '{WORLD.queries[5]}' has {K - 1} candidates.*"):
        face()


def test_an_empty_catalogue():
    with pytest.raises(InputError, match="n_items"):
        toy_world(0, 3, 0)
    none = dataclasses.replace(
        WORLD,
        candidates=CandidateTable(items=np.empty((12, 0), np.int32), scores=np.empty((12, 0), np.float32)),
    )
    with pytest.raises(InputError, match=r"query 0 .* has 0 candidates"):
        SlateEnv(none, TASK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slate_size": 0}, "slate_size is 0"),
        ({"slate_size": 16}, "n_candidates is 15"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"history": -1}, "history is -1"),
        ({"duplicates": "mend"}, "duplicates is 'mend'"),
    ],
)
@faces
def test_impossible_tasks(face, change, message):
    with pytest.raises(InputError, match=message):
        face(dataclasses.replace(TASK, **change))


@pytest.mark.parametrize("n_envs", [0, -3])
def test_no_users(n_envs):
    for make in (SlateVectorEnv, SlateVecEnv):
        with pytest.raises(InputError, match=f"n_users is {n_envs}"):
            make(n_envs, WORLD, TASK)


SCORES = np.linspace(-1, 1, N)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (
            np.where(np.arange(N) == 6, np.nan, SCORES),
            "the score for user 3 of the candidate at position 6 is nan",
        ),
        (SCORES[:-1], rf"scores for user 3 are float64 of shape \({N - 1},\), .* shape \({N},\)"),
        (SCORES[None], rf"shape \(1, {N}\)"),
        (SCORES > 0, "scores for user 3 are bool"),
        (SCORES.astype(str), "scores for user 3 are <U"),
        (SCORES.astype(complex), "scores for user 3 are complex128"),
        (None, "scores for user 3 are object"),
    ],
)
def test_scores_that_are_none(scores, message):
    env, other = (ScoreAction(SlateEnv(WORLD, TASK, first_user=3)) for _ in range(2))
    with pytest.raises(InputError, match="no session yet"):
        env.step(SCORES)
    env.reset(seed=1)
    other.reset(seed=1)
    with pytest.raises(InputError, match=message):
        env.step(scores)
    assert_same([env.step(SCORES)[0]], [other.step(SCORES)[0]])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (N, f"action {N} of user 3 at position 2 is not one of"),
        (-1, "action -1 of user 3 at position 2"),
        (2.5, r"user 3 at position 2 is 2\.5"),
        (np.nan, "user 3 at position 2 is nan"),
        (np.array([1, 2]), r"user 3 at position 2 is array"),
        ("4", "user 3 at position 2 is '4'"),
        (True, "user 3 at position 2 is True"),
        (None, "user 3 at position 2 is None"),
    ],
    ids=str,
)
def test_slot_choices_that_are_none(choice, message):
    env, other = (SlotBySlot(SlateEnv(WORLD, TASK, first_user=3)) for _ in range(2))
    with pytest.raises(InputError, match="no session yet"):
        env.step(0)
    with pytest.raises(InputError, match=r"reset\(\)"):
        env.action_masks()
    for wrapped in (env, other):
        wrapped.reset(seed=1)
        wrapped.step(0)
        wrapped.step(5)
    with pytest.raises(InputError, match=message):
        env.step(choice)
    for k in (7, 9):
        mine, its = env.step(k), other.step(k)
        assert_same([mine[0]], [its[0]])
        assert mine[1] == its[1]


def test_a_slot_after_the_end():
    env = SlotBySlot(SlateEnv(WORLD, dataclasses.replace(TASK, max_steps=1), first_user=3))
    env.reset(seed=1)
    for k in range(K):
        env.step(k)
    with pytest.raises(InputError, match="session of user 3 is over"):
        env.step(0)
    env.reset()
    env.step(0)


def test_a_refused_page_leaves_the_choices_before_it():
    # In strict mode a page can only be refused as a whole, by the environment inside; its last choice is then open.
    class Refusing(gymnasium.Wrapper):
        refuse = True

        def step(self, action):
            if self.refuse:
                raise InputError("not now", where="test", mend="later")
            return self.env.step(action)

    refusing = Refusing(SlateEnv(WORLD, TASK))
    env = SlotBySlot(refusing)
    env.reset(seed=0)
    for k in range(K - 1):
        env.step(k)
    with pytest.raises(InputError, match="not now"):
        env.step(9)
    refusing.refuse = False
    *_, info = env.step(K - 1)
    assert info["slate"].tolist() == env.unwrapped.core.candidates.items[env.unwrapped._page[0], :K].tolist()
