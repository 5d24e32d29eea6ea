"""Slate estimators with a reward model, on `Evidence`: the model is fitted to other users, the policy is asked.

The model is a ridge regression for each position over what `evaluation.propensity_steps.candidate_features` says of a
candidate: relevance, rank, how often it was seen. It knows nothing of the items above; what it gets wrong the
weights of Cascade-DR put right, and the direct method does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators.blocks import Given, estimate_rows
from evaluation.estimators.cascade_dr import cascade_dr_from_values, sncascade_dr_from_values
from evaluation.estimators.doubly_robust import UNCORRECTED
from evaluation.estimators.result import Estimate

if TYPE_CHECKING:
    from envs.observation import Observation
    from evaluation.evidence import Evidence

__all__ = ["PageValues", "page_cascade_dr", "page_dm", "page_sncascade_dr", "page_values_of"]

_WHERE = "reward model of pages"


@dataclass(frozen=True)
class PageValues:
    """What estimators need of a reward model, `M` rows."""

    predicted: NDArray[np.float64]
    """(M, K) reward foretold from this position down, for the item shown."""
    expected: NDArray[np.float64]
    """(M, K) the same averaged over the policy's choice there, given the logged items above."""
    direct: NDArray[np.float64]
    """(M, K) reward foretold of the position alone, averaged over the policy's pages."""


def page_cascade_dr(evidence: Evidence) -> Estimate:
    """Cascade-DR with a cross-fitted model."""
    return _cascade(evidence, normalise=False)


def page_sncascade_dr(evidence: Evidence) -> Estimate:
    """Self-normalised Cascade-DR with a cross-fitted model."""
    return _cascade(evidence, normalise=True)


def page_dm(evidence: Evidence) -> Estimate:
    """Slate direct method with a cross-fitted model; its diagnostics are those of the item-position weights."""
    direct = page_values_of(evidence, marginals=True).direct
    logging, judged = evidence.item
    return estimate_rows("SlateDM", Given(judged / logging, direct, None), caveat=UNCORRECTED)


def _cascade(evidence: Evidence, *, normalise: bool) -> Estimate:
    if evidence.cascade is None:
        raise InputError(
            "the log, or the policy, states no propensities of whole pages",
            where=_WHERE,
            mend="Use estimators that need those of items alone, such as SNIIPS.",
        )
    values = page_values_of(evidence)
    estimator = sncascade_dr_from_values if normalise else cascade_dr_from_values
    return estimator(
        evidence.reward,
        *evidence.cascade,
        predicted=values.predicted,
        expected=values.expected,
        shown=evidence.steps.item >= 0,
    )


def page_values_of(
    evidence: Evidence, *, n_folds: int = 5, batch: int = 1024, marginals: bool = False
) -> PageValues:
    """Fits the model by folds of users, and averages it over the policy.

    A policy that draws from scores is asked once a batch; any other once for each candidate at each position.

    Args:
        evidence: A log of pages under one policy.
        n_folds: Number of folds; fewer where there are fewer users.
        batch: Pages held at once.
        marginals: Whether `direct` is wanted; else it is nan.

    Raises:
        InputError: A log of single impressions, of a single user, or a policy that states no propensities.
    """
    from sklearn.linear_model import Ridge

    from evaluation.fqe.folds import session_folds
    from evaluation.logged_actions import logged_positions
    from evaluation.propensity_steps import candidate_features

    users = evidence.steps.user
    n_folds = min(n_folds, int(np.unique(users).size))
    if evidence.single or n_folds < 2:
        raise InputError(
            "the log holds single impressions" if evidence.single else "the log holds a single user",
            where=_WHERE,
            mend="Use the estimators of single impressions."
            if evidence.single
            else "No model can be fitted to others.",
        )
    observation, shown = evidence.observation, evidence.steps.item >= 0
    M, K = shown.shape
    features = candidate_features(observation)  # (M, N, F)
    place, found = logged_positions(evidence.steps.item, observation.candidates)
    known = shown & found
    folds = session_folds(users, n_folds)
    predicted, expected, direct = np.zeros((M, K)), np.zeros((M, K)), np.full((M, K), np.nan)
    # In an order of their own, so that sums are the same however the rows come.
    order = np.lexsort((*place.T, evidence.steps.step, users))
    for fold in np.unique(folds):
        train = order[folds[order] != fold]
        models, below = [], np.zeros(K)
        for k in range(K):
            rows = train[known[train, k]]
            if rows.size:
                reward = evidence.reward[rows, k]
                models.append(Ridge(alpha=1.0).fit(features[rows, place[rows, k]], reward))
                below[:k] += reward.mean()
            else:
                models.append(None)
        mine = np.flatnonzero(folds == fold)
        for start in range(0, mine.size, batch):
            rows = mine[start : start + batch]
            flat = features[rows].reshape(-1, features.shape[2])
            q = np.stack(
                [np.zeros(len(flat)) if one is None else one.predict(flat) for one in models], axis=1
            ).reshape(rows.size, -1, K)  # (m, N, K) of the position alone
            seen = observation.take(rows)
            given_above = _given_above(evidence, seen, rows, place[rows], K)
            predicted[rows] = np.take_along_axis(q, place[rows][:, None, :], axis=1)[:, 0, :] + below
            expected[rows] = np.einsum("mnk,mnk->mk", given_above, q) + below
            if marginals:
                direct[rows] = np.where(
                    shown[rows], np.einsum("mnk,mnk->mk", _marginals(evidence, seen, K), q), 0.0
                )
    return PageValues(predicted, expected, direct)


def _given_above(
    evidence: Evidence,
    seen: Observation,
    rows: NDArray[np.intp],
    place: NDArray[np.int64],
    K: int,
) -> NDArray[np.float64]:
    """(m, N, K) the policy's chance of each candidate, given the logged items above."""
    from agents.score_policy import ScorePolicy

    policy = evidence.policy
    m, N = seen.candidates.shape
    found = np.zeros((m, N, K))
    if isinstance(policy, ScorePolicy) and policy.temperature > 0:
        scores = policy.masked_scores(seen)
        for k in range(K):
            rates = np.exp(scores - scores.max(axis=1, keepdims=True))
            total = rates.sum(axis=1, keepdims=True)
            found[:, :, k] = np.divide(rates, total, out=np.zeros_like(rates), where=total > 0)
            scores[np.arange(m), place[:, k]] = -np.inf
            scores[~np.isfinite(scores).any(axis=1), 0] = 0.0  # nothing left: no position below is shown
        return found
    above = np.ones(m)
    for k in range(K):
        joint = _asked(evidence, seen, place[:, :k], K)[0]
        np.divide(joint, above[:, None], out=found[:, :, k], where=above[:, None] > 0)
        above = joint[np.arange(m), place[:, k]]
    return found


def _marginals(evidence: Evidence, seen: Observation, K: int) -> NDArray[np.float64]:
    """(m, N, K) the policy's chance of each candidate at each position."""
    from agents import plackett_luce
    from agents.score_policy import ScorePolicy

    policy = evidence.policy
    if isinstance(policy, ScorePolicy) and policy.temperature > 0:
        scores = policy.masked_scores(seen)
        enough = (scores > -np.inf).sum(axis=1) >= K
        if enough.all():
            return plackett_luce.position_marginals(scores, K).transpose(0, 2, 1)
    return np.stack(
        [
            _asked(evidence, seen, np.empty((seen.candidates.shape[0], k), np.int64), K, fixed=False)[1]
            for k in range(K)
        ],
        axis=2,
    )


def _asked(
    evidence: Evidence, seen: Observation, above: NDArray[np.int64], K: int, *, fixed: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The policy's cascade and item-position chances (m, N) of each candidate below the given ones.

    Where not `fixed`, the items above are any: only the item-position chance means something.
    """
    from evaluation.logged_actions import logged_positions

    m, N = seen.candidates.shape
    k = above.shape[1]
    cascade, item = np.zeros((m, N)), np.zeros((m, N))
    items = np.full((m, K), -1, np.int32)
    if fixed:
        items[:, :k] = np.take_along_axis(seen.candidates, above, axis=1)
    for j in range(N):
        items[:, k] = seen.candidates[:, j]
        possible = (items[:, k] >= 0) & (items[:, :k] != items[:, k, None]).all(axis=1)
        asked = items.copy()
        asked[~possible, k] = -1
        actions, _ = logged_positions(asked, seen.candidates)
        propensity = evidence.policy.propensity(seen, actions)
        if propensity is None:
            raise InputError(
                f"{evidence.policy.name!r} cannot state its propensities",
                where=_WHERE,
                mend="Judge it by online evaluation, or give it a `propensity` method.",
            )
        cascade[:, j] = np.where(possible, propensity.cascade[:, k], 0.0)
        item[:, j] = np.where(possible, propensity.item[:, k], 0.0)
    return cascade, item
