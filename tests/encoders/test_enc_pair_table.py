"""What is known of query and item together: places, showings and shared words, worked by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from behavior.catalog import Catalog
from behavior.steps import LoggedSteps
from encoders.features import CandidateTable
from encoders.pair_table import NAMES, PairTable, build_pairs
from encoders.storage import load_features, save_features
from simulators.example import example_features, example_log
from simulators.kernels.tables import find_pair, kernel_tables

QUERIES = ("", "oak desk", "red lamp")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    titles = ["Oak desk", "Red desk", "Red floor lamp", "Blue chair", "Green chair"]
    frame = pd.DataFrame(
        {"item_id": [*"abcde"], "title": titles, "text": titles, "category": "x", "price": 1.0}
    )
    return Catalog.from_frame(frame, source="test")


@pytest.fixture(scope="module")
def train() -> LoggedSteps:
    steps = example_log(n_sessions=3, seed=0).take(np.arange(3))
    return dataclasses.replace(
        steps,
        query=np.array([1, 1, 2], np.int32),
        item=np.array([[0, 1], [0, 3], [2, -1]], np.int32),
        click=np.zeros((3, 2), np.uint8),
        purchase=np.zeros((3, 2), np.uint8),
        candidates=np.array([[0, 1, 3], [1, 0, 3], [2, 1, -1]], np.int32),
        queries=QUERIES,
    )


@pytest.fixture(scope="module")
def table(catalog: Catalog, train: LoggedSteps) -> PairTable:
    found = CandidateTable(items=np.array([[4], [0], [2]], np.int32), scores=np.full((3, 1), 0.5, np.float32))
    return build_pairs(catalog, QUERIES, train, found)


def value(table: PairTable, query: int, item: int, name: str) -> float:
    row = int(table.find(np.array([query]), np.array([item]))[0])
    return float(table.values[row, NAMES.index(name)])


def test_pairs_are_those_of_log_and_candidates(table: PairTable) -> None:
    pairs = list(zip(table.query.tolist(), table.item.tolist(), strict=True))
    assert pairs == [(0, 4), (1, 0), (1, 1), (1, 3), (2, 1), (2, 2)]
    assert table.start.tolist() == [0, 1, 4, 6]
    assert table.find(np.array([1, 1, -1, 2]), np.array([3, 2, 0, 4])).tolist() == [3, -1, -1, -1]


def test_words_and_places(table: PairTable) -> None:
    share = "share of the query's words in the title"
    assert value(table, 1, 0, share) == pytest.approx(1.0)
    assert value(table, 1, 1, share) == pytest.approx(0.5)
    assert value(table, 0, 4, share) == 0.0
    words = "words shared with the title"
    assert value(table, 1, 0, words) == pytest.approx(1.0)
    assert 0.0 < value(table, 1, 1, words) < 1.0
    place = "log1p(place among the shop's candidates)"
    assert value(table, 1, 1, place) == 0.0  # first on the second page
    assert value(table, 1, 3, place) == pytest.approx(np.log1p(2))
    assert value(table, 0, 4, place) == pytest.approx(np.log1p(3))  # beyond all three
    assert table.default[NAMES.index(place)] == pytest.approx(np.log1p(3))


def test_showings_against_chance(table: PairTable) -> None:
    # Query 1: four showings over three pairs; query 2: one over two; the prior is 0.3 of the mean over queries.
    expected = np.array([4 / 3, 1 / 2])
    prior = 0.3 * expected.mean()
    name = "log(times shown, against chance)"
    assert value(table, 1, 0, name) == pytest.approx(np.log((2 + prior) / (4 / 3 + prior)), abs=1e-6)
    assert value(table, 2, 1, name) == pytest.approx(np.log(prior / (0.5 + prior)), abs=1e-6)
    assert table.default[NAMES.index(name)] == table.values[:, NAMES.index(name)].min()


def test_kernels_find_the_same_rows_and_files_keep_them(table: PairTable, tmp_path: Path) -> None:
    features = example_features()
    rng = np.random.default_rng(0)
    key = np.sort(rng.choice(features.n_queries * features.n_items, 300, replace=False))
    pairs = PairTable(
        start=np.searchsorted(key // features.n_items, np.arange(features.n_queries + 1)),
        item=(key % features.n_items).astype(np.int32),
        values=rng.normal(size=(300, 6)).astype(np.float32),
        default=np.arange(6, dtype=np.float32),
    )
    kernel = kernel_tables(dataclasses.replace(features, pairs=pairs))
    query = rng.integers(-1, features.n_queries, 2_000)
    item = rng.integers(0, features.n_items, 2_000)
    query[:300], item[:300] = key // features.n_items, key % features.n_items
    found = pairs.find(query, item)
    assert (found >= 0).sum() >= 300
    for q, i, row in zip(query, item, found, strict=True):
        assert find_pair(kernel, q, i) == (row if row >= 0 else 300)
    np.testing.assert_array_equal(kernel.pair_values[300], pairs.default)
    save_features(tmp_path / "features.npz", dataclasses.replace(features, pairs=pairs))
    again = load_features(tmp_path / "features.npz").pairs
    assert again is not None
    for field in dataclasses.fields(PairTable):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(pairs, field.name))
