"""Choosing among policies: two by hand, the risk as often as it says, and what choosing adds to a value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from behavior.errors import InputError
from evaluation.selection import select_policy


def terms(rng: np.random.Generator, means: list[float], n: int = 400, together: float = 0.8) -> np.ndarray:
    """(n, P) terms whose errors go together, as on the same rows of a log."""
    shared = rng.standard_normal((n, 1)) * np.sqrt(together)
    own = rng.standard_normal((n, len(means))) * np.sqrt(1 - together)
    return np.asarray(np.array(means) + shared + own)


def test_two_policies_by_hand() -> None:
    """With a difference d and its standard error s, the other one is better with probability Phi(-d / s)."""
    sample = terms(np.random.default_rng(0), [1.0, 1.04])
    found = select_policy(sample, names=("a", "b"), n_resamples=10_000)
    gap = sample[:, 1] - sample[:, 0]
    z = gap.mean() / (gap.std(ddof=1) / np.sqrt(400))
    assert found.best == ("b" if z > 0 else "a")
    assert found.risk == pytest.approx(ndtr(-abs(z)), abs=0.01)
    assert found.margin.value == pytest.approx(abs(gap.mean()))
    error = gap.std(ddof=1) / np.sqrt(400)
    assert found.margin.half_width == pytest.approx(1.96 * error, rel=0.05)
    assert found.probability_best.sum() == pytest.approx(1)


def test_a_clear_winner() -> None:
    found = select_policy(terms(np.random.default_rng(1), [0.0, 3.0, 1.0]), names=("a", "b", "c"))
    assert found.best == "b"
    assert found.possible == ("b",)
    assert found.risk == 0
    assert found.regret[1] == 0
    assert found.regret[0] == pytest.approx(3.0, abs=0.2)
    assert found.corrected.value == pytest.approx(found.value[1], abs=0.01), "nothing to correct"


def test_the_best_is_hardly_ever_ruled_out() -> None:
    """Of twelve equal policies one is the best by name only; the level holds for all pairs at once."""
    rng = np.random.default_rng(2)
    kept = corrected = plain = 0.0
    for seed in range(80):
        sample = terms(rng, [1.0] * 12, n=150)
        names = tuple(f"p{i}" for i in range(12))
        found = select_policy(sample, names=names, n_resamples=400, seed=seed)
        kept += "p0" in found.possible
        plain += found.value.max() - 1.0
        corrected += found.corrected.value - 1.0
    assert kept / 80 >= 0.95 - 0.07
    assert plain / 80 > 0.03, "the best of twelve estimates is too high"
    assert abs(corrected) < 0.4 * plain, "most of which is taken off"


def test_users_are_what_is_resampled() -> None:
    rng = np.random.default_rng(3)
    user = np.repeat(np.arange(60), 20)
    sample = np.repeat(terms(rng, [1.0, 1.1], n=60, together=0.2), 20, axis=0)
    by_user = select_policy(sample, names=("a", "b"), users=user)
    by_row = select_policy(sample, names=("a", "b"))
    assert by_user.margin.half_width > 3 * by_row.margin.half_width
    assert by_user.margin.n_clusters == 60


def test_the_order_of_rows_does_not_matter() -> None:
    sample = terms(np.random.default_rng(4), [1.0, 1.05, 0.9])
    order = np.random.default_rng(5).permutation(400)
    one, two = (select_policy(s, names=("a", "b", "c"), users=u) for s, u in (
        (sample, np.arange(400)), (sample[order], order)
    ))  # fmt: skip
    assert two.probability_best == pytest.approx(one.probability_best, abs=1e-12)
    assert two.margin.low == pytest.approx(one.margin.low, abs=1e-12)


def test_words() -> None:
    found = select_policy(terms(np.random.default_rng(6), [1.0, 1.01, 0.0]), names=("a", "b", "c"))
    said = found.sentence()
    assert found.best in said
    assert "cannot be ruled out" in said


@pytest.mark.parametrize(
    ("sample", "names", "message"),
    [
        (np.zeros((5, 1)), ("a",), "two policies or more"),
        (np.full((5, 2), np.nan), ("a", "b"), "not all finite"),
        (np.zeros((1, 2)), ("a", "b"), "a single user"),
    ],
)
def test_nothing_to_choose_from(sample: np.ndarray, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        select_policy(sample, names=names)
