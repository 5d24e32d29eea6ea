"""The same page for the same user under several policies, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from agents.base import Draw
from envs.core import SlateCore
from envs.world import TaskConfig, World
from evaluation.online import policy_seed
from evaluation.report_data import ShownItem, SlateComparison

if TYPE_CHECKING:
    from agents.base import Policy

__all__ = ["compare_slates", "shown_item"]


def compare_slates(
    policies: Mapping[str, Policy], world: World, task: TaskConfig, *, users: Sequence[int], seed: int
) -> tuple[SlateComparison, ...]:
    """The first page of each of `users` as every policy would rank it, and what the user did with it.

    Args:
        policies: Policies by the name they are to have, such as 'before training'.
        world: Users, candidates, titles and queries.
        task: Sizes.
        users: User numbers.
        seed: Key of the users' chance.
    """
    numbers = np.asarray(users, np.int64)
    rows = range(numbers.shape[0])
    pages: list[dict[str, tuple[ShownItem, ...]]] = [{} for _ in rows]
    queries = np.zeros(numbers.shape[0], np.int32)
    for name, policy in policies.items():
        core = SlateCore(world, task, n_users=numbers.shape[0], seed=seed)
        observation = core.reset(users=numbers)
        queries = core.state.query.copy()
        draw = Draw(seed=policy_seed(seed), user=numbers, step=core.state.step.copy())
        actions = policy.rank(
            observation,
            draw,
            slate_size=task.slate_size,
            state=core.state.copy() if policy.privileged else None,
        )
        result = core.step(actions)
        for b in rows:
            pages[b][name] = tuple(
                shown_item(
                    world, int(item), bool(result.feedback.click[b, k]), bool(result.feedback.purchase[b, k])
                )
                for k, item in enumerate(result.slates[b])
                if item >= 0
            )
    return tuple(
        SlateComparison(
            query=world.queries[int(queries[b])] if world.queries else f"query {int(queries[b])}",
            pages=pages[b],
            note=f"user {int(numbers[b])}, first page",
        )
        for b in rows
    )


def shown_item(world: World, item: int, clicked: bool, purchased: bool) -> ShownItem:
    """An item as it stands on a page of the report."""
    price = float(world.features.price[item])
    return ShownItem(
        title=world.titles[item] if world.titles else f"item {item}",
        price=None if np.isnan(price) else price,
        clicked=clicked,
        purchased=purchased,
    )
