"""The seam for rules of the shop: what a task's `rules` must be able to do. The core needs nothing else of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from envs.observation import Observation
    from envs.world import TaskConfig, World
    from simulators.base import Feedback

__all__ = ["PageRules", "Rules", "rules_of"]


class PageRules(Protocol):
    """Rules at work in one core.

    Stateless, or a function of (seed, user, step): a user's session must not depend on the batch.
    """

    def place(
        self,
        rows: NDArray[np.int64],
        actions: NDArray[np.int64],
        query: NDArray[np.int32],
        user: NDArray[np.int64],
        step: NDArray[np.int32],
        positions: NDArray[np.int64],
        slates: NDArray[np.int32],
        repairs: NDArray[np.int32],
    ) -> None:
        """Turn the actions (B, K) of the users at `rows` into slates: writes positions, slates and repairs.

        A choice that the rules forbid must be repaired and counted; every slate has K distinct items.
        """
        ...

    def hide(
        self,
        rows: NDArray[np.int64],
        observation: Observation,
        user: NDArray[np.int64],
        step: NDArray[np.int32],
    ) -> None:
        """Strike out what cannot be chosen at `rows` of a fresh observation: candidate -1, score and seen 0."""
        ...

    def costs(
        self,
        rows: NDArray[np.int64],
        query: NDArray[np.int32],
        user: NDArray[np.int64],
        step: NDArray[np.int32],
        positions: NDArray[np.int64],
        slates: NDArray[np.int32],
        repairs: NDArray[np.int32],
        feedback: Feedback,
    ) -> Mapping[str, NDArray[np.float64]]:
        """Name to (B,) costs of the pages shown at `rows`; query, user and step are those of the page."""
        ...


class Rules(Protocol):
    """What `TaskConfig.rules` holds: usually a frozen dataclass of the rules' numbers."""

    def bind(self, world: World, task: TaskConfig) -> PageRules:
        """The rules at work in a world.

        Raises:
            InputError: They cannot be kept in this world.
        """
        ...


def rules_of(world: World, task: TaskConfig) -> PageRules | None:
    """The task's rules of the shop, at work in this world; None where it has none."""
    return None if task.rules is None else task.rules.bind(world, task)
