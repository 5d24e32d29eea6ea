"""Opens the demo store: products, queries, true users, the shop's own policy, and its log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.catalog import Catalog
from behavior.errors import InputError
from behavior.log import InteractionLog
from encoders.features import CandidateTable
from store.behavior_policy import BehaviorPolicy, shop_candidates, shop_scores
from store.config import StoreConfig
from store.lexical import bm25_scores
from store.log_cache import cached_log
from store.log_maker import make_log
from store.products import generate_products
from store.queries import generate_queries, query_frequency
from store.relevance import true_relevance
from store.shop_tables import build_shop_tables
from store.true_user import TrueUser
from store.vocabulary import COMPLEMENTS, DEPARTMENTS

__all__ = ["HELD_OUT_USERS", "Store", "context_names", "open_store", "past_clicks"]

HELD_OUT_USERS = 10_000_000
"""Users from here on never appear in the log: policies are judged on them."""

_LEAST_PRODUCTS, _LEAST_QUERIES = 100, 20


@dataclass(frozen=True, kw_only=True)
class Store:
    """A shop. Only `catalog`, `queries`, `log`, `candidates` and `behavior_policy` are for the training pipeline.

    `relevance` and `true_simulator` are the truth that policies and models are judged by.
    """

    name: str
    config: StoreConfig
    catalog: Catalog
    queries: tuple[str, ...]  # Q texts; row 0 is "", the recommendation page
    query_kinds: tuple[str, ...]  # Q kinds: home, type, attribute, synonym, misspelling, vague, brand, slang
    query_frequency: NDArray[np.float64]  # (Q,) how often a query opens a new need
    relevance: NDArray[np.float32]  # (Q, I) true relevance
    true_simulator: TrueUser
    candidates: CandidateTable  # the shop's own candidate source, which the log was made with
    behavior_policy: BehaviorPolicy
    log: InteractionLog
    context_names: tuple[str, ...]  # F names of what the shop knows of a user


def open_store(config: StoreConfig | None = None, *, cache: bool = True) -> Store:
    """The demo store of a configuration.

    Args:
        config: Its size and seed.
        cache: Keep the log under `$SLATEGYM_CACHE` (or `~/.cache/slategym`), and take it from there next time.

    Raises:
        InputError: A store too small to generate, or more queries than its products give.
    """
    config = config or StoreConfig()
    if config.n_products < _LEAST_PRODUCTS or config.n_queries < _LEAST_QUERIES:
        raise InputError(
            f"a store of {config.n_products} products and {config.n_queries} queries is too small to generate",
            where="StoreConfig",
            mend=f"ask for at least {_LEAST_PRODUCTS} products and {_LEAST_QUERIES} queries",
        )
    products = generate_products(config.n_products, np.random.default_rng([config.seed, 1]))
    wants = generate_queries(products, config.n_queries, np.random.default_rng([config.seed, 2]))
    rng = np.random.default_rng([config.seed, 3])
    relevance = true_relevance(products, wants, rng)
    frequency = query_frequency(wants, rng)
    queries = tuple(want.text for want in wants)
    frame = products.frame
    lexical = bm25_scores(list(frame["text"]), queries)
    clicks = past_clicks(relevance, rng)
    scores = shop_scores(
        lexical, clicks, frame["rating"].to_numpy(float), frame["rating_count"].to_numpy(float)
    )
    candidates = shop_candidates(lexical, clicks, scores, config.n_candidates)
    policy = BehaviorPolicy(scores, temperature=config.temperature)
    simulator = TrueUser(
        build_shop_tables(
            relevance=relevance,
            style=products.style,
            price_relative=products.price_relative,
            quality=products.quality,
            hype=products.hype,
            rating=frame["rating"].to_numpy(float),
            brand=products.brand,
            kind=products.kind,
            kind_category=[spec.category for spec in products.kinds],
            department=products.department,
            frequency=frequency,
            complements=COMPLEMENTS,
        ),
        config.user,
    )
    names = context_names(DEPARTMENTS)
    catalog = Catalog.from_frame(frame, source="demo store")
    log = cached_log(
        "demo",
        config,
        lambda: make_log(
            simulator,
            policy,
            candidates,
            config=config,
            item_ids=frame["item_id"].to_numpy(str),
            price=products.price,
            queries=queries,
            context_names=names,
        ),
        catalog,
        cache=cache,
    )
    return Store(
        name="demo",
        config=config,
        catalog=catalog,
        queries=queries,
        query_kinds=tuple(want.query_kind for want in wants),
        query_frequency=frequency,
        relevance=relevance,
        true_simulator=simulator,
        candidates=candidates,
        behavior_policy=policy,
        log=log,
        context_names=names,
    )


def past_clicks(relevance: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """What an earlier system knew of query and product (Q, I): half of the truth, with noise and mistakes.

    The shop's candidate source and behaviour policy build on it; the training pipeline never sees it.
    """
    known = rng.random(relevance.shape) < 0.5
    noise = rng.beta(2.0, 2.0, relevance.shape) * 2.0
    mistake = np.where(rng.random(relevance.shape) < 0.004, rng.random(relevance.shape), 0.0)
    return np.asarray(np.clip(np.where(known, relevance * noise, 0.0) + mistake, 0.0, 1.0), np.float32)


def context_names(departments: tuple[str, ...]) -> tuple[str, ...]:
    """Names of what the shop knows of a user, in alphabetical order (the log's columns keep any order)."""
    history = tuple(f"history_{g}_{name.lower().replace(' ', '_')}" for g, name in enumerate(departments))
    return (*history, "loyalty_gold", "loyalty_silver", "mobile", "spend_level")
