"""Fitting: parameters found again, gradients, logs that cannot carry a fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from simulators.example import example_features, example_log, example_simulator
from simulators.fitted import FittedSimulator
from simulators.fitting.centres import CATEGORY_PENALTY, ITEM_PENALTY
from simulators.fitting.config import FitConfig
from simulators.fitting.fit import fit_simulator
from simulators.fitting.likelihood import Parameters, Problem, conditional_log_likelihood, maximise
from simulators.fitting.queries import fit_queries
from simulators.fitting.scores import perplexity
from simulators.parts import CascadeExamination, OnePage, PositionExamination
from simulators.parts.rows import impression_names
from simulators.storage import load_simulator, save_simulator

FEATURES = example_features()
QUICK = FitConfig(strengths=(300.0, 30.0))


@pytest.fixture(scope="module", params=["pbm", "cascade"])
def fitted(request: pytest.FixtureRequest) -> tuple[str, FittedSimulator, LoggedSteps]:
    name = request.param
    train, valid = example_log(name, n_sessions=3_000), example_log(name, n_sessions=600, first_user=3_000)
    return name, fit_simulator(name, train, valid, FEATURES, QUICK, progress=False), valid


def test_parameters_are_found_again(fitted: tuple[str, FittedSimulator, LoggedSteps]) -> None:
    name, simulator, _ = fitted
    truth = example_simulator(name)
    if name == "pbm":
        assert isinstance(simulator.examination, PositionExamination)
        assert isinstance(truth.examination, PositionExamination)
        np.testing.assert_allclose(simulator.examination.gamma, truth.examination.gamma, atol=0.06)
    else:
        assert isinstance(simulator.examination, CascadeExamination)
        np.testing.assert_allclose(simulator.examination.after_click, 0.35, atol=0.07)
        np.testing.assert_allclose(simulator.examination.after_skip, 0.85, atol=0.08)
    names = impression_names(FEATURES, ("context 0", "context 1"))
    found = dict(zip(names, simulator.attractiveness.weights, strict=True))
    for column, true in zip(names, truth.attractiveness.weights, strict=True):
        if column in ("log1p(times shown before)", "log price", "context 0 x log price"):
            assert found[column] == pytest.approx(true, abs=0.12), column
    assert found["similarity to items clicked in this session"] == pytest.approx(0.8, abs=0.35)
    buying = dict(zip(names, simulator.conversion.weights, strict=True))
    assert buying["log price"] == pytest.approx(-0.6, abs=0.12)
    np.testing.assert_allclose(simulator.dynamics.stay, [0.3, 0.6, 0.2], atol=0.04)
    # The relevance and match columns are collinear here: what counts is the appeal they add up to.
    users, items = np.arange(50), np.tile(np.arange(100, dtype=np.int32), (50, 1))
    state = truth.begin(users, seed=1)
    mine, theirs = (s.attractiveness.logits(state, s.memory, items).ravel() for s in (simulator, truth))
    assert np.corrcoef(mine, theirs)[0, 1] > 0.96


def test_every_part_beats_its_baseline_held_out(fitted: tuple[str, FittedSimulator, LoggedSteps]) -> None:
    report = fitted[1].report
    assert {s.part for s in report.scores} == {"clicks", "purchases", "leaving", "next query"}
    for score in report.scores:
        assert score.beats_baseline, score
    assert len(report.perplexity) == 5
    assert all(a < b for a, b in zip(report.perplexity[:3], report.baseline_perplexity[:3], strict=True))
    assert report.notes == (
        "the log has no dwell_seconds: simulated clicks carry no dwell",
        "no user of the log comes a second time: nothing is known of returns",
    )
    assert type(report).from_json(report.to_json()) == report


def test_saved_and_loaded_behaves_to_the_bit(
    fitted: tuple[str, FittedSimulator, LoggedSteps], tmp_path: object
) -> None:
    _, simulator, _ = fitted
    folder = tmp_path / "sim"  # type: ignore[operator]
    save_simulator(simulator, folder)
    again = load_simulator(folder)
    assert isinstance(again, FittedSimulator)
    assert again.report == simulator.report
    states = [s.begin(np.arange(100), seed=4) for s in (simulator, again)]
    slates = np.tile(np.arange(5, dtype=np.int32), (100, 1))
    for shift in range(3):
        a, b = (s.respond(x, slates + shift, seed=4) for s, x in zip((simulator, again), states, strict=True))
        np.testing.assert_array_equal(a.click, b.click)
        np.testing.assert_array_equal(a.left, b.left)
        np.testing.assert_array_equal(states[0].hidden, states[1].hidden)
        np.testing.assert_array_equal(states[0].query, states[1].query)
    with pytest.raises(InputError, match="not overwritten"):
        save_simulator(simulator, folder)
    (folder / "parts.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="unreadable"):
        load_simulator(folder)
    with pytest.raises(InputError, match="no simulator"):
        load_simulator(folder / "nowhere")


@pytest.mark.parametrize("family", ["plain", "pbm", "cascade"])
def test_the_maximum_is_one(family: str) -> None:
    """Moving any parameter from the fit lowers the penalised likelihood, computed here from its definition."""
    rng = np.random.default_rng(1)
    n_pages, k = 400, 3
    rows = np.c_[np.ones(n_pages * k), rng.normal(size=(n_pages * k, 2))].astype(np.float32)
    problem = Problem(
        rows=rows,
        outcome=(rng.random(n_pages * k) < 1 / (1 + np.exp(1 - rows[:, 1]))).astype(np.uint8),
        penalty=np.array([0.0, 0.1, 0.1], np.float32),
        category=rng.integers(0, 2, n_pages * k),
        item=rng.integers(0, 4, n_pages * k),
        n_categories=2,
        n_items=4,
        page=np.repeat(np.arange(n_pages), k),
        position=np.tile(np.arange(k), n_pages),
        shape=(n_pages, k),
        family=family,
    )
    best = maximise(problem, strength=30.0, max_iterations=200)

    def objective(p: Parameters) -> float:
        scaled = p.weights * np.r_[0.0, rows[:, 1:].std(0)]
        prior = 30.0 * (
            0.1 * (scaled**2).sum()
            + CATEGORY_PENALTY * (p.category_bias**2).sum()
            + ITEM_PENALTY * (p.item_bias**2).sum()
        )
        prior += (np.diff(p.first) ** 2).sum()
        if family == "cascade":
            prior += (np.diff(p.second) ** 2).sum()
            prior += 0.25 * (p.first**2).sum() + 0.25 * ((p.second - 2) ** 2).sum()
        return float(conditional_log_likelihood(problem, p).sum() - 0.5 * prior)

    top = objective(best)
    for name in ("weights", "category_bias", "item_bias", "first", "second"):
        values = getattr(best, name)
        for j in range(len(values)):
            for step in (-0.2, 0.2):
                moved = values.copy()
                moved[j] += step
                assert objective(dataclasses.replace(best, **{name: moved})) < top + 0.01, (name, j, step)


def test_torch_and_numpy_agree_on_the_likelihood() -> None:
    rng = np.random.default_rng(2)
    n_pages, k = 50, 4
    logits, click = rng.normal(size=(n_pages, k)), rng.integers(0, 2, (n_pages, k)).astype(np.uint8)
    first, second = rng.normal(size=k - 1), rng.normal(size=k - 1)
    gamma = np.array([0.0, -0.3, -0.7, -1.0])
    for family, model, a, b in (
        ("pbm", PositionExamination(gamma=np.exp(gamma)), gamma, np.empty(0)),
        (
            "cascade",
            CascadeExamination(after_click=1 / (1 + np.exp(-first)), after_skip=1 / (1 + np.exp(-second))),
            first,
            second,
        ),
    ):
        problem = Problem(
            rows=logits.reshape(-1, 1).astype(np.float32),
            outcome=click.ravel(),
            penalty=np.zeros(1, np.float32),
            page=np.repeat(np.arange(n_pages), k),
            position=np.tile(np.arange(k), n_pages),
            shape=(n_pages, k),
            family=family,
        )
        p = Parameters(
            weights=np.ones(1), category_bias=np.empty(0), item_bias=np.empty(0), first=a, second=b
        )
        given = model.click_probability_given_above(logits.astype(np.float32).astype(np.float64), click)
        expected = np.where(click > 0, np.log(given), np.log1p(-given)).ravel()
        np.testing.assert_allclose(conditional_log_likelihood(problem, p), expected, atol=1e-6)


def test_query_counts_by_hand() -> None:
    log = example_log(n_sessions=3)
    log = dataclasses.replace(
        log.take(np.arange(6)),
        session=np.array([0, 0, 0, 0, 1, 1]),
        query=np.array([0, 0, 1, 2, 1, 2], np.int32),
        click=np.zeros((6, 5), np.uint8),
        purchase=np.zeros((6, 5), np.uint8),
    )
    model = fit_queries(log, 4)
    # Transitions: 0->0, 0->1, 1->2, 1->2, all without a click: one of four keeps the query.
    assert model.stay[0] == pytest.approx(1.5 / 5)
    assert model.stay[1] == 0.5
    np.testing.assert_array_equal(model.row_start, [0, 1, 2, 2, 2])
    np.testing.assert_array_equal(model.row_query, [1, 2])
    np.testing.assert_allclose(model.row_cumulative, [1.0, 1.0])
    assert model.row_trust[1] > model.row_trust[0] > model.row_trust[2] == 0
    assert model.frequency.sum() == pytest.approx(1.0)


def test_perplexity_by_hand() -> None:
    chance = np.array([[0.5, 0.25], [0.5, 0.5]])
    click = np.array([[1, 0], [0, 0]])
    shown = np.array([[True, True], [True, False]])
    np.testing.assert_allclose(perplexity(chance, click, shown), [2.0, 1 / 0.75])


def _single(n: int, rate: float, seed: int = 0) -> LoggedSteps:
    """A log of single impressions with a given click rate."""
    rng = np.random.default_rng(seed)
    log = example_log(n_sessions=2_000).take(np.arange(n))
    item = np.full((n, 3), -1, np.int32)
    position = rng.integers(0, 3, n)
    item[np.arange(n), position] = rng.integers(0, 80, n)
    click = np.zeros((n, 3), np.uint8)
    click[np.arange(n), position] = rng.random(n) < rate
    return dataclasses.replace(
        log,
        session=np.arange(n),
        step=np.zeros(n, np.int32),
        item=item,
        click=click,
        purchase=np.zeros((n, 3), np.uint8),
        session_end=np.full(n, 3, np.int8),
        propensity=np.full((n, 3), np.nan),
        cascade_propensity=np.full((n, 3), np.nan),
        single_impressions=True,
    )


def test_few_clicks_in_single_impressions_are_shrunk_to_the_rate() -> None:
    train, valid = _single(6_000, 0.005), _single(2_000, 0.005, seed=1)
    simulator = fit_simulator("pbm", train, valid, FEATURES, progress=False)
    assert isinstance(simulator.dynamics, OnePage)
    assert any("proves little" in note for note in simulator.notes)
    state = simulator.begin(np.arange(200), seed=0)
    appeal = simulator.appeal(state, np.tile(np.arange(200, dtype=np.int32), (200, 1))).click
    assert 0.001 < appeal.mean() < 0.015
    assert np.quantile(appeal, 0.99) < 0.05
    slates = np.tile(np.arange(3, dtype=np.int32), (200, 1))
    assert simulator.respond(state, slates, seed=0).left.all()
    assert {s.part for s in simulator.report.scores} == {"clicks", "purchases"}
    with pytest.raises(InputError, match="single impressions"):
        fit_simulator("cascade", train, valid, FEATURES, progress=False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: {"click": np.zeros_like(s.click)}, "no click"),
        (lambda s: {"click": np.ones_like(s.click)}, "every shown item"),
        (lambda s: {"item": np.where(np.arange(5) == 0, s.item, -1).astype(np.int32)}, "one position only"),
        (lambda s: {"item": np.where(s.item >= 0, 3, -1).astype(np.int32)}, "one item only"),
        (lambda s: {"item": np.full_like(s.item, -1)}, "no item at all"),
        (lambda s: {"item": s.item + 1000}, "only 200 items"),
        (lambda s: {"queries": ("a",)}, "20"),
    ],
)
def test_logs_that_cannot_carry_a_fit(change: object, reason: str) -> None:
    log = example_log(n_sessions=200)
    bad = dataclasses.replace(log, **change(log))  # type: ignore[operator]
    with pytest.raises(InputError, match=reason):
        fit_simulator("pbm", bad, log, FEATURES, progress=False)


def test_unknown_family_and_strict_cascade() -> None:
    log = example_log(n_sessions=300)
    with pytest.raises(InputError, match="unknown click model"):
        fit_simulator("dbm", log, log, FEATURES, progress=False)
    with pytest.raises(InputError, match="several clicks"):
        fit_simulator("cascade", log, log, FEATURES, FitConfig(stops_at_click=True), progress=False)


def test_an_empty_held_out_part_and_no_purchases() -> None:
    log = example_log(n_sessions=300)
    log = dataclasses.replace(log, purchase=np.zeros_like(log.purchase))
    simulator = fit_simulator("pbm", log, log.take(np.arange(0)), FEATURES, QUICK, progress=False)
    assert all(np.isnan(s.value) for s in simulator.report.scores)
    state = simulator.begin(np.arange(50), seed=0)
    appeal = simulator.appeal(state, np.tile(np.arange(20, dtype=np.int32), (50, 1)))
    assert appeal.purchase.max() < 0.01


def test_the_same_log_gives_the_same_simulator_on_any_number_of_threads() -> None:
    import torch

    train, valid = example_log("pbm", n_sessions=3_000), example_log("pbm", n_sessions=200, first_user=3_000)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            found.append(fit_simulator("pbm", train, valid, FEATURES, QUICK, progress=False))
            assert torch.get_num_threads() == threads  # given back as it was
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(other.attractiveness.weights, found[0].attractiveness.weights)
        np.testing.assert_array_equal(other.attractiveness.item_bias, found[0].attractiveness.item_bias)
        np.testing.assert_array_equal(other.conversion.weights, found[0].conversion.weights)
