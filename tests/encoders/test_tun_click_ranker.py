"""Relevance learned out of clicks beside what else draws them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import nbinom

from behavior.errors import InputError
from encoders.pairs import PairCounts
from encoders.tuning.click_ranker import ClickRanker, ClickRankerConfig, fit_click_ranker
from encoders.tuning.vector_ranker import VectorRanker, within_query

N_QUERIES, N_ITEMS = 60, 120


def unit(rng: np.random.Generator, n: int) -> np.ndarray:
    x = rng.normal(size=(n, 16)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def shop():
    """Clicks by relevance (the first 4 of 16 dimensions), by a trait of the items, and by what no column tells.

    The first score is the cosine; the second says in part what the trait says, which a learner that knows of no appeal
    takes for a sign of relevance.
    """
    rng = np.random.default_rng(0)
    query, item = unit(rng, N_QUERIES), unit(rng, N_ITEMS)
    row = np.repeat(np.arange(N_QUERIES), 30)
    at = np.concatenate([rng.choice(N_ITEMS, 30, replace=False) for _ in range(N_QUERIES)])
    truth = within_query((query[row, :4] * item[at, :4]).sum(1), row).astype(float)
    trait, hidden = rng.normal(size=N_ITEMS), 0.7 * rng.normal(size=N_ITEMS)
    exposure = rng.gamma(1.0, 60.0, len(row)) + 1.0
    level = rng.normal(-2.5, 0.4, N_QUERIES)
    mean = exposure * np.exp(level[row] + 0.6 * truth + trait[at] + hidden[at])
    clicks = rng.poisson(mean * rng.gamma(2.0, 0.5, len(row))).astype(float)
    counts = PairCounts(
        query=row.astype(np.int32),
        item=at.astype(np.int32),
        impressions=exposure,
        exposure=exposure,
        clicks=clicks,
        purchases=np.zeros(len(row)),
    )
    cosine = within_query((query[row] * item[at]).sum(1), row)
    drawn = within_query(trait[at] + rng.normal(size=len(row)), row)
    scores = np.stack([cosine, drawn], axis=1)
    return query, item, scores, counts, truth, trait, hidden


def right_pairs(score: np.ndarray, truth: np.ndarray, row: np.ndarray) -> float:
    """Share of a query's pairs of items that stand in the right order."""
    found = []
    for q in np.unique(row):
        s, t = score[row == q], truth[row == q]
        found.append(((s[:, None] > s[None]) == (t[:, None] > t[None]))[~np.eye(len(s), dtype=bool)].mean())
    return float(np.mean(found))


def fitted(shop, config: ClickRankerConfig, *, traits: bool = True) -> tuple[ClickRanker, float, float]:
    """The model of the first 40 queries, its held-out likelihood, and its right pairs, on the others."""
    query, item, scores, counts, truth, trait, _ = shop
    learn = counts.query < 40
    model = fit_click_ranker(
        query,
        [item],
        scores[learn],
        counts.take(learn),
        config,
        start=np.array([1.0, 0.0], np.float32),
        traits=trait[:, None].astype(np.float32) if traits else None,
    )
    away = counts.take(~learn)
    score = model.ranker.score(query, [item], scores[~learn], away.query, away.item)
    value = float(model.log_likelihood(score, away).mean())
    return model, value, right_pairs(score, truth[~learn], away.query)


def test_relevance_is_told_from_appeal(shop) -> None:
    _, _, scores, counts, truth, trait, hidden = shop
    away = counts.query >= 40
    before = right_pairs(scores[away, 0], truth[away], counts.query[away])
    config = ClickRankerConfig(ridge=0.003, rank=4)
    model, value, right = fitted(shop, config)
    _, naive_value, naive_right = fitted(shop, replace(config, appeal=False))
    assert naive_right > before  # there is something to be learned from clicks ...
    assert right > naive_right + 0.04  # ... and more so where what else draws them is in the model
    assert value > naive_value  # and that shows without knowing what is relevant
    # Appeal is what draws a click for any query, up to a constant.
    assert np.corrcoef(model.appeal, trait + hidden)[0, 1] > 0.9
    assert abs(model.ranker.weight[1]) < 0.2 * model.ranker.weight[0]


def test_intercepts_alone_tell_appeal_too(shop) -> None:
    model, _, _ = fitted(shop, ClickRankerConfig(), traits=False)
    assert np.corrcoef(model.appeal, shop[5] + shop[6])[0, 1] > 0.9


def test_what_was_never_shown_has_the_appeal_of_its_traits(shop) -> None:
    query, item, scores, counts, _, trait, _ = shop
    shown = counts.item != 7
    model = fit_click_ranker(
        query,
        [item],
        scores[shown],
        counts.take(shown),
        ClickRankerConfig(rank=0, steps=1),
        start=np.array([1.0, 0.0], np.float32),
        traits=np.stack([trait, np.arange(N_ITEMS) == 7], axis=1).astype(np.float32),
    )
    # The second trait belongs to item 7 alone, so nothing can be learned of it.
    others = model.appeal[np.arange(N_ITEMS) != 7]
    slope = np.polyfit(trait[np.arange(N_ITEMS) != 7], others, 1)[0]
    assert slope == pytest.approx(1.0, abs=0.25)
    assert model.appeal[7] == pytest.approx(slope * trait[7], abs=0.35 * abs(trait[7]))


def test_a_strong_ridge_leaves_the_start(shop) -> None:
    model, _, _ = fitted(shop, ClickRankerConfig(ridge=1e4, steps=20))
    assert model.ranker.weight == pytest.approx([1.0, 0.0], abs=0.05)
    assert 0.1 < model.steepness < 0.6  # what is left to learn of the score is how steeply clicks follow it


def test_likelihood_by_hand() -> None:
    """Against scipy's negative binomial, at the best level of each query."""
    rng = np.random.default_rng(1)
    counts = PairCounts(
        query=np.repeat([3, 5], 40).astype(np.int32),
        item=np.tile(np.arange(40), 2).astype(np.int32),
        impressions=np.full(80, 500.0),
        exposure=rng.uniform(100.0, 500.0, 80),
        clicks=rng.poisson(30.0, 80).astype(float),
        purchases=np.zeros(80),
    )
    score, appeal, shape = 0.1 * rng.normal(size=80), 0.1 * rng.normal(size=40), 2.0
    plain = VectorRanker(weight=np.ones(1), left=np.zeros((4, 0)), right=np.zeros((4, 0)), scale=1.0)
    model = ClickRanker(ranker=plain, appeal=appeal, shape=shape, steepness=0.5, level=-2.5)
    found = model.log_likelihood(score, counts)
    base = np.log(counts.exposure) + 0.5 * score + appeal[counts.item]

    def likelihood(q: int, level: float) -> np.ndarray:
        at = counts.query == q
        mean = np.exp(base[at] + level)
        return nbinom.logpmf(counts.clicks[at], shape, shape / (shape + mean))

    from scipy.special import gammaln

    for q in (3, 5):
        at = counts.query == q
        grid = np.linspace(-4.0, -1.0, 1_501)
        prior = -0.5 * 2.0 * (grid + 2.5) ** 2
        best = grid[np.argmax([likelihood(q, level).sum() for level in grid] + prior)]
        expected = likelihood(q, best) + gammaln(counts.clicks[at] + 1.0)
        assert found[at] == pytest.approx(expected, abs=2e-3)


def test_a_query_without_clicks_has_a_finite_likelihood() -> None:
    counts = PairCounts(
        query=np.zeros(2, np.int32),
        item=np.arange(2, dtype=np.int32),
        impressions=np.ones(2),
        exposure=np.ones(2),
        clicks=np.zeros(2),
        purchases=np.zeros(2),
    )
    plain = VectorRanker(weight=np.ones(1), left=np.zeros((4, 0)), right=np.zeros((4, 0)), scale=1.0)
    model = ClickRanker(ranker=plain, appeal=np.zeros(2), shape=2.0, steepness=1.0, level=-2.0)
    found = model.log_likelihood(np.zeros(2), counts)
    assert np.isfinite(found).all()
    assert (found < 0.0).all()


def test_errors(shop) -> None:
    query, item, scores, counts, _, _, _ = shop
    silent = replace(counts, clicks=np.zeros(counts.n_pairs))
    with pytest.raises(InputError, match="nothing was clicked"):
        fit_click_ranker(query, [item], scores, silent, start=np.array([1.0, 0.0], np.float32))
    with pytest.raises(InputError, match="shape is 0"):
        ClickRankerConfig(shape=0.0)
