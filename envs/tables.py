"""The world's tables, checked against the task and brought into the shape that the core's kernels read."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.world import TaskConfig, World

__all__ = ["CandidateRows", "StepTables", "prepare_candidates", "prepare_tables"]


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
        InputError: As `prepare_candidates`; or carts are to be rewarded, and the simulator knows none.
    """
    features = world.features
    candidates = prepare_candidates(world, task)
    _check_carts(world, task, candidates)
    price = np.nan_to_num(np.ascontiguousarray(features.price, np.float32), nan=0.0)
    margin = np.zeros(1, np.float32) if features.margin is None else features.margin
    return StepTables(
        candidates=candidates,
        vectors=np.require(features.item_vectors, np.float32, ["C", "W"]),
        price=price,
        profit=(price * margin).astype(np.float32),
        weights=np.array(astuple(task.reward), np.float64),
        score_weights=np.array([task.click_weight, task.purchase_weight, task.revenue_weight], np.float64),
    )


def _check_carts(world: World, task: TaskConfig, candidates: CandidateRows) -> None:
    """Ask a user of the simulator whether there are carts, where it matters."""
    if task.reward.cart == 0.0:
        return
    state = world.simulator.begin(np.zeros(1, np.int64), seed=0)
    page = candidates.items[state.query, : task.slate_size]
    if world.simulator.respond(state, page, seed=0).cart is None:
        raise InputError(
            f"a cart is to be rewarded with {task.reward.cart:g}, but the simulator knows no carts",
            where="TaskConfig.reward.cart",
            mend="weigh it 0, or choose a simulator whose feedback has carts",
        )


def prepare_candidates(world: World, task: TaskConfig) -> CandidateRows:
    """The first `n_candidates` of every query, padded where the source has fewer.

    Raises:
        InputError: A query has fewer candidates than positions, a repeated one, one outside the catalogue, a score
            that is no probability, or padding that is not at the end.
    """
    N, table = task.n_candidates, world.candidates
    if table.items.ndim != 2 or table.items.dtype.kind not in "iu" or table.scores.shape != table.items.shape:
        raise InputError(
            f"items are {table.items.dtype} of shape {table.items.shape}, scores of shape {table.scores.shape}",
            where="World.candidates",
            mend="give integers (Q, N) and a score for each",
        )
    items = np.full((table.items.shape[0], N), -1, np.int32)
    scores = np.zeros(items.shape, np.float32)
    width = min(N, table.items.shape[1])
    items[:, :width] = table.items[:, :width]
    scores[:, :width] = np.where(table.items[:, :width] >= 0, table.scores[:, :width], 0.0)

    def complain(query: int, what: str, mend: str) -> InputError:
        text = f" {world.queries[query]!r}" if query < len(world.queries) else ""
        return InputError(f"query {query}{text} {what}", where="World.candidates", mend=mend)

    wrong = np.argwhere(~((scores >= 0.0) & (scores <= 1.0)))  # nan is wrong, too
    if wrong.size:
        query, at = wrong[0]
        raise complain(
            int(query),
            f"has score {scores[query, at]} for candidate {at}",
            "give click probabilities, 0 to 1",
        )
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
