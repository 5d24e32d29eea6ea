"""Speed of the environment: user-steps per second of the batched core and of its faces.

`python -m benchmarks.environment [--quick] [--json FILE]`. The world is `envs.toy_world` with 64-wide vectors, N = 100
candidates, K = 10 positions; actions are drawn beforehand, so that only the environment is timed. Each figure
is the median of several windows.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common import Case, Options, case, main, result
from envs.core import SlateCore
from envs.single import SlateEnv
from envs.toy import toy_world
from envs.vector import SlateVectorEnv
from envs.world import TaskConfig, World

__all__ = ["measure"]


TASK = TaskConfig(slate_size=10, n_candidates=100, max_steps=20)


def _pages(n_users: int, n_pages: int = 8) -> list[NDArray[np.int64]]:
    """Slates without repeats, (n_users, K) each."""
    rng = np.random.default_rng(0)
    return [
        np.argsort(rng.random((n_users, TASK.n_candidates)), axis=1)[:, : TASK.slate_size]
        for _ in range(n_pages)
    ]


def _rate(step: Callable[[int], Any], per_step: int, *, seconds: float, windows: int) -> float:
    """Median user-steps per second over `windows` windows of `seconds`."""
    for i in range(3):
        step(i)
    rates = []
    for _ in range(windows):
        done, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds:
            step(done)
            done += 1
        rates.append(done * per_step / elapsed)
    return statistics.median(rates)


def _core(world: World, n_users: int) -> Callable[[int], Any]:
    core, pages = SlateCore(world, TASK, n_users=n_users), _pages(n_users)
    core.reset()
    return lambda i: core.step(pages[i % len(pages)])


def _vector(env: SlateVectorEnv | SyncVectorEnv, n_users: int) -> Callable[[int], Any]:
    pages = _pages(n_users)
    env.reset()
    return lambda i: env.step(pages[i % len(pages)])


def _single(world: World) -> Callable[[int], Any]:
    env, pages = SlateEnv(world, TASK), _pages(1)
    env.reset()

    def step(i: int) -> None:
        *_, terminated, truncated, _ = env.step(pages[i % len(pages)][0])
        if terminated or truncated:
            env.reset()

    return step


def _sb3(world: World, n_users: int) -> Callable[[int], Any]:
    from envs.sb3 import SlateVecEnv

    env, pages = SlateVecEnv(n_users, world, TASK), _pages(n_users)
    env.reset()
    return lambda i: env.step(pages[i % len(pages)])


def measure(options: Options) -> dict[str, Any]:
    """Run every case; a bar shows how far it is. `--quick`: shorter windows, a smaller large catalogue."""
    seconds, windows = (0.4, 3) if options.quick else (2.0, 5)
    large = 20_000 if options.quick else 100_000
    world = toy_world(1000, 50, TASK.n_candidates, width=64)
    big = toy_world(large, 50, TASK.n_candidates, width=64)
    everything = numba.get_num_threads()
    gymnasium_way = SyncVectorEnv(
        [lambda b=b: SlateEnv(world, TASK, first_user=b, stride=64) for b in range(64)],  # type: ignore[misc]
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    plan: list[tuple[str, int, int, Callable[[int], Any]]] = [
        ("SyncVectorEnv of 64 single environments, 1 thread", 64, 1, _vector(gymnasium_way, 64)),
        ("single Env, 1 thread", 1, 1, _single(world)),
        ("batched core, 1024 users, 1000 items, 1 thread", 1024, 1, _core(world, 1024)),
        (f"batched core, 1024 users, {large} items, 1 thread", 1024, 1, _core(big, 1024)),
        ("batched core, 64 users, 1000 items, 1 thread", 64, 1, _core(world, 64)),
        (
            "VectorEnv, 1024 users, 1000 items, 1 thread",
            1024,
            1,
            _vector(SlateVectorEnv(1024, world, TASK), 1024),
        ),
        ("SB3 VecEnv, 1024 users, 1000 items, 1 thread", 1024, 1, _sb3(world, 1024)),
    ]
    if everything > 1:
        plan.append(
            (
                f"batched core, 1024 users, 1000 items, {everything} threads",
                1024,
                everything,
                _core(world, 1024),
            )
        )
    cases: list[Case] = []
    reference: float | None = None
    for name, n_users, threads, step in tqdm(plan, desc="environment", unit="case", disable=None):
        numba.set_num_threads(threads)
        value = _rate(step, n_users, seconds=seconds, windows=windows)
        cases.append(case(name, value, "user-steps/s", reference))
        if reference is None:
            reference = value
    numba.set_num_threads(everything)
    return result("environment", cases, packages=("numpy", "numba", "gymnasium", "stable-baselines3"))


if __name__ == "__main__":
    sys.exit(main(measure, description=__doc__))
