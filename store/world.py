"""The store as a world to rank in, as it stands before anything was learned."""

from __future__ import annotations

from encoders.build import build_features
from encoders.relevance import Heads, RelevanceModel
from encoders.text import HashEncoder
from envs.world import TaskConfig, World
from store.shop import Store

__all__ = ["shop_task", "shop_world"]


def shop_world(store: Store) -> World:
    """The true users, the shop's own candidates, and tables built from catalogue and log without a language model.

    Good for looking at the store and its oracles; a training run builds its world with the relevance model.
    """
    encoder = HashEncoder()
    heads = Heads.plain(encoder.width, click_scale=5.0, purchase_scale=1.0, bias=(-4.0, -1.5))
    features = build_features(
        store.catalog,
        store.queries,
        store.log.to_steps(store.catalog, queries=store.queries),
        RelevanceModel(encoder, heads),
        progress=False,
    )
    return World(
        simulator=store.true_simulator,
        candidates=store.candidates,
        features=features,
        titles=store.catalog.titles,
        queries=store.queries,
    )


def shop_task(store: Store) -> TaskConfig:
    """The task that the log was made in."""
    config = store.config
    return TaskConfig(
        slate_size=config.slate_size, n_candidates=config.n_candidates, max_steps=config.max_steps
    )
