"""Pages chosen greedily by a value per candidate that may look past the page: the policies planners search among."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.twins import Twin

__all__ = ["FIXED", "greedy_slates", "mean_values", "pick_slates"]

FIXED = 6
"""Weights of a policy before those of the item columns: click exponent, worth of a click, worth of a click per
purchase logit, crowding of a category, worth of a showing per unit of relevance, cost of a showing per unit of
boredom."""


@njit(cache=True)
def _weights(theta: Any, basis: Any, weight: Any) -> None:
    """Set `weight` (P,) to the sum over z of basis (Z,) times theta (Z * P,)."""
    P = weight.shape[0]
    for p in range(P):
        total = 0.0
        for z in range(basis.shape[0]):
            total += basis[z] * theta[z * P + p]
        weight[p] = total


@njit(cache=True)
def _value(
    item: Any,
    click: Any,
    purchase: Any,
    relevance: Any,
    bored: Any,
    columns: Any,
    weight: Any,
    click_worth: Any,
    buy: Any,
) -> Any:
    """c^a (v + w p + b0 + b1 (logit p + 2) + g.x) + d relevance - e boredom; see `agents.planning.GreedyFamily`."""
    c = min(max(float(click), 1e-9), 1.0)
    bought = min(max(float(purchase), 1e-6), 1.0 - 1e-6)
    worth = click_worth + buy[item] * bought + weight[1]
    if weight[2] != 0.0:
        worth += weight[2] * (math.log(bought / (1.0 - bought)) + 2.0)
    for f in range(columns.shape[1]):
        worth += weight[FIXED + f] * columns[item, f]
    reach = c if weight[0] == 1.0 else math.exp(weight[0] * math.log(c))
    return reach * worth + weight[4] * relevance - weight[5] * bored


@njit(cache=True)
def _pick(items: Any, value: Any, category: Any, crowding: Any, skip: Any, out: Any) -> None:
    """Take the best again and again; `value` is used up. The first `skip` choices are left for a later page."""
    N, K = items.shape[0], out.shape[0]
    available = 0
    for n in range(N):
        if items[n] >= 0:
            available += 1
    skip = min(skip, available - K)
    taken = np.zeros(N, np.bool_)
    factor = math.exp(-crowding)
    for k in range(-skip, K):
        best, highest = -1, -np.inf
        for n in range(N):
            if taken[n] or items[n] < 0:
                continue
            if best < 0 or value[n] > highest:
                best, highest = n, value[n]
        taken[best] = True
        if k < 0:
            continue
        out[k] = best
        if crowding != 0.0:
            for n in range(N):
                same = items[n] >= 0 and category[items[n]] == category[items[best]]
                if same and not taken[n] and value[n] > 0:
                    value[n] *= factor


@Twin
def greedy_slates(
    items: Any,  # (B, N)
    click: Any,  # (B, N)
    purchase: Any,  # (B, N)
    relevance: Any,  # (B, N)
    bored: Any,  # (B, N)
    columns: Any,  # (I, F)
    category: Any,  # (I,)
    theta: Any,  # (B, Z * P)
    basis: Any,  # (B, Z)
    click_worth: Any,
    buy: Any,  # (I,) worth of a purchase
    skip: Any,  # (B,)
    out: Any,  # (B, K)
) -> None:
    """Candidate positions (B, K) for `items` (B, N) under a policy `theta` of its own for every row."""
    for b in prange(items.shape[0]):
        N = items.shape[1]
        weight = np.empty(FIXED + columns.shape[1])
        _weights(theta[b], basis[b], weight)
        value = np.empty(N)
        for n in range(N):
            if items[b, n] >= 0:
                value[n] = _value(
                    items[b, n],
                    click[b, n],
                    purchase[b, n],
                    relevance[b, n],
                    bored[b, n],
                    columns,
                    weight,
                    click_worth,
                    buy,
                )
        _pick(items[b], value, category, weight[3], skip[b], out[b])


@Twin
def mean_values(
    items: Any,  # (B, N)
    click: Any,  # (B, S, N)
    purchase: Any,  # (B, S, N)
    relevance: Any,  # (B, N)
    bored: Any,  # (B, S, N)
    columns: Any,  # (I, F)
    theta: Any,  # (B, Z * P)
    basis: Any,  # (B, S, Z)
    click_worth: Any,
    buy: Any,  # (I,)
    chance: Any,  # (B, S) weights of the guesses, which add up to one
    value: Any,  # out (B, N)
    crowding: Any,  # out (B,)
) -> None:
    """Values of candidates, averaged over `S` weighted guesses of a user's state."""
    for b in prange(items.shape[0]):
        N = items.shape[1]
        weight = np.empty(FIXED + columns.shape[1])
        value[b, :] = 0.0
        crowding[b] = 0.0
        for s in range(chance.shape[1]):
            if chance[b, s] <= 0.0:
                continue
            _weights(theta[b], basis[b, s], weight)
            crowding[b] += chance[b, s] * weight[3]
            for n in range(N):
                if items[b, n] >= 0:
                    value[b, n] += chance[b, s] * _value(
                        items[b, n],
                        click[b, s, n],
                        purchase[b, s, n],
                        relevance[b, n],
                        bored[b, s, n],
                        columns,
                        weight,
                        click_worth,
                        buy,
                    )


@Twin
def pick_slates(items: Any, value: Any, category: Any, crowding: Any, skip: Any, out: Any) -> None:
    """Candidate positions (B, K) by `value` (B, N), which is used up, with `crowding` (B,) of categories."""
    for b in prange(items.shape[0]):
        _pick(items[b], value[b], category, crowding[b], skip[b], out[b])
