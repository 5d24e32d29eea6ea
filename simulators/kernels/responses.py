"""The chances of a page after its clicks: purchases, leaving, the next query."""

from __future__ import annotations

from typing import Any

from numba import njit, prange

from simulators.kernels.rng import Purpose, uniform
from simulators.kernels.session import fill_page_row
from simulators.kernels.tables import sigmoid
from simulators.kernels.twins import Twin
from simulators.kernels.vector import dot

__all__ = ["leave", "logits_to_probability", "next_query", "purchases"]

_PURCHASE = int(Purpose.PURCHASE)
_LEAVE = int(Purpose.LEAVE)
_NEXT_QUERY = int(Purpose.NEXT_QUERY)


@Twin
def logits_to_probability(out: Any, logits: Any) -> None:
    """Logistic function of (B, M) logits; -inf gives 0."""
    for b in prange(logits.shape[0]):
        for m in range(logits.shape[1]):
            out[b, m] = sigmoid(logits[b, m])


@Twin
def purchases(purchase: Any, click: Any, chance: Any, user: Any, step: Any, seed: Any) -> None:
    """Buy a clicked item with its chance (B, K)."""
    for b in prange(click.shape[0]):
        for k in range(click.shape[1]):
            bought = click[b, k] and uniform(seed, user[b], step[b], _PURCHASE, k) < chance[b, k]
            purchase[b, k] = bought


@Twin
def leave(
    left: Any,
    items: Any,
    click: Any,
    purchase: Any,
    query: Any,
    step: Any,
    context: Any,
    hidden: Any,
    tables: Any,
    cols: Any,
    rows: Any,
    weights: Any,
    user: Any,
    seed: Any,
) -> None:
    """Leave with probability sigmoid(page row @ weights). `rows` (B, PP) is scratch space."""
    for b in prange(items.shape[0]):
        fill_page_row(
            rows[b], items[b], click[b], purchase[b], query[b], step[b], context[b], hidden[b], tables, cols
        )
        left[b] = uniform(seed, user[b], step[b], _LEAVE, 0) < sigmoid(dot(rows[b], weights))


@njit(cache=True)
def _first_above(cumulative: Any, start: Any, stop: Any, u: Any) -> Any:
    """Smallest index in [start, stop) whose cumulative value exceeds `u` (the last one, if none does)."""
    low, high = start, stop - 1
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > u:
            high = middle
        else:
            low = middle + 1
    return low


@Twin
def next_query(
    query: Any,
    click: Any,
    purchase: Any,
    stay: Any,
    row_start: Any,
    row_query: Any,
    row_cumulative: Any,
    row_trust: Any,
    frequency: Any,
    frequency_cumulative: Any,
    user: Any,
    step: Any,
    seed: Any,
) -> None:
    """Keep the query with chance stay[outcome]; else follow a logged transition, or the overall frequencies."""
    n_queries = frequency.shape[0]
    for b in prange(query.shape[0]):
        outcome = 0
        for k in range(click.shape[1]):
            if click[b, k] and outcome == 0:
                outcome = 1
            if purchase[b, k]:
                outcome = 2
        q = query[b]
        if n_queries < 2 or uniform(seed, user[b], step[b], _NEXT_QUERY, 0) < stay[outcome]:
            continue
        u = uniform(seed, user[b], step[b], _NEXT_QUERY, 2)
        if q >= 0 and uniform(seed, user[b], step[b], _NEXT_QUERY, 1) < row_trust[q]:
            query[b] = row_query[_first_above(row_cumulative, row_start[q], row_start[q + 1], u)]
        else:
            # Cut the current query out of the unit interval, so that the draw is of the others only.
            if q >= 0:
                u *= 1.0 - frequency[q]
                if u >= frequency_cumulative[q] - frequency[q]:
                    u += frequency[q]
            query[b] = _first_above(frequency_cumulative, 0, n_queries, u)
