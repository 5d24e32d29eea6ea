"""What is known of query and item together, beyond the vectors: words they share, and what the shop made of them.

A log's own ranker knows things that no catalogue tells: clicks of past years, rules, stock. Where it put an item, and
how often it showed it, carries that knowledge; a model of users that leaves it out takes what the shop knew for luck,
and promises too much of pages that the shop would not have shown (a confounder, in the language of causal inference).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps

if TYPE_CHECKING:
    from behavior.catalog import Catalog
    from encoders.features import CandidateTable

__all__ = ["NAMES", "PairTable", "build_pairs"]

NAMES = (
    "words shared with the title",
    "letters shared with the title",
    "words shared with all texts",
    "share of the query's words in the title",
    "log1p(place among the shop's candidates)",
    "log(times shown, against chance)",
)
"""Columns of the values; 0 for texts, the last place and the rarest share for pairs that are not in the table."""

_CHUNK = 100_000
_PRIOR_SHOWN = 0.3  # of a showing, for pairs never shown


@dataclass(frozen=True, kw_only=True)
class PairTable:
    """Values of `Z` (query, item) pairs, ordered by query, then item (compressed rows)."""

    start: NDArray[np.int64]  # (Q+1,) where the pairs of each query begin
    item: NDArray[np.int32]  # (Z,) catalogue rows, rising within a query
    values: NDArray[np.float32]  # (Z, G)
    default: NDArray[np.float32]  # (G,) of pairs that are not here

    @property
    def n_pairs(self) -> int:
        """Number of pairs `Z`."""
        return int(self.item.shape[0])

    @property
    def query(self) -> NDArray[np.int64]:
        """(Z,) the query of each pair."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    def find(self, query: NDArray[Any], item: NDArray[Any]) -> NDArray[np.int64]:
        """Rows (n,) of the pairs (query (n,), item (n,)); -1 where they are not here."""
        if not self.n_pairs:
            return np.full(len(query), -1, np.int64)
        width = int(self.item.max()) + 1
        keys = self.query * width + self.item
        wanted = np.asarray(query, np.int64) * width + item
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        known = (keys[at] == wanted) & (np.asarray(query) >= 0) & (np.asarray(item) < width)
        return np.where(known, at, -1)


def build_pairs(
    catalog: Catalog, queries: Sequence[str], train: LoggedSteps, candidates: CandidateTable
) -> PairTable:
    """Values of all pairs that the log shows or offers, and of each query's `candidates`.

    Args:
        catalog: The catalogue (I items).
        queries: Texts (Q), numbered as in `train`.
        train: The training part of the log.
        candidates: Further items worth knowing for each query: those that policies may show.
    """
    n_items = catalog.n_items
    keys = [_keys(np.arange(len(queries))[:, None], candidates.items, n_items)]
    keys.append(_keys(train.query[:, None], train.item, n_items))
    keys.append(_keys(train.query[:, None], train.candidates, n_items))
    key = np.unique(np.concatenate(keys))
    query, item = key // n_items, (key % n_items).astype(np.int32)
    values = np.zeros((len(key), len(NAMES)), np.float32)
    _texts(values, catalog, queries, query, item)
    default = np.zeros(len(NAMES), np.float32)
    values[:, 4], default[4] = _places(train, key, n_items)
    values[:, 5], default[5] = _showings(train, key, query, n_items)
    return PairTable(
        start=np.searchsorted(query, np.arange(len(queries) + 1)),
        item=item,
        values=values,
        default=default,
    )


def _keys(query: NDArray[Any], items: NDArray[Any], n_items: int) -> NDArray[np.int64]:
    """Distinct query * I + item of the pairs in which neither is missing."""
    known = (items >= 0) & (query >= 0)
    key = np.broadcast_to(query, items.shape).astype(np.int64) * n_items + items
    return np.unique(key[known])


def _texts(
    values: NDArray[np.float32],
    catalog: Catalog,
    queries: Sequence[str],
    query: NDArray[np.int64],
    item: NDArray[np.int32],
) -> None:
    """Fill the first four columns: cosines of tf-idf vectors of words and letters, and the share of words found."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    titles = [str(title) for title in catalog.titles]
    texts = catalog.frame["text"].fillna("").astype(str)
    category = catalog.frame["category"].fillna("").astype(str)
    whole = [f"{text} {name}" for text, name in zip(texts, category, strict=True)]
    words: dict[str, Any] = {"token_pattern": r"(?u)\b\w+\b", "sublinear_tf": True}
    letters: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (3, 5), "sublinear_tf": True}
    for column, (documents, options) in enumerate(((titles, words), (titles, letters), (whole, words))):
        try:
            model = TfidfVectorizer(**options).fit(documents)
        except ValueError:  # no word in any of them
            continue
        ours, theirs = model.transform(queries), model.transform(documents)
        values[:, column] = _dots(ours, theirs, query, item)
        if column == 0:
            counts = TfidfVectorizer(
                vocabulary=model.vocabulary_, binary=True, norm=None, use_idf=False, **words
            )
            wanted = counts.fit_transform(queries) > 0
            there = counts.transform(documents) > 0
            n_words = np.maximum(np.asarray(wanted.sum(axis=1)).ravel(), 1)
            found = _dots(wanted.astype(np.float32), there.astype(np.float32), query, item)
            values[:, 3] = found / n_words[query]


def _dots(ours: Any, theirs: Any, query: NDArray[np.int64], item: NDArray[np.int32]) -> NDArray[np.float32]:
    """Dot products (Z,) of the rows `query` and `item` of two sparse matrices (., V), a chunk at a time."""
    out = np.empty(len(query), np.float32)
    for a in range(0, len(query), _CHUNK):
        part = slice(a, a + _CHUNK)
        out[part] = np.asarray(ours[query[part]].multiply(theirs[item[part]]).sum(axis=1)).ravel()
    return out


def _places(
    train: LoggedSteps, key: NDArray[np.int64], n_items: int
) -> tuple[NDArray[np.float32], np.float32]:
    """log1p of the best place (Z,) that each pair had among the shop's candidates, and one beyond all of them."""
    n = train.candidates.shape[1]
    place = np.full(len(key), n, np.float64)
    if n:
        known = (train.candidates >= 0) & (train.query[:, None] >= 0)
        at = train.query[:, None].astype(np.int64) * n_items + train.candidates
        rank = np.broadcast_to(np.arange(n), at.shape)
        np.minimum.at(place, np.searchsorted(key, at[known]), rank[known])
    return np.log1p(place).astype(np.float32), np.float32(np.log1p(n))


def _showings(
    train: LoggedSteps, key: NDArray[np.int64], query: NDArray[np.int64], n_items: int
) -> tuple[NDArray[np.float32], np.float32]:
    """Log of how often each pair (Z,) was shown, over what chance gives among the query's candidates."""
    known = (train.item >= 0) & (train.query[:, None] >= 0)
    at = train.query[:, None].astype(np.int64) * n_items + train.item
    shown = np.bincount(np.searchsorted(key, at[known]), minlength=len(key))
    n_queries = len(train.queries)
    total = np.bincount(np.broadcast_to(train.query[:, None], at.shape)[known], minlength=n_queries)
    if train.candidates.shape[1]:
        offered = np.bincount(query, minlength=n_queries).clip(max=train.candidates.shape[1])
    else:
        offered = np.bincount(query, minlength=n_queries)
    expected = total / np.maximum(offered, 1)
    prior = _PRIOR_SHOWN * max(float(expected[total > 0].mean()) if (total > 0).any() else 1.0, 1e-3)
    value = np.log(shown + prior) - np.log(expected[query] + prior)
    default = np.float32(value.min()) if len(value) else np.float32(0.0)
    return value.astype(np.float32), default
