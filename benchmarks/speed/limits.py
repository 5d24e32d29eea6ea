"""The lower limit of a step, reckoned from the bytes it must touch and the random numbers it must draw."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.kernels import limits as kernels
from benchmarks.speed.phases import Traffic
from benchmarks.speed.worlds import TASK
from envs.world import World
from simulators.shopper import ShopperSimulator

__all__ = ["Term", "limit_terms"]

_LINE = 64  # bytes


@dataclass(frozen=True, kw_only=True)
class Term:
    """One kind of unavoidable work of a user-step."""

    what: str
    count: float  # units a user-step
    unit: str
    each: float  # measured nanoseconds a unit

    @property
    def nanoseconds(self) -> float:
        """A user-step."""
        return self.count * self.each


def limit_terms(world: World, n_users: int, traffic: Traffic) -> list[Term]:
    """What a step cannot do without, and what each kind of it takes here, measured by a bare kernel.

    Counted once each, by the sizes of the task and not by how the core keeps its records. Left out: all arithmetic,
    and everything that happens once a call, not once a user.

    Args:
        world: Its tables are the ones touched; the simulator must be the built-in shopper.
        n_users: B: outputs and states of so many users lie side by side.
        traffic: Clicks and ends a user-step.
    """
    simulator, features = world.simulator, world.features
    if not isinstance(simulator, ShopperSimulator):
        raise TypeError(f"the limit is reckoned for ShopperSimulator, not {type(simulator).__name__}")
    rng = np.random.default_rng(0)
    N, K, H, F = TASK.n_candidates, TASK.slate_size, TASK.history, simulator.context_size
    Q = world.candidates.items.shape[0]
    asked = rng.integers(0, Q, 100_000)
    shown = world.candidates.items[asked, rng.integers(0, N, asked.size)]  # rows as steps meet them
    ids, scores = (
        np.require(table, None, ["C"]) for table in (world.candidates.items, world.candidates.scores)
    )
    outs = [np.empty((n_users, N), table.dtype) for table in (ids, scores)]
    batches = [rng.integers(0, Q, n_users) for _ in range(32)]

    def copy(i: int) -> None:
        for table, out in zip((ids, scores), outs, strict=True):
            kernels.copy_rows(table, batches[i % 32], out)

    state = (
        4 * simulator.hidden_size + 4 * F + 4 * (2 * K + H + 8)
    )  # bytes: state, last page, clicks, counters
    output = 4 * N + 3 * 4 * K + 4 * H + 4 * F + 4 * 5  # the rest of the observation
    output += (
        12 * K + 3 * K + 8 * 8 + 8 + 8 + 4 + 2
    )  # slates, positions, feedback, parts, reward, score, flags
    output += int(traffic.ends * (12 * N + 8 * 8))  # last observations of finished sessions
    rows = np.ones(n_users * state // 4, np.float32)
    fresh = np.empty(n_users * output // 4, np.float32)
    blocks = -(-K // 4) + traffic.clicks + 2 + 3 * traffic.ends

    def row_time(table: Any, which: NDArray[Any]) -> float:
        return _nanoseconds(lambda i: kernels.touch_rows(table, which)) / float(which.size)

    vectors, traits = np.require(features.item_vectors, np.float32, ["C"]), simulator.item_traits
    return [
        Term(
            what="vectors of the shown items",
            count=K,
            unit=f"rows of {4 * vectors.shape[1]} bytes, anywhere in {_size(vectors.nbytes)}",
            each=row_time(vectors, shown),
        ),
        Term(
            what="traits of the shown items",
            count=K,
            unit=f"rows of {4 * traits.shape[1]} bytes, anywhere in {_size(traits.nbytes)}",
            each=row_time(traits, shown),
        ),
        Term(
            what="vector of the query",
            count=1,
            unit=f"row, anywhere in {_size(features.query_vectors.nbytes)}",
            each=row_time(np.require(features.query_vectors, np.float32, ["C"]), asked),
        ),
        Term(
            what="candidates and scores of the next query, copied",
            count=2,
            unit=f"rows of {4 * N} bytes, anywhere in {_size(ids.nbytes + scores.nbytes)}",
            each=_nanoseconds(copy) / (2 * n_users),
        ),
        Term(
            what="state and record, read and written",
            count=state,
            unit=f"bytes, of {_size(rows.nbytes)} in turn",
            each=_nanoseconds(lambda i: kernels.read_and_write(rows)) / rows.nbytes,
        ),
        Term(
            what="everything else that is written",
            count=output,
            unit=f"bytes, of {_size(fresh.nbytes)} in turn",
            each=_nanoseconds(lambda i: kernels.write(fresh)) / fresh.nbytes,
        ),
        Term(
            what="random numbers",
            count=blocks,
            unit="Philox blocks of four",
            each=_nanoseconds(lambda i: kernels.draw(1000, 8, np.uint64(i))) / 8000,
        ),
    ]


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.2f} MB" if n_bytes < 1e6 else f"{n_bytes / 1e6:,.0f} MB"


def _nanoseconds(work: Callable[[int], Any], seconds: float = 0.15) -> float:
    """The fastest call."""
    work(0)
    best, i, began = float("inf"), 1, time.perf_counter()
    while time.perf_counter() - began < seconds:
        at = time.perf_counter()
        work(i)
        best = min(best, time.perf_counter() - at)
        i += 1
    return best * 1e9
