"""`HistoryLength`: more or fewer clicked items in the observation."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from behavior.errors import InputError
from envs.wrappers.base import Arrays, SingleEnv, observed_dict, slate_env

__all__ = ["HistoryLength"]


class HistoryLength(gymnasium.Wrapper[Arrays, Any, Arrays, Any], gymnasium.utils.RecordConstructorArgs):
    """The observation's `clicked` holds the last `h` clicked items, whatever `TaskConfig.history` says.

    It equals, to the bit, the observation of an environment whose task has `history=h`.

    Args:
        env: A `SlateEnv`, wrapped or not, whose observation is still a dictionary.
        h: Clicked items in the observation, newest first; 0 hides them.
    """

    def __init__(self, env: SingleEnv, h: int) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self, h=h)
        super().__init__(env)
        if not isinstance(h, int | np.integer) or isinstance(h, bool) or h < 0:
            raise InputError(
                f"the history's length is {h!r}", where="HistoryLength", mend="give an integer from 0"
            )
        inner = slate_env(env, "HistoryLength")
        self._h = int(h)
        self._clicked: list[int] = []  # newest first
        self.observation_space: spaces.Space[Any] = spaces.Dict(
            {
                **observed_dict(env, "HistoryLength").spaces,
                "clicked": spaces.Box(-1, inner.world.features.n_items - 1, (self._h,), np.int32),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Start the next session; nothing was clicked yet."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._clicked = []
        return self._observed(observation), info

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Step, and note the clicks of the page (there is none yet inside `SlotBySlot`)."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if "slate" in info:
            new = info["slate"][info["click"] > 0].tolist()[::-1]  # lower positions are clicked later
            self._clicked = (new + self._clicked)[: self._h]
        return self._observed(observation), float(reward), terminated, truncated, info

    def _observed(self, observation: Arrays) -> Arrays:
        clicked = np.full(self._h, -1, np.int32)
        clicked[: len(self._clicked)] = self._clicked
        return observation | {"clicked": clicked}
