"""When fitted values have settled: series that converge, drift, diverge, jitter, and leave what rewards allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from agents.baselines import RandomPolicy
from behavior import Catalog
from envs.recorder import SessionRecorder
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.fqe import FqeConfig, FqeData, FqeNotConverged, fitted_q, fitted_q_evaluation
from evaluation.fqe.convergence import BEYOND_REASON, RewardRange, relative_change, settled, size_of
from simulators.shopper import Shopper


class _Slope:
    """Least squares through the origin: a regressor of one's own that is refitted in every round."""

    def fit(self, features: Any, target: Any, sample_weight: Any = None) -> None:
        self.slope = float(features[:, 0] @ target) / float(features[:, 0] @ features[:, 0])

    def predict(self, features: Any) -> Any:
        return features[:, 0] * self.slope


FORMS: list[Any] = ["linear", _Slope]


def _growing(by: float, *, n: int = 40, low: float = -1.0) -> FqeData:
    """A page pays its only feature; the policy's pages at what follows have `by` times as much of it.

    A round takes the slope `b` to `1 + gamma by b`: to `1 / (1 - gamma by)` where that product is below 1, to infinity
    elsewhere.
    """
    x = np.random.default_rng(0).uniform(low, 1.0, (n, 1))
    return FqeData(
        features=x,
        reward=x[:, 0],
        at=np.arange(n),
        then=n + np.arange(n),
        policy_features=np.concatenate([x, by * x])[:, None, :],
        session=np.arange(n),
        step=np.zeros(n, np.int64),
    )


def _paying_for_ever() -> FqeData:
    """Two kinds of page, each pays 1 and leads back to itself; nobody leaves."""
    kind = np.arange(40) % 2
    return FqeData(
        features=np.eye(2)[kind],
        reward=np.ones(40),
        at=kind,
        then=kind,
        policy_features=np.eye(2)[:, None, :],
        session=np.arange(40),
        step=np.zeros(40, np.int64),
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("by", [1.05, 1.5, 1.9, 3.0, -1.5])
def test_values_that_multiply_have_not_converged(form: Any, by: float) -> None:
    """Before squares overflow, a round's change is finite and its share of an infinite size is 0: no convergence."""
    config = FqeConfig(regressor=form, ridge=0.0, n_folds=1, iterations=3000)
    with pytest.warns(FqeNotConverged, match="grow without end"):
        found = fitted_q(_growing(by), config)
    assert not found.converged
    assert found.rounds < 3000
    assert np.isfinite(found.value)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("by", [0.5, 0.9, -0.9])
def test_values_that_shrink_to_their_limit_have(form: Any, by: float) -> None:
    data = _growing(by)
    found = fitted_q(data, FqeConfig(regressor=form, ridge=0.0, n_folds=1, tolerance=1e-9, iterations=1000))
    assert found.converged
    assert found.value == pytest.approx(float(data.reward.mean()) / (1 - by), abs=1e-8)


@pytest.mark.parametrize("tolerance", [0.1, 0.02, 0.001])
def test_values_that_drift_have_not_converged(tolerance: float) -> None:
    """Each round adds 1: after n of them a change is 1/n of the size, below any tolerance in the end."""
    config = FqeConfig(tolerance=tolerance, iterations=int(3 / tolerance))
    with pytest.warns(FqeNotConverged, match="as much in every round"):
        found = fitted_q(_paying_for_ever(), config)
    assert found.changes[-1] < tolerance
    assert not found.converged
    assert fitted_q(_paying_for_ever(), FqeConfig(gamma=0.9, tolerance=tolerance)).converged


def test_a_log_of_users_who_never_leave() -> None:
    world = toy_world(n_items=60, n_candidates=8, user=Shopper(taste_mix=1.0, leave_bias=-50.0))
    task = TaskConfig(slate_size=3, n_candidates=8, max_steps=3)
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": [str(i) for i in range(60)]}))
    log = SessionRecorder(world, task).record(RandomPolicy(), n_sessions=200, progress=False).log()
    steps = log.to_steps(catalog, queries=world.queries)
    config = FqeConfig(tolerance=0.02, ridge=0.1)
    with pytest.warns(FqeNotConverged):
        endless = fitted_q_evaluation(
            RandomPolicy(), steps, world.features, task, config=config, at_limit="bootstrap", progress=False
        )
    assert not endless.converged
    cut = fitted_q_evaluation(
        RandomPolicy(), steps, world.features, task, config=config, at_limit="stop", progress=False
    )
    assert cut.converged
    session = float((steps.click + 5.0 * steps.purchase).sum()) / 200
    assert cut.value == pytest.approx(session, rel=0.2)


@pytest.mark.parametrize("form", FORMS)
def test_values_beyond_what_rewards_add_up_to(form: Any) -> None:
    """Rewards of at most 1 with a discount of 0.9 are worth 10 at most; the features promise 18."""
    data = _growing(1.05, low=0.9)
    config = FqeConfig(regressor=form, gamma=0.9, ridge=0.0, n_folds=1, tolerance=1e-9, iterations=2000)
    with pytest.warns(
        FqeNotConverged, match=r"left the range that the rewards allow, 0\.9\d* to (10|9\.9\d*): their mean"
    ):
        found = fitted_q(data, config)
    assert not found.converged
    assert found.value == pytest.approx(float(data.reward.mean()) / (1 - 0.945), rel=1e-6)


def test_the_range_of_rewards() -> None:
    reward = np.array([-1.0, 0.0, 3.0])
    assert (RewardRange.of(reward, 0.5).low, RewardRange.of(reward, 0.5).high) == (-2.0, 6.0)
    assert (RewardRange.of(reward, 1.0).low, RewardRange.of(reward, 1.0).high) == (-np.inf, np.inf)
    one_sided = RewardRange.of(np.array([1.0, 3.0]), 1.0)
    assert (one_sided.low, one_sided.high) == (1.0, np.inf)
    assert not one_sided.left_by(np.array([-5.0, 9.0])), "single values may leave it"
    assert one_sided.left_by(np.array([-5.0, 1.0])) == "their mean is -2"
    bounded = RewardRange.of(np.array([-1.0, 1.0]), 0.5)
    assert bounded.left_by(np.array([-3.0, 3.0])) == "their root mean square is 3"


def _series(term: Callable[[int], float]) -> Callable[[int], NDArray[np.float64]]:
    return lambda n: np.full(3, term(n))


def test_what_is_still_to_come_of_a_geometric_series() -> None:
    for ratio in (0.3, 0.9, 0.99, -0.9):
        for n in (4, 20, 100):
            to_come = abs(ratio**n) / abs(1 - ratio**n)  # as a share of the size
            limit = _series(lambda k, q=ratio: 1 - q**k)  # type: ignore[misc]
            assert settled(n, limit, to_come * 1.001)
            if to_come > 1e-12:  # elsewhere rounding
                assert not settled(n, limit, to_come * 0.999)


def test_one_round_is_no_series_and_jitter_is_no_drift() -> None:
    assert not settled(1, _series(lambda n: 1.0), 0.5)
    assert settled(2, _series(lambda n: float(n > 0)), 1e-12), "no discount: the first round is the answer"
    noise = np.random.default_rng(0).normal(size=(61, 500)) * 0.005
    assert settled(60, lambda n: (1 - 0.7**n) + noise[n], 0.01)
    assert not settled(60, lambda n: 0.02 * n + noise[n], 0.01)
    assert not settled(60, lambda n: np.full(3, 1.01**n), 0.5)
    assert not settled(60, lambda n: np.full(3, float(np.log1p(n))), 0.02), "it shrinks, and never arrives"


def test_sizes_do_not_overflow() -> None:
    huge = np.array([3e200, 4e200])
    assert size_of(huge) == pytest.approx(5e200 / np.sqrt(2))
    assert relative_change(huge / 1.5, huge) == np.inf
    small = np.array([3.0, 4.0]) * BEYOND_REASON / 10
    assert relative_change(small / 1.5, small) == pytest.approx(1 / 3)
    assert relative_change(np.zeros(2), np.zeros(2)) == 0
    assert relative_change(np.zeros(2), np.array([np.inf, 1.0])) == np.inf
    assert relative_change(np.zeros(2), np.array([np.nan, 1.0])) == np.inf
