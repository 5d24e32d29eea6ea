"""Icecat's rated products as vectors, scores, pairs with gains, and as a store whose users click by the ratings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.bert import BertEncoder
from encoders.cache import EmbeddingCache, encode_cached
from encoders.fusion.modalities import read_modalities
from encoders.pairs import PairCounts
from encoders.tuning.debiasing import debiased_counts
from encoders.tuning.vector_ranker import within_query
from store.icecat import load_icecat
from store.lexical import bm25_scores
from store.shop import Store
from store.stock import stock_store

__all__ = ["SCORES", "Pairs", "World", "counts_of", "per_query", "read_icecat", "traits_of"]

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
    names: tuple[str, ...] = ()  # Q texts
    titles: tuple[str, ...] = ()  # I texts

    def scores_of(self, pairs: Pairs) -> Floats:
        """(P, F), standardised within each query of `pairs`."""
        return within_query(self.scores[pairs.query, pairs.item], pairs.query)


def read_icecat(folder: Path) -> tuple[World, Pairs, Callable[[int, int], Store]]:
    """The rated products: vectors and scores, ratings as gains, and a store by number of sessions and seed."""
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
    world = World(
        query=query,
        views=(title, text),
        scores=scores.astype(np.float32),
        names=tuple(queries),
        titles=tuple(titles),
    )
    order = {name: n for n, name in enumerate(queries)}
    ratings = Pairs(
        query=np.array([order[name] for name in judged["query"]], np.int64),
        item=np.searchsorted(kept, row).astype(np.int64),
        gain=2.0 ** judged["rating"].to_numpy(float) - 1.0,
    )

    def store(sessions: int, seed: int) -> Store:
        from store.config import StoreConfig

        base = StoreConfig()
        people = max(1, round(sessions * base.n_people / base.n_sessions))
        config = replace(base, seed=seed, n_sessions=sessions, n_people=people, n_candidates=64)
        return stock_store(small, judged, config, name="icecat-rated")

    return world, ratings, store


def counts_of(store: Store) -> PairCounts:
    """What the log tells: clicks and examined impressions of pairs, queries numbered without the empty one."""
    steps = store.log.to_steps(store.catalog, store.queries)
    counts = debiased_counts(steps, "click_model")
    counts = counts.take(counts.query > 0)
    return replace(counts, query=counts.query - 1)


def traits_of(store: Store) -> Floats:
    """(I, C) what the shop shows of every product beside what it is: price, stars, number of votes."""
    return read_modalities(store.catalog).values["numeric"]


def per_query(pairs: Pairs, score: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
    """AUC and NDCG@10 of each query (Q',); nan where a query has but one kind of item, or nothing good."""
    from sklearn.metrics import ndcg_score, roc_auc_score

    queries = np.unique(pairs.query)
    auc, ndcg = np.full(len(queries), np.nan), np.full(len(queries), np.nan)
    for n, q in enumerate(queries):
        rows = pairs.query == q
        gain, s = pairs.gain[rows], score[rows]
        good = gain > 0.0
        if 0 < good.sum() < len(good):
            auc[n] = roc_auc_score(good, s)
        if good.any() and len(good) > 1:
            ndcg[n] = ndcg_score(gain[None], s[None], k=10)
    return {"AUC": auc, "NDCG@10": ndcg}
