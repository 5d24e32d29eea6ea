"""Shops whose users are known: the demo store, and the same shop with users out of a fitted family."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache

import numpy as np

from behavior.log import InteractionLog
from behavior.split import TimeSplit, split_steps_by_time
from encoders import BertEncoder, EmbeddingCache, FinetuneConfig, build_features, finetune_cached
from encoders.features import CandidateTable, FeatureTables, RelevanceTables
from envs.world import TaskConfig, World
from simulators import FittedSimulator, fit_simulator
from simulators.base import InspectableSimulator
from store.config import StoreConfig
from store.log_maker import make_log
from store.shop import Store, open_store

__all__ = [
    "STORES",
    "Shop",
    "fresh_log",
    "open_shop",
    "ranked_world",
    "shop_task",
    "tables_of",
    "with_true_relevance",
]

STORES = ("demo", "skimming", "pbm")
"""The demo store, whose users lie outside every family, and users that are a fit of that family to a log of it."""

_FOUNDING_SEED = 9_000  # of the log that users inside a family are fitted to
_FOUNDING_SESSIONS = 20_000


@dataclass(frozen=True)
class Shop:
    """A store with users who are known."""

    name: str
    store: Store
    users: InspectableSimulator
    features: FeatureTables | None  # those that the users are made of; None: each log makes its own

    @property
    def inside(self) -> bool:
        """Whether the users lie inside a fitted family."""
        return self.features is not None


@cache
def open_shop(name: str) -> Shop:
    """One of `STORES`."""
    store = open_store(StoreConfig())
    if name == "demo":
        return Shop(name, store, store.true_simulator, None)
    log = fresh_log(Shop("demo", store, store.true_simulator, None), _FOUNDING_SESSIONS, _FOUNDING_SEED)
    features = tables_of(store, log)
    return Shop(name, store, fit_simulator(name, log.train, log.valid, features, progress=False), features)


def fresh_log(shop: Shop, n_sessions: int, seed: int) -> TimeSplit:
    """A log of `n_sessions` new sessions under the shop's own policy, split by time."""
    store = shop.store
    frames = make_log(
        shop.users,
        store.behavior_policy,
        store.candidates,
        config=dataclasses.replace(
            store.config, seed=seed, n_sessions=n_sessions, n_people=max(1, n_sessions * 2 // 3)
        ),
        item_ids=store.catalog.frame["item_id"].to_numpy(str),
        price=store.catalog.frame["price"].to_numpy(float),
        queries=store.queries,
        context_names=store.context_names,
    )
    log = InteractionLog.from_frame(frames.rows, candidates=frames.candidates, catalog=store.catalog)
    return split_steps_by_time(log.to_steps(store.catalog, store.queries))


def tables_of(store: Store, log: TimeSplit) -> FeatureTables:
    """Feature tables from the training part of a log: MiniLM as it is, with heads fitted to the log."""
    model, _ = finetune_cached(
        BertEncoder("minilm"),
        store.catalog,
        log.train,
        log.valid,
        FinetuneConfig(mode="heads"),
        cache=EmbeddingCache(),
        progress=False,
    )
    return build_features(store.catalog, store.queries, log.train, model, progress=False)


def with_true_relevance(features: FeatureTables, store: Store) -> FeatureTables:
    """`features` with the true relevance in place of the model's: what perfect knowledge of texts would be worth."""
    rows, sizes, columns = np.linalg.svd(store.relevance.astype(np.float64), full_matrices=False)
    # Four times: from an irrelevant item to the best one, as the logits of the relevance model do.
    query = (4.0 * rows * sizes).astype(np.float32)
    bias = -2.0
    told = RelevanceTables(
        item=columns.T.astype(np.float32),
        click_query=query,
        purchase_query=query,
        click_bias=bias,
        purchase_bias=bias,
    )
    return dataclasses.replace(features, relevance=told)


def ranked_world(shop: Shop, features: FeatureTables, users: InspectableSimulator | FittedSimulator) -> World:
    """A world in which policies rank the shop's own candidates; their scores are the relevance of `features`."""
    items = shop.store.candidates.items
    scores = features.relevance.click_probability(np.arange(len(items), dtype=np.int32), items)
    order = np.argsort(np.where(items >= 0, -scores, np.inf), axis=1, kind="stable")
    return World(
        simulator=users,
        candidates=CandidateTable(
            items=np.take_along_axis(items, order, 1), scores=np.take_along_axis(scores, order, 1)
        ),
        features=features,
        titles=tuple(shop.store.catalog.titles),
        queries=shop.store.queries,
    )


def shop_task(shop: Shop) -> TaskConfig:
    """The task that the log was made in."""
    config = shop.store.config
    return TaskConfig(
        slate_size=config.slate_size, n_candidates=config.n_candidates, max_steps=config.max_steps
    )
