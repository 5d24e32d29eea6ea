"""Our environment through each of its faces, and the naive step, as contestants of one clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numba
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from benchmarks.reference_step import ReferenceStep
from benchmarks.speed.timing import Contestant, pages, turning
from benchmarks.speed.worlds import TASK
from envs.core import SlateCore
from envs.single import SlateEnv
from envs.vector import SlateVectorEnv
from envs.world import World

__all__ = ["core", "naive", "sb3", "single", "sync", "vector"]


def naive(world: World, n_users: int, *, n_threads: int | None = None) -> Contestant:
    """The reference step: its serial form, or on `n_threads` threads."""
    step = ReferenceStep(world, TASK, n_users=n_users, parallel=n_threads is not None)
    return _contestant(step.step, n_users, n_threads=n_threads or 1)


def core(world: World, n_users: int, *, n_threads: int = 1, distinct: bool = True) -> Contestant:
    """`SlateCore`; slates without repeats, or as `action_space.sample()` draws them."""
    batch = SlateCore(world, TASK, n_users=n_users)
    batch.reset()
    return _contestant(batch.step, n_users, n_threads=n_threads, distinct=distinct)


def vector(world: World, n_users: int) -> Contestant:
    """`SlateVectorEnv`."""
    env = SlateVectorEnv(n_users, world, TASK)
    env.reset()
    return _contestant(env.step, n_users)


def sync(world: World, n_users: int) -> Contestant:
    """Gymnasium's own way: a `SyncVectorEnv` of single environments."""
    env = SyncVectorEnv(
        [lambda b=b: SlateEnv(world, TASK, first_user=b, stride=n_users) for b in range(n_users)],  # type: ignore[misc]
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    env.reset()
    return _contestant(env.step, n_users)


def sb3(world: World, n_users: int) -> Contestant:
    """The face for Stable-Baselines3."""
    from envs.sb3 import SlateVecEnv

    env = SlateVecEnv(n_users, world, TASK)
    env.reset()
    return _contestant(env.step, n_users)


def single(world: World) -> Contestant:
    """One environment made by `gymnasium.make`, with its wrappers; resets are part of its time."""
    env = gymnasium.make("envs:SlateRank-v0", world=world, task=TASK)
    env.reset()

    def step(slate: NDArray[np.int64]) -> None:
        *_, terminated, truncated, _ = env.step(slate[0])
        if terminated or truncated:
            env.reset()

    return _contestant(step, 1)


def _contestant(
    step: Callable[[NDArray[np.int64]], Any], n_users: int, *, n_threads: int = 1, distinct: bool = True
) -> Contestant:
    slates = pages(n_users, TASK.n_candidates, TASK.slate_size, distinct=distinct)
    return Contestant(
        step=turning(step, slates), per_call=n_users, before=lambda: numba.set_num_threads(n_threads)
    )
