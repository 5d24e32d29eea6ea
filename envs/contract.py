"""The contract suite of environments: what any world has to hold in every face of the environment.

`check_env_suite(make_world)` runs it on a world of your own (a plug-in simulator, say); each failure is an
AssertionError that says which promise was broken, for which user and step.
"""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from behavior.errors import InputError
from envs.contract_recorder import check_recorder
from envs.contract_tools import (
    CLONES,
    SEED,
    MakeWorld,
    assert_equal,
    assert_same_pages,
    pages_of,
    random_actions,
    step_arrays,
    trajectory,
)
from envs.contract_vector import check_sb3, check_vector
from envs.core import SlateCore
from envs.single import SlateEnv
from envs.world import TaskConfig
from simulators.kernels.twins import PARALLEL_FROM

__all__ = [
    "check_batch_independence",
    "check_checkpoint",
    "check_copies",
    "check_determinism",
    "check_env_suite",
    "check_errors_leave_it_usable",
    "check_gymnasium",
    "check_recorder",
    "check_render",
    "check_sb3",
    "check_spaces",
    "check_threads",
    "check_vector",
    "random_actions",
]


def check_env_suite(make_world: MakeWorld, task: TaskConfig | None = None, *, sb3: bool = True) -> None:
    """Run every check.

    Args:
        make_world: Builds the world; called several times.
        task: The task; `TaskConfig()` where None.
        sb3: Whether to check the Stable-Baselines3 face too (imports torch).

    Raises:
        AssertionError: A promise is broken.
    """
    task = task or TaskConfig()
    check_gymnasium(make_world, task)
    check_spaces(make_world, task)
    check_determinism(make_world, task)
    check_batch_independence(make_world, task)
    check_threads(make_world, task)
    check_checkpoint(make_world, task)
    check_copies(make_world, task)
    check_vector(make_world, task)
    check_render(make_world, task)
    check_recorder(make_world, task)
    check_errors_leave_it_usable(make_world, task)
    if sb3:
        check_sb3(make_world, task)


def check_gymnasium(make_world: MakeWorld, task: TaskConfig) -> None:
    """Gymnasium's own checker, nothing skipped (all render modes included), its warnings taken as errors."""
    import gymnasium
    from gymnasium.utils.env_checker import check_env

    import envs  # noqa: F401  registers the environment

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = gymnasium.make("SlateRank-v0", world=make_world(), task=task)
        check_env(made.unwrapped)


def check_spaces(make_world: MakeWorld, task: TaskConfig, *, n_steps: int = 40) -> None:
    """Every observation lies in the observation space, last ones included."""
    env = SlateEnv(make_world(), task)
    observation, _ = env.reset(seed=5)
    for step in range(n_steps):
        for name, space in env.observation_space.spaces.items():  # type: ignore[attr-defined]
            assert space.contains(observation[name]), (
                f"step {step}: observation[{name!r}] is outside its space {space}: {observation[name]!r}"
            )
        action = random_actions(task, env.state.user, env.state.step)[0]
        assert env.action_space.contains(action), f"step {step}: {action} is outside {env.action_space}"
        observation, _, terminated, truncated, _ = env.step(action)
        assert env.observation_space.contains(observation), (
            f"step {step}: the observation is outside the space"
        )
        if terminated or truncated:
            observation, _ = env.reset()


def check_determinism(make_world: MakeWorld, task: TaskConfig, *, n_steps: int = 25) -> None:
    """Two copies give the same trajectories to the bit, and another seed gives others."""
    first, second, other = (
        trajectory(_begun(make_world, task, 5, seed=seed), n_steps) for seed in (SEED, SEED, SEED + 1)
    )
    assert_same_pages(first, second, "two copies with the same seed")
    assert any((a["click"] != b["click"]).any() for a, b in zip(first, other, strict=True)), (
        "another seed gives the same clicks: does the simulator use its `seed`?"
    )


def check_batch_independence(
    make_world: MakeWorld, task: TaskConfig, *, sizes: tuple[int, ...] = (7, 130), n_steps: int = 12
) -> None:
    """A user's session is the same to the bit alone, in batches of `sizes`, and at another place in them."""
    users = np.arange(min(sizes))
    alone = {int(user): pages_of(make_world(), task, int(user), n_steps) for user in users}
    for size in sizes:
        for place in ("first", "last"):
            core = SlateCore(make_world(), task, n_users=size, seed=SEED)
            order = np.arange(size)
            core.reset(users=order if place == "first" else order[::-1].copy())
            row_of = {int(user): int(user) if place == "first" else size - 1 - int(user) for user in users}
            live = set(row_of)
            for step, pages in enumerate(trajectory(core, n_steps)):
                for user in sorted(live):
                    for name, value in alone[user][step].items():
                        found = pages[name][row_of[user]]
                        assert np.array_equal(value, found), (
                            f"user {user}, step {step}: {name} alone and among {size} differ: "
                            f"{value!r} and {found!r}"
                        )
                    if alone[user][step]["terminated"] or alone[user][step]["truncated"]:
                        live.discard(user)


def check_threads(make_world: MakeWorld, task: TaskConfig, *, n_steps: int = 6) -> None:
    """One thread and all of them give the same bits (nothing to compare where there is one)."""
    before, most = numba.get_num_threads(), int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    size = 2 * PARALLEL_FROM + 1
    found = []
    try:
        for threads in sorted({1, most}):
            numba.set_num_threads(threads)
            found.append(trajectory(_begun(make_world, task, size), n_steps))
    finally:
        numba.set_num_threads(before)
    assert_same_pages(found[0], found[-1], f"1 and {most} threads")


def check_checkpoint(make_world: MakeWorld, task: TaskConfig, *, n_steps: int = 8) -> None:
    """A saved state goes on from where it was, to the bit: in the same core, and in a new one."""
    core = _begun(make_world, task, 5)
    trajectory(core, 3)
    saved = core.save_state()
    expected = trajectory(core, n_steps)
    core.restore_state(saved)
    assert_same_pages(trajectory(core, n_steps), expected, "after going back to a saved state")
    other = SlateCore(make_world(), task, n_users=5, seed=SEED + 1)
    observation = other.restore_state(saved)
    twin = _begun(make_world, task, 5)
    trajectory(twin, 3)
    assert_equal(observation.as_dict(), twin.observe().as_dict(), "the observation of a restored state")
    assert_same_pages(trajectory(other, n_steps), expected, "a saved state in another core")


def check_copies(make_world: MakeWorld, task: TaskConfig, *, n_steps: int = 12) -> None:
    """A pickled and a deep-copied single environment go on in the midst of a session, to the bit."""
    for clone in CLONES:
        env = SlateEnv(make_world(), task, seed=SEED)
        clone(env).reset()  # before the first reset
        env.reset(seed=SEED)
        _drive(env, 2)
        other = clone(env)
        assert_equal(
            tuple(_drive(other, n_steps)), tuple(_drive(env, n_steps)), "a copy in the midst of a session"
        )


def check_render(make_world: MakeWorld, task: TaskConfig) -> None:
    """`ansi` is a page of text, `rgb_array` a picture of it, and `human` prints it; before the first page too."""
    drawn: dict[str, Any] = {}
    for mode in ("ansi", "rgb_array", "human"):
        env = SlateEnv(make_world(), task, seed=SEED, render_mode=mode)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            env.reset()
            empty = env.render()
            env.step(random_actions(task, env.state.user, env.state.step)[0])
            drawn[mode] = env.render()
        if mode == "human":
            assert drawn[mode] is None, "render() of mode 'human' gives something back"
            assert drawn["ansi"] in out.getvalue(), "mode 'human' does not print the page"
        elif mode == "ansi":
            assert isinstance(empty, str), f"an empty page is {type(empty)}"
            rows = drawn[mode].splitlines()[-task.slate_size :]
            for k, row in enumerate(rows):
                assert row.split()[0] == str(k + 1), f"the row of position {k} is {row!r}"
        else:
            for picture in (empty, drawn[mode]):
                assert picture.dtype == np.uint8, f"a picture of {picture.dtype}"
                assert picture.shape[2:] == (3,), f"a picture of shape {picture.shape}"
                assert np.ptp(picture) > 0, "the picture is blank"
            assert empty.shape == drawn[mode].shape, (
                f"pictures of shapes {empty.shape} and {drawn[mode].shape}"
            )


def check_errors_leave_it_usable(make_world: MakeWorld, task: TaskConfig) -> None:
    """A wrong action or seed raises InputError and changes nothing."""
    core = SlateCore(make_world(), task, n_users=3, seed=SEED)
    good = np.tile(np.arange(task.slate_size), (3, 1))
    _refused(functools.partial(core.step, good), "a step before the first reset")
    core.reset()
    outside = good.copy()
    outside[1, 0] = task.n_candidates
    for wrong in (good[:2], good.astype(np.float64), outside, -1 - good):
        _refused(functools.partial(core.step, wrong), f"actions {wrong.dtype} {wrong.shape}")
    for seed in (-1, 2**64):
        _refused(functools.partial(core.reset, seed), f"the seed {seed}")
    twin = SlateCore(make_world(), task, n_users=3, seed=SEED)
    twin.reset()
    mine, its = ([step_arrays(c.step(good))] for c in (core, twin))
    assert_same_pages(mine, its, "after and without a wrong action")


def _refused(act: Callable[[], Any], what: str) -> None:
    try:
        act()
    except InputError:
        return
    raise AssertionError(f"{what} did not raise InputError")


def _begun(make_world: MakeWorld, task: TaskConfig, n_users: int, *, seed: int = SEED) -> SlateCore:
    core = SlateCore(make_world(), task, n_users=n_users, seed=seed)
    core.reset()
    return core


def _drive(env: SlateEnv, n_steps: int) -> list[tuple[Any, ...]]:
    results: list[tuple[Any, ...]] = []
    for _ in range(n_steps):
        result = env.step(random_actions(env.task, env.state.user, env.state.step)[0])
        results.append(result)
        if result[2] or result[3]:
            results.append(env.reset())
    return results
