"""What was learned of single queries is kept apart from what words say: fits learn of single queries themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from encoders import HashEncoder, RelevanceModel, build_features, load_features, save_features
from encoders.relevance import Heads, KnownQueries
from simulators.kernels.tables import kernel_tables


def model_of(known: KnownQueries | None) -> RelevanceModel:
    heads = Heads.plain(64, click_scale=4.0, purchase_scale=1.0, bias=(-2.0, 0.0))
    return RelevanceModel(HashEncoder(), heads, known=known)


def test_fits_read_the_words_and_policies_all_of_it(shop: Any, tmp_path: Path) -> None:
    queries = list(shop.steps.queries)
    rng = np.random.default_rng(0)
    known = KnownQueries(texts=("gizmo",), click=rng.normal(size=(1, 65)).astype(np.float32))
    model, plain = model_of(known), model_of(None)
    assert plain.of_words() is plain
    assert model.of_words().fingerprint == plain.fingerprint

    features = build_features(shop.catalog, queries, shop.steps, model, progress=False)
    alone = build_features(shop.catalog, queries, shop.steps, plain, progress=False)
    assert alone.words_click_query is None
    assert features.words_click_query is not None
    assert np.array_equal(features.words_click_query, alone.relevance.click_query)
    differ = np.flatnonzero((features.relevance.click_query != alone.relevance.click_query).any(axis=1))
    assert [queries[q] for q in differ] == ["gizmo"]
    assert np.array_equal(kernel_tables(features).relevance_click, alone.relevance.click_query)
    assert np.array_equal(kernel_tables(alone).relevance_click, alone.relevance.click_query)

    save_features(tmp_path / "features.npz", features)
    again = load_features(tmp_path / "features.npz").words_click_query
    assert again is not None
    assert np.array_equal(again, features.words_click_query)
    save_features(tmp_path / "alone.npz", alone)
    assert load_features(tmp_path / "alone.npz").words_click_query is None
