"""The world's tables, checked against the task and brought into the shape that the core's kernels read."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.world import TaskConfig, World

__all__ = ["CandidateRows", "StepTables", "check_task", "prepare_candidates", "prepare_tables"]


@dataclass(frozen=True)
class CandidateRows:
    """The first N candidates of every query."""

    items: NDArray[np.int32]  # (Q, N) -1 padding at the end
    scores: NDArray[np.float32]  # (Q, N)
    lengths: NDArray[np.int64]  # (Q,) candidates before the padding


@dataclass(frozen=True)
class StepTables:
    """What the core's own kernels read; all arrays C-contiguous."""

    candidates: CandidateRows
    vectors: NDArray[np.float32]  # (I, D)
    price: NDArray[np.float32]  # (I,) 0 where unknown
    profit: NDArray[np.float32]  # (I,) price times margin, 0 where unknown
    weights: NDArray[np.float64]  # (8,) of the reward's parts
    score_weights: NDArray[np.float64]  # (3,) of clicks, purchases and revenue


def prepare_tables(world: World, task: TaskConfig) -> StepTables:
    """The world's tables as the kernels read them; nothing large is copied.

    Raises:
        InputError: As `prepare_candidates`.
    """
    features = world.features
    price = np.nan_to_num(np.ascontiguousarray(features.price, np.float32), nan=0.0)
    margin = np.zeros(1, np.float32) if features.margin is None else features.margin
    return StepTables(
        candidates=prepare_candidates(world, task),
        vectors=np.require(features.item_vectors, np.float32, ["C", "W"]),
        price=price,
        profit=(price * margin).astype(np.float32),
        weights=np.array(astuple(task.reward), np.float64),
        score_weights=np.array([task.click_weight, task.purchase_weight, task.revenue_weight], np.float64),
    )


def check_task(world: World, task: TaskConfig) -> None:
    """Raise InputError where the task is impossible, in itself or in this world."""
    limits = (("slate_size", 1), ("n_candidates", task.slate_size), ("max_steps", 1), ("history", 0))
    for name, least in limits:
        if getattr(task, name) < least:
            raise InputError(
                f"{name} is {getattr(task, name)}, but must be at least {least}",
                where=f"TaskConfig.{name}",
                mend="choose slate_size <= n_candidates, and at least one step",
            )
    if task.duplicates not in ("repair", "error"):
        raise InputError(
            f"duplicates is {task.duplicates!r}",
            where="TaskConfig.duplicates",
            mend="choose 'repair' or 'error'",
        )
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


def prepare_candidates(world: World, task: TaskConfig) -> CandidateRows:
    """The first `n_candidates` of every query, padded where the source has fewer.

    Raises:
        InputError: A query has fewer candidates than positions, a repeated one, one outside the catalogue, or
            padding that is not at the end.
    """
    N, table = task.n_candidates, world.candidates
    items = np.full((table.items.shape[0], N), -1, np.int32)
    scores = np.zeros(items.shape, np.float32)
    width = min(N, table.items.shape[1])
    items[:, :width] = table.items[:, :width]
    scores[:, :width] = np.where(table.items[:, :width] >= 0, table.scores[:, :width], 0.0)

    def complain(query: int, what: str, mend: str) -> InputError:
        text = f" {world.queries[query]!r}" if query < len(world.queries) else ""
        return InputError(f"query {query}{text} {what}", where="World.candidates", mend=mend)

    lengths = (items >= 0).sum(axis=1)
    short = np.flatnonzero(lengths < task.slate_size)
    if short.size:
        raise complain(
            int(short[0]),
            f"has {lengths[short[0]]} candidates, but a slate needs {task.slate_size}",
            "choose a smaller slate_size, or a candidate source that returns more",
        )
    source_order = "give catalogue rows, each once, best first, and -1 only at the end"
    wild = np.argwhere((items < -1) | (items >= world.features.n_items))
    if wild.size:
        raise complain(
            int(wild[0, 0]),
            f"has candidate {items[tuple(wild[0])]}, but the catalogue's rows are 0 .. "
            f"{world.features.n_items - 1}",
            source_order,
        )
    gaps = np.flatnonzero(((items[:, :-1] < 0) & (items[:, 1:] >= 0)).any(axis=1))
    if gaps.size:
        raise complain(int(gaps[0]), "has a candidate after padding", source_order)
    ordered = np.sort(items, axis=1)
    twice = np.argwhere((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0))
    if twice.size:
        query, at = twice[0]
        raise complain(int(query), f"has candidate {ordered[query, at]} twice", source_order)
    return CandidateRows(items=items, scores=scores, lengths=lengths.astype(np.int64))
