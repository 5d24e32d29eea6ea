"""Do the values that a learner foretells come true? Predicted against realised return, in units of reward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Calibration", "SessionValues", "ValuePairs", "calibrate", "returns_to_go"]


@dataclass(frozen=True)
class ValuePairs:
    """What was predicted before each of `M` pages of finished sessions, and what came.

    Where the step limit cut a session and the learner values what lies beyond, that value is part of the realised
    return, or prediction and outcome would not be about the same thing: `bootstrapped` says how much of it.
    """

    step: NDArray[np.int64]  # (M,) page number within its session, from 0
    predicted: NDArray[np.float64]  # (M,) value before the page
    realised: NDArray[np.float64]  # (M,) discounted return from the page on
    bootstrapped: NDArray[np.float64]  # (M,) the part of it that is a value beyond the step limit

    @classmethod
    def join(cls, parts: list[ValuePairs]) -> ValuePairs:
        """All pairs of `parts`; none where there are none."""
        if not parts:
            nothing = np.empty(0)
            return cls(np.empty(0, np.int64), nothing, nothing, nothing)
        names = ("step", "predicted", "realised", "bootstrapped")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def first_pages(self) -> ValuePairs:
        """The pairs of sessions' first pages."""
        first = self.step == 0
        return ValuePairs(
            self.step[first], self.predicted[first], self.realised[first], self.bootstrapped[first]
        )


@dataclass(frozen=True)
class Calibration:
    """How predictions and outcomes agree."""

    n: int
    slope: float  # of the least-squares line realised = intercept + slope x predicted; 1 is right
    intercept: float  # of the same line; 0 is right
    error: float  # expected calibration error: mean over bins of |mean realised - mean predicted|
    predicted: NDArray[np.float64]  # (Q,) mean prediction of each bin
    realised: NDArray[np.float64]  # (Q,) mean return of each bin
    standard_error: NDArray[np.float64]  # (Q,) of `realised`


def calibrate(pairs: ValuePairs, *, n_bins: int = 10) -> Calibration:
    """Line, error and bins of equal counts by prediction.

    The error is the expected calibration error (Guo et al., "On calibration of modern neural networks", ICML 2017,
    eq. 3) with means of returns in place of accuracies. Noise keeps it above zero even where the values are right:
    by about 0.8 x (spread of a return) / sqrt(pairs per bin).

    Args:
        pairs: At least one.
        n_bins: Bins; fewer where there are fewer pairs.

    Returns:
        Slope and intercept are nan where all predictions are equal.
    """
    x, y = pairs.predicted, pairs.realised
    n = int(x.shape[0])
    spread = float(x.var())
    slope = float(((x - x.mean()) * (y - y.mean())).mean() / spread) if spread > 1e-12 else float("nan")
    parts = np.array_split(np.argsort(x, kind="stable"), min(n_bins, n))
    weight = np.array([part.shape[0] for part in parts], np.float64) / n
    predicted = np.array([x[part].mean() for part in parts])
    realised = np.array([y[part].mean() for part in parts])
    deviation = np.array([y[part].std() / np.sqrt(max(part.shape[0] - 1, 1)) for part in parts])
    return Calibration(
        n=n,
        slope=slope,
        intercept=float(y.mean() - slope * x.mean()),
        error=float((weight * np.abs(realised - predicted)).sum()),
        predicted=predicted,
        realised=realised,
        standard_error=deviation,
    )


def returns_to_go(
    rewards: NDArray[np.floating], dones: NDArray[np.bool_], gamma: float
) -> NDArray[np.float64]:
    """Discounted returns (T, B) from every page of (T, B) on; nan where the session goes on beyond the last row."""
    result = np.empty(rewards.shape, np.float64)
    after = np.full(rewards.shape[1:], np.nan)
    for t in range(rewards.shape[0] - 1, -1, -1):
        after = rewards[t] + gamma * np.where(dones[t], 0.0, after)
        result[t] = after
    return result


class SessionValues:
    """Pairs prediction and outcome as rollouts of fixed length come in, whose sessions run over their ends.

    Args:
        gamma: The learner's discount per page.
    """

    def __init__(self, gamma: float) -> None:
        self.gamma = gamma
        self._kept: list[NDArray[np.float64]] | None = None

    def add(
        self,
        step: NDArray[np.integer],
        values: NDArray[np.floating],
        rewards: NDArray[np.floating],
        beyond: NDArray[np.floating],
        dones: NDArray[np.bool_],
    ) -> ValuePairs:
        """The next `T` pages of `B` users; gives the pairs of all sessions that finished in them.

        Args:
            step: (T, B) page numbers within the sessions.
            values: (T, B) predicted before the page.
            rewards: (T, B) of the page.
            beyond: (T, B) what the learner adds at the step limit: its discounted value of what lies beyond.
            dones: (T, B) whether the session ended with the page.
        """
        window = [np.asarray(a, np.float64) for a in (step, values, rewards, beyond, dones)]
        if self._kept is not None:
            window = [np.concatenate(pair) for pair in zip(self._kept, window, strict=True)]
        number, predicted, earned, added, over = window
        ended = over > 0
        realised = returns_to_go(earned + added, ended, self.gamma)
        extra = returns_to_go(added, ended, self.gamma)
        told = ~np.isnan(realised) & ~np.isnan(predicted)
        pairs = ValuePairs(number[told].astype(np.int64), predicted[told], realised[told], extra[told])
        # What is told is not told again; rows without a session that still goes on can go.
        window[1] = np.where(told, np.nan, predicted)
        waiting = np.isnan(realised).any(axis=1)
        first = int(waiting.argmax()) if waiting.any() else number.shape[0]
        self._kept = [array[first:] for array in window]
        return pairs
