"""Counting a log with and without the pull of the position."""

from __future__ import annotations

import numpy as np
import pytest

from encoders.tuning.debiasing import debiased_counts


def test_three_ways_by_hand(make_steps) -> None:
    # One query, two items, two pages; item 0 stands first and second, item 1 second and first.
    steps = make_steps([1, 1], [[0, 1], [1, 0]], [[1, 0], [0, 1]], [[0, 0], [0, 1]])
    theta = np.array([1.0, 0.25])
    plain, weighed, modelled = (
        debiased_counts(steps, way, examination=theta) for way in ("none", "propensity", "click_model")
    )
    assert plain.clicks.tolist() == [2.0, 0.0]
    assert plain.exposure.tolist() == [2.0, 2.0]
    assert weighed.clicks.tolist() == [5.0, 0.0]  # 1 at the first place, 4 at the second
    assert weighed.purchases.tolist() == [4.0, 0.0]
    assert weighed.exposure.tolist() == [5.0, 2.0]
    assert modelled.clicks.tolist() == [2.0, 0.0]
    assert modelled.exposure.tolist() == [1.25, 1.25]
    clipped = debiased_counts(steps, "propensity", examination=theta, largest_weight=2.0)
    assert clipped.clicks.tolist() == [3.0, 0.0]


def test_debiased_ways_find_the_rate_that_the_naive_one_misses(make_steps) -> None:
    # Item 0 stands first nine times in ten, and is liked as much as item 1.
    rng = np.random.default_rng(0)
    theta, rate = np.array([1.0, 0.3]), 0.3
    first = rng.random(20_000) < 0.9
    item = np.where(first[:, None], [0, 1], [1, 0])
    click = rng.random((20_000, 2)) < rate * theta
    steps = make_steps(np.ones(20_000), item, click)
    found = {
        way: debiased_counts(steps, way, examination=theta) for way in ("none", "propensity", "click_model")
    }
    naive = found["none"].clicks / found["none"].exposure
    assert naive[0] > 2.0 * naive[1]
    by_propensity = found["propensity"].clicks / found["propensity"].impressions
    by_model = found["click_model"].clicks / found["click_model"].exposure
    assert by_propensity == pytest.approx([rate, rate], rel=0.07)
    assert by_model == pytest.approx([rate, rate], rel=0.07)
    # Estimated from the log itself, examination comes out right too.
    assert debiased_counts(steps, "click_model").exposure == pytest.approx(
        found["click_model"].exposure, rel=0.1
    )
