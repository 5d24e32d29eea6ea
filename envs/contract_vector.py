"""The contract suite of the batched faces: Gymnasium's vector environment and SB3's."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.contract_tools import CLONES, SEED, MakeWorld, assert_equal, leaves, random_actions, single_maker
from envs.vector import SlateVectorEnv
from envs.world import TaskConfig

__all__ = ["check_sb3", "check_vector", "check_vector_api", "check_vector_copies", "declared_modes"]


def declared_modes() -> tuple[AutoresetMode, ...]:
    """The autoreset modes in which the vector environment can be made."""
    if "autoreset_mode" in inspect.signature(SlateVectorEnv.__init__).parameters:
        return tuple(AutoresetMode)
    return (SlateVectorEnv.metadata["autoreset_mode"],)


def check_vector(make_world: MakeWorld, task: TaskConfig, *, n_envs: int = 4, n_steps: int = 30) -> None:
    """In every declared autoreset mode, the vector environment keeps Gymnasium's API and equals `SyncVectorEnv`."""
    for mode in declared_modes():
        check_vector_api(make_world, task, mode, n_envs=n_envs)
        check_vector_copies(make_world, task, mode, n_envs=n_envs)
        _check_equals_sync(make_world, task, mode, n_envs=n_envs, n_steps=n_steps)


def check_vector_api(
    make_world: MakeWorld, task: TaskConfig, mode: AutoresetMode, *, n_envs: int = 4, n_steps: int = 12
) -> None:
    """Spaces, shapes, dtypes, masks of info, seeds, and arrays that are the caller's own."""
    env = _vector(make_world, task, mode, n_envs)
    assert env.num_envs == n_envs, f"num_envs is {env.num_envs}"
    assert env.metadata["autoreset_mode"] is mode, f"metadata declares {env.metadata['autoreset_mode']}"
    for name in ("observation_space", "action_space"):
        batched = batch_space(getattr(env, f"single_{name}"), n_envs)
        assert getattr(env, name) == batched, f"{name} is not the batch of single_{name}"
    assert env.action_space.contains(env.action_space.sample()), "a sample lies outside the action space"

    first = env.reset(seed=SEED)
    assert_equal(env.reset(seed=SEED), first, f"{mode}: two resets with one seed")
    other, _ = env.reset()
    assert any((other[name] != first[0][name]).any() for name in other), (
        "reset() starts the same sessions again"
    )
    _drive(env, n_steps, _Checker(mode, n_envs, env))

    # The caller may keep what it was given, and may write into it.
    kept: list[tuple[Any, Any]] = []

    def keep(step: int, result: Any, over: NDArray[np.bool_]) -> None:
        kept.append((result, copy.deepcopy(result)))
        for earlier, (given, before) in enumerate(kept):
            assert_equal(given, before, f"{mode}: step {step} has overwritten what step {earlier} gave")

    def spoil(step: int, result: Any, over: NDArray[np.bool_]) -> None:
        for array in leaves(result[:2] + result[4:]):  # the ends tell `_drive` which sessions to reset
            if array.flags.writeable:
                array[...] = 0

    twins = []
    for observe in (keep, spoil):
        twin = _vector(make_world, task, mode, n_envs)
        twin.reset(seed=SEED)
        _drive(twin, n_steps, observe)
        twins.append(tuple(_drive(twin, 3, _nothing)))
    assert_equal(twins[0], twins[1], f"{mode}: after writing into what was given, and without")
    env.close()
    env.close()


def check_vector_copies(
    make_world: MakeWorld, task: TaskConfig, mode: AutoresetMode, *, n_envs: int = 4
) -> None:
    """A pickled and a deep-copied environment go on in the midst of their sessions, to the bit."""
    for clone in CLONES:
        env = _vector(make_world, task, mode, n_envs)
        clone(env).reset(seed=SEED)  # before the first reset
        env.reset(seed=SEED)
        _drive(env, 3, _nothing)
        other = clone(env)
        found = _drive(other, 8, _nothing)
        assert_equal(
            tuple(found), tuple(_drive(env, 8, _nothing)), f"{mode}: a copy in the midst of a session"
        )


def check_sb3(make_world: MakeWorld, task: TaskConfig, *, n_envs: int = 4, n_steps: int = 30) -> None:
    """The SB3 face equals `DummyVecEnv` of single environments under `Monitor`."""
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    from envs.sb3 import SlateVecEnv

    ours = SlateVecEnv(n_envs, make_world(), task, seed=SEED)

    def monitored(slot: int) -> Callable[[], Any]:
        make = single_maker(make_world, task, slot, n_envs)
        return lambda: Monitor(make())

    theirs = DummyVecEnv([monitored(b) for b in range(n_envs)])
    assert ours.observation_space == theirs.observation_space, "the observation spaces differ"
    assert ours.action_space == theirs.action_space, "the action spaces differ"
    a: Any = ours.reset()
    b: Any = theirs.reset()
    for step in range(n_steps):
        assert_equal(a, dict(b), f"step {step}: the observation")
        actions = random_actions(task, ours.users, ours.state.step)
        a, reward, done, infos = ours.step(actions)
        b, other_reward, other_done, other_infos = theirs.step(actions)
        assert_equal(reward, other_reward, f"step {step}: rewards beside DummyVecEnv")
        assert_equal(done, other_done, f"step {step}: dones beside DummyVecEnv")
        for row in np.flatnonzero(done):
            mine, its = infos[row], other_infos[row]
            where = f"step {step}, row {row}"
            assert_equal(
                mine["terminal_observation"], its["terminal_observation"], f"{where}: terminal_observation"
            )
            assert mine["TimeLimit.truncated"] == its["TimeLimit.truncated"], f"{where}: TimeLimit.truncated"
            assert mine["session"] == its["session"], f"{where}: {mine['session']} and {its['session']}"
            assert mine["episode"]["l"] == its["episode"]["l"], f"{where}: episode length"
            assert abs(mine["episode"]["r"] - its["episode"]["r"]) < 1e-4, f"{where}: episode return"

    for clone in CLONES:
        other: Any = clone(ours)
        for step in range(6):
            actions = random_actions(task, ours.users, ours.state.step)
            assert_equal(other.step(actions)[:3], ours.step(actions)[:3], f"step {step} of a copy")


Observe = Callable[[int, Any, NDArray[np.bool_]], None]


def _nothing(step: int, result: Any, over: NDArray[np.bool_]) -> None:
    """Looks at nothing."""


class _Checker:
    """Looks at the form of every step."""

    def __init__(self, mode: AutoresetMode, n_envs: int, env: SlateVectorEnv) -> None:
        self.mode, self.n_envs, self.env = mode, n_envs, env

    def __call__(self, step: int, result: Any, over: NDArray[np.bool_]) -> None:
        where, shape = f"{self.mode}: step {step}", (self.n_envs,)
        observation, reward, terminated, truncated, info = result
        assert self.env.observation_space.contains(observation), (
            f"{where}: the observation is outside its space"
        )
        for name, array, dtype in (
            ("reward", reward, np.float64),
            ("terminated", terminated, np.bool_),
            ("truncated", truncated, np.bool_),
        ):
            found = array.dtype, array.shape
            assert found == (dtype, shape), f"{where}: {name} is {found}, not {(dtype, shape)}"
        assert not (terminated & truncated).any(), f"{where}: a session is terminated and truncated"
        done = terminated | truncated
        self._masks(info, where)
        finals = self.mode is AutoresetMode.SAME_STEP and done.any()
        assert ("final_obs" in info) == ("final_info" in info) == finals, f"{where}: keys {sorted(info)}"
        if finals:
            assert np.array_equal(info["_final_obs"], done), (
                f"{where}: _final_obs is not terminated | truncated"
            )
            assert np.array_equal(info["_final_info"], done), (
                f"{where}: _final_info is not terminated | truncated"
            )
            for row in np.flatnonzero(done):
                last = info["final_obs"][row]
                assert self.env.single_observation_space.contains(last), f"{where}, row {row}: final_obs"
        if self.mode is AutoresetMode.NEXT_STEP:
            assert not (done | (reward != 0))[over].any(), (
                f"{where}: a renewed session has a reward or an end"
            )

    def _masks(self, info: dict[str, Any], where: str) -> None:
        for name, value in info.items():
            if name.startswith("_"):
                continue
            mask = info.get(f"_{name}")
            assert mask is not None, f"{where}: info has {name!r} but no mask '_{name}'"
            assert (mask.dtype, mask.shape) == (np.bool_, (self.n_envs,)), f"{where}: the mask of {name!r}"
            if isinstance(value, dict):
                self._masks(value, where)
            else:
                assert len(value) == self.n_envs, f"{where}: info[{name!r}] has {len(value)} rows"


def _vector(make_world: MakeWorld, task: TaskConfig, mode: AutoresetMode, n_envs: int) -> SlateVectorEnv:
    only = len(declared_modes()) == 1
    options: dict[str, Any] = {} if only else {"autoreset_mode": mode}
    return SlateVectorEnv(n_envs, make_world(), task, seed=SEED, **options)


def _drive(env: SlateVectorEnv, n_steps: int, observe: Observe) -> list[Any]:
    """Random steps; where the environment does not renew sessions by itself, those that are over are reset."""
    results: list[Any] = []
    over = np.zeros(env.num_envs, np.bool_)
    if env.metadata["autoreset_mode"] is not AutoresetMode.SAME_STEP:
        over = env.core.over
    for step in range(n_steps):
        if env.metadata["autoreset_mode"] is AutoresetMode.DISABLED and over.any():
            results.append(env.reset(options={"reset_mask": over.copy()}))
            over = np.zeros(env.num_envs, np.bool_)
        result = env.step(random_actions(env.task, env.state.user, env.state.step))
        observe(step, result, over)
        results.append(result)
        over = result[2] | result[3]
    return results


def _check_equals_sync(
    make_world: MakeWorld, task: TaskConfig, mode: AutoresetMode, *, n_envs: int, n_steps: int
) -> None:
    ours = _vector(make_world, task, mode, n_envs)
    theirs = SyncVectorEnv(
        [single_maker(make_world, task, b, n_envs) for b in range(n_envs)], autoreset_mode=mode
    )
    assert ours.observation_space == theirs.observation_space, "the observation spaces differ"
    assert ours.action_space == theirs.action_space, "the action spaces differ"
    a, b = ours.reset(), theirs.reset()
    _assert_equal_reset(a, b, f"{mode}: reset")
    over = np.zeros(n_envs, np.bool_)
    for step in range(n_steps):
        where = f"{mode}: step {step}"
        if mode is AutoresetMode.DISABLED and over.any():
            a = ours.reset(options={"reset_mask": over.copy()})
            b = theirs.reset(options={"reset_mask": over.copy()})
            _assert_equal_reset(a, b, f"{where}: reset of {over}")
        actions = random_actions(task, ours.state.user, ours.state.step)
        observation, *ends, info = ours.step(actions)
        its, *other_ends, other_info = theirs.step(actions)
        assert_equal(observation, dict(its), f"{where}: the observation")
        for name, mine, other in zip(("reward", "terminated", "truncated"), ends, other_ends, strict=True):
            assert_equal(mine, other, f"{where}: {name}")
        _assert_equal_info(info, other_info, where)
        over = np.logical_or(ends[1], ends[2])
    theirs.close()


def _assert_equal_reset(a: tuple[Any, Any], b: tuple[Any, Any], where: str) -> None:
    assert_equal(a[0], dict(b[0]), f"{where}: the observation")
    _assert_equal_info(a[1], b[1], where)


def _assert_equal_info(ours: dict[str, Any], theirs: dict[str, Any], where: str) -> None:
    """The same rows under the same keys; what stands in rows that are masked out does not count."""
    mine = {name for name in ours if not name.startswith("_") and ours[f"_{name}"].any()}
    its = {name for name in theirs if not name.startswith("_")}
    assert mine == its, f"{where}: info has {sorted(mine)}, SyncVectorEnv {sorted(its)}"
    for name in its:
        mask = theirs[f"_{name}"]
        assert_equal(ours[f"_{name}"], mask, f"{where}: info['_{name}']")
        value, other = ours[name], theirs[name]
        if isinstance(other, dict) and isinstance(value, dict):
            _assert_equal_info(value, other, f"{where}: info[{name!r}]")
            continue
        for row in np.flatnonzero(mask):
            x = {key: array[row] for key, array in other.items()} if isinstance(other, dict) else other[row]
            assert _same(value[row], x), f"{where}: info[{name!r}][{row}] is {value[row]!r}, not {x!r}"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        # SyncVectorEnv batches nested dictionaries, masks and all; ours holds one dictionary a row.
        return all(_same(value, b[name]) for name, value in a.items())
    return bool(np.array_equal(a, b))
