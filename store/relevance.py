"""True relevance of every product to every query, from structured attributes alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from store.products import Products
from store.queries import Want
from store.vocabulary import COLORS

__all__ = ["true_relevance"]

_SIBLING = 0.3
"""Another kind of product in a wanted category."""
_UNMET = 0.4
"""What is left of the right kind of product when no further wish is met."""


def true_relevance(
    products: Products, wants: tuple[Want, ...], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Graded relevance (Q, I) in [0, 1]: kind of product times how far the further wishes are met.

    The empty query's row is what the shop at large likes: departments differ in popularity, products in demand.
    """
    n_items = products.kind.shape[0]
    category = np.array([spec.category for spec in products.kinds])
    family = np.array([COLORS[color][0] for color in products.colors])
    relevance = np.zeros((len(wants), n_items), np.float32)
    for q, want in enumerate(wants):
        if want.query_kind == "home":
            relevance[q] = _home(products, rng)
            continue
        grade = np.ones(n_items)
        if want.kinds:
            wanted = np.isin(products.kind, want.kinds)
            sibling = np.isin(category, category[list(want.kinds)])[products.kind]
            # A purpose is served by several kinds of product, none of them exactly what was typed.
            grade = (
                np.where(wanted, 0.9, 0.0)
                if want.query_kind == "vague"
                else np.where(wanted, 1.0, np.where(sibling, _SIBLING, 0.0))
            )
        met = _met(products, want, family)
        if not want.kinds:
            grade *= met
        else:
            grade *= _UNMET + (1.0 - _UNMET) * met
        relevance[q] = grade
    return relevance


def _met(products: Products, want: Want, family: NDArray[np.str_]) -> NDArray[np.float64]:
    """Share of the further wishes (I,) that a product meets; a colour of the right family counts half."""
    wishes: list[NDArray[np.float64]] = []
    if want.colors:
        exact = np.isin(products.color, want.colors)
        near = np.isin(family[products.color], family[list(want.colors)])
        wishes.append(np.where(exact, 1.0, np.where(near, 0.5, 0.0)))
    if want.materials:
        wishes.append(np.isin(products.material, want.materials).astype(float))
    if want.attributes:
        wishes.append(np.isin(products.attribute, want.attributes).astype(float))
    if want.brands:
        wishes.append(np.isin(products.brand, want.brands).astype(float))
    if want.price:
        wishes.append(1.0 / (1.0 + np.exp(-4.0 * want.price * products.price_relative)))
    if not wishes:
        return np.ones(products.kind.shape[0])
    return np.asarray(np.mean(wishes, axis=0))


def _home(products: Products, rng: np.random.Generator) -> NDArray[np.float32]:
    n = int(products.department.max()) + 1
    popularity = rng.uniform(0.35, 0.65, n)[products.department]
    return np.asarray(popularity * (0.6 + 0.4 / (1.0 + np.exp(-1.5 * products.demand))), np.float32)
