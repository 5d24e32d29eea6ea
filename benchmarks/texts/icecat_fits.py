"""Models of the Icecat pairs, each learned from some of the queries and judged on others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.texts.icecat import Pairs, World, per_query
from encoders.bert import BertEncoder
from encoders.pairs import PairCounts
from encoders.tuning.bi_encoder import tune_bi_encoder
from encoders.tuning.click_ranker import ClickRankerConfig, fit_click_ranker
from encoders.tuning.config import TuningConfig
from encoders.tuning.examples import Examples
from encoders.tuning.vector_ranker import VectorRankerConfig, fit_vector_ranker, within_query

__all__ = ["BertByRatings", "ByClicks", "ByGains", "Learner", "cross_fit"]

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
START = np.array([1.0, 1.0, 0.0, 0.0, 0.0], np.float32)
"""Both cosines, equally: what is there before anything is learned."""
_INNER = 2


class Learner(Protocol):
    """Learns from the queries of a mask (Q,)."""

    def fit(self, config: Any, queries: Mask) -> tuple[Callable[[Pairs], Floats], Callable[[Mask], float]]:
        """Scores (P,) of any pairs; and how well held-out queries' own labels are met, the larger the better."""
        ...


@dataclass(frozen=True, kw_only=True)
class ByGains:
    """`fit_vector_ranker` on pairs with gains: ratings, or rates of clicks as if they were ratings."""

    world: World
    learn: Pairs

    def fit(
        self, config: VectorRankerConfig, queries: Mask
    ) -> tuple[Callable[[Pairs], Floats], Callable[[Mask], float]]:
        """Held-out queries are met by NDCG@10 by their gains."""
        world, rows = self.world, self.learn.take(queries[self.learn.query])
        ready = world.scores_of(rows)
        known = rows.query, rows.item, rows.gain
        ranker = fit_vector_ranker(world.query, world.views, ready, *known, config, start=START)

        def score(pairs: Pairs) -> Floats:
            return ranker.score(world.query, world.views, world.scores_of(pairs), pairs.query, pairs.item)

        def value(held: Mask) -> float:
            away = self.learn.take(held[self.learn.query])
            return float(np.nanmean(per_query(away, score(away))["NDCG@10"]))

        return score, value


@dataclass(frozen=True, kw_only=True)
class ByClicks:
    """`fit_click_ranker` on the counts of a log."""

    world: World
    counts: PairCounts
    traits: Floats  # (I, C)

    def fit(
        self, config: ClickRankerConfig, queries: Mask
    ) -> tuple[Callable[[Pairs], Floats], Callable[[Mask], float]]:
        """Held-out queries are met by the mean log-likelihood of the clicks of a pair."""
        world, counts = self.world, self.counts.take(queries[self.counts.query])
        ready = within_query(world.scores[counts.query, counts.item], counts.query)
        texts = world.query, world.views
        model = fit_click_ranker(*texts, ready, counts, config, start=START, traits=self.traits)

        def score(pairs: Pairs) -> Floats:
            return model.ranker.score(*texts, world.scores_of(pairs), pairs.query, pairs.item)

        def value(held: Mask) -> float:
            away = self.counts.take(held[self.counts.query])
            pairs = Pairs(
                query=away.query.astype(np.int64), item=away.item.astype(np.int64), gain=away.clicks
            )
            return float(model.log_likelihood(score(pairs), away).mean())

        return score, value


@dataclass(frozen=True, kw_only=True)
class BertByRatings:
    """The weights of the BERT itself, on titles; scores are cosines of titles."""

    world: World
    rated: Pairs
    encoder: BertEncoder

    def fit(
        self, config: TuningConfig, queries: Mask
    ) -> tuple[Callable[[Pairs], Floats], Callable[[Mask], float]]:
        """One setting is all there is time for: nothing says how well held-out queries are met."""
        rows = self.rated.take(queries[self.rated.query])
        texts = self.world.names, self.world.titles
        rating = np.log2(rows.gain + 1.0)
        examples = Examples.from_ratings(*texts, rows.query, rows.item, rating, highest=3.0)
        tuned = tune_bi_encoder(self.encoder, examples, config, progress=False).encoder

        def score(pairs: Pairs) -> Floats:
            used, item_at = np.unique(pairs.item, return_inverse=True)
            asked, query_at = np.unique(pairs.query, return_inverse=True)
            item = tuned.encode([self.world.titles[i] for i in used], progress=False)[item_at]
            query = tuned.encode([self.world.names[q] for q in asked], progress=False)[query_at]
            return np.asarray((query * item).sum(axis=1), np.float32)

        return score, lambda held: 0.0


def cross_fit(
    learner: Learner, judge: Pairs, fold: NDArray[np.int64], grid: Sequence[Any], title: str
) -> tuple[Floats, list[Any]]:
    """Scores (P,) of `judge`, each by a model that saw no pair of its query, and the settings of each fold.

    Args:
        learner: What learns.
        judge: Pairs to score.
        fold: (Q,) fold of each query.
        grid: Settings to choose from, by how two inner folds of the other queries are met.
        title: Of the bar.
    """
    out = np.zeros(len(judge.query), np.float32)
    picks = []
    for f in tqdm(range(int(fold.max()) + 1), desc=title, leave=False, disable=None):
        rest = fold != f
        inner = np.full(len(fold), -1)
        inner[rest] = np.random.default_rng(f).permutation(int(rest.sum())) % _INNER
        values = [
            sum(learner.fit(config, rest & (inner != g))[1](inner == g) for g in range(_INNER))
            for config in (grid if len(grid) > 1 else ())
        ]
        best = grid[int(np.argmax(values))] if values else grid[0]
        picks.append(best)
        score, _ = learner.fit(best, rest)
        rows = fold[judge.query] == f
        out[rows] = score(judge.take(rows))
    return out, picks
