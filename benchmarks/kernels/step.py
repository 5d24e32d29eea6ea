"""A whole environment step in one plain numba loop, as a good engineer would write it in an afternoon.

It is the opponent, not a part of the environment: strict loops, tables read where they lie, one user after
another, a hash of a counter for chance. `benchmarks.reference_step` says what it does and what it leaves out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.twins import twins

__all__ = ["SEEN_BUCKETS", "arrive", "step_parallel", "step_serial"]

SEEN_BUCKETS = 512
"""Places (item, count) of a session's hash table of what was shown: twice what 20 pages of 10 can fill."""


@njit(cache=True, inline="always")
def _uniform(seed: Any, user: Any, step: Any, index: Any) -> Any:
    """A number in [0, 1): the finaliser of splitmix64 over a counter (Steele, Lea, Flood, OOPSLA 2014)."""
    z = (
        np.uint64(seed)
        + np.uint64(user) * np.uint64(0x9E3779B97F4A7C15)
        + np.uint64(step) * np.uint64(0xD1B54A32D192ED03)
        + np.uint64(index) * np.uint64(0x8CB92BA72F3D8DD7)
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * 1.1102230246251565e-16  # 2^-53


@njit(cache=True)
def _slot(table: Any, item: Any) -> Any:
    """Where `item` is counted, or would be: open addressing from the low bits of the item."""
    at = item & (SEEN_BUCKETS - 1)
    while table[at, 0] != item and table[at, 0] != -1:
        at = (at + 1) & (SEEN_BUCKETS - 1)
    return at


@njit(cache=True)
def _dot(x: Any, y: Any) -> Any:
    """A plain sum of products, in order."""
    total = 0.0
    for d in range(x.shape[0]):
        total += x[d] * y[d]
    return total


@njit(cache=True)
def arrive(
    b: Any,
    user: Any,
    taste: Any,
    boredom: Any,
    satisfaction: Any,
    pages: Any,
    query: Any,
    shown: Any,
    last_slate: Any,
    last_click: Any,
    last_purchase: Any,
    clicked: Any,
    context: Any,
    totals: Any,
    n_queries: Any,
    seed: Any,
) -> None:
    """A new user in slot b: taste on the unit sphere, an empty history, a first query."""
    width = taste.shape[1]
    norm = 0.0
    for d in range(0, width, 2):
        radius = math.sqrt(-2.0 * math.log(1.0 - _uniform(seed, user[b], 0, d)))
        angle = 2.0 * math.pi * _uniform(seed, user[b], 0, d + 1)
        taste[b, d] = radius * math.cos(angle)
        norm += taste[b, d] * taste[b, d]
        if d + 1 < width:
            taste[b, d + 1] = radius * math.sin(angle)
            norm += taste[b, d + 1] * taste[b, d + 1]
    norm = 1.0 / math.sqrt(norm)
    for d in range(width):
        taste[b, d] *= norm
    boredom[b, :] = 0.0
    satisfaction[b] = 0.0
    pages[b] = 0
    shown[b, :, 0] = -1
    shown[b, :, 1] = 0
    last_slate[b, :] = -1
    last_click[b, :] = 0.0
    last_purchase[b, :] = 0.0
    clicked[b, :] = -1
    context[b, 0] = _uniform(seed, user[b], 0, width)
    totals[b, :] = 0.0
    query[b] = min(np.int64(_uniform(seed, user[b], 0, width + 1) * n_queries), n_queries - 1)


def step(
    actions: Any,  # (B, K) distinct candidate positions
    items: Any,  # (Q, N)
    scores: Any,  # (Q, N)
    vectors: Any,  # (I, D)
    queries: Any,  # (Q, D)
    category: Any,  # (I,)
    price: Any,  # (I,)
    examination: Any,  # (K,)
    weights: Any,  # (9,) see `benchmarks.reference_step`
    horizon: Any,
    stride: Any,
    seed: Any,
    user: Any,
    taste: Any,
    boredom: Any,
    satisfaction: Any,
    pages: Any,
    query: Any,
    shown: Any,
    last_slate: Any,
    last_click: Any,
    last_purchase: Any,
    clicked: Any,
    context: Any,
    totals: Any,
    click: Any,  # out (B, K)
    purchase: Any,  # out (B, K)
    reward: Any,  # out (B,)
    terminated: Any,  # out (B,)
    truncated: Any,  # out (B,)
    out_candidates: Any,  # out (B, N)
    out_scores: Any,  # out (B, N)
    out_seen: Any,  # out (B, N)
    out_progress: Any,  # out (B, 4)
) -> None:
    """Response, state, next query, reset of who is finished, observation and reward of every user."""
    size = actions.shape[1]
    history = clicked.shape[1]
    for b in prange(actions.shape[0]):
        q = query[b]
        clicks = 0.0
        purchases = 0.0
        relevance = 0.0
        for k in range(size):
            item = items[q, actions[b, k]]
            relevance += scores[q, actions[b, k]]
            fit = _dot(vectors[item], queries[q])
            liking = _dot(vectors[item], taste[b])
            logit = (
                weights[0] + weights[1] * fit + weights[2] * liking - weights[3] * boredom[b, category[item]]
            )
            click[b, k] = 0
            purchase[b, k] = 0
            if _uniform(seed, user[b], pages[b], 2 * k) < examination[k] / (1.0 + math.exp(-logit)):
                click[b, k] = 1
                clicks += 1.0
                for h in range(history - 1, 0, -1):
                    clicked[b, h] = clicked[b, h - 1]
                clicked[b, 0] = item
                logit = weights[4] + weights[2] * liking - weights[5] * price[item]
                if _uniform(seed, user[b], pages[b], 2 * k + 1) < 1.0 / (1.0 + math.exp(-logit)):
                    purchase[b, k] = 1
                    purchases += 1.0
            last_slate[b, k] = item
            last_click[b, k] = click[b, k]
            last_purchase[b, k] = purchase[b, k]
            at = _slot(shown[b], item)
            shown[b, at, 0] = item
            shown[b, at, 1] += 1
        for c in range(boredom.shape[1]):
            boredom[b, c] *= 0.8
        for k in range(size):
            boredom[b, category[last_slate[b, k]]] += examination[k]
        satisfaction[b] = 0.8 * satisfaction[b] + 0.3 * (clicks + purchases) - 0.1
        totals[b, 0] += clicks
        totals[b, 1] += purchases
        reward[b] = clicks + 5.0 * purchases + relevance / size

        draw = 2 * size
        stay = weights[6] + weights[7] * satisfaction[b]
        left = _uniform(seed, user[b], pages[b], draw) < 1.0 / (1.0 + math.exp(stay))
        if _uniform(seed, user[b], pages[b], draw + 1) < weights[8]:
            at = _uniform(seed, user[b], pages[b], draw + 2)
            query[b] = min(np.int64(at * items.shape[0]), items.shape[0] - 1)
        pages[b] += 1
        terminated[b] = left
        truncated[b] = not left and pages[b] >= horizon
        if left or pages[b] >= horizon:
            user[b] += stride
            arrive(
                b,
                user,
                taste,
                boredom,
                satisfaction,
                pages,
                query,
                shown,
                last_slate,
                last_click,
                last_purchase,
                clicked,
                context,
                totals,
                items.shape[0],
                seed,
            )

        q = query[b]
        for n in range(items.shape[1]):
            item = items[q, n]
            out_candidates[b, n] = item
            out_scores[b, n] = scores[q, n]
            out_seen[b, n] = shown[b, _slot(shown[b], item), 1]
        out_progress[b, 0] = pages[b] / horizon
        out_progress[b, 1] = (horizon - pages[b]) / horizon
        out_progress[b, 2] = math.log1p(totals[b, 0])
        out_progress[b, 3] = math.log1p(totals[b, 1])


step_serial, step_parallel = twins(step)
