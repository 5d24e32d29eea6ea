"""What is learned for each query, for each query and category, and for each query and item that the log shows.

Words and vectors say how well an item answers a query; clicks on it say more, where there are enough. Each group gets
a number of its own, pulled to zero by the prior: the pair by what the query and its category already explain, so that
a pair shown twice says little, and one shown two hundred times speaks for itself (a mixed model; Gelman and Hill,
"Data Analysis Using Regression and Multilevel/Hierarchical Models", 2007, chapter 12).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.features import FeatureTables
from simulators.fitting.likelihood import Effect, Parameters

__all__ = ["QueryEffects"]

Silent = Callable[[str, int, NDArray[np.float64]], NDArray[np.float64]]

_MOST = 4_000_000  # queries x categories that are worth a table


class QueryEffects:
    """Groups of shown items by query, as far as the training log shows them.

    Args:
        features: Public tables; without pairs in them nothing is learned of pairs.
        query: (n,) query of each shown item of the training log, -1 unknown.
        item: (n,) catalogue rows.
    """

    def __init__(self, features: FeatureTables, query: NDArray[Any], item: NDArray[Any]) -> None:
        self.features = features
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
        return tuple(found)

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
        return found

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
