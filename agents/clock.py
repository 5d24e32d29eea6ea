"""Where a training step's time goes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

__all__ = ["Stopwatch"]

_LEARNING = ("simulator", "policy", "update")


@dataclass
class Stopwatch:
    """Seconds spent since the last `lap`, and the user-steps made in them."""

    simulator: float = 0.0
    policy: float = 0.0
    update: float = 0.0
    watching: float = 0.0
    evaluation: float = 0.0
    steps: int = 0
    began: float = field(default_factory=time.perf_counter)

    def add(
        self,
        *,
        simulator: float = 0.0,
        policy: float = 0.0,
        update: float = 0.0,
        watching: float = 0.0,
        evaluation: float = 0.0,
        steps: int = 0,
    ) -> None:
        """Count seconds and steps."""
        self.simulator += simulator
        self.policy += policy
        self.update += update
        self.watching += watching
        self.evaluation += evaluation
        self.steps += steps

    def lap(self) -> dict[str, float]:
        """What TensorBoard shows under `time/`; starts a new lap.

        `fps`: user-steps per second of wall-clock time, as SB3 has it, all that happened in it included.
        `simulator_share`, `policy_share`, `update_share`, `watching_share` (what is spent on curves) and
        `other_share` are shares of the time without evaluations, and sum to one; `evaluation_share` is the share of
        evaluations in all time. `simulator_fps`, `policy_fps`, `update_fps`: user-steps per second of that part.
        """
        now = time.perf_counter()
        wall = now - self.began
        found: dict[str, float] = {}
        if wall > 0:
            training = max(wall - self.evaluation, 1e-9)
            found["fps"] = self.steps / wall
            parts = {name: getattr(self, name) for name in (*_LEARNING, "watching")}
            found |= {f"{name}_share": seconds / training for name, seconds in parts.items()}
            found["other_share"] = max(0.0, 1.0 - sum(parts.values()) / training)
            found["evaluation_share"] = self.evaluation / wall
            found |= {f"{name}_fps": self.steps / parts[name] for name in _LEARNING if parts[name] > 0}
        self.__init__(began=now)  # type: ignore[misc]
        return found
