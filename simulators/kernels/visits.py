"""What the clicks of a page and the end of a visit lead to: seconds on a product, and the days until the next visit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.rng import Purpose, normal, uniform
from simulators.kernels.session import fill_page_row, fill_row
from simulators.kernels.tables import sigmoid
from simulators.kernels.twins import Twin
from simulators.kernels.vector import dot

__all__ = ["MAX_POSITIONS", "come_back", "dwell_seconds", "visit_rows"]

MAX_POSITIONS = 1024
"""A position has 64 random numbers of the 2^16 of its page."""

_DWELL = int(Purpose.DWELL)
_RETURN = int(Purpose.RETURN)
_TRIES = 16


@njit(cache=True)
def _gamma(shape: Any, seed: Any, user: Any, step: Any, k: Any) -> Any:
    """One gamma number of scale 1.

    Source: Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26(3), 2000; shapes below 1
    by their section 6. One try in twenty at most is refused: that sixteen are has a chance below 1e-20.
    """
    raised = shape if shape >= 1.0 else shape + 1.0
    d = raised - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    found = d
    for j in range(_TRIES):
        at = (
            64 * k + 4 * j
        )  # try j: a normal from numbers 0 and 1, a uniform from number 2; 3 is for small shapes
        x = normal(seed, user, step, _DWELL, at // 2)
        v = (1.0 + c * x) ** 3
        if v > 0.0 and math.log(uniform(seed, user, step, _DWELL, at + 2)) < 0.5 * x * x + d * (
            1.0 - v + math.log(v)
        ):
            found = d * v
            break
    if shape < 1.0:
        found *= uniform(seed, user, step, _DWELL, 64 * k + 3) ** (1.0 / shape)
    return found


@Twin
def dwell_seconds(
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
    weights: Any,
    bought: Any,
    low: Any,
    high: Any,
    gamma: Any,
    form: Any,
    user: Any,
    seed: Any,
) -> None:
    """Seconds (B, K) on the clicked items, 0 elsewhere; see `simulators.parts.dwell.LinearDwell`."""
    for b in prange(items.shape[0]):
        row = np.empty(weights.shape[0], np.float32)
        for k in range(items.shape[1]):
            out[b, k] = 0.0
            if not click[b, k] or items[b, k] < 0:
                continue
            fill_row(row, items[b, k], query[b], step[b], context[b], hidden[b], tables, cols)
            place = min(max(dot(row, weights) + bought * purchase[b, k], low), high)
            if gamma:
                out[b, k] = math.exp(place) / form * _gamma(form, seed, user[b], step[b], k)
            else:
                out[b, k] = math.exp(place + form * normal(seed, user[b], step[b], _DWELL, 32 * k))


@njit(cache=True)
def _fill_visit_row(
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
    """The page row of the visit's last page, its constant overwritten with log1p(purchases of the visit)."""
    fill_page_row(row, items, click, purchase, query, step, context, hidden, tables, cols)
    bought = hidden[cols.purchases]
    for k in range(items.shape[0]):
        if items[k] >= 0:
            bought += purchase[k]
    row[0] = np.log1p(bought)


@Twin
def visit_rows(
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
    """Rows (B, PP) of visits that end with this page; `hidden` does not yet know the page."""
    for b in prange(items.shape[0]):
        _fill_visit_row(
            out[b], items[b], click[b], purchase[b], query[b], step[b], context[b], hidden[b], tables, cols
        )


@Twin
def come_back(
    chance: Any,
    days: Any,
    rows: Any,
    weights: Any,
    base: Any,
    edges: Any,
    user: Any,
    step: Any,
    seed: Any,
) -> None:
    """Chance (B,) of another visit before the last of `edges`, and when (B,) one comes, infinite for never.

    `base` (J,) are the logits of coming within each span between neighbouring `edges` (J + 1,), given not before.
    """
    for b in prange(rows.shape[0]):
        logit = dot(rows[b], weights)
        u = uniform(seed, user[b], step[b], _RETURN, 0)
        away = 1.0
        days[b] = np.inf
        for j in range(base.shape[0]):
            still = away * (1.0 - sigmoid(base[j] + logit))
            if still < u <= away:
                within = uniform(seed, user[b], step[b], _RETURN, 1)
                days[b] = edges[j] + within * (edges[j + 1] - edges[j])
            away = still
        chance[b] = 1.0 - away
