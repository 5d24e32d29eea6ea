"""The demo store week by week, while what people ask and what they mean by it drifts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from behavior.log import InteractionLog
from behavior.steps import LoggedSteps
from store import Store, TrueUser
from store.log_maker import make_log

__all__ = ["DriftConfig", "Week", "drifting_weeks"]


@dataclass(frozen=True, kw_only=True)
class DriftConfig:
    """How the store drifts."""

    weeks: int = 6
    """Weeks."""
    sessions: int = 900
    """Sessions a week."""
    newcomers: float = 0.5
    """Share of the queries that nobody asks in the first week; each is first asked in a week drawn at random."""
    passing: float = 0.3
    """Share of the queries that nobody asks any more from a week drawn at random."""
    popularity: float = 0.4
    """Standard deviation of a week's change of the logarithm of a query's frequency."""
    meaning: float = 0.04
    """Share of the slang and vague queries that trade their meaning with another one each week."""
    seed: int = 0
    """Seed of the drift and of the logs."""


@dataclass(frozen=True, kw_only=True)
class Week:
    """One week: its log, and what was true in it."""

    steps: LoggedSteps
    relevance: NDArray[np.float32]  # (Q, I) in this week
    asked: NDArray[np.bool_]  # (Q,) queries with a text in this week's log
    alive: NDArray[np.bool_]  # (Q,) queries that this week's people may come with


def drifting_weeks(store: Store, config: DriftConfig) -> list[Week]:
    """Logs of the store's true users under its own policy, a week each, with new people every week."""
    rng = np.random.default_rng([config.seed, 11])
    Q = len(store.queries)
    with_text = np.array([bool(text.strip()) for text in store.queries])
    first = np.where(rng.random(Q) < config.newcomers, rng.integers(1, config.weeks, Q), 0)
    last = np.where(rng.random(Q) < config.passing, rng.integers(1, config.weeks, Q), config.weeks)
    last = np.maximum(last, first + 1)
    loose = np.flatnonzero(np.isin(store.query_kinds, ("slang", "vague")))
    relevance, level = store.relevance.copy(), np.zeros(Q)
    found = []
    for week in range(config.weeks):
        if week:
            level += rng.normal(0.0, config.popularity, Q)
            traded = rng.permutation(loose)[: 2 * max(1, round(config.meaning * len(loose) / 2))]
            relevance[traded] = relevance[traded[::-1]]
        alive = (first <= week) & (week < last)
        factor = np.where(alive, np.exp(level), 0.0)
        steps = _log(store, relevance, factor, config, week)
        asked = np.zeros(Q, np.bool_)
        asked[np.unique(steps.query)] = True
        found.append(
            Week(steps=steps, relevance=relevance.copy(), asked=asked & with_text, alive=alive & with_text)
        )
    return found


def _log(
    store: Store, relevance: NDArray[np.float32], factor: NDArray[np.float64], config: DriftConfig, week: int
) -> LoggedSteps:
    shop = store.true_simulator.shop
    need = np.diff(shop.need, axis=1, prepend=0.0) * factor  # (G + 1, Q) frequencies again
    empty = need.sum(axis=1) <= 0
    need[empty] = factor
    need = np.cumsum(need / need.sum(axis=1, keepdims=True), axis=1)

    def still(table: NDArray[np.int32]) -> NDArray[np.int32]:
        """Follow-up queries that are alive, the others gone from the lists."""
        kept = np.where((table >= 0) & (factor[np.maximum(table, 0)] > 0), table, -1)
        order = np.argsort(kept < 0, axis=1, kind="stable")
        return np.ascontiguousarray(np.take_along_axis(kept, order, axis=1), np.int32)

    drifted = shop._replace(
        relevance=np.ascontiguousarray(relevance),
        need=need,
        refine=still(shop.refine),
        related=still(shop.related),
        complement=still(shop.complement),
    )
    frames = make_log(
        TrueUser(drifted, store.config.user),
        store.behavior_policy,
        store.candidates,
        config=replace(
            store.config,
            n_sessions=config.sessions,
            n_people=config.sessions,
            seed=store.config.seed + 1_000 * (config.seed + 1) + week,
        ),
        item_ids=store.catalog.frame["item_id"].to_numpy(str),
        price=store.catalog.frame["price"].to_numpy(float),
        queries=store.queries,
        context_names=store.context_names,
    )
    log = InteractionLog.from_frame(
        frames.rows, candidates=frames.candidates, source=f"week {week}", catalog=store.catalog
    )
    return log.to_steps(store.catalog, store.queries)
