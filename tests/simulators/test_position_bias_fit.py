"""Regression EM, what features leave of positions, and the simulator's fit that holds an examination."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from behavior.errors import InputError
from simulators.click_models import sigmoid
from simulators.fitting.config import FitConfig
from simulators.fitting.fit import fit_simulator
from simulators.fitting.replay import replay
from simulators.parts import PositionExamination
from simulators.position_bias.for_fit import held_log_gamma, identification_of, position_notes
from simulators.position_bias.overlap import measure_overlap, page_orderings
from simulators.position_bias.regression_em import fit_regression_em
from simulators.position_bias.worlds import make_bias_world

GAMMA = np.array([1.0, 0.6, 0.35])


def _impressions(n: int, seed: int, *, bent: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of a constant and two features at random positions; relevance a line, or a corner."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (n, 2)).astype(np.float32)
    position = rng.integers(0, 3, n)
    logit = np.where((x > 0).all(axis=1), 2.0, -1.0) if bent else 0.3 + x @ np.array([0.8, -0.5])
    click = rng.random(n) < GAMMA[position] * sigmoid(logit)
    return np.column_stack([np.ones(n, np.float32), x]), position, click


@pytest.mark.parametrize(("regressor", "bent"), [("line", False), ("trees", False), ("trees", True)])
def test_examination_is_found_again_and_the_likelihood_never_falls(regressor: str, bent: bool) -> None:
    """20,000 impressions: errors below 0.04."""
    rows, position, click = _impressions(20_000, 1, bent=bent)
    found = fit_regression_em(
        rows,
        position,
        click,
        n_positions=3,
        regressor=regressor,
        max_rounds=250,  # type: ignore[arg-type]
    )
    np.testing.assert_allclose(found.examination, GAMMA, atol=0.04)
    assert len(found.log_likelihood) > 3
    assert np.diff(found.log_likelihood).min() > -1e-12
    assert found.log_likelihood[-1] - found.log_likelihood[0] > 1e-3


def test_one_round_by_hand() -> None:
    """One feature value, two positions, ten impressions each, six and three clicks: the E and M step of theta."""
    position = np.repeat([0, 1], 10)
    click = np.concatenate([np.arange(10) < 6, np.arange(10) < 3])
    rows = np.ones((20, 1), np.float32)
    found = fit_regression_em(rows, position, click, n_positions=2, max_rounds=1, strength=1e-6)
    rate = np.array([6.5, 3.5]) / 11.0
    theta, r = 0.9 * rate / rate[0], rate[0] / 0.9
    looked = np.array([6.0, 3.0]) + np.array([4.0, 7.0]) * theta * (1 - r) / (1 - theta * r)
    np.testing.assert_allclose(found.examination, looked / looked[0])
    start = np.array([6, 3]) @ np.log(theta * r) + np.array([4, 7]) @ np.log(1 - theta * r)
    assert found.log_likelihood[0] == pytest.approx(start / 20)
    assert not found.converged


def test_later_impressions_stop_the_trees() -> None:
    rows, position, click = _impressions(6_000, 2, bent=True)
    judge = np.arange(6_000) >= 4_000
    found = fit_regression_em(rows, position, click, n_positions=3, regressor="trees", judge=judge)
    assert found.converged
    assert len(found.log_likelihood) < 500
    np.testing.assert_allclose(found.examination, GAMMA, atol=0.08)


def test_a_position_never_shown_has_no_examination() -> None:
    rows, position, click = _impressions(2_000, 3, bent=False)
    found = fit_regression_em(rows, position, click, n_positions=4)
    assert np.isnan(found.examination[3])
    assert np.isfinite(found.examination[:3]).all()


def _overlap_of(column: np.ndarray, position: np.ndarray, page: np.ndarray):
    rows = np.column_stack([np.ones(len(page)), column]).astype(np.float32)
    item = np.arange(len(page))  # every impression an item of its own
    return measure_overlap(rows, position, page, page % 40, item, n_positions=3, names=("constant", "score"))


def test_overlap_is_one_without_and_none_with_the_position_among_the_features() -> None:
    rng = np.random.default_rng(4)
    page, position = np.repeat(np.arange(400), 3), np.tile(np.arange(3), 400)
    free = _overlap_of(rng.normal(size=1_200), position, page)
    assert free.with_next.min() > 0.97
    assert free.effective.min() > 380
    assert free.ordered_by == ()
    leaked = _overlap_of(-position.astype(float), position, page)
    assert leaked.with_next.max() < 0.1
    assert leaked.ordered_by == ("score",)
    # Sorted on every page, but the pages differ: across pages the same score stands at several positions.
    scores = -np.sort(-rng.normal(size=(400, 3)), axis=1).ravel()
    between = _overlap_of(scores, position, page)
    assert 0.3 < between.with_next.min() < between.with_next.max() < 0.9
    assert between.ordered_by == ("score",)


def test_too_few_pages_name_no_order() -> None:
    rows = np.arange(6, dtype=np.float32)[:, None]
    assert page_orderings(rows, np.tile([0, 1], 3), np.repeat([0, 1, 2], 2), ("x",)) == ()


@pytest.fixture(scope="module")
def shop():
    world = make_bias_world(hidden=1.0, seed=1)
    steps, truth = world.log("two rankers", 4_000, seed=2)
    return world, steps, truth


QUICK = FitConfig(strengths=(300.0,))


def _gamma(world, steps, name: str = "pbm", **changes: object) -> tuple[np.ndarray, tuple[str, ...]]:
    early = steps.session < 3_400
    simulator = fit_simulator(
        name,
        steps.take(early),
        steps.take(~early),
        world.features,
        dataclasses.replace(QUICK, **changes),
        progress=False,
    )
    assert isinstance(simulator.examination, PositionExamination)
    return simulator.examination.gamma, simulator.notes


def test_the_fit_holds_what_swaps_say(shop) -> None:
    """Rankers that know what features do not show: swaps are right within 0.05."""
    world, steps, truth = shop
    gamma, notes = _gamma(world, steps, examination_from="swaps")
    assert np.sqrt(((gamma / gamma[0] - truth) ** 2).mean()) < 0.05
    assert not any(note.startswith("position bias") for note in notes)


def test_auto_takes_swaps_where_they_are_sure(shop) -> None:
    """All pages tell within a tenth, a twentieth of them does not; a cascade has no such number."""
    world, steps, _ = shop
    auto = dataclasses.replace(QUICK, examination_from="auto")
    for part, sure in ((steps, True), (steps.take(steps.session < 200), False)):
        seen = replay(world.features, part, ring=64)
        held = held_log_gamma("pbm", auto, part, seen)
        asked = dataclasses.replace(QUICK, examination_from="swaps")
        if sure:
            np.testing.assert_array_equal(held, held_log_gamma("pbm", asked, part, seen))
        else:
            assert held is None
        note = position_notes("pbm", part, world.features, seen, auto)[-1]
        assert ("from items that were swapped" if sure else "together with appeal") in note
    assert held_log_gamma("cascade", auto, steps, seen) is None


def test_the_fit_holds_what_regression_em_says(shop) -> None:
    world, steps, _ = shop
    gamma, _ = _gamma(world, steps, examination_from="regression-em")
    seen = replay(world.features, steps.take(steps.session < 3_400), ring=64)
    n = len(seen.rows)
    em = fit_regression_em(
        seen.rows, seen.position, seen.click, n_positions=6, regressor="trees", judge=np.arange(n) >= 0.85 * n
    )
    np.testing.assert_allclose(gamma, em.examination, rtol=1e-5)


def test_a_deterministic_log_says_so_in_the_notes_and_has_no_swaps_to_fit_to() -> None:
    world = make_bias_world(hidden=1.0, seed=1)
    steps, _ = world.log("one ranker", 4_000, seed=2)
    _, notes = _gamma(world, steps)
    (note,) = (n for n in notes if n.startswith("position bias"))
    assert "deterministic" in note
    assert "by the features alone" in note
    with pytest.raises(InputError, match=r"too few items .* positions that swaps join: 1 \| 2 \| 3"):
        _gamma(world, steps, examination_from="swaps")
    with pytest.raises(InputError, match="position-based model; this is 'cascade'"):
        _gamma(world, steps, "cascade", examination_from="swaps")
    with pytest.raises(InputError, match="one of joint, swaps, auto, regression-em"):
        FitConfig(examination_from="guess")  # type: ignore[arg-type]


def test_features_that_are_the_position_leave_nothing() -> None:
    """One ranker, and its score is the item's own number: every query shows items 0, 1, 2, ... in that order."""
    world = make_bias_world(n_queries=40, seed=1)
    steps, _ = world.log("one ranker", 2_000, seed=2)
    rank = np.arange(6, dtype=np.int32) + 6 * steps.query[:, None].astype(np.int32) % 120
    steps = dataclasses.replace(steps, item=rank)
    numeric = world.features.item_numeric.copy()
    numeric[:, 0] = -(np.arange(120) % 6)
    features = dataclasses.replace(world.features, item_numeric=numeric)
    known = identification_of(steps, features, replay(features, steps, ring=64))
    assert known.share("nothing") == 1.0
    assert known.overlap is not None
    assert known.overlap.ordered_by == ("log price",)
    notes = position_notes("pbm", steps, features, replay(features, steps, ring=64), QUICK)
    assert "nothing in this log tells it from relevance" in notes[0]
    assert "log price" in notes[1]
    assert position_notes("cascade", steps, features, replay(features, steps, ring=64), QUICK) == ()


def test_a_randomised_log_needs_no_note() -> None:
    world = make_bias_world(seed=1)
    steps, _ = world.log("random", 2_000, seed=2)
    seen = replay(world.features, steps, ring=64)
    assert position_notes("pbm", steps, world.features, seen, QUICK) == ()
