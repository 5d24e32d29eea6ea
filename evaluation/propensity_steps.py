"""Logged steps that state no propensities, filled with estimated ones."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from evaluation.logged_actions import logged_positions
from evaluation.propensity_model import EstimatedPropensities, PropensityConfig, estimate_propensities

if TYPE_CHECKING:
    from envs.observation import Observation

__all__ = ["candidate_features", "with_estimated_propensities"]


def candidate_features(observation: Observation) -> NDArray[np.float64]:
    """(M, N, 4) of what most logging policies rank by: relevance, its logarithm, rank, how often it was seen."""
    score = observation.scores.astype(np.float64)
    rank = np.broadcast_to(np.log1p(np.arange(score.shape[1])), score.shape)
    return np.stack(
        [score, np.log(np.maximum(score, 1e-6)), rank, np.log1p(observation.seen.astype(np.float64))], axis=2
    )


def with_estimated_propensities(
    steps: LoggedSteps,
    observation: Observation,
    *,
    features: NDArray[Any] | None = None,
    config: PropensityConfig | None = None,
) -> tuple[LoggedSteps, EstimatedPropensities]:
    """The logged steps with estimated propensities in place of those they state, if any.

    Steps with an item that is not among the candidates keep no propensity (nan), as do pages of single impressions
    below the item: there is no cascade there.

    Args:
        steps: `M` logged steps.
        observation: What was to choose from at each of them (`envs.replay.observe_log`).
        features: (M, N, F) of the candidates; `candidate_features` by default.
        config: How.
    """
    where, found = logged_positions(steps.item, observation.candidates)
    shown = steps.item >= 0
    known = ~(shown & ~found).any(axis=1) & shown.any(axis=1)
    rows = np.flatnonzero(known)
    if rows.size < 2:
        raise InputError(
            f"{rows.size} of {steps.n_steps} logged pages lie within their candidates",
            where="with_estimated_propensities",
            mend="Observe the log with the candidates that the logging policy chose from.",
        )
    given = candidate_features(observation) if features is None else features
    estimated = estimate_propensities(
        given[rows],
        observation.candidates[rows] >= 0,
        np.where(shown, where, -1)[rows],
        steps.session[rows],
        config=config,
    )
    item, cascade = (np.full(steps.item.shape, np.nan) for _ in range(2))
    slate = np.full(steps.n_steps, np.nan)
    item[rows] = np.where(shown[rows], estimated.item, np.nan)
    if not steps.single_impressions:
        cascade[rows], slate[rows] = np.where(shown[rows], estimated.cascade, np.nan), estimated.slate
    filled = dataclasses.replace(steps, propensity=item, cascade_propensity=cascade, slate_propensity=slate)
    return filled, estimated
