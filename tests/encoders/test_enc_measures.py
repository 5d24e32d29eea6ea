from __future__ import annotations

import json
import math

import numpy as np
import pytest

from behavior.errors import InputError
from encoders.features import RelevanceTables
from encoders.measures.clusters import ClusterAuc, ClusterCalibration
from encoders.measures.comparison import Comparison, compare_tables, draw_queries, traffic_groups
from encoders.measures.fairness import compare_exposure
from encoders.measures.ranking import judge_rankings
from encoders.pairs import PairCounts


def tables_of(scores: np.ndarray, bias: float = 0.0) -> RelevanceTables:
    """Tables whose click logits are `scores` (Q, I) + bias."""
    return RelevanceTables(
        item=np.eye(scores.shape[1], dtype=np.float32),
        click_query=scores.astype(np.float32),
        purchase_query=scores.astype(np.float32),
        click_bias=bias,
        purchase_bias=0.0,
    )


def pairs_of(clicks: np.ndarray, shown: np.ndarray) -> PairCounts:
    """Counts (Q, I) of clicks and examined shows."""
    query, item = np.nonzero(shown)
    return PairCounts(
        query=query.astype(np.int32),
        item=item.astype(np.int32),
        impressions=shown[query, item].astype(float),
        exposure=shown[query, item].astype(float),
        clicks=clicks[query, item].astype(float),
        purchases=np.floor(clicks[query, item] / 2.0),
    )


@pytest.fixture(scope="module")
def drawn():
    """12 queries, 30 items; clicks follow a known truth."""
    rng = np.random.default_rng(3)
    truth = (rng.random((12, 30)) ** 3).astype(np.float32)
    shown = rng.integers(0, 6, (12, 30))
    clicks = rng.binomial(shown, 0.05 + 0.8 * truth)
    return truth, pairs_of(clicks, shown), rng.normal(size=(12, 30))


def test_rankings_by_hand() -> None:
    pytest.importorskip("ir_measures", reason="the extra `relevance` is not installed")
    scores = {4: {0: 9.0, 1: 8.0, 2: 7.0, 3: 6.0}, 5: {0: 2.0, 1: 1.0}, 6: {0: 1.0}}
    gains = {4: {1: 2, 3: 4, 8: 1}, 5: {0: 3}, 6: {0: 0}}
    relevant = {q: {i: int(g > 0) for i, g in mine.items()} for q, mine in gains.items()}
    found = judge_rankings(scores, gains, relevant, depths=(2, 4))
    # Query 6 has nothing relevant and is left out. Query 4: relevant at ranks 2 and 4, one of three never ranked.
    assert found["MRR"] == {4: 0.5, 5: 1.0}
    assert found["MAP"] == {4: pytest.approx((1 / 2 + 2 / 4) / 3), 5: 1.0}
    assert found["precision@2"] == {4: 0.5, 5: 0.5}
    assert found["recall@4"] == {4: pytest.approx(2 / 3), 5: 1.0}
    assert found["F1@4"][4] == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))
    log2 = np.log2
    assert found["NDCG@4"][4] == pytest.approx((2 / log2(3) + 4 / log2(5)) / (4 + 2 / log2(3) + 1 / log2(4)))
    assert found["NDCG@2"][4] == pytest.approx((2 / log2(3)) / (4 + 2 / log2(3)))
    source = judge_rankings(scores, gains, relevant, pool=2)
    assert source == {"recall@2 of the candidate source": {4: pytest.approx(1 / 3), 5: 1.0}}
    assert judge_rankings({6: {0: 1.0}}, gains, relevant) == {}


def test_auc_and_log_loss_agree_with_scikit_learn_under_any_resample() -> None:
    from sklearn.metrics import log_loss, roc_auc_score

    rng = np.random.default_rng(0)
    n = 400
    query = rng.integers(0, 9, n)
    score = np.round(rng.normal(size=n), 1)  # ties
    hits, misses = rng.integers(0, 3, n).astype(float), rng.uniform(0, 4, n)
    auc = ClusterAuc(score, hits, misses, query, 9)
    probability = 1 / (1 + np.exp(-score))
    calibration = ClusterCalibration(probability, hits, misses, query, 9)
    weights = np.concatenate([np.ones((1, 9)), draw_queries(9, 0)[:5]])
    label = np.concatenate([np.ones(n), np.zeros(n)])
    for row, found, loss in zip(weights, auc(weights), calibration.log_loss(weights), strict=True):
        weight = np.concatenate([hits, misses]) * np.tile(row[query], 2)
        assert found == pytest.approx(
            roc_auc_score(label, np.tile(score, 2), sample_weight=weight), abs=1e-12
        )
        assert loss == pytest.approx(log_loss(label, np.tile(probability, 2), sample_weight=weight), rel=1e-9)
    only_hits = ClusterAuc(score, hits, 0 * misses, query, 9)
    assert math.isnan(only_hits(np.ones((1, 9)))[0])


def test_calibration_error_by_hand() -> None:
    # Two bins of the same mass: 0.2 foretold and 0.5 seen, 0.6 foretold and 0.5 seen.
    p, hits = np.array([0.2, 0.2, 0.6, 0.6]), np.array([1.0, 0, 1, 0])
    query = np.array([0, 0, 1, 1])
    found = ClusterCalibration(p, hits, 1 - hits, query, 2, bins=2)
    assert found.error(np.ones((1, 2)))[0] == pytest.approx((0.3 + 0.1) / 2)
    assert found.error(np.array([[1.0, 0.0], [1.0, 3.0]])) == pytest.approx([0.3, (0.3 + 3 * 0.1) / 4])
    bins = found.reliability()
    assert [(b.predicted, b.observed, b.weight) for b in bins] == [
        (pytest.approx(0.2), 0.5, 2.0),
        (pytest.approx(0.6), 0.5, 2.0),
    ]


def test_a_calibrated_model_has_a_small_error() -> None:
    rng = np.random.default_rng(1)
    p = rng.uniform(0.02, 0.6, 20_000)
    hits = rng.binomial(10, p).astype(float)
    query = rng.integers(0, 50, len(p))
    right = ClusterCalibration(p, hits, 10 - hits, query, 50).error(np.ones((1, 50)))[0]
    wrong = ClusterCalibration(p * 0.8, hits, 10 - hits, query, 50).error(np.ones((1, 50)))[0]
    assert right < 0.01
    assert wrong == pytest.approx(0.2 * p.mean(), rel=0.05)


def test_traffic_thirds_by_hand() -> None:
    groups = traffic_groups(np.array([10.0, 60.0, 0.0, 20.0, 10.0, 0.0]))
    # In order: 60 (traffic before it: 0), 20 (60 %), 10 (80 %), 10 (90 %), and the two that were never asked.
    assert {name: np.flatnonzero(mask).tolist() for name, mask in groups.items()} == {
        "head": [1],
        "torso": [3],
        "tail": [0, 2, 4, 5],
    }


def test_auc_without_the_table_of_couples_is_the_same() -> None:
    rng = np.random.default_rng(1)
    n = 300
    query = rng.integers(0, 7, n)
    score = np.round(rng.normal(size=n), 1)  # ties
    hits, misses = rng.integers(0, 3, n).astype(float), rng.uniform(0, 4, n)
    weights = np.concatenate([np.ones((1, 7)), draw_queries(7, 0)[:20], np.zeros((1, 7))])
    with_table, without = (ClusterAuc(score, hits, misses, query, 7, table_to=most) for most in (7, 6))
    np.testing.assert_allclose(without(weights), with_table(weights), rtol=1e-12)
    assert np.isnan(without(weights)[-1])


def test_a_single_query_has_no_interval(drawn) -> None:
    pytest.importorskip("ir_measures", reason="the extra `relevance` is not installed")
    truth, pairs, noise = drawn
    one = np.arange(12) == 4
    found = compare_tables(
        tables_of(noise), tables_of(truth), pairs, group_of={"one": one, "two": one ^ (np.arange(12) == 5)}
    )
    alone, couple = found.row("click AUC", "one"), found.row("click AUC", "two")
    assert alone.n_queries == 1
    assert math.isfinite(alone.difference.value)
    assert math.isnan(alone.difference.low)
    assert math.isnan(alone.after.high)
    assert alone.cells()[-1].endswith("[no interval]")
    assert couple.difference.low <= couple.difference.value <= couple.difference.high
    assert (
        Comparison.from_dict(json.loads(json.dumps(found.as_dict()))).row("click AUC", "one").cells()
        == alone.cells()
    )


def test_the_better_model_is_better_and_the_interval_says_so(drawn) -> None:
    pytest.importorskip("ir_measures", reason="the extra `relevance` is not installed")
    truth, pairs, noise = drawn
    guess, good = tables_of(noise), tables_of(np.log(0.05 + 0.8 * truth) - np.log(0.95 - 0.8 * truth))
    found = compare_tables(guess, good, pairs, truth=truth)
    for name in (
        "click AUC",
        "NDCG@10 by true relevance",
        "NDCG@10 by clicks",
        "MAP by true relevance",
        "recall@10 by true relevance",
    ):
        row = found.row(name)
        assert row is not None
        assert row.before.low <= row.before.value <= row.before.high
        assert row.difference.value == pytest.approx(row.after.value - row.before.value)
        assert row.difference.low > 0.0
    assert found.row("NDCG@10 by true relevance").after.value == pytest.approx(1.0, abs=1e-3)
    assert found.row("MRR by true relevance").after.value == 1.0
    worse = found.row("click log-loss")
    assert worse.difference.high < 0.0
    assert found.row("click calibration error (ECE)").after.value < 0.06
    assert found.row("recall@100 of the candidate source by clicks").after.value == 1.0  # 30 items in all
    same = compare_tables(good, good, pairs, truth=truth)
    assert all(row.difference.low == row.difference.high == 0.0 for row in same.rows)


def test_intervals_cover_as_often_as_they_should() -> None:
    """The bootstrap of a mean over queries against the known mean of what they are drawn from."""
    pytest.importorskip("ir_measures", reason="the extra `relevance` is not installed")
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(60):
        clicked = rng.random(40) < 0.5  # each query: one clicked item of two, ranked first or second
        clicks = np.stack([clicked, ~clicked], axis=1).astype(float)
        model = tables_of(np.tile([1.0, 0.0], (40, 1)))
        row = compare_tables(model, model, pairs_of(clicks, np.ones((40, 2)))).row("MRR by clicks")
        covered += row.after.low <= 0.75 <= row.after.high
    assert 50 <= covered <= 60  # 57 expected; fewer than 50 of 60 at 93 % has a chance below 1 in 1,000


def test_groups_and_new_items(drawn) -> None:
    pytest.importorskip("ir_measures", reason="the extra `relevance` is not installed")
    truth, pairs, noise = drawn
    few = np.arange(12) < 4
    new = np.arange(30) >= 25
    found = compare_tables(tables_of(noise), tables_of(truth), pairs, group_of={"head": few}, new_items=new)
    alone = compare_tables(tables_of(noise), tables_of(truth), pairs.take(few[pairs.query]))
    assert found.row("click AUC", "head").after.value == pytest.approx(alone.row("click AUC").after.value)
    assert found.row("click AUC", "head").n_queries == 4
    only = compare_tables(tables_of(noise), tables_of(truth), pairs.take(new[pairs.item]))
    assert found.row("click AUC", "new items").after.value == pytest.approx(only.row("click AUC").after.value)
    again = Comparison.from_dict(json.loads(json.dumps(found.as_dict())))
    assert again.row("click AUC", "head") == found.row("click AUC", "head")
    assert again.reliability_after == found.reliability_after


def test_nothing_clicked_leaves_only_what_can_be_told(drawn) -> None:
    pytest.importorskip("ir_measures", reason="the extra `relevance` is not installed")
    truth, pairs, noise = drawn
    silent = PairCounts(
        query=pairs.query,
        item=pairs.item,
        impressions=pairs.impressions,
        exposure=pairs.exposure,
        clicks=0 * pairs.clicks,
        purchases=0 * pairs.clicks,
    )
    found = compare_tables(tables_of(noise), tables_of(truth), silent)
    assert {row.measure for row in found.rows} == {"click log-loss", "click calibration error (ECE)"}
    empty = compare_tables(
        tables_of(noise), tables_of(truth), silent.take(np.zeros(silent.n_pairs, np.bool_))
    )
    assert empty.rows == ()


def test_without_the_library_the_extra_is_named(monkeypatch, drawn) -> None:
    from encoders.measures import ranking

    monkeypatch.setattr(ranking, "HAS_LIBRARY", False)
    with pytest.raises(InputError, match="ir-measures") as caught:
        compare_tables(tables_of(drawn[2]), tables_of(drawn[2]), drawn[1])
    assert "[relevance]" in str(caught.value)


def test_exposure_by_hand() -> None:
    # One query, four items of two brands with the same merit: brand a has ranks 1 and 2 before, 1 and 3 after.
    before, after = tables_of(np.array([[4.0, 3, 2, 1]])), tables_of(np.array([[4.0, 2, 3, 1]]))
    merit, brand = np.ones((1, 4), np.float32), np.array([0, 0, 1, 1])
    found = compare_exposure(before, after, merit, brand, ("a", "b"), np.array([0]), page=4)
    seen = 1 / np.log2([2, 3, 4, 5])
    share = seen[:2].sum() / seen.sum()
    rows = {(row.measure, row.group): row for row in found.rows}
    assert rows["exposure / merit", "a"].before.value == pytest.approx(share / 0.5)
    assert rows["exposure / merit", "b"].before.value == pytest.approx((1 - share) / 0.5)
    after_share = (seen[0] + seen[2]) / seen.sum()
    assert rows["exposure / merit", "a"].after.value == pytest.approx(after_share / 0.5)
    departure = rows["exposure out of proportion to merit", "all"]
    assert departure.before.value == pytest.approx(share - 0.5)
    assert departure.difference.value == pytest.approx(after_share - share)
    assert found.merit == {"a": 0.5, "b": 0.5}
    assert found.items == {"a": 2, "b": 2}


def test_traffic_weighs_exposure_and_merit() -> None:
    # Query 0 shows brand a alone and deserves it; query 1 brand b. Three times the traffic, three times the share.
    scores = np.array([[2.0, 0.0], [0.0, 2.0]])
    merit = np.eye(2, dtype=np.float32)
    found = compare_exposure(
        tables_of(scores),
        tables_of(scores[::-1]),
        merit,
        np.array([0, 1]),
        ("a", "b"),
        np.array([0, 1]),
        traffic=np.array([3.0, 1.0]),
        page=1,
    )
    rows = {(row.measure, row.group): row for row in found.rows}
    assert found.merit == {"a": 0.75, "b": 0.25}
    assert rows["exposure / merit", "a"].before.value == pytest.approx(1.0)
    assert rows["exposure / merit", "a"].after.value == pytest.approx(0.25 / 0.75)
    assert rows["exposure out of proportion to merit", "all"].after.value == pytest.approx(0.5)


def test_merit_by_clicks_is_that_of_the_pairs() -> None:
    clicks = np.array([[0.0, 0, 0], [3, 0, 1], [0, 2, 0]])
    pairs = pairs_of(clicks, np.full((3, 3), 4.0))
    rate = np.zeros((3, 3), np.float32)
    rate[pairs.query, pairs.item] = pairs.click_rate()
    model, other = tables_of(np.array([[3.0, 2, 1]] * 3)), tables_of(np.array([[1.0, 2, 3]] * 3))
    group, queries = np.array([0, 1, -1]), np.array([2, 1])
    by_pairs = compare_exposure(model, other, pairs, group, ("a", "b"), queries, page=2)
    by_matrix = compare_exposure(model, other, rate, group, ("a", "b"), queries, page=2)
    assert by_pairs.merit == pytest.approx(by_matrix.merit)
    values = [[row.before.value, row.after.high] for row in by_pairs.rows]
    assert np.allclose(values, [[row.before.value, row.after.high] for row in by_matrix.rows], equal_nan=True)
