"""Puts together what the true user knows of a shop: item properties, what is asked after what, who comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from store.kernels.layout import ShopTables

__all__ = ["build_shop_tables"]

_LISTED = 8
"""Queries kept per list of follow-ups."""


def build_shop_tables(
    *,
    relevance: NDArray[np.float32],
    style: NDArray[np.float32],
    price_relative: NDArray[np.float32],
    quality: NDArray[np.float32],
    hype: NDArray[np.float32],
    rating: NDArray[np.float64],
    brand: NDArray[np.int32],
    kind: NDArray[np.int32],
    kind_category: Sequence[str],
    department: NDArray[np.int32],
    frequency: NDArray[np.float64],
    complements: Mapping[str, Sequence[str]],
) -> ShopTables:
    """The true user's tables.

    Args:
        relevance: (Q, I).
        style: (I, STYLE).
        price_relative: (I,) log price over the kind's median, 0 where unknown.
        quality: (I,) hidden.
        hype: (I,) hidden.
        rating: (I,) public rating, nan where unknown.
        brand: (I,) codes.
        kind: (I,) codes of `kind_category`.
        kind_category: Category name by kind.
        department: (I,) codes from 0.
        frequency: (Q,) how often a query opens a new need; sums to 1.
        complements: What goes with a category; categories without an entry have no complement.
    """
    Q = relevance.shape[0]
    n_kinds, n_departments = len(kind_category), int(department.max()) + 1
    categories = sorted(set(kind_category))
    category_of = np.array([categories.index(name) for name in kind_category])
    mass = _shares(relevance, kind, n_kinds)  # (Q, kinds)
    by_category = _shares(relevance, category_of[kind].astype(np.int32), len(categories))
    goes_with = np.zeros((len(categories), len(categories)))
    for c, name in enumerate(categories):
        for weight, other in enumerate(complements.get(name, ())):
            if other in categories:
                goes_with[c, categories.index(other)] = 1.0 / (1.0 + weight)
    refine = _similarity(mass, mass)
    related = np.where(refine > 0.6, 0.0, _similarity(by_category, by_category))
    complement = _similarity(by_category @ goes_with, by_category)
    finite = rating[np.isfinite(rating)]
    spread = float(finite.std()) if finite.size and finite.std() > 0 else 1.0
    stars = np.nan_to_num((rating - (finite.mean() if finite.size else 0.0)) / spread, nan=0.0)
    by_department = _shares(relevance, department, n_departments)
    by_department = by_department * frequency[:, None]  # (Q, G)
    everyone = frequency[:, None]
    need = np.concatenate([by_department, everyone], axis=1).T
    empty = need.sum(axis=1) <= 0
    need[empty] = frequency
    need = np.cumsum(need / need.sum(axis=1, keepdims=True), axis=1)
    department_share = by_department.sum(axis=0) + 1e-9
    return ShopTables(
        relevance=np.ascontiguousarray(relevance, np.float32),
        item_style=np.ascontiguousarray(style, np.float32),
        item_price=np.ascontiguousarray(price_relative, np.float32),
        item_quality=np.ascontiguousarray(quality, np.float32),
        item_hype=np.ascontiguousarray(hype, np.float32),
        item_rating=stars.astype(np.float32),
        item_brand=np.ascontiguousarray(brand, np.int32),
        item_kind=np.ascontiguousarray(kind, np.int32),
        item_department=np.ascontiguousarray(department, np.int32),
        query_open=np.arange(Q) == 0,
        refine=_follow_ups(refine, frequency, 0.6),
        related=_follow_ups(related, frequency, 0.15),
        complement=_follow_ups(complement, frequency, 0.15),
        need=np.ascontiguousarray(need),
        department_share=np.cumsum(department_share / department_share.sum()),
        department_brands=_fond_of(brand, department, n_departments),
    )


def _shares(relevance: NDArray[np.float32], code: NDArray[np.int32], n: int) -> NDArray[np.float64]:
    """Each query's clear relevance by code, as shares (Q, n); the empty query's row is zero."""
    strong = np.where(relevance >= 0.35, relevance, 0.0)
    out = np.zeros((relevance.shape[0], n))
    for c in range(n):
        out[:, c] = strong[:, code == c].sum(axis=1, dtype=np.float64)
    out[0] = 0.0
    total = out.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(out, total, out=np.zeros_like(out), where=total > 0))


def _similarity(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine (Q, Q), zero on the diagonal. Rounded, since matrix products differ in the last bits by machine."""
    left = a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-12)
    right = b / np.maximum(np.linalg.norm(b, axis=1, keepdims=True), 1e-12)
    cosine = np.round(left @ right.T, 9)
    np.fill_diagonal(cosine, 0.0)
    return np.asarray(cosine)


def _follow_ups(
    similarity: NDArray[np.float64], frequency: NDArray[np.float64], least: float
) -> NDArray[np.int32]:
    """The likeliest follow-ups (Q, R): similar enough, often asked first."""
    weight = np.round(np.where(similarity >= least, similarity * np.sqrt(frequency)[None, :], 0.0), 12)
    n = min(_LISTED, weight.shape[1])
    order = np.argsort(-weight, axis=1, kind="stable")[:, :n]
    listed = np.take_along_axis(weight, order, axis=1) > 0
    return np.ascontiguousarray(np.where(listed, order, -1), np.int32)


def _fond_of(
    brand: NDArray[np.int32], department: NDArray[np.int32], n_departments: int
) -> NDArray[np.int32]:
    """Brands (G, n) of each department, repeated to equal width."""
    own = [np.unique(brand[department == g]) for g in range(n_departments)]
    width = max(1, *(len(brands) for brands in own))
    return np.stack([np.resize(b if len(b) else np.array([-2]), width) for b in own]).astype(np.int32)
