"""The contract suite of environments: what any world has to hold in every face of the environment.

`check_env_suite(make_world)` runs it on a world of your own (a plug-in simulator, say); each failure is an
AssertionError that says which promise was broken, for which user and step.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.core import SlateCore
from envs.results import StepResult
from envs.single import SlateEnv
from envs.vector import SlateVectorEnv
from envs.world import TaskConfig, World
from simulators.kernels.rng import Purpose, uniform_table

__all__ = [
    "check_batch_independence",
    "check_determinism",
    "check_env_suite",
    "check_errors_leave_it_usable",
    "check_gymnasium",
    "check_sb3",
    "check_spaces",
    "check_vector",
    "random_actions",
]

MakeWorld = Callable[[], World]


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
    check_vector(make_world, task)
    check_errors_leave_it_usable(make_world, task)
    if sb3:
        check_sb3(make_world, task)


def random_actions(
    task: TaskConfig, user: NDArray[np.int64], step: NDArray[np.int32], *, seed: int = 1
) -> NDArray[np.int64]:
    """Random elements (B, K) of the action space, repeats included, that depend on (user, step) only."""
    table = uniform_table(seed, user, step, Purpose.PLUG_IN, task.slate_size)
    return np.minimum((table * task.n_candidates).astype(np.int64), task.n_candidates - 1)


def check_gymnasium(make_world: MakeWorld, task: TaskConfig) -> None:
    """Gymnasium's own checker, its warnings taken as errors."""
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(SlateEnv(make_world(), task), skip_render_check=True)


def check_spaces(make_world: MakeWorld, task: TaskConfig, *, n_steps: int = 40) -> None:
    """Every observation lies in the observation space, last ones included."""
    env = SlateEnv(make_world(), task)
    observation, _ = env.reset(seed=5)
    env.action_space.seed(5)
    for step in range(n_steps):
        for name, space in env.observation_space.spaces.items():  # type: ignore[attr-defined]
            assert space.contains(observation[name]), (
                f"step {step}: observation[{name!r}] is outside its space {space}: {observation[name]!r}"
            )
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation), (
            f"step {step}: the observation is outside the space"
        )
        if terminated or truncated:
            observation, _ = env.reset()


def check_determinism(make_world: MakeWorld, task: TaskConfig, *, n_steps: int = 25) -> None:
    """Two copies give the same trajectories to the bit, and another seed gives others."""
    first, second, other = (_trajectory(make_world(), task, 5, n_steps, seed) for seed in (3, 3, 4))
    _assert_same(first, second, "two copies with the same seed")
    assert any((a["click"] != b["click"]).any() for a, b in zip(first, other, strict=True)), (
        "another seed gives the same clicks: does the simulator use its `seed`?"
    )


def check_batch_independence(
    make_world: MakeWorld, task: TaskConfig, *, sizes: tuple[int, ...] = (7, 130), n_steps: int = 12
) -> None:
    """A user's session is the same to the bit alone and in batches of `sizes`."""
    alone: dict[int, list[dict[str, NDArray[Any]]]] = {}
    users = range(min(sizes))
    for user in users:
        alone[user] = _session(make_world(), task, 1, user, n_steps)
    for size in sizes:
        core = SlateCore(make_world(), task, n_users=size, seed=3)
        core.reset()
        live = set(users)
        for step in range(n_steps):
            result = core.step(random_actions(task, core.state.user, core.state.step))
            pages = _arrays(result)
            for user in sorted(live):
                for name, value in alone[user][step].items():
                    assert np.array_equal(value, pages[name][user]), (
                        f"user {user}, step {step}: {name} alone and among {size} differ: "
                        f"{value!r} and {pages[name][user]!r}"
                    )
            live -= set(result.finished.tolist())


def check_vector(make_world: MakeWorld, task: TaskConfig, *, n_envs: int = 4, n_steps: int = 30) -> None:
    """The vector environment equals Gymnasium's `SyncVectorEnv` of single environments."""
    from gymnasium.vector import AutoresetMode, SyncVectorEnv

    ours = SlateVectorEnv(n_envs, make_world(), task, seed=3)
    theirs = SyncVectorEnv(
        [_maker(make_world, task, b, n_envs) for b in range(n_envs)],
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    assert ours.observation_space == theirs.observation_space, "the observation spaces differ"
    assert ours.action_space == theirs.action_space, "the action spaces differ"
    (a, _), (b, _) = ours.reset(), theirs.reset()
    for step in range(n_steps):
        _assert_equal_dicts(a, b, f"step {step}: the observation")
        actions = random_actions(task, ours.state.user, ours.state.step)
        a, reward, terminated, truncated, info = ours.step(actions)
        b, *rest, other = theirs.step(actions)
        for name, mine, its in zip(
            ("reward", "terminated", "truncated"), (reward, terminated, truncated), rest, strict=True
        ):
            assert np.array_equal(mine, its), f"step {step}: {name} differs from SyncVectorEnv: {mine}, {its}"
        assert ("final_obs" in info) == ("final_obs" in other), f"step {step}: final_obs is there in one only"
        if "final_obs" in info:
            for row in np.flatnonzero(info["_final_obs"]):
                _assert_equal_dicts(
                    info["final_obs"][row], other["final_obs"][row], f"step {step}, row {row}: final_obs"
                )


def check_sb3(make_world: MakeWorld, task: TaskConfig, *, n_envs: int = 4, n_steps: int = 30) -> None:
    """The SB3 face equals `DummyVecEnv` of single environments under `Monitor`."""
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    from envs.sb3 import SlateVecEnv

    ours = SlateVecEnv(n_envs, make_world(), task, seed=3)

    def monitored(slot: int) -> Callable[[], Any]:
        make = _maker(make_world, task, slot, n_envs)
        return lambda: Monitor(make())

    theirs = DummyVecEnv([monitored(b) for b in range(n_envs)])
    a: Any = ours.reset()
    b: Any = theirs.reset()
    for step in range(n_steps):
        _assert_equal_dicts(a, b, f"step {step}: the observation")
        actions = random_actions(task, ours.users, ours.state.step)
        a, reward, done, infos = ours.step(actions)
        b, other_reward, other_done, other_infos = theirs.step(actions)
        assert np.array_equal(reward, other_reward), f"step {step}: rewards differ from DummyVecEnv"
        assert np.array_equal(done, other_done), f"step {step}: dones differ from DummyVecEnv"
        for row in np.flatnonzero(done):
            mine, its = infos[row], other_infos[row]
            where = f"step {step}, row {row}"
            _assert_equal_dicts(
                mine["terminal_observation"], its["terminal_observation"], f"{where}: terminal_observation"
            )
            assert mine["TimeLimit.truncated"] == its["TimeLimit.truncated"], f"{where}: TimeLimit.truncated"
            assert mine["episode"]["l"] == its["episode"]["l"], f"{where}: episode length"
            assert abs(mine["episode"]["r"] - its["episode"]["r"]) < 1e-4, f"{where}: episode return"


def check_errors_leave_it_usable(make_world: MakeWorld, task: TaskConfig) -> None:
    """A wrong action raises InputError and changes nothing."""
    core = SlateCore(make_world(), task, n_users=3, seed=3)
    try:
        core.step(np.zeros((3, task.slate_size), np.int64))
    except InputError:
        pass
    else:
        raise AssertionError("a step before the first reset did not raise InputError")
    core.reset()
    good = random_actions(task, core.state.user, core.state.step)
    outside = good.copy()
    outside[1, 0] = task.n_candidates
    for wrong in (good[:2], good.astype(np.float64), outside):
        try:
            core.step(wrong)
        except InputError:
            continue
        raise AssertionError(f"actions {wrong.dtype} {wrong.shape} did not raise InputError")
    twin = SlateCore(make_world(), task, n_users=3, seed=3)
    twin.reset()
    _assert_same([_arrays(core.step(good))], [_arrays(twin.step(good))], "after and without a wrong action")


def _maker(make_world: MakeWorld, task: TaskConfig, slot: int, n_envs: int) -> Callable[[], SlateEnv]:
    return lambda: SlateEnv(make_world(), task, seed=3, first_user=slot, stride=n_envs)


def _session(world: World, task: TaskConfig, size: int, user: int, n_steps: int) -> list[dict[str, Any]]:
    """The pages of one user alone, row by row."""
    return [
        {name: array[0] for name, array in page.items()}
        for page in _trajectory(world, task, size, n_steps, 3, first_user=user)
    ]


def _trajectory(
    world: World, task: TaskConfig, n_users: int, n_steps: int, seed: int, *, first_user: int = 0
) -> list[dict[str, NDArray[Any]]]:
    core = SlateCore(world, task, n_users=n_users, seed=seed, first_user=first_user)
    core.reset()
    return [
        _arrays(core.step(random_actions(task, core.state.user, core.state.step))) for _ in range(n_steps)
    ]


def _arrays(result: StepResult) -> dict[str, NDArray[Any]]:
    """What a step promises of every user; what was there before the reset is in `final_observation`."""
    last = {name: array.copy() for name, array in result.observation.as_dict().items()}
    for name, array in result.final_observation.as_dict().items():
        last[name][result.finished] = array
    return last | {
        "reward": result.reward,
        "score": result.score,
        "terminated": result.terminated,
        "truncated": result.truncated,
        "click": result.feedback.click,
        "purchase": result.feedback.purchase,
        "slates": result.slates,
        "repairs": result.repairs,
        **{f"reward_parts.{name}": part for name, part in result.reward_parts.as_dict().items()},
    }


def _assert_same(
    first: list[dict[str, NDArray[Any]]], second: list[dict[str, NDArray[Any]]], what: str
) -> None:
    for step, (a, b) in enumerate(zip(first, second, strict=True)):
        _assert_equal_dicts(a, b, f"{what}: step {step}")


def _assert_equal_dicts(a: dict[str, Any], b: dict[str, Any], what: str) -> None:
    assert a.keys() == b.keys(), f"{what}: keys {sorted(a)} and {sorted(b)}"
    for name, value in a.items():
        assert np.array_equal(value, b[name]), f"{what}: {name} differs: {value!r} and {b[name]!r}"
