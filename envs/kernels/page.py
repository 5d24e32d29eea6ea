"""What the environment does for one user in a step: mend the action, value the page, remember it, show the next.

Functions of one row, for the kernels of `envs.kernels.core` (part by part) and `envs.kernels.fused` (all in one pass):
both run the same code and give the same bits.

A session's record is three rows. `head` (int32) holds the pages so far, the pages kept, newest first (item, click and
purchase packed in a word a position; at least the last page), the last H clicked items, and a filter of the items
shown; `table` (uint32) holds how often each item was shown, by open addressing (item in the upper 24 bits, count in
the lower 8); `shown` (uint8) holds the same for the candidates of the current query, by position. Only a new query
needs the table: the filter, a few cache lines at one bit an item, says which of its N candidates may have been seen,
and those are looked up. So a step costs the N candidates and the K shown items, whatever the catalogue's size. Counts
stop at 255.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from envs.kernels.vector import slate_sums
from simulators.kernels.device import inline_device

__all__ = [
    "MOST_ITEMS",
    "clear_user",
    "note_user",
    "observe_user",
    "place_user",
    "recall_user",
    "recount_user",
    "value_user",
]

MOST_ITEMS = 1 << 24
"""Item ids must be smaller: they are packed with counts and marks into words of 32 bits (and SB3 casts to float32)."""

_PAGE = 1  # first column of the pages kept in `head`, the last page first; column 0 counts the pages
_ID = MOST_ITEMS - 1
_CLICK, _PURCHASE = 1 << 24, 1 << 25
_MOST = np.uint32(255)  # counts stop here


@inline_device
def _mixed(item: Any) -> Any:
    """Knuth's multiplicative hash: 32 bits, the upper ones well mixed."""
    return np.uint32(np.uint32(item) * np.uint32(2654435761))


@inline_device
def _slot(table: Any, b: Any, item: Any) -> Any:
    """Where `item` is in the hash row b, or the empty slot where it would go."""
    mask = table.shape[1] - 1
    at = np.int64(_mixed(item) >> np.uint32(12)) & mask
    while table[b, at] != 0 and (table[b, at] >> np.uint32(8)) != np.uint32(item):
        at = (at + 1) & mask
    return at


@inline_device
def _filter_bits(table: Any) -> Any:
    """Bits of a session's filter: twice the slots of its table, at least one word."""
    return max(32, 2 * table.shape[1])


@inline_device
def place_user(
    b: Any,
    q: Any,
    actions: Any,  # (B, K) candidate positions in 0 .. N-1
    items: Any,  # (Q, N)
    lengths: Any,  # (Q,) candidates before the padding
    positions: Any,  # out (B, K)
    slates: Any,  # out (B, K)
    taken: Any,  # scratch (N,) uint8, zeros before and after
) -> Any:
    """Actions to slates; a repeated or padded choice takes the next unused candidate, cyclically. Counts these."""
    n = lengths[q]
    mended = 0
    for k in range(actions.shape[1]):
        a = actions[b, k]
        if a >= n or taken[a] != 0:
            mended += 1
            if a >= n:
                a = 0
            while taken[a] != 0:
                a += 1
                if a == n:
                    a = 0
        taken[a] = 1
        positions[b, k] = a
        slates[b, k] = items[q, a]
    for k in range(actions.shape[1]):
        taken[positions[b, k]] = 0
    return mended


@inline_device
def clear_user(b: Any, head: Any, table: Any, shown: Any, totals: Any, n_kept: Any) -> None:
    """Forget the session of row b; `n_kept` items, those of the pages kept and H clicks, are remembered."""
    head[b, 0] = 0
    for j in range(_PAGE, _PAGE + n_kept):
        head[b, j] = -1
    for j in range(_PAGE + n_kept, head.shape[1]):
        head[b, j] = 0
    for n in range(shown.shape[1]):
        shown[b, n] = 0
    for j in range(table.shape[1]):
        table[b, j] = 0
    for j in range(totals.shape[1]):
        totals[b, j] = 0.0


@inline_device
def note_user(
    b: Any,
    r: Any,
    slates: Any,  # (R, K) -1: unknown or empty
    click: Any,  # (R, K)
    purchase: Any,  # (R, K)
    places: Any,  # positions of the pages kept, a multiple of K
    history: Any,
    head: Any,
    table: Any,
    totals: Any,
) -> None:
    """Write the shown page of row r and its feedback into the record of row b."""
    size = slates.shape[1]
    clicked, seen = _PAGE + places, _PAGE + places + history
    last_bit = np.uint32(_filter_bits(table) - 1)
    for j in range(clicked - 1, _PAGE + size - 1, -1):  # older pages move back by one; none where one is kept
        head[b, j] = head[b, j - size]
    for k in range(size):
        item = slates[r, k]
        if item < 0:
            head[b, _PAGE + k] = -1
            continue
        mark = item
        if purchase[r, k]:
            mark += _PURCHASE
            totals[b, 1] += 1.0
        if click[r, k]:
            mark += _CLICK
            totals[b, 0] += 1.0
            for h in range(history - 1, 0, -1):
                head[b, clicked + h] = head[b, clicked + h - 1]
            if history > 0:
                head[b, clicked] = item
        head[b, _PAGE + k] = mark
        bit = np.int64(np.uint32(_mixed(item) >> np.uint32(12)) & last_bit)
        head[b, seen + (bit >> 5)] |= np.int32(1) << np.int32(bit & 31)
        at = _slot(table, b, item)
        if table[b, at] == 0:
            table[b, at] = (np.uint32(item) << np.uint32(8)) | np.uint32(1)
        elif (table[b, at] & _MOST) != _MOST:
            table[b, at] += np.uint32(1)
    head[b, 0] += 1
    totals[b, 7] += 1.0


@inline_device
def recount_user(
    b: Any,
    q: Any,
    candidates: Any,  # (Q, N)
    n_kept: Any,  # positions of the pages kept, and H
    head: Any,
    table: Any,
    shown: Any,  # (B, N), row b is written
    maybe: Any,  # scratch (N,) uint8
    hits: Any,  # scratch (N + 1,) int32
) -> None:
    """Look up how often each candidate in row q was shown in the session of row b."""
    n_candidates = candidates.shape[1]
    for n in range(n_candidates):
        shown[b, n] = 0
    if head[b, 0] == 0:
        return
    first = _PAGE + n_kept
    last_bit = np.uint32(_filter_bits(table) - 1)
    # Three loops without unforeseeable branches: the filter's answers, the list of those that may be hits, and these.
    for n in range(n_candidates):
        bit = np.uint32(_mixed(candidates[q, n]) >> np.uint32(12)) & last_bit
        word = head[b, first + np.int64(bit >> np.uint32(5))]
        maybe[n] = (np.uint32(word) >> np.uint32(bit & np.uint32(31))) & np.uint32(1)
    n_hits = 0
    for n in range(n_candidates):
        hits[n_hits] = n
        n_hits += maybe[n]
    for j in range(n_hits):
        n = hits[j]
        shown[b, n] = table[b, _slot(table, b, candidates[q, n])] & _MOST


@inline_device
def recall_user(b: Any, positions: Any, shown: Any) -> None:
    """Count the page at `positions` among the candidates of a query that stays."""
    for k in range(positions.shape[1]):
        n = positions[b, k]
        if shown[b, n] < 255:
            shown[b, n] += 1


@inline_device
def observe_user(
    b: Any,
    r: Any,
    q: Any,
    asked: Any,
    context: Any,  # (R, F)
    candidates: Any,  # (Q, N)
    scores: Any,  # (Q, N)
    horizon: Any,
    head: Any,
    shown: Any,  # (B, N)
    totals: Any,
    out_query: Any,  # (R, 1)
    out_context: Any,  # (R, F)
    out_candidates: Any,  # (R, N)
    out_scores: Any,  # (R, N)
    out_seen: Any,  # (R, N)
    out_last_slate: Any,  # (R, K)
    out_last_click: Any,  # (R, K)
    out_last_purchase: Any,  # (R, K)
    out_clicked: Any,  # (R, H)
    out_progress: Any,  # (R, 4)
    out_recent_items: Any,  # (R, M)
    out_recent_feedback: Any,  # (R, M)
) -> None:
    """Write what an agent sees of record b, with row q of the candidates and the query number `asked`, to row r."""
    size, history, memory = out_last_slate.shape[1], out_clicked.shape[1], out_recent_items.shape[1]
    clicked = _PAGE + max(size, memory)
    n_candidates = candidates.shape[1]
    out_query[r, 0] = asked
    for j in range(context.shape[1]):
        out_context[r, j] = context[r, j]
    for n in range(n_candidates):
        out_candidates[r, n] = candidates[q, n]
    for n in range(n_candidates):
        out_scores[r, n] = scores[q, n]
    for n in range(n_candidates):
        out_seen[r, n] = shown[b, n]
    pages = head[b, 0]
    for k in range(size):
        mark = head[b, _PAGE + k]
        out_last_slate[r, k] = -1 if mark < 0 else mark & _ID
        out_last_click[r, k] = 1.0 if mark >= 0 and mark & _CLICK else 0.0
        out_last_purchase[r, k] = 1.0 if mark >= 0 and mark & _PURCHASE else 0.0
    for h in range(history):
        out_clicked[r, h] = head[b, clicked + h]
    out_progress[r, 0] = min(pages, horizon) / horizon
    out_progress[r, 1] = max(horizon - pages, 0) / horizon
    out_progress[r, 2] = math.log1p(totals[b, 0])
    out_progress[r, 3] = math.log1p(totals[b, 1])
    for j in range(memory):
        mark = head[b, _PAGE + j]
        out_recent_items[r, j] = -1 if mark < 0 else mark & _ID
        feedback = 2.0 if mark & _PURCHASE else (1.0 if mark & _CLICK else 0.0)
        out_recent_feedback[r, j] = 0.0 if mark < 0 else feedback


@inline_device
def value_user(
    b: Any,
    q: Any,  # query of the page that was shown
    slates: Any,  # (B, K)
    positions: Any,  # (B, K)
    click: Any,  # (B, K)
    cart: Any,  # (B, K), or (B, 0) where there are no carts
    purchase: Any,  # (B, K)
    left: Any,  # (B,)
    scores: Any,  # (Q, N)
    vectors: Any,  # (I, D)
    price: Any,  # (I,) 0 where unknown
    profit: Any,  # (I,) price times margin, 0 where unknown
    weights: Any,  # (8,)
    score_weights: Any,  # (3,) click, purchase, revenue
    parts: Any,  # out (B, 8) click, cart, purchase, revenue, margin, relevance, diversity, stay
    value_out: Any,  # out (B,)
    score: Any,  # out (B,)
    totals: Any,  # (B, 8) columns 2 to 6, return, revenue, carts, profit and score, are added to
) -> None:
    """The parts of the reward, their weighted sum, and the task's score, of row b."""
    size = slates.shape[1]
    clicks, carts, purchases, revenue, earned, relevance = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(size):
        clicks += click[b, k]
        if purchase[b, k]:
            item = slates[b, k]
            purchases += 1.0
            revenue += price[item]
            earned += profit[item]
        relevance += scores[q, positions[b, k]]
    for k in range(cart.shape[1]):
        carts += cart[b, k]
    parts[b, 0] = clicks
    parts[b, 1] = carts
    parts[b, 2] = purchases
    parts[b, 3] = revenue
    parts[b, 4] = earned
    parts[b, 5] = relevance / size
    parts[b, 6] = _diversity(b, slates, vectors)
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
    totals[b, 6] += score[b]


@inline_device
def _diversity(b: Any, slates: Any, vectors: Any) -> Any:
    """Mean of 1 - v_i . v_j over the pairs of a slate; 0 for a slate of one.

    The sum over pairs of v_i . v_j is |sum v|^2 - sum |v|^2: K vectors read once instead of K^2 / 2 times.
    """
    size = slates.shape[1]
    if size < 2:
        return 0.0
    whole, own = slate_sums(vectors, slates[b])
    return 1.0 - (np.float64(whole) - np.float64(own)) / (size * (size - 1))
