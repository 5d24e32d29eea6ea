"""The shopper's session, one user at a time: arriving, answering a page, and how probable an answer was.

`begin_user` and `respond_user` are device functions: the batched kernels below call them, and so does the
environment's fused step, which therefore gives the same bits.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from simulators.kernels.clicks import draw_clicks, log_probability
from simulators.kernels.device import device, inline_device
from simulators.kernels.rng import Purpose, uniform, uniform4
from simulators.kernels.tables import sigmoid
from simulators.kernels.twins import Twin
from simulators.kernels.vector import dot

__all__ = [
    "CONSTANTS",
    "N_CONTEXT",
    "N_SCALARS",
    "N_TRAITS",
    "SCALARS",
    "ShopperTables",
    "absorb",
    "appeal",
    "begin",
    "begin_user",
    "respond",
    "respond_user",
]

CONSTANTS = (
    "click_bias",
    "query_fit",
    "taste_fit",
    "lure_fit",
    "price_dislike",
    "boredom",
    "after_click",
    "after_skip",
    "content_bias",
    "content_quality",
    "purchase_bias",
    "purchase_taste",
    "purchase_need",
    "purchase_worth",
    "purchase_quality",
    "purchase_price",
    "checkout_bias",
    "checkout_intent",
    "taste_mix",
    "sensitivity_spread",
    "patience_spread",
    "context_noise",
    "boredom_memory",
    "click_joy",
    "quality_joy",
    "purchase_joy",
    "page_cost",
    "annoyance",
    "satisfaction_memory",
    "drift",
    "intent_memory",
    "intent_click",
    "intent_quality",
    "intent_purchase",
    "leave_bias",
    "leave_satisfaction",
    "return_bias",
    "return_satisfaction",
    "return_memory",
    "mean_days",
    "new_query",
)
"""The shopper's numbers in the order in which kernels read them; see `simulators.shopper.Shopper`."""

(
    _CLICK_BIAS,
    _QUERY_FIT,
    _TASTE_FIT,
    _LURE_FIT,
    _PRICE_DISLIKE,
    _BOREDOM,
    _AFTER_CLICK,
    _AFTER_SKIP,
    _CONTENT_BIAS,
    _CONTENT_QUALITY,
    _PURCHASE_BIAS,
    _PURCHASE_TASTE,
    _PURCHASE_NEED,
    _PURCHASE_WORTH,
    _PURCHASE_QUALITY,
    _PURCHASE_PRICE,
    _CHECKOUT_BIAS,
    _CHECKOUT_INTENT,
    _TASTE_MIX,
    _SENSITIVITY_SPREAD,
    _PATIENCE_SPREAD,
    _CONTEXT_NOISE,
    _BOREDOM_MEMORY,
    _CLICK_JOY,
    _QUALITY_JOY,
    _PURCHASE_JOY,
    _PAGE_COST,
    _ANNOYANCE,
    _SATISFACTION_MEMORY,
    _DRIFT,
    _INTENT_MEMORY,
    _INTENT_CLICK,
    _INTENT_QUALITY,
    _INTENT_PURCHASE,
    _LEAVE_BIAS,
    _LEAVE_SATISFACTION,
    _RETURN_BIAS,
    _RETURN_SATISFACTION,
    _RETURN_MEMORY,
    _MEAN_DAYS,
    _NEW_QUERY,
) = range(len(CONSTANTS))

# Columns of an item's traits.
_PRICE, _LURE, _QUALITY, _WORTH, _GROUP = range(5)
N_TRAITS = 8
"""Width of an item's row of traits: half a cache line."""

SCALARS = ("sensitivity", "patience", "satisfaction", "intent", "visits", "need")
"""Hidden columns after the taste; boredom by group follows."""
_SENSITIVITY, _PATIENCE, _SATISFACTION, _INTENT, _VISITS, _NEED = range(6)
N_SCALARS = 6

N_CONTEXT = 4
"""Context: noisy log price sensitivity, log1p(visits before), log1p(days away), week / weeks."""

_POPULATION = int(Purpose.POPULATION)
_FIRST_QUERY = int(Purpose.FIRST_QUERY)
_PURCHASE_DRAW = int(Purpose.PURCHASE)
_LEAVE_DRAW = int(Purpose.LEAVE)
_NEXT_QUERY = int(Purpose.NEXT_QUERY)
_CHECKOUT = 32768
"""Index from which the numbers of purpose PURCHASE decide over checkouts."""
_DYNAMIC_BAYESIAN = 3  # ClickModel.DYNAMIC_BAYESIAN


class ShopperTables(NamedTuple):
    """What the kernels read of a shop; all arrays C-contiguous."""

    items: NDArray[np.float32]  # (I, D) unit vectors
    traits: NDArray[np.float32]  # (I, 8) price, lure, quality, worth, group, 0, 0, 0
    queries: NDArray[np.float32]  # (Q, D) unit vectors
    personas: NDArray[np.float32]  # (P, D) unit vectors
    constants: NDArray[np.float64]  # (C,) in the order of CONSTANTS
    examination: NDArray[np.float64]  # (K,) chance that a position is looked at (position, multinomial)
    after_skip: NDArray[
        np.float64
    ]  # (K,) chance to go on after passing over (the models that look from the top)
    exposure: NDArray[np.float64]  # (K,) typical chance that a position is looked at, whatever the model
    model: int  # code of a ClickModel
    n_weeks: int
    users_per_week: int


@inline_device
def _row_of(u: Any, n: Any) -> Any:
    """A row 0 .. n-1 from a uniform number."""
    return min(np.int64(u * n), n - 1)


@inline_device
def _week(tables: Any, user: Any) -> Any:
    return (np.int64(user) // tables.users_per_week) % tables.n_weeks


@inline_device
def _query_of(tables: Any, user: Any, u: Any) -> Any:
    """A query of the user's week: queries lie in blocks, one a week."""
    size = tables.queries.shape[0] // tables.n_weeks
    return _week(tables, user) * size + _row_of(u, size)


@inline_device
def _to_unit(vector: Any, width: Any) -> None:
    square = dot(vector[:width], vector[:width])
    if square > 0.0:
        scale = np.float32(1.0) / np.float32(math.sqrt(square))
        for d in range(width):
            vector[d] *= scale


@device
def begin_user(tables: Any, user: Any, seed: Any, hidden: Any, context: Any) -> Any:
    """Write the hidden row and the context of `user` as they arrive; gives their first query.

    The taste is a mixture of two personas, the first weighing 1 - taste_mix/2 at least; what the user needs is a
    persona drawn apart from it.
    """
    w = tables.constants
    width = tables.items.shape[1]
    n_personas = tables.personas.shape[0]
    u0, u1, u2, u3 = uniform4(seed, user, 0, _POPULATION, 0)
    first = tables.personas[_row_of(u0, n_personas)]
    second = tables.personas[_row_of(u1, n_personas)]
    share = np.float32(0.5 * w[_TASTE_MIX] * u2)
    rest = np.float32(1.0) - share
    for d in range(width):
        hidden[d] = rest * first[d] + share * second[d]
    _to_unit(hidden, width)
    v0, v1, v2, v3 = uniform4(seed, user, 0, _POPULATION, 1)
    # Box-Muller: three standard normal numbers.
    radius = math.sqrt(-2.0 * math.log(v0))
    z0 = radius * math.cos(2.0 * math.pi * v1)
    z1 = radius * math.sin(2.0 * math.pi * v1)
    z2 = math.sqrt(-2.0 * math.log(v2)) * math.cos(2.0 * math.pi * v3)
    log_sensitivity = w[_SENSITIVITY_SPREAD] * z0
    for j in range(width, hidden.shape[0]):
        hidden[j] = 0.0
    hidden[width + _SENSITIVITY] = math.exp(log_sensitivity)
    hidden[width + _PATIENCE] = w[_PATIENCE_SPREAD] * z1
    hidden[width + _NEED] = _row_of(u3, n_personas)
    context[0] = log_sensitivity + w[_CONTEXT_NOISE] * z2
    context[1] = 0.0
    context[2] = 0.0
    context[3] = _week(tables, user) / tables.n_weeks
    return _query_of(tables, user, uniform(seed, user, 0, _FIRST_QUERY, 0))


@device
def _wish(tables: Any, query: Any, hidden: Any, wish: Any) -> None:
    """The vector (D,) whose product with an item is the fit to query and taste."""
    w = tables.constants
    width = tables.items.shape[1]
    to_query = np.float32(w[_QUERY_FIT])
    to_taste = np.float32(w[_TASTE_FIT])
    wanted = tables.queries[query]
    for d in range(width):
        wish[d] = to_query * wanted[d] + to_taste * hidden[d]


@inline_device
def _click_logit(tables: Any, hidden: Any, wish: Any, item: Any) -> Any:
    w = tables.constants
    width = tables.items.shape[1]
    trait = tables.traits[item]
    bored = hidden[width + N_SCALARS + np.int64(trait[_GROUP])]
    return (
        w[_CLICK_BIAS]
        + dot(wish[:width], tables.items[item])
        + w[_LURE_FIT] * trait[_LURE]
        - w[_PRICE_DISLIKE] * hidden[width + _SENSITIVITY] * trait[_PRICE]
        - w[_BOREDOM] * bored
    )


@inline_device
def _cart_chance(tables: Any, hidden: Any, item: Any) -> Any:
    """Chance that a clicked item is put into the cart (bought at once, where checkout is certain)."""
    w = tables.constants
    width = tables.items.shape[1]
    trait = tables.traits[item]
    need = 0.0
    if w[_PURCHASE_NEED] != 0.0:
        need = w[_PURCHASE_NEED] * dot(tables.personas[np.int64(hidden[width + _NEED])], tables.items[item])
    return sigmoid(
        w[_PURCHASE_BIAS]
        + need
        + w[_PURCHASE_TASTE] * dot(hidden[:width], tables.items[item])
        + w[_PURCHASE_WORTH] * trait[_WORTH]
        + w[_PURCHASE_QUALITY] * trait[_QUALITY]
        - w[_PURCHASE_PRICE] * hidden[width + _SENSITIVITY] * trait[_PRICE]
    )


@inline_device
def _checkout_chance(tables: Any, hidden: Any) -> Any:
    w = tables.constants
    if w[_CHECKOUT_BIAS] == np.inf:
        return 1.0
    return sigmoid(w[_CHECKOUT_BIAS] + w[_CHECKOUT_INTENT] * hidden[tables.items.shape[1] + _INTENT])


@device
def _look(tables: Any, hidden: Any, slate: Any, wish: Any, logits: Any, after_click: Any) -> None:
    """Logits (K,) and the chance to go on after a click (K,) of a page."""
    w = tables.constants
    for k in range(slate.shape[0]):
        item = slate[k]
        after_click[k] = w[_AFTER_CLICK]
        if item < 0:
            logits[k] = -np.inf
            continue
        logits[k] = _click_logit(tables, hidden, wish, item)
        if tables.model == _DYNAMIC_BAYESIAN:
            content = w[_CONTENT_BIAS] + w[_CONTENT_QUALITY] * tables.traits[item, _QUALITY]
            after_click[k] = w[_AFTER_SKIP] * (1.0 - sigmoid(content))


@device
def _settle(tables: Any, hidden: Any, slate: Any, click: Any, purchase: Any) -> None:
    """What an answered page does to the user: boredom, satisfaction, intent, drift of taste."""
    w = tables.constants
    width = tables.items.shape[1]
    first_group = width + N_SCALARS
    size = slate.shape[0]
    clicks = 0.0
    joy = 0.0
    quality = 0.0
    purchases = 0.0
    annoyance = 0.0
    looked = 0.0
    for k in range(size):
        item = slate[k]
        if item < 0:
            continue
        group = first_group + np.int64(tables.traits[item, _GROUP])
        annoyance += tables.exposure[k] * hidden[group]
        looked += tables.exposure[k]
        if click[k]:
            clicks += 1.0
            quality += tables.traits[item, _QUALITY]
            purchases += purchase[k]
    joy = w[_CLICK_JOY] * clicks + w[_QUALITY_JOY] * quality + w[_PURCHASE_JOY] * purchases
    fading = np.float32(w[_BOREDOM_MEMORY])
    for j in range(first_group, hidden.shape[0]):
        hidden[j] *= fading
    for k in range(size):
        if slate[k] >= 0:
            hidden[first_group + np.int64(tables.traits[slate[k], _GROUP])] += np.float32(tables.exposure[k])
    hidden[width + _SATISFACTION] = (
        w[_SATISFACTION_MEMORY] * hidden[width + _SATISFACTION]
        + joy
        - w[_PAGE_COST]
        - w[_ANNOYANCE] * (annoyance / looked if looked > 0.0 else 0.0)
    )
    hidden[width + _INTENT] = (
        w[_INTENT_MEMORY] * hidden[width + _INTENT]
        + w[_INTENT_CLICK] * clicks
        + w[_INTENT_QUALITY] * quality
        - w[_INTENT_PURCHASE] * purchases
    )
    if w[_DRIFT] > 0.0 and clicks > 0.0:
        rate = np.float32(w[_DRIFT])
        for k in range(size):
            if click[k]:
                item = slate[k]
                for d in range(width):
                    hidden[d] += rate * tables.items[item, d]
        _to_unit(hidden, width)


@inline_device
def _leave_chance(tables: Any, hidden: Any) -> Any:
    w = tables.constants
    width = tables.items.shape[1]
    return sigmoid(
        w[_LEAVE_BIAS] - w[_LEAVE_SATISFACTION] * hidden[width + _SATISFACTION] - hidden[width + _PATIENCE]
    )


@inline_device
def _return_chance(tables: Any, hidden: Any) -> Any:
    w = tables.constants
    if w[_RETURN_BIAS] == -np.inf:
        return 0.0
    satisfaction = hidden[tables.items.shape[1] + _SATISFACTION]
    return sigmoid(w[_RETURN_BIAS] + w[_RETURN_SATISFACTION] * satisfaction)


@device
def _come_back(tables: Any, hidden: Any) -> None:
    """Begin another visit: what happened fades."""
    w = tables.constants
    width = tables.items.shape[1]
    hidden[width + _VISITS] += 1.0
    hidden[width + _INTENT] = 0.0
    fading = np.float32(w[_RETURN_MEMORY])
    hidden[width + _SATISFACTION] *= fading
    for j in range(width + N_SCALARS, hidden.shape[0]):
        hidden[j] *= fading


@device
def respond_user(
    tables: Any,
    user: Any,
    step: Any,
    query: Any,
    seed: Any,
    slate: Any,  # (K,) catalogue rows, -1 empty
    hidden: Any,  # (L,) advanced
    context: Any,  # (F,) advanced
    click: Any,  # out (K,)
    cart: Any,  # out (K,)
    purchase: Any,  # out (K,)
    wish: Any,  # scratch (D,) float32
    logits: Any,  # scratch (K,) float64
    after_click: Any,  # scratch (K,) float64
) -> Any:
    """Show a page to one user: gives whether they left, and the next query."""
    w = tables.constants
    size = slate.shape[0]
    _wish(tables, query, hidden, wish)
    _look(tables, hidden, slate, wish, logits, after_click)
    draw_clicks(
        tables.model,
        size,
        logits,
        tables.examination,
        after_click,
        tables.after_skip,
        user,
        step,
        seed,
        click,
    )
    checkout = _checkout_chance(tables, hidden)
    for k in range(size):
        cart[k] = 0
        purchase[k] = 0
        if click[k] and uniform(seed, user, step, _PURCHASE_DRAW, k) < _cart_chance(tables, hidden, slate[k]):
            cart[k] = 1
            purchase[k] = checkout >= 1.0 or (
                uniform(seed, user, step, _PURCHASE_DRAW, _CHECKOUT + k) < checkout
            )
    _settle(tables, hidden, slate, click, purchase)
    u_leave, u_return, u_days, _ = uniform4(seed, user, step, _LEAVE_DRAW, 0)
    left = u_leave < _leave_chance(tables, hidden)
    u_new, u_query, _, _ = uniform4(seed, user, step, _NEXT_QUERY, 0)
    anew = u_new < w[_NEW_QUERY]
    if left and u_return < _return_chance(tables, hidden):
        left = False
        anew = True
        _come_back(tables, hidden)
        days = 1.0 + math.floor(-math.log(u_days) * max(w[_MEAN_DAYS] - 0.5, 0.0))
        context[1] = math.log1p(hidden[tables.items.shape[1] + _VISITS])
        context[2] = math.log1p(days)
    return left, (_query_of(tables, user, u_query) if anew else np.int64(query))


@Twin
def begin(tables: Any, user: Any, seed: Any, hidden: Any, context: Any, query: Any) -> None:
    """`begin_user` for B users."""
    for b in prange(user.shape[0]):
        query[b] = begin_user(tables, user[b], seed, hidden[b], context[b])


@Twin
def respond(
    tables: Any,
    user: Any,
    step: Any,
    query: Any,
    seed: Any,
    slates: Any,
    hidden: Any,
    context: Any,
    click: Any,
    cart: Any,
    purchase: Any,
    left: Any,
) -> None:
    """`respond_user` for B users; advances step, query, hidden and context in place."""
    size = slates.shape[1]
    for b in prange(user.shape[0]):
        wish = np.empty(tables.items.shape[1], np.float32)
        numbers = np.empty((2, size), np.float64)
        gone, following = respond_user(
            tables,
            user[b],
            step[b],
            query[b],
            seed,
            slates[b],
            hidden[b],
            context[b],
            click[b],
            cart[b],
            purchase[b],
            wish,
            numbers[0],
            numbers[1],
        )
        left[b] = gone
        query[b] = following
        step[b] += 1


@Twin
def appeal(tables: Any, query: Any, hidden: Any, shown: Any, click: Any, purchase: Any) -> None:
    """Click probability given examination, and purchase probability given a click, of `shown` (B, M); 0 at -1."""
    for b in prange(query.shape[0]):
        wish = np.empty(tables.items.shape[1], np.float32)
        _wish(tables, query[b], hidden[b], wish)
        checkout = _checkout_chance(tables, hidden[b])
        for m in range(shown.shape[1]):
            item = shown[b, m]
            if item < 0:
                click[b, m] = 0.0
                purchase[b, m] = 0.0
            else:
                click[b, m] = sigmoid(_click_logit(tables, hidden[b], wish, item))
                purchase[b, m] = checkout * _cart_chance(tables, hidden[b], item)


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
        _wish(tables, query[b], hidden[b], wish)
        _look(tables, hidden[b], slates[b], wish, numbers[0], numbers[1])
        total = log_probability(
            tables.model, size, numbers[0], tables.examination, numbers[1], tables.after_skip, click[b]
        )
        checkout = _checkout_chance(tables, hidden[b])
        for k in range(size):
            if click[b, k]:
                chance = checkout * _cart_chance(tables, hidden[b], slates[b, k])
                total += math.log(max(chance if purchase[b, k] else 1.0 - chance, 1e-300))
        _settle(tables, hidden[b], slates[b], click[b], purchase[b])
        leaving = _leave_chance(tables, hidden[b])
        returning = _return_chance(tables, hidden[b])
        back = not left[b] and next_context[b, 1] > context[b, 1]
        if left[b]:
            chance = leaving * (1.0 - returning)
        elif back:
            chance = leaving * returning
        else:
            chance = 1.0 - leaving
        total += math.log(max(chance, 1e-300))
        if back:
            _come_back(tables, hidden[b])
        query[b] = next_query[b]
        for f in range(context.shape[1]):
            context[b, f] = next_context[b, f]
        step[b] += 1
        out[b] = total
