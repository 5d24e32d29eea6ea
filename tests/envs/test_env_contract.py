from __future__ import annotations

import functools

import numpy as np
import pytest

from envs import contract
from envs.toy import toy_world
from envs.vector import SlateVectorEnv
from envs.world import RewardMix, TaskConfig

TASKS = {
    "default": TaskConfig(),
    "padded": TaskConfig(slate_size=4, n_candidates=70, max_steps=3, history=2),
    "one item, no history": TaskConfig(slate_size=1, n_candidates=1, max_steps=2, history=0),
    "all rewards": TaskConfig(
        slate_size=5, n_candidates=20, reward=RewardMix(revenue=0.1, relevance=1.0, diversity=2.0, stay=0.5)
    ),
}

make_world = functools.partial(toy_world, 300, 12, 50)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
@pytest.mark.parametrize(
    "check",
    [
        contract.check_gymnasium,
        contract.check_spaces,
        contract.check_determinism,
        contract.check_batch_independence,
        contract.check_threads,
        contract.check_checkpoint,
        contract.check_copies,
        contract.check_vector,
        contract.check_render,
        contract.check_recorder,
        contract.check_errors_leave_it_usable,
        contract.check_sb3,
    ],
    ids=lambda check: check.__name__,
)
def test_contract(check, task):
    check(make_world, task)


def test_the_suite_runs_every_check():
    contract.check_env_suite(make_world, TaskConfig(slate_size=3, n_candidates=10))


def test_the_suite_notices_a_simulator_that_depends_on_the_batch():
    class Coupled(type(make_world().simulator)):
        def respond(self, state, slates, *, seed):
            feedback = super().respond(state, slates, seed=seed)
            feedback.click[:] = (feedback.click.sum() + slates) % 2
            return feedback

    def coupled():
        world = make_world()
        world.simulator.__class__ = Coupled
        return world

    with pytest.raises(AssertionError, match=r"user \d+, step \d+: .* alone and among 7 differ"):
        contract.check_batch_independence(coupled, TaskConfig())


def test_the_suite_notices_a_simulator_that_ignores_the_seed():
    class Deaf(type(make_world().simulator)):
        def begin(self, users, *, seed):
            return super().begin(users, seed=0)

        def respond(self, state, slates, *, seed):
            return super().respond(state, slates, seed=0)

    def deaf():
        world = make_world()
        world.simulator.__class__ = Deaf
        return world

    with pytest.raises(AssertionError, match="another seed"):
        contract.check_determinism(deaf, TaskConfig())


class Reusing(SlateVectorEnv):
    """Gives the same array of rewards again and again."""

    kept = np.zeros(4)

    def step(self, actions):
        observation, reward, *rest = super().step(actions)
        self.kept[...] = reward
        return observation, self.kept, *rest


class Trusting(SlateVectorEnv):
    """Takes what it gave the last time for its own."""

    last = np.zeros(4)

    def step(self, actions):
        observation, reward, *rest = super().step(actions)
        reward = reward + 0 * self.last if self.last.any() else reward + 1
        self.last = reward
        return observation, reward, *rest


class Masked(SlateVectorEnv):
    """Forgets the mask of a key."""

    def step(self, actions):
        *rest, info = super().step(actions)
        del info["_click"]
        return *rest, info


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(Reusing, "has overwritten"), (Trusting, "after writing"), (Masked, "no mask '_click'")],
)
def test_the_suite_notices_a_wrong_batch(wrong, message, monkeypatch):
    monkeypatch.setattr("envs.contract_vector.SlateVectorEnv", wrong)
    with pytest.raises(AssertionError, match=message):
        contract.check_vector(make_world, TaskConfig())


class Counting(type(make_world().simulator)):
    """Its answers depend on something that is not in the state: no copy and no checkpoint knows it."""

    shown = 0

    def respond(self, state, slates, *, seed):
        Counting.shown += 1
        feedback = super().respond(state, slates, seed=seed)
        feedback.click[:, 0] = Counting.shown % 5 == 0
        return feedback


class Lonely(type(make_world().simulator)):
    """A user alone answers otherwise than in a batch."""

    def respond(self, state, slates, *, seed):
        feedback = super().respond(state, slates, seed=seed)
        if len(slates) == 1:
            feedback.click[:] = 1 - feedback.click
        return feedback


@pytest.mark.parametrize(
    ("check", "simulator", "message"),
    [
        (contract.check_checkpoint, Counting, "after going back to a saved state.* differ"),
        (contract.check_copies, Counting, "a copy in the midst of a session.* differ"),
        (contract.check_recorder, Lonely, "user 0, page 0: other clicks"),
    ],
    ids=["checkpoint", "copies", "recorder"],
)
def test_the_suite_notices_what_is_not_in_the_state(check, simulator, message):
    def wrong():
        world = make_world()
        world.simulator.__class__ = simulator
        return world

    with pytest.raises(AssertionError, match=message):
        check(wrong, TaskConfig())
