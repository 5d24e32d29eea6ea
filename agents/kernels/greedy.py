"""Pages chosen greedily by a value per candidate that may look past the page: the policies planners search among."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.twins import Twin

__all__ = ["FIXED", "greedy_slates"]

FIXED = 5
"""Weights of a policy before those of the item features: click exponent, worth of a click, worth of a click per
purchase logit, crowding of a category, worth of a showing per unit of relevance."""


@njit(cache=True)
def _greedy_row(
    items: Any,
    click: Any,
    purchase: Any,
    relevance: Any,
    features: Any,
    category: Any,
    theta: Any,
    time_left: Any,
    purchase_weight: Any,
    skip: Any,
    out: Any,
) -> None:
    N, K, F = items.shape[0], out.shape[0], features.shape[1]
    P = FIXED + F
    weight = np.empty(P)
    for p in range(P):
        weight[p] = theta[p] + time_left * theta[P + p]
    value = np.empty(N)
    available = 0
    for n in range(N):
        i = items[n]
        if i < 0:
            value[n] = -np.inf
            continue
        available += 1
        c = min(max(float(click[n]), 1e-9), 1.0)
        bought = min(max(float(purchase[n]), 1e-6), 1.0 - 1e-6)
        logit = math.log(bought / (1.0 - bought))
        worth = 1.0 + purchase_weight * bought + weight[1] + weight[2] * (logit + 2.0)
        for f in range(F):
            worth += weight[FIXED + f] * features[i, f]
        reach = c if weight[0] == 1.0 else math.exp(weight[0] * math.log(c))
        value[n] = reach * worth + weight[4] * relevance[n]
    skip = min(skip, available - K)
    crowding = weight[3]
    taken = np.zeros(N, np.bool_)
    for k in range(-skip, K):  # the first `skip` choices are left for a later page
        best, highest = -1, -np.inf
        for n in range(N):
            if taken[n] or items[n] < 0:
                continue
            v = value[n]
            if best < 0 or v > highest:
                best, highest = n, v
        taken[best] = True
        if k < 0:
            continue
        out[k] = best
        if crowding != 0.0:
            factor = math.exp(-crowding)
            for n in range(N):
                if (
                    not taken[n]
                    and items[n] >= 0
                    and category[items[n]] == category[items[best]]
                    and value[n] > 0
                ):
                    value[n] *= factor


@Twin
def greedy_slates(
    items: Any,
    click: Any,
    purchase: Any,
    relevance: Any,
    features: Any,
    category: Any,
    theta: Any,
    time_left: Any,
    purchase_weight: Any,
    skip: Any,
    out: Any,
) -> None:
    """Candidate positions (B, K) for `items` (B, N) under a policy `theta` (B, 2P) of its own for every row."""
    for b in prange(items.shape[0]):
        _greedy_row(
            items[b],
            click[b],
            purchase[b],
            relevance[b],
            features,
            category,
            theta[b],
            time_left[b],
            purchase_weight,
            skip[b],
            out[b],
        )
