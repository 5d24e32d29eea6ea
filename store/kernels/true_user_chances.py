"""How probable an answer of the true user was, and what state it may have left behind.

Which positions were looked at is not told, but it moves interest, satisfaction and fatigue. Its exact sum has 2^(K - 1)
terms for a page of K, so it is estimated: `PATHS` ways of reading the page are drawn, position by position, from what
the user would do there given whether a click was seen (the optimal proposal of a particle filter; Doucet, Godsill and
Andrieu, "On sequential Monte Carlo sampling methods for Bayesian filtering", 2000). Each is weighed by the product of
its one-step probabilities of what was seen. The mean weight estimates the probability without bias, whatever the
number of paths; the state goes on from one path, drawn by its weight, so that states weighed by the estimates have the
exact posterior law in the limit (pseudo-marginal; Andrieu and Roberts 2009; Fearnhead, Papaspiliopoulos and Roberts
2008 for filters).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.rng import Purpose, uniform
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
from store.kernels.layout import Hidden

__all__ = ["PATHS", "absorb", "context_log_density"]

PATHS = 2
"""Ways of reading a page that are drawn for one guess of a user."""
_KEY = 0x54727565  # of the streams below; they are told apart by user and step
_STREAM = int(Purpose.PLANNER)  # no simulator draws from it
_LEAST = 1e-300


@njit(cache=True)
def _listed(table: Any, q: Any, wanted: Any) -> Any:
    """Probability that `wanted` is picked from the list of `q` (weights 1, 1/2, 1/3, ...); -1 where it is empty."""
    total, own = 0.0, 0.0
    for j in range(table.shape[1]):
        if table[q, j] < 0:
            break
        total += 1.0 / (1.0 + j)
        if table[q, j] == wanted:
            own += 1.0 / (1.0 + j)
    return own / total if total > 0.0 else -1.0


@njit(cache=True)
def _share(cumulative: Any, q: Any) -> Any:
    return cumulative[q] - (cumulative[q - 1] if q > 0 else 0.0)


@njit(cache=True)
def _needed(shop: Any, department: Any, q: Any) -> Any:
    """Probability that a new need is `q`."""
    return 0.65 * _share(shop.need[department], q) + 0.35 * _share(shop.need[shop.need.shape[0] - 1], q)


@njit(cache=True)
def _asked(shop: Any, department: Any, q: Any, bought: Any, interest: Any, after: Any) -> Any:
    """Probability that the query `after` follows `q`, as `_next_query` of `store.kernels.true_user` draws it."""
    home = 1.0 if after == 0 else 0.0
    if bought:
        found, anew = 0.1 * home, 0.3
        goes_with = _listed(shop.complement, q, after)
        if goes_with >= 0.0:
            found += 0.6 * goes_with
        else:
            anew += 0.6
        return found + anew * _needed(shop, department, after)
    stay = 0.10 + 0.25 * interest
    refine = 0.45 - 0.15 * interest
    found, anew = 0.05 * home, 0.75 - stay - refine
    if after == q:
        found += stay
    refined, near = _listed(shop.refine, q, after), _listed(shop.related, q, after)
    if refined >= 0.0:
        found += refine * refined
    else:
        anew += refine
    if near >= 0.0:
        found += 0.2 * near
    else:
        anew += 0.2
    return found + anew * _needed(shop, department, after)


@njit(cache=True)
def _absorb_one(
    law: Any,
    shop: Any,
    user: Any,
    step: Any,
    q: Any,
    h: Any,
    slate: Any,
    click: Any,
    purchase: Any,
    left: Any,
    after: Any,
) -> Any:
    """Advance one user's hidden state by an answer; gives the estimated log-probability of it, and of its clicks."""
    size, end, last = slate.shape[0], slate.shape[0], -1
    before = np.float64(h[Hidden.SATISFACTION])
    logit, relevance = np.empty(size, np.float64), np.empty(size, np.float64)
    clicks, bought, disappointment, delight, log_bought = 0, 0, 0.0, 0.0, 0.0
    for k in range(size):  # what does not depend on the way of reading
        i = slate[k]
        if i < 0:
            end = k
            break
        u_click, u_purchase, taste = item_logits(law, shop, h, q, i)
        logit[k], relevance[k] = u_click, np.float64(shop.relevance[q, i])
        if not click[k]:
            continue
        last = k
        clicks += 1
        joy = joy_of(law, shop, i, taste, relevance[k])
        delight += joy
        disappointment += max(-joy, 0.0)
        chance = sigmoid(u_purchase)
        log_bought += math.log(max(chance if purchase[k] else 1.0 - chance, _LEAST))
        if purchase[k]:
            bought += 1
            buy(shop, h, i)
    remember(h, slate)
    department, tired = int(h[Hidden.DEPARTMENT]), h[Hidden.FATIGUE]
    weight, satisfaction = np.empty(PATHS, np.float64), np.empty(PATHS, np.float64)
    of_clicks = np.empty(PATHS, np.float64)
    fatigue = np.empty(PATHS, h.dtype)
    for p in range(PATHS):
        interest, looked, seen, total = 0.15, 0, 0.0, 0.0
        anchor, anchor_kind = 0.0, -1
        h[Hidden.FATIGUE] = tired
        for k in range(end):
            i = slate[k]
            go_on, skip, same = 1.0, 0.0, shop.item_kind[i] == anchor_kind
            if k > 0:
                go_on = going_on(law, h, before, interest, looked)
                skip = min(max(skipping(law, h, same, interest), 0.0), 1.0)
            u_click = logit[k]
            if same:
                u_click -= contrast(law, shop.item_price[i], anchor)
            p_click = sigmoid(u_click)
            if click[k]:
                total += math.log(max(go_on * (1.0 - skip) * p_click, _LEAST))
            else:
                looks, skips = go_on * (1.0 - skip) * (1.0 - p_click), go_on * skip
                stops = 1.0 - go_on if k > last else 0.0
                chance = looks + skips + stops
                total += math.log(max(chance, _LEAST))
                mark = chance * uniform(_KEY, user, step, _STREAM, p * size + k)
                if mark < stops:
                    break
                if mark < stops + skips:
                    continue
            looked += 1
            seen += relevance[k]
            anchor, anchor_kind = np.float64(shop.item_price[i]), shop.item_kind[i]
            interest = 0.6 * interest + 0.4 * p_click
        of_clicks[p] = total
        total += log_bought
        satisfaction[p] = satisfied(law, before, delight, seen, looked)
        tire(law, h, looked)
        fatigue[p] = h[Hidden.FATIGUE]
        gone = leaving(law, h, satisfaction[p], disappointment, bought)
        total += math.log(max(gone if left else 1.0 - gone, _LEAST))
        if not left:
            asked = _asked(shop, department, q, bought > 0, min(1.0, 0.3 * clicks + interest), after)
            total += math.log(max(asked, _LEAST))
        weight[p] = total
    top = weight.max()
    whole = np.exp(weight - top).sum()
    mark, chosen = whole * uniform(_KEY, user, step, _STREAM, PATHS * size), 0
    for p in range(PATHS):
        chosen = p
        mark -= math.exp(weight[p] - top)
        if mark < 0.0:
            break
    h[Hidden.SATISFACTION], h[Hidden.FATIGUE] = satisfaction[chosen], fatigue[chosen]
    best = of_clicks.max()
    return top + math.log(whole / PATHS), best + math.log(np.exp(of_clicks - best).sum() / PATHS)


@Twin
def absorb(
    law: Any,
    shop: Any,
    users: Any,  # (B,)
    steps: Any,  # (B,) advanced
    query: Any,  # (B,) advanced
    context: Any,  # (B, F) advanced
    hidden: Any,  # (B, L) advanced
    slates: Any,  # (B, K)
    click: Any,
    purchase: Any,
    left: Any,  # (B,)
    next_query: Any,
    next_context: Any,
    out: Any,  # (B, 2) log-probability of the answer, and of its clicks alone
) -> None:
    """Advance B users by a given answer, and estimate how probable it was."""
    for b in prange(users.shape[0]):
        out[b, 0], out[b, 1] = _absorb_one(
            law,
            shop,
            users[b],
            steps[b],
            query[b],
            hidden[b],
            slates[b],
            click[b],
            purchase[b],
            left[b],
            next_query[b],
        )
        query[b] = next_query[b]
        for f in range(context.shape[1]):
            context[b, f] = next_context[b, f]
        steps[b] += 1


@njit(cache=True)
def _below(x: Any) -> Any:
    """The standard normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


@Twin
def context_log_density(
    shop: Any,
    query: Any,  # (B,) the first one, as it was asked
    own: Any,  # (B, F) the context with which these users were made
    hidden: Any,  # (B, L) as they were made
    context: Any,  # (B, F) the one that was seen
    out: Any,  # (B,)
) -> None:
    """Log-density of a first context and query for users as they are made, up to a constant."""
    n_departments = shop.department_share.shape[0]
    for b in prange(query.shape[0]):
        h, department = hidden[b], int(hidden[b, Hidden.DEPARTMENT])
        tier, mobile, spending = n_departments, n_departments + 2, n_departments + 3
        density = 0.0
        if (
            own[b, mobile] != context[b, mobile]
        ):  # the device shows in patience: a user of the other is another
            density = -1e6
        history = 0.35 / n_departments + (0.65 if context[b, department] > 0.5 else 0.0)
        high, low = (
            _below((0.7 - h[Hidden.PATIENCE]) / 0.5),
            _below((0.0 - h[Hidden.PATIENCE]) / 0.5),
        )
        if context[b, tier] > 0.5:
            loyal = 1.0 - high
        elif context[b, tier + 1] > 0.5:
            loyal = high - low
        else:
            loyal = low
        first = 0.9 * _needed(shop, department, query[b]) + (0.1 if query[b] == 0 else 0.0)
        off = (context[b, spending] - 2.0 * h[Hidden.REFERENCE]) / 0.7
        out[b] = (
            density
            + math.log(history)
            + math.log(max(loyal, 1e-12))
            + math.log(max(first, 1e-12))
            - 0.5 * off * off
        )
