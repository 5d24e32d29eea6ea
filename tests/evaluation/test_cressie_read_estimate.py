"""The Cressie-Read estimate and its bounds, against the optimisation that they solve."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import null_space
from scipy.special import stdtrit

from behavior.errors import InputError
from evaluation.contract import EstimatorCase, check_estimator
from evaluation.estimators import cressie_read, cressie_read_bounds, ips, snips

Array = NDArray[np.float64]


def some_log(n: int, seed: int, scale: float = 1.0) -> tuple[Array, Array, Array]:
    """Clicks of a policy that shows one of three items, and another policy; weights have mean 1."""
    rng = np.random.default_rng(seed)
    b, e = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1]) * scale
    item = rng.choice(3, n, p=b)
    return (rng.random(n) < np.array([0.5, 0.2, 0.1])[item]).astype(float), b[item], e[item]


def by_algebra(w: Array, r: Array, unseen: tuple[float, float], limit: float) -> tuple[float, float, float]:
    """Least divergence, the value there, and the least value within `limit`: a ball cut by a plane.

    The nearest point of the plane `A q = 1` to equal probabilities comes from its normal equations; from there,
    moves within the plane are those of the null space of A, and a linear function is least against its gradient.
    """
    weights, rewards = np.append(w, unseen[0]), np.append(r, unseen[1])
    m = weights.size
    plane = np.stack([np.ones(m), weights])
    q = 1 / m + np.linalg.pinv(plane) @ (np.ones(2) - plane @ np.full(m, 1 / m))
    divergence = float(np.square(m * q - 1).sum())
    assert plane @ q == pytest.approx([1.0, 1.0])
    downhill = float(np.linalg.norm(null_space(plane).T @ (weights * rewards)))
    reach = math.sqrt(max(limit - divergence, 0.0)) / m
    value = float(q @ (weights * rewards))
    return divergence, value, value - reach * downhill if divergence < limit else math.inf


def test_contract() -> None:
    check_estimator(EstimatorCase(cressie_read, "impression", True))


@pytest.mark.parametrize("seed", range(4))
def test_estimate_is_the_likeliest_reweighting(seed: int) -> None:
    r, b, e = some_log(12, seed)
    w = e / b
    limits = (0.0, 10.0)
    unseen = limits[0] if w.mean() >= 1 else limits[1]
    wanted = by_algebra(w, r, (unseen, 0.25), math.inf)[1]
    found = cressie_read(r, b, e, weight_range=limits, unseen_reward=0.25)
    assert found.value == pytest.approx(wanted, abs=1e-12)
    assert found.terms.mean() == pytest.approx(found.value, abs=1e-14)


@pytest.mark.parametrize("seed", range(4))
def test_bounds_are_the_ends_of_what_is_near(seed: int) -> None:
    r, b, e = some_log(10, seed)
    w = e / b
    limits = (0.0, 6.0)
    least = min(by_algebra(w, r, (v, 0.0), math.inf)[0] for v in limits)
    for level in (0.5, 0.8):
        quantile = stdtrit(9, 0.5 + level / 2) ** 2  # F(1, 9) is the square of Student's t
        found = cressie_read_bounds(r, b, e, reward_range=(0, 1), weight_range=limits, level=level)
        low = min(by_algebra(w, r, (v, 0.0), least + quantile)[2] for v in limits)
        high = max(-by_algebra(w, -r, (v, -1.0), least + quantile)[2] for v in limits)
        assert 0 < high - low < 2
        assert found.low == pytest.approx(max(low, 0.0), abs=1e-9)
        assert found.high == pytest.approx(min(high, 1.0), abs=1e-9)


def test_unlimited_weights_are_the_limit_of_large_ones() -> None:
    for seed in range(4):
        r, b, e = some_log(40, seed)
        for ranges in ((0.0, math.inf), (0.0, 1e7)):
            found = cressie_read_bounds(r, b, e, reward_range=(0, 1), weight_range=ranges)
            value = cressie_read(r, b, e, weight_range=ranges).value
            if math.isinf(ranges[1]):
                wanted = (found.low, found.high, value)
            else:
                assert (found.low, found.high, value) == pytest.approx(wanted, abs=1e-4)


def test_missing_weight_is_paid_what_is_assumed_of_it() -> None:
    r, b, e = some_log(400, 1, scale=0.5)  # half of the policy's choices are outside the log
    w = e / b
    assert w.mean() < 0.7
    wanted = ips(r, b, e).value + (1 - w.mean()) * 0.3
    assert cressie_read(r, b, e, unseen_reward=0.3).value == pytest.approx(wanted, abs=1e-14)


def test_constant_reward_and_equal_policies() -> None:
    for seed in range(3):
        r, b, e = some_log(50, seed)
        for ranges in ((0.0, math.inf), (0.0, 20.0), (0.1, 4.0)):
            constant = cressie_read(np.full(50, 0.4), b, e, weight_range=ranges)
            assert constant.value == pytest.approx(0.4, abs=1e-14)
            assert constant.standard_error < 1e-14
        assert cressie_read(r, b, b).value == pytest.approx(r.mean(), abs=1e-14)
        assert cressie_read(r, b, b).standard_error == pytest.approx(r.std(ddof=1) / math.sqrt(50))


def test_many_logs() -> None:
    """Nearly unbiased, no worse than the better of IPS and SNIPS, and bounds that cover."""
    truth, n, logs = 0.6 * 0.5 + 0.3 * 0.2 + 0.1 * 0.1, 300, 400
    found = np.empty((logs, 3))
    covered = 0
    for seed in range(logs):
        r, b, e = some_log(n, 1000 + seed)
        found[seed] = [x(r, b, e).value for x in (cressie_read, ips, snips)]
        bounds = cressie_read_bounds(r, b, e, reward_range=(0, 1), weight_range=(0.2, 3.0))
        covered += bounds.low <= truth <= bounds.high
    error = found - truth
    assert abs(error[:, 0].mean()) < 4 * error[:, 0].std() / math.sqrt(logs)
    spread = np.square(error).mean(axis=0)
    assert spread[0] < 1.1 * min(spread[1:])
    assert 0.92 * logs <= covered <= 0.99 * logs


def test_bounds_do_not_collapse_without_clicks() -> None:
    r, b, e = some_log(100, 0)
    found = cressie_read_bounds(0 * r, b, e, reward_range=(0, 1), weight_range=(0.0, 10.0))
    assert found.value == 0
    assert found.low == 0
    assert 0.01 < found.high < 0.6


def test_bad_input() -> None:
    r, b, e = some_log(30, 0)
    with pytest.raises(InputError, match="reward_range"):
        cressie_read_bounds(r, b, e, reward_range=(0, 0.5))
    with pytest.raises(InputError, match="weight_range"):
        cressie_read(r, b, e, weight_range=(0.0, 2.0))
    with pytest.raises(InputError, match="weight_range"):
        cressie_read(r, b, e, weight_range=(1.5, math.inf))
    with pytest.raises(InputError, match="unseen_reward"):
        cressie_read(r, b, e, unseen_reward=math.nan)
    with pytest.raises(InputError, match="level"):
        cressie_read_bounds(r, b, e, reward_range=(0, 1), level=1.0)
