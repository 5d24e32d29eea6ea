from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from agents.contract import check_policy
from agents.directions import DirectionConfig, train_direction
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


def test_faulty_settings() -> None:
    with pytest.raises(InputError, match="choose sac or td3"):
        DirectionConfig(algorithm="ppo")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="batch_size"):
        DirectionConfig(batch_size=0)
