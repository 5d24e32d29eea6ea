"""The true user's law, part by part: how appealing an item is, how a page is read, what it leaves behind.

`store.kernels.true_user` draws by these, `store.kernels.true_user_chances` reckons with them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from store.kernels.layout import BOUGHT, RING, STYLE, Hidden

__all__ = [
    "buy",
    "contrast",
    "going_on",
    "item_logits",
    "joy_of",
    "leaving",
    "remember",
    "satisfied",
    "sigmoid",
    "skipping",
    "tire",
]


@njit(cache=True)
def sigmoid(x: Any) -> Any:
    """The logistic function."""
    return 1.0 / (1.0 + math.exp(-x))


@njit(cache=True)
def _taste(h: Any, style: Any, i: Any) -> Any:
    total = 0.0
    for d in range(STYLE):
        total += h[Hidden.TASTE + d] * style[i, d]
    return total


@njit(cache=True)
def item_logits(law: Any, shop: Any, h: Any, q: Any, i: Any) -> Any:
    """Logits of a click given a look and of a purchase given a click, on a neutral page; and the taste match."""
    r = np.float64(shop.relevance[q, i])
    taste = _taste(h, shop.item_style, i)
    fond = shop.item_brand[i] == h[Hidden.BRAND_A] or shop.item_brand[i] == h[Hidden.BRAND_B]
    brand = 1.0 if fond else 0.0
    # Price hurts faster than it pleases; far below the reference it raises suspicion.
    x = shop.item_price[i] - h[Hidden.REFERENCE]
    if x > 0.0:
        pain = h[Hidden.PRICE_PAIN] * x * math.sqrt(x)
        gain = 0.0
    else:
        pain = 0.0
        gain = min(-x, 0.7)
    suspicion = max(-x - 0.8, 0.0)
    # What was already on the pages of this session is less welcome.
    n_item, n_brand, n_kind = 0.0, 0.0, 0.0
    for j in range(min(int(h[Hidden.SHOWN]), RING)):
        other = int(h[Hidden.SEEN + j])
        if other == i:
            n_item += 1.0
        if shop.item_brand[other] == shop.item_brand[i]:
            n_brand += 1.0
        if shop.item_kind[other] == shop.item_kind[i]:
            n_kind += 1.0
    bought = 0.0
    for j in range(BOUGHT):
        if h[Hidden.BOUGHT + j] == shop.item_kind[i]:
            bought = 1.0
    tired = (
        law.again_item * min(n_item, 3.0)
        + law.again_brand * math.log1p(n_brand)
        + law.again_kind * math.log1p(n_kind)
        + law.already_bought * bought
    )
    home = 0.0
    if shop.query_open[q]:
        home = law.click_department * (0.75 if shop.item_department[i] == h[Hidden.DEPARTMENT] else -0.25)
    click = (
        law.click_base
        + law.click_relevance * r
        + (0.3 + 0.7 * r) * (law.click_taste * taste + law.click_brand * brand)
        + law.click_rating * shop.item_rating[i]
        + law.click_hype * h[Hidden.HYPE] * shop.item_hype[i]
        + home
        - law.price_pain * pain
        + law.price_gain * gain
        - law.price_suspicion * suspicion
        - tired
    )
    purchase = (
        law.purchase_base
        + law.purchase_relevance * r
        + law.purchase_taste * taste
        + law.purchase_quality * shop.item_quality[i]
        - law.purchase_price * (pain - 0.5 * gain)
        - law.purchase_hype * shop.item_hype[i]
        + law.purchase_satisfaction * h[Hidden.SATISFACTION]
        - 0.5 * tired
    )
    return click, purchase, taste


@njit(cache=True)
def contrast(law: Any, price: Any, anchor: Any) -> Any:
    """What an item loses beside the last one of its kind that was looked at, where that was cheaper."""
    x = price - anchor
    return law.contrast_dearer * max(x, 0.0) + law.contrast_cheaper * min(x, 0.0)


@njit(cache=True)
def going_on(law: Any, h: Any, satisfaction: Any, interest: Any, looked: Any) -> Any:
    """Probability of going on to the next position, after `looked` looks on this page."""
    return sigmoid(
        law.look_base
        + law.look_patience * h[Hidden.PATIENCE]
        + law.look_satisfaction * satisfaction
        + law.look_interest * (interest - 0.15)
        - law.look_fatigue * (h[Hidden.FATIGUE] + 0.12 * looked)
    )


@njit(cache=True)
def skipping(law: Any, h: Any, same_kind: Any, interest: Any) -> Any:
    """Probability of passing over a position: skips come in runs, more of what has just bored is passed over."""
    skip = h[Hidden.SKIP]
    if same_kind:
        skip += law.skip_dull * max(0.15 - interest, 0.0)
    return skip


@njit(cache=True)
def joy_of(law: Any, shop: Any, i: Any, taste: Any, r: Any) -> Any:
    """Delight (or, below 0, disappointment) after a click: it reveals quality, and whether the hype was hollow."""
    return math.tanh(
        law.delight_quality * shop.item_quality[i]
        + law.delight_taste * taste
        + law.delight_relevance * (r - 0.5)
        - law.delight_hype * shop.item_hype[i]
    )


@njit(cache=True)
def buy(shop: Any, h: Any, i: Any) -> None:
    """Remember that this kind of product was bought."""
    h[Hidden.BOUGHT + int(h[Hidden.PURCHASES]) % BOUGHT] = shop.item_kind[i]
    h[Hidden.PURCHASES] += 1.0


@njit(cache=True)
def remember(h: Any, slate: Any) -> None:
    """Remember the items (K,) of a page, whether they were looked at or not."""
    for k in range(slate.shape[0]):
        if slate[k] >= 0:
            h[Hidden.SEEN + int(h[Hidden.SHOWN]) % RING] = slate[k]
            h[Hidden.SHOWN] += 1.0


@njit(cache=True)
def satisfied(law: Any, satisfaction: Any, delight: Any, seen_relevance: Any, looked: Any) -> Any:
    """Satisfaction after a page."""
    page = seen_relevance / max(looked, 1) - law.page_expectation
    satisfaction += law.delight_speed * delight + law.page_speed * page
    return min(max(satisfaction, -2.5), 2.5)


@njit(cache=True)
def tire(law: Any, h: Any, looked: Any) -> None:
    """A page tires, more so the impatient."""
    h[Hidden.FATIGUE] += (law.fatigue_page + law.fatigue_look * looked) * math.exp(-h[Hidden.PATIENCE])


@njit(cache=True)
def leaving(law: Any, h: Any, satisfaction: Any, disappointment: Any, bought: Any) -> Any:
    """Probability of leaving after a page."""
    return sigmoid(
        law.leave_base
        + law.leave_fatigue * h[Hidden.FATIGUE]
        - law.leave_satisfaction * satisfaction
        + law.leave_disappointment * disappointment
        + law.leave_purchase * bought
    )
