"""Every registered task in everything that Gymnasium and Stable-Baselines3 do with an environment."""

from __future__ import annotations

import copy
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import AddRenderObservation, RecordEpisodeStatistics, TimeLimit
from gymnasium.wrappers.vector import RecordEpisodeStatistics as RecordVectorEpisodeStatistics

import envs  # noqa: F401  registers the tasks
from envs import contract
from envs.contract_tools import assert_equal
from envs.single import SlateEnv
from envs.tasks import SUITE
from envs.vector import SlateVectorEnv
from envs.wrappers import FlatObservation, ScoreAction, SlotBySlot

SMALL = ["SlateRank-v0", *(name for name in SUITE if name != "SlateRank-Catalog1M-v0")]
BIG = [pytest.param("SlateRank-Catalog1M-v0", marks=pytest.mark.slow)]
every_task = pytest.mark.parametrize("name", [*SMALL, *BIG])


def world_and_task(name):
    env = gymnasium.make(name).unwrapped
    return env.world, env.task


@every_task
def test_gymnasiums_checker_skips_nothing(name, recwarn):
    for mode in (None, "ansi", "rgb_array"):
        check_env(gymnasium.make(name, render_mode=mode).unwrapped)
    assert not recwarn.list


@every_task
@pytest.mark.filterwarnings("error")
def test_the_contract_suite(name):
    world, task = world_and_task(name)
    contract.check_env_suite(lambda: world, task)


@every_task
def test_four_thousand_users_live_as_one(name):
    world, task = world_and_task(name)
    contract.check_batch_independence(lambda: world, task, sizes=(3, 4096), n_steps=6)


@every_task
def test_what_is_documented_is_what_is_made(name):
    env = gymnasium.make(name).unwrapped
    headings = [line[3:] for line in (type(env).__doc__ or "").splitlines() if line.strip().startswith("## ")]
    headings = [heading.strip("# ").strip() for heading in headings]
    for heading in (
        "Description",
        "Action Space",
        "Observation Space",
        "Rewards",
        "Starting State",
        "Episode End",
        "Arguments",
        "Version History",
    ):
        assert any(heading in found for found in headings), f"no heading {heading!r} in {headings}"


@every_task
def test_make_vec(name):
    native = gymnasium.make_vec(name, num_envs=3)
    assert isinstance(native, SlateVectorEnv)
    assert native.spec is not None
    sync = gymnasium.make_vec(name, num_envs=3, vectorization_mode="sync")
    assert isinstance(sync, SyncVectorEnv)
    assert native.single_observation_space == sync.single_observation_space
    assert native.observation_space == sync.observation_space
    assert native.action_space == sync.action_space
    for env in (native, sync):
        observation, _ = env.reset(seed=4)
        env.action_space.seed(4)
        assert env.observation_space.contains(observation)
        for _ in range(8):
            observation, reward, *_ = env.step(env.action_space.sample())
            assert env.observation_space.contains(observation)
            assert reward.shape == (3,)
        env.close()


@every_task
def test_statistics_of_episodes(name):
    env = RecordEpisodeStatistics(gymnasium.make(name))
    env.action_space.seed(1)
    env.reset(seed=1)
    total, length, episodes = 0.0, 0, 0
    while episodes < 5:
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        total, length = total + reward, length + 1
        if terminated or truncated:
            assert info["episode"]["l"] == length == info["session"]["length"]
            assert info["episode"]["r"] == pytest.approx(total)
            assert info["session"]["reward"] == pytest.approx(total)
            total, length, episodes = 0.0, 0, episodes + 1
            env.reset()


@every_task
def test_statistics_of_a_batch(name):
    env = RecordVectorEpisodeStatistics(gymnasium.make_vec(name, num_envs=5))
    env.action_space.seed(1)
    env.reset(seed=1)
    episodes = 0
    for _ in range(40):
        _, _, terminated, truncated, info = env.step(env.action_space.sample())
        done = terminated | truncated
        assert ("episode" in info) == done.any()
        for row in np.flatnonzero(done):
            session = info["final_info"]["session"][row]
            assert info["episode"]["r"][row] == pytest.approx(session["reward"])
            assert info["episode"]["l"][row] == session["length"]
            episodes += 1
    assert episodes == env.episode_count
    assert episodes >= 5


@every_task
def test_a_time_limit_truncates(name):
    env = TimeLimit(gymnasium.make(name), 2)
    ends = set()
    for user in range(8):
        env.reset(seed=0, options={"user": user})
        env.step(env.action_space.sample())
        if not env.unwrapped.core.over.any():
            *_, terminated, truncated, _ = env.step(env.action_space.sample())
            assert terminated or truncated
            ends.add((terminated, truncated))
    assert (False, True) in ends


@every_task
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_of_what_make_gives(name, clone):
    env = gymnasium.make(name)
    env.action_space.seed(0)
    env.reset(seed=2)
    env.step(env.action_space.sample())
    other = clone(env)
    for _ in range(10):
        if env.unwrapped.core.over.any():
            assert_equal(env.reset(), other.reset(), "reset")
        action = env.action_space.sample()
        assert_equal(env.step(action), other.step(action), "step")
    vector = gymnasium.make_vec(name, num_envs=3)
    vector.reset(seed=2)
    actions = [vector.action_space.sample() for _ in range(10)]
    for action in actions[:3]:
        vector.step(action)
    other = clone(vector)
    for action in actions[3:]:
        assert_equal(vector.step(action), other.step(action), "vector step")


@pytest.mark.parametrize("name", ["SlateRank-v0", "SlateRank-Business-v0"])
def test_spawned_workers_answer_like_the_batch(name):
    # Each worker imports the package afresh and makes its own world: equal bits all the same.
    options = {"autoreset_mode": AutoresetMode.SAME_STEP, "context": "spawn"}
    if name == "SlateRank-v0":
        workers = AsyncVectorEnv([Maker(name, slot, 2) for slot in range(2)], **options)
        here = gymnasium.make_vec(name, num_envs=2, seed=6)
    else:  # all workers begin with one user, and go on to the next
        workers = gymnasium.make_vec(
            name, num_envs=2, vectorization_mode="async", vector_kwargs=options, seed=6
        )
        here = SyncVectorEnv([Maker(name, 0, 1)] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    try:
        assert workers.observation_space == here.observation_space
        theirs, _ = workers.reset()
        ours, _ = here.reset()
        here.action_space.seed(0)
        for step in range(12):
            assert_equal(dict(ours), dict(theirs), f"step {step}")
            actions = here.action_space.sample()
            ours, *ends, _ = here.step(actions)
            theirs, *other_ends, _ = workers.step(actions)
            assert_equal(tuple(ends), tuple(other_ends), f"step {step}")
    finally:
        workers.close()


class Maker:
    """Makes a worker's environment; a class, for it travels to a spawned process by its name."""

    def __init__(self, name, slot, n_envs):
        self.name, self.options = name, {"seed": 6, "first_user": slot, "stride": n_envs}

    def __call__(self):
        return gymnasium.make(f"envs:{self.name}", **self.options)


@every_task
def test_slots_are_filled_within_the_rules(name):
    env = SlotBySlot(gymnasium.make(name))
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=3)
    for _ in range(12 * env.unwrapped.task.slate_size):
        legal = np.flatnonzero(observation["action_mask"])
        assert legal.size
        observation, _, terminated, truncated, info = env.step(int(rng.choice(legal)))
        assert info["repairs"] == 0
        assert not any(info.get("costs", {}).values())
        if terminated or truncated:
            observation, _ = env.reset()


@every_task
def test_scores_are_shown_in_their_order(name):
    env = ScoreAction(gymnasium.make(name))
    observation, _ = env.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(12):
        scores = rng.normal(size=env.action_space.shape).astype(np.float32)
        best = np.argsort(-np.where(observation["candidates"] >= 0, scores, -np.inf))
        shown = observation["candidates"][best[: env.unwrapped.task.slate_size]]
        observation, _, terminated, truncated, info = env.step(scores)
        if info["repairs"] == 0:  # the rules of a task may change the page
            assert info["slate"].tolist() == shown.tolist()
        if terminated or truncated:
            observation, _ = env.reset()


@every_task
def test_flat_observations_are_finite(name):
    env = FlatObservation(gymnasium.make(name))
    observation, _ = env.reset(seed=3)
    env.action_space.seed(3)
    for _ in range(12):
        assert env.observation_space.contains(observation)
        assert np.isfinite(observation).all()
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            observation, _ = env.reset()


@every_task
def test_pictures_as_observations(name):
    env = AddRenderObservation(gymnasium.make(name, render_mode="rgb_array"), render_only=True)
    picture, _ = env.reset(seed=1)
    assert env.observation_space.contains(picture)
    other = env.step(env.action_space.sample())[0]
    assert env.observation_space.contains(other)
    assert (picture != other).any()


def test_all_tasks_are_known_to_gymnasium():
    for name in SUITE:
        assert name in gymnasium.registry
        assert gymnasium.registry[name].vector_entry_point
    assert isinstance(gymnasium.make("SlateRank-v0").unwrapped, SlateEnv)
