"""Probabilities of the items above a position in any order, against the sum over their orders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from agents import plackett_luce as pl


@pytest.mark.parametrize(
    ("N", "K", "spread"), [(4, 3, 0.5), (7, 5, 8.0), (5, 5, 1.0), (7, 4, 30.0), (6, 1, 1.0)]
)
def test_against_the_sum_over_orders(N: int, K: int, spread: float) -> None:
    scores = spread * np.random.default_rng(N).normal(size=N)
    slates = np.array(list(itertools.permutations(range(N), K)))
    every = np.tile(scores, (len(slates), 1))
    cascade, got = np.exp(pl.log_cascade(every, slates)), pl.prefix_sets(every, slates)
    for k in range(K):
        prefixes = {tuple(s[: k + 1]): cascade[i, k] for i, s in enumerate(slates)}
        sums: dict[tuple[frozenset[int], int], float] = {}
        for prefix, chance in prefixes.items():
            key = frozenset(prefix[:-1]), prefix[-1]
            sums[key] = sums.get(key, 0.0) + chance
        want = [sums[frozenset(s[:k].tolist()), int(s[k])] for s in slates]
        np.testing.assert_allclose(got[:, k], want, rtol=1e-9, atol=0)


def test_ends_where_the_slate_does() -> None:
    masked = pl.prefix_sets(np.array([[0.0, -np.inf, 0.0]]), np.array([[0, 1, 2]]))
    np.testing.assert_allclose(masked, [[0.5, 0.0, 0.0]], rtol=1e-12)
    twice = pl.prefix_sets(np.zeros((1, 3)), np.array([[0, 1, 0]]))
    np.testing.assert_allclose(twice, [[1 / 3, 1 / 6, 0.0]], rtol=1e-9)
    # all items shown: every set of two of three stands above the last one by chance alone
    np.testing.assert_allclose(
        pl.prefix_sets(np.zeros((1, 3)), np.array([[2, 0, 1]]))[0, 2], 1 / 3, rtol=1e-9
    )
