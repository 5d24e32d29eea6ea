"""The record of a session: what a shown item has to do with what was shown and clicked before it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.tables import find_pair, sigmoid
from simulators.kernels.twins import Twin
from simulators.kernels.vector import dot

__all__ = [
    "N_FIXED",
    "N_PAGE_FIXED",
    "N_PROMISE",
    "impression_rows",
    "item_logits",
    "note_promise",
    "page_rows",
    "remember",
]

N_FIXED = 14
"""Leading columns of an impression row; names in `simulators.parts.rows`."""

N_PAGE_FIXED = 15
"""Leading columns of a page row; names in `simulators.parts.rows`."""

N_PROMISE = 4
"""Columns of the record that say how appealing the page at hand and those before it were."""

_USUAL = (
    -1.7
)  # logit of the mean appeal of a usual page: sums over pages count from here, not from a page of even odds
_CLIP = 8.0  # relevance logits beyond this say nothing more


@njit(cache=True)
def fill_row(
    row: Any, item: Any, query: Any, step: Any, context: Any, hidden: Any, tables: Any, cols: Any
) -> Any:
    """Write the features of one item for one user into `row` (P,); gives the row of its pair in the table of pairs."""
    width = tables.item_vectors.shape[1]
    n_numeric = tables.item_numeric.shape[1]
    n_context = context.shape[0]
    n_pair = tables.pair_values.shape[1]
    vector = tables.item_vectors[item]
    clicks = hidden[cols.clicks]
    ignored = hidden[cols.shown] - clicks
    row[0] = 1.0
    row[1] = 0.0
    row[2] = 0.0
    if query >= 0:
        click = dot(tables.relevance_item[item], tables.relevance_click[query]) + tables.click_bias
        buy = dot(tables.relevance_item[item], tables.relevance_purchase[query]) + tables.purchase_bias
        row[1] = min(max(click, -_CLIP), _CLIP)
        row[2] = min(max(buy, -_CLIP), _CLIP)
    row[3] = 0.0
    if clicks > 0:
        row[3] = dot(vector, hidden[cols.clicked_sum : cols.clicked_sum + width]) / clicks
    row[4] = 0.0
    if ignored > 0:
        row[4] = dot(vector, hidden[cols.ignored_sum : cols.ignored_sum + width]) / ignored
    category = tables.item_category[item]
    times_shown = 0
    was_clicked = 0.0
    was_bought = 0.0
    category_shown = 0
    category_clicked = 0
    for r in range(min(cols.ring_size, int(hidden[cols.shown]))):
        other = int(hidden[cols.ring_item + r])
        mark = hidden[cols.ring_mark + r]
        if other == item:
            times_shown += 1
            if mark >= 1.0:
                was_clicked = 1.0
            if mark >= 2.0:
                was_bought = 1.0
        if tables.item_category[other] == category:
            category_shown += 1
            if mark >= 1.0:
                category_clicked += 1
    row[5] = np.log1p(times_shown)
    row[6] = was_clicked
    row[7] = was_bought
    row[8] = np.log1p(category_shown)
    row[9] = np.log1p(category_clicked)
    row[10] = np.log1p(clicks)
    row[11] = np.log1p(hidden[cols.purchases])
    row[12] = np.log1p(hidden[cols.dry_pages])
    row[13] = np.log1p(step)
    at = N_FIXED
    for f in range(n_numeric):
        row[at + f] = tables.item_numeric[item, f]
    at += n_numeric
    for c in range(n_context):
        row[at + c] = context[c]
    at += n_context
    if row.shape[0] > at + width + n_pair:  # context x numeric, left out where it would be too wide
        for c in range(n_context):
            for f in range(n_numeric):
                row[at] = context[c] * tables.item_numeric[item, f]
                at += 1
    if query >= 0:
        for d in range(width):
            row[at + d] = vector[d] * tables.query_vectors[query, d]
    else:
        for d in range(width):
            row[at + d] = 0.0
    at += width
    pair = find_pair(tables, query, item)
    for g in range(n_pair):
        row[at + g] = tables.pair_values[pair, g]
    return pair


@Twin
def impression_rows(
    out: Any, items: Any, query: Any, step: Any, context: Any, hidden: Any, tables: Any, cols: Any
) -> None:
    """Rows (B, M, P) of items (B, M); zeros where the item is -1."""
    for b in prange(items.shape[0]):
        for m in range(items.shape[1]):
            if items[b, m] >= 0:
                fill_row(out[b, m], items[b, m], query[b], step[b], context[b], hidden[b], tables, cols)
            else:
                out[b, m, :] = 0.0


@Twin
def item_logits(
    out: Any,
    items: Any,
    query: Any,
    step: Any,
    context: Any,
    hidden: Any,
    tables: Any,
    cols: Any,
    weights: Any,
    category_bias: Any,
    item_bias: Any,
    query_bias: Any,
    kind_bias: Any,
    pair_bias: Any,
    query_taste: Any,
) -> None:
    """Logits (B, M) of items (B, M): row @ weights + biases; -inf where the item is -1.

    The biases are those of its category (C,) and of itself (I,), of the query (Q,), of query and category (Q * C,), and
    of query and item (Z,), the last three empty where there are none. `query_taste` (Q, D) adds its products with the
    vectors of items; it may be empty, too.
    """
    for b in prange(items.shape[0]):
        row = np.empty(weights.shape[0], np.float32)
        for m in range(items.shape[1]):
            item = items[b, m]
            if item < 0:
                out[b, m] = -np.inf
            else:
                pair = fill_row(row, item, query[b], step[b], context[b], hidden[b], tables, cols)
                category = tables.item_category[item]
                logit = dot(row, weights) + category_bias[category] + item_bias[item]
                if query[b] >= 0:
                    if query_bias.shape[0] > 0:
                        logit += query_bias[query[b]]
                    if kind_bias.shape[0] > 0:
                        logit += kind_bias[query[b] * category_bias.shape[0] + category]
                    if pair < pair_bias.shape[0]:
                        logit += pair_bias[pair]
                    if query_taste.shape[0] > 0:
                        logit += dot(query_taste[query[b]], tables.item_vectors[item])
                out[b, m] = logit


@njit(cache=True)
def fill_page_row(
    row: Any,
    items: Any,
    click: Any,
    purchase: Any,
    query: Any,
    step: Any,
    context: Any,
    hidden: Any,
    tables: Any,
    cols: Any,
) -> None:
    """Write the features of a page just answered into `row` (PP,); `hidden` does not yet know the page."""
    n_numeric = tables.item_numeric.shape[1]
    shown = 0
    clicks = 0
    purchases = 0
    repeats = 0
    relevance_sum = 0.0
    relevance_best = 0.0
    row[:] = 0.0
    held = min(cols.ring_size, int(hidden[cols.shown]))
    for k in range(items.shape[0]):
        item = items[k]
        if item < 0:
            continue
        shown += 1
        clicks += click[k]
        purchases += purchase[k]
        if query >= 0:
            logit = dot(tables.relevance_item[item], tables.relevance_click[query]) + tables.click_bias
            relevance = sigmoid(logit)
            relevance_sum += relevance
            relevance_best = max(relevance_best, relevance)
        for r in range(held):
            if int(hidden[cols.ring_item + r]) == item:
                repeats += 1
                break
        for f in range(n_numeric):
            row[N_PAGE_FIXED + f] += tables.item_numeric[item, f]
            row[N_PAGE_FIXED + n_numeric + f] += tables.item_numeric[item, f] * click[k]
    size = max(shown, 1)
    row[0] = 1.0
    row[1] = np.log1p(clicks)
    row[2] = 1.0 if clicks > 0 else 0.0
    row[3] = 1.0 if purchases > 0 else 0.0
    row[4] = relevance_sum / size
    row[5] = relevance_best
    row[6] = repeats / size
    row[7] = np.log1p(hidden[cols.clicks] + clicks)
    row[8] = np.log1p(0.0 if clicks > 0 else hidden[cols.dry_pages] + 1.0)
    row[9] = np.log1p(step)
    row[10] = step
    for j in range(N_PROMISE):
        row[11 + j] = hidden[cols.promise + j]
    for f in range(n_numeric):
        row[N_PAGE_FIXED + f] /= size
        row[N_PAGE_FIXED + n_numeric + f] /= max(clicks, 1)
    at = N_PAGE_FIXED + 2 * n_numeric
    for c in range(context.shape[0]):
        row[at + c] = context[c]


@Twin
def note_promise(hidden: Any, items: Any, logits: Any, click: Any, chance: Any, cols: Any) -> None:
    """Enter how appealing a page (B, K) is to its users into the record, before they decide whether to go on.

    The columns: the logit of the mean chance of a click given a look; the chance of a purchase summed over what was
    clicked; and both summed over the pages before, the first as its distance from a usual page. `logits` (B, K) are
    those of a click, `chance` (B, K) that of a purchase given a click.
    """
    for b in prange(items.shape[0]):
        h = hidden[b]
        at = cols.promise
        if h[cols.shown] > 0:
            h[at + 2] += h[at] - _USUAL
            h[at + 3] += h[at + 1]
        total = 0.0
        hope = 0.0
        shown = 0
        for k in range(items.shape[1]):
            if items[b, k] < 0:
                continue
            total += sigmoid(logits[b, k])
            shown += 1
            if click[b, k]:
                hope += chance[b, k]
        mean = min(max(total / max(shown, 1), 1e-4), 1.0 - 1e-4)
        h[at] = np.log(mean / (1.0 - mean))
        h[at + 1] = hope


@Twin
def page_rows(
    out: Any,
    items: Any,
    click: Any,
    purchase: Any,
    query: Any,
    step: Any,
    context: Any,
    hidden: Any,
    tables: Any,
    cols: Any,
) -> None:
    """Rows (B, PP) of answered pages."""
    for b in prange(items.shape[0]):
        fill_page_row(
            out[b], items[b], click[b], purchase[b], query[b], step[b], context[b], hidden[b], tables, cols
        )


@Twin
def remember(hidden: Any, items: Any, click: Any, purchase: Any, item_vectors: Any, cols: Any) -> None:
    """Enter an answered page into the record of the session."""
    for b in prange(items.shape[0]):
        clicks = 0
        for k in range(items.shape[1]):
            item = items[b, k]
            if item < 0:
                continue
            into = cols.ignored_sum
            mark = 0
            if click[b, k]:
                into = cols.clicked_sum
                clicks += 1
                mark = 1
                if purchase[b, k]:
                    mark = 2
                    hidden[b, cols.purchases] += 1
            for d in range(item_vectors.shape[1]):
                hidden[b, into + d] += item_vectors[item, d]
            slot = int(hidden[b, cols.shown]) % cols.ring_size
            hidden[b, cols.ring_item + slot] = item
            hidden[b, cols.ring_mark + slot] = mark
            hidden[b, cols.shown] += 1
        hidden[b, cols.clicks] += clicks
        if clicks > 0:
            hidden[b, cols.dry_pages] = 0
        else:
            hidden[b, cols.dry_pages] += 1
