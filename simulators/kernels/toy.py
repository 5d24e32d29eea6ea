"""The toy user's response to a slate, one user a loop turn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.rng import Purpose, normal, uniform
from simulators.kernels.twins import Twin

__all__ = ["appeal", "begin", "respond"]

_POPULATION = int(Purpose.POPULATION)
_FIRST_QUERY = int(Purpose.FIRST_QUERY)
_CLICK = int(Purpose.CLICK)
_PURCHASE = int(Purpose.PURCHASE)
_LEAVE = int(Purpose.LEAVE)
_NEXT_QUERY = int(Purpose.NEXT_QUERY)


@njit(cache=True, inline="always")
def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + math.exp(-x))


@njit(cache=True, inline="always")
def _row_of(u: Any, n: Any) -> Any:
    """A row 0 .. n-1 from a uniform number."""
    return min(np.int64(u * n), n - 1)


@njit(cache=True)
def _click_logit(
    hidden: Any, query: Any, item: Any, items: Any, queries: Any, category: Any, weights: Any
) -> Any:
    """Bias + query fit + taste fit - boredom with the item's category."""
    width = items.shape[1]
    fit = 0.0
    liking = 0.0
    for d in range(width):
        fit += items[item, d] * queries[query, d]
        liking += items[item, d] * hidden[d]
    return (
        weights[0] + weights[1] * fit + weights[2] * liking - weights[3] * hidden[width + 2 + category[item]]
    )


@njit(cache=True)
def _purchase_logit(hidden: Any, item: Any, items: Any, price: Any, weights: Any) -> Any:
    """Bias + taste fit - price sensitivity times log price."""
    width = items.shape[1]
    liking = 0.0
    for d in range(width):
        liking += items[item, d] * hidden[d]
    return weights[4] + weights[5] * liking - hidden[width] * price[item]


@Twin
def begin(user: Any, hidden: Any, context: Any, query: Any, width: Any, n_queries: Any, seed: Any) -> None:
    """hidden: taste (width), price sensitivity, satisfaction, boredom per category."""
    for b in prange(user.shape[0]):
        norm = 0.0
        for d in range(width):
            hidden[b, d] = normal(seed, user[b], 0, _POPULATION, d)
            norm += hidden[b, d] * hidden[b, d]
        norm = math.sqrt(norm)
        for d in range(width):
            hidden[b, d] /= norm
        hidden[b, width] = math.exp(0.5 * normal(seed, user[b], 0, _POPULATION, width))
        for j in range(width + 1, hidden.shape[1]):
            hidden[b, j] = 0.0
        # The shop knows a little: a noisy reading of the price sensitivity.
        noise = normal(seed, user[b], 0, _POPULATION, width + 1)
        context[b, 0] = math.log(hidden[b, width]) + 0.5 * noise
        query[b] = _row_of(uniform(seed, user[b], 0, _FIRST_QUERY, 0), n_queries)


@Twin
def respond(
    user: Any,
    step: Any,
    query: Any,
    hidden: Any,
    slates: Any,
    items: Any,
    queries: Any,
    category: Any,
    price: Any,
    weights: Any,
    examination: Any,
    click: Any,
    purchase: Any,
    left: Any,
    seed: Any,
) -> None:
    """Clicks, purchases, leaving and the next query; advances step, query and hidden in place."""
    width = items.shape[1]
    for b in prange(user.shape[0]):
        pleasure = 0.0
        for k in range(slates.shape[1]):
            click[b, k] = 0
            purchase[b, k] = 0
            item = slates[b, k]
            if item < 0:
                continue
            p = examination[k] * _sigmoid(
                _click_logit(hidden[b], query[b], item, items, queries, category, weights)
            )
            if uniform(seed, user[b], step[b], _CLICK, k) < p:
                click[b, k] = 1
                pleasure += 0.3
                q = _sigmoid(_purchase_logit(hidden[b], item, items, price, weights))
                if uniform(seed, user[b], step[b], _PURCHASE, k) < q:
                    purchase[b, k] = 1
                    pleasure += 0.3
        for j in range(width + 2, hidden.shape[1]):
            hidden[b, j] *= weights[6]
        for k in range(slates.shape[1]):
            if slates[b, k] >= 0:
                hidden[b, width + 2 + category[slates[b, k]]] += examination[k]
        hidden[b, width + 1] = 0.8 * hidden[b, width + 1] + pleasure - 0.1
        away = _sigmoid(weights[7] - weights[8] * hidden[b, width + 1])
        left[b] = uniform(seed, user[b], step[b], _LEAVE, 0) < away
        if uniform(seed, user[b], step[b], _NEXT_QUERY, 0) < weights[9]:
            query[b] = _row_of(uniform(seed, user[b], step[b], _NEXT_QUERY, 1), queries.shape[0])
        step[b] += 1


@Twin
def appeal(
    query: Any,
    hidden: Any,
    shown: Any,
    items: Any,
    queries: Any,
    category: Any,
    price: Any,
    weights: Any,
    click: Any,
    purchase: Any,
) -> None:
    """Click probability given examination, and purchase probability given a click, of `shown` (B, M)."""
    for b in prange(query.shape[0]):
        for m in range(shown.shape[1]):
            item = shown[b, m]
            if item < 0:
                click[b, m] = 0.0
                purchase[b, m] = 0.0
            else:
                click[b, m] = _sigmoid(
                    _click_logit(hidden[b], query[b], item, items, queries, category, weights)
                )
                purchase[b, m] = _sigmoid(_purchase_logit(hidden[b], item, items, price, weights))
