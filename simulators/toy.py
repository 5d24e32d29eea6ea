"""A small made-up user: fast, any slate size, with every mechanism a session environment has to cope with.

It is the user of `envs.toy_world()`: for tests, benchmarks, and a first look at the environment without any data.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from simulators.base import Feedback, ItemAppeal, SessionState
from simulators.kernels import toy as kernels

__all__ = ["ToySimulator", "ToyUser"]


@dataclass(frozen=True, kw_only=True)
class ToyUser:
    """The constants of the toy user, in logits where nothing else is said."""

    click_bias: float = -1.5
    """Click logit of an item that neither fits nor bores."""
    query_fit: float = 2.5
    """Per unit of cosine between query and item."""
    taste_fit: float = 2.5
    """Per unit of cosine between hidden taste and item."""
    boredom: float = 0.35
    """Per recent examined showing of the item's category."""
    purchase_bias: float = -1.5
    """Purchase logit, given a click, of an item of average price."""
    purchase_taste: float = 2.5
    """Per unit of cosine between hidden taste and item."""
    memory: float = 0.8
    """Share of the boredom that survives a page, in [0, 1]."""
    leave_bias: float = -1.0
    """Leaving logit of a user who is neither pleased nor disappointed."""
    leave_satisfaction: float = 1.5
    """How much satisfaction keeps a user."""
    new_query: float = 0.5
    """Probability of a new query after a page; else the query stays."""
    examination_decay: float = 0.7
    """Position k (0-based) is examined with probability (k + 1) ** -decay."""


class ToySimulator:
    """Position-based clicks, purchases by taste and price, boredom with categories, leaving when unsatisfied.

    Args:
        item_vectors: (I, D) unit vectors.
        query_vectors: (Q, D) unit vectors.
        price: (I,) standardised log price.
        category: (I,) category code.
        user: The user's constants.

    Raises:
        InputError: The tables do not belong together.
    """

    context_size = 1
    slate_size: int | None = None

    def __init__(
        self,
        *,
        item_vectors: NDArray[np.float32],
        query_vectors: NDArray[np.float32],
        price: NDArray[np.float32],
        category: NDArray[np.int32],
        user: ToyUser | None = None,
    ) -> None:
        n = item_vectors.shape[0]
        if price.shape != (n,) or category.shape != (n,) or item_vectors.shape[1] != query_vectors.shape[1]:
            raise InputError(
                f"item_vectors {item_vectors.shape}, query_vectors {query_vectors.shape}, price {price.shape} "
                f"and category {category.shape} do not belong together",
                where="ToySimulator",
                mend="give one row per item in item_vectors, price and category, and vectors of one width",
            )
        self.user = user or ToyUser()
        self.n_items = n
        self.n_queries = int(query_vectors.shape[0])
        self._items = np.ascontiguousarray(item_vectors, np.float32)
        self._queries = np.ascontiguousarray(query_vectors, np.float32)
        self._price = np.ascontiguousarray(price, np.float32)
        self._category = np.ascontiguousarray(category, np.int32)
        self._weights = np.array(astuple(self.user)[:-1], np.float64)
        self._hidden_size = self._items.shape[1] + 2 + int(category.max()) + 1

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        """The users `users` (B,) as they arrive."""
        n = users.shape[0]
        state = SessionState(
            user=np.array(users, np.int64),
            step=np.zeros(n, np.int32),
            query=np.empty(n, np.int32),
            context=np.empty((n, 1), np.float32),
            hidden=np.empty((n, self._hidden_size), np.float32),
        )
        kernels.begin(
            n,
            state.user,
            state.hidden,
            state.context,
            state.query,
            self._items.shape[1],
            self.n_queries,
            np.uint64(seed),
        )
        return state

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        """Show `slates` (B, K) and advance `state` in place."""
        n = slates.shape[0]
        click, purchase = np.empty(slates.shape, np.uint8), np.empty(slates.shape, np.uint8)
        left = np.empty(n, np.bool_)
        kernels.respond(
            n,
            state.user,
            state.step,
            state.query,
            state.hidden,
            np.ascontiguousarray(slates, np.int32),
            self._items,
            self._queries,
            self._category,
            self._price,
            self._weights,
            self.examination_weights(slates.shape[1]).astype(np.float64),
            click,
            purchase,
            left,
            np.uint64(seed),
        )
        return Feedback(click=click, purchase=purchase, left=left)

    def appeal(self, state: SessionState, items: NDArray[np.int32]) -> ItemAppeal:
        """Click probability given examination and purchase probability given a click, (B, M) each."""
        click, purchase = np.empty(items.shape, np.float32), np.empty(items.shape, np.float32)
        kernels.appeal(
            items.shape[0],
            state.query,
            state.hidden,
            np.ascontiguousarray(items, np.int32),
            self._items,
            self._queries,
            self._category,
            self._price,
            self._weights,
            click,
            purchase,
        )
        return ItemAppeal(click=click, purchase=purchase)

    def examination_weights(self, n_positions: int) -> NDArray[np.float32]:
        """(K,) probability that a position is examined."""
        positions = np.arange(1, n_positions + 1, dtype=np.float64)
        return (positions**-self.user.examination_decay).astype(np.float32)
