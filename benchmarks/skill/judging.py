"""Who judges: held-out users, served in blocks, the same for every policy of a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.base import Policy
from envs.world import TaskConfig, World
from evaluation.online import evaluate_policy

__all__ = ["BLOCKS", "BLOCK_STEP", "FIRST_USER", "VALIDATION_USER", "Served", "serve_blocks"]

FIRST_USER = 50_000_000
"""Users who judge: far from those who practised (from 2^40 on) and from those whom agents train on."""
VALIDATION_USER = 5_000_000
"""Users by whom the best moment of a training is chosen; no agent trains on them, and they do not judge."""
BLOCKS = 8
BLOCK_STEP = 1_117
"""Users are served in blocks whose numbers lie this far apart, so that every week of a shop has some."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """What became of the users (U,), in the order of their blocks."""

    score: NDArray[np.float64]  # (U,)
    length: NDArray[np.float64]  # (U,) pages


def serve_blocks(
    policy: Policy,
    world: World,
    task: TaskConfig,
    *,
    users: int,
    seed: int,
    first_user: int = FIRST_USER,
    blocks: int = BLOCKS,
) -> Served:
    """One session of each user.

    Args:
        policy: Who ranks.
        world: Where.
        task: Sizes, horizon and score.
        users: How many; rounded down to whole blocks of at least one user.
        seed: Key of the users' chance.
        first_user: First of the first block.
        blocks: Blocks.
    """
    outcomes = [
        evaluate_policy(
            policy,
            world,
            task,
            n_users=max(1, users // blocks),
            seed=seed,
            first_user=first_user + block * BLOCK_STEP,
            progress=False,
        )
        for block in range(blocks)
    ]
    return Served(
        score=np.concatenate([one.score for one in outcomes]),
        length=np.concatenate([one.length for one in outcomes]),
    )
