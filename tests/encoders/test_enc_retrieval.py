from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from behavior.errors import InputError
from encoders.build import build_features
from encoders.candidates import ExactSource, build_candidates
from encoders.features import FeatureTables
from encoders.finetuning import FinetuneConfig, finetune
from encoders.retrieval.ann import AnnConfig, AnnIndex, build_index, load_index, recall
from encoders.retrieval.index import ExactIndex, VectorIndex
from encoders.retrieval.mixing import CandidateConfig, CandidateFilter, mix_candidates
from encoders.text import HashEncoder

NOT_EXACT = AnnConfig(exact_below=0, depth=10, recall=0.98)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """3,000 unit vectors around 60 centres."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, 24))
    points = centres[np.arange(3_000) % 60] + 0.5 * rng.normal(size=(3_000, 24))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(params=["exact", "faiss"])
def index(request, vectors) -> VectorIndex:
    if request.param == "exact":
        return ExactIndex(vectors)
    pytest.importorskip("faiss", reason="the extra `ann` is not installed")
    return AnnIndex.build(vectors, NOT_EXACT, progress=False)


def test_small_catalogues_are_searched_exactly_and_large_ones_are_not(vectors) -> None:
    pytest.importorskip("faiss", reason="the extra `ann` is not installed")
    assert isinstance(build_index(vectors, AnnConfig(exact_below=3_001)), ExactIndex)
    assert isinstance(build_index(vectors, NOT_EXACT, progress=False), AnnIndex)


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_approximate_search_finds_what_was_asked_for(vectors, storage) -> None:
    pytest.importorskip("faiss", reason="the extra `ann` is not installed")
    index = AnnIndex.build(vectors, replace(NOT_EXACT, storage=storage), progress=False)
    exact, scores = ExactSource(vectors).search(vectors[:500], 10)
    found, approximate = index.search(vectors[:500], 10)
    assert recall(found, exact) > 0.96  # 0.98 was asked for, and measured on 256 other draws
    assert index.measured_recall >= 0.98
    assert index.probes < index._index.nlist
    assert np.allclose(approximate[:, 0], scores[:, 0], atol=0.02)  # each item finds itself


def test_a_recall_out_of_reach_is_told(vectors) -> None:
    pytest.importorskip("faiss", reason="the extra `ann` is not installed")
    config = replace(NOT_EXACT, storage="int8", recall=1.0)
    with pytest.warns(
        UserWarning, match=r"recall@10 of 1 was asked for, but vectors kept as int8 reach 0\.9"
    ):
        index = AnnIndex.build(vectors, config, progress=False)
    assert index.probes < index._index.nlist  # more cells would not help
    exact, _ = ExactSource(vectors).search(vectors[:500], 10)
    assert recall(index.search(vectors[:500], 10)[0], exact) > 0.95


def test_the_number_of_cells_searched_follows_the_recall_wanted(vectors) -> None:
    pytest.importorskip("faiss", reason="the extra `ann` is not installed")
    all_of_them = AnnIndex.build(vectors, replace(NOT_EXACT, recall=1.0, storage="float32"), progress=False)
    some = AnnIndex.build(vectors, replace(NOT_EXACT, recall=0.5), progress=False)
    assert some.probes < all_of_them.probes


def test_recall_by_hand() -> None:
    found = np.array([[1, 2, 9], [7, -1, -1]], np.int32)
    exact = np.array([[2, 1, 3], [5, 6, 7]], np.int32)
    assert recall(found, exact) == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_only_allowed_items_are_found(index, vectors) -> None:
    allowed = np.zeros(3_000, np.bool_)
    allowed[[5, 1_000, 2_999]] = True
    rows, scores = index.search(vectors[:20], 4, allowed=allowed)
    assert all(set(row.tolist()) == {5, 1_000, 2_999, -1} for row in rows)
    assert (rows[:, 3] == -1).all()
    order = np.argsort(-(vectors[:20] @ vectors[[5, 1_000, 2_999]].T), axis=1)
    assert np.array_equal(rows[:, :3], np.array([5, 1_000, 2_999])[order])
    assert (np.diff(scores[:, :3], axis=1) <= 0).all()
    # Rows beyond the mask are not allowed either, and nothing allowed gives nothing.
    assert (index.search(vectors[2_000:2_005], 3, allowed=np.ones(64, np.bool_))[0] < 64).all()
    assert (index.search(vectors[:2], 3, allowed=np.zeros(3_000, np.bool_))[0] == -1).all()


def test_items_come_and_go(index, vectors) -> None:
    gone = np.arange(0, 3_000, 3)
    assert index.remove(gone) == 1_000
    assert index.remove(gone) == 0
    assert index.n_items == 2_000
    assert not np.isin(index.search(vectors[gone[:50]], 10)[0], gone).any()
    new = -vectors[:2]  # far from everything
    index.add(np.array([3_000, 0]), new)
    assert index.search(new, 1)[0][:, 0].tolist() == [3_000, 0]
    assert index.n_items == 2_002


@pytest.mark.parametrize(
    ("rows", "change", "message"),
    [
        ([1], {}, "item row 1 would stand in the index twice"),
        ([4_000, 4_000], {}, "item row 4000 would stand in the index twice"),
        ([-2], {}, "item rows start at 0, found -2"),
        ([4_000], {"nan": True}, "the vector of item row 4000 holds nan"),
        ([4_000], {"width": 23}, r"vectors of shape \(1, 23\) for 1 items, expected \(1, 24\)"),
    ],
)
def test_items_that_cannot_be_added_are_refused(index, vectors, rows, change, message) -> None:
    new = vectors[: len(rows), : change.get("width", 24)].copy()
    if "nan" in change:
        new[0, 3] = np.nan
    with pytest.raises(InputError, match=message):
        index.add(np.array(rows), new)
    assert index.n_items == 3_000


def test_an_index_is_kept_and_read_through_a_memory_map(index, vectors, tmp_path: Path) -> None:
    index.remove(np.arange(10))
    index.save(tmp_path / "index")
    read = load_index(tmp_path / "index")
    for one, other in zip(read.search(vectors[:50], 7), index.search(vectors[:50], 7), strict=True):
        assert np.array_equal(one, other)
    again = load_index(tmp_path / "index", changeable=True)
    again.add(np.arange(10), vectors[:10])
    assert again.search(vectors[:10], 1)[0][:, 0].tolist() == list(range(10))
    if isinstance(index, AnnIndex):
        with pytest.raises(InputError, match="memory-mapped index cannot be changed"):
            read.remove(np.arange(3))


@pytest.mark.parametrize("damage", ["no folder", "no note", "cut", "other"])
def test_damaged_indexes_are_named(index, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "index"
    if damage != "no folder":
        index.save(folder)
    if damage == "no note":
        (folder / "index.json").unlink()
    if damage == "other":
        (folder / "index.json").write_text('{"format": "slategym-index-9", "kind": "exact"}')
    if damage == "cut":
        large = max(folder.iterdir(), key=lambda file: file.stat().st_size)
        large.write_bytes(large.read_bytes()[: large.stat().st_size // 3])
    with pytest.raises(InputError, match=r"readable index|expected slategym-index-1") as caught:
        load_index(folder)
    assert str(folder) in str(caught.value)


def test_a_share_of_nothing_is_the_exact_source(features) -> None:
    expected = build_candidates(features, 12)
    found = mix_candidates(features, CandidateConfig(n_candidates=12), progress=False)
    assert np.array_equal(found.items[1:], expected.items[1:])
    assert np.allclose(found.scores[1:], expected.scores[1:], atol=1e-6)
    # The query without a text is ranked with popularity: the same items, shown in order of their relevance.
    assert set(found.items[0].tolist()) == set(expected.items[0].tolist())


def test_shares_are_kept(features) -> None:
    config = CandidateConfig(n_candidates=20, popular=0.25, explore=0.2)
    assert config.counts() == (11, 5, 4)
    found = mix_candidates(features, config, progress=False)
    best = build_candidates(features, 11).items
    popular = np.argsort(-features.popularity, kind="stable")
    explored = []
    for query in range(1, features.n_queries):
        items = found.items[query]
        assert len(set(items.tolist())) == 20
        assert np.isin(best[query], items).all()
        favourites = [item for item in popular.tolist() if item not in best[query]][:5]
        assert np.isin(favourites, items).all()
        explored.append(np.setdiff1d(items, np.concatenate([best[query], favourites])))
        assert (np.diff(found.scores[query]) <= 0).all()
    assert {len(drawn) for drawn in explored} == {4}
    assert len({tuple(drawn.tolist()) for drawn in explored}) > 1  # each query draws its own
    again = mix_candidates(features, config, progress=False)
    assert np.array_equal(again.items, found.items)
    other = mix_candidates(features, replace(config, seed=1), progress=False)
    assert not np.array_equal(other.items, found.items)


def test_exploration_reaches_every_item_alike(features) -> None:
    config = CandidateConfig(n_candidates=30, explore=1.0)
    counts = np.zeros(features.n_items)
    for seed in range(40):
        found = mix_candidates(features, replace(config, seed=seed), progress=False)
        counts += np.bincount(found.items.ravel(), minlength=features.n_items)
    expected = 40 * features.n_queries * 30 / features.n_items
    # Hypergeometric draws: the variance is less than that of a Poisson count.
    assert abs(counts - expected).max() < 5 * expected**0.5
    assert ((counts - expected) ** 2).sum() / expected < features.n_items * 1.4


def test_filters_hold_for_every_source(features) -> None:
    stock = np.arange(features.n_items) % 2 == 0
    category = np.full(features.n_queries, -1, np.int32)
    category[3] = 2
    config = CandidateConfig(n_candidates=40, popular=0.3, explore=0.3)
    found = mix_candidates(
        features, config, allowed=CandidateFilter(in_stock=stock, category=category), progress=False
    )
    real = found.items[found.items >= 0]
    assert stock[real].all()
    assert (found.items[[0, 1, 2]] >= 0).all()
    mine = found.items[3][found.items[3] >= 0]
    able = np.flatnonzero(stock & (features.item_category == 2))
    assert sorted(mine.tolist()) == able.tolist()  # fewer than 40: all of them, then padding
    assert (found.scores[3][len(mine) :] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"popular": 0.7, "explore": 0.6}, "add up to 1.3, more than 1"),
        ({"explore": -0.1}, "between 0 and 1, found -0.1"),
        ({"n_candidates": 0}, "at least one candidate"),
    ],
)
def test_impossible_shares_are_refused(change, message) -> None:
    with pytest.raises(InputError, match=message):
        CandidateConfig(**change)


def test_filters_of_another_size_are_refused(features) -> None:
    with pytest.raises(InputError, match=r"stock of shape \(3,\), expected \(120,\)"):
        mix_candidates(features, CandidateConfig(), allowed=CandidateFilter(in_stock=np.ones(3, np.bool_)))
    with pytest.raises(InputError, match=r"categories of shape \(1,\), expected \(27,\)"):
        mix_candidates(features, CandidateConfig(), allowed=CandidateFilter(category=np.zeros(1, np.int32)))


@pytest.fixture(scope="module")
def features(shop) -> FeatureTables:
    model, _ = finetune(HashEncoder(), shop.catalog, shop.steps, config=FinetuneConfig(mode="none"))
    return build_features(shop.catalog, shop.steps.queries, shop.steps, model, width=16, progress=False)
