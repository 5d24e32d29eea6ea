from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from behavior.errors import InputError
from encoders.features import FeatureTables, RelevanceTables
from pipeline.config import RelevanceOptions, TrainConfig
from pipeline.relevance import _candidates

CONFIG = TrainConfig()


@pytest.fixture
def features() -> FeatureTables:
    """3 queries, 40 items: query q likes item 39 - q best; item 0 is the most popular."""
    rng = np.random.default_rng(0)
    score = np.tile(np.arange(40, dtype=np.float32), (3, 1))
    score[np.arange(3), 39 - np.arange(3)] = 50.0
    relevance = RelevanceTables(
        item=np.eye(40, dtype=np.float32),
        click_query=score / 25.0,
        purchase_query=score,
        click_bias=-1.0,
        purchase_bias=0.0,
    )
    return FeatureTables(
        item_vectors=rng.normal(size=(40, 4)).astype(np.float32),
        query_vectors=np.ones((3, 4), np.float32),
        item_numeric=np.zeros((40, 1), np.float32),
        numeric_names=("x",),
        item_category=np.zeros(40, np.int32),
        n_categories=1,
        price=np.ones(40, np.float32),
        popularity=np.linspace(0.5, 0.1, 40).astype(np.float32),
        relevance=relevance,
    )


def config(**options: object) -> TrainConfig:
    return replace(CONFIG, relevance=RelevanceOptions(**options))  # type: ignore[arg-type]


def test_shares_of_a_run(features) -> None:
    plain = _candidates(config(), 10, features, None)
    assert 0 not in plain.items
    mixed = _candidates(config(popular_candidates=0.2, explored_candidates=0.1), 10, features, None)
    for query in range(3):
        items = mixed.items[query].tolist()
        assert items[0] == 39 - query
        assert {0, 1} <= set(items)  # the two most popular
        assert len(set(items) & set(plain.items[query].tolist())) >= 7
        assert len(set(items)) == 10
    expected = features.relevance.click_probability(np.arange(3, dtype=np.int32), mixed.items)
    assert np.allclose(mixed.scores, expected)


def test_another_finder_finds_and_the_tuned_model_scores(features) -> None:
    finder = replace(features.relevance, click_query=-features.relevance.click_query)
    mixed = _candidates(config(popular_candidates=0.1), 5, features, finder)
    assert set(mixed.items[0].tolist()) == {0, 1, 2, 3, 4}
    expected = features.relevance.click_probability(np.arange(3, dtype=np.int32), mixed.items)
    assert np.allclose(mixed.scores, expected)


def test_impossible_shares_are_named(features) -> None:
    with pytest.raises(InputError, match=r"found 1\.2"):
        _candidates(config(popular_candidates=1.2), 5, features, None)
