"""Which slate is best: pure functions of what items are worth.

Where a user picks one item or none, the value of a slate is a ratio of two sums, and its maximum is found exactly by
Dinkelbach's parametric search ("On nonlinear fractional programming", Management Science 1967): it solves what Ie et
al. (2019) write as a linear program after Charnes and Cooper (1962), by sorting alone, for all pages of a batch.
`linear_program_slate` is that program, as a yardstick.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from behavior.errors import InputError

__all__ = [
    "assigned_slates",
    "fractional_slates",
    "greedy_choice_slates",
    "greedy_page_slates",
    "linear_program_slate",
]

_PADDED = -1e12
_TAKEN = -1e18  # below the value of padding: a candidate is taken once, padding where nothing else is left
_TINY = 100_000  # ordered slates that are tried one by one


def _choice_value(odds: Tensor, gain: Tensor, looked: Tensor, slates: Tensor) -> Tensor:
    weight = odds.gather(1, slates) * looked  # (B, K)
    return (weight * gain.gather(1, slates)).sum(1) / (1.0 + weight.sum(1))


def _placed(worth: Tensor, looked: Tensor) -> Tensor:
    """The K highest of `worth` (B, N), the highest where one looks most (`looked` (K,))."""
    best = worth.topk(looked.shape[0], dim=1).indices
    order = torch.argsort(looked, descending=True, stable=True)
    return torch.empty_like(best).scatter(1, order.expand_as(best), best)


def fractional_slates(odds: Tensor, gain: Tensor, looked: Tensor, valid: Tensor) -> Tensor:
    """Slates (B, K) that maximise sum_k w_k v_i g_i / (1 + sum_k w_k v_i), exactly.

    For a guess q of the maximum, a slate beats it where sum_k w_k v_i (g_i - q) > q; the left side is greatest where
    the items with the highest v_i (g_i - q) stand in that order where `w` is highest (rearrangement inequality).
    That slate's value is the next guess; guesses rise to the maximum and stop there.

    Args:
        odds: (B, N) v >= 0, odds of each candidate against the null choice at a position of weight 1.
        gain: (B, N) g, how much more than the null choice it is worth.
        looked: (K,) w > 0, weight of each position.
        valid: (B, N) bool, candidates that can be shown.
    """
    guess = torch.zeros_like(odds[:, 0])
    slates = _placed(torch.where(valid, odds * gain, _TAKEN), looked)
    for _ in range(odds.shape[1] * looked.shape[0] + 1):
        value = _choice_value(odds, gain, looked, slates)
        if not bool((value != guess).any()):
            break
        guess = value
        again = _placed(torch.where(valid, odds * (gain - guess.unsqueeze(1)), _TAKEN), looked)
        if torch.equal(again, slates):
            break
        slates = again
    return slates


def greedy_choice_slates(odds: Tensor, gain: Tensor, looked: Tensor, valid: Tensor) -> Tensor:
    """Slates (B, K) filled one position after another, the most looked at first, by what raises the ratio most.

    Arguments as `fractional_slates`. Not always the maximum (Ie et al. 2019, section 5.2).
    """
    slates = torch.zeros((odds.shape[0], looked.shape[0]), dtype=torch.long, device=odds.device)
    above, below = torch.zeros_like(odds[:, 0]), torch.ones_like(odds[:, 0])
    open_ = torch.where(valid, 0.0, _PADDED)
    for k in torch.argsort(looked, descending=True, stable=True).tolist():
        weight = odds * looked[k]
        ratio = (above.unsqueeze(1) + weight * gain) / (below.unsqueeze(1) + weight) + open_
        best = ratio.argmax(1)
        slates[:, k] = best
        row = best.unsqueeze(1)
        above = above + (weight * gain).gather(1, row).squeeze(1)
        below = below + weight.gather(1, row).squeeze(1)
        open_ = open_.scatter(1, row, _TAKEN)
    return slates


def greedy_page_slates(
    worth: Tensor, position: Tensor, cost: Callable[[Tensor, int], Tensor | None]
) -> Tensor:
    """Slates (B, K) filled position after position, the most looked at first, by what adds most.

    Args:
        worth: (B, N, K) of a candidate at a position, alone.
        position: (K,) the higher, the more one looks there.
        cost: (taken (B,), k) -> (B, N, K) by how much an item taken at k lowers the worth of all others; None: not
            at all.
    """
    slates = torch.zeros((worth.shape[0], worth.shape[2]), dtype=torch.long, device=worth.device)
    taken = torch.zeros_like(worth[:, :, 0])
    for k in torch.argsort(position, descending=True, stable=True).tolist():
        best = (worth[:, :, k] + taken).argmax(1)
        slates[:, k] = best
        taken = taken.scatter(1, best.unsqueeze(1), _TAKEN)
        lower = cost(best, k)
        if lower is not None:
            worth = worth - lower
    return slates


def assigned_slates(worth: Tensor, pairs: Tensor | None = None) -> Tensor:
    """Slates (B, K) of the highest total worth.

    Args:
        worth: (B, N, K) of a candidate at a position.
        pairs: (B, N, N, K, K) cost of every pair of candidates at every pair of positions; None: no cost, and the
            best assignment is found by the Hungarian method (Kuhn 1955).

    Raises:
        InputError: With `pairs`, more than 100,000 ordered slates: there every one is tried.
    """
    batch, n_candidates, slate_size = worth.shape
    if pairs is None:
        from scipy.optimize import linear_sum_assignment

        values = worth.detach().double().cpu().numpy()
        slates = np.empty((batch, slate_size), np.int64)
        for b in range(batch):
            _, slates[b] = linear_sum_assignment(values[b].T, maximize=True)
        return torch.from_numpy(slates).to(worth.device)
    pages = list(itertools.islice(itertools.permutations(range(n_candidates), slate_size), _TINY + 1))
    if len(pages) > _TINY:
        raise InputError(
            f"{n_candidates} candidates on {slate_size} positions make more than {_TINY:,} slates",
            where="optimiser exact with crowding",
            mend="choose the optimiser greedy",
        )
    every = torch.tensor(pages, device=worth.device)  # (P, K)
    k = torch.arange(slate_size, device=worth.device)
    total = worth[:, every, k].sum(2)  # (B, P)
    for i, j in itertools.combinations(range(slate_size), 2):
        total = total - pairs[:, every[:, i], every[:, j], i, j]
    return every[total.argmax(1)]


def linear_program_slate(
    odds: NDArray[np.float64], gain: NDArray[np.float64], looked: NDArray[np.float64]
) -> tuple[NDArray[np.int64], float]:
    """One page's best slate (K,) and its value by the linear program that Ie et al. (2019, eq. 13 to 18) solve.

    With positions of unequal weight the variables are y_ik = t x_ik (candidate i at position k), t > 0 the inverse of
    the denominator (Charnes and Cooper, "Programming with linear fractional functionals", 1962):

        max sum w_k v_i g_i y_ik   s.t.   t + sum w_k v_i y_ik = 1,  sum_i y_ik = t,  sum_k y_ik <= t,  y, t >= 0

    Its vertices are slates, for the assignments of candidates to positions are an integral polytope.

    Args:
        odds: (N,) of the candidates that can be shown.
        gain: (N,).
        looked: (K,).
    """
    from scipy.optimize import linprog

    n, size = odds.shape[0], looked.shape[0]
    weight = np.outer(odds, looked).ravel()  # (N * K,)
    value = np.outer(odds * gain, looked).ravel()
    equal = np.zeros((1 + size, n * size + 1))
    equal[0, :-1], equal[0, -1] = weight, 1.0
    for k in range(size):
        equal[1 + k, k:-1:size], equal[1 + k, -1] = 1.0, -1.0
    below = np.zeros((n, n * size + 1))
    for i in range(n):
        below[i, i * size : (i + 1) * size], below[i, -1] = 1.0, -1.0
    found = linprog(
        np.append(-value, 0.0),
        A_eq=equal,
        b_eq=np.append(1.0, np.zeros(size)),
        A_ub=below,
        b_ub=np.zeros(n),
        method="highs",
    )
    shares = found.x[:-1].reshape(n, size) / found.x[-1]
    return shares.argmax(axis=0), float(-found.fun)
