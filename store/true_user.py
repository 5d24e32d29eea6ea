"""The true user of the demo store as a `TransparentSimulator`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.base import Feedback, ItemAppeal, SessionState
from store.kernels import true_user as kernels
from store.kernels import true_user_chances as chances
from store.kernels.layout import HIDDEN_SIZE, PEOPLE, VISITS, Law, ShopTables

__all__ = ["LOG_PEOPLE", "LOG_USERS", "TrueUser", "TrueUserConfig"]

LOG_PEOPLE = PEOPLE
"""Visits of the log by one person lie this far apart in the user index."""
LOG_USERS = VISITS
"""User indices below this belong to the log."""


@dataclass(frozen=True, kw_only=True)
class TrueUserConfig:
    """The constants of the true user. Logits unless said otherwise."""

    click_base: float = -4.1
    """Click on an irrelevant, tasteless item."""
    click_relevance: float = 2.9
    """Per unit of true relevance."""
    click_taste: float = 0.55
    """Per unit of match between hidden taste and hidden style (standard deviation about 1)."""
    click_brand: float = 0.7
    """For one of the two favourite brands."""
    click_rating: float = 0.3
    """Per standard deviation of the public rating."""
    click_hype: float = 0.75
    """Per unit of hype (a quarter of the items have some, about 1)."""
    click_department: float = 1.6
    """On the recommendation page, for the user's own department."""
    price_pain: float = 1.0
    """Per unit of pain: sensitivity x (log price over the reference)^1.5."""
    price_gain: float = 0.5
    """Per unit of log price below the reference, up to 0.7."""
    price_suspicion: float = 0.8
    """Per unit of log price more than 0.8 below the reference."""
    again_item: float = 1.1
    """Per earlier showing of the very item in this session, up to three."""
    again_brand: float = 0.1
    """Per log1p of earlier showings of the brand."""
    again_kind: float = 0.12
    """Per log1p of earlier showings of this kind of product."""
    already_bought: float = 1.8
    """When this kind of product was bought in this session."""
    contrast_dearer: float = 0.9
    """Per unit of log price above the last item looked at, if of the same kind."""
    contrast_cheaper: float = 0.35
    """Per unit of log price below it (a bonus)."""
    purchase_base: float = -3.1
    """Purchase of a clicked item."""
    purchase_relevance: float = 1.5
    """Per unit of true relevance."""
    purchase_taste: float = 0.45
    """Per unit of taste match."""
    purchase_quality: float = 0.7
    """Per standard deviation of hidden quality."""
    purchase_price: float = 2.4
    """Per unit of price pain."""
    purchase_hype: float = 0.8
    """Per unit of hype: hollow on a closer look."""
    purchase_satisfaction: float = 0.3
    """Per unit of satisfaction."""
    look_base: float = 2.3
    """Going on to the next position."""
    look_patience: float = 0.7
    """Per unit of patience."""
    look_satisfaction: float = 0.5
    """Per unit of satisfaction."""
    look_interest: float = 2.5
    """Per unit of running interest (mean click probability of what was just seen) over 0.15."""
    look_fatigue: float = 0.55
    """Per unit of fatigue; each item looked at on this page counts 0.12."""
    skip_dull: float = 2.5
    """Probability of skipping more of the same kind, per unit of interest under 0.15."""
    delight_quality: float = 0.7
    """Delight after a click per standard deviation of hidden quality (inside a tanh)."""
    delight_taste: float = 0.25
    """Per unit of taste match."""
    delight_relevance: float = 0.8
    """Per unit of relevance over 0.5."""
    delight_hype: float = 1.1
    """Disappointment per unit of hype."""
    delight_speed: float = 0.55
    """Satisfaction gained per unit of delight."""
    page_expectation: float = 0.45
    """Mean relevance that a user expects of what they looked at."""
    page_speed: float = 0.6
    """Satisfaction gained per unit of mean relevance over the expectation."""
    fatigue_look: float = 0.05
    """Fatigue per item looked at."""
    fatigue_page: float = 0.15
    """Fatigue per page."""
    leave_base: float = -1.6
    """Leaving after a page."""
    leave_fatigue: float = 0.45
    """Per unit of fatigue."""
    leave_satisfaction: float = 1.2
    """Per unit of satisfaction (keeps the user)."""
    leave_disappointment: float = 1.0
    """Per unit of disappointment on this page."""
    leave_purchase: float = 0.3
    """Per purchase on this page: the errand is done."""


class TrueUser:
    """Users of the demo store. See `store.kernels.true_user` for their law.

    Args:
        shop: What they know of the shop, hidden properties included.
        config: Their constants.
    """

    slate_size: int | None = None

    def __init__(self, shop: ShopTables, config: TrueUserConfig | None = None) -> None:
        self.config = config or TrueUserConfig()
        self.shop = shop
        self._law = Law(**{name: float(value) for name, value in dataclasses.asdict(self.config).items()})
        self.n_queries, self.n_items = (int(n) for n in shop.relevance.shape)
        self.n_departments = int(shop.department_share.shape[0])
        self.context_size = self.n_departments + 4
        self._examination: NDArray[np.float32] | None = None

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        """The users as they arrive. Indices below 1,000,000 are visits of the log's 250,000 people."""
        B = users.shape[0]
        users = np.array(users, np.int64)
        query = np.zeros(B, np.int32)
        context = np.zeros((B, self.context_size), np.float32)
        hidden = np.zeros((B, HIDDEN_SIZE), np.float32)
        kernels.begin(B, self.shop, users, np.uint64(seed), query, context, hidden)
        return SessionState(
            user=users, step=np.zeros(B, np.int32), query=query, context=context, hidden=hidden
        )

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        """Show `slates` (B, K) and advance `state`."""
        B, K = slates.shape
        click, purchase = np.zeros((B, K), np.uint8), np.zeros((B, K), np.uint8)
        left = np.zeros(B, np.bool_)
        kernels.respond(
            B,
            self._law,
            self.shop,
            state.user,
            state.step,
            state.query,
            state.hidden,
            np.array(slates, np.int32),
            np.uint64(seed),
            click,
            purchase,
            left,
        )
        return Feedback(click=click, purchase=purchase, left=left)

    def appeal(self, state: SessionState, items: NDArray[np.int32]) -> ItemAppeal:
        """Click probability when looked at and purchase probability when clicked, at the top of the page."""
        click, purchase = np.zeros(items.shape, np.float32), np.zeros(items.shape, np.float32)
        rows = np.array(items, np.int32)
        kernels.appeal(items.shape[0], self._law, self.shop, state.query, state.hidden, rows, click, purchase)
        return ItemAppeal(click=click, purchase=purchase)

    def absorb(
        self,
        state: SessionState,
        slates: NDArray[np.int32],
        feedback: Feedback,
        *,
        query: NDArray[np.int32],
        context: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        """Advance `state` as if it had drawn `feedback`; (B,) its log-probability (see `TransparentSimulator`).

        Which positions were looked at is guessed, by streams of their own that `state.user` and `state.step` key: the
        probability is an unbiased estimate (see `store.kernels.true_user_chances`), and the state one that may have
        come of it. Who goes on asks by department and interest: the chance of `query` is part of the probability.
        """
        return self.answer_and_click_chances(state, slates, feedback, query=query, context=context)[:, 0]

    def answer_and_click_chances(
        self,
        state: SessionState,
        slates: NDArray[np.int32],
        feedback: Feedback,
        *,
        query: NDArray[np.int32],
        context: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        """`absorb`, with what it gives beside the log-probability of the page's clicks alone: (B, 2)."""
        out = np.empty((slates.shape[0], 2), np.float64)
        chances.absorb(
            out.shape[0],
            self._law,
            self.shop,
            state.user,
            state.step,
            state.query,
            state.context,
            state.hidden,
            np.ascontiguousarray(slates, np.int32),
            np.ascontiguousarray(feedback.click, np.uint8),
            np.ascontiguousarray(feedback.purchase, np.uint8),
            np.ascontiguousarray(feedback.left, np.bool_),
            np.ascontiguousarray(query, np.int32),
            np.ascontiguousarray(context, np.float32),
            out,
        )
        return out

    def context_log_density(self, state: SessionState, context: NDArray[np.float32]) -> NDArray[np.float64]:
        """(B,) log-density of a first `context` and the first query `state.query`, up to a constant."""
        out = np.empty(context.shape[0], np.float64)
        chances.context_log_density(
            out.shape[0],
            self.shop,
            np.ascontiguousarray(state.query),
            np.ascontiguousarray(state.context),
            np.ascontiguousarray(state.hidden),
            np.ascontiguousarray(context, np.float32),
            out,
        )
        return out

    def examination_weights(self, n_positions: int) -> NDArray[np.float32]:
        """Average probability of a look at each position, for a fresh and average user.

        A user goes on with the logistic probability of the law's constants at the expected interest and skips
        at the average rate; the first position is always looked at.
        """
        weights, going, looked = np.empty(n_positions, np.float64), 1.0, 1.0
        law = self.config
        for k in range(n_positions):
            if k == 0:
                weights[k] = 1.0
                continue
            logit = law.look_base - law.look_fatigue * (0.4 + 0.12 * looked)
            going *= 1.0 / (1.0 + np.exp(-logit))
            weights[k] = going * 0.78
            looked += 0.78
        return weights.astype(np.float32)
