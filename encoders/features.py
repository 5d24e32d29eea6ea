"""The tables that stand for items and queries wherever numbers are needed: simulators, observations, policies.

They are computed once, before any environment runs; BERT is never called inside a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.pair_table import PairTable

__all__ = ["CandidateTable", "FeatureTables", "RelevanceTables"]


@dataclass(frozen=True, kw_only=True)
class RelevanceTables:
    """The relevance model, reduced to dot products.

    `click_logit(q, i) = click_query[q] @ item[i] + click_bias`, and likewise `purchase_logit`, which is the
    logit of a purchase *given a click*.
    """

    item: NDArray[np.float32]  # (I, R)
    click_query: NDArray[np.float32]  # (Q, R)
    purchase_query: NDArray[np.float32]  # (Q, R)
    click_bias: float
    purchase_bias: float

    def click_probability(self, query: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Click probability of `items` (B, M) for `query` (B,), shape (B, M); 0 where the item is -1."""
        return self._probability(self.click_query, self.click_bias, query, items)

    def purchase_probability(self, query: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Purchase probability given a click, shape (B, M); 0 where the item is -1."""
        return self._probability(self.purchase_query, self.purchase_bias, query, items)

    def _probability(
        self,
        table: NDArray[np.float32],
        bias: float,
        query: NDArray[np.int32],
        items: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        logit = np.einsum("bmr,br->bm", self.item[items], table[query]) + np.float32(bias)
        return np.where(items >= 0, 1.0 / (1.0 + np.exp(-logit)), 0.0).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class FeatureTables:
    """Everything public that is known of items and queries, as arrays of `I` items and `Q` queries."""

    item_vectors: NDArray[np.float32]  # (I, D) reduced text (or feature) vectors, unit length
    query_vectors: NDArray[np.float32]  # (Q, D) in the same space, unit length; zeros for an empty query
    item_numeric: NDArray[np.float32]  # (I, F) standardised: log price, popularity, extra columns
    numeric_names: tuple[str, ...]  # F names
    item_category: NDArray[np.int32]  # (I,) code 0 .. n_categories-1
    n_categories: int
    price: NDArray[np.float32]  # (I,) in the shop's currency; nan unknown
    popularity: NDArray[np.float32]  # (I,) smoothed click-through rate in the training part of the log
    relevance: RelevanceTables
    margin: NDArray[np.float32] | None = None  # (I,) share of the price that the shop keeps, in [0, 1]
    pairs: PairTable | None = None  # what is known of query and item together
    words_click_query: NDArray[np.float32] | None = None
    """(Q, R) `relevance.click_query` without what was learned of single queries; None: nothing was. For fits that learn
    of single queries themselves, from the same clicks: they would take the answer for a question."""

    @property
    def n_items(self) -> int:
        """Number of catalogue items `I`."""
        return int(self.item_vectors.shape[0])

    @property
    def n_queries(self) -> int:
        """Number of queries `Q`."""
        return int(self.query_vectors.shape[0])


@dataclass(frozen=True, kw_only=True)
class CandidateTable:
    """The candidates of every query, best first."""

    items: NDArray[np.int32]  # (Q, N) catalogue rows, -1 padding at the end
    scores: NDArray[np.float32]  # (Q, N) relevance (click probability), 0 at padding
