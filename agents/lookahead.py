"""Proposed pages compared by paired rollouts: which of them is surely better than the first?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["PairedGains"]


class PairedGains:
    """What each of `V` proposals earned more than the first, in rollouts that share their chance, for `B` users."""

    def __init__(self, n_users: int, n_proposals: int) -> None:
        self._rows = np.arange(n_users)[:, None]  # (B, 1)
        self._count = np.zeros((n_users, n_proposals))
        self._total = np.zeros((n_users, n_proposals))
        self._square = np.zeros((n_users, n_proposals))

    def add(self, chosen: NDArray[np.int64], score: NDArray[np.float64]) -> None:
        """Scores (B, C) of the distinct proposals `chosen` (B, C), whose first column is proposal 0."""
        gain = score - score[:, :1]
        self._count[self._rows, chosen] += 1
        self._total[self._rows, chosen] += gain
        self._square[self._rows, chosen] += gain**2

    def finalists(self, n: int) -> NDArray[np.int64]:
        """Proposal 0 and the `n` best others by their mean so far, (B, 1 + n) or all (B, V) where there are no more."""
        mean = self._total / np.maximum(self._count, 1.0)
        order = 1 + np.argsort(-mean[:, 1:], axis=1, kind="stable")[:, :n]
        return np.concatenate([np.zeros_like(self._rows), order], axis=1)

    def winner(self, chosen: NDArray[np.int64], caution: float) -> NDArray[np.int64]:
        """(B,) the best of `chosen` (B, C) by its mean less `caution` standard errors; proposal 0 has 0."""
        count = np.maximum(self._count[self._rows, chosen], 1.0)
        mean = self._total[self._rows, chosen] / count
        variance = np.maximum(self._square[self._rows, chosen] / count - mean**2, 0.0)
        value = mean - caution * np.sqrt(variance / np.maximum(count - 1.0, 1.0))
        best: NDArray[np.int64] = chosen[self._rows[:, 0], value.argmax(axis=1)]
        return best
