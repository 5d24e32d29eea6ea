"""What the benchmarks of the relevance model share: a demo store's texts, their vectors, and its counted pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from behavior.split import split_steps_by_time
from behavior.steps import LoggedSteps
from benchmarks.common import Case
from encoders.cache import EmbeddingCache, encode_cached
from encoders.features import RelevanceTables
from encoders.finetuning import held_out_queries
from encoders.pairs import PairCounts, count_pairs, examination_by_position
from encoders.text import TextEncoder, catalog_texts
from store import Store, StoreConfig, open_store

__all__ = ["ShopTexts", "over_seeds", "query_ndcg", "read_shop"]


@dataclass(frozen=True, kw_only=True)
class ShopTexts:
    """A store with its texts as vectors."""

    store: Store
    train: LoggedSteps
    valid: LoggedSteps
    test: LoggedSteps
    items: list[str]  # I texts
    item: NDArray[np.float32]  # (I, D) raw vectors
    query: NDArray[np.float32]  # (Q, D) raw vectors, zeros for the empty one
    examination: NDArray[np.float64]  # (K,)
    pairs: PairCounts  # of the training part, queries with a text alone
    out: NDArray[np.bool_]  # (Q,) held out of training

    @property
    def known(self) -> PairCounts:
        """Pairs of the queries that are trained on."""
        return self.pairs.take(~self.out[self.pairs.query])

    @property
    def unseen(self) -> NDArray[np.int64]:
        """Rows of the held-out queries."""
        return np.flatnonzero(self.out)


def read_shop(
    encoder: TextEncoder,
    *,
    quick: bool,
    seed: int,
    held_out: float = 0.3,
    size: StoreConfig | None = None,
) -> ShopTexts:
    """The demo store of a seed (a tiny one if `quick`), its vectors from the cache where they are there.

    Args:
        encoder: Of the texts.
        quick: A tiny store.
        seed: Of the store and of the queries held out.
        held_out: Share of the queries held out.
        size: Of the store, in place of the usual one.
    """
    whole = StoreConfig(seed=seed) if size is None else replace(size, seed=seed)
    store = open_store(StoreConfig.tiny(seed=seed) if quick else whole)
    train, valid, test = split_steps_by_time(store.log.to_steps(store.catalog, store.queries))
    cache, items = EmbeddingCache(), catalog_texts(store.catalog)
    query = encode_cached(encoder, list(store.queries), cache, progress=False)
    query[[not text.strip() for text in store.queries]] = 0.0
    examination = examination_by_position(train)
    counted = count_pairs(train, examination)
    return ShopTexts(
        store=store,
        train=train,
        valid=valid,
        test=test,
        items=items,
        item=encode_cached(encoder, items, cache, progress=False),
        query=query,
        examination=examination,
        pairs=counted.take(np.flatnonzero(query[counted.query].any(axis=1))),
        out=held_out_queries(store.queries, held_out, seed),
    )


def query_ndcg(
    tables: RelevanceTables, truth: NDArray[np.float32], rows: NDArray[np.int64], k: int = 10
) -> NDArray[np.float64]:
    """NDCG@k of the whole catalogue by true relevance, of each of `rows` (n,)."""
    from sklearn.metrics import ndcg_score

    return np.array(
        [
            ndcg_score(truth[r][None], (tables.item @ tables.click_query[r])[None], k=k, ignore_ties=True)
            for r in rows
        ]
    )


def over_seeds(name: str, values: list[float], unit: str) -> list[Case]:
    """The mean over seeds and the ends of its 95 % interval (t), as three figures; one where there is one seed."""
    from scipy.stats import ttest_1samp

    mean = float(np.mean(values))
    out = [Case(case=name, value=mean, unit=unit)]
    if len(values) > 1 and np.std(values) > 0:
        low, high = ttest_1samp(values, 0.0).confidence_interval(0.95)
        out += [
            Case(
                case=f"{name}, {end} end of the 95 % interval over {len(values)} seeds",
                value=float(v),
                unit=unit,
            )
            for end, v in (("lower", low), ("upper", high))
        ]
    return out
