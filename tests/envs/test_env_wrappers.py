"""Each wrapper against the environment it should equal, alone and inside the stack that gymnasium.make builds."""

from __future__ import annotations

import copy
import dataclasses
import functools
import pickle

import gymnasium
import numpy as np
import pandas as pd
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordEpisodeStatistics

from agents.base import Draw
from agents.baselines import PopularityPolicy
from behavior import InteractionLog, read_log
from behavior.errors import InputError
from envs.observation import Observation
from envs.recorder import SessionRecorder
from envs.single import SlateEnv
from envs.tasks import make_task
from envs.toy import toy_world
from envs.world import RewardMix, TaskConfig
from envs.wrappers import (
    FlatObservation,
    HistoryLength,
    MemoryLength,
    MixReward,
    RecordSessions,
    ScoreAction,
    SlotBySlot,
)

TASK = TaskConfig(slate_size=4, n_candidates=15, max_steps=5, history=3)
MIX = RewardMix(click=0.5, cart=0.25, purchase=2.0, revenue=0.1, relevance=1.0, diversity=0.7, stay=0.3)
WORLD = toy_world(300, 12, 15)


@pytest.fixture
def world():
    return WORLD


def make(world, task=TASK, **options):
    """With the order-enforcing and passively checking wrappers of gymnasium.make."""
    return gymnasium.make("envs:SlateRank-v0", world=world, task=task, disable_env_checker=False, **options)


def actions(n, task=TASK, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.permutation(task.n_candidates)[: task.slate_size] for _ in range(n)]


def rollout(env, steps, seed=3):
    """Observation, reward, ends, score of each step; a new session after each end."""
    pages = [(env.reset(seed=seed)[0],)]
    for action in steps:
        observation, reward, terminated, truncated, info = env.step(action)
        pages.append((observation, reward, terminated, truncated, info.get("score"), info.get("session")))
        if terminated or truncated:
            pages.append((env.reset()[0],))
    return pages


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


@pytest.mark.parametrize("h", [0, 1, 3, 9])
def test_history_length_equals_a_task_of_that_history(world, h):
    steps = actions(30)
    expected = rollout(make(world, dataclasses.replace(TASK, history=h)), steps)
    env = HistoryLength(make(world), h)
    assert same(rollout(env, steps), expected)
    assert any((page[0]["clicked"] >= 0).sum() == h for page in expected)
    assert env.observation_space == make(world, dataclasses.replace(TASK, history=h)).observation_space


def test_history_length_around_slots(world):
    slots = SlotBySlot(HistoryLength(make(world), 6))
    around = HistoryLength(SlotBySlot(make(world)), 6)
    choices = np.random.default_rng(1).integers(15, size=80)
    assert same(rollout(slots, choices), rollout(around, choices))


@pytest.mark.parametrize("m", [0, 1, 2, 7])
def test_memory_length_equals_a_task_of_that_memory(world, m):
    steps = actions(30)
    expected = rollout(make(world, dataclasses.replace(TASK, memory=m)), steps)
    env = MemoryLength(make(world, dataclasses.replace(TASK, memory=3)), m)
    assert same(rollout(env, steps), expected)
    assert env.observation_space == make(world, dataclasses.replace(TASK, memory=m)).observation_space
    slots = MemoryLength(SlotBySlot(make(world)), m)
    choices = np.random.default_rng(1).integers(15, size=80)
    assert same(rollout(slots, choices), rollout(SlotBySlot(MemoryLength(make(world), m)), choices))


def test_mix_reward_equals_a_task_of_that_mix(world):
    steps = actions(30)
    expected = rollout(make(world, dataclasses.replace(TASK, reward=MIX)), steps)
    found = rollout(MixReward(make(world), MIX), steps)
    sessions = 0
    for (observation, *rest), (seen, *other) in zip(expected, found, strict=True):
        assert same(observation, seen)
        if rest:
            assert other[0] == pytest.approx(rest[0], rel=1e-12)
            assert other[1:4] == rest[1:4]  # the score is the task's own
        if rest and rest[4]:
            sessions += 1
            assert other[4]["reward"] == pytest.approx(rest[4]["reward"], rel=1e-12)
            assert other[4]["score"] == rest[4]["score"]
    assert sessions > 2


def test_mix_reward_by_hand(world):
    env = MixReward(SlotBySlot(make(world)), RewardMix(click=2.0, purchase=0.0, relevance=0.0, stay=-1.0))
    env.reset(seed=0)
    assert [env.step(k)[1] for k in range(3)] == [0.0, 0.0, 0.0]
    _, reward, terminated, _, info = env.step(3)
    assert reward == 2.0 * info["click"].sum() - (0.0 if terminated else 1.0)


def test_score_action_orders_by_score_and_keeps_ties_in_source_order(world):
    env = ScoreAction(make(world))
    observation, _ = env.reset(seed=1)
    scores = np.zeros(15, np.float32)
    scores[[9, 4]] = 0.5
    scores[0] = -np.inf
    *_, info = env.step(scores)
    assert info["slate"].tolist() == observation["candidates"][[4, 9, 1, 2]].tolist()
    assert info["repairs"] == 0


def test_score_action_never_shows_what_cannot_be_chosen(world):
    env = ScoreAction(SlateEnv(world, dataclasses.replace(TASK, n_candidates=20)))
    observation, _ = env.reset(seed=1)  # 15 candidates and 5 of padding
    *_, info = env.step(np.linspace(-1, 1, 20))
    assert info["slate"].tolist() == observation["candidates"][[14, 13, 12, 11]].tolist()
    *_, info = env.step(np.where(np.arange(20) < 13, -np.inf, 1.0))
    assert info["repairs"] == 0


def act(policy, env):
    """`policy` in `env` by hand, as `SessionRecorder.record` does."""

    def session(user):
        observation, info = env.reset(seed=5, options={"user": user})
        step, over = 0, False
        while not over:
            draw = Draw(seed=8, user=np.array([info["user"]]), step=np.array([step], np.int32))
            chosen = policy.rank(Observation.from_dict(observation), draw, slate_size=4)
            observation, _, terminated, truncated, info = env.step(chosen[0])
            step, over = step + 1, terminated or truncated

    return session


def test_recorded_sessions_equal_the_recorders(world):
    policy = PopularityPolicy(world.features, temperature=0.7)
    expected = SessionRecorder(world, TASK).record(
        policy, n_sessions=12, seed=5, policy_seed=8, progress=False
    )
    recorder = SessionRecorder(world, TASK)
    env = RecordSessions(make(world), recorder, propensity=policy.propensity, policy_id=policy.name)
    session = act(policy, env)
    for user in range(12):
        session(user)
    for mine, its in zip(recorder.frames(), expected.frames(), strict=True):
        pd.testing.assert_frame_equal(mine, its, rtol=1e-12)
    assert recorder.n_pages == expected.n_pages == len(recorder.frames()[0]) // 4


def test_record_sessions_writes_a_file(world, tmp_path):
    path = tmp_path / "log.parquet"
    env = RecordSessions(SlotBySlot(make(world)), path)
    env.reset(seed=0)
    assert not path.exists()
    for choice in (5, 5, 0, 1):  # one repair
        env.step(choice)
    env.close()
    env.close()
    log = read_log(path)
    assert isinstance(log, InteractionLog)
    assert len(log.rows) == 4
    assert log.candidates is not None
    assert len(log.candidates) == 15
    assert "propensity" not in log.rows or log.rows["propensity"].isna().all()
    with pytest.raises(InputError, match="a file already"):
        RecordSessions(make(world), path)
    with pytest.raises(InputError, match=r"'\.txt'"):
        RecordSessions(make(world), tmp_path / "log.txt")
    empty = RecordSessions(make(world), tmp_path / "none.csv")
    empty.close()
    assert not (tmp_path / "none.csv").exists()


def test_a_user_who_comes_twice_has_two_sessions(world):
    recorder = SessionRecorder(world, TASK)
    env = RecordSessions(make(world), recorder)
    for seed in (0, 1, 0):
        env.reset(seed=seed)
        env.step(np.arange(4))  # left in the middle
    rows = recorder.log().rows
    assert rows["session_id"].unique().tolist() == ["s0", "s0.1", "s0.2"]
    assert rows["user_id"].unique().tolist() == ["u0"]
    assert rows["timestamp"].is_monotonic_increasing
    assert rows["click"][:4].tolist() == rows["click"][8:].tolist()


@pytest.mark.parametrize("name", ["Return", "Funnel", "Business", "Drift"])
def test_history_and_mix_on_tasks_with_visits_carts_and_rules(name):
    world, task = make_task(name)
    other = dataclasses.replace(task, history=17, reward=MIX)
    steps = actions(40, task)
    expected = rollout(SlateEnv(world, other), steps)
    found = rollout(MixReward(HistoryLength(SlateEnv(world, task), 17), MIX), steps)
    for (observation, *rest), (seen, *mixed) in zip(expected, found, strict=True):
        assert same(observation, seen)
        if rest:
            assert mixed[0] == pytest.approx(rest[0], rel=1e-9)
            assert mixed[1:4] == rest[1:4]


def test_wrapped_environments_side_by_side(world):
    env = gymnasium.make_vec(
        "envs:SlateRank-v0",
        num_envs=3,
        vectorization_mode="sync",
        wrappers=[SlotBySlot, FlatObservation],
        world=world,
        task=TASK,
    )
    observation, _ = env.reset(seed=1)
    env.action_space.seed(1)
    single = FlatObservation(SlotBySlot(SlateEnv(world, TASK)))
    assert observation.shape == (3, *single.observation_space.shape)
    alone = single.reset(seed=1)[0]
    for _ in range(6):
        np.testing.assert_array_equal(observation[0], alone)
        choices = env.action_space.sample()
        observation, reward, *_ = env.step(choices)
        alone, expected, *_ = single.step(choices[0])
        assert reward[0] == expected
    statistics = RecordEpisodeStatistics(single)
    statistics.reset()
    over = False
    while not over:
        *_, terminated, truncated, info = statistics.step(0)
        over = terminated or truncated
    assert info["episode"]["l"] == 4 * info["session"]["length"]  # choices, not pages
    assert info["episode"]["r"] == pytest.approx(info["session"]["reward"])


STACKS = {
    "ScoreAction": ScoreAction,
    "SlotBySlot": SlotBySlot,
    "FlatObservation": FlatObservation,
    "HistoryLength": functools.partial(HistoryLength, h=7),
    "MemoryLength": functools.partial(MemoryLength, m=2),
    "MixReward": functools.partial(MixReward, mix=MIX),
    "RecordSessions": lambda env: RecordSessions(env, SessionRecorder(WORLD, TASK)),
    "all": lambda env: FlatObservation(
        RecordSessions(
            MixReward(HistoryLength(SlotBySlot(env), 7), MIX), SessionRecorder(WORLD, TASK), policy_id="x"
        )
    ),
}
stacks = pytest.mark.parametrize("wrap", STACKS.values(), ids=STACKS.keys())


@stacks
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped")
def test_gymnasiums_checker(world, wrap):
    check_env(wrap(make(world)))


@stacks
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_in_the_midst_of_a_session(world, wrap, clone):
    env = wrap(make(world))
    env.action_space.seed(0)
    env.reset(seed=2)
    for _ in range(3):
        env.step(env.action_space.sample())
    other = clone(env)
    for _ in range(12):
        action = env.action_space.sample()
        mine, its = env.step(action), other.step(action)
        assert same(mine, its)
        if mine[2] or mine[3]:
            assert same(env.reset(), other.reset())


@stacks
def test_the_spec_rebuilds_the_stack(world, wrap):
    env = wrap(make(world))
    again = gymnasium.make(env.spec)
    env.action_space.seed(0)
    steps = [env.action_space.sample() for _ in range(8)]
    assert same(rollout(again, steps), rollout(env, steps))


def test_wrappers_say_where_they_belong(world):
    flat = FlatObservation(make(world))
    for wrap in (SlotBySlot, FlatObservation, STACKS["HistoryLength"], STACKS["RecordSessions"]):
        with pytest.raises(InputError, match="inside the wrapper that changes the observation"):
            wrap(flat)
    ScoreAction(flat).reset(seed=0)
    other = gymnasium.make("CartPole-v1")
    for wrap in STACKS.values():
        with pytest.raises(InputError, match="wraps a SlateEnv, not a CartPoleEnv"):
            wrap(other)


@pytest.mark.parametrize("h", [-1, 2.5, True, "3"])
def test_a_history_has_a_length(world, h):
    with pytest.raises(InputError, match="history's length"):
        HistoryLength(make(world), h)
    with pytest.raises(InputError, match="memory's length"):
        MemoryLength(make(world), h)
