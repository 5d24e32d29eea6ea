"""Intervals: hand-worked values, agreement of methods, coverage on fresh data."""

from __future__ import annotations

import numpy as np
import pytest

from behavior.errors import InputError
from evaluation.estimators import ips, snips
from evaluation.intervals import (
    bootstrap_estimate,
    bootstrap_ratio,
    estimate_interval,
    mean_interval,
    paired_difference,
)


def test_mean_of_four_by_hand() -> None:
    found = mean_interval(np.array([1.0, 2.0, 3.0, 6.0]))
    # sd = sqrt(14/3), standard error sd/2; t(3, .975) = 3.182446
    assert found.value == 3.0
    assert found.standard_error == pytest.approx(np.sqrt(14 / 3) / 2, abs=1e-12)
    assert found.high == pytest.approx(3 + 3.182446305 * np.sqrt(14 / 3) / 2, abs=1e-8)
    assert found.low == pytest.approx(3 - 3.182446305 * np.sqrt(14 / 3) / 2, abs=1e-8)
    assert found.excludes_zero is False


def test_clusters_by_hand() -> None:
    terms, clusters = np.array([1.0, 3.0, 5.0, 7.0]), np.array([9, 9, 4, 4])
    found = mean_interval(terms, clusters=clusters)
    # mean 4; cluster sums of residuals -4 and 4; var = 2/1 * 32 / 16 = 4
    assert found.n_clusters == 2
    assert found.standard_error == pytest.approx(2.0, abs=1e-12)


def test_clusters_of_one_row_change_nothing() -> None:
    terms = np.random.default_rng(0).normal(size=50)
    alone = mean_interval(terms)
    clustered = mean_interval(terms, clusters=np.arange(50)[::-1])
    assert clustered.low == pytest.approx(alone.low, abs=1e-12)


def test_one_cluster_says_nothing() -> None:
    found = mean_interval(np.arange(5.0), clusters=np.zeros(5))
    assert found.low == -np.inf
    assert found.high == np.inf
    assert "fewer than two" in found.method


def test_bootstrap_and_delta_method_agree_on_a_ratio() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(600), 3)
    b = rng.uniform(0.2, 1, 1800)
    e = b * rng.uniform(0.5, 1.5, 1800)
    reward = (rng.random(1800) < 0.2 + 0.1 * np.repeat(rng.random(600), 3)).astype(float)
    for estimator in (ips, snips):
        estimate = estimator(reward, b, np.minimum(e, 1))
        delta = estimate_interval(estimate, clusters=clusters)
        boot = bootstrap_estimate(estimate, clusters=clusters, n_resamples=4000, seed=1)
        assert boot.value == pytest.approx(estimate.value, abs=1e-12)
        assert boot.standard_error == pytest.approx(delta.standard_error, rel=0.05)
        assert boot.low == pytest.approx(delta.low, abs=0.1 * delta.half_width)
        assert boot.high == pytest.approx(delta.high, abs=0.1 * delta.half_width)


def test_bootstrap_is_keyed_by_its_seed() -> None:
    values = np.random.default_rng(0).normal(size=100)
    one, same, other = (bootstrap_ratio(values, np.ones(100), seed=s) for s in (0, 0, 1))
    assert (one.low, one.high) == (same.low, same.high)
    assert one.low != other.low


def test_bootstrap_of_a_denominator_that_may_vanish_is_unbounded() -> None:
    weight = np.zeros(30)
    weight[0] = 1.0  # a third of the resamples miss the only row with weight
    found = bootstrap_ratio(weight * 0.5, weight)
    assert found.value == 0.5
    assert found.low == -np.inf
    assert found.high == np.inf


def test_paired_difference_by_hand() -> None:
    found = paired_difference(np.array([3.0, 5.0, 4.0]), np.array([2.0, 3.0, 1.0]))
    assert found.value == 2.0
    assert found.standard_error == pytest.approx(1 / np.sqrt(3))
    with pytest.raises(InputError, match="same users"):
        paired_difference(np.ones(3), np.ones(4))


def test_bad_input() -> None:
    with pytest.raises(InputError, match="level"):
        mean_interval(np.ones(3), level=95)
    with pytest.raises(InputError, match="cluster labels"):
        mean_interval(np.ones(3), clusters=np.ones(2))
    with pytest.raises(InputError, match="no rows"):
        mean_interval(np.ones(0))
    with pytest.raises(InputError, match="denominator"):
        bootstrap_ratio(np.ones(3), np.ones(4))


@pytest.mark.parametrize("method", ["delta", "bootstrap"])
def test_intervals_cover_the_truth_with_dependent_rows(method: str) -> None:
    """Over 400 fresh logs, 95 % intervals over sessions hold the truth in 92 to 98 % of them; naive ones do not."""
    rng = np.random.default_rng(7)
    appeal, logging, evaluation = (
        np.array([0.1, 0.3, 0.6]),
        np.array([0.5, 0.3, 0.2]),
        np.array([0.2, 0.3, 0.5]),
    )
    truth = float(evaluation @ appeal)
    held, naive = 0, 0
    for _ in range(400):
        # A session keeps its item and its mood, so that its four rows are nearly one observation.
        item = np.repeat(rng.choice(3, size=100, p=logging), 4)
        clicked = (np.repeat(rng.random(100), 4) < appeal[item]).astype(float)
        sessions = np.repeat(np.arange(100), 4)
        estimate = snips(clicked, logging[item], evaluation[item])
        interval = (
            estimate_interval(estimate, clusters=sessions)
            if method == "delta"
            else bootstrap_estimate(estimate, clusters=sessions, n_resamples=500)
        )
        held += interval.low <= truth <= interval.high
        alone = estimate_interval(estimate)
        naive += alone.low <= truth <= alone.high
    assert 0.92 <= held / 400 <= 0.98
    assert naive / 400 < 0.8
