from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from behavior.errors import InputError
from encoders.__main__ import main
from encoders.features import RelevanceTables
from encoders.fusion.learning import FusionConfig, FusionModel, GatedUnit
from encoders.fusion.modalities import Modalities
from encoders.fusion.shares import Shares, take_shares
from encoders.fusion.source import read_log
from encoders.measures.beside import beside
from encoders.pairs import PairCounts, count_pairs, examination_by_position
from encoders.relevance import RelevanceModel
from encoders.storage import load_candidates, load_features
from pipeline.config import RelevanceOptions, SourceOptions, TaskOptions, TrainConfig
from pipeline.data import read_source
from pipeline.relevance import learn_relevance

SHORT = ["--steps", "3", "--folds", "2"]


@pytest.fixture(scope="module")
def source(log) -> SourceOptions:
    return SourceOptions(data=log[1], catalog=Path(log[3]))


@pytest.fixture(scope="module")
def tables(log, model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fused")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(120, 4)).astype(np.float32)
    vectors[:20] = np.nan
    np.save(folder / "images.npy", vectors)
    images = ["--images", str(folder / "images.npy")]
    assert main(["fuse", "--model", str(model), "--out", str(folder / "out"), *images, *SHORT, *log]) == 0
    return folder / "out"


def test_the_ablation_says_what_each_modality_adds(tables) -> None:
    found = json.loads((tables / "report.json").read_text())
    assert {name: entry["items"] for name, entry in found["modalities"].items()} == {
        "numeric": 120,
        "categorical": 120,
        "image": 100,
        "behaviour": 120,
    }
    ways = [row["name"] for row in found["ablation"]]
    assert ways == ["all", *(f"all but {name}" for name in found["modalities"])]
    for row in found["ablation"]:
        assert 0.5 < row["after"]["click AUC"] < 1.0
        for name, (value, low, high) in row["gains"].items():
            assert low <= value <= high
            if name == "click AUC":  # of all queries together, in both ways of counting
                assert value == pytest.approx(row["after"][name] - row["before"][name], abs=1e-6)


def test_the_tables_are_those_of_the_text_model_and_the_fused_vectors(tables, model, source) -> None:
    shop = read_source(source, progress=False)
    features = load_features(tables / "features.npz")
    text = RelevanceModel.load(model).tables(shop.catalog, shop.queries, progress=False)
    width = text.item.shape[1]
    np.testing.assert_allclose(features.relevance.item[:, :width], text.item, atol=1e-6)
    np.testing.assert_allclose(features.relevance.click_query[:, :width], text.click_query, atol=1e-6)
    assert features.relevance.item.shape[1] > width
    words = RelevanceModel.load(model).of_words().tables(shop.catalog, shop.queries, progress=False)
    assert features.words_click_query is not None
    np.testing.assert_allclose(features.words_click_query[:, :width], words.click_query, atol=1e-6)
    np.testing.assert_allclose(
        features.words_click_query[:, width:], features.relevance.click_query[:, width:], atol=1e-6
    )
    chosen = load_candidates(tables / "candidates.npz")
    with_text = [q for q, words_of in enumerate(shop.queries) if words_of]
    logit = text.click_query @ text.item.T  # (Q, I): found by text
    np.testing.assert_array_equal(chosen.items[with_text, 0], logit[with_text].argmax(axis=1))
    everyone = np.arange(len(shop.queries), dtype=np.int32)
    fused = features.relevance.click_probability(everyone, chosen.items)  # scored by all
    np.testing.assert_allclose(chosen.scores, fused, atol=1e-6)


def test_a_run_takes_the_tables_of_its_own_log_alone(tables, source, tmp_path: Path) -> None:
    shop = read_source(source, progress=False)
    config = TrainConfig(
        source=source,
        relevance=RelevanceOptions(relevance_tables=tables),
        task=TaskOptions(n_candidates=20),
    )
    learned = learn_relevance(config, shop, tmp_path / "run")
    assert str(tables) in learned.summary()
    given, found = load_features(tables / "features.npz"), load_candidates(tables / "candidates.npz")
    np.testing.assert_array_equal(learned.features.relevance.item, given.relevance.item)
    np.testing.assert_array_equal(learned.candidates.items, found.items[:, :20])
    np.testing.assert_array_equal(learned.candidates.scores, found.scores[:, :20])
    again = learn_relevance(config, shop, tmp_path / "run")  # an interrupted run that goes on
    np.testing.assert_array_equal(again.candidates.items, learned.candidates.items)
    unseen = replace(config, relevance=replace(config.relevance, as_observation=False))
    hidden = learn_relevance(unseen, shop, tmp_path / "hidden").candidates
    assert np.unique(hidden.scores[hidden.items >= 0]).tolist() == [0.5]
    half = replace(shop, train=shop.train.take(np.arange(shop.train.n_steps // 2)))
    with pytest.raises(InputError, match="the clicks differ"):
        learn_relevance(config, half, tmp_path / "half")
    blind = replace(config, relevance=replace(config.relevance, as_candidates=False))
    with pytest.raises(InputError, match="bring their candidates"):
        learn_relevance(blind, shop, tmp_path / "blind")
    wide = replace(config, task=TaskOptions(n_candidates=60))
    with pytest.raises(InputError, match="have 50 candidates a query, and the run is to rank 60"):
        learn_relevance(wide, shop, tmp_path / "wide")


def test_a_fusion_of_some_modalities_is_a_relevance_source(model, source) -> None:
    shop = read_source(source, progress=False)
    text = RelevanceModel.load(model)
    config = FusionConfig(steps=2, folds=2)
    log = read_log(text, shop.catalog, shop.train, config, progress=False)
    fused = log.fit(("numeric", "behaviour"), config, progress=False)
    assert fused.modalities.names == ("numeric", "behaviour")
    assert fused.of_words().text.known.texts == ()
    assert fused.of_words().of_words().fingerprint == fused.of_words().fingerprint
    other = log.fit(("numeric",), config, progress=False)
    assert len({fused.fingerprint, other.fingerprint, fused.of_words().fingerprint}) == 3
    with pytest.raises(InputError, match="empty"):
        read_log(text, shop.catalog, shop.train.take(np.arange(0)), config)


@pytest.mark.parametrize("truth", [0.0, 0.5, 1.0])
def test_as_much_is_taken_as_later_sessions_bear_out(truth: float) -> None:
    """Counts that are what a share of the fusion would have them be, to the digit: that share is found."""
    rng = np.random.default_rng(3)
    unit = GatedUnit({"numeric": 2}, query_width=4, width=3)
    with torch.no_grad():
        for weight in unit.parameters():
            weight.copy_(torch.from_numpy(rng.normal(size=tuple(weight.shape))))
        unit.level.zero_()
    fusion = FusionModel(unit=unit, pull=1.0, steps=1)
    known = Modalities(
        values={"numeric": rng.normal(size=(30, 2)).astype(np.float32)},
        known={"numeric": np.ones(30, np.bool_)},
    )
    query = rng.normal(size=(5, 4)).astype(np.float32)
    base = RelevanceTables(
        item=rng.normal(size=(30, 2)).astype(np.float32),
        click_query=rng.normal(size=(5, 2)).astype(np.float32),
        purchase_query=rng.normal(size=(5, 2)).astype(np.float32),
        click_bias=-1.0,
        purchase_bias=0.5,
    )
    whole = fusion.tables(base, query, known)
    text = base.click_query @ base.item.T + base.click_bias
    added = whole.click_query[:, 2:] @ whole.item[:, 2:].T
    level = 0.3 if truth else 0.0
    rate = 1.0 / (1.0 + np.exp(-(text + truth * added + level)))
    row, column = (part.ravel().astype(np.int32) for part in np.indices((5, 30)))
    shown = np.full(150, 40.0)
    later = PairCounts(
        query=row,
        item=column,
        impressions=shown,
        exposure=shown,
        clicks=shown * rate.ravel(),
        purchases=np.zeros(150),
    )
    assert take_shares(fusion, base, query, known, later) == Shares(click=truth, purchase=1.0)
    after = fusion.tables(base, query, known)
    expected = text + truth * added + level
    found = after.click_query @ after.item.T + after.click_bias
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_array_equal(after.purchase_query, whole.purchase_query)  # nobody bought: all is taken


def test_gains_are_counted_over_the_text_model(shop) -> None:
    """A table of the truth against one of noise: all the gain there is."""
    pairs = count_pairs(shop.steps, examination_by_position(shop.steps))
    noise = np.random.default_rng(0).random(shop.truth.shape).astype(np.float32)

    def table(values: np.ndarray) -> RelevanceTables:
        eye = np.eye(values.shape[1], dtype=np.float32)
        return RelevanceTables(
            item=eye, click_query=values, purchase_query=values, click_bias=0.0, purchase_bias=0.0
        )

    row = beside("truth", table(noise), table(shop.truth), pairs, shop.truth)
    assert row.after["NDCG@10 by true relevance"] == pytest.approx(1.0)
    if row.gains:
        value, low, high = row.gains["click AUC"]
        assert 0.15 < low <= value <= high


def test_what_cannot_be_fused_is_named(log, model, tmp_path: Path, capsys) -> None:
    base = ["fuse", "--model", str(model), *SHORT]
    np.save(tmp_path / "few.npy", np.zeros((7, 4), np.float32))
    wrong = ["--images", str(tmp_path / "few.npy"), "--out", str(tmp_path / "x")]
    assert main([*base, *wrong, *log]) == 2
    assert "for 120 items" in capsys.readouterr().err
    assert main([*base, "--modalities", "image", "--out", str(tmp_path / "x"), *log]) == 2
    assert "images need --images" in capsys.readouterr().err
    (tmp_path / "there").mkdir()
    assert main([*base, "--out", str(tmp_path / "there"), *log]) == 2
    assert "there already" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
