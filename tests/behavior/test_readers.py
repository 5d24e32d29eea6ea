"""Files of every kind, whole and broken; and the real data sets, where they are at hand."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from behavior import ICECAT_COLUMNS, InputError, load, read_catalog, read_log, read_open_bandit
from behavior.contract import check_log
from behavior.readers.raw import read_table

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_obd = pytest.mark.skipif(not (DATA / "obd").exists(), reason="the Open Bandit Dataset is not at hand")
needs_icecat = pytest.mark.skipif(
    not (DATA / "chorus_icecat").exists(), reason="the Icecat products are not at hand"
)


@pytest.mark.parametrize(
    "suffix",
    [".csv", ".tsv", ".csv.gz", ".parquet", ".json", ".jsonl", ".json.zip", ".csv.zip", ".parquet.zip"],
)
def test_every_kind_of_file_reads_alike(tmp_path: Path, frame: pd.DataFrame, suffix: str) -> None:
    path = tmp_path / f"log{suffix}"
    inner = suffix.removesuffix(".zip").removesuffix(".gz")
    plain = tmp_path / f"plain{inner}"
    if inner in (".csv", ".tsv"):
        frame.to_csv(plain, index=False, sep="\t" if inner == ".tsv" else ",")
    elif inner == ".parquet":
        frame.to_parquet(plain)
    else:
        frame.to_json(plain, orient="records", lines=inner == ".jsonl")
    if suffix.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(plain, plain.name)
    elif suffix.endswith(".gz"):
        path.write_bytes(gzip.compress(plain.read_bytes()))
    else:
        plain.rename(path)
    expected = read_log(_csv(tmp_path / "expected.csv", frame)).rows
    pd.testing.assert_frame_equal(read_log(path).rows, expected)


def _csv(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(path, index=False)
    return path


def test_ids_keep_their_zeros_and_words_stay_words(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("item_id,title\n007,None\nNA,nan\n")
    catalog = read_catalog(path)
    assert catalog.item_ids == ("007", "NA")
    assert catalog.titles == ("None", "nan")


def test_byte_order_mark_of_spreadsheets(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_bytes("\ufeffitem_id,title\n1,Lämpchen\n".encode())
    assert read_catalog(path).titles == ("Lämpchen",)


def test_broken_files(tmp_path: Path, frame: pd.DataFrame) -> None:
    whole = tmp_path / "whole.parquet"
    frame.to_parquet(whole)
    broken = {
        "empty.csv": (b"", "empty"),
        "header.csv": (b"session_id,step\n", "no rows"),
        "ragged.csv": (b"a,b\n1,2\n1,2,3\n", "cannot be told apart.*line 3"),
        "latin.csv": ("item_id\nLämpchen\n".encode("latin-1"), "not UTF-8"),
        "twice.jsonl": (b'{"a": 1}\n{"a"', "not JSON"),
        "object.json": (b'{"a": 1}', "expected a list of records"),
        "empty.json": (b"", "empty"),
        "cut.parquet": (whole.read_bytes()[:-200], "may be cut off"),
        "empty.parquet": (b"", "empty"),
        "cut.csv.gz": (gzip.compress(b"a,b\n1,2\n")[:-6], "cannot be unpacked"),
        "cut.json.zip": (b"PK\x03\x04", "not a whole zip"),
        "log.xlsx": (b"x", r"'.xlsx' cannot be read"),
    }
    for name, (content, message) in broken.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            read_table(path)
        assert caught.value.where == str(path)
        assert caught.value.mend
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "none.parquet")
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "none.json.zip")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="folder"):
        read_table(tmp_path / "folder.csv")


def test_json_products_become_columns_and_text(tmp_path: Path) -> None:
    products = [
        {
            "id": n,
            "title": f"T{n}",
            "price": 100 * n,
            "attr_t_colour": "red",
            "attr_n_weight": n / 2,
            "ean": ["1", "2"],
        }
        for n in range(1, 31)
    ]
    products[0]["attr_t_rare"] = "yes"
    products[1]["attr_n_rare"] = 3.0
    for part, chunk in enumerate((products[:20], products[20:])):
        (tmp_path / f"{part}.json").write_text(json.dumps(chunk))
    mapping = tmp_path / "columns.yaml"
    mapping.write_text(
        "catalog: {item_id: id, text: [title, 'attr_t_*'], price_scale: 0.01, numeric: ['attr_n_*'], categorical: []}"
    )
    for place in (tmp_path, tmp_path / "*.json", [tmp_path / "0.json", tmp_path / "1.json"]):
        catalog = read_catalog(place, mapping)
        assert catalog.item_ids == tuple(str(n) for n in range(1, 31))
        assert catalog.frame["text"].tolist()[:2] == ["T1. red. yes", "T2. red"]
        assert catalog.frame["price"].tolist()[:2] == [1.0, 2.0]
        assert catalog.numeric_columns == ("attr_n_weight",)
        assert any("1 attributes that fewer than 5%" in note for note in catalog.notes)


def test_no_table_in_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table is found"):
        read_catalog(tmp_path)


def test_load_without_a_catalogue_takes_the_items_of_the_log(tmp_path: Path, frame: pd.DataFrame) -> None:
    dataset = load(_csv(tmp_path / "clicks.csv", frame))
    assert dataset.name == "clicks"
    assert dataset.catalog.item_ids == ("a", "c", "b", "d")
    assert dataset.catalog.notes == (
        "no catalogue given: its items are those of the log, known by their ids alone",
    )
    check_log(dataset.log, dataset.catalog)


def test_load_with_foreign_names(tmp_path: Path, frame: pd.DataFrame) -> None:
    clicks = _csv(tmp_path / "clicks.csv", frame.rename(columns={"session_id": "visit", "item_id": "sku"}))
    products = _csv(tmp_path / "products.csv", pd.DataFrame({"sku": list("abcd"), "name": list("ABCD")}))
    columns = tmp_path / "columns.yaml"
    columns.write_text("catalog: {item_id: sku, title: name}\nlog: {session_id: visit, item_id: sku}\n")
    dataset = load(clicks, products, columns)
    assert dataset.catalog.titles == ("A", "B", "C", "D")
    assert check_log(dataset.log, dataset.catalog).n_sessions == 3


def test_load_finds_and_takes_candidates(
    tmp_path: Path, frame: pd.DataFrame, candidates: pd.DataFrame
) -> None:
    clicks = _csv(tmp_path / "clicks.csv", frame)
    assert load(clicks).log.candidates is None
    elsewhere = _csv(tmp_path / "lists.csv", candidates)
    assert len(load(clicks, candidates=elsewhere).log.candidates) == 14
    _csv(tmp_path / "clicks.candidates.csv", candidates)
    assert len(load(clicks).log.candidates) == 14


def test_open_bandit_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs the folder of one campaign"):
        load("open-bandit")
    with pytest.raises(InputError, match="no such file or folder"):
        load("open-bandit", path=tmp_path / "none")
    with pytest.raises(InputError, match="not a campaign of the Open Bandit Dataset; it holds nothing"):
        load("open-bandit", path=tmp_path)


def _tiny_campaign(folder: Path, positions: list[int]) -> Path:
    n = len(positions)
    pd.DataFrame(
        {
            "timestamp": [f"2019-11-24 00:00:{s:02d}.5+00:00" for s in range(n)],
            "item_id": [1, 0, 1][:n],
            "position": positions,
            "click": [0, 1, 0][:n],
            "propensity_score": [0.5, 0.25, 0.125][:n],
            "user_feature_0": ["u", "v", "u"][:n],
            "user-item_affinity_0": 0.0,
        }
    ).to_csv(folder / "all.csv")
    pd.DataFrame({"item_id": [0, 1], "item_feature_0": [-0.5, 0.5], "item_feature_1": ["aa", "bb"]}).to_csv(
        folder / "item_context.csv"
    )
    return folder


def test_open_bandit_by_hand(tmp_path: Path) -> None:
    catalog, log = read_open_bandit(_tiny_campaign(tmp_path, [3, 1, 2]))
    steps = check_log(log, catalog)
    assert catalog.numeric_columns == ("item_feature_0",)
    assert catalog.categorical_columns == ("item_feature_1",)
    assert steps.single_impressions
    assert steps.item.tolist() == [[-1, -1, 1], [0, -1, -1], [-1, 1, -1]]
    assert steps.click.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert np.nansum(steps.propensity, axis=1).tolist() == [0.5, 0.25, 0.125]
    assert steps.queries == ("",)
    assert steps.context_names == ("user_feature_0=u", "user_feature_0=v")
    assert steps.context.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert log.repaired == {}
    assert any("counted from 0" in note for note in log.notes)
    assert any("affinity" in note for note in log.notes)


def test_open_bandit_positions_below_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 2, column 'position': found -1"):
        read_open_bandit(_tiny_campaign(tmp_path, [3, 0, 2]))


@needs_obd
@pytest.mark.parametrize(("policy", "campaign", "items"), [("random", "all", 80), ("bts", "men", 34)])
def test_open_bandit_as_published(policy: str, campaign: str, items: int) -> None:
    folder = DATA / "obd" / policy / campaign
    dataset = load("open-bandit", path=folder)
    steps = check_log(dataset.log, dataset.catalog)
    assert dataset.catalog.n_items == items
    assert (steps.n_steps, steps.n_sessions, steps.slate_size) == (10_000, 10_000, 3)
    raw = pd.read_csv(folder / f"{campaign}.csv")
    assert int(steps.click.sum()) == int(raw["click"].sum())
    by_slot = [(raw["position"] == slot + 1).sum() for slot in range(3)]
    assert (steps.item >= 0).sum(axis=0).tolist() == by_slot
    np.testing.assert_allclose(np.nansum(steps.propensity), raw["propensity_score"].sum())
    if policy == "random":
        np.testing.assert_allclose(steps.propensity[steps.item >= 0], 1 / items)


@needs_icecat
def test_icecat_as_published() -> None:
    catalog = read_catalog(DATA / "chorus_icecat", ICECAT_COLUMNS)
    assert catalog.n_items == 19_406
    first = catalog.frame.iloc[0]
    assert first["item_id"] == "3920564"
    assert first["price"] == pytest.approx(49.95)
    assert first["text"].startswith("Xerox 006R90321 toner cartridge")
    assert "Laser printing" in first["text"]
    assert first["attr_n_quantity_per_pack"] == 6.0
    assert 5 < len(catalog.numeric_columns) < 100
    rated = pd.read_csv(DATA / "chorus_icecat" / "Broad_Query_Set_rated.csv", dtype=str)
    known = catalog.rows(rated["docid"]) >= 0
    assert known.mean() > 0.9
