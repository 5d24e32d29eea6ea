from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from behavior.catalog import Catalog
from behavior.errors import InputError
from encoders.features import RelevanceTables
from encoders.fusion import (
    Fold,
    FusionConfig,
    Modalities,
    behaviour,
    fit_fusion,
    folds_of,
    read_image_vectors,
    read_modalities,
)
from encoders.fusion.learning import GatedUnit
from encoders.pairs import PairCounts, count_pairs


@pytest.fixture
def catalog() -> Catalog:
    return Catalog.from_frame(
        pd.DataFrame(
            {
                "item_id": ["a", "b", "c", "d"],
                "title": ["one", "two", "three", "four"],
                "category": ["x", "y", "x", ""],
                "price": [10.0, np.nan, 30.0, np.nan],
                "rating": [4.0, 2.0, np.nan, np.nan],
            }
        )
    )


def test_what_is_missing_is_nought_and_said_to_be_missing(catalog) -> None:
    found = read_modalities(catalog, images=np.array([[3.0, 4.0], [np.nan, 1], [0, 2], [1, 0]], np.float32))
    assert found.names == ("numeric", "categorical", "image")
    assert found.known["numeric"].tolist() == [True, True, True, False]
    assert found.known["categorical"].tolist() == [True, True, True, False]
    assert found.known["image"].tolist() == [True, False, True, True]
    # log1p(price) standardised over the two known, where it is missing; the rating likewise.
    np.testing.assert_allclose(found.values["numeric"][:, 0], [-1, 0, 1, 0], atol=1e-6)
    np.testing.assert_array_equal(found.values["numeric"][:, 1], [0, 1, 0, 1])
    np.testing.assert_allclose(found.values["numeric"][:, 2], [1, -1, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(found.values["categorical"], [[1, 0], [0, 1], [1, 0], [0, 0]])
    np.testing.assert_allclose(found.values["image"][0], np.array([0.6, 0.8]) * 2**0.5, rtol=1e-6)
    assert not found.values["image"][1].any()
    lost = found.without({"image": np.array([True, False, False, False])})
    assert not lost.values["image"][0].any()
    assert lost.known["image"].tolist() == [False, False, True, True]
    with pytest.raises(InputError, match="for 4 items"):
        read_modalities(catalog, images=np.zeros((3, 2), np.float32))


def test_image_vectors_are_read_from_arrays_and_tables(catalog, tmp_path) -> None:
    np.save(tmp_path / "v.npy", np.arange(8.0).reshape(4, 2))
    assert read_image_vectors(tmp_path / "v.npy", catalog)[3].tolist() == [6.0, 7.0]
    table = pd.DataFrame({"item_id": ["c", "zz", "a"], "image_vector": [[1.0, 2.0], [9.0, 9.0], [3.0, 4.0]]})
    table.to_parquet(tmp_path / "v.parquet")
    found = read_image_vectors(tmp_path / "v.parquet", catalog)
    assert found[[0, 2]].tolist() == [[3.0, 4.0], [1.0, 2.0]]
    assert np.isnan(found[[1, 3]]).all()
    np.save(tmp_path / "w.npy", np.zeros((3, 2)))
    for name, problem in (("w.npy", "for 4 items"), ("none.npy", "no such file")):
        with pytest.raises(InputError, match=problem):
            read_image_vectors(tmp_path / name, catalog)
    table.assign(image_vector=[[1.0], [1.0, 2.0], [3.0]]).to_parquet(tmp_path / "u.parquet")
    with pytest.raises(InputError, match="2 different lengths"):
        read_image_vectors(tmp_path / "u.parquet", catalog)


def test_a_fold_does_not_know_its_own_clicks(make_steps) -> None:
    rng = np.random.default_rng(0)
    steps = make_steps(rng.integers(0, 3, 80), rng.integers(0, 4, (80, 2)), rng.integers(0, 2, (80, 2)))
    nothing = Modalities(values={"image": np.ones((4, 1), np.float32)}, known={"image": np.ones(4, np.bool_)})
    wanted = np.array([False, True, True])
    found = folds_of(steps, np.ones(2), nothing, queries=wanted, folds=2, seed=0)
    part = np.random.default_rng(0).integers(2, size=80)
    for f, fold in enumerate(found):
        assert fold.modalities.names == ("image", "behaviour")
        rest = behaviour(count_pairs(steps.take(part != f), np.ones(2)), 4)[0]
        np.testing.assert_array_equal(fold.modalities.values["behaviour"], rest)
        mine = count_pairs(steps.take(part == f), np.ones(2))
        assert fold.pairs.clicks.sum() == mine.clicks[mine.query > 0].sum()
    with pytest.raises(InputError, match="at least 2"):
        folds_of(steps, np.ones(2), nothing, queries=wanted, folds=1, seed=0)


def test_the_unit_by_hand() -> None:
    unit = GatedUnit({"a": 1, "b": 1}, query_width=2, width=1)
    with torch.no_grad():
        for name, weight in (("a", 2.0), ("b", -1.0)):
            unit.inner[name].weight.fill_(weight)
            unit.inner[name].bias.fill_(0.5)
        unit.gate.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
        unit.gate.bias.zero_()
    values = {"a": torch.tensor([[1.0], [1.0]]), "b": torch.tensor([[1.0], [0.0]])}
    fused, gates = unit(values, torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    a, b = np.tanh(2.5), np.tanh(-0.5)
    gate_a, gate_b = 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-3 * b))
    np.testing.assert_allclose(gates.detach().numpy(), [[gate_a, gate_b], [gate_a, 0.0]], rtol=1e-5)
    np.testing.assert_allclose(fused.detach().numpy(), [[gate_a * a + gate_b * b], [gate_a * a]], rtol=1e-5)


def made_up(seed: int = 0):
    """Items whose number decides the clicks of query 0, whose category those of query 1; the text knows nothing."""
    rng = np.random.default_rng(seed)
    number, kind = rng.normal(size=200), rng.integers(0, 2, 200)
    query = np.repeat(np.arange(2), 200).astype(np.int32)
    item = np.tile(np.arange(200), 2).astype(np.int32)
    rate = 1 / (1 + np.exp(-np.where(query == 0, 2 * number[item], 3 * kind[item] - 1.5)))
    shown = np.full(400, 20.0)
    clicks = rng.binomial(20, rate).astype(np.float64)
    pairs = PairCounts(
        query=query,
        item=item,
        impressions=shown,
        exposure=shown,
        clicks=clicks,
        purchases=np.floor(clicks / 4),
    )
    modalities = Modalities(
        values={
            "numeric": number[:, None].astype(np.float32),
            "categorical": np.eye(2, dtype=np.float32)[kind],
        },
        known={"numeric": np.ones(200, np.bool_), "categorical": np.ones(200, np.bool_)},
    )
    base = RelevanceTables(
        item=np.ones((200, 1), np.float32),
        click_query=np.zeros((2, 1), np.float32),
        purchase_query=np.zeros((2, 1), np.float32),
        click_bias=0.0,
        purchase_bias=0.0,
    )
    return base, np.eye(2, dtype=np.float32), pairs, modalities, rate.reshape(2, 200)


def test_each_query_learns_the_modality_that_decides_it_and_does_without() -> None:
    base, query, pairs, modalities, rate = made_up()
    config = FusionConfig(width=8, steps=150, pulls=(0.0,), validation=0.0)
    model = fit_fusion(base, query, [Fold(pairs=pairs, modalities=modalities)], config, progress=False)
    tables = model.tables(base, query, modalities)
    score = tables.click_query @ tables.item.T
    for q in range(2):
        assert np.corrcoef(score[q], rate[q])[0, 1] > 0.85
    again = fit_fusion(base, query, [Fold(pairs=pairs, modalities=modalities)], config, progress=False)
    np.testing.assert_array_equal(again.tables(base, query, modalities).item, tables.item)
    # Dot products say what the unit says.
    with torch.no_grad():
        values = {n: torch.from_numpy(v) for n, v in modalities.values.items()}
        fused, _ = model.unit(values, torch.ones(200, 2))
        expected = model.unit.click(torch.eye(2)) @ fused.T
    np.testing.assert_allclose(score, expected.numpy(), atol=1e-4)
    # Without numbers the first query is in the dark, the second is not.
    blind = model.tables(base, query, modalities.without({"numeric": np.ones(200, np.bool_)}))
    dark = blind.click_query @ blind.item.T
    assert abs(np.corrcoef(dark[0], rate[0])[0, 1]) < 0.4
    assert np.corrcoef(dark[1], rate[1])[0, 1] > 0.8
    assert model.gates(modalities).shape == (200, 2)
    with pytest.raises(InputError, match="'categorical', which is not here"):
        model.tables(base, query, modalities.only(["numeric"]))


def test_nothing_to_learn_is_refused() -> None:
    base, query, pairs, modalities, _ = made_up()
    silent = replace(pairs, clicks=np.zeros(400))
    with pytest.raises(InputError, match="nothing to learn"):
        fit_fusion(base, query, [Fold(pairs=silent, modalities=modalities)], progress=False)
