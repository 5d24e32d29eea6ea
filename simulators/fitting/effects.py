"""What is learned for each query: alone, with each category, with each item that the log shows, and with items alike.

Words and vectors say how well an item answers a query; clicks on it say more, where there are enough. Each group gets
a number of its own, pulled to zero by the prior: the pair by what the query and its category already explain, so that
a pair shown twice says little, and one shown two hundred times speaks for itself (a mixed model; Gelman and Hill,
"Data Analysis Using Regression and Multilevel/Hierarchical Models", 2007, chapter 12).

What people click for a query tells of items like those, shown or not: each query has a vector beside its words', of
which the products with items' vectors are added. Without it slang would have to be learned item by item.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.features import FeatureTables
from simulators.fitting.likelihood import Effect, Parameters

__all__ = ["QueryEffects"]

Silent = Callable[[str, int, NDArray[np.float64]], NDArray[np.float64]]

_MOST = 4_000_000  # queries x categories that are worth a table
_TASTE_WIDTH = 24  # leading columns of the item vectors, of which most of their variance is
_TASTE_SIZE = 3.0
"""Length of an item's vector: how much more freely a query may differ in items like each other than in single ones."""


class QueryEffects:
    """Groups of shown items by query, as far as the training log shows them.

    Args:
        features: Public tables; without pairs in them nothing is learned of pairs.
        query: (n,) query of each shown item of the training log, -1 unknown.
        item: (n,) catalogue rows.

    Attributes:
        tightness: Of the prior on the queries' vectors, relative to other effects'.
    """

    def __init__(self, features: FeatureTables, query: NDArray[Any], item: NDArray[Any]) -> None:
        self.features, self.tightness = features, 1.0
        leading = features.item_vectors[:, :_TASTE_WIDTH].astype(np.float64)
        spread = float(np.sqrt(np.square(leading - leading.mean(axis=0)).sum(axis=1).mean()))
        self._size = _TASTE_SIZE / spread if spread > 1e-6 else 0.0
        self._direction = leading * self._size  # (I, W)
        self._middle = self._direction.mean(axis=0)  # (W,)
        self._known = {
            name: np.unique(index[index >= 0]) for name, index in self._groups(query, item).items()
        }

    def of(self, query: NDArray[Any], item: NDArray[Any]) -> tuple[Effect, ...]:
        """The effects on shown items (n,); -1 for groups that the training log does not show."""
        found = []
        for name, index in self._groups(query, item).items():
            known = self._known[name]
            if not len(known):
                continue
            at = np.minimum(np.searchsorted(known, index), len(known) - 1)
            found.append(Effect(name=name, index=np.where(known[at] == index, at, -1), size=len(known)))
            if name == "query":
                found += self._tastes(found[-1], item)
        return tuple(found)

    def _tastes(self, query: Effect, item: NDArray[Any]) -> list[Effect]:
        likeness = self._direction[item] - self._middle  # (n, W)
        return [
            replace(
                query,
                name=f"taste {d}",
                amount=np.ascontiguousarray(likeness[:, d]),
                tightness=self.tightness,
            )
            for d in range(likeness.shape[1])
        ]

    def biases(self, p: Parameters, silent: Silent | None = None) -> dict[str, NDArray[np.float32]]:
        """The fields of `LinearAttractiveness` that the fitted effects make.

        Args:
            p: As fitted.
            silent: Name and size of an effect, and what is known of it -> what groups have that the training log does
                not show; None: nothing.
        """
        found = {}
        for name, size in self._sizes().items():
            known = p.more.get(name, np.zeros(0))
            table = (
                np.zeros(size, np.float32) if silent is None else silent(name, size, known).astype(np.float32)
            )
            if name in p.more:
                table[self._known[name]] = p.more[name]
            found[f"{name}_bias"] = table
        if "query_bias" in found:
            found |= self._taste_table(p, silent, found["query_bias"])
        return found

    def _taste_table(
        self, p: Parameters, silent: Silent | None, query_bias: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """The queries' vectors (Q, D), zero beyond the leading columns, and biases (Q,) that centre the items'."""
        width, n_queries = self._direction.shape[1], self.features.n_queries
        taste = np.zeros((n_queries, self.features.item_vectors.shape[1]))
        for d in range(width):
            name = f"taste {d}"
            if silent is not None:
                taste[:, d] = silent(name, n_queries, p.more.get(name, np.zeros(0)))
            if name in p.more:
                taste[self._known["query"], d] = p.more[name]
        bias = query_bias - taste[:, :width] @ self._middle
        # From the direction's columns back to those of the item vectors.
        taste[:, :width] *= self._size
        return {"query_taste": taste.astype(np.float32), "query_bias": bias.astype(np.float32)}

    def _sizes(self) -> dict[str, int]:
        f = self.features
        if f.n_queries < 2:  # one query: its effects are those of category and item
            return {}
        sizes = {"query": f.n_queries}
        if f.n_queries * f.n_categories <= _MOST:
            sizes["kind"] = f.n_queries * f.n_categories
        if f.pairs is not None:
            sizes["pair"] = f.pairs.n_pairs
        return sizes

    def _groups(self, query: NDArray[Any], item: NDArray[Any]) -> dict[str, NDArray[np.int64]]:
        f, sizes = self.features, self._sizes()
        query = np.asarray(query, np.int64)
        groups: dict[str, NDArray[np.int64]] = {}
        if "query" in sizes:
            groups["query"] = query
        if "kind" in sizes:
            groups["kind"] = np.where(query >= 0, query * f.n_categories + f.item_category[item], -1)
        if "pair" in sizes:
            assert f.pairs is not None
            groups["pair"] = f.pairs.find(query, item)
        return groups
