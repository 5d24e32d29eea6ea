"""What users did with a policy, user by user, so that policies can be compared on the same users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.intervals import Interval, bootstrap_ratio, mean_interval, paired_difference

__all__ = ["OnlineResult", "PolicyOutcome"]


@dataclass(frozen=True, kw_only=True)
class PolicyOutcome:
    """One policy, one session of each of `U` users (users `first_user`, `first_user + 1`, ...)."""

    name: str
    """The policy."""
    score: NDArray[np.float64]
    """(U,) clicks + purchase_weight x purchases."""
    reward: NDArray[np.float64]
    """(U,) undiscounted return: what a learner is trained on."""
    clicks: NDArray[np.float64]
    """(U,) clicks of the session."""
    purchases: NDArray[np.float64]
    """(U,) purchases of the session."""
    revenue: NDArray[np.float64]
    """(U,) summed price of what was bought."""
    length: NDArray[np.float64]
    """(U,) pages seen."""
    left: NDArray[np.bool_]
    """(U,) whether the user left (else: the step limit)."""
    ndcg: NDArray[np.float64]
    """(U,) mean NDCG of the session's pages against true relevance; nan where unknown."""
    diversity: NDArray[np.float64]
    """(U,) mean over pages of the mean pairwise distance (1 - cosine) of shown items."""
    click_by_position: NDArray[np.float64]
    """(K,) clicks per page shown."""
    purchase_by_position: NDArray[np.float64]
    """(K,) purchases per page shown."""
    coverage: float
    """Distinct items shown over the items of the catalogue."""
    seconds: float
    """Wall-clock time."""

    @property
    def n_users(self) -> int:
        """Users served."""
        return int(self.score.shape[0])

    def interval(self, metric: str = "score", *, level: float = 0.95) -> Interval:
        """Mean per session of a (U,) metric with its interval; nan users (no true relevance) are left out."""
        values = np.asarray(getattr(self, metric), np.float64)
        values = values[~np.isnan(values)]
        if values.size == 0:
            nan = float("nan")
            return Interval(
                value=nan, low=nan, high=nan, standard_error=nan, level=level, n_clusters=0, method="no data"
            )
        return mean_interval(values, level=level)


@dataclass(frozen=True, kw_only=True)
class OnlineResult:
    """Several policies on the same users."""

    outcomes: Mapping[str, PolicyOutcome]
    """Outcome by policy name, in the order given."""
    seed: int
    """Key of the users' chance."""
    first_user: int
    """The first user; policies that served fewer users served the first of them."""
    purchase_weight: float
    """Of the score."""

    def __getitem__(self, name: str) -> PolicyOutcome:
        """The outcome of one policy."""
        if name not in self.outcomes:
            raise InputError(
                f"no policy named '{name}' was evaluated",
                where="online evaluation",
                mend=f"Choose one of: {', '.join(self.outcomes)}.",
            )
        return self.outcomes[name]

    def difference(self, first: str, second: str, metric: str = "score", *, level: float = 0.95) -> Interval:
        """Paired difference `first - second` per session over the users that both served."""
        a, b = (np.asarray(getattr(self[name], metric), np.float64) for name in (first, second))
        n = min(a.shape[0], b.shape[0])
        known = ~np.isnan(a[:n]) & ~np.isnan(b[:n])
        return paired_difference(a[:n][known], b[:n][known], level=level)

    def share_of_gap(
        self,
        name: str,
        *,
        low: str = "random",
        high: str = "planning",
        level: float = 0.95,
        n_resamples: int = 2000,
    ) -> Interval:
        """`(score - low) / (high - low)` with a paired bootstrap interval, over the users that all three served."""
        scores = [self[who].score for who in (name, low, high)]
        n = min(score.shape[0] for score in scores)
        mine, floor, ceiling = (score[:n] for score in scores)
        return bootstrap_ratio(
            mine - floor, ceiling - floor, n_resamples=n_resamples, seed=self.seed % 2**32, level=level
        )
