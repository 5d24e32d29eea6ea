"""The policy that made the log: a hand-made score over public tables, drawn from by Plackett-Luce."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.score_policy import ScorePolicy
from encoders.features import CandidateTable
from envs.observation import Observation

__all__ = ["BehaviorPolicy", "shop_candidates", "shop_scores"]


class BehaviorPolicy(ScorePolicy):
    """Ranks by a table of scores (Q, I) that the shop computes from its search engine and its sales.

    It looks at the query and the candidates only, so it can rank any observation of this shop.

    Args:
        table: (Q, I) scores; roughly, one unit is what a candidate must be better by to stand above another.
        temperature: Of the Plackett-Luce draw.
    """

    name = "behavior"

    def __init__(self, table: NDArray[np.float32], *, temperature: float) -> None:
        super().__init__(temperature=temperature)
        self.table = table

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """(B, N)."""
        return self.table[observation.query, observation.candidates].astype(np.float64)


def shop_scores(
    lexical: NDArray[np.float32],
    past_clicks: NDArray[np.float32],
    rating: NDArray[np.float64],
    rating_count: NDArray[np.float64],
) -> NDArray[np.float32]:
    """The hand-made score (Q, I): search engine, clicks of past years on this query, popularity, rating.

    Args:
        lexical: (Q, I) BM25.
        past_clicks: (Q, I) what an earlier system knew of query and product, 0..1, noisy.
        rating: (I,) public rating; nan counts as average.
        rating_count: (I,) number of votes; nan counts as average.
    """
    best = lexical.max(axis=1, keepdims=True)
    text = np.divide(lexical, best, out=np.zeros_like(lexical), where=best > 0)
    fame = _standardise(np.log1p(rating_count))
    stars = _standardise(rating)
    return np.asarray(1.6 * text + 1.4 * past_clicks + (0.45 * fame + 0.2 * stars), np.float32)


def shop_candidates(
    lexical: NDArray[np.float32],
    past_clicks: NDArray[np.float32],
    scores: NDArray[np.float32],
    n_candidates: int,
    *,
    required: NDArray[np.bool_] | None = None,
) -> CandidateTable:
    """The shop's own candidate source (Q, N): best of search engine and of past clicks, best score first.

    Args:
        lexical: (Q, I).
        past_clicks: (Q, I).
        scores: (Q, I) by which they are ordered.
        n_candidates: `N`.
        required: (Q, I) products that must be among the candidates (judged ones), as far as `N` allows.
    """
    Q, n_items = scores.shape
    n = min(n_candidates, n_items)
    # Popular products fill up what neither source finds.
    by_text = _rank(lexical + 1e-3 * scores)
    by_clicks = _rank(past_clicks + 1e-3 * scores)
    place = np.minimum(by_text, by_clicks).astype(np.float64) + 1e-3 * _rank(scores) / n_items
    if required is not None:
        place = np.where(required, -1.0 + 1e-6 * by_text, place)
    chosen = np.argsort(place, axis=1, kind="stable")[:, :n]
    value = np.take_along_axis(scores, chosen, axis=1)
    order = np.argsort(-value, axis=1, kind="stable")
    items = np.full((Q, n_candidates), -1, np.int32)
    points = np.zeros((Q, n_candidates), np.float32)
    items[:, :n] = np.take_along_axis(chosen, order, axis=1)
    ranked = np.take_along_axis(value, order, axis=1)
    points[:, :n] = 1.0 / (1.0 + np.exp(3.5 - 1.2 * ranked))  # a click probability, by rule of thumb
    return CandidateTable(items=items, scores=points)


def _rank(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rank of every entry within its row, 0 the largest; ties in column order."""
    order = np.argsort(-values, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(values.shape[1]), order.shape), axis=1)
    return rank


def _standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = np.nanmean(values) if np.isfinite(values).any() else 0.0
    spread = np.nanstd(values) if np.isfinite(values).any() else 1.0
    return np.nan_to_num((values - mean) / (spread if spread > 0 else 1.0), nan=0.0)
