"""Estimated propensities against those of policies that are known, and what is said where they cannot be right."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents import plackett_luce
from agents.score_policy import ScorePolicy
from behavior.errors import InputError
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.estimators import sniips
from evaluation.propensity_model import (
    EstimatedPropensities,
    PropensityConfig,
    PropensityWarning,
    estimate_propensities,
)
from evaluation.propensity_steps import with_estimated_propensities

M, N, K, F = 900, 8, 3, 2
QUICK = PropensityConfig(n_folds=3)


def _log(scores: Any, seed: int = 1) -> NDArray[np.int64]:
    return plackett_luce.sample(scores, np.random.default_rng(seed).gumbel(size=scores.shape), K)


@pytest.fixture(scope="module")
def features() -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=(M, N, F))


def _estimated(x: Any, action: Any, **changes: Any) -> EstimatedPropensities:
    sessions = changes.pop("sessions", np.arange(len(x)) // 3)
    candidate = changes.pop("candidate", np.ones(x.shape[:2], np.bool_))
    with pytest.warns(PropensityWarning, match="ESTIMATED"):
        return estimate_propensities(x, candidate, action, sessions, config=QUICK, **changes)


def test_known_propensities_are_found(features: Any) -> None:
    scores = features @ [0.8, -0.5]
    action = _log(scores)
    found = _estimated(features, action)
    item = plackett_luce.item_position_marginals(scores, action)
    cascade = np.exp(plackett_luce.log_cascade(scores, action))
    assert found.calibrated
    assert np.abs(np.log(found.item / item)).mean() < 0.1
    assert np.abs(np.log(found.cascade / cascade)).mean() < 0.1
    np.testing.assert_array_equal(found.slate, found.cascade[:, -1])
    assert (found.item >= found.cascade).all()
    assert found.item_calibration.slope == pytest.approx(1.0, abs=0.1)
    # What is judged with them is near what is judged with the true ones.
    reward = (np.random.default_rng(2).random((M, K)) < 0.3 / (1 + np.arange(K))).astype(np.float64)
    judged = plackett_luce.item_position_marginals(-scores, action)
    true, ours = (sniips(reward, b, np.minimum(judged, 1)) for b in (item, found.item))
    assert abs(true.value - ours.value) < 2 * true.standard_error


def test_a_policy_that_uses_something_else_is_called_not_calibrated(features: Any) -> None:
    found = _estimated(features, _log(3 * np.abs(features[:, :, 0])))
    assert not found.calibrated
    assert "NOT CALIBRATED" in found.warning


def test_rows_in_any_order(features: Any) -> None:
    action = _log(features @ [0.8, -0.5])
    x, action, sessions = features[:300], action[:300], np.array([f"s{i // 4}" for i in range(300)], object)
    order = np.random.default_rng(3).permutation(300)
    one = _estimated(x, action, sessions=sessions)
    two = _estimated(x[order], action[order], sessions=sessions[order])
    np.testing.assert_allclose(two.item, one.item[order], rtol=1e-12)
    np.testing.assert_allclose(two.cascade, one.cascade[order], rtol=1e-12)


def test_short_lists_and_pages_and_single_impressions(features: Any) -> None:
    x = features[:400]
    scores = np.where(np.arange(N) < 5, x @ [0.8, -0.5], -np.inf)
    full = _log(scores)
    candidate = np.tile(np.arange(N) < 5, (400, 1))
    action = full.copy()
    action[::2, 2] = -1
    found = _estimated(x, action, candidate=candidate)
    assert (found.item[::2, 2] == 1).all()
    assert (found.cascade[::2, 2] == found.cascade[::2, 1]).all()
    assert found.item[:, 0].mean() == pytest.approx(found.cascade[:, 0].mean())
    # one item a row, somewhere: the chance of its slot alone
    single = np.full((400, K), -1)
    single[np.arange(400), np.arange(400) % K] = full[:, 0]
    alone = _estimated(x, single, candidate=candidate)
    np.testing.assert_array_equal(alone.item.min(axis=1), alone.slate)
    truth = plackett_luce.item_position_marginals(scores, full)[:, 0]
    assert np.abs(np.log(alone.slate / truth)).mean() < 0.25


def test_refusals(features: Any) -> None:
    x, everything = features[:30], np.ones((30, N), np.bool_)
    action, sessions = _log(x @ [0.8, -0.5]), np.arange(30)
    twice, outside, nothing = action.copy(), action.copy(), action.copy()
    twice[4, 1] = twice[4, 0]
    outside[4, 1] = N
    nothing[4] = -1
    spoiled = x.copy()
    spoiled[4, 1, 0] = np.nan
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("twice", (x, everything, twice, sessions)),
        ("row 4", (x, everything, outside, sessions)),
        ("row 4", (x, everything, nothing, sessions)),
        ("no candidate", (x, everything & (np.arange(N) != action[0, 0]), action, sessions)),
        ("row 4", (spoiled, everything, action, sessions)),
        ("folds", (x, everything, action, np.zeros(30))),
        ("`features`", (x, everything[:, 1:], action, sessions)),
        ("`action`", (x, everything, action.astype(float), sessions)),
    ]
    for words, arguments in calls:
        with pytest.raises(InputError, match=words):
            estimate_propensities(*arguments)


class _ByRelevance(ScorePolicy):
    name = "by relevance"

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        return np.asarray(6.0 * observation.scores, np.float64)


def test_a_log_without_propensities_gets_them(first_pages: Any) -> None:
    task = TaskConfig(slate_size=3)
    steps, observation = first_pages(toy_world(), task, _ByRelevance(), 400, seed=0, draw_seed=1)
    blank = dataclasses.replace(
        steps,
        propensity=np.full_like(steps.propensity, np.nan),
        cascade_propensity=np.full_like(steps.propensity, np.nan),
        slate_propensity=np.full(400, np.nan),
    )
    blank.item[7, 0] = 10_000  # never a candidate
    with pytest.warns(PropensityWarning):
        filled, found = with_estimated_propensities(blank, observation, config=QUICK)
    assert np.isnan(filled.propensity[7]).all()
    rest = np.arange(400) != 7
    assert np.abs(np.log(filled.propensity[rest] / steps.propensity[rest])).mean() < 0.2
    assert np.abs(np.log(filled.slate_propensity[rest] / steps.slate_propensity[rest])).mean() < 0.4
    assert found.item.shape == (399, 3)
    single = dataclasses.replace(
        blank, item=np.where(np.arange(3) == 0, steps.item, -1), single_impressions=True
    )
    with pytest.warns(PropensityWarning):
        filled, _ = with_estimated_propensities(single, observation, config=QUICK)
    assert np.isnan(filled.slate_propensity).all()
    assert np.isfinite(filled.propensity[rest, 0]).all()
    with pytest.raises(InputError, match="within their candidates"):
        with_estimated_propensities(
            dataclasses.replace(blank, item=np.full_like(blank.item, 10_000)), observation
        )
