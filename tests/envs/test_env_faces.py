"""The faces: registration, wrappers, rendering, SB3's learners, threads."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import gymnasium
import numba
import numpy as np
import pytest

import envs
from behavior.errors import InputError
from envs.contract import random_actions
from envs.core import SlateCore
from envs.render import slate_picture, slate_text
from envs.single import SlateEnv
from envs.toy import toy_world
from envs.vector import SlateVectorEnv
from envs.world import TaskConfig
from envs.wrappers import FlatObservation, ScoreAction, SlotBySlot, flatten_observation

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=5)


@pytest.fixture(scope="module")
def world():
    return toy_world(300, 12, 12)


def test_import_is_light():
    code = (
        "import sys, envs, gymnasium; gymnasium.make('envs:SlateRank-v0').reset(seed=0); "
        "print([m for m in ('torch', 'stable_baselines3', 'pandera', 'sklearn', 'pandas', 'matplotlib') "
        "if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_all_names_resolve():
    for name in envs.__all__:
        assert getattr(envs, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        envs.nothing  # noqa: B018


def test_make_and_make_vec(world):
    single = gymnasium.make("envs:SlateRank-v0", world=world, task=TASK)
    assert isinstance(single.unwrapped, SlateEnv)
    assert single.unwrapped.world is world  # Gymnasium deep-copies arguments; a world is not copied
    vector = gymnasium.make_vec("envs:SlateRank-v0", num_envs=3, world=world, task=TASK)
    assert isinstance(vector, SlateVectorEnv)
    assert vector.action_space.shape == (3, 4)


def test_one_and_two_threads_give_the_same_bits(world):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only")

    def rollout(threads):
        numba.set_num_threads(threads)
        core = SlateCore(world, TASK, n_users=300, seed=2)
        core.reset()
        pages = []
        for _ in range(8):
            result = core.step(random_actions(TASK, core.state.user, core.state.step))
            pages.append([result.reward, *result.observation.as_dict().values()])
        return pages

    before = numba.get_num_threads()
    try:
        for one, two in zip(rollout(1), rollout(2), strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    finally:
        numba.set_num_threads(before)


def test_single_env_picks_users_and_goes_on(world):
    env = SlateEnv(world, TASK, first_user=3, stride=10)
    assert env.reset(seed=0)[1]["user"] == 3
    assert env.reset()[1]["user"] == 13
    assert env.reset(options={"user": 77})[1]["user"] == 77
    assert env.reset(seed=0)[1]["user"] == 3
    with pytest.raises(InputError, match="'users'"):
        env.reset(options={"users": 3})


def test_infos(world):
    env = SlateVectorEnv(6, world, TASK)
    env.reset(options={"users": np.arange(6) + 100})
    with pytest.raises(InputError, match="sequence"):
        env.reset(seed=[1, 2, 3, 4, 5, 6])
    for _ in range(5):
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        done = terminated | truncated
        assert (info["_score"] == ~done).all()
        parts = info["reward_parts"]
        mix = dataclasses.asdict(TASK.reward)
        np.testing.assert_allclose(reward, sum(mix[name] * parts[name] for name in mix))
        if done.any():
            assert (info["_final_info"] == done).all()
            row = int(np.flatnonzero(done)[0])
            session = info["final_info"]["session"][row]
            assert session["user"] == info["final_info"]["user"][row]
            assert session["left"] == terminated[row]
            assert info["user"][row] == session["user"] + 6
    assert done.any()  # five pages are the limit


def test_score_action_shows_the_highest_scores(world):
    env = ScoreAction(SlateEnv(world, TASK))
    observation, _ = env.reset(seed=1)
    scores = np.linspace(-1, 1, 12)[np.random.default_rng(0).permutation(12)]
    *_, info = env.step(scores)
    best = np.argsort(-scores)[:4]
    assert info["slate"].tolist() == observation["candidates"][best].tolist()
    assert info["repairs"] == 0


def test_slot_by_slot_equals_the_whole_slate(world):
    whole, slots = SlateEnv(world, TASK, seed=4), SlotBySlot(SlateEnv(world, TASK, seed=4))
    (a, _), (b, _) = whole.reset(), slots.reset()
    over = False
    while not over:
        page = np.array([5, 0, 11, 3])
        for k, choice in enumerate(page):
            assert b["chosen"].tolist() == [*a["candidates"][page[:k]], *[-1] * (4 - k)]
            assert b["action_mask"].sum() == 12 - k
            b, reward, terminated, truncated, info = slots.step(choice)
            assert slots.observation_space.contains(b)
            assert (reward == 0.0 and not terminated) or k == 3
        a, expected, *ends, _ = whole.step(page)
        assert (reward, [terminated, truncated]) == (expected, ends)
        assert all(np.array_equal(a[name], b[name]) for name in a)
        assert info["repairs"] == 0
        over = terminated or truncated


def test_slot_by_slot_repairs_illegal_choices(world):
    env = SlotBySlot(SlateEnv(world, TASK))
    observation, _ = env.reset()
    for choice in (11, 11, 11, 0):  # 11, then 0 and 1 (cyclically), then 2
        *_, info = env.step(choice)
    assert info["slate"].tolist() == observation["candidates"][[11, 0, 1, 2]].tolist()
    assert info["repairs"] == 3


def test_flat_observation_by_hand(world):
    env = SlateEnv(world, TASK)
    observation, _ = env.reset(seed=0)
    while not (observation["clicked"] >= 0).sum() >= 2:
        observation, _, terminated, truncated, _ = env.step(np.arange(4))
        if terminated or truncated:
            observation, _ = env.reset()
    flat = FlatObservation(env).observation(observation)
    items, D, N = world.features.item_vectors, 16, 12
    clicked = items[observation["clicked"][observation["clicked"] >= 0]].mean(axis=0)
    np.testing.assert_allclose(flat[:D], world.features.query_vectors[observation["query"][0]])
    np.testing.assert_allclose(flat[D : 2 * D], clicked, rtol=1e-5)
    np.testing.assert_allclose(
        flat[2 * D : 3 * D], items[observation["candidates"]].mean(axis=0), rtol=1e-4, atol=1e-6
    )
    rest = flat[3 * D :]
    np.testing.assert_array_equal(rest[:N], observation["scores"])
    np.testing.assert_allclose(
        rest[N : 2 * N], items[observation["candidates"]] @ clicked, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_array_equal(rest[2 * N : 3 * N], observation["seen"])
    np.testing.assert_array_equal(rest[3 * N + world.simulator.context_size :], observation["progress"])


def test_flat_observation_is_zero_where_there_is_nothing(world):
    core = SlateCore(world, TaskConfig(slate_size=4, n_candidates=20), n_users=2)
    flat = flatten_observation(core.reset(), world.features)
    assert (flat[:, 16:32] == 0).all()  # nothing clicked
    assert (flat[:, 48 + 12 : 48 + 20] == 0).all()  # padded scores


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped")
@pytest.mark.parametrize("wrap", [ScoreAction, SlotBySlot, FlatObservation])
def test_wrapped_environments_pass_gymnasiums_checker(world, wrap):
    from gymnasium.utils.env_checker import check_env

    check_env(wrap(SlateEnv(world, TASK)), skip_render_check=True)


def test_sb3_learners_run_on_every_shape(world):
    from stable_baselines3 import DQN, PPO, SAC

    from envs.sb3 import SlateVecEnv

    vec = SlateVecEnv(8, world, TASK)
    ppo = PPO("MultiInputPolicy", vec, n_steps=8, batch_size=32, n_epochs=1, seed=0)
    ppo.learn(128)
    assert ppo.ep_info_buffer is not None
    assert {"r", "l", "t"} <= set(ppo.ep_info_buffer[0])
    flat = FlatObservation(SlotBySlot(SlateEnv(world, TASK)))
    assert DQN("MlpPolicy", flat, learning_starts=10, buffer_size=100).learn(40).num_timesteps == 40
    scores = FlatObservation(ScoreAction(SlateEnv(world, TASK)))
    assert SAC("MlpPolicy", scores, learning_starts=10, buffer_size=100).learn(20).num_timesteps == 20


def test_sb3_face_answers_for_its_slots(world):
    from stable_baselines3.common.monitor import Monitor

    from envs.sb3 import SlateVecEnv

    vec = SlateVecEnv(
        3, world, TaskConfig(slate_size=4, n_candidates=15, max_steps=5), render_mode="rgb_array"
    )
    with pytest.raises(InputError, match="step_async"):
        vec.step_wait()
    vec.seed(9)
    vec.reset()
    assert vec.core.seed == 9
    assert vec.users.tolist() == [0, 1, 2]
    assert [info["user"] for info in vec.reset_infos] == [0, 1, 2]
    vec.reset()
    assert vec.users.tolist() == [3, 4, 5]
    assert vec.get_attr("render_mode", [0, 2]) == ["rgb_array"] * 2
    assert vec.env_is_wrapped(Monitor) == [True] * 3
    masks = vec.env_method("action_masks")
    assert masks[0].reshape(4, 15).sum(axis=1).tolist() == [12] * 4
    vec.step(np.tile(np.arange(4), (3, 1)))
    assert vec.get_images()[0].shape[2] == 3
    with pytest.raises(InputError, match="some users only"):
        vec.set_attr("x", 1, indices=[0])
    with pytest.raises(InputError, match="'fly'"):
        vec.env_method("fly")


def test_text_and_picture(world):
    slate = np.array([3, 5, -1])
    text = slate_text(
        world, query=2, slate=slate, click=np.array([1, 1, 0]), purchase=np.array([0, 1, 0]), heading="before"
    )
    lines = text.splitlines()
    assert lines[0] == "before"
    assert world.queries[2] in lines[1]
    assert world.titles[3] in lines[3]
    assert lines[3].endswith("clicked")
    assert f"{world.features.price[5]:,.2f}" in lines[4]
    assert lines[4].endswith("bought")
    assert "(empty)" in lines[5]
    plain = slate_picture(world, query=2, slate=slate)
    clicked = slate_picture(world, query=2, slate=slate, click=np.array([1, 0, 0]))
    assert plain.dtype == np.uint8
    assert plain.shape == clicked.shape
    assert plain.shape[1:] == (720, 3)
    changed = (plain != clicked).any(axis=(1, 2)).nonzero()[0]
    assert changed.size > 0
    assert changed.max() - changed.min() < 30  # only the clicked row


def test_long_titles_are_cut(world):
    long = dataclasses.replace(world, titles=("word " * 60,) * 300)
    assert "…" in slate_text(long, query=-1, slate=np.array([0]))
    assert slate_picture(long, query=0, slate=np.array([0]), width=10).shape[1] == 360


def test_render_modes(world, capsys):
    env = SlateEnv(world, TASK, render_mode="ansi")
    env.reset(seed=0)
    assert "query" in env.render()
    env.step(np.arange(4))
    assert env.render().count("\n") == 6
    assert env.render().startswith("user 0, page 1 of at most 5\n")
    human = SlateEnv(world, TASK, render_mode="human")
    human.reset(seed=0)
    human.step(np.arange(4))
    assert "query" in capsys.readouterr().out
    pictures = SlateVectorEnv(2, world, TASK, render_mode="rgb_array")
    pictures.reset()
    pictures.step(np.tile(np.arange(4), (2, 1)))
    assert [p.shape[2] for p in pictures.render()] == [3, 3]
    with pytest.raises(InputError, match="'3d'"):
        SlateEnv(world, TASK, render_mode="3d")


def test_toy_world_says_what_is_wrong():
    with pytest.raises(InputError, match="n_candidates is 50"):
        toy_world(20)


def test_forked_workers_answer_like_the_parent(world):
    # The parent has started OpenMP's threads by now; a child that touched a parallel kernel would die.
    SlateCore(world, TASK, n_users=300).reset()
    workers = gymnasium.vector.AsyncVectorEnv(
        [lambda b=b: SlateEnv(world, TASK, seed=6, first_user=b, stride=2) for b in range(2)],
        autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP,
        context="fork",
    )
    here = SlateVectorEnv(2, world, TASK, seed=6)
    try:
        theirs, _ = workers.reset()
        ours, _ = here.reset()
        for _ in range(6):
            for name, array in ours.items():
                np.testing.assert_array_equal(array, theirs[name])
            actions = random_actions(TASK, here.state.user, here.state.step)
            ours = here.step(actions)[0]
            theirs = workers.step(actions)[0]
    finally:
        workers.close()


def test_autoreset_modes_by_name(world):
    made = gymnasium.make_vec(
        "envs:SlateRank-v0",
        num_envs=2,
        world=world,
        task=TASK,
        autoreset_mode=gymnasium.vector.AutoresetMode.DISABLED,
    )
    assert made.metadata["autoreset_mode"] is gymnasium.vector.AutoresetMode.DISABLED
    assert SlateVectorEnv.metadata["autoreset_mode"] is gymnasium.vector.AutoresetMode.SAME_STEP
    assert SlateVectorEnv(2, world, TASK, autoreset_mode="NextStep").core.autoreset == "next_step"
    with pytest.raises(InputError, match="'never'"):
        SlateVectorEnv(2, world, TASK, autoreset_mode="never")


def test_disabled_autoreset_waits_for_a_reset_of_the_slot(world):
    env = SlateVectorEnv(3, world, TASK, seed=1, autoreset_mode="Disabled")
    observation, _ = env.reset()
    done = np.zeros(3, bool)
    while not done.any():
        observation, _, terminated, truncated, info = env.step(env.action_space.sample())
        done = terminated | truncated
    row = int(np.flatnonzero(done)[0])
    assert info["session"][row]["user"] == row
    with pytest.raises(InputError, match=f"user {row} is over"):
        env.step(env.action_space.sample())
    renewed, info = env.reset(options={"reset_mask": done})
    assert (info["_user"] == done).all()
    assert (env.state.user == np.where(done, np.arange(3) + 3, np.arange(3))).all()
    for name, array in renewed.items():
        assert np.array_equal(array[~done], observation[name][~done])
    env.step(env.action_space.sample())
    with pytest.raises(InputError, match="seed is 2"):
        env.reset(seed=2, options={"reset_mask": done})


def test_faces_go_on_from_a_saved_state(world):
    from envs.sb3 import SlateVecEnv

    vector, sb3 = SlateVectorEnv(3, world, TASK, seed=5), SlateVecEnv(3, world, TASK, seed=5)
    single = SlateEnv(world, TASK, seed=5, stride=3)
    for env in (vector, sb3, single):
        env.reset()
    page = np.arange(4)
    vector.step(np.tile(page, (3, 1)))
    observation = vector.restore_state(vector.save_state())
    assert all(
        np.array_equal(observation[name], array) for name, array in vector.core.observe().as_dict().items()
    )
    restored = sb3.restore_state(vector.save_state())
    assert all(np.array_equal(restored[name], observation[name]) for name in observation)
    saved = single.save_state()
    expected = single.step(page)
    single.restore_state(saved)
    again = single.step(page)
    assert expected[1:4] == again[1:4]
    assert all(np.array_equal(expected[0][name], again[0][name]) for name in again[0])


def test_sb3_options_pick_users(world):
    from envs.sb3 import SlateVecEnv

    vec = SlateVecEnv(2, world, TASK)
    vec.set_options([{"user": 40}, {"user": 7}])
    vec.reset()
    assert vec.users.tolist() == [40, 7]
    vec.reset()
    assert vec.users.tolist() == [42, 9]
    vec.set_options({"fly": 1})
    with pytest.raises(InputError, match="'fly'"):
        vec.reset()
    vec.seed(-1)
    with pytest.raises(InputError, match="seed is -1"):
        vec.reset()
    vec.reset()  # what was refused is forgotten
    assert vec.users.tolist() == [44, 11]


def test_ragged_actions_are_refused(world):
    env = SlateEnv(world, TASK)
    env.reset()
    with pytest.raises(InputError, match="integers of shape"):
        env.step([[0, 1], [2]])
    with pytest.raises(InputError, match=r"action 0\.0 of user 0 at position 0 is float64"):
        env.step(np.array([0.0, np.nan, 1.0, 2.0]))
    env.step([0, 1, 2, 3])  # a list will do
