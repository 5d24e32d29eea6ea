"""Whole sessions served by a function, many at once: how searches and tunings judge what they try."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from envs.core import SlateCore
from envs.observation import Observation
from envs.world import TaskConfig, World
from simulators.base import SessionState

__all__ = ["serve_sessions"]

Server = Callable[[NDArray[np.int64], Observation, SessionState], NDArray[np.int64]]
"""(slots (R,), their observations, their states) -> candidate positions (R, K)."""


def serve_sessions(
    world: World, task: TaskConfig, users: NDArray[np.int64], server: Server, *, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Score and length (B,) of one session of each of `users` (B,), who may repeat."""
    B = users.shape[0]
    core = SlateCore(world, task, n_users=B, seed=seed)
    observation = core.reset(seed=seed, users=users)
    score, length = np.zeros(B), np.zeros(B, np.int64)
    here = np.ones(B, np.bool_)
    first = np.tile(np.arange(task.slate_size, dtype=np.int64), (B, 1))
    while here.any():
        rows = np.flatnonzero(here)
        everyone = rows.shape[0] == B
        actions = first.copy()  # slots that are through show their next user anything
        actions[rows] = server(
            rows,
            observation if everyone else observation.take(rows),
            core.state if everyone else core.state.take(rows),
        )
        result = core.step(actions)
        score[rows] += result.score[rows]
        length[rows] += 1
        here &= ~(result.terminated | result.truncated)
        observation = result.observation
    return score, length
