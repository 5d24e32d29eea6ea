"""`MemoryLength`: more or fewer whole pages in the observation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.wrappers.base import Arrays, SingleEnv, observed_dict, slate_env

__all__ = ["MemoryLength"]


class MemoryLength(gymnasium.Wrapper[Arrays, Any, Arrays, Any], gymnasium.utils.RecordConstructorArgs):
    """The observation keeps the last `m` pages and their feedback, whatever `TaskConfig.memory` says.

    It equals, to the bit, the observation of an environment whose task has `memory=m`.

    Args:
        env: A `SlateEnv`, wrapped or not, whose observation is still a dictionary.
        m: Pages in `recent_items` and `recent_feedback`, newest first; 0 hides them.

    Raises:
        InputError: `m` is no integer from 0.
    """

    def __init__(self, env: SingleEnv, m: int) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self, m=m)
        super().__init__(env)
        if not isinstance(m, int | np.integer) or isinstance(m, bool) or m < 0:
            raise InputError(
                f"the memory's length is {m!r}", where="MemoryLength", mend="give an integer from 0"
            )
        inner = slate_env(env, "MemoryLength")
        self._pages = int(m)
        self._width = self._pages * inner.task.slate_size  # M
        self._items = np.full(self._width, -1, np.int32)
        self._feedback = np.zeros(self._width, np.float32)
        last_item = inner.world.features.n_items - 1
        self.observation_space: spaces.Space[Any] = spaces.Dict(
            self._with(
                observed_dict(env, "MemoryLength").spaces,
                spaces.Box(-1, last_item, (self._width,), np.int32),
                spaces.Box(0.0, 2.0, (self._width,), np.float32),
            )
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Start the next session; nothing was shown yet."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._items = np.full(self._width, -1, np.int32)
        self._feedback = np.zeros(self._width, np.float32)
        return self._observed(observation), info

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Step, and note the page (there is none yet inside `SlotBySlot`)."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if "slate" in info:
            feedback = np.where(info["purchase"] > 0, 2.0, np.where(info["click"] > 0, 1.0, 0.0))
            self._items = _pushed(info["slate"], self._items)
            self._feedback = _pushed(feedback, self._feedback)
        return self._observed(observation), float(reward), terminated, truncated, info

    def _observed(self, observation: Arrays) -> Arrays:
        return self._with(observation, self._items.copy(), self._feedback.copy())

    def _with(self, entries: Mapping[str, Any], items: Any, feedback: Any) -> dict[str, Any]:
        """`entries` with these in the place of its pages; without any where none are kept."""
        rest = {name: entry for name, entry in entries.items() if not name.startswith("recent_")}
        return rest | ({"recent_items": items, "recent_feedback": feedback} if self._pages else {})


def _pushed(page: NDArray[Any], kept: NDArray[Any]) -> NDArray[Any]:
    """`page` (K,) before what is kept (M,), cut to M."""
    return np.concatenate([page, kept])[: kept.shape[0]].astype(kept.dtype)
