"""One short run of every SB3 and sb3-contrib algorithm that takes the environment's spaces, through its wrappers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from envs.sb3 import SlateVecEnv
from envs.single import SlateEnv
from envs.toy import toy_world
from envs.world import TaskConfig
from envs.wrappers import FlatObservation, HistoryLength, ScoreAction, SlotBySlot

TASK = TaskConfig(slate_size=3, n_candidates=8, max_steps=4)
SMALL = {"net_arch": [16]}


@pytest.fixture(scope="module")
def world():
    return toy_world(100, 6, 8)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch(world):
    return SlateVecEnv(4, world, TASK)


def slots(world):
    return FlatObservation(SlotBySlot(HistoryLength(SlateEnv(world, TASK), 4)))


def scores(world):
    return FlatObservation(ScoreAction(SlateEnv(world, TASK)))


OFF_POLICY = {"learning_starts": 20, "buffer_size": 200, "batch_size": 16, "policy_kwargs": SMALL}
ROLLOUT = {"n_steps": 8, "policy_kwargs": SMALL}
RUNS = {  # SB3 writes into policy_kwargs: each run gets a copy
    "PPO": (PPO, batch, "MultiInputPolicy", {**ROLLOUT, "batch_size": 16, "n_epochs": 2}),
    "A2C": (A2C, batch, "MultiInputPolicy", ROLLOUT),
    "TRPO": (TRPO, batch, "MultiInputPolicy", {**ROLLOUT, "batch_size": 16}),
    "MaskablePPO": (MaskablePPO, batch, "MultiInputPolicy", {**ROLLOUT, "batch_size": 16, "n_epochs": 2}),
    "RecurrentPPO": (
        RecurrentPPO,
        batch,
        "MultiInputLstmPolicy",
        {"n_steps": 8, "batch_size": 16, "n_epochs": 2, "policy_kwargs": {**SMALL, "lstm_hidden_size": 8}},
    ),
    "DQN": (DQN, slots, "MlpPolicy", OFF_POLICY),
    "QRDQN": (QRDQN, slots, "MlpPolicy", {**OFF_POLICY, "policy_kwargs": {**SMALL, "n_quantiles": 5}}),
    "SAC": (SAC, scores, "MlpPolicy", OFF_POLICY),
    "TD3": (TD3, scores, "MlpPolicy", OFF_POLICY),
    "DDPG": (DDPG, scores, "MlpPolicy", OFF_POLICY),
    "TQC": (TQC, scores, "MlpPolicy", OFF_POLICY),
    "CrossQ": (CrossQ, scores, "MlpPolicy", OFF_POLICY),
    "ARS": (ARS, scores, "LinearPolicy", {"n_delta": 2}),
}


@pytest.mark.parametrize("name", RUNS)
def test_it_trains(name, world):
    algorithm, make, policy, options = RUNS[name]
    env = make(world)
    model = algorithm(policy, env, seed=0, device="cpu", **copy.deepcopy(options))
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    model.learn(64)
    assert model.num_timesteps >= 64
    after = model.policy.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values() if value.is_floating_point())
    assert any(not torch.equal(value, before[key]) for key, value in after.items()), "nothing was learned"
    episodes = list(model.ep_info_buffer)
    assert episodes
    assert all(
        0 < episode["l"] <= TASK.max_steps * (TASK.slate_size if make is slots else 1) for episode in episodes
    )
    observation = env.reset() if make is batch else env.reset()[0]
    for _ in range(6):
        action, _ = model.predict(observation, deterministic=True)
        assert env.action_space.contains(action) or make is batch
        result = env.step(action)
        observation = result[0]
        if make is not batch and (result[2] or result[3]):
            observation = env.reset()[0]


def test_masked_choices_are_never_repaired_for_padding(world):
    # Twelve candidates asked for, eight there: whoever heeds the masks chooses no padding.
    env = SlateVecEnv(4, world, TaskConfig(slate_size=1, n_candidates=12, max_steps=4))
    model = MaskablePPO("MultiInputPolicy", env, n_steps=8, batch_size=16, seed=0, policy_kwargs=dict(SMALL))
    observation = env.reset()
    for _ in range(10):
        action, _ = model.predict(observation, action_masks=env.action_masks())
        observation, *_ = env.step(action)
        assert (action < 8).all()
        assert not env.last_result.repairs.any()


def test_masked_slots_are_never_repaired(world):
    env = slots(world)
    model = MaskablePPO("MlpPolicy", env, n_steps=16, batch_size=16, seed=0, policy_kwargs=dict(SMALL))
    model.learn(64)
    observation, _ = env.reset()
    for _ in range(40):
        action, _ = model.predict(observation, action_masks=env.get_wrapper_attr("action_masks")())
        observation, _, terminated, truncated, info = env.step(action)
        assert info["repairs"] == 0
        if terminated or truncated:
            observation, _ = env.reset()


def test_sb3s_own_wrappers_fit_around(world):
    # Normalised rewards over the batch, and SB3's batch over single environments, give the same sessions.
    ours = VecNormalize(batch(world), norm_obs=False)
    theirs = VecNormalize(
        DummyVecEnv([lambda b=b: SlateEnv(world, TASK, first_user=b, stride=4) for b in range(4)]),
        norm_obs=False,
    )
    a, b = ours.reset(), theirs.reset()
    rng = np.random.default_rng(0)
    for _ in range(20):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])
        actions = rng.integers(8, size=(4, 3))
        a, reward, *_ = ours.step(actions)
        b, other, *_ = theirs.step(actions)
        np.testing.assert_allclose(reward, other, rtol=1e-6)
