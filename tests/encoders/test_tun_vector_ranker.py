"""Low-rank metric learning on ready-made vectors."""

from __future__ import annotations

import numpy as np
import pytest

from encoders.tuning.vector_ranker import VectorRanker, VectorRankerConfig, fit_vector_ranker, within_query


def test_standardised_within_each_query() -> None:
    found = within_query(np.array([1.0, 3.0, 5.0, 5.0, 9.0]), np.array([0, 0, 1, 1, 2]))
    assert found.tolist() == [-1.0, 1.0, 0.0, 0.0, 0.0]
    two = within_query(np.array([[1.0, 0.0], [3.0, 8.0]]), np.array([4, 4]))
    assert two.tolist() == [[-1.0, -1.0], [1.0, 1.0]]


@pytest.fixture(scope="module")
def world():
    """What matters lies in the first 4 of 32 dimensions; cosines are drowned by the others."""
    rng = np.random.default_rng(0)

    def unit(n: int) -> np.ndarray:
        x = rng.normal(size=(n, 32)).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    query, item = unit(60), unit(400)
    row = np.repeat(np.arange(60), 20)
    at = np.concatenate([rng.choice(400, 20, replace=False) for _ in range(60)])
    truth = (query[row, :4] * item[at, :4]).sum(1)
    cosine = (query[row] * item[at]).sum(1)
    gain = (truth > np.quantile(truth, 0.7)).astype(float)
    return query, item, row, at, gain, within_query(cosine, row)[:, None]


def right_pairs(score, gain, row) -> float:
    found = []
    for q in np.unique(row):
        s, g = score[row == q], gain[row == q]
        if 0 < g.sum() < len(g):
            found.append((s[g == 1][:, None] > s[g == 0][None]).mean())
    return float(np.mean(found))


@pytest.mark.parametrize("ranking", ["pairwise", "softmax", "lambda"])
def test_the_metric_is_learned_and_holds_on_other_queries(world, ranking) -> None:
    query, item, row, at, gain, scores = world
    learn = row < 45
    config = VectorRankerConfig(rank=8, ridge=1e-3, ranking=ranking, steps=150)
    ranker = fit_vector_ranker(
        query, [item], scores[learn], row[learn], at[learn], gain[learn], config, start=np.ones(1)
    )
    found = ranker.score(query, [item], scores[~learn], row[~learn], at[~learn])
    before = right_pairs(scores[~learn, 0], gain[~learn], row[~learn])
    assert right_pairs(found, gain[~learn], row[~learn]) > before + 0.05


def test_a_strong_ridge_leaves_the_scores_as_they_were(world) -> None:
    query, item, row, at, gain, scores = world
    config = VectorRankerConfig(ridge=1e4, steps=30)
    ranker = fit_vector_ranker(query, [item], scores, row, at, gain, config, start=np.ones(1))
    found = ranker.score(query, [item], scores, row, at)
    assert np.corrcoef(found, scores[:, 0])[0, 1] > 0.99


def test_weights_alone(world) -> None:
    query, item, row, at, gain, scores = world
    rng = np.random.default_rng(1)
    both = np.concatenate([scores, rng.normal(size=scores.shape).astype(np.float32)], axis=1)
    config = VectorRankerConfig(rank=0, ridge=1e-3, steps=200)
    ranker = fit_vector_ranker(query, [item, item], both, row, at, gain, config, start=np.ones(2))
    assert abs(ranker.weight[1]) < 0.3 < ranker.weight[0]
    assert np.allclose(ranker.score(query, [item, item], both, row, at), both @ ranker.weight, atol=1e-5)


def test_scores_by_the_definition(world) -> None:
    query, item, row, at, _, scores = world
    rng = np.random.default_rng(2)
    left, right = (0.3 * rng.normal(size=(32, 4)).astype(np.float32) for _ in range(2))
    ranker = VectorRanker(weight=np.ones(1, np.float32), left=left, right=right, scale=10.0)
    other = item[rng.permutation(len(item))]
    metric = np.eye(32) + left @ right.T

    def cosine(x, y) -> np.ndarray:
        return (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)

    change = [
        cosine(query[row] @ metric, view[at] @ metric) - cosine(query[row], view[at])
        for view in (item, other)
    ]
    expected = scores[:, 0] + 10.0 * np.mean(change, axis=0)
    found = ranker.score(query, [item, other], scores, row, at)
    assert np.allclose(found, expected, atol=1e-4)
