from __future__ import annotations

import functools

import pytest

from envs import contract
from envs.toy import toy_world
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
