"""The first pages of a few users as one picture, to be compared as training goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.base import Draw
from envs.core import SlateCore
from envs.render import slate_picture
from envs.world import TaskConfig, World
from evaluation.online import policy_seed

if TYPE_CHECKING:
    from agents.base import Policy

__all__ = ["first_pages_picture"]


def first_pages_picture(
    policy: Policy,
    world: World,
    task: TaskConfig,
    *,
    users: Sequence[int],
    seed: int,
    columns: int = 2,
    width: int = 600,
) -> NDArray[np.uint8]:
    """The first page of each of `users` as the policy ranks it, and what the user did with it.

    The same users meet every policy with the same chance, so pictures of one run differ by what was learned.

    Args:
        policy: Who ranks.
        world: Users, candidates, titles and queries.
        task: Sizes.
        users: User numbers.
        seed: Key of the users' chance.
        columns: Pages side by side.
        width: Pixels of a page.

    Returns:
        (height, columns x width, 3), one cell a user.
    """
    numbers = np.asarray(users, np.int64)
    core = SlateCore(world, task, n_users=numbers.shape[0], seed=seed)
    observation = core.reset(users=numbers)
    state = core.state.copy()
    actions = policy.rank(
        observation,
        Draw(seed=policy_seed(seed), user=numbers, step=state.step),
        slate_size=task.slate_size,
        state=state if policy.privileged else None,
    )
    result = core.step(actions)
    cells = [
        slate_picture(
            world,
            query=int(state.query[b]),
            slate=result.slates[b],
            click=result.feedback.click[b],
            purchase=result.feedback.purchase[b],
            heading=f"{policy.name}, first page of user {int(numbers[b])}",
            width=width,
            n_rows=task.slate_size,
        )
        for b in range(numbers.shape[0])
    ]
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [np.concatenate(cells[start : start + columns], axis=1) for start in range(0, len(cells), columns)]
    return np.concatenate(rows, axis=0)
