from __future__ import annotations

import itertools

import numpy as np
import pytest

from agents import plackett_luce as pl


def brute_force(scores: np.ndarray, K: int) -> tuple[np.ndarray, dict[tuple[int, ...], np.ndarray]]:
    """Marginals (K, N) and prefix probabilities of every slate, by enumeration."""
    N = scores.shape[0]
    w = np.exp(scores - scores.max())
    marginals = np.zeros((K, N))
    prefixes = {}
    for slate in itertools.permutations(np.flatnonzero(w > 0), K):
        p, cascade = 1.0, []
        taken: list[int] = []
        for n in slate:
            left = sum(w[m] for m in range(N) if m not in taken)
            p *= w[n] / left
            taken.append(n)
            cascade.append(p)
        prefixes[tuple(int(n) for n in slate)] = np.array(cascade)
        for k, n in enumerate(slate):
            marginals[k, n] += p
    return marginals, prefixes


@pytest.mark.parametrize("spread", [0.0, 1.0, 4.0])
@pytest.mark.parametrize(("N", "K"), [(1, 1), (3, 2), (4, 4), (6, 3), (7, 5)])
def test_against_enumeration(N: int, K: int, spread: float) -> None:
    scores = np.random.default_rng(N * 10 + K).normal(size=N) * spread
    marginals, prefixes = brute_force(scores, K)
    np.testing.assert_allclose(pl.position_marginals(scores[None], K)[0], marginals, rtol=1e-9, atol=0)
    slates = np.array(list(prefixes))
    rows = np.broadcast_to(scores, (len(slates), N))
    got = pl.item_position_marginals(rows, slates)
    np.testing.assert_allclose(got, marginals[np.arange(K), slates], rtol=1e-9, atol=0)
    np.testing.assert_allclose(np.exp(pl.log_cascade(rows, slates)), list(prefixes.values()), rtol=1e-12)


def test_masked_candidates_do_not_exist() -> None:
    scores = np.array([0.3, -np.inf, 1.2, -0.5, -np.inf, 0.1])
    kept = np.flatnonzero(np.isfinite(scores))
    full = pl.position_marginals(scores[None], 3)[0]
    np.testing.assert_allclose(full[:, kept], pl.position_marginals(scores[None, kept], 3)[0], rtol=1e-12)
    assert (full[:, [1, 4]] == 0).all()
    slate = np.array([[2, 0, 5]])
    assert np.allclose(pl.item_position_marginals(scores[None], slate)[0], full[np.arange(3), slate[0]])
    shown = pl.log_cascade(scores[None], np.array([[2, 1, 0]]))[0]
    assert shown[0] == pl.log_cascade(scores[None], slate)[0, 0]
    assert (shown[1:] == -np.inf).all()
    assert pl.item_position_marginals(scores[None], np.array([[2, 1, 0]]))[0, 1] == 0


def test_equal_scores_give_one_over_n() -> None:
    marginals = pl.position_marginals(np.zeros((1, 50)), 10)
    np.testing.assert_allclose(marginals, 1 / 50, rtol=1e-10)


@pytest.mark.parametrize("K", [2, 5, 10, 20])
def test_rows_and_long_slates_sum_to_one(K: int) -> None:
    scores = np.random.default_rng(3).normal(size=(5, 40)) * np.array([0.1, 1, 3, 10, 40])[:, None]
    marginals = pl.position_marginals(scores, K)
    np.testing.assert_allclose(marginals.sum(2), 1, rtol=1e-9)
    assert (marginals.sum(1) <= 1 + 1e-9).all()
    whole = pl.position_marginals(scores[:, :K], K)  # everything is shown: columns sum to one as well
    np.testing.assert_allclose(whole.sum(1), 1, rtol=1e-9)


def test_two_positions_in_closed_form() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(3, 50)) * np.array([1, 5, 15])[:, None]
    w = np.exp(scores - scores.max(1, keepdims=True))
    w /= w.sum(1, keepdims=True)
    for b in range(3):
        rest = np.array([np.delete(w[b], j).sum() for j in range(50)])
        second = np.array([sum(w[b, j] * w[b, i] / rest[j] for j in range(50) if j != i) for i in range(50)])
        np.testing.assert_allclose(pl.position_marginals(scores[b : b + 1], 2)[0, 1], second, rtol=1e-9)


def test_cascade_is_exact_where_subtraction_would_cancel() -> None:
    # One candidate outweighs the others by e^60: 1 - its probability is 0 in floating point, the next step is not.
    scores = np.array([[60.0, 0.0, np.log(3.0), -2.0]])
    got = np.exp(pl.log_cascade(scores, np.array([[0, 2, 1]])))[0]
    second = 3 / (4 + np.exp(-2))
    np.testing.assert_allclose(got, [1, second, second / (1 + np.exp(-2))], rtol=1e-12)


def test_repeats_have_no_probability() -> None:
    scores = np.random.default_rng(0).normal(size=(1, 5))
    cascade = np.exp(pl.log_cascade(scores, np.array([[3, 1, 3]])))[0]
    np.testing.assert_allclose(
        cascade[:2], np.exp(pl.log_cascade(scores, np.array([[3, 1, 0]])))[0, :2], rtol=1e-12
    )
    assert cascade[2] == 0
    assert (pl.item_position_marginals(scores, np.array([[3, 1, 3]])) == 0).all()


def test_top_k_sorts_stably() -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 4, size=(300, 20)).astype(float)
    expected = np.argsort(-scores, axis=1, kind="stable")
    for K in (1, 7, 20):
        assert (pl.top_k(scores, K) == expected[:, :K]).all()


def test_samples_follow_the_law() -> None:
    # 24 slates, 40,000 draws: chi-square with 23 degrees of freedom exceeds 49.7 once in a thousand seeds.
    scores = np.array([0.5, -0.3, 1.0, 0.0])
    M = 40_000
    gumbel = np.random.default_rng(11).gumbel(size=(M, 4))
    slates = pl.sample(np.broadcast_to(scores, (M, 4)), gumbel, 3)
    every = np.array(list(itertools.permutations(range(4), 3)))
    expected = M * np.exp(pl.log_cascade(np.broadcast_to(scores, (24, 4)), every)[:, -1])
    found = np.array([(slates == slate).all(1).sum() for slate in every])
    assert expected.sum() == pytest.approx(M)
    assert ((found - expected) ** 2 / expected).sum() < 49.7


def test_batch_of_any_size_gives_equal_bits() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(130, 30)) * 2
    slates = pl.sample(scores, rng.gumbel(size=(130, 30)), 6)
    marginals, cascade = pl.item_position_marginals(scores, slates), pl.log_cascade(scores, slates)
    every = pl.position_marginals(scores, 6)
    for b in (0, 64, 129):
        one = slice(b, b + 1)
        assert (pl.item_position_marginals(scores[one], slates[one]) == marginals[one]).all()
        assert (pl.log_cascade(scores[one], slates[one]) == cascade[one]).all()
        assert (pl.position_marginals(scores[one], 6) == every[one]).all()


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match="row 1 has 2 candidates, fewer than the slate's 3"):
        pl.top_k(np.array([[1.0, 2, 3], [1, 2, -np.inf]]), 3)
    with pytest.raises(ValueError, match="row 0 are not all finite"):
        pl.top_k(np.array([[np.nan, 2.0, 3]]), 1)
    with pytest.raises(ValueError, match="actions must have shape"):
        pl.log_cascade(np.zeros((2, 3)), np.zeros((1, 2), np.int64))
