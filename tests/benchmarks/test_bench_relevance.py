from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from benchmarks.icecat import seeds_table
from benchmarks.icecat import table_of as icecat_table
from benchmarks.relevance import tables_of
from benchmarks.texts.icecat import Pairs, World, per_query
from benchmarks.texts.icecat_fits import ByClicks, ByGains, cross_fit
from encoders.pairs import PairCounts
from encoders.tuning.click_ranker import ClickRankerConfig
from encoders.tuning.vector_ranker import VectorRankerConfig


def test_figures_of_queries_by_hand() -> None:
    pairs = Pairs(
        query=np.array([0, 0, 0, 1, 1, 2]),
        item=np.arange(6),
        gain=np.array([7.0, 0.0, 1.0, 0.0, 0.0, 3.0]),
    )
    found = per_query(pairs, np.array([0.5, 0.6, 0.4, 1.0, 2.0, 1.0]))
    # Query 0: of two good and one bad, no good one stands above the bad one. The others cannot be judged.
    assert found["AUC"][0] == 0.0
    gains = (7 / np.log2(3) + 1 / np.log2(4)) / (7 + 1 / np.log2(3))
    assert found["NDCG@10"][0] == pytest.approx(gains)
    assert np.isnan(found["AUC"][1:]).all()
    assert np.isnan(found["NDCG@10"][1:]).all()


@pytest.fixture(scope="module")
def world() -> tuple[World, Pairs]:
    rng = np.random.default_rng(0)

    def unit(n: int) -> np.ndarray:
        x = rng.normal(size=(n, 8)).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    query, views = unit(20), (unit(40), unit(40))
    scores = np.stack([query @ views[0].T, query @ views[1].T, *rng.normal(size=(3, 20, 40))], axis=2)
    row = np.repeat(np.arange(20), 10)
    item = np.concatenate([rng.choice(40, 10, replace=False) for _ in range(20)])
    pairs = Pairs(query=row, item=item, gain=(rng.random(200) < 0.4).astype(float))
    return World(query=query, views=views, scores=scores.astype(np.float32)), pairs


def _by_ratings(world: World, pairs: Pairs) -> ByGains:
    return ByGains(world=world, learn=pairs)


def _by_clicks(world: World, pairs: Pairs) -> ByClicks:
    counts = PairCounts(
        query=pairs.query.astype(np.int32),
        item=pairs.item.astype(np.int32),
        impressions=np.full(200, 10.0),
        exposure=np.full(200, 10.0),
        clicks=1.0 + 3.0 * pairs.gain,
        purchases=np.zeros(200),
    )
    return ByClicks(world=world, counts=counts, traits=np.zeros((40, 0), np.float32))


@pytest.mark.parametrize(
    ("learner", "config"),
    [(_by_ratings, VectorRankerConfig), (_by_clicks, partial(ClickRankerConfig, appeal_steps=10))],
)
def test_no_model_sees_what_it_is_judged_on(world: tuple[World, Pairs], learner, config) -> None:
    vectors, pairs = world
    fold = np.arange(20) % 3
    grid = tuple(config(rank=2, ridge=ridge, steps=5) for ridge in (0.01, 1.0))
    before, picks = cross_fit(learner(vectors, pairs), pairs, fold, grid, "test")
    assert len(picks) == 3
    # Other labels for the queries of fold 0 move the scores of all others, and of none of theirs.
    away = fold[pairs.query] == 0
    turned = Pairs(query=pairs.query, item=pairs.item, gain=np.where(away, 1.0 - pairs.gain, pairs.gain))
    after, _ = cross_fit(learner(vectors, turned), pairs, fold, grid, "test")
    assert np.array_equal(after[away], before[away])
    assert not np.array_equal(after[~away], before[~away])


def test_tables() -> None:
    gap = {"against zero-shot, title": [0.01, -0.01, 0.03], "against zero-shot, text": [0.0, -0.02, 0.02]}
    row = {"model": "m", "AUC": {"value": 0.9, **gap}, "NDCG@10": {"value": 0.8, **gap}}
    lines = icecat_table([row]).splitlines()
    assert lines[2].startswith("| m | 0.900 | +0.010 (-0.010 to +0.030) | +0.000")
    assert "| 1: 2,000 clicks | 0.900 |" in seeds_table([row | {"seed": 1, "clicks": 2_000.0}])
    place = {
        "value": 0.7,
        "against zero-shot": [0.1, 0.05, 0.15],
        "against naive": [0.0, -0.1, 0.1],
        "click AUC": 0.6,
        "purchase AUC": 0.5,
    }
    found = tables_of(
        {
            "models": [
                {"model": "a", "new queries": place, "queries of the log": place, "seconds": 3.0},
                {"model": "b", "new queries": place, "seconds": 4.0},
            ],
            "debiasing": [{"model": "naive", "queries of the log": place}],
        }
    )
    assert len({line.count("|") for line in found["relevance"].splitlines()}) == 1
    assert "| a | 0.700 | +0.100 (+0.050 to +0.150) |" in found["relevance"]
    assert "| naive | 0.700 | +0.000 (-0.100 to +0.100) |" in found["debiasing"]
