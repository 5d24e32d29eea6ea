"""Logs of rankers that know what users like, by users whose examination is known: what estimates are tried on.

Appeal is a line in the features, plus (where `hidden` is not zero) a number for each query and item that no feature
shows and the rankers know: then features alone mistake the top of the page for better looked at than it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps, SessionEnd
from encoders.features import FeatureTables
from simulators.click_models import looks, sigmoid
from simulators.example import example_candidates, example_features

__all__ = ["BiasWorld", "Ranking", "Users", "make_bias_world"]

Floats = NDArray[np.float64]
Ranking = Literal["random", "one ranker", "two rankers", "drifting ranker"]
Users = Literal["pbm", "cascade"]
RANKINGS: tuple[Ranking, ...] = ("random", "one ranker", "two rankers", "drifting ranker")

_PERIODS = 8
_AFTER_CLICK, _AFTER_SKIP = 0.35, 0.85


@dataclass(frozen=True, kw_only=True)
class BiasWorld:
    """A shop, and users whose examination is known."""

    features: FeatureTables
    candidates: NDArray[np.int32]  # (Q, N)
    appeal: Floats  # (Q, N) logits of the candidates
    users: Users
    n_positions: int

    @property
    def gamma(self) -> Floats:
        """(K,) examination of users who do not look from the top: one over the square root of the place."""
        return np.asarray(1.0 / np.sqrt(np.arange(1.0, self.n_positions + 1.0)))

    def log(self, ranking: Ranking, n_pages: int, *, seed: int) -> tuple[LoggedSteps, Floats]:
        """One page a session.

        Returns:
            The log, and the true examination (K,) relative to the first position: for users who look from the top, the
            chance of a look averaged over the pages of the log.
        """
        rng = np.random.default_rng([seed, 0xB1A5ED])
        n_queries = len(self.appeal)
        query = rng.integers(0, n_queries, n_pages)
        order = self._order(ranking, n_pages, query, rng)[:, : self.n_positions]
        appeal = sigmoid(self.appeal[query[:, None], order])
        click = rng.random(appeal.shape) < appeal
        if self.users == "pbm":
            click &= rng.random(appeal.shape) < self.gamma
            truth = self.gamma
        else:
            go_on = rng.random(appeal.shape) < np.where(click, _AFTER_CLICK, _AFTER_SKIP)
            looked = np.ones(appeal.shape, bool)
            looked[:, 1:] = np.cumprod(go_on[:, :-1], axis=1).astype(bool)
            click &= looked
            truth = looks(appeal, after_click=_AFTER_CLICK, after_skip=_AFTER_SKIP).mean(axis=0)
        return self._steps(query, order, click), truth / truth[0]

    def _order(
        self, ranking: Ranking, n_pages: int, query: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """(M, N) candidates of each page, best first, in the eyes of the ranker."""
        shape = self.appeal.shape
        if ranking == "random":
            return np.argsort(rng.random((n_pages, shape[1])), axis=1)
        taste = rng.normal(size=(_PERIODS, *shape))  # what rankers get wrong
        if ranking == "one ranker":
            which = np.zeros(n_pages, np.int64)
        elif ranking == "two rankers":
            which = rng.integers(0, 2, n_pages)
        else:  # each period keeps most of the one before
            for t in range(1, _PERIODS):
                taste[t] = 0.8 * taste[t - 1] + 0.6 * taste[t]
            which = np.arange(n_pages) * _PERIODS // n_pages
        order: NDArray[np.int64] = np.argsort(-(self.appeal + taste), axis=2)  # (periods, Q, N)
        return order[which, query]

    def _steps(
        self, query: NDArray[np.int64], order: NDArray[np.int64], click: NDArray[np.bool_]
    ) -> LoggedSteps:
        m = len(query)
        unknown = np.full(order.shape, np.nan)
        return LoggedSteps(
            session=np.arange(m),
            user=np.arange(m),
            step=np.zeros(m, np.int32),
            query=query.astype(np.int32),
            timestamp=np.arange(m) * 1_000_000_000,
            item=self.candidates[query[:, None], order],
            click=click.astype(np.uint8),
            purchase=np.zeros(order.shape, np.uint8),
            candidates=np.empty((m, 0), np.int32),
            propensity=unknown,
            cascade_propensity=unknown.copy(),
            slate_propensity=np.full(m, np.nan),
            session_end=np.full(m, SessionEnd.LEFT, np.int8),
            context=np.empty((m, 0), np.float32),
            context_names=(),
            queries=tuple(f"query {q}" for q in range(self.features.n_queries)),
            single_impressions=False,
        )


def make_bias_world(
    users: Users = "pbm",
    *,
    hidden: float = 0.0,
    n_queries: int = 30,
    n_candidates: int = 12,
    n_positions: int = 6,
    seed: int = 0,
) -> BiasWorld:
    """A world; `hidden` is the standard deviation, in logits, of what features do not show of a query and item."""
    features = example_features(n_items=120, n_queries=n_queries, seed=seed)
    candidates = example_candidates(features, n_candidates)
    relevance = np.einsum("qd,qnd->qn", features.relevance.click_query, features.relevance.item[candidates])
    rng = np.random.default_rng([seed, 0x4A99EA])
    appeal = -1.6 + 0.8 * relevance - 0.4 * features.item_numeric[candidates, 0]
    return BiasWorld(
        features=features,
        candidates=candidates,
        appeal=appeal + hidden * rng.normal(size=appeal.shape),
        users=users,
        n_positions=n_positions,
    )
