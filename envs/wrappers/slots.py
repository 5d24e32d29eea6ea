"""`SlotBySlot`: the agent fills the page one position at a time."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.wrappers.base import Arrays, SingleEnv, observed_dict, slate_env

__all__ = ["SlotBySlot"]


class SlotBySlot(gymnasium.Wrapper[Arrays, Any, Arrays, Any], gymnasium.utils.RecordConstructorArgs):
    """The page is filled one position at a time: `Discrete(N)`, K choices a page.

    The observation gains `chosen` (K,), the catalogue rows put on the page so far, and `action_mask` (N,), 1
    where a candidate may still be chosen. An illegal choice takes the next legal candidate, cyclically, and is
    counted in `info["repairs"]`. Reward, feedback and the end of the session come with the K-th choice.

    A learner that discounts every choice should use gamma ** (1 / K) to keep the discount of a page.

    Args:
        env: A `SlateEnv`, wrapped or not, whose observation is still a dictionary.
    """

    def __init__(self, env: SingleEnv) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._inner = slate_env(env, "SlotBySlot")
        N, K = self._inner.task.n_candidates, self._inner.task.slate_size
        self.action_space = spaces.Discrete(N)
        self.observation_space: spaces.Space[Any] = spaces.Dict(
            {
                **observed_dict(env, "SlotBySlot").spaces,
                "chosen": spaces.Box(-1, self._inner.world.features.n_items - 1, (K,), np.int32),
                "action_mask": spaces.Box(0.0, 1.0, (N,), np.float32),
            }
        )
        self._page: list[int] = []
        self._repairs = 0
        self._observation: Arrays | None = None  # None: there is no page to fill
        self._over = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Start the next session with an empty page."""
        self._observation, info = self.env.reset(seed=seed, options=options)
        self._page, self._repairs, self._over = [], 0, False
        return self._observed(), info

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Put candidate `action` on the next free position; the K-th choice shows the page.

        Raises:
            InputError: Before the first reset, after the end, or not a candidate position 0 .. N-1; nothing has
                changed then.
        """
        choice = self._checked(action)
        legal = self.action_masks()
        repaired = not legal[choice]
        if repaired:
            choice = int(np.flatnonzero(np.roll(legal, -choice))[0] + choice) % legal.size
        page, repairs = [*self._page, choice], self._repairs + repaired
        if len(page) < self._inner.task.slate_size:
            self._page, self._repairs = page, repairs
            return self._observed(), 0.0, False, False, {"repairs": repairs}
        self._observation, reward, terminated, truncated, info = self.env.step(np.array(page))
        self._page, self._repairs, self._over = [], 0, bool(terminated or truncated)
        return self._observed(), float(reward), terminated, truncated, info | {"repairs": repairs}

    def action_masks(self) -> NDArray[np.bool_]:
        """(N,) candidates that may still be chosen (the name sb3-contrib looks for)."""
        if self._observation is None:
            raise InputError("there is no page to fill", where="SlotBySlot", mend="call reset() first")
        candidates = self._observation["candidates"]
        mask: NDArray[np.bool_] = candidates >= 0
        mask[self._page] = False
        rules = self._inner.core.rules
        if rules is not None and hasattr(rules, "legal"):
            kept: NDArray[np.bool_] = mask & rules.legal(candidates, np.array(self._page, np.int64))
            mask = (
                kept if kept.any() else mask
            )  # where no choice keeps the rules, the environment breaks them too
        return mask

    def _observed(self) -> Arrays:
        observation, mask = self._observation or {}, self.action_masks()
        chosen = np.full(self._inner.task.slate_size, -1, np.int32)
        chosen[: len(self._page)] = observation["candidates"][self._page]
        # The caller's arrays are its own: the same page is observed K times.
        own = {name: array.copy() for name, array in observation.items()}
        return own | {"chosen": chosen, "action_mask": mask.astype(np.float32)}

    def _checked(self, action: Any) -> int:
        user = int(self._inner.state.user[0])  # raises before the first reset
        if self._over:
            raise InputError(
                f"the session of user {user} is over", where="SlotBySlot.step", mend="call reset() first"
            )
        choice, N = np.asarray(action), self._inner.task.n_candidates
        if choice.size != 1 or not np.issubdtype(choice.dtype, np.integer):
            raise InputError(
                f"the action for user {user} at position {len(self._page)} is {action!r}, "
                f"but must be one integer",
                where="SlotBySlot.step",
                mend="choose one candidate at a time",
            )
        if not 0 <= int(choice.item()) < N:
            raise InputError(
                f"action {choice.item()} of user {user} at position {len(self._page)} is not one of the "
                f"candidate positions 0 .. {N - 1}",
                where="SlotBySlot.step",
                mend="choose candidate positions, not catalogue rows",
            )
        return int(choice.item())
