"""All that is public about items and queries, put into tables once, before any session runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.candidates import build_candidates
from encoders.features import FeatureTables, RelevanceTables
from encoders.pair_table import build_pairs
from encoders.pairs import count_pairs, examination_by_position

if TYPE_CHECKING:
    from behavior.catalog import Catalog

__all__ = [
    "RelevanceSource",
    "build_features",
    "log_popularity",
    "reduce_vectors",
    "smoothed_rate",
    "standardise",
]

_PAIR_DEPTH = 200
"""Items of each query, most relevant first, whose words are compared with the query's beside those of the log."""
_MOST_PAIRS = 4_000_000


class RelevanceSource(Protocol):
    """A relevance model with the vectors it works in: `RelevanceModel` or `FeatureRelevance`."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the tables would."""
        ...

    def of_words(self) -> RelevanceSource:
        """The model without what it learned of single queries; itself where it learned nothing of them."""
        ...

    def read(self, catalog: Catalog, queries: Sequence[str]) -> list[str]:
        """Queries (Q) as the model reads them, such as spelt rightly."""
        ...

    def embed(
        self, catalog: Catalog, queries: Sequence[str], *, progress: bool = True
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Unit vectors of items (I, D) and queries (Q, D), zeros for a query without a text."""
        ...

    def tables(self, catalog: Catalog, queries: Sequence[str], *, progress: bool = True) -> RelevanceTables:
        """Relevance as dot products."""
        ...


def build_features(
    catalog: Catalog,
    queries: Sequence[str],
    train: LoggedSteps,
    relevance: RelevanceSource,
    *,
    width: int = 48,
    finder: RelevanceTables | None = None,
    progress: bool = True,
) -> FeatureTables:
    """The tables that simulators, observations and policies use.

    Args:
        catalog: The catalogue (I items).
        queries: Query texts (Q), numbered as in `train`.
        train: The training part of the log, for popularity.
        relevance: The relevance model.
        width: Width of the reduced vectors; no more than the model's own.
        finder: Dot products that find a query's candidates, where others than the model's are to.
        progress: Show bars.
    """
    if width < 1:
        raise InputError(f"width must be positive, found {width}", where="build_features(width=...)")
    if train.queries != tuple(queries):
        raise InputError(
            "the log and the given queries are numbered differently",
            where="build_features(queries=...)",
            mend="pass train.queries, or make the steps with log.to_steps(catalog, queries)",
        )
    item, query = relevance.embed(catalog, queries, progress=progress)
    item, query = reduce_vectors(item, query, width)
    popularity, impressions = log_popularity(train, catalog.n_items)
    category, n_categories = _categories(catalog)
    price = catalog.frame["price"].to_numpy(np.float64)
    columns = {
        "log_price": np.log1p(np.maximum(price, 0.0)),
        "price_in_category": _percentile_within(price, category),
        "popularity": np.log(popularity) - np.log1p(-popularity),
        "log_impressions": np.log1p(impressions),
        **{name: catalog.frame[name].to_numpy(np.float64) for name in catalog.numeric_columns},
    }
    numeric = np.stack([standardise(values) for values in columns.values()], axis=1)  # (I, F)
    tables = FeatureTables(
        item_vectors=item,
        query_vectors=query,
        item_numeric=numeric.astype(np.float32),
        numeric_names=tuple(columns),
        item_category=category,
        n_categories=n_categories,
        price=price.astype(np.float32),
        popularity=popularity.astype(np.float32),
        relevance=relevance.tables(catalog, queries, progress=progress),
    )
    words = relevance.of_words()
    if words is not relevance:
        alone = words.tables(catalog, queries, progress=False)
        tables = replace(tables, words_click_query=alone.click_query)
    depth = min(_PAIR_DEPTH, catalog.n_items, max(1, _MOST_PAIRS // max(len(queries), 1)))
    found = build_candidates(tables, depth, relevance=finder)
    return replace(tables, pairs=build_pairs(catalog, relevance.read(catalog, queries), train, found))


def reduce_vectors(
    item: NDArray[np.float32], query: NDArray[np.float32], width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Items (I, D) and queries (Q, D) in the `width` directions that keep their dot products best, unit length.

    Singular vectors of both tables together, without centring: a shift would change the angles that relevance is
    made of. The sign of each direction is fixed by its largest entry.
    """
    both = np.concatenate([item, query]).astype(np.float64)
    width = min(width, both.shape[1])
    _, vectors = np.linalg.eigh(both.T @ both)  # (D, D), ascending
    basis = vectors[:, ::-1][:, :width]
    strongest = np.abs(basis).argmax(axis=0)
    basis = basis * np.sign(basis[strongest, np.arange(width)])
    reduced = both @ basis
    length = np.linalg.norm(reduced, axis=1, keepdims=True)
    unit = np.where(length > 1e-9, reduced / np.maximum(length, 1e-12), 0.0).astype(np.float32)
    return unit[: item.shape[0]], unit[item.shape[0] :]


def log_popularity(train: LoggedSteps, n_items: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smoothed click rate, positions taken out, of each item (I,); and how often it was shown (I,)."""
    pairs = count_pairs(train, examination_by_position(train))
    impressions, exposure, clicks = (
        np.bincount(pairs.item, weights=weights, minlength=n_items).astype(np.float64)
        for weights in (pairs.impressions, pairs.exposure, pairs.clicks)
    )
    return smoothed_rate(clicks, exposure), impressions


def smoothed_rate(clicks: NDArray[np.float64], exposure: NDArray[np.float64]) -> NDArray[np.float64]:
    """Clicks per examined impression (I,), shrunk towards the overall rate, strictly inside (0, 1).

    The strength of the shrinkage is estimated: the less the items' rates differ beyond chance (method of moments of
    the gamma-Poisson model), the stronger it is.
    """
    total = max(float(exposure.sum()), 1.0)
    mean = min(max(float(clicks.sum()) + 0.5, 0.5) / (total + 1.0), 0.5)
    excess = float((clicks - mean * exposure) @ (clicks - mean * exposure)) - mean * total
    spread = excess / max(float((exposure**2).sum()), 1e-12)  # variance of the true rates
    strength = min(max(mean / max(spread, 1e-12), 10.0), 1e5)
    rate = (clicks + strength * mean) / (exposure + strength)
    return np.clip(rate, 1e-6, 1.0 - 1e-6)


def _categories(catalog: Catalog) -> tuple[NDArray[np.int32], int]:
    names = catalog.frame["category"].fillna("").astype(str).to_numpy()
    levels, code = np.unique(names, return_inverse=True)
    return code.astype(np.int32), max(1, len(levels))


def _percentile_within(price: NDArray[np.float64], category: NDArray[np.int32]) -> NDArray[np.float64]:
    """Share of the category's other known prices that are lower (ties count half); nan where unknown."""
    out = np.full(price.shape[0], np.nan)
    for code in np.unique(category):
        rows = np.flatnonzero((category == code) & np.isfinite(price))
        if rows.size == 1:
            out[rows] = 0.5
        elif rows.size > 1:
            ordered = np.sort(price[rows])
            below = np.searchsorted(ordered, price[rows], side="left")
            equal = np.searchsorted(ordered, price[rows], side="right") - below - 1
            out[rows] = (below + 0.5 * equal) / (rows.size - 1)
    return out


def standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean 0 and deviation 1 over the known values; unknown values become 0, the mean."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros_like(values)
    mean, deviation = values[known].mean(), values[known].std()
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        return np.zeros_like(values)
    return np.where(known, (values - mean) / deviation, 0.0)
