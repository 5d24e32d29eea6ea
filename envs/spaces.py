"""The Gymnasium spaces of one user's actions and observations."""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from envs.world import TaskConfig, World

__all__ = ["action_space", "observation_space"]


def action_space(task: TaskConfig) -> spaces.MultiDiscrete:
    """Candidate positions in slate order: `MultiDiscrete([N] * K)`."""
    return spaces.MultiDiscrete(np.full(task.slate_size, task.n_candidates, np.int64))


def observation_space(world: World, task: TaskConfig) -> spaces.Dict:
    """One user's `Observation`, as a `Dict` of `Box`es; see `envs.observation.Observation` for the meanings."""
    N, K, H, T = task.n_candidates, task.slate_size, task.history, task.max_steps
    M = task.memory * K
    last_item, last_query = world.features.n_items - 1, world.features.n_queries - 1
    anything = float(np.finfo(np.float32).max)
    most = math.log1p(T * K)

    def ids(n: int, last: int) -> spaces.Box:
        return spaces.Box(-1, last, (n,), np.int32)

    def numbers(n: int, high: float, low: float = 0.0) -> spaces.Box:
        return spaces.Box(low, high, (n,), np.float32)

    progress = spaces.Box(np.zeros(4, np.float32), np.array([1.0, 1.0, most, most], np.float32))
    pages = {"recent_items": ids(M, last_item), "recent_feedback": numbers(M, 2.0)} if M else {}
    return spaces.Dict(
        {
            "query": ids(1, last_query),
            "context": numbers(world.simulator.context_size, anything, -anything),
            "candidates": ids(N, last_item),
            "scores": numbers(N, 1.0),
            "seen": numbers(N, float(T)),
            "last_slate": ids(K, last_item),
            "last_click": numbers(K, 1.0),
            "last_purchase": numbers(K, 1.0),
            "clicked": ids(H, last_item),
            "progress": progress,
            **pages,
        }
    )
