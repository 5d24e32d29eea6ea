"""The true user of the demo store, one user at a time: who arrives, how a page is read, what comes next.

No part of this is position-based, cascade or logistic in public features. The reading of a page is a walk with
skips whose length depends on what was seen; an item's appeal depends on its neighbours above, on a private
reference price and on all that was shown before; satisfaction, moved by what a click revealed, drives attention
and leaving. The same Python functions are compiled twice, serially and in parallel over users.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.rng import Purpose, normal, uniform
from simulators.kernels.twins import Twin
from store.kernels.law import (
    buy,
    contrast,
    going_on,
    item_logits,
    joy_of,
    leaving,
    remember,
    satisfied,
    sigmoid,
    skipping,
    tire,
)
from store.kernels.layout import BOUGHT, PEOPLE, RING, STYLE, VISITS, Hidden

__all__ = ["appeal", "begin", "respond"]


@njit(cache=True)
def _draw(seed: Any, user: Any, step: Any, index: Any) -> Any:
    return uniform(seed, user, step, Purpose.TRUE_USER, index)


@njit(cache=True)
def _gauss(seed: Any, user: Any, index: Any) -> Any:
    return normal(seed, user, 0, Purpose.POPULATION, index)


@njit(cache=True)
def _find(cumulative: Any, u: Any) -> Any:
    """First index whose cumulative share exceeds `u`, by bisection."""
    low, high = 0, cumulative.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > u:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True)
def _pick(table: Any, q: Any, u: Any) -> Any:
    """One of the queries listed for `q`, the first the likeliest (weights 1, 1/2, 1/3, ...); -1 if none."""
    total = 0.0
    for j in range(table.shape[1]):
        if table[q, j] < 0:
            break
        total += 1.0 / (1.0 + j)
    mark = u * total
    for j in range(table.shape[1]):
        if table[q, j] < 0:
            break
        mark -= 1.0 / (1.0 + j)
        if mark <= 0.0:
            return table[q, j]
    return -1


@njit(cache=True)
def _new_need(shop: Any, h: Any, u: Any, v: Any) -> Any:
    row = shop.need.shape[0] - 1
    if u < 0.65:
        row = int(h[Hidden.DEPARTMENT])
    return _find(shop.need[row], v)


@njit(cache=True)
def _next_query(shop: Any, h: Any, q: Any, bought: Any, interest: Any, u: Any, v: Any, w: Any) -> Any:
    """After a purchase what goes with it; else refine, look around, or come up with something new."""
    found = -1
    if bought:
        if u < 0.6:
            found = _pick(shop.complement, q, v)
        elif u < 0.7:
            return 0
    else:
        stay = 0.10 + 0.25 * interest
        refine = stay + 0.45 - 0.15 * interest
        if u < stay:
            return q
        if u < refine:
            found = _pick(shop.refine, q, v)
        elif u < refine + 0.2:
            found = _pick(shop.related, q, v)
        elif u < refine + 0.25:
            return 0
    if found >= 0:
        return found
    return _new_need(shop, h, w, v)


@njit(cache=True)
def _begin_one(b: Any, shop: Any, users: Any, seed: Any, query: Any, context: Any, hidden: Any) -> None:
    user = users[b]
    person = user % PEOPLE if user < VISITS else user
    h = hidden[b]
    n_departments = shop.department_share.shape[0]
    # The person: the same on every visit.
    h[Hidden.PATIENCE] = 0.45 * _gauss(seed, person, 0)
    h[Hidden.PRICE_PAIN] = math.exp(0.5 * _gauss(seed, person, 1))
    h[Hidden.REFERENCE] = 0.35 * _gauss(seed, person, 2)
    h[Hidden.SKIP] = 0.06 + 0.30 * uniform(seed, person, 0, Purpose.POPULATION, 100)
    h[Hidden.HYPE] = math.exp(0.4 * _gauss(seed, person, 3))
    department = _find(shop.department_share, uniform(seed, person, 0, Purpose.POPULATION, 101))
    h[Hidden.DEPARTMENT] = department
    brands = shop.department_brands.shape[1]
    for j in range(2):
        pick = int(uniform(seed, person, 0, Purpose.POPULATION, 102 + j) * brands)
        h[Hidden.BRAND_A + j] = shop.department_brands[department, pick]
    for d in range(STYLE):
        h[Hidden.TASTE + d] = _gauss(seed, person, 10 + d)
    # The visit: its mood, its device, its first need.
    mobile = 1.0 if _draw(seed, user, 0, 0) < 0.5 - 0.25 * math.tanh(h[Hidden.PATIENCE]) else 0.0
    h[Hidden.PATIENCE] += 0.25 * normal(seed, user, 0, Purpose.POPULATION, 60) - 0.15 * mobile
    h[Hidden.SKIP] += 0.06 * mobile
    h[Hidden.SATISFACTION] = 0.25 * normal(seed, user, 0, Purpose.POPULATION, 61)
    for j in range(BOUGHT):
        h[Hidden.BOUGHT + j] = -1.0
    for j in range(RING):
        h[Hidden.SEEN + j] = -1.0
    query[b] = 0
    if uniform(seed, user, 0, Purpose.FIRST_QUERY, 0) > 0.1:
        query[b] = _new_need(
            shop,
            h,
            uniform(seed, user, 0, Purpose.FIRST_QUERY, 1),
            uniform(seed, user, 0, Purpose.FIRST_QUERY, 2),
        )
    # What the shop knows: past department (often right), loyalty, device, spending.
    history = department
    if uniform(seed, person, 0, Purpose.POPULATION, 104) < 0.35:
        history = int(uniform(seed, person, 0, Purpose.POPULATION, 105) * n_departments)
    context[b, history] = 1.0
    loyalty = h[Hidden.PATIENCE] + 0.5 * _gauss(seed, person, 4)
    context[b, n_departments] = 1.0 if loyalty > 0.7 else 0.0
    context[b, n_departments + 1] = 1.0 if 0.0 < loyalty <= 0.7 else 0.0
    context[b, n_departments + 2] = mobile
    context[b, n_departments + 3] = 2.0 * h[Hidden.REFERENCE] + 0.7 * _gauss(seed, person, 5)


@njit(cache=True)
def _respond_one(
    b: Any,
    law: Any,
    shop: Any,
    users: Any,
    steps: Any,
    query: Any,
    hidden: Any,
    slates: Any,
    seed: Any,
    click: Any,
    purchase: Any,
    left: Any,
) -> None:
    user, step, h, q = users[b], steps[b], hidden[b], query[b]
    K = slates.shape[1]
    interest, looked, clicks, bought, disappointment, delight = 0.15, 0, 0, 0, 0.0, 0.0
    seen_relevance = 0.0
    anchor, anchor_kind = 0.0, -1  # price and kind of the last thing looked at
    satisfaction = np.float64(h[Hidden.SATISFACTION])
    for k in range(K):
        i = slates[b, k]
        if i < 0:
            break
        if k > 0:
            if _draw(seed, user, step, 8 * k) > going_on(law, h, satisfaction, interest, looked):
                break
            if _draw(seed, user, step, 8 * k + 1) < skipping(
                law, h, shop.item_kind[i] == anchor_kind, interest
            ):
                continue
        looked += 1
        u_click, u_purchase, taste = item_logits(law, shop, h, q, i)
        r = np.float64(shop.relevance[q, i])
        seen_relevance += r
        if shop.item_kind[i] == anchor_kind:
            u_click -= contrast(law, shop.item_price[i], anchor)
        anchor, anchor_kind = np.float64(shop.item_price[i]), shop.item_kind[i]
        p_click = sigmoid(u_click)
        interest = 0.6 * interest + 0.4 * p_click
        if _draw(seed, user, step, 8 * k + 2) >= p_click:
            continue
        click[b, k] = 1
        clicks += 1
        joy = joy_of(law, shop, i, taste, r)
        delight += joy
        disappointment += max(-joy, 0.0)
        if _draw(seed, user, step, 8 * k + 3) < sigmoid(u_purchase):
            purchase[b, k] = 1
            bought += 1
            buy(shop, h, i)
    remember(h, slates[b])
    satisfaction = satisfied(law, satisfaction, delight, seen_relevance, looked)
    h[Hidden.SATISFACTION] = satisfaction
    tire(law, h, looked)
    # 65,000 and up: beyond the numbers of any position.
    left[b] = _draw(seed, user, step, 65000) < leaving(law, h, satisfaction, disappointment, bought)
    query[b] = _next_query(
        shop,
        h,
        q,
        bought > 0,
        min(1.0, 0.3 * clicks + interest),
        _draw(seed, user, step, 65001),
        _draw(seed, user, step, 65002),
        _draw(seed, user, step, 65003),
    )
    steps[b] += 1


@njit(cache=True)
def _appeal_one(
    b: Any, law: Any, shop: Any, query: Any, hidden: Any, items: Any, click: Any, purchase: Any
) -> None:
    for m in range(items.shape[1]):
        if items[b, m] >= 0:
            u_click, u_purchase, _ = item_logits(law, shop, hidden[b], query[b], items[b, m])
            click[b, m] = sigmoid(u_click)
            purchase[b, m] = sigmoid(u_purchase)


def _begin(shop: Any, users: Any, seed: Any, query: Any, context: Any, hidden: Any) -> None:
    for b in prange(users.shape[0]):
        _begin_one(b, shop, users, seed, query, context, hidden)


def _respond(
    law: Any,
    shop: Any,
    users: Any,
    steps: Any,
    query: Any,
    hidden: Any,
    slates: Any,
    seed: Any,
    click: Any,
    purchase: Any,
    left: Any,
) -> None:
    for b in prange(users.shape[0]):
        _respond_one(b, law, shop, users, steps, query, hidden, slates, seed, click, purchase, left)


def _appeal(law: Any, shop: Any, query: Any, hidden: Any, items: Any, click: Any, purchase: Any) -> None:
    for b in prange(items.shape[0]):
        _appeal_one(b, law, shop, query, hidden, items, click, purchase)


begin = Twin(_begin)
respond = Twin(_respond)
appeal = Twin(_appeal)
