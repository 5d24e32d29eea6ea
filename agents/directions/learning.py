"""Train SAC or TD3 to point into the space of items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise
from tqdm import tqdm

from agents.directions.config import DirectionConfig
from agents.directions.policy import DirectionPolicy
from agents.item_columns import ItemColumns
from envs.sb3 import SlateVecEnv
from envs.world import TaskConfig, World
from envs.wrappers.proto import ProtoAction

__all__ = ["columns_of", "train_direction"]

_NEVER = 2**62


def train_direction(
    config: DirectionConfig,
    world: World,
    task: TaskConfig,
    *,
    total_steps: int,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
    callbacks: Sequence[BaseCallback] = (),
) -> DirectionPolicy:
    """Train for about `total_steps` user-steps; give the greedy policy.

    Args:
        config: Which algorithm, and its settings.
        world: Where it learns.
        task: Sizes, horizon and reward.
        total_steps: User-steps.
        seed: Of the networks, the exploration and the users.
        device: 'cpu' or 'cuda'.
        progress: Whether to show a bar.
        callbacks: Further SB3 callbacks.
    """
    columns = columns_of(config, world, task)
    env = ProtoAction(SlateVecEnv(config.n_envs, world, task, seed=seed), columns)
    shared: dict[str, Any] = {
        "learning_rate": config.step_size,
        "gamma": config.gamma,
        "buffer_size": config.buffer_size,
        "learning_starts": config.random_pages,
        "batch_size": config.batch_size,
        "train_freq": 1,
        "gradient_steps": config.gradient_steps,
        "tau": config.tau,
        "policy_kwargs": {"net_arch": [config.width, config.width]},
        "seed": seed,
        "device": device,
    }
    model: SAC | TD3
    if config.algorithm == "sac":
        model = SAC("MlpPolicy", env, **shared)
    else:
        width = env.action_space.shape
        assert width is not None
        noise = NormalActionNoise(np.zeros(width), np.full(width, config.noise))
        model = TD3("MlpPolicy", env, action_noise=VectorizedActionNoise(noise, config.n_envs), **shared)
    model.set_logger(Logger(folder=None, output_formats=[]))
    bar = _Bar(total_steps, config.algorithm, progress)
    model.learn(total_steps, callback=[bar, *callbacks], log_interval=_NEVER)
    model.policy.set_training_mode(False)
    return DirectionPolicy(model.actor, world.features, columns, name=config.algorithm)


def columns_of(config: DirectionConfig, world: World, task: TaskConfig) -> ItemColumns:
    """The candidates' columns that have weights in the action."""
    return ItemColumns(
        world.features,
        context_size=int(world.simulator.context_size),
        history=config.history,
        memory=task.memory * task.slate_size,
    )


class _Bar(BaseCallback):
    def __init__(self, total: int, label: str, progress: bool) -> None:
        super().__init__()
        self._bar = tqdm(
            total=total, desc=label, unit="step", leave=False, disable=None if progress else True
        )

    def _on_step(self) -> bool:
        self._bar.update(self.training_env.num_envs)
        return True

    def _on_training_end(self) -> None:
        self._bar.close()
