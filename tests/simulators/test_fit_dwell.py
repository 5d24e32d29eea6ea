"""Dwell: densities, laws found again, what is said where the log tells none, draws by key."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from simulators.composed import ComposedSimulator
from simulators.contract import ContractError, check_simulator
from simulators.example import example_candidates, example_features, example_log, example_simulator
from simulators.fitted import FittedSimulator
from simulators.fitting.config import FitConfig
from simulators.fitting.dwell import dwell_log_density, fit_law
from simulators.fitting.fit import fit_simulator
from simulators.fitting.report import PartScore
from simulators.kernels.visits import MAX_POSITIONS
from simulators.parts import LinearDwell
from simulators.parts.rows import impression_names
from simulators.rollout import RandomPages, simulate_steps
from simulators.storage import load_simulator, save_simulator

FEATURES = example_features()
NAMES = impression_names(FEATURES, ("context 0", "context 1"))
QUICK = FitConfig(strengths=(300.0, 30.0))
FORM = {"log-normal": 0.6, "gamma": 1.7}


def true_dwell(law: str) -> LinearDwell:
    weights = dict.fromkeys(NAMES, 0.0) | {"constant": 3.0, "log price": 0.5, "context 0": -0.3}
    return LinearDwell(
        law=law,
        weights=np.array(list(weights.values()), np.float32),
        bought=0.8,
        form=FORM[law],
        low=np.log(0.01),
        high=np.log(1e5),
    )


def with_dwell(law: str) -> ComposedSimulator:
    base = example_simulator("pbm", features=FEATURES)
    return ComposedSimulator(
        features=FEATURES,
        population=base.population,
        attractiveness=base.attractiveness,
        examination=base.examination,
        conversion=base.conversion,
        dynamics=base.dynamics,
        slate_size=5,
        dwell=true_dwell(law),
    )


def log_of(simulator: ComposedSimulator, n_sessions: int, first_user: int = 0) -> LoggedSteps:
    source = RandomPages(example_candidates(FEATURES), 5)
    return simulate_steps(
        simulator, source, n_sessions=n_sessions, max_steps=8, seed=0, first_user=first_user
    )


def score_of(simulator: FittedSimulator) -> PartScore:
    return next(score for score in simulator.report.scores if score.part == "dwell")


@pytest.fixture(scope="module", params=["log-normal", "gamma"])
def fitted(request: pytest.FixtureRequest) -> tuple[str, FittedSimulator]:
    truth = with_dwell(request.param)
    return request.param, fit_simulator(
        "pbm", log_of(truth, 2_500), log_of(truth, 600, 2_500), FEATURES, QUICK, progress=False
    )


@pytest.mark.parametrize("law", ["log-normal", "gamma"])
def test_densities_are_scipys_and_integrate_to_one(law: str) -> None:
    seconds, place, form = np.array([0.3, 4.0, 250.0]), np.array([1.0, 1.5, 4.0]), 1.3
    wanted = (
        stats.lognorm.logpdf(seconds, form, scale=np.exp(place))
        if law == "log-normal"
        else stats.gamma.logpdf(seconds, form, scale=np.exp(place) / form)
    )
    np.testing.assert_allclose(dwell_log_density(law, place, form, np.log(seconds)), wanted)

    def density(x: float) -> float:
        return float(np.exp(dwell_log_density(law, np.array([1.0]), form, np.log([x])))[0])

    assert quad(density, 0, np.inf)[0] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("law", ["log-normal", "gamma"])
def test_the_fit_is_the_top_of_the_penalised_likelihood(law: str) -> None:
    rng = np.random.default_rng(3)
    rows = np.c_[np.ones(400), rng.normal(size=(400, 2))].astype(np.float32)
    y = np.log(rng.gamma(2.0, np.exp(rows[:, 1])))
    weight = rng.exponential(size=400)
    penalty = np.array([0.0, 0.1, 0.1], np.float32)
    best = fit_law(law, rows, y, penalty, 30.0, weight)

    def objective(w: np.ndarray, form: float) -> float:
        standard = w * np.r_[0.0, rows[:, 1:].std(0)]
        likelihood = (weight * dwell_log_density(law, rows @ w, form, y)).sum()
        return float(likelihood - 0.5 * 30.0 * 0.1 * (standard**2).sum())

    top = objective(best.weights, best.form)
    for step in (-0.05, 0.05):
        assert objective(best.weights, best.form * (1 + step)) < top
        for j in range(3):
            moved = best.weights.copy()
            moved[j] += step
            assert objective(moved, best.form) < top


def test_law_and_parameters_are_found_again(fitted: tuple[str, FittedSimulator]) -> None:
    law, simulator = fitted
    part = simulator.dwell
    assert isinstance(part, LinearDwell)
    assert part.law == law
    assert f"dwell ({law})" in simulator.report.strengths
    assert part.form == pytest.approx(FORM[law], rel=0.08)
    assert part.bought == pytest.approx(0.8, abs=0.1)
    found = dict(zip(NAMES, part.weights, strict=True))
    assert found["log price"] == pytest.approx(0.5, abs=0.06)
    assert found["context 0"] == pytest.approx(-0.3, abs=0.06)
    score = score_of(simulator)
    assert score.beats_baseline
    assert score.n > 500
    assert any("dwell" in str(cell) for cell in simulator.report.table().columns[0].cells)


def test_draws_follow_the_law(fitted: tuple[str, FittedSimulator]) -> None:
    """Of the truth, item by item: its distribution function turns the drawn seconds into uniform numbers."""
    law = fitted[0]
    simulator = with_dwell(law)
    state = simulator.begin(np.arange(4_000), seed=5)
    slates = np.tile(np.arange(5, dtype=np.int32), (4_000, 1))
    context = state.context[:, 0].astype(np.float64)
    feedback = simulator.respond(state, slates, seed=5)
    assert feedback.dwell is not None
    price = FEATURES.item_numeric[:5, 0].astype(np.float64)
    place = 3.0 + 0.5 * price - 0.3 * context[:, None] + 0.8 * feedback.purchase
    form = FORM[law]
    clicked = feedback.click > 0
    seconds, place = feedback.dwell[clicked].astype(np.float64), place[clicked]
    u = (
        stats.norm.cdf((np.log(seconds) - place) / form)
        if law == "log-normal"
        else stats.gamma.cdf(seconds, form, scale=np.exp(place) / form)
    )
    assert len(u) > 1_000
    assert stats.kstest(u, "uniform").pvalue > 0.001
    assert not feedback.dwell[~clicked].any()


@pytest.mark.parametrize("form", [0.2, 0.9, 8.0])
def test_gamma_draws_of_every_shape(form: float) -> None:
    weights = np.array([1.0, *np.zeros(len(NAMES) - 1)], np.float32)
    part = LinearDwell(law="gamma", weights=weights, bought=0.0, form=form, low=-9.0, high=9.0)
    simulator = with_dwell("gamma")
    state = simulator.begin(np.arange(1_000), seed=2)
    slates, click = np.tile(np.arange(5, dtype=np.int32), (1_000, 1)), np.ones((1_000, 5), np.uint8)
    drawn = part.seconds(state, simulator.memory, slates, click, np.zeros_like(click), seed=2)
    assert stats.kstest(drawn.ravel(), stats.gamma(form, scale=np.e / form).cdf).pvalue > 0.001


@pytest.mark.parametrize("law", ["log-normal", "gamma"])
def test_contract_holds_with_dwell(law: str) -> None:
    assert len(check_simulator(with_dwell(law))) == 10


def test_contract_refuses_a_dwell_without_a_click() -> None:
    class Wrong(ComposedSimulator):
        def respond(self, *args, **options):  # type: ignore[no-untyped-def]
            feedback = super().respond(*args, **options)
            return dataclasses.replace(feedback, dwell=np.ones(feedback.click.shape, np.float32))

    wrong = with_dwell("gamma")
    wrong.__class__ = Wrong
    with pytest.raises(ContractError, match="dwell must be 0 where there is no click"):
        check_simulator(wrong)


def test_saved_and_loaded_to_the_bit(fitted: tuple[str, FittedSimulator], tmp_path: Path) -> None:
    simulator = fitted[1]
    save_simulator(simulator, tmp_path / "sim")
    again = load_simulator(tmp_path / "sim")
    slates = np.tile(np.arange(5, dtype=np.int32), (90, 1))
    one, other = (s.respond(s.begin(np.arange(90), seed=4), slates, seed=4) for s in (simulator, again))
    assert one.dwell is not None
    assert one.dwell.any()
    np.testing.assert_array_equal(one.dwell, other.dwell)


def test_logs_that_tell_no_dwell() -> None:
    train, valid = example_log("pbm", n_sessions=400), example_log("pbm", n_sessions=100, first_user=400)
    quick = FitConfig(strengths=(300.0,))
    none = fit_simulator("pbm", train, valid, FEATURES, quick, progress=False)
    assert none.dwell is None
    assert any("no dwell_seconds" in note for note in none.notes)
    assert none.respond(none.begin(np.arange(3), seed=0), train.item[:3].copy(), seed=0).dwell is None

    nothing = np.zeros(train.item.shape, np.float32)
    zero = fit_simulator(
        "pbm", dataclasses.replace(train, dwell=nothing), valid, FEATURES, quick, progress=False
    )
    assert zero.dwell is None
    assert any("only 0 clicks of the log have a dwell above 0" in note for note in zero.notes)


def test_a_dwell_that_nothing_explains_falls_back_to_a_constant() -> None:
    rng = np.random.default_rng(0)
    train, valid = (
        dataclasses.replace(steps, dwell=rng.lognormal(3.0, 1.0, steps.item.shape).astype(np.float32))
        for steps in (
            example_log("pbm", n_sessions=800),
            example_log("pbm", n_sessions=200, first_user=800),
        )
    )
    simulator = fit_simulator("pbm", train, valid, FEATURES, FitConfig(), progress=False)
    part, score = simulator.dwell, score_of(simulator)
    assert isinstance(part, LinearDwell)
    assert part.law == "log-normal"
    assert simulator.report.strengths["dwell (log-normal)"] == FitConfig().strengths[0]
    assert score.value == pytest.approx(score.baseline, abs=0.02)


def test_pages_longer_than_there_are_numbers_for_are_refused() -> None:
    part, simulator = true_dwell("gamma"), with_dwell("gamma")
    state = simulator.begin(np.arange(1), seed=0)
    long = np.zeros((1, MAX_POSITIONS + 1), np.int32)
    with pytest.raises(InputError, match="at most 1024"):
        part.seconds(state, simulator.memory, long, long.astype(np.uint8), long.astype(np.uint8), seed=0)
    with pytest.raises(InputError, match="law 'weibull'"):
        dataclasses.replace(part, law="weibull")
