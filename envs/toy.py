"""`toy_world`: a generated shop of a thousand items, made in milliseconds; no data, no model."""

from __future__ import annotations

from envs.generated import ShopSpec, generate_world
from envs.world import World
from simulators.shopper import Shopper

__all__ = ["toy_world"]


def toy_world(
    n_items: int = 1000,
    n_queries: int = 50,
    n_candidates: int = 50,
    seed: int = 0,
    *,
    width: int = 16,
    user: Shopper | None = None,
) -> World:
    """A world of `n_items` items in ten categories, with a relevance model that is right only in part.

    Args:
        n_items: Catalogue items I.
        n_queries: Queries Q.
        n_candidates: Candidates N per query, the most relevant first.
        seed: Of the generated shop (not of its users).
        width: Vector width D, even.
        user: Constants of the shoppers.

    Raises:
        InputError: Sizes that do not fit each other.
    """
    return generate_world(
        ShopSpec(
            n_items=n_items,
            n_queries=n_queries,
            n_candidates=n_candidates,
            width=width,
            shopper=user or Shopper(taste_mix=1.0),
            seed=seed,
        )
    )
