"""Estimators of single impressions on `Evidence`: with a reward model fitted to other users, or a chosen parameter.

The model's page is what the log knows of it (context, slot) and its items are those of the catalogue; the policy's
probability of every candidate at the logged slot comes from the policy itself.

The diagnostics of all of them are of the *plain* importance weights, whatever an estimator makes of these: an
interval does not count the bias of shrinkage, nor the error of a model, and both are small only where the log
and the policy overlap.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators.blocks import Given, estimate_rows
from evaluation.estimators.doubly_robust import dm, dr, item_distribution, sndr
from evaluation.estimators.result import Estimate
from evaluation.estimators.shrinkage import clipped_ips, dros
from evaluation.estimators.single import importance_weights

if TYPE_CHECKING:
    from evaluation.estimators.cross_fitting import Predictor
    from evaluation.estimators.tuning import Tuned
    from evaluation.evidence import Evidence

__all__ = [
    "GRID",
    "ModelValues",
    "impression_dm",
    "impression_dr",
    "impression_dros",
    "impression_sndr",
    "model_values_of",
    "slot_distribution",
    "tuned_clipped_ips",
]

GRID: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0, math.inf)
"""Clipping and shrinking levels that are tried."""

_WHERE = "reward model of single impressions"


class ModelValues(NamedTuple):
    """What an estimator needs of a reward model."""

    q_logged: NDArray[np.float64]
    """(M,) predicted reward of the item shown."""
    q_policy: NDArray[np.float64]
    """(M,) predicted reward under the policy judged."""


def impression_dm(evidence: Evidence) -> Estimate:
    """Direct method with a cross-fitted model."""
    return _with_overlap(dm(evidence.model_values.q_policy), evidence)


def impression_dr(evidence: Evidence) -> Estimate:
    """Doubly robust with a cross-fitted model."""
    return dr(evidence.reward, *evidence.item, **evidence.model_values._asdict())


def impression_sndr(evidence: Evidence) -> Estimate:
    """Self-normalised doubly robust with a cross-fitted model."""
    return sndr(evidence.reward, *evidence.item, **evidence.model_values._asdict())


def impression_dros(evidence: Evidence) -> Estimate:
    """Doubly robust with optimistic shrinkage, its level by SLOPE over `GRID`."""
    from evaluation.estimators.tuning import tune_slope

    values = evidence.model_values._asdict()
    found = tune_slope(
        lambda level: dros(evidence.reward, *evidence.item, **values, parameter=level),
        GRID,
        clusters=evidence.users,
    )
    return _with_overlap(found.estimate, evidence, name=_name(found))


def tuned_clipped_ips(evidence: Evidence) -> Estimate:
    """Clipped IPS, its level by estimated error over `GRID`."""
    from evaluation.estimators.tuning import tune_mse

    found = tune_mse(
        lambda level: clipped_ips(evidence.reward, *evidence.item, parameter=level),
        GRID,
        reference=math.inf,
        clusters=evidence.users,
    )
    return _with_overlap(found.estimate, evidence, name=_name(found))


def model_values_of(evidence: Evidence, *, model: Predictor | None = None, n_folds: int = 5) -> ModelValues:
    """Fits a reward model to the log, folds by user, and reads off what estimators need.

    Args:
        evidence: A log of single impressions, under one policy.
        model: As for `reward_models.cross_fit_rewards`.
        n_folds: Number of folds; fewer where there are fewer users.

    Raises:
        InputError: A log of pages, of a single item or a single user, or a policy that cannot state its chances.
    """
    from evaluation.estimators.reward_models import cross_fit_rewards

    steps, candidates = evidence.steps, evidence.observation.candidates
    shown = _shown(evidence)
    catalogue, number = np.unique(np.append(candidates[candidates >= 0], shown), return_inverse=True)
    action = number[-shown.size :]
    table = cross_fit_rewards(
        reward=evidence.reward,
        action=action,
        sessions=steps.user,
        n_items=catalogue.size,
        context=_context(steps.context),
        slot=_slot(evidence),
        model=model,
        n_folds=min(n_folds, max(2, int(np.unique(steps.user).size))),
    )
    chances = slot_distribution(evidence)  # (M, N)
    column = np.searchsorted(
        catalogue, np.maximum(candidates, catalogue[0])
    )  # padding has no chance: any column
    policy = np.empty(shown.size)
    for start in range(0, shown.size, 8192):
        rows = slice(start, start + 8192)
        found = np.take_along_axis(table.values[table.index[rows]], column[rows], axis=1)
        policy[rows] = np.einsum("mn,mn->m", chances[rows], found)
    return ModelValues(table.values[table.index, action], policy)


def slot_distribution(evidence: Evidence, *, batch: int = 2048) -> NDArray[np.float64]:
    """(M, N) the policy's probability of each candidate at the slot of the logged impression.

    It asks the policy once for each candidate: N times what a weight costs.

    Raises:
        InputError: A log of pages, or a policy that cannot state its chances.
    """
    from evaluation.logged_actions import logged_positions

    slot = _slot(evidence)
    observation = evidence.observation
    m, n = observation.candidates.shape
    chances = np.zeros((m, n))
    for start in range(0, m, batch):
        rows = np.arange(start, min(start + batch, m))
        seen = observation.take(rows)
        one = np.arange(rows.size)
        for j in range(n):
            items = np.full((rows.size, evidence.steps.slate_size), -1, np.int32)
            items[one, slot[rows]] = seen.candidates[:, j]
            actions, found = logged_positions(items, seen.candidates)
            propensity = evidence.policy.propensity(seen, actions)
            if propensity is None:
                raise InputError(
                    f"{evidence.policy.name!r} cannot state its propensities",
                    where=_WHERE,
                    mend="Judge it by online evaluation, or give it a `propensity` method.",
                )
            chances[rows, j] = np.where(found[one, slot[rows]], propensity.item[one, slot[rows]], 0.0)
    return item_distribution(chances, n=m, n_items=n, name="the policy's chances", where=_WHERE)


def _with_overlap(estimate: Estimate, evidence: Evidence, *, name: str = "") -> Estimate:
    """The same plain mean, with the importance weights of IPS to judge it by."""
    _, weights = importance_weights(estimate.name, evidence.reward, *evidence.item)
    rows = Given(weights[:, None], estimate.numerator, None)
    return estimate_rows(name or estimate.name, rows, caveat=estimate.caveat)


def _name(found: Tuned) -> str:
    """Says the chosen level, and where it is one that a wider grid might have moved."""
    end = f", the {found.at_end} tried" if found.at_end else ""
    return f"{found.estimate.name} at {found.parameter:g}{end}"


def _slot(evidence: Evidence) -> NDArray[np.intp]:
    if not evidence.single:
        raise InputError(
            "the log holds pages",
            where=_WHERE,
            mend="Use the slate estimators; those of single impressions are for logs whose pages are unknown.",
        )
    return np.asarray((evidence.steps.item >= 0).argmax(axis=1), np.intp)


def _shown(evidence: Evidence) -> NDArray[np.int32]:
    return np.take_along_axis(evidence.steps.item, _slot(evidence)[:, None], axis=1)[:, 0]


def _context(context: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """What is unknown becomes 0, with a column that says so."""
    if context.shape[1] == 0:
        return None
    known = np.isfinite(context)
    gaps = ~known[:, ~known.all(axis=0)]
    return np.concatenate([np.where(known, context, 0.0), gaps], axis=1).astype(np.float64)
