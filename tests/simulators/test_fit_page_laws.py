"""Simulators with the click models of whole pages: parameters found again, drawn from as they were fitted."""

from __future__ import annotations

import numpy as np
import pytest

from behavior.errors import InputError
from simulators.example import example_candidates, example_features, example_log, example_simulator
from simulators.fidelity import replay_logits
from simulators.fitting.config import FitConfig
from simulators.fitting.fit import fit_simulator
from simulators.fitting.likelihood import Problem, conditional_log_likelihood, constant_rate
from simulators.parts import (
    CascadeExamination,
    ClickChainExamination,
    DynamicBayesianExamination,
    MultinomialExamination,
)
from simulators.rollout import RandomPages, simulate_steps
from simulators.storage import load_simulator, save_simulator

FEATURES = example_features()
TRUTH = {
    "dcm": CascadeExamination(after_click=np.array([0.7, 0.5, 0.35, 0.25]), after_skip=np.ones(4)),
    "ccm": ClickChainExamination(tau=np.array([0.9, 0.7, 0.2])),
    "dbn": DynamicBayesianExamination(perseverance=0.9, satisfaction_bias=0.3, satisfaction_slope=0.8),
    "sdbn": DynamicBayesianExamination(perseverance=1.0, satisfaction_bias=-0.5),
    "mnl": MultinomialExamination(attention=np.array([1.0, 0.8, 0.6, 0.45, 0.35])),
}


def log_of(name, n, first_user=0):
    users = example_simulator("cascade")
    users.examination = TRUTH[name]
    source = RandomPages(example_candidates(FEATURES), 5)
    return simulate_steps(users, source, n_sessions=n, max_steps=8, seed=0, first_user=first_user)


@pytest.mark.parametrize("name", list(TRUTH))
def test_found_again_and_served_as_fitted(name, tmp_path):
    train, valid = log_of(name, 1_500), log_of(name, 300, first_user=1_500)
    fitted = fit_simulator(name, train, valid, FEATURES, FitConfig(strengths=(30.0,)), progress=False)
    found, true = fitted.examination, TRUTH[name]
    assert type(found) is type(true)
    if name == "dcm":
        np.testing.assert_allclose(found.after_click, true.after_click, atol=0.1)
        np.testing.assert_array_equal(found.after_skip, 1.0)
    elif name == "ccm":
        np.testing.assert_allclose(found.tau, true.tau, atol=0.12)
    elif name == "mnl":
        np.testing.assert_allclose(found.attention, true.attention, atol=0.12)
    else:
        assert found.perseverance == pytest.approx(true.perseverance, abs=0.04)
        assert found.satisfaction_bias == pytest.approx(true.satisfaction_bias, abs=0.45)
        assert found.satisfaction_slope == pytest.approx(true.satisfaction_slope, abs=0.35)
    assert next(s for s in fitted.report.scores if s.part == "clicks").beats_baseline
    # Users drawn from what is written and read again click as those of the log did.
    save_simulator(fitted, tmp_path / "users")
    users = load_simulator(tmp_path / "users")
    chance = users.examination.click_probability(replay_logits(users, valid))
    shown, clicks = valid.item >= 0, valid.click.astype(float)
    error = np.sqrt((chance * (1 - chance)).sum(0)) + 1e-9
    assert (np.abs(((clicks - chance) * shown).sum(0)) < 5 * error).all()


@pytest.mark.parametrize("name", list(TRUTH))
def test_the_fit_and_the_kernels_speak_of_one_law(name):
    """What the fit maximises, row by row, against the closed forms that the kernels draw from."""
    rng = np.random.default_rng(5)
    n, k = 60, 4
    shown = rng.random((n, k)) < 0.85
    page, position = np.nonzero(shown)
    logits = rng.normal(size=(n, k)) * shown
    dense = np.where(shown, logits, -np.inf)
    part = TRUTH[name]
    click = (rng.random((n, k)) < 0.3) & shown
    if name == "mnl":
        click &= np.cumsum(click, axis=1) == 1
    first = {
        "dcm": lambda: np.log(part.after_click[:3] / (1 - part.after_click[:3])),
        "ccm": lambda: np.log(part.tau / (1 - part.tau)),
        "dbn": lambda: np.array([np.log(9.0), 0.3, 0.8]),
        "sdbn": lambda: np.array([-0.5, 0.0]),
        "mnl": lambda: np.log(part.attention[1:4]),
    }[name]()
    problem = Problem(
        rows=logits[shown][:, None].astype(np.float32),
        outcome=click[shown].astype(np.uint8),
        penalty=np.zeros(1, np.float32),
        page=page,
        position=position,
        shape=(n, k),
        family=name,
    )
    p = constant_rate(problem)
    assert p.first.shape == first.shape
    p.weights[:] = 1.0
    p.first[:] = first
    given = part.click_probability_given_above(dense, click.astype(np.uint8))[shown]
    expected = np.log(np.where(click[shown], given, 1 - given))
    np.testing.assert_allclose(conditional_log_likelihood(problem, p), expected, atol=2e-6)


def test_what_no_kernel_serves_says_so():
    log = example_log(n_sessions=200)
    for name in ("ubm", "neural"):
        with pytest.raises(InputError, match=r"fit-clicks.*no simulator is made of it"):
            fit_simulator(name, log, log, FEATURES, progress=False)
    with pytest.raises(InputError, match="several clicks"):
        fit_simulator("mnl", log, log, FEATURES, progress=False)
