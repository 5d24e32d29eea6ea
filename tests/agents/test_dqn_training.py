"""DQN's variants train, resume to the bit, and explore user by user."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from agents.building import TrainingEnv, build_learner
from agents.dqn.config import DQNConfig
from agents.dqn.learner import SlateDQN
from agents.learning import TrainingOptions, train_agent
from agents.ranks import Ranks
from envs.toy import toy_world
from envs.world import TaskConfig

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=5)
WORLD = toy_world(n_items=60, n_queries=6, n_candidates=12, width=8)
SMALL = DQNConfig(
    n_envs=16, batch_size=64, block=4, n_steps=4, buffer_size=480, learning_starts=64, train_freq=2
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def fresh(config: DQNConfig = SMALL, seed: int = 7) -> SlateDQN:
    env = TrainingEnv(config.n_envs, WORLD, TASK, seed=seed, ranks=Ranks.alone())
    model = build_learner(config, env, TASK, seed=seed, device="cpu", ranks=Ranks.alone())
    assert isinstance(model, SlateDQN)
    return model


class At(BaseCallback):
    """Do something between two rounds, once, from a step on."""

    def __init__(self, step: int, do: Callable[[], None]) -> None:
        super().__init__()
        self.step, self.do, self.done = step, do, False

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self.step and not self.done:
            self.done = True
            self.do()

    def _on_step(self) -> bool:
        return True


@pytest.mark.parametrize("step", [0, 64, 480, 800])
def test_a_restored_training_goes_on_to_the_bit(step: int) -> None:
    """Saved before the first page, before the first update, with a replay just filled, and one gone round."""
    one, saved = fresh(), dict[str, Any]()

    def keep() -> None:
        saved["state"] = {name: array.copy() for name, array in one.training_state().items()}
        saved["parameters"] = deepcopy(one.get_parameters())
        saved["counters"] = one.num_timesteps, one._n_updates

    one.learn(1_200, callback=At(step, keep))
    other = fresh(seed=8)
    other.set_parameters(saved["parameters"])
    other.num_timesteps, other._n_updates = saved["counters"]
    other.restore_training_state(saved["state"])
    other.learn(1_200 - other.num_timesteps, reset_num_timesteps=False)
    assert other.num_timesteps == one.num_timesteps
    assert other._n_updates == one._n_updates > 0
    mine, theirs = one.policy.state_dict(), other.policy.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    states = one.training_state(), other.training_state()
    assert states[0].keys() == states[1].keys()
    for name in states[0]:
        np.testing.assert_array_equal(states[0][name], states[1][name], err_msg=name)


VARIANTS: dict[str, dict[str, Any]] = {
    "one step": {"n_steps": 1, "block": 1},
    "no double": {"double": False},
    "watkins": {"cut_traces": True, "trace_decay": 0.9},
    "expected": {"expected": True},
    "polyak": {"tau": 0.05, "target_update_interval": 16},
    "recent": {"recent": 128},
    "small item steps": {"item_rate": 0.1},
    "crowding": {"crowding": True, "optimiser": "greedy"},
    "assignment": {"optimiser": "exact"},
    "slateq": {"choice": "multinomial", "optimiser": "exact"},
    "slateq greedy": {"choice": "multinomial", "optimiser": "greedy"},
    "slateq top-k": {"choice": "multinomial", "optimiser": "topk"},
    "limit ends": {"bootstrap_at_limit": False},
}


def test_every_variant_learns_something_of_its_own() -> None:
    quiet = TrainingOptions(progress=False)
    weights: dict[str, NDArray[np.float32]] = {}
    for name, changes in {"plain": {}, **VARIANTS}.items():
        model = train_agent(replace(SMALL, **changes), WORLD, TASK, total_steps=320, options=quiet)
        learned = model.policy.state_dict()
        parts = [
            learned[part].numpy().ravel()
            for part in learned
            if part.startswith(("q_net.response", "q_net.untouched"))
        ]
        weights[name] = np.concatenate(parts)
        assert np.isfinite(weights[name]).all(), name
    names = list(weights)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert not np.array_equal(weights[one], weights[other]), (one, other)


def test_every_user_explores_by_a_coin_of_their_own() -> None:
    config = replace(SMALL, n_envs=512, exploration_temperature=2.0)
    model = fresh(config)
    model.learn(512)
    model.num_timesteps, model.exploration_rate = config.learning_starts, 0.25
    network = model.policy.q_net
    with torch.no_grad():
        observation = {name: torch.as_tensor(array) for name, array in model._last_obs.items()}  # type: ignore[union-attr]
        greedy = network._predict(observation).numpy()
    shares = []
    for _ in range(20):
        slates, explored = model.explore(0)
        np.testing.assert_array_equal(slates[~explored], greedy[~explored])
        shares.append(explored.mean())
        assert (np.sort(slates, axis=1)[:, 1:] != np.sort(slates, axis=1)[:, :-1]).all()
    # 512 coins at 0.25: the spread of a share is 0.019; one coin for all would give 0 or 1.
    assert np.abs(np.array(shares) - 0.25).max() < 5 * 0.0192
    assert (slates[explored] != greedy[explored]).any(axis=1).mean() > 0.5


def test_the_draw_is_plackett_luce_at_the_temperature() -> None:
    """How often each candidate comes first, against the softmax of the standardised values."""
    config = replace(SMALL, n_envs=1_024, exploration_temperature=0.7)
    model = fresh(config)
    model.learn(1_024)
    one = {name: np.repeat(array[:1], 1_024, axis=0) for name, array in model._last_obs.items()}  # type: ignore[union-attr]
    model._last_obs = one
    model.num_timesteps, model.exploration_rate = 10**6, 1.0
    with torch.no_grad():
        values = model.policy.q_net({name: torch.as_tensor(array[:1]) for name, array in one.items()})
    items = values.item_values()[0].detach().double().numpy()
    weight = np.exp((items - items.max()) / (0.7 * items.std()))
    expected = weight / weight.sum()
    firsts = np.concatenate([model.explore(0)[0][:, 0] for _ in range(20)])
    counts = np.bincount(firsts, minlength=12)
    chi_square = float((np.square(counts - firsts.size * expected) / (firsts.size * expected)).sum())
    assert chi_square < 31.3  # the 99.9th percentile at 11 degrees of freedom


def test_gradients_are_averaged_before_they_are_clipped() -> None:
    class Spy(Ranks):
        seen = 0

        def average_gradients(self, parameters: Any) -> None:
            Spy.seen += 1
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.zero_()

    model = fresh()
    model.ranks = Spy()
    before = {name: tensor.detach().clone() for name, tensor in model.policy.q_net.named_parameters()}
    model.learn(160)
    # Gradients that the group brings to nothing change nothing.
    assert Spy.seen == model._n_updates > 0
    after = dict(model.policy.q_net.named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in before)
