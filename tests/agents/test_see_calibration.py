"""Predicted against realised return: hand-worked returns, lines and errors."""

from __future__ import annotations

import numpy as np
import pytest

from agents.calibration import SessionValues, ValuePairs, calibrate, returns_to_go
from agents.calibration_picture import draw_calibration


def pairs(predicted: list[float], realised: list[float]) -> ValuePairs:
    n = len(predicted)
    return ValuePairs(np.arange(n) % 2, np.array(predicted), np.array(realised), np.zeros(n))


def test_returns_by_hand() -> None:
    rewards = np.array([[1.0, 5.0], [2.0, 7.0], [4.0, 1.0]])
    dones = np.array([[False, True], [True, False], [False, False]])
    expected = [[1 + 0.5 * 2, 5.0], [2.0, np.nan], [np.nan, np.nan]]
    np.testing.assert_allclose(returns_to_go(rewards, dones, 0.5), expected)


def test_sessions_that_run_over_the_ends_of_rollouts() -> None:
    """Cut into rollouts of any length, the same pairs come out, each once."""
    rng = np.random.default_rng(3)
    n_steps, n_users = 12, 5
    dones = rng.random((n_steps, n_users)) < 0.3
    step = np.zeros((n_steps, n_users), np.int64)
    for t in range(1, n_steps):
        step[t] = np.where(dones[t - 1], 0, step[t - 1] + 1)
    values, rewards = rng.normal(size=(2, n_steps, n_users))
    beyond = np.where(dones & (rng.random(dones.shape) < 0.5), rng.normal(size=dones.shape), 0.0)
    whole = returns_to_go(rewards + beyond, dones, 0.9)
    known = ~np.isnan(whole)
    for length in (1, 2, 3, 5, 12):
        sessions = SessionValues(0.9)
        found = [
            sessions.add(*(array[start : start + length] for array in (step, values, rewards, beyond, dones)))
            for start in range(0, n_steps, length)
        ]
        joined = ValuePairs.join(found)
        assert joined.step.shape[0] == known.sum()
        ours = sorted(zip(joined.predicted, joined.realised, joined.step, strict=True))
        theirs = sorted(zip(values[known], whole[known], step[known], strict=True))
        np.testing.assert_allclose(ours, theirs)


def test_what_lies_beyond_the_limit_is_told_apart() -> None:
    found = SessionValues(0.5).add(
        np.array([[0], [1]]),
        np.zeros((2, 1)),
        np.array([[1.0], [2.0]]),
        np.array([[0.0], [8.0]]),
        np.array([[False], [True]]),
    )
    assert found.realised.tolist() == [1 + 0.5 * 10, 10]
    assert found.bootstrapped.tolist() == [4, 8]


def test_a_right_value_lies_on_the_diagonal() -> None:
    found = calibrate(pairs([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]))
    assert (found.slope, found.intercept, found.error) == pytest.approx((1.0, 0.0, 0.0))


def test_line_and_error_by_hand() -> None:
    # Predictions spread twice too little around 3: realised = 2 x predicted - 2.
    found = calibrate(pairs([1.0, 2.0, 3.0, 4.0], [0.0, 2.0, 4.0, 6.0]), n_bins=2)
    assert (found.slope, found.intercept) == pytest.approx((2.0, -2.0))
    # Bins {1, 2} -> mean 1.5 against 1.0, {3, 4} -> 3.5 against 5.0; each holds half of the pairs.
    assert found.predicted.tolist() == [1.5, 3.5]
    assert found.realised.tolist() == [1.0, 5.0]
    assert found.error == pytest.approx(0.5 * 0.5 + 0.5 * 1.5)
    # Standard error of the mean of (0, 2): their standard deviation, sqrt(2), over sqrt(2).
    assert found.standard_error.tolist() == pytest.approx([1.0, 1.0])


def test_constant_predictions_have_no_slope() -> None:
    found = calibrate(pairs([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]))
    assert np.isnan(found.slope)
    assert found.error == pytest.approx(2.0, abs=1.0)


def test_noise_alone_keeps_the_error_as_low_as_promised() -> None:
    """E|mean of n standard normals| = sqrt(2 / (pi n)) = 0.798 / sqrt(n)."""
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(200):
        values = rng.normal(size=1000)
        found = calibrate(
            ValuePairs(np.zeros(1000, np.int64), values, values + rng.normal(size=1000), values)
        )
        errors.append(found.error)
    assert np.mean(errors) == pytest.approx(np.sqrt(2 / np.pi / 100), rel=0.05)


def test_the_picture_shows_both_panels() -> None:
    rng = np.random.default_rng(1)
    value = rng.normal(5, 2, 500)
    drawn = draw_calibration(
        ValuePairs(rng.integers(0, 8, 500), value, value + rng.normal(size=500), value), "1,000 user-steps"
    )
    assert drawn.shape == (340, 760, 3)
    assert drawn.dtype == np.uint8
    realised = (drawn == (47, 126, 216)).all(axis=2)
    predicted = (drawn == (224, 123, 57)).all(axis=2)
    assert realised[:, :380].any()
    assert realised[:, 380:].any()
    assert predicted[:, 380:].any()
    assert not predicted[:, :380].any()


def test_a_single_page_can_be_drawn() -> None:
    assert draw_calibration(pairs([0.0], [0.0])).shape == (340, 760, 3)
