"""Slate estimators with a fitted reward model, on the log of a small shop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.base import Draw, Policy, SlatePropensity
from agents.score_policy import ScorePolicy
from behavior.errors import InputError
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.estimators import rips
from evaluation.estimators.pages import page_cascade_dr, page_dm, page_sncascade_dr, page_values_of
from evaluation.evidence import Evidence, gather_evidence
from simulators.base import SessionState


class _Ranked(ScorePolicy):
    def __init__(self, strength: float) -> None:
        super().__init__(temperature=1.0)
        self.name, self.strength = f"strength {strength}", strength

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        return np.asarray(self.strength * observation.scores, np.float64)


class _Opaque(Policy):
    """The same policy, of which only propensities are known."""

    name = "opaque"

    def __init__(self, inner: ScorePolicy) -> None:
        self.inner = inner

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        return self.inner.rank(observation, draw, slate_size=slate_size)

    def propensity(self, observation: Observation, actions: NDArray[np.int64]) -> SlatePropensity:
        return self.inner.propensity(observation, actions)


@pytest.fixture(scope="module")
def logged(first_pages: Any) -> Any:
    return first_pages(toy_world(), TaskConfig(slate_size=3), _Ranked(2.0), 600, seed=0, draw_seed=1)


def _evidence(logged: Any, policy: Policy) -> Evidence:
    found = gather_evidence(policy, *logged, purchase_weight=0.0, progress=False)
    assert isinstance(found, Evidence)
    return found


def test_the_model_takes_variance_away_and_adds_no_bias(logged: Any) -> None:
    evidence = _evidence(logged, _Ranked(25.0))
    assert evidence.cascade is not None
    plain = rips(evidence.reward, *evidence.cascade)
    for estimator in (page_cascade_dr, page_sncascade_dr):
        found = estimator(evidence)
        assert found.standard_error < 0.95 * plain.standard_error
        assert abs(found.value - plain.value) < 3 * plain.standard_error
    direct = page_dm(evidence)
    assert abs(direct.value - plain.value) < 4 * plain.standard_error
    np.testing.assert_allclose(direct.weights, evidence.item[1] / evidence.item[0])


def test_its_own_log_is_worth_its_mean(logged: Any) -> None:
    evidence = _evidence(logged, _Ranked(2.0))
    mean = float(evidence.total.mean())
    assert page_cascade_dr(evidence).value == pytest.approx(mean, abs=3 * evidence.total.std() / np.sqrt(600))
    values = page_values_of(evidence)
    assert np.abs(values.predicted.mean(axis=0) - values.expected.mean(axis=0)).max() < 0.03


def test_any_policy_can_be_asked(logged: Any) -> None:
    few = tuple(part.take(np.arange(30)) for part in logged)
    one, two = (
        page_values_of(_evidence(few, policy), marginals=True)
        for policy in (_Ranked(5.0), _Opaque(_Ranked(5.0)))
    )
    for name in ("predicted", "expected", "direct"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), atol=1e-8)


def test_rows_in_any_order(logged: Any) -> None:
    order = np.random.default_rng(0).permutation(600)
    one = page_cascade_dr(_evidence(logged, _Ranked(5.0)))
    two = page_cascade_dr(_evidence(tuple(part.take(order) for part in logged), _Ranked(5.0)))
    assert two.value == pytest.approx(one.value, rel=1e-12)


def test_a_single_user_is_refused(logged: Any) -> None:
    steps, observation = (part.take(np.arange(5)) for part in logged)
    steps.user[:] = 0
    with pytest.raises(InputError, match="single user"):
        page_dm(_evidence((steps, observation), _Ranked(5.0)))
