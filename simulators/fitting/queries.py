"""Where users go next: counts of query transitions, smoothed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps

__all__ = ["QueryModel", "Transitions", "fit_queries", "transitions_of"]

_ALPHAS = (1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True)
class Transitions:
    """Pairs of neighbouring pages of one session."""

    query: NDArray[np.int32]  # (n,)
    following: NDArray[np.int32]  # (n,)
    outcome: NDArray[np.int64]  # (n,) 0 no click, 1 click, 2 purchase
    row: NDArray[np.int64]  # (n,) of the first page in the log


@dataclass(frozen=True)
class QueryModel:
    """The fields of `FittedDynamics` that concern queries."""

    stay: NDArray[np.float64]  # (3,)
    row_start: NDArray[np.int64]  # (Q+1,)
    row_query: NDArray[np.int32]  # (Z,)
    row_cumulative: NDArray[np.float64]  # (Z,)
    row_trust: NDArray[np.float64]  # (Q,)
    frequency: NDArray[np.float64]  # (Q,)


def transitions_of(steps: LoggedSteps) -> Transitions:
    """All transitions of a log in which both queries are known."""
    here = np.flatnonzero(
        (steps.session[1:] == steps.session[:-1]) & (steps.query[1:] >= 0) & (steps.query[:-1] >= 0)
    )
    outcome = np.where(
        steps.purchase[here].any(axis=1), 2, np.where(steps.click[here].any(axis=1), 1, 0)
    ).astype(np.int64)
    return Transitions(steps.query[here], steps.query[here + 1], outcome, here)


def fit_queries(steps: LoggedSteps, n_queries: int, weight: NDArray[np.float64] | None = None) -> QueryModel:
    """Chances to keep the query by outcome, and where else users go.

    Args:
        steps: The log.
        n_queries: Queries known.
        weight: (M,) how much each page counts, positive, equal in a session; None: 1.
    """
    t = transitions_of(steps)
    kept = t.query == t.following
    page = np.ones(steps.n_steps) if weight is None else weight
    moving = page[t.row]
    # One half of a pseudo-observation each way: a chance of 0 or 1 is never certain.
    stay = np.array(
        [
            (moving[kept & (t.outcome == o)].sum() + 0.5) / (moving[t.outcome == o].sum() + 1.0)
            for o in range(3)
        ]
    )
    known = steps.query >= 0
    issued = np.bincount(steps.query[known], page[known], minlength=n_queries) + 0.1
    moved_from, moved_to = t.query[~kept].astype(np.int64), t.following[~kept].astype(np.int64)
    moved = moving[~kept]
    frequency = np.bincount(moved_to, moved, minlength=n_queries) + 10.0 * issued / issued.sum()
    frequency = frequency / frequency.sum()
    pair, which, seen = np.unique(moved_from * n_queries + moved_to, return_inverse=True, return_counts=True)
    count = np.bincount(which, moved, minlength=len(pair))
    source = pair // n_queries
    total = np.bincount(moved_from, moved, minlength=n_queries)
    row_start = np.searchsorted(source, np.arange(n_queries + 1)).astype(np.int64)
    running = np.cumsum(count) - (np.cumsum(count) - count)[row_start[source]] if len(pair) else count
    # How much a row's own transitions are to be trusted is chosen on the log as it is, as the priors' strengths are.
    alpha = _choose_alpha(pair, seen, np.bincount(moved_from, minlength=n_queries), frequency)
    return QueryModel(
        stay=stay,
        row_start=row_start,
        row_query=(pair % n_queries).astype(np.int32),
        row_cumulative=np.asarray(running / total[source], np.float64),
        row_trust=total / (total + alpha),
        frequency=frequency,
    )


def _choose_alpha(
    pair: NDArray[np.int64],
    count: NDArray[np.int64],
    total: NDArray[np.int64],
    frequency: NDArray[np.float64],
) -> float:
    """The smoothing with the best leave-one-out likelihood of the transitions."""
    if not len(pair):
        return _ALPHAS[0]
    n_queries = len(frequency)
    source, target = pair // n_queries, pair % n_queries
    overall = frequency[target] / np.maximum(1.0 - frequency[source], 1e-12)

    def score(alpha: float) -> float:
        chance = (count - 1 + alpha * overall) / (total[source] - 1 + alpha)
        return float((count * np.log(chance)).sum())

    return max(_ALPHAS, key=score)
