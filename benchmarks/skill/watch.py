"""What is noted while an agent learns: its score on validation users, against steps and against seconds of training."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from agents.base import Policy
from behavior.files import atomic_path

__all__ = ["Budget", "Point", "Watch"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long an agent may learn; whichever limit is met first ends it."""

    steps: int
    """User-steps."""
    minutes: float | None = None
    """Minutes of training, evaluations and checkpoints not counted; None: as long as the steps take."""
    evaluate_every: int = 30_000
    """User-steps between two looks at the validation users, and between two checkpoints."""
    validation_users: int = 256
    """Users of such a look."""

    clock: Literal["wall", "cpu"] = "wall"
    """Seconds that pass, or seconds that the process computes: those for a machine that does other things as well."""

    @property
    def label(self) -> str:
        """For a folder's name."""
        minutes = "" if self.minutes is None else f"-minutes{self.minutes:g}"
        return f"steps{self.steps}{minutes}" + ("-cpu" if self.clock == "cpu" else "")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One look at the validation users."""

    steps: int
    """User-steps so far."""
    seconds: float
    """Seconds of training so far."""
    score: float
    """Mean score per session."""


class Watch:
    """A stopwatch that stands still from each evaluation until it is told to go on, and the curve noted by it.

    The curve is kept in a file after every point, so that a training that was interrupted goes on with it.

    Args:
        budget: The limits.
        validate: Policy -> mean score of the validation users.
        file: Where the curve is kept; None: nowhere.
    """

    def __init__(self, budget: Budget, validate: Callable[[Policy], float], file: Path | None = None) -> None:
        self.budget, self.validate, self.file = budget, validate, file
        self.points: list[Point] = []
        self._before = 0.0  # seconds of earlier sittings
        self._running_since: float | None = None
        self._now = time.perf_counter if budget.clock == "wall" else time.process_time

    def set(self, *, from_steps: int = 0) -> None:
        """Set the clock to zero, or to what the file says of the first `from_steps` user-steps; `go_on` starts it."""
        self.points, self._before = [], 0.0
        if from_steps and self.file is not None and self.file.is_file():
            rows = json.loads(self.file.read_text(encoding="utf-8"))
            self.points = [Point(**row) for row in rows if row["steps"] <= from_steps]
            self._before = self.points[-1].seconds if self.points else 0.0
        self._running_since = None

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        if self._running_since is None:
            return self._before
        return self._before + self._now() - self._running_since

    @property
    def share_left(self) -> float:
        """How much of the allowed time is left, from 1 to 0; 1 without a limit."""
        if self.budget.minutes is None:
            return 1.0
        return max(0.0, 1.0 - self.seconds / (60.0 * self.budget.minutes))

    def judge(self, policy: Policy, steps: int) -> Mapping[str, float]:
        """Look at the validation users, and stand still from here until `go_on`.

        A second look at the same step takes the place of the first.
        """
        self.stop()
        score = self.validate(policy)
        self.points = [point for point in self.points if point.steps < steps]
        self.points.append(Point(steps=steps, seconds=self._before, score=score))
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(self.file) as temporary:
                temporary.write_text(json.dumps([asdict(point) for point in self.points]), encoding="utf-8")
        return {"score": score}

    def stop(self) -> None:
        """Stand still."""
        self._before, self._running_since = self.seconds, None

    def go_on(self) -> None:
        """Run again, if it stood still."""
        if self._running_since is None:
            self._running_since = self._now()
