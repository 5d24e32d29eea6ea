"""The built-in shopper: one user with every mechanism that the environment's tasks are made of, in one kernel.

It is the user of `envs.toy_world()` and of the task suite. Each mechanism is a number of `Shopper`, and zero switches
it off; what remains is a position-based clicker who buys by taste and price and leaves when unsatisfied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from simulators.base import Feedback, ItemAppeal, SessionState
from simulators.kernels import shopper as kernels
from simulators.kernels import shopper_chances as chances
from simulators.kernels import shopper_layout as layout
from simulators.kernels.clicks import ClickModel
from simulators.shopper_checks import check_shopper, check_tables

__all__ = ["ItemTraits", "Shopper", "ShopperSimulator"]

_MODELS = {
    "position": ClickModel.POSITION,
    "cascade": ClickModel.CASCADE,
    "dependent": ClickModel.DEPENDENT,
    "dynamic-bayesian": ClickModel.DYNAMIC_BAYESIAN,
    "multinomial": ClickModel.MULTINOMIAL,
}
_TYPICAL_CLICK = 0.15
"""Chance of a click on an item looked at, by which `exposure` of the models that look from the top is reckoned."""


@dataclass(frozen=True, kw_only=True)
class Shopper:
    """The shopper's constants; chances are given as logits where nothing else is said.

    `b` is a user's boredom with an item's group, `s` satisfaction, `i` intent, `p` price sensitivity.
    """

    click_model: str = "position"
    """position, cascade, dependent, dynamic-bayesian or multinomial; see `simulators.kernels.clicks`."""
    examination_decay: float = 0.7
    """Position k (0-based) is looked at with probability (k + 1) ** -decay (position and multinomial)."""

    click_bias: float = -1.5
    """Click logit of an item that neither fits nor bores."""
    query_fit: float = 2.5
    """Per unit of cosine between query and item."""
    taste_fit: float = 2.5
    """Per unit of cosine between hidden taste and item."""
    lure_fit: float = 0.0
    """Per unit of the item's lure, which promises more than the item keeps."""
    price_dislike: float = 0.0
    """Per unit of p x standardised log price."""
    boredom: float = 0.35
    """Per unit of b; b grows by the typical examination of each showing of the group."""

    after_click: float = 0.5
    """Probability to look on after a click (dependent)."""
    after_skip: float = 0.9
    """Probability to look on, the perseverance (dynamic-bayesian; satisfied users stop after a click)."""
    content_bias: float = 0.0
    """Logit of being satisfied by a clicked item of average quality (dynamic-bayesian)."""
    content_quality: float = 1.0
    """Per unit of quality."""

    purchase_bias: float = -1.5
    """Logit of buying (of putting into the cart, where there is a checkout) after a click."""
    purchase_taste: float = 2.5
    """Per unit of cosine between hidden taste and item."""
    purchase_need: float = 0.0
    """Per unit of cosine between item and hidden need, a persona that never changes, whatever the taste does."""
    purchase_worth: float = 0.0
    """Per unit of the item's worth."""
    purchase_quality: float = 0.0
    """Per unit of the item's quality."""
    purchase_price: float = 1.0
    """Per unit of p x standardised log price."""
    checkout_bias: float = float("inf")
    """Logit of buying what was put into the cart; infinite: always, and there is no cart to speak of."""
    checkout_intent: float = 0.0
    """Per unit of i."""

    taste_mix: float = 0.0
    """0: every user is one persona; 1: a mixture of two, the second weighing up to one half."""
    sensitivity_spread: float = 0.5
    """Standard deviation of log p."""
    patience_spread: float = 0.0
    """Standard deviation of a user's own part of the leaving logit."""
    context_noise: float = 0.5
    """Standard deviation of the shop's reading of log p."""

    boredom_memory: float = 0.8
    """Share of b that survives a page."""
    click_joy: float = 0.3
    """What a click adds to s."""
    quality_joy: float = 0.0
    """What a click adds to s per unit of quality."""
    purchase_joy: float = 0.3
    """What a purchase adds to s."""
    page_cost: float = 0.1
    """What each page takes from s."""
    annoyance: float = 0.0
    """What each page takes from s per unit of mean b of what it shows."""
    satisfaction_memory: float = 0.8
    """Share of s that survives a page."""
    drift: float = 0.0
    """How far a click moves the taste towards the item, before it is brought back to unit length."""

    intent_memory: float = 0.0
    """Share of i that survives a page."""
    intent_click: float = 0.0
    """What a click adds to i."""
    intent_quality: float = 0.0
    """What a click adds to i per unit of quality."""
    intent_purchase: float = 0.0
    """What a purchase takes from i."""

    leave_bias: float = -1.0
    """Leaving logit of a user with s = 0."""
    leave_satisfaction: float = 1.5
    """How much a unit of s keeps a user."""
    return_bias: float = float("-inf")
    """Logit of coming back after leaving, for another visit; minus infinity: never."""
    return_satisfaction: float = 0.0
    """Per unit of s."""
    return_memory: float = 0.5
    """Share of s and b that survives the days between visits."""
    mean_days: float = 7.0
    """Mean days between visits."""
    new_query: float = 0.5
    """Probability of a new query after a page; else the query stays."""

    n_weeks: int = 1
    """Weeks of the shop; queries lie in as many blocks of equal size."""
    users_per_week: int = 1000
    """Users who come in a week; after the last week comes the first."""


@dataclass(frozen=True, kw_only=True)
class ItemTraits:
    """What users feel of `I` items, beyond their vectors. Oracles see it."""

    price: NDArray[np.float32]  # (I,) standardised log price
    group: NDArray[np.int32]  # (I,) 0 .. G-1; boredom is with groups
    lure: NDArray[np.float32] | None = None  # (I,) attraction that is not kept; zeros where None
    quality: NDArray[np.float32] | None = None  # (I,) what a user has of it after the click
    worth: NDArray[np.float32] | None = None  # (I,) inclination to buy it


class ShopperSimulator:
    """Shoppers of one shop; implements `TransparentSimulator`.

    Args:
        item_vectors: (I, D) unit vectors.
        query_vectors: (Q, D) unit vectors.
        personas: (P, D) unit vectors of which tastes are mixed.
        traits: What else users feel of items.
        shopper: The constants.

    Raises:
        InputError: The tables do not belong together, or a constant is impossible.
    """

    context_size = layout.N_CONTEXT
    slate_size: int | None = None
    context_names: ClassVar[tuple[str, ...]] = (
        "log price sensitivity (noisy)",
        "log1p(visits before)",
        "log1p(days away)",
        "week / weeks",
    )
    trait_names: ClassVar[tuple[str, ...]] = ("price", "lure", "quality", "worth")

    def __init__(
        self,
        *,
        item_vectors: NDArray[np.float32],
        query_vectors: NDArray[np.float32],
        personas: NDArray[np.float32],
        traits: ItemTraits,
        shopper: Shopper | None = None,
    ) -> None:
        self.shopper = shopper or Shopper()
        n, width = item_vectors.shape
        zeros = np.zeros(n, np.float32)
        columns = [
            zeros if column is None else column
            for column in (traits.price, traits.lure, traits.quality, traits.worth)
        ]
        shapes = {column.shape for column in (*columns, traits.group)}
        if not n or shapes != {(n,)} or {query_vectors.shape[1], personas.shape[1]} != {width}:
            raise InputError(
                f"item_vectors {item_vectors.shape}, query_vectors {query_vectors.shape}, personas "
                f"{personas.shape} and traits {sorted(shapes)} do not belong together",
                where="ShopperSimulator",
                mend="give one row per item in every table of items, at least one item, and vectors of one width",
            )
        check_shopper(self.shopper, query_vectors.shape[0])
        check_tables(item_vectors, query_vectors, personas, traits)
        self.n_items, self.n_queries = n, int(query_vectors.shape[0])
        self.item_traits: NDArray[np.float32] = np.zeros((n, layout.N_TRAITS), np.float32)
        for c, column in enumerate((*columns, traits.group)):
            self.item_traits[:, c] = column
        self._items = np.require(item_vectors, np.float32, ["C", "W"])
        self._queries = np.require(query_vectors, np.float32, ["C", "W"])
        self._personas = np.require(personas, np.float32, ["C", "W"])
        self._constants = np.array([getattr(self.shopper, name) for name in layout.CONSTANTS], np.float64)
        self._tables: dict[int, layout.ShopperTables] = {}
        self.taste_size = width
        self.hidden_size = width + layout.N_SCALARS + int(traits.group.max()) + 1

    @property
    def personas(self) -> NDArray[np.float32]:
        """(P, D) of which tastes are mixed; the first `taste_size` = D hidden columns are a user's own."""
        return self._personas

    def tables(self, n_positions: int) -> layout.ShopperTables:
        """What the kernels read, for pages of `n_positions`."""
        if n_positions not in self._tables:
            user = self.shopper
            after_skip = user.after_skip if user.click_model == "dynamic-bayesian" else 1.0
            constants = self._constants.copy()
            if user.click_model == "cascade":
                constants[layout.CONSTANTS.index("after_click")] = 0.0
            self._tables[n_positions] = layout.ShopperTables(
                items=self._items,
                traits=self.item_traits,
                queries=self._queries,
                personas=self._personas,
                constants=constants,
                examination=np.arange(1, n_positions + 1, dtype=np.float64) ** -user.examination_decay,
                after_skip=np.full(n_positions, after_skip),
                exposure=self.examination_weights(n_positions).astype(np.float64),
                model=int(_MODELS[user.click_model]),
                n_weeks=user.n_weeks,
                users_per_week=user.users_per_week,
            )
        return self._tables[n_positions]

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        """The users `users` (B,) as they arrive."""
        n = users.shape[0]
        state = SessionState(
            user=np.array(users, np.int64),
            step=np.zeros(n, np.int32),
            query=np.empty(n, np.int32),
            context=np.empty((n, self.context_size), np.float32),
            hidden=np.empty((n, self.hidden_size), np.float32),
        )
        kernels.begin(
            n, self.tables(1), state.user, np.uint64(seed), state.hidden, state.context, state.query
        )
        return state

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        """Show `slates` (B, K), -1 for an empty position, and advance `state` in place."""
        n = slates.shape[0]
        click, cart, purchase = (np.empty(slates.shape, np.uint8) for _ in range(3))
        left = np.empty(n, np.bool_)
        kernels.respond(
            n,
            self.tables(slates.shape[1]),
            state.user,
            state.step,
            state.query,
            np.uint64(seed),
            np.ascontiguousarray(slates, np.int32),
            state.hidden,
            state.context,
            click,
            cart,
            purchase,
            left,
        )
        return Feedback(click=click, purchase=purchase, left=left, cart=cart)

    def appeal(self, state: SessionState, items: NDArray[np.int32]) -> ItemAppeal:
        """Click probability given examination and purchase probability given a click, (B, M) each."""
        click, purchase = np.empty(items.shape, np.float32), np.empty(items.shape, np.float32)
        chances.appeal(
            items.shape[0],
            self.tables(1),
            state.query,
            state.hidden,
            np.ascontiguousarray(items, np.int32),
            click,
            purchase,
        )
        return ItemAppeal(click=click, purchase=purchase)

    def boredom(self, state: SessionState, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """How bored users are with the groups of `items` (B, M), shape (B, M); 0 at -1. For oracles."""
        first = self._items.shape[1] + layout.N_SCALARS
        group = self.item_traits[items, len(self.trait_names)].astype(np.int64)
        found: NDArray[np.float32] = np.take_along_axis(state.hidden, first + group, axis=1)
        return np.where(items >= 0, found, np.float32(0.0))

    def moods(self, state: SessionState) -> NDArray[np.float32]:
        """Satisfaction and intent (B, 2). For oracles."""
        first = self._items.shape[1]
        columns = [first + layout.SCALARS.index(name) for name in ("satisfaction", "intent")]
        return state.hidden[:, columns]

    def examination_weights(self, n_positions: int) -> NDArray[np.float32]:
        """(K,) typical probability that a position is looked at."""
        user, k = self.shopper, np.arange(n_positions, dtype=np.float64)
        if user.click_model in ("position", "multinomial"):
            return ((k + 1.0) ** -user.examination_decay).astype(np.float32)
        after_click = {
            "cascade": 0.0,
            "dependent": user.after_click,
            "dynamic-bayesian": user.after_skip / (1.0 + np.exp(user.content_bias)),
        }[user.click_model]
        after_skip = user.after_skip if user.click_model == "dynamic-bayesian" else 1.0
        go_on = _TYPICAL_CLICK * after_click + (1.0 - _TYPICAL_CLICK) * after_skip
        return np.asarray(go_on**k, np.float32)

    def absorb(
        self,
        state: SessionState,
        slates: NDArray[np.int32],
        feedback: Feedback,
        *,
        query: NDArray[np.int32],
        context: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        """Advance `state` as if it had drawn `feedback`; (B,) its log-probability (see `TransparentSimulator`)."""
        n = slates.shape[0]
        out = np.empty(n, np.float64)
        chances.absorb(
            n,
            self.tables(slates.shape[1]),
            state.step,
            state.query,
            np.ascontiguousarray(slates, np.int32),
            state.hidden,
            state.context,
            np.ascontiguousarray(feedback.click, np.uint8),
            np.ascontiguousarray(feedback.purchase, np.uint8),
            np.ascontiguousarray(feedback.left, np.bool_),
            np.ascontiguousarray(query, np.int32),
            np.ascontiguousarray(context, np.float32),
            out,
        )
        return out

    def context_log_density(self, state: SessionState, context: NDArray[np.float32]) -> NDArray[np.float64]:
        """(B,) log-density of a first `context`, up to a constant: a normal reading of log price sensitivity."""
        noise = max(self.shopper.context_noise, 1e-3)
        column = self._items.shape[1] + layout.SCALARS.index("sensitivity")
        off = context[:, 0].astype(np.float64) - np.log(state.hidden[:, column].astype(np.float64))
        density: NDArray[np.float64] = -0.5 * (off / noise) ** 2
        return density
