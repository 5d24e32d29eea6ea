"""Learning to rank on vectors that are there already: a low-rank change of the metric, weights of ready-made scores.

A few thousand ratings are too few for 22 million weights, and enough for this. With `q` the vector of a query and `i_v`
those of an item (one a view: title, description), all of unit length, and `z_f` scores standardised within the query,

    score = sum_f w_f z_f + scale * mean_v (cos(q M, i_v M) - cos(q, i_v)),      M = 1 + U V'

so that nothing learned means the weighted scores alone. The penalty `ridge (|w - w_0|^2 + |U V'|^2)` keeps it there.
Gains are taken as they are, so they should be ratings: out of clicks the same score is learned by
`encoders.tuning.click_ranker`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.tuning import losses

__all__ = ["PairScores", "VectorRanker", "VectorRankerConfig", "fit_vector_ranker", "within_query"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class VectorRankerConfig:
    """How the metric and the weights are learned."""

    rank: int = 32
    """Rank of the change of the metric; 0 learns the weights alone."""
    ridge: float = 0.01
    """Pull towards the weights at the start and the metric as it is."""
    ranking: Literal["pairwise", "softmax", "lambda"] = "pairwise"
    """The loss, over the items of each query."""
    steps: int = 50
    """Full-batch Adam steps."""
    learning_rate: float = 0.015
    """Adam's."""
    scale: float = 10.0
    """Of the change in cosine beside the standardised scores."""
    seed: int = 0
    """Of the first U."""


@dataclass(frozen=True, kw_only=True)
class VectorRanker:
    """A fitted ranker."""

    weight: Floats  # (F,)
    left: Floats  # (D, rank)
    right: Floats  # (D, rank)
    scale: float

    def score(
        self,
        query: Floats,
        views: Sequence[Floats],
        scores: Floats,
        query_row: NDArray[np.integer],
        item_row: NDArray[np.integer],
    ) -> Floats:
        """Scores (P,) of the pairs; arguments as in `fit_vector_ranker`."""
        q, items = torch.from_numpy(query), [torch.from_numpy(view) for view in views]
        rows = tuple(torch.from_numpy(np.asarray(row, np.int64)) for row in (query_row, item_row))
        weight, left, right = (torch.from_numpy(part) for part in (self.weight, self.left, self.right))
        ready = torch.from_numpy(scores)
        with torch.no_grad():
            cosines = _cosines(q, items, *rows)
            found = _score(weight, left, right, self.scale, q, items, cosines, ready, *rows)
        return np.asarray(found.numpy(), np.float32)


def within_query(values: NDArray[np.floating], query_row: NDArray[np.integer]) -> Floats:
    """`values` (P,) or (P, F) with mean 0 and deviation 1 within each query; 0 where all are the same."""
    table = np.asarray(values, np.float64).reshape(len(query_row), -1)
    _, place = np.unique(query_row, return_inverse=True)
    n = np.bincount(place).astype(np.float64)[:, None]

    def mean(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([np.bincount(place, weights=column) for column in x.T], axis=1) / n

    centred = table - mean(table)[place]
    spread = np.sqrt(mean(centred**2))[place]
    out = np.where(spread > 1e-9, centred / np.maximum(spread, 1e-9), 0.0)
    return out.reshape(np.shape(values)).astype(np.float32)


class PairScores:
    """The scores of given pairs as a function of what is learned; only the vectors that they need are moved.

    Args:
        query: (Q, D) unit vectors.
        views: Each (I, D), unit vectors of the items, of one text each.
        scores: (P, F) ready-made scores of the pairs, standardised within the query.
        query_row: (P,) rows of `query`.
        item_row: (P,) rows of the views.
        start: (F,) weights to start from and to be pulled to.
        rank: Of the change of the metric; 0 leaves it out.
        scale: Of the change in cosine.
        seed: Of the first U.
    """

    def __init__(
        self,
        query: Floats,
        views: Sequence[Floats],
        scores: Floats,
        query_row: NDArray[np.integer],
        item_row: NDArray[np.integer],
        *,
        start: Floats,
        rank: int,
        scale: float,
        seed: int,
    ) -> None:
        D = query.shape[1]
        generator = torch.Generator().manual_seed(seed)
        self.start = torch.from_numpy(np.asarray(start, np.float32))
        self.weight = self.start.clone().requires_grad_()
        self.left = (torch.randn((D, rank), generator=generator) / D**0.5).requires_grad_()
        self.right = torch.zeros((D, rank), requires_grad=True)
        self.scale = scale
        self.used_query, query_at = np.unique(query_row, return_inverse=True)
        self.used_item, item_at = np.unique(item_row, return_inverse=True)
        self.query_at, self.item_at = torch.from_numpy(query_at), torch.from_numpy(item_at)  # (P,) each
        self._query = torch.from_numpy(query[self.used_query])
        self._views = [torch.from_numpy(view[self.used_item]) for view in views]
        self._cosines = _cosines(self._query, self._views, self.query_at, self.item_at)
        self.scores = torch.from_numpy(np.asarray(scores, np.float32))

    @property
    def learned(self) -> list[torch.Tensor]:
        """What is learned."""
        return [self.weight, self.left, self.right] if self.left.shape[1] else [self.weight]

    def __call__(self) -> torch.Tensor:
        """(P,)."""
        rows = self.query_at, self.item_at
        metric = self.left, self.right, self.scale
        return _score(self.weight, *metric, self._query, self._views, self._cosines, self.scores, *rows)

    def pull(self) -> torch.Tensor:
        """|w - w_0|^2 + |U V'|^2."""
        # |U V'|^2 is the sum of the entries of (U'U) * (V'V).
        moved = ((self.left.T @ self.left) * (self.right.T @ self.right)).sum()
        pull: torch.Tensor = (self.weight - self.start).square().sum() + moved
        return pull

    def ranker(self) -> VectorRanker:
        """What has been learned so far."""
        parts = (np.array(part.detach().numpy(), np.float32) for part in (self.weight, self.left, self.right))
        weight, left, right = parts
        return VectorRanker(weight=weight, left=left, right=right, scale=self.scale)


def fit_vector_ranker(
    query: Floats,
    views: Sequence[Floats],
    scores: Floats,
    query_row: NDArray[np.integer],
    item_row: NDArray[np.integer],
    gain: NDArray[np.floating],
    config: VectorRankerConfig,
    *,
    start: Floats,
) -> VectorRanker:
    """Learn from pairs with gains.

    Args:
        query: (Q, D) unit vectors.
        views: Each (I, D), unit vectors of the items, of one text each.
        scores: (P, F) ready-made scores of the pairs, standardised within the query.
        query_row: (P,) rows of `query`.
        item_row: (P,) rows of the views.
        gain: (P,) how good the item is for the query, from 0.
        config: Loss and optimiser.
        start: (F,) weights to start from and to be pulled to.
    """
    pairs = PairScores(
        query,
        views,
        scores,
        query_row,
        item_row,
        start=start,
        rank=config.rank,
        scale=config.scale,
        seed=config.seed,
    )
    optimiser = torch.optim.Adam(pairs.learned, lr=config.learning_rate)
    # Each query is a row of a padded table.
    q_at = pairs.query_at.numpy()
    place = np.zeros(len(q_at), np.int64)
    order = np.argsort(q_at, kind="stable")
    starts = np.searchsorted(q_at[order], np.arange(len(pairs.used_query)))
    place[order] = np.arange(len(q_at)) - starts[q_at[order]]
    at = pairs.query_at, torch.from_numpy(place)
    shape = (len(pairs.used_query), int(place.max()) + 1)
    known = torch.zeros(shape).index_put(at, torch.ones(len(q_at)))
    gains = torch.zeros(shape).index_put(at, torch.from_numpy(np.asarray(gain, np.float32)))
    loss_of = {
        "pairwise": losses.pairwise_logistic,
        "softmax": losses.listwise_softmax,
        "lambda": losses.lambda_loss,
    }[config.ranking]
    for _ in range(config.steps):
        ranked = loss_of(torch.zeros(shape).index_put(at, pairs()), gains, known)
        loss = ranked + config.ridge * pairs.pull()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return pairs.ranker()


def _score(
    weight: torch.Tensor,
    left: torch.Tensor,
    right: torch.Tensor,
    scale: float,
    query: torch.Tensor,
    views: Sequence[torch.Tensor],
    cosines: Sequence[torch.Tensor],
    scores: torch.Tensor,
    query_row: torch.Tensor,
    item_row: torch.Tensor,
) -> torch.Tensor:
    plain = scores @ weight  # (P,)
    if left.shape[1] == 0:
        return plain
    # With M = 1 + U V', all products of moved vectors come from a few numbers per vector:
    # (x M) . (y M) = x.y + (x V).(y U) + (x U).(y V) + (x U) V'V (y U)'.
    square = right.T @ right  # (rank, rank)

    def parts(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        u, v = x @ left, x @ right  # (n, rank)
        length = (
            (x.square().sum(1) + 2.0 * (u * v).sum(1) + ((u @ square) * u).sum(1)).clamp(min=1e-12).sqrt()
        )
        return u, v, length

    qu, qv, q_length = (part[query_row] for part in parts(query))
    q_square = qu @ square
    total: torch.Tensor = plain
    for view, cosine in zip(views, cosines, strict=True):
        u, v, length = (part[item_row] for part in parts(view))
        product = cosine + (qv * u).sum(1) + (qu * v).sum(1) + (q_square * u).sum(1)
        total = total + scale / len(views) * (product / (q_length * length) - cosine)
    return total


def _cosines(
    query: torch.Tensor, views: Sequence[torch.Tensor], query_row: torch.Tensor, item_row: torch.Tensor
) -> list[torch.Tensor]:
    """Of the pairs, before anything is learned; each (P,)."""
    return [(query[query_row] * view[item_row]).sum(1) for view in views]
