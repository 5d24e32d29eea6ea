"""Settings that cannot work are refused by name, before anything is built."""

from __future__ import annotations

from typing import Any

import pytest

from agents.dqn.config import DQNConfig
from agents.learning import TrainingOptions, train_agent
from agents.network_config import NetworkConfig
from agents.registry import learner_config
from behavior.errors import InputError
from envs.toy import toy_world
from envs.world import TaskConfig


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"memory_encoder": "gur"}, "choose one of sums, gru, transformer"),
        ({"memory_encoder": "transformer", "memory_width": 33}, "choose an even number"),
        ({"memory_width": 0}, "choose an integer from 1"),
        ({"item_traits": -1}, "choose an integer from 0"),
        ({"item_width": -3}, "choose an integer from 0"),
        ({"item_limit": 2.5}, "choose an integer from 0"),
        ({"state_width": 0}, "choose an integer from 1"),
        ({"candidate_width": 0}, "choose an integer from 1"),
        ({"item_scale": 0.0}, "choose a number from 1e-12"),
        ({"value_scale": float("nan")}, "choose a number from 1e-12"),
    ],
)
def test_networks(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)NetworkConfig\..*{told}"):
        NetworkConfig(**settings)


@pytest.mark.parametrize(
    ("agent", "settings", "told"),
    [
        ("ppo", {"n_envs": 0}, "n_envs is 0"),
        ("ppo", {"batch_size": 0}, "batch_size is 0"),
        ("ppo", {"gamma": 1.5}, "gamma is 1.5"),
        ("ppo", {"n_steps": 0}, "n_steps is 0"),
        ("ppo", {"n_envs": 1, "n_steps": 1}, "n_envs x n_steps of at least 2"),
        ("ppo", {"n_epochs": 0}, "n_epochs is 0"),
        ("ppo", {"batch_size": 3.5}, "batch_size is 3.5"),
        ("ppo", {"learning_rate": "fast"}, "learning_rate is 'fast'"),
        ("ppo", {"actor_rate": -1.0}, "actor_rate is -1.0"),
        ("ppo", {"clip_range": float("nan")}, "clip_range is nan"),
        ("ppo", {"gae_lambda": 2.0}, "choose a number from 0 to 1"),
        ("ppo", {"slot_lambda": -1.0}, "choose a number from 0 to 1"),
        ("ppo", {"target_kl": 0.0}, "target_kl is 0.0"),
        ("ppo", {"max_grad_norm": 0.0}, "max_grad_norm is 0.0"),
        ("ppo", {"network": {"state_width": 3}}, "give agents.network_config.NetworkConfig"),
        ("dqn", {"network": {"state_width": 3}}, "give agents.network_config.NetworkConfig"),
        ("dqn", {"choice": "multi"}, "choose one of additive, multinomial"),
        ("dqn", {"optimiser": "best"}, "choose one of topk, greedy, exact"),
        ("dqn", {"choice": "multinomial", "crowding": True}, "leave crowding out"),
        ("dqn", {"n_steps": 0}, "n_steps is 0"),
        ("dqn", {"block": 0}, "block is 0"),
        ("dqn", {"batch_size": 300_000}, "the replay holds 200,000 pages"),
        ("dqn", {"recent": 0}, "recent is 0"),
        ("dqn", {"gradient_steps": 0}, "gradient_steps is 0"),
        ("dqn", {"tau": 2.0}, "tau is 2.0"),
        ("dqn", {"exploration_fraction": 0.0}, "exploration_fraction is 0.0"),
        ("dqn", {"exploration_initial_eps": 3.0}, "choose a number from 0 to 1"),
    ],
)
def test_learners(agent: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as found:
        learner_config(agent, **settings)
    assert told in str(found.value)


def test_dqn_may_start_with_its_first_page() -> None:
    """One row of the replay has no successor: the first update waits for the second."""
    config = DQNConfig(n_envs=8, batch_size=16, buffer_size=320, learning_starts=0, train_freq=1)
    model = train_agent(
        config,
        toy_world(n_items=60, n_queries=6, n_candidates=12, width=8),
        TaskConfig(slate_size=4, n_candidates=12, max_steps=5),
        total_steps=24,
        options=TrainingOptions(progress=False),
    )
    assert model._n_updates == 2 * config.gradient_steps
