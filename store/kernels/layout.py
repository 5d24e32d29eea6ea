"""What the true user's kernels work on: the hidden state, the constants, and the tables of the shop."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

__all__ = ["BOUGHT", "HIDDEN_SIZE", "PEOPLE", "RING", "STYLE", "VISITS", "Hidden", "Law", "ShopTables"]

STYLE = 8
"""Directions of taste."""
RING = 60
"""Shown items a user remembers."""
BOUGHT = 4
"""Bought kinds of product a user remembers."""
VISITS = 1_000_000
"""Users below this index are visits of the log: `person = user % PEOPLE`; above it everyone comes once."""
PEOPLE = 250_000


class Hidden(IntEnum):
    """Columns of the hidden state."""

    PATIENCE = 0
    PRICE_PAIN = 1
    REFERENCE = 2
    SATISFACTION = 3
    FATIGUE = 4
    SKIP = 5
    HYPE = 6
    DEPARTMENT = 7
    BRAND_A = 8
    BRAND_B = 9
    SHOWN = 10
    PURCHASES = 11
    TASTE = 12
    BOUGHT = 20
    SEEN = 24


HIDDEN_SIZE = int(Hidden.SEEN) + RING


class Law(NamedTuple):
    """The constants of the user, documented in `store.true_user.TrueUserConfig`."""

    click_base: float
    click_relevance: float
    click_taste: float
    click_brand: float
    click_rating: float
    click_hype: float
    click_department: float
    price_pain: float
    price_gain: float
    price_suspicion: float
    again_item: float
    again_brand: float
    again_kind: float
    already_bought: float
    contrast_dearer: float
    contrast_cheaper: float
    purchase_base: float
    purchase_relevance: float
    purchase_taste: float
    purchase_quality: float
    purchase_price: float
    purchase_hype: float
    purchase_satisfaction: float
    look_base: float
    look_patience: float
    look_satisfaction: float
    look_interest: float
    look_fatigue: float
    skip_dull: float
    delight_quality: float
    delight_taste: float
    delight_relevance: float
    delight_hype: float
    delight_speed: float
    page_expectation: float
    page_speed: float
    fatigue_look: float
    fatigue_page: float
    leave_base: float
    leave_fatigue: float
    leave_satisfaction: float
    leave_disappointment: float
    leave_purchase: float


class ShopTables(NamedTuple):
    """What the user knows of the shop; rows of `item_*` are catalogue rows, of `query_*` query rows."""

    relevance: Any  # (Q, I) float32 true relevance, 0..1
    item_style: Any  # (I, STYLE) float32
    item_price: Any  # (I,) float32 log price relative to its kind's median
    item_quality: Any  # (I,) float32 hidden quality
    item_hype: Any  # (I,) float32 hidden hype, >= 0
    item_rating: Any  # (I,) float32 standardised public rating
    item_brand: Any  # (I,) int32
    item_kind: Any  # (I,) int32 kind of product
    item_department: Any  # (I,) int32
    query_open: Any  # (Q,) bool: the query names no need (the recommendation page)
    refine: Any  # (Q, R) int32 further queries for the same need, -1 padding at the end
    related: Any  # (Q, R) int32 queries for a neighbouring need
    complement: Any  # (Q, R) int32 queries for what goes with it
    need: Any  # (G + 1, Q) float64 cumulative query frequency by department; the last row is everybody's
    department_share: Any  # (G,) float64 cumulative
    department_brands: Any  # (G, n) int32 brands to be fond of
