"""Distances by hand, and that intervals, tests and scores keep what they promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulators.trust.cells import Cells
from simulators.trust.compare import Measured, Pair, compare
from simulators.trust.redraw import mixture_given_above
from simulators.trust.two_sample import area_under_curve, tell_apart


def cells(events: list[list[float]], occasions: list[list[float]], **more: object) -> Cells:
    labels = tuple(f"cell {j}" for j in range(len(events[0])))
    return Cells(labels=labels, events=np.array(events), occasions=np.array(occasions), **more)  # type: ignore[arg-type]


def one(pair: Pair, seed: int = 0, n: int = 200) -> Measured:
    return compare([pair], n_bootstrap=n, confidence=0.95, seed=seed)[0]


def test_distances_by_hand() -> None:
    ours = cells([[1, 4], [1, 2]], [[4, 8], [4, 12]])  # rates 2/8, 6/20
    theirs = cells([[2, 1], [2, 1]], [[5, 10], [5, 20]])  # rates 4/10, 2/30, weights 1/4, 3/4
    found = one(Pair(name="rates", simulated=ours, logged=theirs))
    mean_rate = 0.25 * 0.4 + 0.75 * (2 / 30)
    assert found.distance.value == pytest.approx((0.25 * 0.15 + 0.75 * (0.3 - 2 / 30)) / mean_rate)
    assert found.largest().label == "cell 1"
    assert found.cells[0].simulated == pytest.approx(0.25)
    assert found.cells[1].logged == pytest.approx(2 / 30)
    shares = {"kind": "shares", "widths": np.array([1.0, 3.0])}
    ours = cells([[1, 0, 1]], [[2, 2, 2]], **shares)
    theirs = cells([[1, 2, 1]], [[4, 4, 4]], **shares)
    found = one(Pair(name="shares", simulated=ours, logged=theirs))
    assert found.distance.value == pytest.approx(0.5)  # (1/4 + 1/2 + 1/4) / 2
    assert found.transport is not None
    assert found.transport.value == pytest.approx(0.25 * 1 + 0.25 * 3)  # cumulative: 1/4, then -1/4


def test_cells_that_one_side_never_sees_are_dropped() -> None:
    pair = Pair(name="rates", simulated=cells([[1, 0]], [[2, 0]]), logged=cells([[1, 1]], [[2, 5]]))
    assert [c.label for c in one(pair).cells] == ["cell 0"]


def test_the_same_on_both_sides_is_no_distance() -> None:
    rng = np.random.default_rng(0)
    same = Cells(labels=("a",), events=rng.poisson(2.0, (50, 1)) * 1.0, occasions=np.full((50, 1), 9.0))
    found = one(Pair(name="rates", simulated=same, logged=same))
    assert found.distance.value == found.distance.high == 0.0
    assert found.p == 1.0
    assert found.halves > 0


@pytest.mark.parametrize("shift", [0.0, 0.06])
def test_intervals_hold_the_true_distance_and_tests_keep_their_level(shift: float) -> None:
    """400 comparisons of 150 sessions with rates of 0.3 and 0.5, the simulated ones higher by `shift`."""
    rng = np.random.default_rng(1)
    rate, n = np.array([0.3, 0.5]), np.full((150, 2), 10)
    held = rejected = 0
    for seed in range(400):
        ours = Cells(labels=("a", "b"), events=rng.binomial(n, rate + shift) * 1.0, occasions=n * 1.0)
        theirs = Cells(labels=("a", "b"), events=rng.binomial(n, rate) * 1.0, occasions=n * 1.0)
        found = one(Pair(name="rates", simulated=ours, logged=theirs), seed)
        held += found.distance.low <= shift / 0.4 <= found.distance.high
        rejected += found.p <= 0.05
    assert held >= 0.93 * 400
    if shift:
        assert rejected > 0.9 * 400
    else:
        assert rejected <= 33  # 5 % of 400 and three standard errors


def test_what_was_learned_from_a_sample_is_not_blamed_for_it() -> None:
    """Rates estimated from 100 training sessions, foretold of 150 held-out ones with the same true rates."""
    rng = np.random.default_rng(4)
    rate, n = np.array([0.3, 0.5]), np.full((150, 2), 10)
    blamed = rejected = 0
    for seed in range(300):
        learned = rng.binomial(n[:100], rate).mean(axis=0)
        ours = Cells(labels=("a", "b"), events=learned * np.ones((150, 1)), occasions=np.ones((150, 2)))
        theirs = Cells(labels=("a", "b"), events=rng.binomial(n, rate) * 1.0, occasions=n * 1.0)
        ours = replace(ours, events=ours.events / 10)
        pair = Pair(name="rates", simulated=ours, logged=theirs)
        how = {"n_bootstrap": 200, "confidence": 0.95, "seed": seed}
        rejected += compare([pair], n_train=100, **how)[0].p <= 0.05  # type: ignore[arg-type]
        blamed += compare([pair], **how)[0].p <= 0.05  # type: ignore[arg-type]
    assert rejected <= 26  # 5 % of 300 and three standard errors
    assert blamed > 45


def test_area_by_enumeration_and_its_error() -> None:
    rng = np.random.default_rng(2)
    score, positive = rng.integers(0, 5, 40) * 1.0, np.arange(40) % 3 == 0
    pairs = score[positive][:, None] - score[~positive][None]
    area, parts = area_under_curve(score, positive, np.arange(40))
    assert area == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    won = (pairs > 0) + 0.5 * (pairs == 0)
    delong = won.mean(axis=1).var() / positive.sum() + won.mean(axis=0).var() / (~positive).sum()
    assert (parts**2).sum() == pytest.approx(delong)
    # twice the same rows in the same unit are one observation
    again, doubled = area_under_curve(np.tile(score, 2), np.tile(positive, 2), np.tile(np.arange(40), 2))
    assert again == pytest.approx(area)
    assert (doubled**2).sum() == pytest.approx(delong)


def test_trees_find_what_differs_and_nothing_where_nothing_does() -> None:
    rng = np.random.default_rng(3)
    how = {"rows": "page", "folds": 5, "confidence": 0.95, "seed": 0}
    unit = np.arange(400)
    log, alike = rng.normal(size=(2, 400, 3))
    other = alike.copy()
    other[:, 1] = np.where(rng.random(400) < 0.5, log[:, 0], alike[:, 1]) + 1.0
    found = tell_apart(other, log, unit, unit, ("a", "b", "c"), **how)  # type: ignore[arg-type]
    assert found.area.low > 0.6
    assert found.p < 1e-6
    assert found.clues[0].feature == "b"
    assert found.clues[0].simulated == pytest.approx(other[:, 1].mean())
    same = tell_apart(alike, log, unit, unit, ("a", "b", "c"), **how)  # type: ignore[arg-type]
    assert same.area.low < 0.5 < same.area.high
    assert same.p > 0.01


def test_clicks_above_tell_the_members_of_a_mixture_apart() -> None:
    given = np.array([[[0.9, 0.9]], [[0.1, 0.2]]])
    found = mixture_given_above(given, np.array([[1, 0]], np.uint8))
    assert found[0, 0] == pytest.approx(0.5)
    assert found[0, 1] == pytest.approx((0.9 * 0.9 + 0.1 * 0.2) / (0.9 + 0.1))
    never = np.array([[[0.0, 0.3]], [[0.0, 0.5]]])
    assert mixture_given_above(never, np.array([[1, 0]], np.uint8))[0, 1] == pytest.approx(0.4)
