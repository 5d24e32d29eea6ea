"""Where a training step's time goes."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Stopwatch"]


@dataclass
class Stopwatch:
    """Seconds spent since the last `lap`, and the user-steps made in them."""

    simulator: float = 0.0
    policy: float = 0.0
    update: float = 0.0
    steps: int = 0

    def add(
        self, *, simulator: float = 0.0, policy: float = 0.0, update: float = 0.0, steps: int = 0
    ) -> None:
        """Count time and steps."""
        self.simulator += simulator
        self.policy += policy
        self.update += update
        self.steps += steps

    def lap(self) -> dict[str, float]:
        """User-steps per second by part, and over all; starts a new lap."""
        parts = {name: getattr(self, name) for name in ("simulator", "policy", "update")}
        rates = {name: self.steps / seconds for name, seconds in parts.items() if seconds > 0}
        total = sum(parts.values())
        if total > 0:
            rates["all"] = self.steps / total
        for item in fields(self):
            setattr(self, item.name, type(getattr(self, item.name))(0))
        return rates
