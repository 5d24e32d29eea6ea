"""Icecat's rated products as vectors, scores, pairs with gains, and as a store whose users click by the ratings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.bert import BertEncoder
from encoders.cache import EmbeddingCache, encode_cached
from encoders.tuning.debiasing import debiased_counts
from encoders.tuning.vector_ranker import within_query
from store.icecat import load_icecat
from store.lexical import bm25_scores
from store.shop import Store
from store.stock import stock_store

__all__ = ["SCORES", "Pairs", "World", "clicks_of", "read_icecat"]

Floats = NDArray[np.float32]
SCORES = ("cosine, title", "cosine, text", "BM25, title", "BM25, text", "letters, title")

_TEXT = 300  # characters of a description: the encoder reads no more


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs with gains."""

    query: NDArray[np.int64]  # (P,)
    item: NDArray[np.int64]  # (P,)
    gain: NDArray[np.float64]  # (P,)

    def take(self, rows: NDArray[np.bool_]) -> Pairs:
        """The pairs at `rows`."""
        return Pairs(query=self.query[rows], item=self.item[rows], gain=self.gain[rows])


@dataclass(frozen=True, kw_only=True)
class World:
    """Texts as vectors and ready-made scores of every query and item."""

    query: Floats  # (Q, D)
    views: tuple[Floats, ...]  # each (I, D): title, text
    scores: Floats  # (Q, I, F), as in SCORES

    def scores_of(self, pairs: Pairs) -> Floats:
        """(P, F), standardised within each query of `pairs`."""
        return within_query(self.scores[pairs.query, pairs.item], pairs.query)


def read_icecat(folder: Path) -> tuple[World, Pairs, Callable[[int], Store]]:
    """The rated products: vectors and scores, ratings as gains, and a store by number of sessions."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    catalog, judged = load_icecat(folder)
    row = catalog.rows(judged["item_id"])
    kept = np.unique(row)
    small = replace(catalog, frame=catalog.frame.iloc[kept].reset_index(drop=True))
    queries = list(dict.fromkeys(judged["query"]))
    titles = small.frame["title"].astype(str).tolist()
    texts = [text[:_TEXT] for text in small.frame["text"].astype(str)]
    encoder, cache = BertEncoder(), EmbeddingCache()
    query, title, text = (encode_cached(encoder, part, cache) for part in (queries, titles, texts))
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), sublinear_tf=True).fit(titles)
    near = (letters.transform(queries) @ letters.transform(titles).T).toarray()
    scores = np.stack(
        [query @ title.T, query @ text.T, bm25_scores(titles, queries), bm25_scores(texts, queries), near],
        axis=2,
    )
    world = World(query=query, views=(title, text), scores=scores.astype(np.float32))
    order = {name: n for n, name in enumerate(queries)}
    ratings = Pairs(
        query=np.array([order[name] for name in judged["query"]], np.int64),
        item=np.searchsorted(kept, row).astype(np.int64),
        gain=2.0 ** judged["rating"].to_numpy(float) - 1.0,
    )

    def store(sessions: int) -> Store:
        from store.config import StoreConfig

        base = StoreConfig()
        people = max(1, round(sessions * base.n_people / base.n_sessions))
        config = replace(base, n_sessions=sessions, n_people=people, n_candidates=64)
        return stock_store(small, judged, config, name="icecat-rated")

    return world, ratings, store


def clicks_of(store: Store) -> Pairs:
    """What the log tells: debiased click rates of clicked pairs as gains, queries numbered without the empty one."""
    steps = store.log.to_steps(store.catalog, store.queries)
    counts = debiased_counts(steps, "click_model")
    counts = counts.take(counts.query > 0)
    return Pairs(
        query=counts.query.astype(np.int64) - 1,
        item=counts.item.astype(np.int64),
        gain=counts.click_rate() * (counts.clicks > 0),
    )
