"""What the contract's checks share: actions that depend on (user, step) only, trajectories, comparisons."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.core import SlateCore
from envs.results import StepResult
from envs.single import SlateEnv
from envs.world import TaskConfig, World
from simulators.kernels.rng import Purpose, uniform_table

__all__ = [
    "CLONES",
    "SEED",
    "MakeWorld",
    "assert_equal",
    "assert_same_pages",
    "leaves",
    "pages_of",
    "random_actions",
    "single_maker",
    "step_arrays",
    "trajectory",
]

MakeWorld = Callable[[], World]


def _pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


CLONES: tuple[Callable[[Any], Any], ...] = (copy.deepcopy, _pickled)
"""The ways in which an environment is copied."""
SEED = 3
"""Key of chance of every check's environments."""


def random_actions(
    task: TaskConfig, user: NDArray[np.int64], step: NDArray[np.int32], *, seed: int = 1
) -> NDArray[np.int64]:
    """Random elements (B, K) of the action space, repeats included, that depend on (user, step) only.

    With `duplicates="error"` they are distinct, and among the first K candidates, which are never padding.
    """
    table = uniform_table(seed, user, step, Purpose.PLUG_IN, task.slate_size)
    if task.duplicates == "error":
        return np.argsort(table, axis=1)
    return np.minimum((table * task.n_candidates).astype(np.int64), task.n_candidates - 1)


def single_maker(make_world: MakeWorld, task: TaskConfig, slot: int, n_envs: int) -> Callable[[], SlateEnv]:
    """Makes the single environment that lives through what slot `slot` of `n_envs` does."""
    return lambda: SlateEnv(make_world(), task, seed=SEED, first_user=slot, stride=n_envs)


def trajectory(core: SlateCore, n_steps: int) -> list[dict[str, NDArray[Any]]]:
    """The next pages of `core`, under random actions."""
    return [
        step_arrays(core.step(random_actions(core.task, core.state.user, core.state.step)))
        for _ in range(n_steps)
    ]


def pages_of(world: World, task: TaskConfig, user: int, n_steps: int) -> list[dict[str, Any]]:
    """The pages of one user alone, row by row; after its session those of the next."""
    core = SlateCore(world, task, n_users=1, seed=SEED, first_user=user)
    core.reset()
    return [{name: array[0] for name, array in page.items()} for page in trajectory(core, n_steps)]


def step_arrays(result: StepResult) -> dict[str, NDArray[Any]]:
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
        **{f"costs.{name}": cost for name, cost in result.costs.items()},
    }


def assert_same_pages(
    first: list[dict[str, NDArray[Any]]], second: list[dict[str, NDArray[Any]]], what: str
) -> None:
    """Raise AssertionError where two trajectories differ."""
    for step, (a, b) in enumerate(zip(first, second, strict=True)):
        assert_equal(a, b, f"{what}: step {step}")


def assert_equal(a: Any, b: Any, what: str) -> None:
    """Raise AssertionError where two nested results differ in a bit, a dtype or a key."""
    if isinstance(a, dict) and isinstance(b, dict):
        assert a.keys() == b.keys(), f"{what}: keys {sorted(a)} and {sorted(b)}"
        for name, value in a.items():
            assert_equal(value, b[name], f"{what}: {name}")
        return
    if isinstance(a, tuple) and isinstance(b, tuple):
        assert len(a) == len(b), f"{what}: {len(a)} and {len(b)} parts"
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{what}: part {i}")
        return
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        assert a.dtype == b.dtype, f"{what}: dtypes {a.dtype} and {b.dtype}"
        if a.dtype == object:
            assert_equal(tuple(a.tolist()), tuple(b.tolist()), what)
            return
    assert np.array_equal(a, b), f"{what} differs: {a!r} and {b!r}"


def leaves(value: Any) -> Iterator[NDArray[Any]]:
    """The arrays in nested dicts, tuples and object arrays."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, np.ndarray) and value.dtype != object:
        yield value
    elif isinstance(value, list | tuple | np.ndarray):
        for part in value:
            yield from leaves(part)
