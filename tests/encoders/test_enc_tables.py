from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from behavior.errors import InputError
from encoders.build import reduce_vectors, smoothed_rate
from encoders.candidates import ExactSource, build_candidates
from encoders.features import FeatureTables, RelevanceTables
from encoders.pairs import PairCounts
from encoders.report import judge_tables, ndcg_by_query
from encoders.storage import load_candidates, load_features, save_candidates, save_features


def make_tables(n_items: int = 30, n_queries: int = 5, seed: int = 0) -> FeatureTables:
    rng = np.random.default_rng(seed)

    def unit(n: int) -> np.ndarray:
        vectors = rng.normal(size=(n, 6)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    item, query = unit(n_items), unit(n_queries)
    query[0] = 0.0
    return FeatureTables(
        item_vectors=item,
        query_vectors=query,
        item_numeric=rng.normal(size=(n_items, 2)).astype(np.float32),
        numeric_names=("log_price", "größe"),
        item_category=rng.integers(0, 3, n_items).astype(np.int32),
        n_categories=3,
        price=rng.lognormal(size=n_items).astype(np.float32),
        popularity=rng.uniform(0.01, 0.3, n_items).astype(np.float32),
        relevance=RelevanceTables(
            item=item, click_query=query * 4, purchase_query=query, click_bias=-2.0, purchase_bias=-1.0
        ),
    )


def test_exact_search_against_a_full_sort() -> None:
    rng = np.random.default_rng(1)
    item, query = rng.normal(size=(200, 8)).astype(np.float32), rng.normal(size=(150, 8)).astype(np.float32)
    rows, scores = ExactSource(item, tile=64).search(query, 7)
    expected = np.argsort(-(query @ item.T), axis=1, kind="stable")[:, :7]
    assert np.array_equal(rows, expected)
    assert np.allclose(scores, np.take_along_axis(query @ item.T, expected, axis=1), atol=1e-5)


def test_search_does_not_depend_on_the_batch_and_breaks_ties_by_row() -> None:
    rng = np.random.default_rng(1)
    item, query = rng.normal(size=(90, 8)).astype(np.float32), rng.normal(size=(70, 8)).astype(np.float32)
    rows, scores = ExactSource(item).search(query, 5)
    for q in (0, 63, 64, 69):
        alone = ExactSource(item).search(query[q : q + 1], 5)
        assert np.array_equal(alone[0][0], rows[q])
        assert np.array_equal(alone[1][0], scores[q])
    equal, _ = ExactSource(np.ones((40, 2), np.float32)).search(np.ones((1, 2), np.float32), 4)
    assert equal.tolist() == [[0, 1, 2, 3]]


def test_candidates_are_distinct_sorted_and_padded() -> None:
    features = make_tables()
    table = build_candidates(features, 40)
    assert table.items.shape == table.scores.shape == (5, 40)
    assert (table.items[:, 30:] == -1).all()
    assert (table.scores[:, 30:] == 0).all()
    for q in range(5):
        assert sorted(table.items[q, :30].tolist()) == list(range(30))
        assert (np.diff(table.scores[q]) <= 1e-7).all()
    query = np.arange(1, 5, dtype=np.int32)
    exact = features.relevance.click_probability(query, table.items[1:])
    assert np.allclose(exact, table.scores[1:], atol=1e-6)


def test_the_empty_query_is_ranked_by_popularity_where_relevance_says_nothing() -> None:
    features = make_tables()
    table = build_candidates(features, 10)
    assert table.items[0].tolist() == np.argsort(-features.popularity, kind="stable")[:10].tolist()
    with pytest.raises(InputError, match="at least one candidate"):
        build_candidates(features, 0)


def test_tables_come_back_from_disk(tmp_path: Path) -> None:
    features = make_tables()
    save_features(tmp_path / "f.npz", features)
    back = load_features(tmp_path / "f.npz")
    for name in ("item_vectors", "query_vectors", "item_numeric", "item_category", "price", "popularity"):
        assert np.array_equal(getattr(back, name), getattr(features, name))
        assert getattr(back, name).dtype == getattr(features, name).dtype
    assert back.numeric_names == features.numeric_names
    assert back.relevance.click_bias == -2.0
    assert np.array_equal(back.relevance.click_query, features.relevance.click_query)
    candidates = build_candidates(features, 4)
    save_candidates(tmp_path / "c.npz", candidates)
    assert np.array_equal(load_candidates(tmp_path / "c.npz").items, candidates.items)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.npz", "f.npz"]
    with pytest.raises(InputError, match="expected 'slategym-features-1'"):
        load_features(tmp_path / "c.npz")
    with pytest.raises(InputError, match="no such file"):
        load_features(tmp_path / "none.npz")
    (tmp_path / "f.npz").write_bytes((tmp_path / "f.npz").read_bytes()[:200])
    with pytest.raises(InputError, match="unreadable"):
        load_features(tmp_path / "f.npz")


def test_reduction_keeps_angles_where_the_vectors_fit() -> None:
    rng = np.random.default_rng(2)
    basis = np.linalg.qr(rng.normal(size=(20, 4)))[0]  # everything lies in 4 of 20 dimensions
    item, query = (rng.normal(size=(n, 4)) @ basis.T for n in (50, 9))
    item /= np.linalg.norm(item, axis=1, keepdims=True)
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    query[0] = 0.0
    small_item, small_query = reduce_vectors(item.astype(np.float32), query.astype(np.float32), 4)
    assert small_item.shape == (50, 4)
    assert np.allclose(small_query @ small_item.T, query @ item.T, atol=1e-4)
    assert not small_query[0].any()
    assert reduce_vectors(item.astype(np.float32), query.astype(np.float32), 99)[0].shape == (50, 20)


def test_smoothed_rate_trusts_what_the_counts_support() -> None:
    rng = np.random.default_rng(0)
    exposure = np.full(200, 100.0)
    same = smoothed_rate(rng.poisson(5.0, 200).astype(float), exposure)
    assert same.std() < 0.01  # nothing but chance: all near the mean
    truth = rng.uniform(0.01, 0.4, 200)
    different = smoothed_rate(rng.poisson(truth * 100).astype(float), exposure)
    assert np.corrcoef(different, truth)[0, 1] > 0.9
    none = smoothed_rate(np.zeros(3), np.zeros(3))
    assert ((none > 0) & (none < 1)).all()


def test_metrics_by_hand() -> None:
    pairs = PairCounts(
        query=np.array([0, 0, 0], np.int32),
        item=np.array([0, 1, 2], np.int32),
        impressions=np.array([10.0, 10.0, 10.0]),
        exposure=np.array([10.0, 10.0, 10.0]),
        clicks=np.array([6.0, 3.0, 0.0]),
        purchases=np.array([0.0, 3.0, 0.0]),
    )
    tables = RelevanceTables(
        item=np.array([[1.0], [2.0], [0.0]], np.float32),
        click_query=np.ones((1, 1), np.float32),
        purchase_query=np.ones((1, 1), np.float32),
        click_bias=0.0,
        purchase_bias=0.0,
    )
    metrics = judge_tables(tables, pairs, truth=np.array([[1.0, 0.0, 0.0]], np.float32))
    # Clicked-unclicked pairs won: 6*(10 + ties 4/2) + 3*(4 + 10 + ties 7/2) of 9*21.
    assert metrics.click_auc == pytest.approx((6 * 12 + 3 * 17.5) / 189)
    assert metrics.purchase_auc == 1.0
    assert metrics.true_ndcg == pytest.approx(1.0 / np.log2(3.0))


def test_ndcg_leaves_out_queries_with_nothing_relevant() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    truth = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert ndcg_by_query(scores, truth) == 1.0
    assert np.isnan(ndcg_by_query(scores, np.zeros((2, 3))))
