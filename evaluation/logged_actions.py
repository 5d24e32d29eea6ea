"""Logged slates as an off-policy estimator wants them: rewards, logged and evaluation propensities.

Logged items become candidate positions, the policy is asked for its exact item marginals, and positions that
both would leave empty get reward 0 and probability 1 on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError
from behavior.steps import LoggedSteps

if TYPE_CHECKING:
    from agents.base import Policy
    from envs.observation import Observation

__all__ = ["LoggedSlates", "logged_positions", "logged_slates"]


@dataclass(frozen=True, kw_only=True)
class LoggedSlates:
    """Arrays of `M` rows: `(M, K)` for slates, `(M,)` for single impressions."""

    reward: NDArray[np.float64]
    """Clicks + weight x purchases."""
    click: NDArray[np.float64]
    """Clicks alone."""
    logging: NDArray[np.float64]
    """Logged propensity of this item at this position."""
    evaluation: NDArray[np.float64]
    """Probability of this item at this position under the policy judged."""
    cascade_logging: NDArray[np.float64] | None
    """(M, K) logged propensity of the slate down to here; None for single impressions or where any is unknown."""
    cascade_evaluation: NDArray[np.float64] | None
    """(M, K) the same under the policy judged."""
    outside: int
    """Logged items that were not among the candidates of the observation."""


def logged_positions(
    items: NDArray[np.int32], candidates: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Candidate positions of logged items.

    Args:
        items: (M, K) catalogue rows, -1 where nothing was shown or known.
        candidates: (M, N) catalogue rows, -1 padding.

    Returns:
        Positions (M, K), distinct within a row and never padded while real candidates last; and a mask (M, K) of
        those that are the logged item's own. The others are filled with the first unused candidates, so that the
        row is a valid slate.
    """
    match = (candidates[:, None, :] == items[:, :, None]) & (items >= 0)[:, :, None]  # (M, K, N)
    found = match.any(axis=2)  # (M, K)
    actions = np.where(found, match.argmax(axis=2), -1).astype(np.int64)
    free = ~match.any(axis=1)  # (M, N)
    # Unused real candidates first, in source order; padding only where there is nothing else.
    order = np.argsort(np.where(free, 0, 2) + np.where(candidates >= 0, 0, 1), axis=1, kind="stable")
    nth = np.cumsum(~found, axis=1) - 1  # (M, K) which free candidate fills this gap
    filler = np.take_along_axis(order, np.maximum(nth, 0), axis=1)
    return np.where(found, actions, filler), found


def logged_slates(
    policy: Policy,
    steps: LoggedSteps,
    observation: Observation,
    *,
    purchase_weight: float,
    batch: int,
    progress: bool,
) -> LoggedSlates | None:
    """The logged steps as estimators want them; None where the policy states no propensities.

    Raises:
        InputError: Single impressions with more than one item a row, or slates that repeat an item.
    """
    items = steps.item
    shown = items >= 0  # (M, K)
    m, k = items.shape
    if observation.candidates.shape[1] < k:
        raise InputError(
            f"{observation.candidates.shape[1]} candidates for {k} positions",
            where="off-policy evaluation",
            mend="Observe the log with at least as many candidates as positions.",
        )
    if steps.single_impressions and (shown.sum(axis=1) != 1).any():
        row = int(np.flatnonzero(shown.sum(axis=1) != 1)[0])
        raise InputError(
            f"{int(shown[row].sum())} items in a log of single impressions, expected 1",
            where=f"logged step {row}",
            mend="Read the log as slates.",
        )
    marginal, cascade = np.zeros((m, k)), np.zeros((m, k))
    found = np.zeros((m, k), np.bool_)
    bar = tqdm(
        total=m,
        desc=f"off-policy {policy.name}",
        unit="step",
        leave=False,
        disable=None if progress else True,
    )
    with bar:
        for start in range(0, m, batch):
            rows = np.arange(start, min(start + batch, m))
            seen = observation.take(rows)
            actions, found[rows] = logged_positions(items[rows], seen.candidates)
            propensity = policy.propensity(seen, actions)
            if propensity is None:
                return None
            marginal[rows], cascade[rows] = propensity.item, propensity.cascade
            bar.update(rows.size)
    evaluation = np.where(found, marginal, 0.0)
    reward = steps.click.astype(np.float64) + purchase_weight * steps.purchase.astype(np.float64)
    reward, click = np.where(shown, reward, 0.0), np.where(shown, steps.click, 0).astype(np.float64)
    outside = int((shown & ~found).sum())
    if steps.single_impressions:
        at = shown.argmax(axis=1)[:, None]  # (M, 1) the slot of the impression

        def slot(array: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.take_along_axis(array, at, axis=1)[:, 0]

        return LoggedSlates(
            reward=slot(reward),
            click=slot(click),
            logging=slot(steps.propensity),
            evaluation=slot(evaluation),
            cascade_logging=None,
            cascade_evaluation=None,
            outside=outside,
        )
    # Below an item that the policy could not show, its slate is no longer the logged one.
    intact = np.logical_and.accumulate(found | ~shown, axis=1)
    known = not np.isnan(steps.cascade_propensity[shown]).any()
    return LoggedSlates(
        reward=reward,
        click=click,
        cascade_logging=np.where(shown, steps.cascade_propensity, 1.0) if known else None,
        cascade_evaluation=np.where(shown, np.where(intact, cascade, 0.0), 1.0) if known else None,
        logging=np.where(shown, steps.propensity, 1.0),
        evaluation=np.where(shown, evaluation, 1.0),
        outside=outside,
    )
