"""`MixReward`: another mix of the reward's parts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import gymnasium

from envs.checks import check_mix
from envs.world import RewardMix
from envs.wrappers.base import SingleEnv, slate_env

__all__ = ["MixReward"]


class MixReward(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """The reward is `mix` of `info["reward_parts"]` instead of the task's own mix.

    Scores stay what they are: policies are compared by the task's score whatever they are trained on. The return in
    `info["session"]["reward"]` is that of the new mix.

    Args:
        env: A `SlateEnv`, wrapped or not.
        mix: The weights.

    Raises:
        InputError: A weight is no finite number, or weighs what the world cannot tell.
    """

    def __init__(self, env: SingleEnv, mix: RewardMix) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self, mix=mix)
        super().__init__(env)
        check_mix(slate_env(env, "MixReward").world, mix, where="MixReward.mix")
        self._weights = asdict(mix)
        self._return = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start the next session."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._return = 0.0
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step, and weigh the page's parts (there is no page yet inside `SlotBySlot`)."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        parts = info.get("reward_parts")
        if parts is None:
            return observation, float(reward), terminated, truncated, info
        mixed = -info.get("penalty", 0.0)  # what the task's own mix is doubted by
        for name, weight in self._weights.items():
            mixed += weight * parts[name]
        self._return += mixed
        if "session" in info:
            info = info | {"session": info["session"] | {"reward": self._return}}
        return observation, mixed, terminated, truncated, info
