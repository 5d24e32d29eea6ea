"""Click models against closed forms: all click vectors of a small page, enumerated."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from simulators.base import SessionState
from simulators.example import example_features, example_simulator
from simulators.parts import (
    CascadeExamination,
    DynamicBayesianExamination,
    MultinomialExamination,
    PositionExamination,
    SkimmingExamination,
)
from simulators.parts.contract import Examination
from simulators.storage import load_simulator, save_simulator

FALSE_ALARM = 7e-8
"""A right sampler is refused this often; there are fourteen tests, so once in a million runs of this file."""
MODELS: list[Examination] = [
    PositionExamination(gamma=np.array([1.0, 0.7, 0.4, 0.2])),
    CascadeExamination(after_click=np.zeros(3), after_skip=np.ones(3)),
    CascadeExamination(after_click=np.array([0.5, 0.3, 0.2]), after_skip=np.array([0.9, 0.8, 0.6])),
    DynamicBayesianExamination(perseverance=0.8, satisfaction_bias=-0.4),
    DynamicBayesianExamination(perseverance=0.9, satisfaction_bias=0.2, satisfaction_slope=1.5),
    MultinomialExamination(attention=np.array([1.0, 0.7, 0.4, 0.2])),
    SkimmingExamination(
        after_click=np.array([0.5, 0.3, 0.2]), after_skip=np.array([0.9, 0.8, 0.6]), skip=0.3
    ),
]
IDS = ["position", "strict cascade", "cascade", "dynamic Bayesian", "of quality", "multinomial", "skimming"]


def _skimming(model: SkimmingExamination, a: np.ndarray, clicks: tuple[int, ...]) -> float:
    """P(clicks) by summing over how far down a reader comes, and over what of it is read."""
    k, total = len(a), 0.0
    for depth in range(1, k + 1):
        for read in itertools.product((0, 1), repeat=depth - 1):
            looked = (1, *read)  # the first is always read
            chance = 1.0
            for j in range(depth):
                chance *= 1.0 if j == 0 else 1 - model.skip if looked[j] else model.skip
                chance *= (a[j] if clicks[j] else 1 - a[j]) if looked[j] else float(not clicks[j])
                go_on = float((model.after_click if clicks[j] else model.after_skip)[j]) if j < k - 1 else 0.0
                chance *= go_on if j < depth - 1 else 1 - go_on
            total += 0.0 if any(clicks[depth:]) else chance
    return total


def _brute_force(model: Examination, logits: np.ndarray, clicks: tuple[int, ...]) -> float:
    """P(clicks) by summing over everything that is not seen: how far down was looked."""
    k, a = len(logits), 1 / (1 + np.exp(-logits))
    if isinstance(model, PositionExamination):
        chances = model.gamma[:k] * a
        return float(np.prod([p if c else 1 - p for p, c in zip(chances, clicks, strict=True)]))
    if isinstance(model, MultinomialExamination):
        odds = model.attention[:k] * np.exp(logits)
        chosen = odds[clicks.index(1)] if any(clicks) else 1.0
        return 0.0 if sum(clicks) > 1 else float(chosen / (1 + odds.sum()))
    if isinstance(model, SkimmingExamination):
        return _skimming(model, a, clicks)
    total = 0.0
    for depth in range(1, k + 1):  # the reader looks at the first `depth` positions exactly
        if any(clicks[depth:]):
            continue
        chance = 1.0
        for j in range(depth):
            chance *= a[j] if clicks[j] else 1 - a[j]
            go_on = _goes_on(model, j, bool(clicks[j]), logits[j])
            if j < depth - 1:
                chance *= go_on
            elif depth < k:
                chance *= 1 - go_on
        total += chance
    return total


def _goes_on(model: Examination, j: int, clicked: bool, logit: float) -> float:
    if isinstance(model, DynamicBayesianExamination):
        satisfies = 1 / (1 + np.exp(-model.satisfaction_bias - model.satisfaction_slope * logit))
        return float(model.perseverance * (1 - satisfies if clicked else 1))
    assert isinstance(model, CascadeExamination)
    return float((model.after_click if clicked else model.after_skip)[min(j, 2)])


def _state(n: int) -> SessionState:
    return SessionState(
        user=np.arange(n, dtype=np.int64),
        step=np.zeros(n, np.int32),
        query=np.zeros(n, np.int32),
        context=np.zeros((n, 0), np.float32),
        hidden=np.zeros((n, 0), np.float32),
    )


@pytest.mark.parametrize("model", MODELS, ids=IDS)
@pytest.mark.parametrize("k", [3, 4])
def test_enumerated_click_vectors(model: Examination, k: int) -> None:
    logits = np.array([[-0.3, 0.8, -1.2, 0.4]])[:, :k]
    vectors = list(itertools.product((0, 1), repeat=k))
    truth = np.array([_brute_force(model, logits[0], v) for v in vectors])
    assert truth.sum() == pytest.approx(1.0, abs=1e-12)

    click = np.array(vectors, np.uint8)
    given = model.click_probability_given_above(np.repeat(logits, len(vectors), 0), click)
    chain = np.prod(np.where(click > 0, given, 1 - given), axis=1)
    np.testing.assert_allclose(chain, truth, atol=1e-12)

    marginal = model.click_probability(logits)[0]
    np.testing.assert_allclose(marginal, (truth[:, None] * click).sum(0), atol=1e-12)

    n = 100_000
    seed = int(np.random.default_rng().integers(2**62))  # fresh: the false alarm rate is the stated one
    drawn = model.click(_state(n), np.repeat(logits, n, 0), seed=seed)
    code = (drawn * (2 ** np.arange(k)[::-1])).sum(1)
    count = np.bincount(code, minlength=2**k)
    possible = truth > 0
    assert count[~possible].sum() == 0
    chi_square = (((count - n * truth) ** 2)[possible] / (n * truth[possible])).sum()
    assert chi_square < chi2.isf(FALSE_ALARM, possible.sum() - 1), f"seed {seed}"


def test_small_batches_take_the_serial_twin_and_give_the_same_bits() -> None:
    logits = np.random.default_rng(0).normal(size=(200, 4))
    for model in MODELS:
        whole = model.click(_state(200), logits, seed=3)
        np.testing.assert_array_equal(whole[:7], model.click(_state(7), logits[:7], seed=3))


def test_weights_and_longer_slates() -> None:
    np.testing.assert_allclose(MODELS[0].weights(6), [1, 0.7, 0.4, 0.2, 0.2, 0.2], rtol=1e-6)
    strict = CascadeExamination(after_click=np.zeros(2), after_skip=np.ones(2), typical_click=0.25)
    np.testing.assert_allclose(strict.weights(3), [1, 0.75, 0.5625], rtol=1e-6)
    network = DynamicBayesianExamination(perseverance=0.5, satisfaction_bias=0.0, typical_click=0.2)
    np.testing.assert_allclose(network.weights(3), [1, 0.45, 0.2025], rtol=1e-6)  # 0.2 x 0.25 + 0.8 x 0.5
    np.testing.assert_allclose(MODELS[5].weights(6), [1, 0.7, 0.4, 0.2, 0.2, 0.2], rtol=1e-6)
    assert PositionExamination(gamma=np.ones(2)).click(_state(3), np.full((3, 5), 50.0), seed=0).all()


def test_empty_positions_are_never_clicked() -> None:
    logits = np.full((100, 4), 30.0)
    logits[:, 2] = -np.inf
    for model in MODELS:
        assert not model.click(_state(100), logits, seed=1)[:, 2].any()
        assert (model.click_probability(logits)[:, 2] == 0).all()


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_a_simulator_with_it_survives_the_disk(model: Examination, tmp_path: Path) -> None:
    features = example_features()
    simulator = example_simulator(features=features)
    simulator.examination = model
    save_simulator(simulator, tmp_path / "simulator")
    again = load_simulator(tmp_path / "simulator")
    users, slates = np.arange(100), np.tile(np.arange(5, dtype=np.int32), (100, 1))
    before = simulator.respond(simulator.begin(users, seed=1), slates, seed=1)
    after = again.respond(again.begin(users, seed=1), slates, seed=1)
    np.testing.assert_array_equal(before.click, after.click)
    assert type(again.examination) is type(model)
    np.testing.assert_array_equal(model.weights(5), again.examination_weights(5))
