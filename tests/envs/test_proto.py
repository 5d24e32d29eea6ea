from __future__ import annotations

import numpy as np
import pytest

from behavior.errors import InputError
from envs.observation import Observation
from envs.sb3 import SlateVecEnv
from envs.toy import toy_world
from envs.world import TaskConfig, World
from envs.wrappers.proto import ProtoAction, proto_scores, session_vector, top_positions

TASK = TaskConfig(slate_size=4, n_candidates=20, max_steps=3)


@pytest.fixture(scope="module")
def world() -> World:
    return toy_world(n_items=120, n_queries=8, n_candidates=20)


def relevance(observation: Observation) -> np.ndarray:
    return observation.scores[:, :, None]


def test_zero_shows_the_source_order_and_a_weight_its_column(world: World) -> None:
    env = ProtoAction(SlateVecEnv(5, world, TASK, seed=1), relevance)
    assert env.action_space.shape == (17,)
    first = env.reset()
    assert env.observation_space.shape == first.shape[1:]
    env.step(np.zeros((5, 17), np.float32))
    result = env.venv.last_result
    assert result is not None
    np.testing.assert_array_equal(result.positions, np.tile(np.arange(4), (5, 1)))
    before = env._seen
    assert before is not None
    least = np.zeros((5, 17), np.float32)
    least[:, 16] = -1.0
    env.step(least)
    result = env.venv.last_result
    assert result is not None
    worst = np.argsort(before.scores, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(
        np.take_along_axis(before.scores, result.positions, 1), np.take_along_axis(before.scores, worst, 1)
    )


def test_scores_are_inner_products(world: World) -> None:
    env = ProtoAction(SlateVecEnv(70, world, TASK, seed=1))
    env.reset()
    seen = env._seen
    assert seen is not None
    actions = np.random.default_rng(0).uniform(-1, 1, (70, 16))
    expected = 4.0 * np.einsum("bnd,bd->bn", world.features.item_vectors[seen.candidates], actions)
    np.testing.assert_allclose(proto_scores(seen, actions, world.features), expected, atol=1e-5)
    alone = proto_scores(seen.take(np.array([3])), actions[3:4], world.features)
    np.testing.assert_array_equal(alone[0], proto_scores(seen, actions, world.features)[3])


def test_the_best_are_found_in_long_lists() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 40, (50, 300)).astype(np.float64)  # many level ones
    np.testing.assert_array_equal(
        top_positions(scores, 10), np.argsort(-scores, axis=1, kind="stable")[:, :10]
    )


def test_last_observations_are_vectors_too(world: World) -> None:
    env = ProtoAction(SlateVecEnv(16, world, TASK, seed=1))
    env.reset()
    for _ in range(3):
        _, _, dones, infos = env.step(np.zeros((16, 16), np.float32))
        for b in np.flatnonzero(dones):
            last = env.venv.last_result
            assert last is not None
            row = int(np.flatnonzero(last.finished == b)[0])
            wanted = session_vector(last.final_observation, world.features)[row]
            np.testing.assert_array_equal(infos[b]["terminal_observation"], wanted)
    assert dones.any()  # the step limit at the latest


def test_faulty_directions(world: World) -> None:
    env = ProtoAction(SlateVecEnv(2, world, TASK))
    env.reset()
    with pytest.raises(InputError, match=r"shape \(2, 16\)"):
        env.step(np.zeros((2, 3)))
    with pytest.raises(InputError, match="not all finite"):
        env.step(np.full((2, 16), np.nan))
