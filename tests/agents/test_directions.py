from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from agents.base import Draw
from agents.checkpoint import read_checkpoint
from agents.contract import check_policy
from agents.directions import DirectionConfig, save_direction, train_direction
from agents.learning import load_policy
from behavior.errors import InputError
from envs.core import SlateCore
from envs.toy import toy_world
from envs.world import TaskConfig


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_contract(algorithm: Literal["sac", "td3"]) -> None:
    world, task = (
        toy_world(n_items=120, n_queries=8, n_candidates=20),
        TaskConfig(slate_size=4, n_candidates=20, max_steps=5),
    )
    config = DirectionConfig(algorithm=algorithm, n_envs=8, learning_starts=16, batch_size=16, width=16)
    policy = train_direction(config, world, task, total_steps=48, seed=1, progress=False)
    again = train_direction(config, world, task, total_steps=48, seed=1, progress=False)
    core = SlateCore(world, task, n_users=6, seed=3)
    core.reset()
    observation = core.step(np.tile(np.arange(4), (6, 1))).observation
    assert len(check_policy(policy, observation, slate_size=4)) == 8
    np.testing.assert_array_equal(policy.directions(observation), again.directions(observation))


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_a_saved_policy_shows_the_same_pages(algorithm: Literal["sac", "td3"], tmp_path: Path) -> None:
    world = toy_world(n_items=120, n_queries=8, n_candidates=20)
    task = TaskConfig(slate_size=4, n_candidates=20, max_steps=5)
    config = DirectionConfig(algorithm=algorithm, n_envs=8, learning_starts=16, batch_size=16, width=16)
    policy = train_direction(config, world, task, total_steps=48, seed=1, progress=False)
    path = save_direction(policy, tmp_path / "direction.zip", config, world, task)
    loaded = load_policy(path, world, task)
    core = SlateCore(world, task, n_users=70, seed=3)
    core.reset()
    observation = core.step(np.tile(np.arange(4), (70, 1))).observation
    draw = Draw(seed=1, user=np.arange(70), step=np.ones(70, np.int64))
    np.testing.assert_array_equal(
        loaded.rank(observation, draw, slate_size=4), policy.rank(observation, draw, slate_size=4)
    )
    np.testing.assert_array_equal(loaded.scores(observation), policy.scores(observation))
    assert loaded.name == algorithm
    dearer = replace(world, features=replace(world.features, price=world.features.price + 1))
    with pytest.raises(InputError, match="prices is"):
        load_policy(path, dearer, task)
    with pytest.raises(InputError, match="slate_size is 4 there and 3 here"):
        load_policy(path, world, replace(task, slate_size=3))
    with pytest.raises(InputError, match=r"or agent .(sac|td3)."):
        read_checkpoint(path)  # no learner's: no training goes on from it


def test_faulty_settings() -> None:
    with pytest.raises(InputError, match="choose sac or td3"):
        DirectionConfig(algorithm="ppo")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="batch_size"):
        DirectionConfig(batch_size=0)
