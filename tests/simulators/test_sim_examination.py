"""Click models against closed forms: all click vectors of a small page, enumerated."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from simulators.base import SessionState
from simulators.parts import CascadeExamination, PositionExamination

# Chi-square above which a right sampler is refused once in a million runs (K = 3: 7 degrees of freedom; K = 4: 15).
CRITICAL = {3: 40.52, 4: 56.49}
MODELS = [
    PositionExamination(gamma=np.array([1.0, 0.7, 0.4, 0.2])),
    CascadeExamination(after_click=np.zeros(3), after_skip=np.ones(3)),
    CascadeExamination(after_click=np.array([0.5, 0.3, 0.2]), after_skip=np.array([0.9, 0.8, 0.6])),
]


def _brute_force(
    model: PositionExamination | CascadeExamination, a: np.ndarray, clicks: tuple[int, ...]
) -> float:
    """P(clicks) by summing over everything that is not seen: which positions were looked at."""
    k = len(a)
    if isinstance(model, PositionExamination):
        chances = model.gamma[:k] * a
        return float(np.prod([p if c else 1 - p for p, c in zip(chances, clicks, strict=True)]))
    total = 0.0
    for depth in range(1, k + 1):  # the reader looks at the first `depth` positions exactly
        if any(clicks[depth:]):
            continue
        chance = 1.0
        for j in range(depth):
            chance *= a[j] if clicks[j] else 1 - a[j]
            go_on = model.after_click[min(j, 2)] if clicks[j] else model.after_skip[min(j, 2)]
            if j < depth - 1:
                chance *= go_on
            elif depth < k:
                chance *= 1 - go_on
        total += chance
    return total


def _state(n: int) -> SessionState:
    return SessionState(
        user=np.arange(n, dtype=np.int64),
        step=np.zeros(n, np.int32),
        query=np.zeros(n, np.int32),
        context=np.zeros((n, 0), np.float32),
        hidden=np.zeros((n, 0), np.float32),
    )


@pytest.mark.parametrize("model", MODELS, ids=["position", "strict cascade", "cascade"])
@pytest.mark.parametrize("k", [3, 4])
def test_enumerated_click_vectors(model: PositionExamination | CascadeExamination, k: int) -> None:
    logits = np.array([[-0.3, 0.8, -1.2, 0.4]])[:, :k]
    a = 1 / (1 + np.exp(-logits[0]))
    vectors = list(itertools.product((0, 1), repeat=k))
    truth = np.array([_brute_force(model, a, v) for v in vectors])
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
    assert chi_square < CRITICAL[k], f"seed {seed}"


def test_small_batches_take_the_serial_twin_and_give_the_same_bits() -> None:
    logits = np.random.default_rng(0).normal(size=(200, 4))
    for model in MODELS:
        whole = model.click(_state(200), logits, seed=3)
        np.testing.assert_array_equal(whole[:7], model.click(_state(7), logits[:7], seed=3))


def test_weights_and_longer_slates() -> None:
    np.testing.assert_allclose(MODELS[0].weights(6), [1, 0.7, 0.4, 0.2, 0.2, 0.2], rtol=1e-6)
    strict = CascadeExamination(after_click=np.zeros(2), after_skip=np.ones(2), typical_click=0.25)
    np.testing.assert_allclose(strict.weights(3), [1, 0.75, 0.5625], rtol=1e-6)
    assert PositionExamination(gamma=np.ones(2)).click(_state(3), np.full((3, 5), 50.0), seed=0).all()


def test_empty_positions_are_never_clicked() -> None:
    logits = np.full((100, 4), 30.0)
    logits[:, 2] = -np.inf
    for model in MODELS:
        assert not model.click(_state(100), logits, seed=1)[:, 2].any()
        assert (model.click_probability(logits)[:, 2] == 0).all()
