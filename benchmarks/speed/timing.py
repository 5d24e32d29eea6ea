"""Timing several contestants in turn, so that a busy or throttled moment hits all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Contestant", "in_turn", "pages", "turning"]


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Something that advances `per_call` users by a step each time it is called."""

    step: Callable[[int], Any]
    """Called with 0, 1, 2, ..."""
    per_call: int
    """User-steps a call."""
    before: Callable[[], Any] | None = None
    """Called before each of its rounds; sets the number of threads."""
    after: Callable[[], Any] | None = None
    """Called at the end of each of its rounds, within its time; waits for what is under way."""


def in_turn(
    contestants: Mapping[str, Contestant], *, seconds: float, rounds: int, warm_calls: int = 12
) -> dict[str, list[float]]:
    """User-steps per second of every contestant in every round; a round runs each once, for `seconds`.

    Args:
        contestants: By name.
        seconds: Length of one contestant's window.
        rounds: How often each has its turn.
        warm_calls: Calls before the clock starts, the first time: compile, load, reach the usual mix of sessions.
    """
    calls = dict.fromkeys(contestants, 0)
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds):
        for name, contestant in contestants.items():
            if contestant.before is not None:
                contestant.before()
            # The caches hold what the last contestant touched: each warms its own again, unclocked.
            for _ in range(warm_calls if turn == 0 else 2):
                contestant.step(calls[name])
                calls[name] += 1
            done, began = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - began) < seconds:
                contestant.step(calls[name])
                calls[name] += 1
                done += 1
            if contestant.after is not None:
                contestant.after()
                elapsed = time.perf_counter() - began
            rates[name].append(done * contestant.per_call / elapsed)
    return rates


def pages(
    n_users: int, n_candidates: int, slate_size: int, *, distinct: bool, n_pages: int = 16
) -> list[NDArray[np.int64]]:
    """Slates drawn beforehand, (n_users, K) each: without repeats, or as `action_space.sample()` draws them."""
    rng = np.random.default_rng(0)
    if not distinct:
        return [rng.integers(0, n_candidates, (n_users, slate_size)) for _ in range(n_pages)]
    order = np.tile(np.arange(n_candidates), (n_users, 1))
    return [np.ascontiguousarray(rng.permuted(order, axis=1)[:, :slate_size]) for _ in range(n_pages)]


def turning(
    step: Callable[[NDArray[np.int64]], Any], slates: Sequence[NDArray[np.int64]]
) -> Callable[[int], Any]:
    """`Contestant.step` that shows the slates one after another, over and over."""
    return lambda i: step(slates[i % len(slates)])
