"""Where things lie in what the shopper's kernels read: constants, traits of items, hidden columns, tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONSTANTS", "N_CONTEXT", "N_SCALARS", "N_TRAITS", "SCALARS", "ShopperTables"]

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
    CLICK_BIAS,
    QUERY_FIT,
    TASTE_FIT,
    LURE_FIT,
    PRICE_DISLIKE,
    BOREDOM,
    AFTER_CLICK,
    AFTER_SKIP,
    CONTENT_BIAS,
    CONTENT_QUALITY,
    PURCHASE_BIAS,
    PURCHASE_TASTE,
    PURCHASE_NEED,
    PURCHASE_WORTH,
    PURCHASE_QUALITY,
    PURCHASE_PRICE,
    CHECKOUT_BIAS,
    CHECKOUT_INTENT,
    TASTE_MIX,
    SENSITIVITY_SPREAD,
    PATIENCE_SPREAD,
    CONTEXT_NOISE,
    BOREDOM_MEMORY,
    CLICK_JOY,
    QUALITY_JOY,
    PURCHASE_JOY,
    PAGE_COST,
    ANNOYANCE,
    SATISFACTION_MEMORY,
    DRIFT,
    INTENT_MEMORY,
    INTENT_CLICK,
    INTENT_QUALITY,
    INTENT_PURCHASE,
    LEAVE_BIAS,
    LEAVE_SATISFACTION,
    RETURN_BIAS,
    RETURN_SATISFACTION,
    RETURN_MEMORY,
    MEAN_DAYS,
    NEW_QUERY,
) = range(len(CONSTANTS))

# Columns of an item's traits.
PRICE, LURE, QUALITY, WORTH, GROUP = range(5)
N_TRAITS = 8
"""Width of an item's row of traits: half a cache line."""

SCALARS = ("sensitivity", "patience", "satisfaction", "intent", "visits", "need")
"""Hidden columns after the taste; boredom by group follows."""
SENSITIVITY, PATIENCE, SATISFACTION, INTENT, VISITS, NEED = range(6)
N_SCALARS = 6

N_CONTEXT = 4
"""Context: noisy log price sensitivity, log1p(visits before), log1p(days away), week / weeks."""


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
