"""The world that speed is measured in: a catalogue of any size, 64-wide vectors, queries that cover all of it."""

from __future__ import annotations

from envs.generated import ShopSpec, generate_world
from envs.world import TaskConfig, World

__all__ = ["TASK", "speed_world"]

TASK = TaskConfig(slate_size=10, n_candidates=100, max_steps=20)
"""N 100, K 10, sessions of at most 20 pages."""


def speed_world(n_items: int, *, width: int = 64) -> World:
    """A generated shop with N 100 and one query per hundred items (at least 50).

    With fewer queries the pages would come from a small part of the catalogue, which the caches hold, and a
    million items would look as fast as a thousand.

    Args:
        n_items: Catalogue items I.
        width: Vector width D.
    """
    return generate_world(
        ShopSpec(
            n_items=n_items,
            n_queries=max(50, n_items // 100),
            n_candidates=TASK.n_candidates,
            width=width,
        )
    )
