"""`toy_world`: a generated shop of a thousand items, made in milliseconds; no data, no model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.features import CandidateTable, FeatureTables, RelevanceTables
from envs.world import World
from simulators.toy import ToySimulator, ToyUser

__all__ = ["toy_world"]

_ADJECTIVES = ("Red", "Blue", "Oak", "Steel", "Soft", "Small", "Large", "Light", "Classic", "Travel")
_NOUNS = ("chair", "lamp", "kettle", "jacket", "mug", "shelf", "boots", "blanket", "clock", "bag")


def toy_world(
    n_items: int = 1000,
    n_queries: int = 50,
    n_candidates: int = 50,
    seed: int = 0,
    *,
    width: int = 16,
    user: ToyUser | None = None,
) -> World:
    """A world of `n_items` items in ten categories, with a relevance model that is right only in part.

    Args:
        n_items: Catalogue items I.
        n_queries: Queries Q.
        n_candidates: Candidates N per query, the most relevant first.
        seed: Of the generated shop (not of its users).
        width: Vector width D.
        user: Constants of the toy user.

    Raises:
        InputError: Fewer items than candidates.
    """
    if not 0 < n_candidates <= n_items:
        raise InputError(
            f"n_candidates is {n_candidates}, but must lie between 1 and n_items = {n_items}",
            where="toy_world",
            mend="ask for fewer candidates or more items",
        )
    rng = np.random.default_rng(seed)
    n_categories = len(_NOUNS)
    category = rng.integers(0, n_categories, n_items).astype(np.int32)
    centres = rng.normal(size=(n_categories, width))
    item = _unit(centres[category] + 0.9 * rng.normal(size=(n_items, width)))
    query_category = rng.integers(0, n_categories, n_queries)
    query = _unit(centres[query_category] + 0.6 * rng.normal(size=(n_queries, width)))
    log_price = rng.normal(3.0, 0.6, n_items)
    price = np.round(np.exp(log_price), 2).astype(np.float32)
    standard_price = ((log_price - log_price.mean()) / (log_price.std() + 1e-9)).astype(np.float32)
    popularity = rng.beta(2.0, 18.0, n_items).astype(np.float32)

    # The public relevance model knows the query's fit but neither tastes nor boredom.
    constants = user or ToyUser()
    relevance = RelevanceTables(
        item=item,
        click_query=(constants.query_fit * query).astype(np.float32),
        purchase_query=np.zeros_like(query),
        click_bias=constants.click_bias,
        purchase_bias=constants.purchase_bias,
    )
    best = np.stack(
        [np.argsort(-(item @ vector), kind="stable")[:n_candidates].astype(np.int32) for vector in query]
    )
    scores = relevance.click_probability(np.arange(n_queries, dtype=np.int32), best)
    popularity_z = (popularity - popularity.mean()) / (popularity.std() + 1e-9)
    return World(
        simulator=ToySimulator(
            item_vectors=item, query_vectors=query, price=standard_price, category=category, user=user
        ),
        candidates=CandidateTable(
            items=best,
            scores=scores,
        ),
        features=FeatureTables(
            item_vectors=item,
            query_vectors=query,
            item_numeric=np.stack([standard_price, popularity_z.astype(np.float32)], axis=1),
            numeric_names=("log_price", "popularity"),
            item_category=category,
            n_categories=n_categories,
            price=price,
            popularity=popularity,
            relevance=relevance,
        ),
        titles=tuple(f"{_ADJECTIVES[i % len(_ADJECTIVES)]} {_NOUNS[c]} {i}" for i, c in enumerate(category)),
        queries=tuple(f"{_NOUNS[c]} #{q}" for q, c in enumerate(query_category)),
    )


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit
