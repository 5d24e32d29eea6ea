from __future__ import annotations

import numpy as np
import pytest

from agents.privileged import OpenSimulator, privileged_world
from behavior.errors import InputError
from envs.core import SlateCore
from envs.toy import toy_world
from envs.world import TaskConfig
from simulators.base import InspectableSimulator, SessionState, UserSimulator

TASK = TaskConfig(slate_size=4, n_candidates=20, max_steps=5)


def test_the_same_users_with_nothing_hidden() -> None:
    world = toy_world(n_items=120, n_queries=8, n_candidates=20)
    shown = privileged_world(world)
    assert isinstance(shown.simulator, UserSimulator)
    assert isinstance(shown.simulator, InspectableSimulator)
    closed, opened = (SlateCore(each, TASK, n_users=70, seed=3) for each in (world, shown))
    before, after = closed.reset(), opened.reset()
    rng = np.random.default_rng(0)
    for _ in range(12):  # over the ends of sessions
        np.testing.assert_array_equal(
            after.context, np.concatenate([before.context, closed.state.hidden], axis=1)
        )
        np.testing.assert_array_equal(before.candidates, after.candidates)
        items = before.candidates
        here, there = (
            core.world.simulator.appeal(core.state, items)  # type: ignore[attr-defined]
            for core in (closed, opened)
        )
        np.testing.assert_array_equal(here.click, there.click)
        actions = np.argsort(rng.random((70, 20)), axis=1)[:, :4]
        one, other = closed.step(actions), opened.step(actions)
        np.testing.assert_array_equal(one.feedback.click, other.feedback.click)
        np.testing.assert_array_equal(one.feedback.left, other.feedback.left)
        np.testing.assert_allclose(one.reward, other.reward, rtol=1e-6)
        before, after = one.observation, other.observation


def test_nothing_to_show() -> None:
    class Plain:
        n_items, n_queries, context_size, slate_size = 3, 1, 0, None

        def begin(self, users: np.ndarray, *, seed: int) -> SessionState:
            nothing = np.zeros((1, 0), np.float32)
            return SessionState(users, np.zeros(1, np.int32), np.zeros(1, np.int32), nothing, nothing)

    with pytest.raises(InputError, match="hides nothing"):
        OpenSimulator(Plain())  # type: ignore[arg-type]
