"""Whether a log can carry a figure at all: effective numbers of users, and choices that the log never shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps
from evaluation.estimators.result import Estimate, effective_sample_size
from evaluation.intervals import mean_interval
from evaluation.intervals.interval import cluster_index, cluster_sums

__all__ = ["SupportLimits", "cluster_ess", "rows_with_propensities", "why_unsupported"]


@dataclass(frozen=True, kw_only=True)
class SupportLimits:
    """When a figure is not believed."""

    min_ess: float = 50.0
    """Least effective number of users (sessions, where users are not known)."""
    max_unsupported: float = 0.1
    """Greatest share of the policy's choices that the log can never show."""
    level: float = 0.95
    """Confidence with which that share must be exceeded."""


def rows_with_propensities(steps: LoggedSteps) -> NDArray[np.bool_]:
    """(M,) rows that show something, each of whose items has a known propensity."""
    shown = steps.item >= 0  # (M, K)
    return np.asarray(shown.any(axis=1) & ~(shown & np.isnan(steps.propensity)).any(axis=1))


def cluster_ess(weights: NDArray[np.float64], clusters: NDArray[Any]) -> float:
    """Effective number of clusters: Kish's formula on the weights (n, P) summed by cluster (n,), smallest over P."""
    dense, count = cluster_index(clusters, weights.shape[0])
    return float(effective_sample_size(cluster_sums(weights, dense, count)).min())


def why_unsupported(
    estimate: Estimate, clusters: NDArray[Any], limits: SupportLimits, *, has_mean_one: bool = True
) -> str:
    """Why the log cannot say what the policy is worth; empty where it can.

    The expectation of a weight under the logging policy is the probability that the policy judged stays inside the
    log's support, so a mean weight surely below 1 shows choices that the log never makes.

    Args:
        estimate: With its weights.
        clusters: (n,) users or sessions.
        limits: The criteria.
        has_mean_one: Whether the weights have mean 1 where the log supports all that the policy does; False for
            weights that were clipped or shrunk.
    """
    weights = estimate.weights  # (n, P)
    if not np.isfinite(estimate.value) or estimate.ess == 0:
        return "the log never shows what the policy would show"
    ess = cluster_ess(weights, clusters)
    if ess < limits.min_ess:
        return f"effective number of users {ess:.1f}, below {limits.min_ess:g}"
    if not has_mean_one:
        return ""
    # The half-width below is two-sided over all positions at once (Bonferroni), so that chance rarely condemns.
    n_positions = weights.shape[1]
    level = 1 - (1 - limits.level) / n_positions
    for k in range(n_positions):
        inside = mean_interval(weights[:, k], clusters=clusters, level=level)
        if inside.high < 1 - limits.max_unsupported:
            where = f" at position {k}" if n_positions > 1 else ""
            return (
                f"about {1 - inside.value:.0%} of the policy's choices{where} are never shown by the log "
                f"(mean weight {inside.value:.2f})"
            )
    return ""
