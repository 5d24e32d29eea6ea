"""Trained direction agents in files: what it takes to serve, not what it takes to go on training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces

from agents.checkpoint import TABLES, read_meta, read_parameters, task_differences, task_of, write_archive
from agents.directions.config import DirectionConfig
from agents.directions.learning import columns_of
from agents.directions.policy import DirectionPolicy
from agents.resuming import SIZES
from behavior.errors import InputError
from envs.world import TaskConfig, World

__all__ = ["load_direction", "save_direction"]


def save_direction(
    policy: DirectionPolicy, path: Path, config: DirectionConfig, world: World, task: TaskConfig
) -> Path:
    """Write a file that `agents.learning.load_policy` reads.

    It holds the actor alone: no training goes on from it.

    Args:
        policy: Of `train_direction`.
        path: The file.
        config: With which it was trained.
        world: In which.
        task: For which.

    Raises:
        InputError: The folder cannot be written to.
    """
    observed, action = policy.actor.observation_space.shape, policy.actor.action_space.shape
    assert observed is not None
    assert action is not None
    meta = {
        "agent": config.algorithm,
        "config": dataclasses.asdict(config),
        "task": task_of(world, task),
        "n_inputs": observed[0],
        "n_outputs": action[0],
    }
    write_archive(path, meta, {"actor": policy.actor.state_dict()})
    return path


def load_direction(
    path: Path, world: World, task: TaskConfig, *, temperature: float = 0.0, device: str = "cpu"
) -> DirectionPolicy:
    """The policy that `save_direction` wrote, over the tables of `world`: those it was trained with.

    Raises:
        InputError: No such file, or one for other sizes, columns or tables.
    """
    from stable_baselines3.sac.policies import SACPolicy
    from stable_baselines3.td3.policies import TD3Policy

    meta = read_meta(path)
    wrong = task_differences(meta["task"], task_of(world, task), (*SIZES, *TABLES))
    if wrong:
        raise InputError(
            "this policy was trained for another task: " + "; ".join(wrong),
            where=str(path),
            mend="load it with the task and features it was trained with, or train one for this task",
        )
    config = _config(meta, path)
    kind = SACPolicy if config.algorithm == "sac" else TD3Policy
    whole = kind(
        spaces.Box(-float("inf"), float("inf"), (int(meta["n_inputs"]),)),
        spaces.Box(-1.0, 1.0, (int(meta["n_outputs"]),)),
        lambda _: 0.0,
        net_arch=[config.width, config.width],
    ).to(torch.device(device))
    whole.set_training_mode(False)
    whole.actor.load_state_dict(read_parameters(path, device)["actor"])
    return DirectionPolicy(
        whole.actor,
        world.features,
        columns_of(config, world, task),
        name=config.algorithm,
        temperature=temperature,
    )


def _config(meta: Mapping[str, Any], path: Path) -> DirectionConfig:
    try:
        return DirectionConfig(**meta["config"])
    except (TypeError, KeyError) as error:
        raise InputError(
            f"the settings in this checkpoint are not ours: {error}",
            where=str(path),
            mend="use the version that wrote it",
        ) from None
