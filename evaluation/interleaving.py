"""Interleaving: two policies share one page, and a user's clicks say which of them they prefer.

- *Team draft*: in rounds, a coin says who picks first; each adds its best item that is not yet on the page, and is
  credited with what that item earns (Radlinski, Kurup and Joachims, CIKM 2008).
- *Probabilistic*: at each position a coin says whose distribution the item is drawn from, which falls with the rank r
  in that policy's order as r^-tau; items are credited to both policies by the chance that each had put it there, given
  the page above, so that the coin's noise is gone (Hofmann, Whiteson and de Rijke, CIKM 2011: marginalised credit).

Pure functions of the two orders and of random numbers; `evaluation.interleaving_run` shows the pages to users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError

__all__ = ["SharedPage", "probabilistic", "team_draft"]


@dataclass(frozen=True)
class SharedPage:
    """Pages of `B` users that two policies share."""

    actions: NDArray[np.int64]  # (B, K) candidate positions
    credit: NDArray[np.float64]  # (B, K) share of what the position earns that is the first policy's, 0 to 1

    def preference(self, reward: NDArray[np.float64]) -> NDArray[np.float64]:
        """(B,) what the first policy earned minus what the second did."""
        return np.asarray((reward * (2 * self.credit - 1)).sum(axis=1), np.float64)


def team_draft(
    first: NDArray[np.int64], second: NDArray[np.int64], uniform: NDArray[np.float64]
) -> SharedPage:
    """Pages by team draft.

    Args:
        first: (B, K) the first policy's order, candidate positions without repeats.
        second: (B, K) the second policy's.
        uniform: (B, K) uniform numbers; the one at the beginning of a round is its coin.
    """
    _check(first, second, uniform)
    B, K = first.shape
    actions, credit = np.empty((B, K), np.int64), np.empty((B, K))
    rows = np.arange(B)
    leads = np.zeros(B, np.bool_)
    for k in range(K):
        if k % 2 == 0:
            leads = uniform[:, k] < 0.5  # whether the first policy opens the round
        turn = leads if k % 2 == 0 else ~leads
        mine = np.where(turn[:, None], first, second)  # (B, K) the order of whoever picks
        taken = (mine[:, :, None] == actions[:, None, :k]).any(axis=2)  # (B, K)
        actions[:, k] = mine[rows, (~taken).argmax(axis=1)]
        credit[:, k] = turn
    return SharedPage(actions, credit)


def probabilistic(
    first: NDArray[np.int64], second: NDArray[np.int64], uniform: NDArray[np.float64], *, tau: float = 3.0
) -> SharedPage:
    """Pages by probabilistic interleaving, with marginalised credit.

    Args:
        first: (B, K) the first policy's order.
        second: (B, K) the second policy's.
        uniform: (B, 2 K) uniform numbers: whose turn, and which item.
        tau: How fast chances fall with the rank; 3 as in the paper.
    """
    if uniform.shape[1] != 2 * first.shape[1]:
        raise InputError(
            f"uniform numbers of shape {uniform.shape}",
            where="probabilistic interleaving",
            mend="pass two for each position",
        )
    _check(first, second, uniform[:, : first.shape[1]])
    B, K = first.shape
    falls = np.arange(1, K + 1, dtype=np.float64) ** -tau
    actions, credit = np.empty((B, K), np.int64), np.empty((B, K))
    rows = np.arange(B)
    for k in range(K):
        chances = []
        for order in (first, second):
            taken = (order[:, :, None] == actions[:, None, :k]).any(axis=2)
            left = np.where(taken, 0.0, falls)
            chances.append(left / left.sum(axis=1, keepdims=True))
        turn = uniform[:, k] < 0.5
        mine = np.where(turn[:, None], chances[0], chances[1])
        order = np.where(turn[:, None], first, second)
        edges = np.cumsum(mine, axis=1)
        edges[:, -1] = np.inf
        # The last item with a chance takes what rounding leaves over.
        place = np.minimum(
            (uniform[:, K + k, None] >= edges).sum(axis=1), K - 1 - (mine[:, ::-1] > 0).argmax(axis=1)
        )
        item = order[rows, place]
        one, two = (
            (np.where(orders == item[:, None], chance, 0.0)).sum(axis=1)
            for orders, chance in ((first, chances[0]), (second, chances[1]))
        )
        actions[:, k] = item
        credit[:, k] = one / (one + two)
    return SharedPage(actions, credit)


def _check(first: NDArray[np.int64], second: NDArray[np.int64], uniform: NDArray[np.float64]) -> None:
    if first.shape != second.shape or first.ndim != 2 or uniform.shape != first.shape:
        raise InputError(
            f"orders {first.shape} and {second.shape}, uniform numbers {uniform.shape}",
            where="interleaving",
            mend="pass two orders of the same pages, and one uniform number for each position",
        )
