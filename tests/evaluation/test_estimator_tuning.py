"""SLOPE and the estimated mean squared error: by hand, over many logs, and at the ends of their grids."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators import Estimate, clipped_ips, dros, ratio_estimate, sgips
from evaluation.estimators.tuning import TuneConfig, tune_mse, tune_slope

Array = NDArray[np.float64]
INF = math.inf


def made(value: float, spread: float, n: int = 1000) -> Estimate:
    """An estimate with this value, and this standard error up to a factor that all share."""
    terms = value + spread * np.where(np.arange(n) % 2, 1.0, -1.0)
    ones = np.ones((n, 1))
    return ratio_estimate("made", weights=ones, numerator=terms[:, None], denominator=ones)


def test_slope_by_hand() -> None:
    """Half widths of 2, 1, 0.5 and 0.25 by their spreads; `sqrt(6) - 1` is 1.449."""
    width = tune_slope(lambda _: made(0, 1), [1.0]).candidates[0].score
    for values, chosen in (
        ((0.0, 0.0, 0.0, 0.0), 4.0),
        ((0.0, 1.0 + 1.449 * 2, 0.0, 0.0), 2.0),  # agrees with the first, by a hair; the third not with it
        ((0.0, 1.0 + 1.450 * 2, 0.0, 0.0), 1.0),  # does not: the walk ends, though later ones would agree
        ((0.0, 0.0, 0.5 + 1.450 * 1, 0.0), 2.0),
        ((0.0, -1.0, 0.6, 0.0), 4.0),
        ((0.0, -1.0, 0.6, 0.25 + 0.6 + 1.450 * 0.5), 3.0),
    ):
        estimates = {
            float(i + 1): made(value * width, spread)
            for i, (value, spread) in enumerate(zip(values, (2.0, 1.0, 0.5, 0.25), strict=True))
        }
        grid = [3.0, 1.0, 4.0, 2.0]  # the walk goes by width, whatever the order of the grid
        found = tune_slope(estimates.__getitem__, grid)
        assert found.parameter == chosen, values
        assert found.estimate is estimates[chosen]
        assert [one.parameter for one in found.candidates] == grid


def test_mse_by_hand() -> None:
    """Spreads of 4 and 1 about values 3 apart: exact scores, with the paired difference's own variance off."""
    n = 1000
    estimates = {INF: made(3.0, 4.0), 2.0: made(0.0, 1.0)}
    one = n / (n - 1) / n  # variance of a mean of +-1
    plain = tune_mse(estimates.__getitem__, [2.0, INF], reference=INF, corrected=False)
    assert [x.score for x in plain.candidates] == pytest.approx([one + 9.0, 16 * one], rel=1e-12)
    corrected = tune_mse(estimates.__getitem__, [2.0, INF], reference=INF)
    assert [x.score for x in corrected.candidates] == pytest.approx(
        [one + 9.0 - 9 * one, 16 * one], rel=1e-12
    )
    near = {INF: made(0.05, 4.0), 2.0: made(0.0, 1.0)}  # nearer than 3 standard errors of 1: no bias is seen
    found = tune_mse(near.__getitem__, [2.0, INF], reference=INF)
    assert found.candidates[0].score == pytest.approx(one, rel=1e-12)
    assert found.parameter == 2.0


LOGGING = np.geomspace(1, 1e-3, 20) / np.geomspace(1, 1e-3, 20).sum()
JUDGED = LOGGING[::-1] ** 0.3 / (LOGGING**0.3).sum()  # likes what the log seldom shows
PAYS = 0.1 + 0.02 * np.arange(20)
TRUTH = float(JUDGED @ PAYS)
GRID = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, INF)


def heavy_items(seed: int, n: int) -> tuple[NDArray[np.intp], Array]:
    """Items that the log shows, and their clicks."""
    rng = np.random.default_rng(seed)
    item = rng.choice(20, n, p=LOGGING)
    return item, (rng.random(n) < PAYS[item]).astype(float)


def heavy_log(seed: int, n: int = 1000) -> tuple[Array, Array, Array]:
    item, click = heavy_items(seed, n)
    return click, LOGGING[item], JUDGED[item]


def test_slope_keeps_its_promise() -> None:
    """The error is at most `sqrt(6) + 3` times the best bias plus half width (Tucker and Lee 2021), bias known."""
    w = JUDGED / LOGGING
    bias = np.array([abs(float(LOGGING @ ((np.minimum(w, level) - w) * PAYS))) for level in GRID])
    held = better = 0
    for seed in range(40):
        log = heavy_log(seed, 3000)
        found = tune_slope(lambda p, log=log: clipped_ips(*log, parameter=p), GRID)  # type: ignore[misc]
        best = float((bias + [one.score for one in found.candidates]).min())
        error = abs(found.estimate.value - TRUTH)
        held += error <= (math.sqrt(6) + 3) * best
        better += error < bias[0]
    assert held >= 38
    assert better >= 38  # than the first of the grid, whose bias is most of the value


def errors_with_a_model(share: float, logs: int = 40) -> Array:
    """Root mean square errors of SLOPE, of both scores, and of DR, with a model that knows this share of the reward."""
    error = np.empty((logs, 4))
    for seed in range(logs):
        item, click = heavy_items(seed, 300)
        model = {"q_logged": share * PAYS[item], "q_policy": np.full(300, share * TRUTH)}

        def family(p: float, item: Any = item, click: Any = click, model: Any = model) -> Estimate:
            return dros(click, LOGGING[item], JUDGED[item], **model, parameter=p)

        found = (
            tune_slope(family, GRID).estimate,
            tune_mse(family, GRID, reference=INF).estimate,
            tune_mse(family, GRID, reference=INF, corrected=False).estimate,
            family(INF),
        )
        error[seed] = [x.value - TRUTH for x in found]
    return np.asarray(np.sqrt(np.square(error).mean(axis=0)), np.float64)


def test_choices_lower_the_error() -> None:
    slope, corrected, plain, unshrunk = errors_with_a_model(1.0)  # a right model: shrink all one can
    assert slope < 0.1 * unshrunk
    assert corrected < 0.5 * unshrunk
    assert corrected < plain < unshrunk
    _, corrected, _, unshrunk = errors_with_a_model(0.5)  # half right
    assert corrected < 0.9 * unshrunk


def test_rows_shuffled_and_sessions() -> None:
    r, b, e = heavy_log(1)
    order = np.random.default_rng(0).permutation(r.size)
    sessions = np.arange(r.size) // 4
    grid = [1.0, 10.0, 100.0, INF]
    for tune in (tune_slope, lambda f, g, clusters: tune_mse(f, g, reference=INF, clusters=clusters)):
        one = tune(lambda p: clipped_ips(r, b, e, parameter=p), grid, clusters=sessions)
        two = tune(
            lambda p: clipped_ips(r[order], b[order], e[order], parameter=p), grid, clusters=sessions[order]
        )
        assert one.parameter == two.parameter
        assert one.estimate.value == pytest.approx(two.estimate.value, rel=1e-12)
        for x, y in zip(one.candidates, two.candidates, strict=True):
            assert x.score == pytest.approx(y.score, rel=1e-9)
    # Four equal rows a session: half widths as of the sessions alone, twice as wide as of the rows.
    quarter = (r[:250], b[:250], e[:250])
    repeated = tuple(np.repeat(x, 4) for x in quarter)
    wide = tune_slope(lambda p: clipped_ips(*repeated, parameter=p), grid, clusters=np.arange(1000) // 4)
    alone = tune_slope(lambda p: clipped_ips(*quarter, parameter=p), grid)
    for x, y in zip(wide.candidates, alone.candidates, strict=True):
        assert x.score == pytest.approx(y.score, rel=1e-9)


def test_the_ends_of_the_grid_are_said() -> None:
    log = heavy_log(2)
    least = tune_slope(lambda p: clipped_ips(*log, parameter=p), [100.0, 200.0, INF])
    assert (least.parameter, least.at_end) == (100.0, "least")
    assert "least of the grid" in least.warning
    largest = tune_mse(lambda p: clipped_ips(*log, parameter=p), [0.001, 0.002, 0.004], reference=INF)
    assert (largest.parameter, largest.at_end) == (0.004, "largest")
    assert "a larger one may be better" in largest.warning
    unshrunk = {1.0: made(0.0, 0.1), 2.0: made(0.0, 0.1), INF: made(3.0, 0.1)}
    found = tune_mse(unshrunk.__getitem__, [1.0, 2.0, INF], reference=INF)
    assert (found.parameter, found.at_end) == (INF, "largest")
    assert "no shrinkage at all" in found.warning
    inside = tune_mse(lambda p: clipped_ips(*log, parameter=p), [1e-6, 100.0, 1e3, 1e4, INF], reference=INF)
    assert inside.at_end is None


def test_nothing_to_choose() -> None:
    r, _, e = heavy_log(3)
    found = tune_slope(lambda p: clipped_ips(r, e, e, parameter=p), [2.0, 5.0, INF])
    assert found.same == (2.0, 5.0, INF)
    assert found.at_end is None
    assert "nothing to choose" in found.warning
    # Two parameters above the largest weight, one below: the choice is within the grid and shrinks nothing.
    jumps = {1.0: made(9.0, 0.1), 5.0: made(0.0, 0.2), INF: made(0.0, 0.2)}
    whole = tune_slope(jumps.__getitem__, [1.0, 5.0, INF])
    assert whole.same == (5.0, INF)
    assert whole.at_end is None
    assert "no shrinkage at all" in whole.warning


def test_values_that_are_not_finite() -> None:
    good = made(1.0, 0.5)
    zero = np.zeros((1000, 1))
    nothing = ratio_estimate("made", weights=zero, numerator=zero, denominator=zero)
    assert math.isnan(nothing.value)
    estimates = {1.0: good, 2.0: nothing, 3.0: made(1.0, 0.4), 4.0: made(1.0, 0.6)}
    for found in (
        tune_slope(estimates.__getitem__, [2.0, 1.0, 3.0, 4.0]),
        tune_mse(estimates.__getitem__, [2.0, 1.0, 3.0, 4.0], reference=1.0),
    ):
        assert found.parameter == 3.0
        assert [one.usable for one in found.candidates] == [False, True, True, True]
        assert found.warning == "no finite value or error at 2"
    with pytest.raises(InputError, match="no parameter of the grid"):
        tune_slope(lambda _: nothing, [1.0, 2.0])
    with pytest.raises(InputError, match="reference 2"):
        tune_mse(estimates.__getitem__, [1.0], reference=2.0)
    with pytest.raises(InputError, match="no parameter of the grid"):
        tune_slope(lambda _: good, [1.0], clusters=np.zeros(1000, int))  # one session: no error can be stated


def test_few_rows_take_bounds() -> None:
    """Few rows with few clicks: Student's width of the most clipped one is far too sure of itself."""
    r, b, e = (x[:60] for x in heavy_log(4))
    grid = [0.5, 5.0, INF]
    bounds = tune_slope(lambda p: clipped_ips(r, b, e, parameter=p), grid)
    student = tune_slope(lambda p: clipped_ips(r, b, e, parameter=p), grid, config=TuneConfig(few=0))
    for x, y in zip(bounds.candidates, student.candidates, strict=True):
        assert x.score > 1.5 * y.score
    n, terms = 60, clipped_ips(r, b, e, parameter=5.0).terms
    logarithm = math.log(4 / 0.05)
    by_hand = math.sqrt(2 * logarithm * terms.var(ddof=1) / n) + 7 * np.ptp(terms) * logarithm / (3 * (n - 1))
    assert bounds.candidates[1].score == pytest.approx(by_hand, rel=1e-12)
    wide = tune_mse(lambda p: clipped_ips(r, b, e, parameter=p), grid, reference=INF)
    deviation = terms.std(ddof=1) + np.ptp(terms) * math.sqrt(2 * math.log(1 / 0.05) / (n - 1))
    difference = terms - clipped_ips(r, b, e, parameter=INF).terms
    bias = max(0.0, difference.mean() ** 2 - difference.var(ddof=1) / n)
    assert wide.candidates[1].score == pytest.approx(deviation**2 / n + bias, rel=1e-12)


def test_any_estimator_of_one_parameter() -> None:
    log = heavy_log(5)
    found = tune_mse(lambda p: sgips(*log, parameter=p), [0.0, 0.001, 0.01, 0.1, 1.0], reference=0.0)
    assert found.estimate.name == "SG-IPS"
    assert found.estimate.standard_error <= sgips(*log, parameter=0.0).standard_error


def test_bad_input() -> None:
    for grid in ([], [1.0, 1.0], [math.nan]):
        with pytest.raises(InputError, match="the grid is"):
            tune_slope(lambda _: made(0, 1), grid)
    with pytest.raises(InputError, match="delta is 2"):
        tune_slope(lambda _: made(0, 1), [1.0], config=TuneConfig(delta=2.0))
