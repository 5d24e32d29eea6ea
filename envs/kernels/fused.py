"""The whole step of the built-in shopper in one pass over the users, and the renewal of finished sessions in another.

They call the same row functions as the separate kernels, so both ways give the same bits. What is gained is memory:
what a user's step touches stays near from its first use to its last. A portion of some tens of users goes through three
stages, each of which asks ahead for what the next will read:

1. place the slate; ask for the shown items' vectors and traits;
2. respond, value, remember; ask for the next query's candidates;
3. observe.

In a catalogue of a million items each of these rows is a wait for main memory, one after another if nobody asks ahead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from envs.kernels.page import (
    clear_user,
    note_user,
    observe_user,
    place_user,
    recall_user,
    recount_user,
    value_user,
)
from simulators.kernels.device import device, inline_device
from simulators.kernels.shopper import begin_user, respond_user
from simulators.kernels.twins import Twin
from simulators.kernels.vector import prefetch_row

__all__ = ["advance", "renew"]


@device
def _advance_portion(
    first: Any, end: Any, rows: Any, shop: Any, user: Any, step: Any, query: Any, hidden: Any, context: Any,
    seed: Any, actions: Any, items: Any, scores: Any, lengths: Any, vectors: Any, apart: Any, price: Any,
    profit: Any, weights: Any, score_weights: Any, head: Any, table: Any, shown: Any, totals: Any, max_steps: Any,
    positions: Any, slates: Any, repairs: Any, click: Any, cart: Any, purchase: Any, left: Any, truncated: Any,
    parts: Any, reward: Any, score: Any, out_query: Any, out_context: Any, out_candidates: Any, out_scores: Any,
    out_seen: Any, out_last_slate: Any, out_last_click: Any, out_last_purchase: Any, out_clicked: Any,
    out_progress: Any, out_recent_items: Any, out_recent_feedback: Any, wish: Any, numbers: Any, taken: Any,
    maybe: Any, hits: Any, anew: Any,
) -> None:  # fmt: skip
    """The users at rows[first:end]; see `advance`."""
    size, history = actions.shape[1], out_clicked.shape[1]
    places = max(size, out_recent_items.shape[1])
    for i in range(first, end):
        b = rows[i]
        repairs[b] = place_user(b, query[b], actions, items, lengths, positions, slates, taken)
        for k in range(size):
            prefetch_row(shop.items, slates[b, k])
            prefetch_row(shop.traits, slates[b, k])
            if apart:
                prefetch_row(vectors, slates[b, k])
    for i in range(first, end):
        b = rows[i]
        before = query[b]
        gone, following = respond_user(
            shop, user[b], step[b], before, seed, slates[b], hidden[b], context[b], click[b], cart[b],
            purchase[b], wish, numbers[0], numbers[1],
        )  # fmt: skip
        left[b] = gone
        step[b] += 1
        # A user who left has no next query: the last observation then keeps the one that was answered.
        anew[i - first] = not gone and following != before
        if anew[i - first]:
            query[b] = following
            prefetch_row(items, following)
            prefetch_row(scores, following)
        value_user(
            b, before, slates, positions, click, cart, purchase, left, scores, vectors, price, profit, weights,
            score_weights, parts, reward, score, totals,
        )  # fmt: skip
        note_user(b, b, slates, click, purchase, places, history, head, table, totals)
        truncated[b] = not gone and head[b, 0] >= max_steps
    for i in range(first, end):
        b = rows[i]
        if anew[i - first]:
            recount_user(b, query[b], items, places + history, head, table, shown, maybe, hits)
        else:
            recall_user(b, positions, shown)
        observe_user(
            b, b, query[b], query[b], context, items, scores, max_steps, head, shown, totals, out_query,
            out_context, out_candidates, out_scores, out_seen, out_last_slate, out_last_click,
            out_last_purchase, out_clicked, out_progress, out_recent_items, out_recent_feedback,
        )  # fmt: skip


@Twin
def advance(
    portion: Any,  # users a thread takes at a time
    rows: Any,  # (R,) users who are shown a page
    shop: Any,  # ShopperTables
    user: Any,  # (B,) the state, advanced
    step: Any,
    query: Any,
    hidden: Any,  # (B, L)
    context: Any,  # (B, F)
    seed: Any,
    actions: Any,  # (B, K) candidate positions in 0 .. N-1
    items: Any,  # (Q, N)
    scores: Any,  # (Q, N)
    lengths: Any,  # (Q,)
    vectors: Any,  # (I, D)
    apart: Any,  # whether `vectors` are other memory than the shop's items
    price: Any,  # (I,)
    profit: Any,  # (I,)
    weights: Any,  # (8,)
    score_weights: Any,  # (3,)
    head: Any,  # (B, ...) the sessions' records, advanced
    table: Any,
    shown: Any,
    totals: Any,
    max_steps: Any,
    positions: Any,  # out (B, K), and all that follow
    slates: Any,
    repairs: Any,
    click: Any,
    cart: Any,
    purchase: Any,
    left: Any,
    truncated: Any,
    parts: Any,
    reward: Any,
    score: Any,
    out_query: Any,
    out_context: Any,
    out_candidates: Any,
    out_scores: Any,
    out_seen: Any,
    out_last_slate: Any,
    out_last_click: Any,
    out_last_purchase: Any,
    out_clicked: Any,
    out_progress: Any,
    out_recent_items: Any,
    out_recent_feedback: Any,
) -> None:
    """Show a page to the users at `rows`: place, respond, value, remember, observe."""
    n_rows, size, n_candidates = rows.shape[0], actions.shape[1], items.shape[1]
    for p in prange((n_rows + portion - 1) // portion):
        first = np.int64(p) * portion
        wish, numbers = np.empty(shop.items.shape[1], np.float32), np.empty((2, size), np.float64)
        taken, maybe = np.zeros(n_candidates, np.uint8), np.empty(n_candidates, np.uint8)
        hits, anew = np.empty(n_candidates + 1, np.int32), np.empty(portion, np.bool_)
        _advance_portion(
            first, min(first + portion, n_rows), rows, shop, user, step, query, hidden, context, seed, actions,
            items, scores, lengths, vectors, apart, price, profit, weights, score_weights, head, table, shown,
            totals, max_steps, positions, slates, repairs, click, cart, purchase, left, truncated, parts, reward,
            score, out_query, out_context, out_candidates, out_scores, out_seen, out_last_slate, out_last_click,
            out_last_purchase, out_clicked, out_progress, out_recent_items, out_recent_feedback, wish, numbers,
            taken, maybe, hits, anew,
        )  # fmt: skip


@inline_device
def _copy_row(source: Any, b: Any, target: Any, r: Any) -> None:
    for j in range(source.shape[1]):
        target[r, j] = source[b, j]


@device
def _renew_portion(
    first: Any, end: Any, rows: Any, users: Any, shop: Any, user: Any, step: Any, query: Any, hidden: Any,
    context: Any, seed: Any, items: Any, scores: Any, head: Any, table: Any, shown: Any, totals: Any,
    max_steps: Any, out_query: Any, out_context: Any, out_candidates: Any, out_scores: Any, out_seen: Any,
    out_last_slate: Any, out_last_click: Any, out_last_purchase: Any, out_clicked: Any, out_progress: Any,
    out_recent_items: Any, out_recent_feedback: Any, last_query: Any, last_context: Any, last_candidates: Any,
    last_scores: Any, last_seen: Any, last_last_slate: Any, last_last_click: Any, last_last_purchase: Any,
    last_clicked: Any, last_progress: Any, last_recent_items: Any, last_recent_feedback: Any,
) -> None:  # fmt: skip
    """The users at rows[first:end]; see `renew`."""
    n_kept = max(out_last_slate.shape[1], out_recent_items.shape[1]) + out_clicked.shape[1]
    for i in range(first, end):
        b = rows[i]
        user[b] = users[i]
        step[b] = 0
        query[b] = begin_user(shop, user[b], seed, hidden[b], context[b])
        prefetch_row(items, query[b])
        prefetch_row(scores, query[b])
        clear_user(b, head, table, shown, totals, n_kept)
        _copy_row(out_query, b, last_query, i)
        _copy_row(out_context, b, last_context, i)
        _copy_row(out_candidates, b, last_candidates, i)
        _copy_row(out_scores, b, last_scores, i)
        _copy_row(out_seen, b, last_seen, i)
        _copy_row(out_last_slate, b, last_last_slate, i)
        _copy_row(out_last_click, b, last_last_click, i)
        _copy_row(out_last_purchase, b, last_last_purchase, i)
        _copy_row(out_clicked, b, last_clicked, i)
        _copy_row(out_progress, b, last_progress, i)
        _copy_row(out_recent_items, b, last_recent_items, i)
        _copy_row(out_recent_feedback, b, last_recent_feedback, i)
    for i in range(first, end):
        b = rows[i]
        observe_user(
            b, b, query[b], query[b], context, items, scores, max_steps, head, shown, totals, out_query,
            out_context, out_candidates, out_scores, out_seen, out_last_slate, out_last_click,
            out_last_purchase, out_clicked, out_progress, out_recent_items, out_recent_feedback,
        )  # fmt: skip


@Twin
def renew(
    portion: Any,  # users a thread takes at a time
    rows: Any,  # (R,)
    users: Any,  # (R,) who begin there
    shop: Any,  # ShopperTables
    user: Any,  # (B,) the state, overwritten at `rows`
    step: Any,
    query: Any,
    hidden: Any,
    context: Any,
    seed: Any,
    items: Any,
    scores: Any,
    head: Any,
    table: Any,
    shown: Any,
    totals: Any,
    max_steps: Any,
    out_query: Any,  # (B, ...) the observation, overwritten at `rows`
    out_context: Any,
    out_candidates: Any,
    out_scores: Any,
    out_seen: Any,
    out_last_slate: Any,
    out_last_click: Any,
    out_last_purchase: Any,
    out_clicked: Any,
    out_progress: Any,
    out_recent_items: Any,
    out_recent_feedback: Any,
    last_query: Any,  # out (R, ...) the observation that stood there before
    last_context: Any,
    last_candidates: Any,
    last_scores: Any,
    last_seen: Any,
    last_last_slate: Any,
    last_last_click: Any,
    last_last_purchase: Any,
    last_clicked: Any,
    last_progress: Any,
    last_recent_items: Any,
    last_recent_feedback: Any,
) -> None:
    """Keep the observations at `rows` aside, let the next users begin there, and observe them."""
    n_rows = rows.shape[0]
    for p in prange((n_rows + portion - 1) // portion):
        first = np.int64(p) * portion
        _renew_portion(
            first, min(first + portion, n_rows), rows, users, shop, user, step, query, hidden, context, seed,
            items, scores, head, table, shown, totals, max_steps, out_query, out_context, out_candidates,
            out_scores, out_seen, out_last_slate, out_last_click, out_last_purchase, out_clicked, out_progress,
            out_recent_items, out_recent_feedback, last_query, last_context, last_candidates, last_scores,
            last_seen, last_last_slate, last_last_click, last_last_purchase, last_clicked, last_progress,
            last_recent_items, last_recent_feedback,
        )  # fmt: skip
