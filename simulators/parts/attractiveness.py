"""Linear appeal: a logit linear in what the item has to do with the query, the user and the session so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simulators.base import SessionState
from simulators.kernels.responses import logits_to_probability
from simulators.kernels.session import item_logits
from simulators.parts.contract import Part
from simulators.parts.memory import SessionMemory

__all__ = ["BIASES", "LinearAttractiveness", "LinearConversion"]

BIASES = ("category_bias", "item_bias", "query_bias", "kind_bias", "pair_bias")
"""What is added to the row's part of a logit, and learned for each category, item, query or pair of them."""


def _nothing() -> NDArray[np.float32]:
    return np.empty(0, np.float32)


def _no_rows() -> NDArray[np.float32]:
    return np.empty((0, 0), np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Linear(Part):
    weights: NDArray[np.float32]
    """(P,) one weight for each column of `impression_names`."""
    category_bias: NDArray[np.float32]
    """(C,) added for each category."""
    item_bias: NDArray[np.float32]
    """(I,) added for each item; shrunk to zero for items that the log shows rarely."""
    query_bias: NDArray[np.float32] = field(default_factory=_nothing)
    """(Q,) added for each query; empty: nothing is."""
    kind_bias: NDArray[np.float32] = field(default_factory=_nothing)
    """(Q * C,) added for each query and category, query by query; empty: nothing is."""
    pair_bias: NDArray[np.float32] = field(default_factory=_nothing)
    """(Z,) added for each pair of `FeatureTables.pairs`; empty: nothing is."""
    query_taste: NDArray[np.float32] = field(default_factory=_no_rows)
    """(Q, D) a vector of each query, whose product with the item's vector is added; empty: nothing is."""

    def __post_init__(self) -> None:
        for name in ("weights", *BIASES, "query_taste"):
            object.__setattr__(self, name, np.require(getattr(self, name), np.float32, ["C", "W"]))

    def logits(
        self, state: SessionState, memory: SessionMemory, items: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """Logit (B, M) of each item; -inf where the item is -1."""
        out = np.empty(items.shape, np.float64)
        item_logits(
            items.shape[0],
            out,
            items,
            state.query,
            state.step,
            state.context,
            state.hidden,
            memory.tables.kernel,
            memory.columns,
            self.weights,
            self.category_bias,
            self.item_bias,
            self.query_bias,
            self.kind_bias,
            self.pair_bias,
            self.query_taste,
        )
        return out


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearAttractiveness(_Linear):
    """P(click | examined) = sigmoid(row @ weights + biases).

    The row (`simulators.parts.rows`) holds the relevance model's logits, an elementwise product of query and item
    vectors (a diagonal bilinear form), the item's numbers, the user's context and its products with them, and the
    session so far: likeness to what was clicked and to what was passed over, repeats, category fatigue, the step.
    """

    kind: ClassVar[str] = "linear"


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearConversion(_Linear):
    """P(purchase | click) = sigmoid(row @ weights + biases), with weights of its own."""

    kind: ClassVar[str] = "linear"

    def probability(
        self, state: SessionState, memory: SessionMemory, items: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """Probability (B, M) of a purchase given a click; 0 where the item is -1."""
        logits = self.logits(state, memory, items)
        logits_to_probability(items.shape[0], logits, logits)
        return logits
