"""Stocks the store with any catalogue and judged queries: real products, the demo store's kind of people."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from behavior.catalog import Catalog
from behavior.errors import InputError
from store.behavior_policy import BehaviorPolicy, shop_candidates, shop_scores
from store.config import StoreConfig
from store.kernels.layout import STYLE
from store.lexical import bm25_scores
from store.log_cache import cached_log
from store.log_maker import make_log
from store.shop import Store, context_names, past_clicks
from store.shop_tables import build_shop_tables
from store.true_user import TrueUser

__all__ = ["stock_store"]

_MAX_DEPARTMENTS = 8


def stock_store(
    catalog: Catalog,
    judgments: pd.DataFrame,
    config: StoreConfig | None = None,
    *,
    name: str = "stocked",
    cache: bool = True,
) -> Store:
    """A store of real products whose true relevance is what people judged.

    What the judgments do not say is generated: hidden quality and hype, a style from each product's categorical
    columns and brand, the people and their law. A product nobody judged for a query has relevance 0 there, and
    every judged product is among the query's candidates, as far as their number allows.

    Args:
        catalog: The products.
        judgments: Columns `query`, `item_id`, `rating` (numbers from 0; the largest becomes relevance 1).
        config: Seed, sessions, pages, temperature and user; numbers of products and queries are the catalogue's
            and the judgments'.
        name: Of the store.
        cache: Keep the log on disk and take it from there next time.

    Raises:
        InputError: Judgments without a needed column, of products the catalogue lacks, or not numbers from 0.
    """
    config = config or StoreConfig()
    queries, query_row, item_row, grade = _read_judgments(judgments, catalog)
    config = replace(config, n_products=catalog.n_items, n_queries=len(queries))
    relevance = np.zeros((len(queries), catalog.n_items), np.float32)
    np.maximum.at(relevance, (query_row, item_row), grade)
    judged = np.zeros(relevance.shape, np.bool_)
    judged[query_row, item_row] = True

    rng = np.random.default_rng([config.seed, 5])
    frame = catalog.frame
    price = frame["price"].to_numpy(float)
    kind, kind_names = _codes(frame["category"])
    department = _departments(kind, len(kind_names))
    brand, _ = _codes(_brand_column(catalog))
    n_items = catalog.n_items
    quality = rng.normal(0.0, 1.0, n_items).astype(np.float32)
    hype = np.where(rng.random(n_items) < 0.3, rng.gamma(6.0, 0.2, n_items), 0.0).astype(np.float32)
    rating = _column(catalog, "rating", 3.9 + 0.38 * quality + 0.1 * hype + rng.normal(0.0, 0.3, n_items))
    demand = 0.55 * quality + 0.6 * hype + rng.normal(0.0, 0.8, n_items)
    votes = _column(catalog, "rating_count", rng.poisson(np.exp(3.4 + 0.9 * demand)).astype(float))
    # The recommendation page: nothing is asked, so what sells is what fits.
    relevance[0] = 0.5 * (0.6 + 0.4 / (1.0 + np.exp(-1.5 * demand)))

    share = 1.0 / (rng.permutation(len(queries)) + 8.0)
    share[0] = 0.0
    frequency = np.asarray(share / share.sum(), np.float64)
    lexical = bm25_scores(list(frame["text"]), queries)
    clicks = past_clicks(relevance, rng)
    scores = shop_scores(lexical, clicks, rating, votes)
    candidates = shop_candidates(lexical, clicks, scores, config.n_candidates, required=judged)
    policy = BehaviorPolicy(scores, temperature=config.temperature)
    shop = build_shop_tables(
        relevance=relevance,
        style=_styles(catalog, rng),
        price_relative=_relative_price(price, kind),
        quality=quality,
        hype=hype,
        rating=rating,
        brand=brand,
        kind=kind,
        kind_category=kind_names,
        department=department,
        frequency=frequency,
        complements={},
    )
    simulator = TrueUser(shop, config.user)
    names = context_names(tuple(f"group{g}" for g in range(simulator.n_departments)))
    item_ids = frame["item_id"].to_numpy(str)
    stocked = _with_public_columns(catalog, rating=rating, rating_count=votes)
    log = cached_log(
        name,
        config,
        lambda: make_log(
            simulator,
            policy,
            candidates,
            config=config,
            item_ids=item_ids,
            price=price,
            queries=queries,
            context_names=names,
        ),
        stocked,
        cache=cache,
        key=_digest(catalog, judgments),
    )
    return Store(
        name=name,
        config=config,
        catalog=stocked,
        queries=queries,
        query_kinds=("home", *["judged"] * (len(queries) - 1)),
        query_frequency=frequency,
        relevance=relevance,
        true_simulator=simulator,
        candidates=candidates,
        behavior_policy=policy,
        log=log,
        context_names=names,
    )


def _read_judgments(
    judgments: pd.DataFrame, catalog: Catalog
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Queries with "" in front; rows of query and item, and relevance 0..1, of every judgment."""
    missing = [column for column in ("query", "item_id", "rating") if column not in judgments.columns]
    if missing:
        raise InputError(
            f"judgments lack the columns {', '.join(missing)}; found {', '.join(map(str, judgments.columns))}",
            where="judgments",
            mend="name the columns query, item_id and rating",
        )
    if not len(judgments):
        raise InputError("there are no judgments", where="judgments", mend="give at least one judged product")
    rating = pd.to_numeric(judgments["rating"], errors="coerce").to_numpy(float)
    wrong = np.flatnonzero(~np.isfinite(rating) | (rating < 0))
    if wrong.size:
        row = int(wrong[0])
        raise InputError(
            f"rating '{judgments['rating'].iloc[row]}' is not a number from 0 up ({wrong.size} such rows)",
            where=f"judgments, row {row + 1}, column rating",
            mend="give each judgment a number, 0 for irrelevant",
        )
    if rating.max() <= 0:
        raise InputError(
            "every rating is 0, so nothing is relevant to anything",
            where="judgments, column rating",
            mend="give relevant products a rating above 0",
        )
    items = catalog.rows(judgments["item_id"])
    unknown = np.flatnonzero(items < 0)
    if unknown.size:
        row = int(unknown[0])
        raise InputError(
            f"item {judgments['item_id'].iloc[row]!r} is not in the catalogue ({unknown.size} such rows)",
            where=f"judgments, row {row + 1}, column item_id",
            mend="add the product to the catalogue or leave the judgment out",
        )
    texts = judgments["query"].astype(str)
    named = tuple(text for text in dict.fromkeys(texts) if text)
    index = {text: row for row, text in enumerate(("", *named))}
    keep = (texts != "").to_numpy()
    rows = np.array([index[text] for text in texts[keep]], np.int64)
    return ("", *named), rows, items[keep], (rating[keep] / rating.max()).astype(np.float32)


def _codes(column: pd.Series) -> tuple[NDArray[np.int32], list[str]]:
    codes, names = pd.factorize(column.astype(str), sort=True)
    return codes.astype(np.int32), [str(name) for name in names]


def _departments(kind: NDArray[np.int32], n_kinds: int) -> NDArray[np.int32]:
    """The largest categories are departments of their own, the rest is one more."""
    sizes = np.bincount(kind, minlength=n_kinds)
    order = np.argsort(-sizes, kind="stable")
    place = np.empty(n_kinds, np.int64)
    place[order] = np.arange(n_kinds)
    return np.minimum(place, _MAX_DEPARTMENTS - 1)[kind].astype(np.int32)


def _brand_column(catalog: Catalog) -> pd.Series:
    for column in ("brand", "supplier", "manufacturer", *catalog.categorical_columns):
        if column in catalog.categorical_columns:
            return catalog.frame[column]
    return catalog.frame["title"].str.split().str[0].fillna("")


def _column(catalog: Catalog, name: str, otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    """A public number: the catalogue's where it has one, generated where not."""
    if name not in catalog.numeric_columns:
        return np.round(otherwise, 1)
    values = catalog.frame[name].to_numpy(float)
    return np.where(np.isfinite(values), values, np.round(otherwise, 1))


def _with_public_columns(catalog: Catalog, **columns: NDArray[np.float64]) -> Catalog:
    """The catalogue with the generated public numbers that it lacked."""
    new = {name: values for name, values in columns.items() if name not in catalog.numeric_columns}
    if not new:
        return catalog
    return replace(
        catalog,
        frame=catalog.frame.assign(**new),
        numeric_columns=(*catalog.numeric_columns, *new),
        notes=(*catalog.notes, f"generated for the store: {', '.join(new)}"),
    )


def _relative_price(price: NDArray[np.float64], kind: NDArray[np.int32]) -> NDArray[np.float32]:
    """Log price over the category's median, within a factor of e^1.5; 0 where the price is unknown."""
    known = np.isfinite(price) & (price > 0)
    logs = np.log(np.where(known, price, 1.0))
    median = pd.Series(np.where(known, logs, np.nan)).groupby(kind).transform("median").to_numpy()
    return np.asarray(np.where(known, np.clip(logs - median, -1.5, 1.5), 0.0), np.float32)


def _styles(catalog: Catalog, rng: np.random.Generator) -> NDArray[np.float32]:
    """One direction of taste per level of each categorical column (brand first), and some noise."""
    columns = [_brand_column(catalog), catalog.frame["category"]]
    columns += [catalog.frame[column] for column in catalog.categorical_columns]
    style = 0.4 * rng.normal(size=(catalog.n_items, STYLE))
    for column in columns:
        codes, names = _codes(column)
        style += rng.normal(size=(len(names), STYLE))[codes] / np.sqrt(len(columns))
    return np.asarray(style / np.sqrt((style**2).sum(axis=1).mean()), np.float32)


def _digest(catalog: Catalog, judgments: pd.DataFrame) -> str:
    """Of all that is read of the two tables."""
    digest = hashlib.sha256()
    for frame in (catalog.frame, judgments[["query", "item_id", "rating"]]):
        digest.update(",".join(map(str, frame.columns)).encode())
        digest.update(pd.util.hash_pandas_object(frame.astype(str), index=False).to_numpy().tobytes())
    return digest.hexdigest()
