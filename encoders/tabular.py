"""Items without texts: vectors from numeric and categorical columns, relevance by regularised logistic regression."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps
from encoders.build import standardise
from encoders.features import RelevanceTables
from encoders.logistic import fit_cautiously
from encoders.pairs import PairCounts, count_pairs, examination_by_position

if TYPE_CHECKING:
    from behavior.catalog import Catalog

__all__ = ["FeatureEncoder", "FeatureRelevance", "fit_feature_relevance"]


class FeatureEncoder:
    """Item vectors from what the catalogue says in columns: numbers standardised, categories one-hot.

    Where it says nothing, each item has a direction of its own, so that a preference for single items can be learned.

    Args:
        max_levels: Levels kept per categorical column, the most frequent first; the others share one column.
    """

    def __init__(self, max_levels: int = 32) -> None:
        self.max_levels = max_levels

    def encode(self, catalog: Catalog) -> NDArray[np.float32]:
        """Unit vectors (I, D) of all items. Each categorical column and all numbers together weigh about alike."""
        blocks: list[NDArray[np.float64]] = []
        frame = catalog.frame
        numbers = [np.log1p(np.maximum(frame["price"].to_numpy(np.float64), 0.0))]
        numbers += [frame[name].to_numpy(np.float64) for name in catalog.numeric_columns]
        standard = [column for column in (standardise(values) for values in numbers) if column.any()]
        if standard:
            blocks.append(np.stack(standard, axis=1) / np.sqrt(len(standard)))
        for name in ("category", *catalog.categorical_columns):
            values = frame[name].fillna("").astype(str).to_numpy()
            levels, code, count = np.unique(values, return_inverse=True, return_counts=True)
            if len(levels) < 2:
                continue
            rank = np.empty(len(levels), np.int64)
            rank[np.argsort(-count, kind="stable")] = np.arange(len(levels))
            blocks.append(
                np.eye(min(len(levels), self.max_levels + 1))[np.minimum(rank[code], self.max_levels)]
            )
        if not blocks:
            blocks.append(_directions(frame["item_id"].astype(str)))
        vectors = np.concatenate(blocks, axis=1)  # (I, D)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = (vectors / np.maximum(length, 1e-12)).astype(np.float32)
        return unit


def _directions(ids: Iterable[str]) -> NDArray[np.float64]:
    """A fixed random direction (I, 64) for each id."""
    seeds = (int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()) for name in ids)
    return np.stack([np.random.default_rng(seed).normal(size=64) for seed in seeds])


@dataclass(frozen=True, kw_only=True)
class FeatureRelevance:
    """Relevance without texts: one linear preference over item features, the same for every query."""

    item: NDArray[np.float32]  # (I, D) unit vectors
    click_weight: NDArray[np.float32]  # (D,)
    purchase_weight: NDArray[np.float32]  # (D,)
    click_bias: float
    purchase_bias: float

    @property
    def fingerprint(self) -> str:
        """Digest of vectors and weights."""
        digest = hashlib.sha256(
            self.item.tobytes() + self.click_weight.tobytes() + self.purchase_weight.tobytes()
        )
        digest.update(np.array([self.click_bias, self.purchase_bias]).tobytes())
        return f"features-{digest.hexdigest()[:24]}"

    def of_words(self) -> FeatureRelevance:
        """The model itself: it learns nothing of single queries."""
        return self

    def read(self, catalog: Catalog, queries: Sequence[str]) -> list[str]:
        """`queries` as they are: nothing is known of their meaning."""
        return list(queries)

    def embed(
        self, catalog: Catalog, queries: Sequence[str], *, progress: bool = True
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Item vectors (I, D), and zeros (Q, D): nothing is known of a query's meaning."""
        return self.item, np.zeros((len(queries), self.item.shape[1]), np.float32)

    def tables(self, catalog: Catalog, queries: Sequence[str], *, progress: bool = True) -> RelevanceTables:
        """The same preference for each of `queries`."""
        return RelevanceTables(
            item=self.item,
            click_query=np.tile(self.click_weight, (len(queries), 1)),
            purchase_query=np.tile(self.purchase_weight, (len(queries), 1)),
            click_bias=self.click_bias,
            purchase_bias=self.purchase_bias,
        )


def fit_feature_relevance(
    catalog: Catalog, train: LoggedSteps, *, encoder: FeatureEncoder | None = None, seed: int = 0
) -> FeatureRelevance:
    """Fit clicks, and purchases given clicks, on item features.

    The ridge is chosen by cross-validation with the one-standard-error rule, so that a log with a handful of clicks
    yields the overall rate for every item rather than a ranking by noise.
    """
    item = (encoder or FeatureEncoder()).encode(catalog)
    pairs = count_pairs(train, examination_by_position(train))
    exposure, clicks, purchases = item_counts(pairs, item.shape[0])
    x = item.astype(np.float64)
    click_weight, click_bias = fit_cautiously(x, clicks, np.maximum(exposure - clicks, 0.0), seed=seed)
    buy_weight, buy_bias = fit_cautiously(x, purchases, clicks - purchases, seed=seed + 1)
    return FeatureRelevance(
        item=item,
        click_weight=click_weight.astype(np.float32),
        purchase_weight=buy_weight.astype(np.float32),
        click_bias=click_bias,
        purchase_bias=buy_bias,
    )


def item_counts(
    pairs: PairCounts, n_items: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Exposure, clicks and purchases of every item (I,), over all queries."""
    exposure, clicks, purchases = (
        np.bincount(pairs.item, weights=weights, minlength=n_items).astype(np.float64)
        for weights in (pairs.exposure, pairs.clicks, pairs.purchases)
    )
    return exposure, clicks, purchases
