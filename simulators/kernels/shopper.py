"""The shopper's session, one user at a time: arriving, and answering a page.

`begin_user` and `respond_user` are device functions: the batched kernels below call them, and so does the
environment's fused step, which therefore gives the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange

from simulators.kernels import shopper_layout as at
from simulators.kernels.clicks import draw_clicks
from simulators.kernels.device import device, inline_device
from simulators.kernels.rng import Purpose, uniform, uniform4
from simulators.kernels.tables import sigmoid
from simulators.kernels.twins import Twin
from simulators.kernels.vector import dot

__all__ = [
    "begin",
    "begin_user",
    "cart_chance",
    "checkout_chance",
    "click_logit",
    "come_back",
    "leave_chance",
    "look",
    "respond",
    "respond_user",
    "return_chance",
    "settle",
    "wish_of",
]

_POPULATION = int(Purpose.POPULATION)
_FIRST_QUERY = int(Purpose.FIRST_QUERY)
_PURCHASE_DRAW = int(Purpose.PURCHASE)
_LEAVE_DRAW = int(Purpose.LEAVE)
_NEXT_QUERY = int(Purpose.NEXT_QUERY)
_CHECKOUT = 32768
"""Index from which the numbers of purpose PURCHASE decide over checkouts."""
_DYNAMIC_BAYESIAN = 3  # ClickModel.DYNAMIC_BAYESIAN


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
    share = np.float32(0.5 * w[at.TASTE_MIX] * u2)
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
    log_sensitivity = w[at.SENSITIVITY_SPREAD] * z0
    for j in range(width, hidden.shape[0]):
        hidden[j] = 0.0
    hidden[width + at.SENSITIVITY] = math.exp(log_sensitivity)
    hidden[width + at.PATIENCE] = w[at.PATIENCE_SPREAD] * z1
    hidden[width + at.NEED] = _row_of(u3, n_personas)
    context[0] = log_sensitivity + w[at.CONTEXT_NOISE] * z2
    context[1] = 0.0
    context[2] = 0.0
    context[3] = _week(tables, user) / tables.n_weeks
    return _query_of(tables, user, uniform(seed, user, 0, _FIRST_QUERY, 0))


@device
def wish_of(tables: Any, query: Any, hidden: Any, wish: Any) -> None:
    """The vector (D,) whose product with an item is the fit to query and taste."""
    w = tables.constants
    width = tables.items.shape[1]
    to_query = np.float32(w[at.QUERY_FIT])
    to_taste = np.float32(w[at.TASTE_FIT])
    wanted = tables.queries[query]
    for d in range(width):
        wish[d] = to_query * wanted[d] + to_taste * hidden[d]


@inline_device
def click_logit(tables: Any, hidden: Any, wish: Any, item: Any) -> Any:
    """Logit of a click on `item` by a user who looks at it."""
    w = tables.constants
    width = tables.items.shape[1]
    trait = tables.traits[item]
    bored = hidden[width + at.N_SCALARS + np.int64(trait[at.GROUP])]
    return (
        w[at.CLICK_BIAS]
        + dot(wish[:width], tables.items[item])
        + w[at.LURE_FIT] * trait[at.LURE]
        - w[at.PRICE_DISLIKE] * hidden[width + at.SENSITIVITY] * trait[at.PRICE]
        - w[at.BOREDOM] * bored
    )


@inline_device
def cart_chance(tables: Any, hidden: Any, item: Any) -> Any:
    """Chance that a clicked item is put into the cart (bought at once, where checkout is certain)."""
    w = tables.constants
    width = tables.items.shape[1]
    trait = tables.traits[item]
    need = 0.0
    if w[at.PURCHASE_NEED] != 0.0:
        need = w[at.PURCHASE_NEED] * dot(
            tables.personas[np.int64(hidden[width + at.NEED])], tables.items[item]
        )
    return sigmoid(
        w[at.PURCHASE_BIAS]
        + need
        + w[at.PURCHASE_TASTE] * dot(hidden[:width], tables.items[item])
        + w[at.PURCHASE_WORTH] * trait[at.WORTH]
        + w[at.PURCHASE_QUALITY] * trait[at.QUALITY]
        - w[at.PURCHASE_PRICE] * hidden[width + at.SENSITIVITY] * trait[at.PRICE]
    )


@inline_device
def checkout_chance(tables: Any, hidden: Any) -> Any:
    """Chance that what is put into the cart is bought; 1 where there is no checkout."""
    w = tables.constants
    if w[at.CHECKOUT_BIAS] == np.inf:
        return 1.0
    return sigmoid(w[at.CHECKOUT_BIAS] + w[at.CHECKOUT_INTENT] * hidden[tables.items.shape[1] + at.INTENT])


@device
def look(tables: Any, hidden: Any, slate: Any, wish: Any, logits: Any, after_click: Any) -> None:
    """Logits (K,) and the chance to go on after a click (K,) of a page."""
    w = tables.constants
    for k in range(slate.shape[0]):
        item = slate[k]
        after_click[k] = w[at.AFTER_CLICK]
        if item < 0:
            logits[k] = -np.inf
            continue
        logits[k] = click_logit(tables, hidden, wish, item)
        if tables.model == _DYNAMIC_BAYESIAN:
            content = w[at.CONTENT_BIAS] + w[at.CONTENT_QUALITY] * tables.traits[item, at.QUALITY]
            after_click[k] = w[at.AFTER_SKIP] * (1.0 - sigmoid(content))


@device
def settle(tables: Any, hidden: Any, slate: Any, click: Any, purchase: Any) -> None:
    """What an answered page does to the user: boredom, satisfaction, intent, drift of taste."""
    w = tables.constants
    width = tables.items.shape[1]
    first_group = width + at.N_SCALARS
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
        group = first_group + np.int64(tables.traits[item, at.GROUP])
        annoyance += tables.exposure[k] * hidden[group]
        looked += tables.exposure[k]
        if click[k]:
            clicks += 1.0
            quality += tables.traits[item, at.QUALITY]
            purchases += purchase[k]
    joy = w[at.CLICK_JOY] * clicks + w[at.QUALITY_JOY] * quality + w[at.PURCHASE_JOY] * purchases
    fading = np.float32(w[at.BOREDOM_MEMORY])
    for j in range(first_group, hidden.shape[0]):
        hidden[j] *= fading
    for k in range(size):
        if slate[k] >= 0:
            hidden[first_group + np.int64(tables.traits[slate[k], at.GROUP])] += np.float32(
                tables.exposure[k]
            )
    hidden[width + at.SATISFACTION] = (
        w[at.SATISFACTION_MEMORY] * hidden[width + at.SATISFACTION]
        + joy
        - w[at.PAGE_COST]
        - w[at.ANNOYANCE] * (annoyance / looked if looked > 0.0 else 0.0)
    )
    hidden[width + at.INTENT] = (
        w[at.INTENT_MEMORY] * hidden[width + at.INTENT]
        + w[at.INTENT_CLICK] * clicks
        + w[at.INTENT_QUALITY] * quality
        - w[at.INTENT_PURCHASE] * purchases
    )
    if w[at.DRIFT] > 0.0 and clicks > 0.0:
        rate = np.float32(w[at.DRIFT])
        for k in range(size):
            if click[k]:
                item = slate[k]
                for d in range(width):
                    hidden[d] += rate * tables.items[item, d]
        _to_unit(hidden, width)


@inline_device
def leave_chance(tables: Any, hidden: Any) -> Any:
    """Chance that the user, as they are after a page, leaves."""
    w = tables.constants
    width = tables.items.shape[1]
    return sigmoid(
        w[at.LEAVE_BIAS]
        - w[at.LEAVE_SATISFACTION] * hidden[width + at.SATISFACTION]
        - hidden[width + at.PATIENCE]
    )


@inline_device
def return_chance(tables: Any, hidden: Any) -> Any:
    """Chance that a user who left comes back for another visit."""
    w = tables.constants
    if w[at.RETURN_BIAS] == -np.inf:
        return 0.0
    satisfaction = hidden[tables.items.shape[1] + at.SATISFACTION]
    return sigmoid(w[at.RETURN_BIAS] + w[at.RETURN_SATISFACTION] * satisfaction)


@device
def come_back(tables: Any, hidden: Any) -> None:
    """Begin another visit: what happened fades."""
    w = tables.constants
    width = tables.items.shape[1]
    hidden[width + at.VISITS] += 1.0
    hidden[width + at.INTENT] = 0.0
    fading = np.float32(w[at.RETURN_MEMORY])
    hidden[width + at.SATISFACTION] *= fading
    for j in range(width + at.N_SCALARS, hidden.shape[0]):
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
    wish_of(tables, query, hidden, wish)
    look(tables, hidden, slate, wish, logits, after_click)
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
    checkout = checkout_chance(tables, hidden)
    for k in range(size):
        cart[k] = 0
        purchase[k] = 0
        if click[k] and uniform(seed, user, step, _PURCHASE_DRAW, k) < cart_chance(tables, hidden, slate[k]):
            cart[k] = 1
            purchase[k] = checkout >= 1.0 or (
                uniform(seed, user, step, _PURCHASE_DRAW, _CHECKOUT + k) < checkout
            )
    settle(tables, hidden, slate, click, purchase)
    u_leave, u_return, u_days, _ = uniform4(seed, user, step, _LEAVE_DRAW, 0)
    left = u_leave < leave_chance(tables, hidden)
    u_new, u_query, _, _ = uniform4(seed, user, step, _NEXT_QUERY, 0)
    anew = u_new < w[at.NEW_QUERY]
    if left and u_return < return_chance(tables, hidden):
        left = False
        anew = True
        come_back(tables, hidden)
        days = 1.0 + math.floor(-math.log(u_days) * max(w[at.MEAN_DAYS] - 0.5, 0.0))
        if context.shape[0] == at.N_CONTEXT:  # a simulator around this one may tell less
            context[1] = math.log1p(hidden[tables.items.shape[1] + at.VISITS])
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
