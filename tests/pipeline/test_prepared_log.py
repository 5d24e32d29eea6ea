"""A prepared log in the main job: what fits is learned from as if it had been read whole, what does not is said."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders import build_features, fit_feature_relevance, save_features
from pipeline.config import SourceOptions
from pipeline.data import ShopData, read_source
from simulators.__main__ import main as simulators_main
from store import StoreConfig, open_store

pytest.importorskip("duckdb", reason="big logs need the extra `big`")

from behavior.big import BigLogConfig, prepare_log


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of the tiny store, with its catalogue, and prepared in small pieces."""
    folder = tmp_path_factory.mktemp("shop")
    store = open_store(StoreConfig.tiny())
    store.log.write(folder / "log.parquet")
    store.catalog.frame.to_parquet(folder / "items.parquet", index=False)
    prepare_log(
        folder / "log.parquet",
        folder / "log.prepared",
        catalog=folder / "items.parquet",
        config=BigLogConfig(rows_per_part=1_500, pages_per_chunk=50),
        progress=False,
    )
    return folder


def read(files: Path, **options: Any) -> ShopData:
    return read_source(SourceOptions(data=str(files / "log.prepared"), **options), progress=False)


def assert_equal(found: LoggedSteps, wanted: LoggedSteps) -> None:
    for field in dataclasses.fields(LoggedSteps):
        np.testing.assert_array_equal(
            getattr(found, field.name), getattr(wanted, field.name), err_msg=field.name
        )


def test_what_fits_is_the_log_read_whole(files: Path) -> None:
    log, items = files / "log.parquet", files / "items.parquet"
    whole = read_source(SourceOptions(data=str(log), catalog=items), progress=False)
    found = read(files)
    for part in ("train", "valid", "test"):
        assert_equal(getattr(found, part), getattr(whole, part))
    assert found.catalog.frame.equals(whole.catalog.frame)
    for name in ("name", "queries", "notes", "split", "truth"):
        assert getattr(found, name) == getattr(whole, name), name
    assert found.summary() == whole.summary()
    assert found.train.dwell is not None


def test_a_simulator_fitted_to_it_is_the_same(files: Path, tmp_path: Path) -> None:
    shop = read(files)
    source = fit_feature_relevance(shop.catalog, shop.train)
    tables = build_features(shop.catalog, shop.queries, shop.train, source, width=6, progress=False)
    save_features(tmp_path / "features.npz", tables)
    given = (
        ("log.prepared",),
        ("log.parquet", "--catalog", str(files / "items.parquet")),
    )
    for number, (data, *more) in enumerate(given):
        out = ("--out", str(tmp_path / str(number)), "--quiet", "--strengths", "300", "--max-iterations", "6")
        features = ("--features", str(tmp_path / "features.npz"))
        assert simulators_main(["fit", "--data", str(files / data), *more, *features, *out]) == 0
    one, other = (np.load(tmp_path / name / "parts.npz") for name in ("0", "1"))
    assert sorted(one.files) == sorted(other.files)
    for name in one.files:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_what_does_not_fit_is_left_out_and_said(files: Path) -> None:
    whole, found = read(files), read(files, latest_impressions=600)
    shown = int((found.train.item >= 0).sum())
    assert 0 < shown <= 600
    n = found.train.n_sessions
    last = whole.train.session >= whole.train.n_sessions - n
    np.testing.assert_array_equal(found.train.item, whole.train.item[last])
    assert found.train.session[0] == 0
    room = int(600 / whole.train.n_sessions * whole.test.n_sessions)
    assert 0 < (found.test.item >= 0).sum() <= room
    read_sessions = sum(part.n_sessions for part in (found.train, found.valid, found.test))
    assert found.split == whole.split
    assert (
        f"of 300 sessions of the prepared log the latest {read_sessions} are learned from" in found.notes[-1]
    )
    assert (
        f"{read_sessions} sessions (the latest {100 * read_sessions / 300:.3g} % of 300)" in found.summary()
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"repairs": ("sort",)}, "--repairs is given with a prepared log"),
        ({"catalog": Path("items.csv")}, "--catalog is given with a prepared log"),
        ({"columns": Path("map.yaml")}, "--columns is given with a prepared log"),
    ],
)
def test_options_of_the_preparation_are_refused(files: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        read(files, **options)


def test_other_logs_are_read_whole(files: Path) -> None:
    source = SourceOptions(data=str(files / "log.parquet"), latest_impressions=600)
    with pytest.raises(InputError, match="--latest-impressions is of a prepared log, and this is none"):
        read_source(source, progress=False)


@pytest.mark.slow
def test_the_whole_way_gives_the_same_table(
    files: Path, tmp_path: Path, small: Sequence[str], run_train: Callable[..., Any]
) -> None:
    rows = []
    for name, data in (
        ("one", (files / "log.prepared",)),
        ("two", (files / "log.parquet", "--catalog", files / "items.parquet")),
    ):
        ended = run_train(*_of_own_log(small), "--data", *data, "--logs", tmp_path, "--name", name)
        assert ended.code == 0, ended.out + ended.err
        rows.append(json.loads((tmp_path / name / "table.json").read_text())["rows"])
    assert rows[0] == rows[1]


def _of_own_log(options: Sequence[str]) -> list[str]:
    """Without what only the demo store knows."""
    kept = list(options)
    for name in ("--store-size", "--store-seed", "--data"):
        if name in kept:
            at = kept.index(name)
            del kept[at : at + 2]
    return kept
