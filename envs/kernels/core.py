"""The environment's own work in a step, part by part, for a batch: used with any simulator, and for logs.

`envs.kernels.fused` does the same in one pass where the simulator is the built-in one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from envs.kernels.page import clear_user, note_user, observe_user, place_user, recount_user, value_user
from simulators.kernels.twins import Twin

__all__ = ["clear", "note", "observe", "outside", "place", "value"]

_CHUNK = 32  # users who share a scratch row


@Twin
def outside(
    actions: Any,  # (B, K)
    n_candidates: Any,
    rows: Any,  # (R,)
    wrong: Any,  # out (R,)
) -> None:
    """Whether an action of the users at `rows` lies outside 0 .. n_candidates-1."""
    last = np.uint64(n_candidates)
    for r in prange(rows.shape[0]):
        n_wrong = np.int64(0)
        for k in range(actions.shape[1]):  # a negative number is a large one here
            n_wrong += np.int64(np.uint64(actions[rows[r], k]) >= last)
        wrong[r] = n_wrong > 0


@Twin
def place(
    rows: Any,  # (R,)
    actions: Any,  # (B, K) candidate positions in 0 .. N-1
    query: Any,  # (B,)
    items: Any,  # (Q, N)
    lengths: Any,  # (Q,) candidates before the padding
    positions: Any,  # out (B, K)
    slates: Any,  # out (B, K)
    repairs: Any,  # out (B,)
) -> None:
    """Actions to slates; a repeated or padded choice takes the next unused candidate, cyclically."""
    n_rows = rows.shape[0]
    for c in prange((n_rows + _CHUNK - 1) // _CHUNK):
        chunk = np.int64(
            c
        )  # numba counts pranges in unsigned numbers, and mixes them with signed ones to floats
        taken = np.zeros(items.shape[1], np.uint8)
        for r in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, n_rows)):
            b = rows[r]
            repairs[b] = place_user(b, query[b], actions, items, lengths, positions, slates, taken)


@Twin
def clear(rows: Any, head: Any, table: Any, shown: Any, totals: Any, n_kept: Any) -> None:
    """Forget the sessions of the users at `rows`."""
    for r in prange(rows.shape[0]):
        clear_user(rows[r], head, table, shown, totals, n_kept)


@Twin
def note(
    rows: Any,  # (R,)
    slates: Any,  # (R, K) -1: unknown or empty; or (B, K)
    click: Any,
    purchase: Any,
    compact: Any,  # whether pages are given for `rows` only
    places: Any,  # positions of the pages kept
    history: Any,
    head: Any,
    table: Any,
    totals: Any,
) -> None:
    """Write a shown page and its feedback into the records of the users at `rows`."""
    for i in prange(rows.shape[0]):
        r = np.int64(i)
        b = rows[r]
        note_user(b, r if compact else b, slates, click, purchase, places, history, head, table, totals)


@Twin
def observe(
    rows: Any,  # (R,)
    compact: Any,  # whether candidates, scores, context and outputs have a row for each of `rows`
    query: Any,  # (B,)
    context: Any,  # (B, F), or (R, F) where compact
    candidates: Any,  # (Q, N), or (R, N) where compact
    scores: Any,
    horizon: Any,
    head: Any,
    table: Any,
    shown: Any,
    totals: Any,
    out_query: Any,  # (B, 1), or (R, 1) where compact; so are all that follow
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
    """Write what an agent sees of the users at `rows`."""
    n_rows, n_candidates = rows.shape[0], candidates.shape[1]
    n_kept = max(out_last_slate.shape[1], out_recent_items.shape[1]) + out_clicked.shape[1]
    for c in prange((n_rows + _CHUNK - 1) // _CHUNK):
        chunk = np.int64(c)
        maybe, hits = np.empty(n_candidates, np.uint8), np.empty(n_candidates + 1, np.int32)
        for r in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, n_rows)):
            b = rows[r]
            q = r if compact else np.int64(query[b])
            recount_user(b, q, candidates, n_kept, head, table, shown, maybe, hits)
            observe_user(
                b,
                r if compact else b,
                q,
                query[b],
                context,
                candidates,
                scores,
                horizon,
                head,
                shown,
                totals,
                out_query,
                out_context,
                out_candidates,
                out_scores,
                out_seen,
                out_last_slate,
                out_last_click,
                out_last_purchase,
                out_clicked,
                out_progress,
                out_recent_items,
                out_recent_feedback,
            )


@Twin
def value(
    rows: Any,  # (R,)
    query: Any,  # (B,) of the page that was shown
    slates: Any,  # (B, K)
    positions: Any,
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
    parts: Any,  # out (B, 8)
    value_out: Any,  # out (B,)
    score: Any,  # out (B,)
    totals: Any,  # (B, 8)
) -> None:
    """The parts of the reward, their weighted sum, and the task's score, for the users at `rows`."""
    for r in prange(rows.shape[0]):
        b = rows[r]
        value_user(
            b,
            query[b],
            slates,
            positions,
            click,
            cart,
            purchase,
            left,
            scores,
            vectors,
            price,
            profit,
            weights,
            score_weights,
            parts,
            value_out,
            score,
            totals,
        )
