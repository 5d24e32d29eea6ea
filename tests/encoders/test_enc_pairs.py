from __future__ import annotations

import numpy as np
import pytest

from encoders.logistic import choose_ridge, fit_logistic, log_likelihood, sigmoid
from encoders.pairs import concatenate, count_pairs, examination_by_position, merged


def test_counts_by_hand(make_steps) -> None:
    steps = make_steps(
        query=[1, 1, 2],
        item=[[4, 7], [7, -1], [4, 2]],
        click=[[1, 0], [1, 0], [0, 1]],
        purchase=[[1, 0], [0, 0], [0, 0]],
    )
    pairs = count_pairs(steps, np.array([1.0, 0.5]))
    assert pairs.query.tolist() == [1, 1, 2, 2]
    assert pairs.item.tolist() == [4, 7, 2, 4]
    assert pairs.impressions.tolist() == [1, 2, 1, 1]
    assert pairs.exposure.tolist() == [1.0, 1.5, 0.5, 1.0]
    assert pairs.clicks.tolist() == [1, 1, 1, 0]
    assert pairs.purchases.tolist() == [1, 0, 0, 0]
    assert pairs.misses.tolist() == [0.0, 0.5, 0.0, 1.0]


def test_pairs_of_two_logs_are_one_pair(make_steps) -> None:
    one = count_pairs(make_steps([1, 2], [[3, 4], [0, 3]], [[1, 0], [0, 0]]), np.ones(2))
    other = count_pairs(make_steps([2, 2], [[3, 1], [3, 0]], [[1, 0], [1, 0]]), np.array([1.0, 0.5]))
    found = merged(concatenate([one, other]))
    assert list(zip(found.query.tolist(), found.item.tolist(), strict=True)) == [
        (1, 3),
        (1, 4),
        (2, 0),
        (2, 1),
        (2, 3),
    ]
    assert found.impressions.tolist() == [1, 1, 2, 1, 3]
    assert found.exposure.tolist() == [1.0, 1.0, 1.5, 0.5, 3.0]
    assert found.clicks.tolist() == [1, 0, 0, 0, 2]


def test_examination_is_found_although_the_best_items_stand_first(make_steps) -> None:
    rng = np.random.default_rng(5)
    theta = np.array([1.0, 0.6, 0.4, 0.3])
    appeal = rng.uniform(0.02, 0.4, 12)
    M = 40_000
    # Noisy ranking by appeal: position and appeal are confounded, but every item stands everywhere at times.
    item = np.argsort(-(appeal[None] * 6 + rng.gumbel(size=(M, 12))), axis=1)[:, :4]
    click = rng.random((M, 4)) < theta * appeal[item]
    naive = click.mean(axis=0) / click.mean(axis=0)[0]
    found = examination_by_position(make_steps(np.ones(M), item, click))
    assert np.abs(found - theta).max() < 0.02
    assert naive[3] < theta[3] - 0.03  # the raw rates mistake relevance for examination


def test_examination_without_clicks_or_with_unseen_positions(make_steps) -> None:
    assert examination_by_position(make_steps([1], [[3, 4]], [[0, 0]])).tolist() == [1.0, 1.0]
    found = examination_by_position(make_steps([1, 1], [[3, -1], [4, -1]], [[1, 0], [0, 0]]))
    assert found.tolist() == [1.0, 1.0]


def test_few_clicks_hardly_move_examination(make_steps) -> None:
    rng = np.random.default_rng(0)
    item = np.full((9_999, 3), -1)
    position = np.arange(9_999) % 3
    item[np.arange(9_999), position] = rng.integers(0, 80, 9_999)
    click = np.zeros((9_999, 3))
    click[:36:3, 0], click[1:50:3, 1], click[2:30:3, 2] = 1, 1, 1  # 12, 17 and 10 clicks
    assert examination_by_position(make_steps(np.zeros(9_999), item, click)).min() > 0.6


def test_logistic_without_features_is_the_smoothed_rate() -> None:
    w, b = fit_logistic(np.zeros((3, 2)), np.array([3.0, 0.0, 2.0]), np.array([5.0, 6.0, 4.0]), ridge=1.0)
    assert w.tolist() == [0.0, 0.0]
    # The score equation: 5 - 20 p + .5 - p = 0.
    assert sigmoid(np.array([b]))[0] == pytest.approx(5.5 / 21.0, abs=1e-9)


def test_logistic_is_a_maximum() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 3))
    hits = rng.binomial(20, sigmoid(x @ np.array([1.0, -2.0, 0.0]) - 1.0)).astype(float)
    w, b = fit_logistic(x, hits, 20.0 - hits, ridge=2.0)

    def objective(w: np.ndarray, b: float) -> float:
        p = sigmoid(np.array([b]))[0]
        half = 0.5 * np.log(p) + 0.5 * np.log(1.0 - p)
        return log_likelihood(x, hits, 20.0 - hits, w, b) + half - (w @ w)

    best = objective(w, b)
    for direction in np.eye(4):
        for step in (-1e-3, 1e-3):
            assert objective(w + step * direction[:3], b + step * direction[3]) < best
    assert np.abs(w - [1.0, -2.0, 0.0]).max() < 0.15


def test_logistic_survives_separable_and_rare() -> None:
    x = np.array([[1.0], [-1.0]])
    w, _ = fit_logistic(x, np.array([50.0, 0.0]), np.array([0.0, 50.0]), ridge=1.0)
    assert 1.0 < w[0] < 10.0
    w, b = fit_logistic(x, np.array([1.0, 0.0]), np.array([1e6, 1e6]), ridge=1.0)
    assert np.isfinite([w[0], b]).all()
    assert b < -12.0


def test_ridge_leaves_only_the_constant_where_clicks_are_noise() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 20))
    exposure = np.full(80, 125.0)
    noise = rng.multinomial(40, np.full(80, 1 / 80)).astype(float)
    assert choose_ridge(x, noise, exposure - noise, seed=0) >= 100.0
    signal = rng.binomial(125, sigmoid(2.0 * x[:, 0] - 2.0)).astype(float)
    assert choose_ridge(x, signal, exposure - signal, seed=0) <= 30.0
