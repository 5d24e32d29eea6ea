"""Shows that the store is what it says: each claim measured, in the true store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.base import Draw
from simulators.base import SessionState
from store.kernels.layout import STYLE, Hidden
from store.lexical import bm25_scores
from store.log_maker import query_page
from store.shop import HELD_OUT_USERS, Store
from store.world import shop_task, shop_world

__all__ = [
    "OracleGap",
    "PositionSplit",
    "PurchaseDrivers",
    "RankingQuality",
    "lexical_quality",
    "oracle_gap",
    "position_split",
    "purchase_drivers",
    "ranking_quality",
]

_PAGES = 3
"""Pages looked at in experiments with pages; enough for fatigue and satiation to begin."""


@dataclass(frozen=True, kw_only=True)
class RankingQuality:
    """How well a ranking of the whole catalogue finds what is truly relevant."""

    ndcg: float
    """Mean NDCG@10 over the queries with a text."""
    by_kind: Mapping[str, float]
    """The same by kind of query."""


@dataclass(frozen=True, kw_only=True)
class PositionSplit:
    """Why clicks fall with the position. All (K,)."""

    logged: NDArray[np.float64]
    """Click rate under the behaviour policy."""
    shuffled: NDArray[np.float64]
    """Click rate when the same pages are shown in random order: relevance is then equal everywhere."""
    relevance: NDArray[np.float64]
    """Mean true relevance under the behaviour policy."""

    @property
    def examination_share(self) -> float:
        """Part of the fall in log click rate, first position to last, that remains in random order."""
        fall = np.log(self.logged[0] / self.logged[-1])
        return float(np.log(self.shuffled[0] / self.shuffled[-1]) / fall)


@dataclass(frozen=True, kw_only=True)
class PurchaseDrivers:
    """Purchases per click, by thirds of the clicked items."""

    by_price: tuple[float, float, float]
    """Third of price over the user's own reference, low to high."""
    by_taste: tuple[float, float, float]
    """Third of the match between the user's taste and the item's style, low to high."""
    clicks: int
    """Clicks it was measured on."""


@dataclass(frozen=True, kw_only=True)
class OracleGap:
    """Scores per session (clicks + purchase weight x purchases), same users throughout."""

    random: float
    behavior: float
    myopic: float
    planning: float
    belief: float
    gap: float
    """How far planning beats myopic, as a share of myopic."""
    gap_low: float
    """Lower end of its 95 % interval (paired differences over the mean of myopic)."""
    gap_high: float
    """Upper end."""
    users: int


def ranking_quality(store: Store, scores: NDArray[np.floating]) -> RankingQuality:
    """NDCG@10 of `scores` (Q, I) against true relevance; ties keep the catalogue's order."""
    from evaluation.ranking import ideal_dcg, ndcg

    asked = np.arange(1, len(store.queries))
    slates = np.argsort(-scores[asked], axis=1, kind="stable")[:, :10]
    values = ndcg(store.relevance, ideal_dcg(store.relevance, 10), asked, slates)
    kinds = np.array(store.query_kinds)[asked]
    return RankingQuality(
        ndcg=float(np.nanmean(values)),
        by_kind={kind: float(np.nanmean(values[kinds == kind])) for kind in sorted(set(kinds.tolist()))},
    )


def lexical_quality(store: Store) -> RankingQuality:
    """Of BM25 over titles, or over titles and descriptions, whichever is better."""
    fields = (store.catalog.frame["title"], store.catalog.frame["text"])
    found = [ranking_quality(store, bm25_scores(list(texts), store.queries)) for texts in fields]
    return max(found, key=lambda quality: quality.ndcg)


def position_split(store: Store, *, n_users: int = 20_000) -> PositionSplit:
    """The behaviour policy's pages as they are and in random order, shown to held-out users."""
    K = store.config.slate_size
    rng = np.random.default_rng([store.config.seed, 6])
    relevance, pages = np.zeros(K), 0

    def note(state: SessionState, slate: NDArray[np.int32]) -> NDArray[np.int32]:
        nonlocal relevance, pages
        relevance = relevance + store.relevance[state.query[:, None], slate].sum(axis=0, dtype=np.float64)
        pages += slate.shape[0]
        return slate

    logged = _click_rate(store, n_users, note)
    shuffled = _click_rate(store, n_users, lambda state, slate: rng.permuted(slate, axis=1))
    return PositionSplit(logged=logged, shuffled=shuffled, relevance=relevance / pages)


def _click_rate(
    store: Store, n_users: int, arrange: Callable[[SessionState, NDArray[np.int32]], NDArray[np.int32]]
) -> NDArray[np.float64]:
    clicks, pages = np.zeros(store.config.slate_size), 0
    state = store.true_simulator.begin(HELD_OUT_USERS + np.arange(n_users), seed=store.config.seed)
    for _ in range(_PAGES):
        slate = arrange(state, _behavior_slate(store, state))
        feedback = store.true_simulator.respond(state, slate, seed=store.config.seed)
        clicks += feedback.click.sum(axis=0)
        pages += slate.shape[0]
        state = state.take(np.flatnonzero(~feedback.left))
    return np.asarray(clicks / pages, np.float64)


def _behavior_slate(store: Store, state: SessionState) -> NDArray[np.int32]:
    page = query_page(state.query, state.context, store.candidates, store.config.slate_size)
    draw = Draw(store.config.seed + 1, state.user, state.step)
    actions = store.behavior_policy.rank(page, draw, slate_size=store.config.slate_size)
    return np.take_along_axis(page.candidates, actions, axis=1).astype(np.int32)


def purchase_drivers(store: Store, *, n_users: int = 20_000) -> PurchaseDrivers:
    """Purchases per click of held-out users under the behaviour policy, by price and by taste."""
    shop = store.true_simulator.shop
    price, taste, bought = [], [], []
    state = store.true_simulator.begin(HELD_OUT_USERS + np.arange(n_users), seed=store.config.seed)
    for _ in range(_PAGES):
        slate = _behavior_slate(store, state)
        before = state.hidden.copy()
        feedback = store.true_simulator.respond(state, slate, seed=store.config.seed)
        user, position = np.nonzero(feedback.click)
        item = slate[user, position]
        tastes = before[user, Hidden.TASTE : Hidden.TASTE + STYLE]
        price.append(shop.item_price[item] - before[user, Hidden.REFERENCE])
        taste.append((tastes * shop.item_style[item]).sum(axis=1))
        bought.append(feedback.purchase[user, position])
        state = state.take(np.flatnonzero(~feedback.left))
    purchase = np.concatenate(bought).astype(np.float64)

    def thirds(values: NDArray[np.float32]) -> tuple[float, float, float]:
        low, high = np.quantile(values, [1 / 3, 2 / 3])
        parts = (values <= low, (values > low) & (values <= high), values > high)
        first, second, third = (float(purchase[part].mean()) for part in parts)
        return first, second, third

    return PurchaseDrivers(
        by_price=thirds(np.concatenate(price)), by_taste=thirds(np.concatenate(taste)), clicks=purchase.size
    )


def oracle_gap(store: Store, *, n_users: int = 500, progress: bool = True) -> OracleGap:
    """Random, behaviour policy, and the myopic, planning and belief oracles over the same held-out users.

    The belief oracle takes the weights of the planning oracle's practice and practises no more.
    """
    from agents.baselines import RandomPolicy
    from agents.belief import BeliefConfig, BeliefOracle
    from agents.oracles import MyopicOracle, PlanningConfig, PlanningOracle
    from agents.planning import Tuning
    from evaluation.online import evaluate_online

    world, task = shop_world(store), shop_task(store)
    planner = PlanningOracle.for_world(world, task, PlanningConfig(progress=progress))
    in_belief = BeliefConfig(retuning=Tuning(rounds=0), progress=progress)
    result = evaluate_online(
        {
            "random": RandomPolicy(),
            "behavior": store.behavior_policy,
            "myopic": MyopicOracle(store.true_simulator, task.purchase_weight),
            "planning": planner,
            "belief": BeliefOracle(world, task, in_belief, theta=planner.prepare()[0]),
        },
        world,
        task,
        n_users=n_users,
        seed=store.config.seed + 1,
        first_user=HELD_OUT_USERS,
        progress=progress,
    )
    mean = {name: float(outcome.score.mean()) for name, outcome in result.outcomes.items()}
    difference = result["planning"].score - result["myopic"].score
    half = 1.96 * float(difference.std(ddof=1)) / np.sqrt(n_users)
    gap = mean["planning"] - mean["myopic"]
    return OracleGap(
        **mean,
        gap=gap / mean["myopic"],
        gap_low=float(gap - half) / mean["myopic"],
        gap_high=float(gap + half) / mean["myopic"],
        users=n_users,
    )
