"""Misspecified fits are caught by the report, and right ones are not."""

from __future__ import annotations

import numpy as np

from simulators.composed import ComposedSimulator
from simulators.example import example_candidates, example_features, example_log, example_simulator
from simulators.fitting.config import FitConfig
from simulators.fitting.fit import fit_simulator
from simulators.parts.examination import CascadeExamination, PositionExamination
from simulators.rollout import RandomPages, simulate_steps
from simulators.trust import TrustConfig, TrustReport, measure_trust

FIT = FitConfig(strengths=(100.0,))
QUICK = TrustConfig(sessions=600, bootstrap=400, folds=2)


def judged(world: str, model: str, n_train: int, n_held: int, seed: int = 0) -> TrustReport:
    """Fit `model` to sessions of `world`, and compare it with later ones."""
    train = example_log(world, n_sessions=n_train, seed=seed)
    held = example_log(world, n_sessions=n_held, seed=seed, first_user=n_train)
    fitted = fit_simulator(model, train, held, example_features(), FIT, progress=False)
    return measure_trust(fitted, train, held, QUICK, progress=False)


def lacks(report: TrustReport) -> set[str]:
    return {check.name for check in report.verdict.lacks}


def test_position_based_users_fitted_to_readers_who_stop() -> None:
    wrong, right = (judged("cascade", model, 1_500, 500) for model in ("pbm", "cascade"))
    assert wrong.verdict.answer == "no"
    assert {"clicks per page", "clicks near clicks", "pages told apart by a classifier"} <= lacks(wrong)
    assert "clicks near clicks" in wrong.verdict.headline
    below = {c.label: c for c in wrong["clicks near clicks"].cells}["anywhere below a click"]
    assert below.simulated_low > below.logged_high  # who stops after a click clicks less below it
    assert right.verdict.answer == "perhaps"
    assert lacks(right) == set()


def test_the_strict_cascade_in_a_position_based_world() -> None:
    """Users who stop at the first click, otherwise true."""
    true = example_simulator()
    names = ("features", "population", "attractiveness", "conversion", "dynamics", "slate_size")
    strict = ComposedSimulator(
        **{name: getattr(true, name) for name in names},
        examination=CascadeExamination(after_click=np.zeros(4), after_skip=np.ones(4)),
    )
    train, held = example_log(n_sessions=400), example_log(n_sessions=200, first_user=400)
    report = measure_trust(strict, train, held, QUICK, progress=False)
    assert report.verdict.answer == "no"
    assert {
        "clicks by position",
        "clicks per page",
        "clicks near clicks",
        "clicks better than rates by position",
    } <= (lacks(report))
    why = {part.what: part.why for part in report.left_out}  # nobody clicks twice on a page
    assert why["items passed over between clicks"] == "the simulated users give no occasion for it"
    foretell = next(d for d in report.verdict.decisions if d.use.startswith("foretell clicks"))
    assert foretell.answer == "no"


def test_a_cascade_fitted_to_a_position_based_world() -> None:
    """Attention is highest in the middle of the page; readers from the top can only look less and less."""
    gamma = np.array([0.5, 0.7, 1.0, 0.6, 0.9])
    names = ("features", "population", "attractiveness", "conversion", "dynamics", "slate_size")
    base = example_simulator()
    world = ComposedSimulator(
        **{name: getattr(base, name) for name in names}, examination=PositionExamination(gamma=gamma)
    )
    pages = RandomPages(example_candidates(base.features), 5)
    train, held = (
        simulate_steps(world, pages, n_sessions=n, max_steps=8, seed=2, first_user=first)
        for n, first in ((1_500, 0), (500, 1_500))
    )
    wrong, right = (
        measure_trust(
            fit_simulator(model, train, held, base.features, FIT, progress=False),
            train,
            held,
            QUICK,
            progress=False,
        )
        for model in ("cascade", "pbm")
    )
    assert wrong.verdict.answer == "no"
    assert "clicks by position" in lacks(wrong)
    assert wrong["clicks by position"].largest().label in ("position 1", "position 3", "position 5")
    assert lacks(right) == set()
