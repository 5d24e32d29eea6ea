"""Vectors of their own for the queries of the log: what they learn, what they leave alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from encoders import known_queries
from encoders.finetuning import FinetuneConfig, finetune
from encoders.heads import HeadConfig
from encoders.known_queries import KnownQueriesConfig, fit_known_queries, prior_gain
from encoders.pairs import PairCounts
from encoders.relevance import Heads, KnownQueries, RelevanceModel, tables_from_vectors
from encoders.report import RelevanceReport, ndcg_by_query
from encoders.text import HashEncoder


def counts(query, item, exposure, clicks) -> PairCounts:
    exposure = np.asarray(exposure, float)
    return PairCounts(
        query=np.asarray(query, np.int32),
        item=np.asarray(item, np.int32),
        impressions=exposure,
        exposure=exposure,
        clicks=np.asarray(clicks, float),
        purchases=np.zeros(len(exposure)),
    )


def test_gain_by_hand() -> None:
    pairs = counts([0, 0], [0, 1], [10, 0], [2, 0])
    found = prior_gain(pairs, np.array([0.1, 0.3]), prior=10.0, shown_gain=0.0)
    assert found.tolist() == pytest.approx([3 / 20, 0.3])
    more = prior_gain(pairs, np.array([0.1, 0.3]), prior=10.0, shown_gain=1.0)
    assert more.tolist() == pytest.approx([3 / 20 * (1 + np.log(11)), 0.3])


@pytest.fixture(scope="module")
def two_kinds():
    """20 items of two kinds; the vector of query 0 says kind 0, its clicks say kind 1. Half of each was shown."""
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1], 10)
    item = np.eye(8, dtype=np.float32)[kind] + 0.2 * rng.normal(size=(20, 8)).astype(np.float32)
    item /= np.linalg.norm(item, axis=1, keepdims=True)
    query = np.eye(8, dtype=np.float32)[[0, 1]]
    shown = [*range(5), *range(10, 15)]
    pairs = counts(
        [0] * 10 + [1] * 10,
        shown * 2,
        [50.0] * 20,
        [2.0] * 5 + [20.0] * 5 + [2.0] * 5 + [20.0] * 5,
    )
    return item, query, kind, pairs


def test_what_was_clicked_carries_over_to_items_like_it(two_kinds) -> None:
    item, query, kind, pairs = two_kinds
    heads = Heads.plain(8, click_scale=1.0, purchase_scale=0.0, bias=(-2.0, 0.0))
    known = fit_known_queries(heads, item, query, ("a", "b"), pairs, KnownQueriesConfig(), progress=False)
    before = tables_from_vectors(item, query, heads)
    after = tables_from_vectors(item, query, heads, known, ("a", "b"))
    never = np.setdiff1d(np.arange(20), pairs.item)
    for tables, right in ((before, 0), (after, 1)):
        score = tables.item @ tables.click_query[0]
        assert score[never][kind[never] == right].mean() > score[never][kind[never] != right].mean() + 0.2
    # A query that is not known stays as it was, and so does every purchase.
    other = tables_from_vectors(item, query, heads, known, ("other", "b"))
    assert np.array_equal(other.click_query[0], before.click_query[0])
    assert np.array_equal(after.purchase_query, before.purchase_query)


def test_a_strong_ridge_leaves_the_text_alone(two_kinds) -> None:
    item, query, _, pairs = two_kinds
    heads = Heads.plain(8, click_scale=1.0, purchase_scale=0.0, bias=(-2.0, 0.0))
    stiff = fit_known_queries(
        heads, item, query, ("a", "b"), pairs, KnownQueriesConfig(ridge=1e7, steps=300), progress=False
    )
    assert np.abs(stiff.click[:, :-1]).max() < 0.05
    none = pairs.take(np.zeros(0, np.int64))
    assert fit_known_queries(heads, item, query, ("a", "b"), none, KnownQueriesConfig()).texts == ()


def test_a_share_of_the_queries_at_a_time_learns_the_same(two_kinds, monkeypatch) -> None:
    item, query, _, pairs = two_kinds
    heads = Heads.plain(8, click_scale=1.0, purchase_scale=0.0, bias=(-2.0, 0.0))
    arguments = (heads, item, query, ("a", "b"), pairs, KnownQueriesConfig())
    whole = fit_known_queries(*arguments, progress=False)
    monkeypatch.setattr(known_queries, "_MOST_SCORES", 20)  # one query
    apart = fit_known_queries(*arguments, progress=False)
    assert np.allclose(whole.click, apart.click, atol=1e-5)


def test_later_clicks_say_how_sure_to_be(two_kinds) -> None:
    item, query, _, pairs = two_kinds
    heads = Heads.plain(8, click_scale=1.0, purchase_scale=0.0, bias=(-2.0, 0.0))
    # Later sessions click half as much on what was liked, and more on the rest: the same order, less sure.
    later = replace(pairs, clicks=np.where(pairs.clicks > 10, 10.0, 6.0))
    fitted = [
        fit_known_queries(
            heads, item, query, ("a", "b"), pairs, KnownQueriesConfig(), later=part, progress=False
        )
        for part in (None, later)
    ]
    plain, told = (tables_from_vectors(item, query, heads, known, ("a", "b")) for known in fitted)
    one, two = plain.item @ plain.click_query[0], told.item @ told.click_query[0]
    assert np.array_equal(one.argsort(), two.argsort())
    assert np.ptp(two) < np.ptp(one)
    p = told.click_probability(later.query, later.item[:, None])[:, 0]
    assert (p * later.exposure).sum() == pytest.approx(later.clicks.sum(), rel=0.05)


def test_the_whole_model_loses_nothing_and_survives_the_disk(shop, tmp_path: Path) -> None:
    steps = shop.steps
    early = np.arange(steps.n_steps) < 0.8 * steps.n_steps
    train, valid = steps.take(early), steps.take(~early)
    plain = FinetuneConfig(heads=HeadConfig(steps=30), known=KnownQueriesConfig(enabled=False))
    whole = replace(plain, known=KnownQueriesConfig())
    found = [
        finetune(HashEncoder(), shop.catalog, train, valid, config, truth=shop.truth, progress=False)
        for config in (plain, whole)
    ]
    scores = []
    for model, report in found:
        tables = model.tables(shop.catalog, steps.queries, progress=False)
        scores.append(ndcg_by_query(tables.click_query[1:] @ tables.item.T, shop.truth[1:]))
        assert report.known_after.true_ndcg == pytest.approx(scores[-1])
        assert RelevanceReport.from_dict(report.as_dict()) == report
    assert scores[1] >= scores[0] - 0.005  # nothing is lost where the words say it all
    assert found[1][1].known_after.ndcg >= found[0][1].known_after.ndcg - 0.005
    # Held-out queries are judged without any vector of their own.
    assert found[1][1].after == found[0][1].after
    model = found[1][0]
    model.save(tmp_path / "model")
    back = RelevanceModel.load(tmp_path / "model")
    assert back.fingerprint == model.fingerprint != found[0][0].fingerprint
    assert back.known.texts == model.known.texts == tuple(steps.queries[1:])


def test_rows_of_known_queries() -> None:
    known = KnownQueries(texts=("a", "b"), click=np.zeros((2, 3), np.float32))
    at, rows = known.rows(("x", "b", "", "a"))
    assert at.tolist() == [1, 3]
    assert rows.tolist() == [1, 0]
