"""What the shopper would do: how appealing items are, and how probable an answer was."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange

from simulators.kernels.clicks import log_probability
from simulators.kernels.shopper import (
    cart_chance,
    checkout_chance,
    click_logit,
    come_back,
    leave_chance,
    look,
    return_chance,
    settle,
    wish_of,
)
from simulators.kernels.tables import sigmoid
from simulators.kernels.twins import Twin

__all__ = ["absorb", "appeal"]


@Twin
def appeal(tables: Any, query: Any, hidden: Any, shown: Any, click: Any, purchase: Any) -> None:
    """Click probability given examination, and purchase probability given a click, of `shown` (B, M); 0 at -1."""
    for b in prange(query.shape[0]):
        wish = np.empty(tables.items.shape[1], np.float32)
        wish_of(tables, query[b], hidden[b], wish)
        checkout = checkout_chance(tables, hidden[b])
        for m in range(shown.shape[1]):
            item = shown[b, m]
            if item < 0:
                click[b, m] = 0.0
                purchase[b, m] = 0.0
            else:
                click[b, m] = sigmoid(click_logit(tables, hidden[b], wish, item))
                purchase[b, m] = checkout * cart_chance(tables, hidden[b], item)


@Twin
def absorb(
    tables: Any,
    step: Any,
    query: Any,
    slates: Any,
    hidden: Any,
    context: Any,
    click: Any,
    purchase: Any,
    left: Any,
    next_query: Any,
    next_context: Any,
    out: Any,  # (B,) log-probability
) -> None:
    """Advance B users by a given answer, and say how probable it was."""
    size = slates.shape[1]
    for b in prange(query.shape[0]):
        wish = np.empty(tables.items.shape[1], np.float32)
        numbers = np.empty((2, size), np.float64)
        wish_of(tables, query[b], hidden[b], wish)
        look(tables, hidden[b], slates[b], wish, numbers[0], numbers[1])
        total = log_probability(
            tables.model, size, numbers[0], tables.examination, numbers[1], tables.after_skip, click[b]
        )
        checkout = checkout_chance(tables, hidden[b])
        for k in range(size):
            if click[b, k]:
                chance = checkout * cart_chance(tables, hidden[b], slates[b, k])
                total += math.log(max(chance if purchase[b, k] else 1.0 - chance, 1e-300))
        settle(tables, hidden[b], slates[b], click[b], purchase[b])
        leaving = leave_chance(tables, hidden[b])
        returning = return_chance(tables, hidden[b])
        back = not left[b] and next_context[b, 1] > context[b, 1]
        if left[b]:
            chance = leaving * (1.0 - returning)
        elif back:
            chance = leaving * returning
        else:
            chance = 1.0 - leaving
        total += math.log(max(chance, 1e-300))
        if back:
            come_back(tables, hidden[b])
        query[b] = next_query[b]
        for f in range(context.shape[1]):
            context[b, f] = next_context[b, f]
        step[b] += 1
        out[b] = total
