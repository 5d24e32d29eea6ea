"""Have the values settled? Changes that shrink, nothing left to go, and values that rewards can add up to.

That one round changes the values little is not enough: values that grow by the same amount in every round change by
ever smaller shares of their size. The rounds are therefore cut in halves. Values that converge like a geometric series
move less in the second half than in the first, by a ratio `q`, and `q / (1 - q)` times what the second half moved is
still to come; values that drift or diverge move as far or farther, and never arrive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RewardRange", "relative_change", "settled", "size_of"]

BEYOND_REASON = 1e60
"""Values of this size end the rounds: squares of what follows from them must not overflow."""
_SLACK = 0.01  # of the largest reward: a fitted mean of rewards that are nearly all 0 may be a little below 0


def size_of(values: NDArray[np.float64]) -> float:
    """Root mean square, without overflow for any finite values; infinite or nan where they are."""
    top = float(np.abs(values).max(initial=0.0))
    if top == 0.0 or not np.isfinite(top):
        return top
    return top * float(np.sqrt(np.square(values / top).mean()))


def relative_change(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Root mean square of the change over that of the values themselves; infinite where these are beyond reason."""
    size = size_of(after)
    if not size < BEYOND_REASON:
        return float("inf")
    moved = size_of(after - before)
    return moved / size if size > 0 else moved


def settled(rounds: int, values: Callable[[int], NDArray[np.float64]], enough: float) -> bool:
    """Whether less than `enough` of the values' size is still to come, by how the changes shrink.

    Args:
        rounds: How many there were.
        values: Values (O,) after round 0 (zeros), 1, ... `rounds`.
        enough: A share of the values' root mean square.
    """
    half = rounds // 2
    if half == 0:
        return False  # one round has nothing to be compared with
    end, middle, start = (values(rounds - n * half) for n in range(3))
    first, second, size = size_of(middle - start), size_of(end - middle), size_of(end)
    if second == 0.0:
        return True
    if not second < first:
        return False
    return second * second / (first - second) < enough * size


@dataclass(frozen=True)
class RewardRange:
    """What a session can be worth: it has one page or more, each of a reward that the log has seen."""

    low: float
    high: float
    slack: float

    @classmethod
    def of(cls, reward: NDArray[np.float64], gamma: float) -> RewardRange:
        """From rewards (M,); without a discount nothing bounds how long users stay, but for the sign."""
        worst, best = float(reward.min()), float(reward.max())
        pages = 1 / (1 - gamma) if gamma < 1 else np.inf
        return cls(
            low=worst * pages if worst < 0 else worst,
            high=best * pages if best > 0 else best,
            slack=_SLACK * max(abs(worst), abs(best)),
        )

    def left_by(self, values: NDArray[np.float64]) -> str:
        """How the mean of values (O,), or their size, leaves the range; empty where they do not.

        Single values may: a linear form leaves any range somewhere.
        """
        mean, size, reach = float(values.mean()), size_of(values), max(abs(self.low), abs(self.high))
        if not self.low - self.slack <= mean <= self.high + self.slack:
            return f"their mean is {mean:.4g}"
        if size > reach + self.slack:
            return f"their root mean square is {size:.4g}"
        return ""

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.low:.4g} to {self.high:.4g}"
