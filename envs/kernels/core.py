"""The environment's own work in a step: mend actions, keep each session's history, write observations, rewards.

Every kernel handles the users `rows` of the batch, or all of them. A session's "seen" counts live in a small
open-addressing hash table (one row of `key` and `count`, a power of two wide), so a step costs the N candidates
and the K shown items, whatever the catalogue's size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.twins import Twin

__all__ = ["clear", "note", "observe", "place", "reward"]


@njit(cache=True, inline="always")
def _slot(key: Any, item: Any) -> Any:
    """Where `item` is in the hash row `key`, or the empty slot where it would go (Knuth's multiplicative hash)."""
    mask = key.shape[0] - 1
    at = ((np.int64(item) * 2654435761) >> 8) & mask
    while key[at] != item and key[at] != -1:
        at = (at + 1) & mask
    return at


@Twin
def place(
    actions: Any,  # (B, K) candidate positions in 0 .. N-1
    query: Any,  # (B,)
    items: Any,  # (Q, N)
    lengths: Any,  # (Q,) candidates before the padding
    positions: Any,  # out (B, K)
    slates: Any,  # out (B, K)
    repairs: Any,  # out (B,)
) -> None:
    """Actions to slates; a repeated or padded choice takes the next unused candidate, cyclically."""
    for b in prange(actions.shape[0]):
        q = query[b]
        n = lengths[q]
        mended = 0
        for k in range(actions.shape[1]):
            a = actions[b, k]
            wrong = a >= n
            if wrong:
                a = 0
            j = 0
            while j < k:
                if positions[b, j] == a:
                    wrong = True
                    a += 1
                    if a == n:
                        a = 0
                    j = 0
                else:
                    j += 1
            positions[b, k] = a
            slates[b, k] = items[q, a]
            if wrong:
                mended += 1
        repairs[b] = mended


@Twin
def clear(
    rows: Any,
    key: Any,
    count: Any,
    last_slate: Any,
    last_click: Any,
    last_purchase: Any,
    clicked: Any,
    totals: Any,
    pages: Any,
) -> None:
    """Forget the sessions of the users at `rows`."""
    for r in prange(rows.shape[0]):
        b = rows[r]
        key[b, :] = -1
        count[b, :] = 0
        last_slate[b, :] = -1
        last_click[b, :] = 0.0
        last_purchase[b, :] = 0.0
        clicked[b, :] = -1
        totals[b, :] = 0.0
        pages[b] = 0


@Twin
def note(
    rows: Any,  # (R,)
    slates: Any,  # (R, K) -1: unknown or empty
    click: Any,  # (R, K)
    purchase: Any,  # (R, K)
    key: Any,
    count: Any,
    last_slate: Any,
    last_click: Any,
    last_purchase: Any,
    clicked: Any,
    totals: Any,
    pages: Any,
) -> None:
    """Write a shown page and its feedback into the histories of the users at `rows`."""
    history = clicked.shape[1]
    for r in prange(rows.shape[0]):
        b = rows[r]
        for k in range(slates.shape[1]):
            item = slates[r, k]
            last_slate[b, k] = item
            last_click[b, k] = click[r, k]
            last_purchase[b, k] = purchase[r, k]
            if item < 0:
                continue
            at = _slot(key[b], item)
            key[b, at] = item
            count[b, at] += 1
            totals[b, 1] += purchase[r, k]
            if click[r, k]:
                totals[b, 0] += 1.0
                for h in range(history - 1, 0, -1):
                    clicked[b, h] = clicked[b, h - 1]
                if history > 0:
                    clicked[b, 0] = item
        pages[b] += 1


@Twin
def observe(
    rows: Any,  # (R,)
    query: Any,  # (B,)
    candidates: Any,  # (Q, N), or (R, N) where by_row
    by_row: Any,
    horizon: Any,
    key: Any,
    count: Any,
    last_slate: Any,
    last_click: Any,
    last_purchase: Any,
    clicked: Any,
    totals: Any,
    pages: Any,
    out_query: Any,  # (R, 1)
    out_candidates: Any,  # (R, N)
    out_seen: Any,  # (R, N)
    out_last_slate: Any,  # (R, K)
    out_last_click: Any,  # (R, K)
    out_last_purchase: Any,  # (R, K)
    out_clicked: Any,  # (R, H)
    out_progress: Any,  # (R, 4)
) -> None:
    """What an agent sees of the users at `rows` (all but the scores and the context)."""
    for r in prange(rows.shape[0]):
        b = rows[r]
        out_query[r, 0] = query[b]
        q = np.int64(r) if by_row else np.int64(query[b])
        first_page = pages[b] == 0
        for n in range(candidates.shape[1]):
            item = candidates[q, n]
            out_candidates[r, n] = item
            if item < 0 or first_page:
                out_seen[r, n] = 0.0
            else:
                out_seen[r, n] = count[b, _slot(key[b], item)]
        for k in range(last_slate.shape[1]):
            out_last_slate[r, k] = last_slate[b, k]
            out_last_click[r, k] = last_click[b, k]
            out_last_purchase[r, k] = last_purchase[b, k]
        for h in range(clicked.shape[1]):
            out_clicked[r, h] = clicked[b, h]
        out_progress[r, 0] = min(pages[b], horizon) / horizon
        out_progress[r, 1] = max(horizon - pages[b], 0) / horizon
        out_progress[r, 2] = math.log1p(totals[b, 0])
        out_progress[r, 3] = math.log1p(totals[b, 1])


@Twin
def reward(
    slates: Any,  # (B, K)
    positions: Any,  # (B, K)
    query: Any,  # (B,) of the page that was shown
    click: Any,
    cart: Any,  # (B, K), or (B, 0) where there are no carts
    purchase: Any,
    left: Any,
    scores: Any,  # (Q, N)
    vectors: Any,  # (I, D)
    price: Any,  # (I,) 0 where unknown
    profit: Any,  # (I,) price times margin, 0 where unknown
    weights: Any,  # (8,)
    score_weights: Any,  # (3,) click, purchase, revenue
    parts: Any,  # out (B, 8) click, cart, purchase, revenue, margin, relevance, diversity, stay
    value_out: Any,  # out (B,)
    score: Any,  # out (B,)
    totals: Any,  # (B, 6) columns 2 to 5, return, revenue, carts and profit, are added to
) -> None:
    """The parts of the reward, their weighted sum, and the task's score, for every user."""
    width = vectors.shape[1]
    size = slates.shape[1]
    for b in prange(slates.shape[0]):
        clicks = 0.0
        carts = 0.0
        purchases = 0.0
        revenue = 0.0
        earned = 0.0
        relevance = 0.0
        total = np.zeros(width, np.float32)
        own = 0.0
        for k in range(size):
            item = slates[b, k]
            clicks += click[b, k]
            if purchase[b, k]:
                purchases += 1.0
                revenue += price[item]
                earned += profit[item]
            relevance += scores[query[b], positions[b, k]]
            square = 0.0
            for d in range(width):
                total[d] += vectors[item, d]
                square += vectors[item, d] * vectors[item, d]
            own += square
        # The sum over pairs of v_i . v_j is |sum v|^2 - sum |v|^2: K vectors read once instead of K^2 / 2 times.
        whole = 0.0
        for d in range(width):
            whole += np.float64(total[d]) * np.float64(total[d])
        pairs = size * (size - 1)
        for k in range(cart.shape[1]):
            carts += cart[b, k]
        parts[b, 0] = clicks
        parts[b, 1] = carts
        parts[b, 2] = purchases
        parts[b, 3] = revenue
        parts[b, 4] = earned
        parts[b, 5] = relevance / size
        parts[b, 6] = 1.0 - (whole - own) / pairs if pairs > 0 else 0.0
        parts[b, 7] = 0.0 if left[b] else 1.0
        value = 0.0
        for j in range(8):
            value += weights[j] * parts[b, j]
        value_out[b] = value
        score[b] = score_weights[0] * clicks + score_weights[1] * purchases + score_weights[2] * revenue
        totals[b, 2] += value
        totals[b, 3] += revenue
        totals[b, 4] += carts
        totals[b, 5] += earned
