"""Whether a task is possible, in itself and in a world: what would fail in the middle of a session fails here."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.numeric import check_integer, check_real
from envs.pessimism import check_pessimism
from envs.world import RewardMix, TaskConfig, World
from simulators.kernels.rng import MAX_SEED

__all__ = ["as_array", "check_mix", "check_task", "checked_seed"]

_MOST = 1 << 24
"""Candidates, positions and clicks kept, at most; ids end there, too."""
_MOST_STEPS = (1 << 31) - 1


def check_task(world: World, task: TaskConfig) -> None:
    """Raise InputError where the task is impossible, in itself or in this world."""
    for value, kind, name in ((world, World, "world"), (task, TaskConfig, "task")):
        if not isinstance(value, kind):
            raise InputError(
                f"the {name} is of type {type(value).__name__}",
                where=name,
                mend=f"give an envs.{kind.__name__}",
            )
    _check_config(task)
    longest = world.simulator.slate_size
    if longest is not None and task.slate_size > longest:
        raise InputError(
            f"slate_size is {task.slate_size}, but this simulator can answer at most {longest} positions",
            where="TaskConfig.slate_size",
            mend=f"choose slate_size <= {longest}, or fit the simulator to a log with longer slates",
        )
    for name, simulated, known in (
        ("items", world.simulator.n_items, world.features.n_items),
        ("queries", world.simulator.n_queries, world.features.n_queries),
        ("queries with candidates", world.features.n_queries, world.candidates.items.shape[0]),
    ):
        if simulated != known:
            raise InputError(
                f"the world's parts disagree on the number of {name}: {simulated} and {known}",
                where="World",
                mend="build simulator, features and candidates from the same catalogue and queries",
            )
    _check_features(world)
    check_mix(world, task.reward, where="TaskConfig.reward")
    check_pessimism(world, task)


def check_mix(world: World, mix: RewardMix, *, where: str) -> None:
    """Raise InputError where a weight is no finite number, or weighs what this world cannot tell."""
    if not isinstance(mix, RewardMix):
        raise InputError(f"the reward is {mix!r}", where=where, mend="give an envs.RewardMix")
    for name, weight in asdict(mix).items():
        check_real(weight, where=f"{where}.{name}")
    if mix.margin != 0.0 and world.features.margin is None:
        raise InputError(
            f"a unit of margin is to be rewarded with {mix.margin:g}, but the world knows no margins",
            where=f"{where}.margin",
            mend="give FeatureTables(margin=...), the share of each item's price that the shop keeps, or weigh it 0",
        )


def _check_config(task: TaskConfig) -> None:
    check_integer(task.slate_size, where="TaskConfig.slate_size", least=1, most=_MOST)
    check_integer(task.n_candidates, where="TaskConfig.n_candidates", least=1, most=_MOST)
    check_integer(task.max_steps, where="TaskConfig.max_steps", least=1, most=_MOST_STEPS)
    check_integer(task.history, where="TaskConfig.history", least=0, most=_MOST)
    check_integer(task.memory, where="TaskConfig.memory", least=0, most=_MOST // task.slate_size)
    if task.n_candidates < task.slate_size:
        raise InputError(
            f"n_candidates is {task.n_candidates}, but must be at least {task.slate_size}",
            where="TaskConfig.n_candidates",
            mend="choose slate_size <= n_candidates",
        )
    for name in ("click_weight", "purchase_weight", "revenue_weight", "pessimism"):
        check_real(getattr(task, name), where=f"TaskConfig.{name}")
    if task.duplicates not in ("repair", "error"):
        raise InputError(
            f"duplicates is {task.duplicates!r}",
            where="TaskConfig.duplicates",
            mend="choose 'repair' or 'error'",
        )
    if task.rules is not None and not hasattr(task.rules, "bind"):
        raise InputError(
            f"rules is {task.rules!r}",
            where="TaskConfig.rules",
            mend="give rules of a shop, such as envs.business.BusinessRules, or None",
        )


def _check_features(world: World) -> None:
    features = world.features
    if features.item_vectors.ndim != 2 or features.query_vectors.ndim != 2:
        raise InputError(
            f"item_vectors are {features.item_vectors.shape} and query_vectors {features.query_vectors.shape}",
            where="World.features",
            mend="give (I, D) and (Q, D) arrays",
        )
    for name, column in (("price", features.price), ("margin", features.margin)):
        if column is None:
            continue
        if column.shape != (features.n_items,):
            raise InputError(
                f"{name} has shape {column.shape}, but there are {features.n_items} items",
                where=f"FeatureTables.{name}",
                mend="give one entry per item",
            )
        wrong = ~np.isfinite(column) & ~(np.isnan(column) & (name == "price"))  # a price may be unknown
        if wrong.any():
            item = int(np.flatnonzero(wrong)[0])
            raise InputError(
                f"{name} of item {item} is {column[item]}",
                where=f"FeatureTables.{name}",
                mend="give finite numbers" + (", or nan where it is unknown" if name == "price" else ""),
            )
    # A sum is finite where all its terms are, and needs no second table of a million rows.
    with np.errstate(invalid="ignore", over="ignore"):
        total = features.item_vectors.sum(dtype=np.float64)
    if not np.isfinite(total):
        item = int(np.flatnonzero(~np.isfinite(features.item_vectors).all(axis=1))[0])
        raise InputError(
            f"the vector of item {item} holds nan or infinity",
            where="FeatureTables.item_vectors",
            mend="give finite numbers",
        )


def checked_seed(seed: Any) -> int:
    """`seed` as a plain integer; raise InputError where it is none, or out of range."""
    if not isinstance(seed, int | np.integer) or not 0 <= int(seed) <= MAX_SEED:
        raise InputError(f"seed is {seed}", where="SlateCore", mend=f"choose a seed from 0 to {MAX_SEED}")
    return int(seed)


def as_array(given: Any) -> NDArray[Any]:
    """`given` as an array; an empty one of objects, which no check lets pass, where lists are of unequal length."""
    try:
        return np.asarray(given)
    except ValueError:
        return np.empty(0, object)
