"""The log as counts per (query, item), with the pull of the position taken out.

An impression at position `k` counts as `theta_k` of an *examined* one. With `gamma_p` the click rate of a pair when
examined, clicks are taken as Poisson with mean `n_pk theta_k gamma_p`; this multiplicative model is fitted by
alternating closed forms with a Gamma prior on `gamma`, which shrinks pairs seen rarely to the overall rate. It is
the small-rate limit of the position-based click model (Richardson, Dominowska, Ragno, WWW 2007) and needs pairs
that were shown at several positions, which every stochastic ranking gives.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps

__all__ = ["PairCounts", "concatenate", "count_pairs", "examination_by_position", "merged", "sum_over_pairs"]


@dataclass(frozen=True, kw_only=True)
class PairCounts:
    """`P` distinct (query, item) pairs of a log, ordered by query, then item."""

    query: NDArray[np.int32]  # (P,)
    item: NDArray[np.int32]  # (P,)
    impressions: NDArray[np.float64]  # (P,) times shown
    exposure: NDArray[np.float64]  # (P,) impressions weighted by examination: comparable across positions
    clicks: NDArray[np.float64]  # (P,)
    purchases: NDArray[np.float64]  # (P,)

    @property
    def n_pairs(self) -> int:
        """Number of distinct pairs `P`."""
        return int(self.query.shape[0])

    @property
    def misses(self) -> NDArray[np.float64]:
        """Examined impressions without a click (P,), never negative."""
        return np.maximum(self.exposure - self.clicks, 0.0)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> PairCounts:
        """The pairs at `rows` (a mask or row numbers)."""
        return PairCounts(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def click_rate(self, strength: float = 2.0) -> NDArray[np.float64]:
        """Clicks per examined impression (P,), shrunk towards the overall rate by `strength` impressions."""
        mean = self.clicks.sum() / max(self.exposure.sum(), 1e-12)
        rate: NDArray[np.float64] = (self.clicks + strength * mean) / (self.exposure + strength)
        return rate


def examination_by_position(
    steps: LoggedSteps, *, strength: float = 5.0, iterations: int = 30
) -> NDArray[np.float64]:
    """Relative examination of each position (K,), 1 at the most examined.

    Args:
        steps: The log.
        strength: Prior weight, in examined impressions per pair, of the overall click rate.
        iterations: Rounds of the alternating closed forms.
    """
    K = steps.slate_size
    row, position = np.nonzero(steps.item >= 0)
    pair = _pair_numbers(steps, row, position)
    n_pairs = int(pair.max()) + 1 if pair.size else 0
    click = steps.click[row, position].astype(np.float64)
    shown_at = np.bincount(position, minlength=K).astype(np.float64)  # (K,)
    clicked_at = np.bincount(position, weights=click, minlength=K)  # (K,)
    clicks = np.bincount(pair, weights=click, minlength=n_pairs)  # (P,)
    if clicks.sum() == 0.0:
        return np.ones(K)
    mean = clicks.sum() / shown_at.sum()
    # Ten expected clicks' worth of caution per position: it matters only where clicks are few (Open Bandit has
    # about 40 in all).
    prior = 10.0
    theta = np.ones(K)
    for _ in range(iterations):
        exposure = np.bincount(pair, weights=theta[position], minlength=n_pairs)
        gamma = (clicks + strength * mean) / (exposure + strength)  # (P,)
        expected = np.bincount(position, weights=gamma[pair], minlength=K)
        theta = (clicked_at + prior) / (expected + prior)
        theta /= theta.max()
    theta[shown_at == 0.0] = theta[shown_at > 0.0].min()
    return theta


def count_pairs(steps: LoggedSteps, examination: NDArray[np.float64]) -> PairCounts:
    """Count shows, clicks and purchases of every (query, item) pair of `steps`."""
    row, position = np.nonzero(steps.item >= 0)
    pair = _pair_numbers(steps, row, position)
    _, first = np.unique(pair, return_index=True)
    n = int(first.shape[0])

    def total(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(pair, weights=weights, minlength=n).astype(np.float64)

    return PairCounts(
        query=steps.query[row[first]].astype(np.int32),
        item=steps.item[row[first], position[first]].astype(np.int32),
        impressions=total(np.ones(row.shape[0])),
        exposure=total(examination[position]),
        clicks=total(steps.click[row, position].astype(np.float64)),
        purchases=total(steps.purchase[row, position].astype(np.float64)),
    )


def sum_over_pairs(steps: LoggedSteps, values: NDArray[Any]) -> NDArray[np.float64]:
    """Sums (P,) of `values` (M, K) over the showings of each pair, ordered as `count_pairs` orders them."""
    row, position = np.nonzero(steps.item >= 0)
    return np.bincount(_pair_numbers(steps, row, position), weights=values[row, position]).astype(np.float64)


def concatenate(parts: list[PairCounts]) -> PairCounts:
    """Counts of several logs, one after another; a pair in two of them stays two rows."""
    return PairCounts(
        **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(PairCounts)}
    )


def merged(pairs: PairCounts) -> PairCounts:
    """Each (query, item) once, its counts added up, ordered by query, then item: `concatenate` may hold it twice."""
    code = pairs.query.astype(np.int64) * (int(pairs.item.max(initial=0)) + 1) + pairs.item
    _, first, number = np.unique(code, return_index=True, return_inverse=True)

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(number, weights=values, minlength=len(first)).astype(np.float64)

    return PairCounts(
        query=pairs.query[first],
        item=pairs.item[first],
        impressions=total(pairs.impressions),
        exposure=total(pairs.exposure),
        clicks=total(pairs.clicks),
        purchases=total(pairs.purchases),
    )


def _pair_numbers(
    steps: LoggedSteps, row: NDArray[np.int64], position: NDArray[np.int64]
) -> NDArray[np.int64]:
    """A dense number per (query, item) of every shown item, ordered by query, then item."""
    item = steps.item[row, position].astype(np.int64)
    code = steps.query[row].astype(np.int64) * (np.int64(item.max(initial=0)) + 1) + item
    _, number = np.unique(code, return_inverse=True)
    dense: NDArray[np.int64] = number.reshape(-1).astype(np.int64)
    return dense
