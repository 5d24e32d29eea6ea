"""Catalogues: names, types, what is filled in and said, and faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from behavior import Catalog, ColumnMap, InputError, read_catalog, read_columns


def test_rows_by_id(catalog: Catalog) -> None:
    rows = catalog.rows(["d", "zzz", "a", "a"])
    assert rows.dtype == np.int32
    assert rows.tolist() == [3, -1, 0, 0]
    assert catalog.rows([]).tolist() == []
    assert catalog.rows(iter(["b"])).tolist() == [1]
    assert catalog.rows(pd.Series(["c", None])).tolist() == [2, -1]


def test_ids_are_compared_as_text() -> None:
    numbers = Catalog.from_frame(pd.DataFrame({"item_id": [10, 7]}))
    assert numbers.item_ids == ("10", "7")
    assert numbers.rows([7, "10", 8]).tolist() == [1, 0, -1]
    assert numbers.rows(np.array([7.0, np.nan, 10.0])).tolist() == [1, -1, 0]


def test_defaults_are_filled_and_noted() -> None:
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": ["a", "b"]}))
    assert catalog.titles == ("a", "b")
    assert catalog.frame["text"].tolist() == ["a", "b"]
    assert catalog.frame["category"].tolist() == ["", ""]
    assert catalog.frame["price"].isna().all()
    assert not catalog.has_text
    assert [note.split(":")[0] for note in catalog.notes] == ["title", "text", "category", "price"]


def test_empty_cells_are_filled_and_counted() -> None:
    frame = pd.DataFrame({"item_id": ["a", "b"], "title": ["Lamp", None], "price": [None, "3.5"]})
    catalog = Catalog.from_frame(frame)
    assert catalog.titles == ("Lamp", "b")
    assert catalog.has_text
    assert catalog.frame["price"].tolist()[1] == 3.5
    assert "title: empty for 1 of 2 products, taken from item_id" in catalog.notes
    assert "price: unknown for 1 of 2 products" in catalog.notes


def test_extras_are_told_apart() -> None:
    n = 10
    frame = pd.DataFrame(
        {
            "item_id": [str(i) for i in range(n)],
            "stars": ["4.5", None, *["3"] * 8],
            "stock": range(n),
            "brand": ["x", "y"] * 5,
            "same": ["x"] * n,
            "since": pd.to_datetime(["2026-01-01"] * n),
            "url": [f"http://{i}" for i in range(n)],
            "Unnamed: 0": range(n),
        }
    )
    catalog = Catalog.from_frame(frame)
    assert catalog.numeric_columns == ("stars", "stock")
    assert catalog.categorical_columns == ("brand",)
    assert np.isnan(catalog.frame["stars"][1])
    assert any("url" in note and "left out" in note for note in catalog.notes)
    chosen = Catalog.from_frame(frame, {"numeric": ["st*"], "categorical": ["url", "stock"]})
    assert chosen.numeric_columns == ("stars",)
    assert chosen.categorical_columns == ("url", "stock")


def test_foreign_names_joined_texts_and_cents() -> None:
    frame = pd.DataFrame(
        {"sku": ["1", "2"], "name": ["Lamp", "Desk"], "about": ["bright", ""], "price": [995, 20]}
    )
    mapping = {"item_id": "sku", "title": "name", "text": ["name", "ab*"], "price_scale": 0.01}
    catalog = Catalog.from_frame(frame, mapping)
    assert catalog.frame["text"].tolist() == ["Lamp. bright", "Desk"]
    assert catalog.frame["price"].tolist() == pytest.approx([9.95, 0.2])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"item_id": ["a", "a"]}, "row 2, column 'item_id': found 'a', expected an id of its own"),
        ({"item_id": ["a", None]}, "row 2, column 'item_id': found nothing"),
        ({"item_id": ["a"], "price": ["9 EUR"]}, "row 1, column 'price': found '9 EUR', expected a number"),
        (
            {"item_id": ["a"], "price": [-1]},
            "row 1, column 'price': found -1, expected a price of at least 0",
        ),
        ({"product_id": ["a"]}, "did you mean 'product_id'"),
        ({"item_id": []}, "no rows"),
    ],
)
def test_faults(frame: dict[str, list[object]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Catalog.from_frame(pd.DataFrame(frame), source="shop.csv")


def test_numeric_extras_that_are_no_numbers() -> None:
    frame = pd.DataFrame({"item_id": ["a", "b"], "size": ["3", "XL"]})
    with pytest.raises(InputError, match="row 2, column 'size': found 'XL', expected a number"):
        Catalog.from_frame(frame, {"numeric": ["size"]})
    with pytest.raises(InputError, match="did you mean 'size'"):
        Catalog.from_frame(frame, {"numeric": ["sizes"]})


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_written_catalogues_read_back_alike(tmp_path: Path, catalog: Catalog, suffix: str) -> None:
    path = tmp_path / f"products{suffix}"
    catalog.write(path)
    again = read_catalog(path)
    pd.testing.assert_frame_equal(again.frame, catalog.frame)
    assert again.categorical_columns == catalog.categorical_columns == ("brand",)
    with pytest.raises(InputError, match="already"):
        catalog.write(path)


def test_mapping_file_in_yaml_and_json(tmp_path: Path) -> None:
    yaml = tmp_path / "columns.yaml"
    yaml.write_text(
        "catalog: {item_id: sku, text: [name, about], price_scale: 0.01}\n"
        "log: {session_id: visit, context_age: age, single_impressions: true}\n"
    )
    json = tmp_path / "columns.json"
    json.write_text(
        '{"catalog": {"item_id": "sku", "text": ["name", "about"], "price_scale": 0.01},'
        ' "log": {"session_id": "visit", "context_age": "age", "single_impressions": true}}'
    )
    columns = read_columns(yaml)
    assert columns == read_columns(json)
    assert columns.catalog.names == {"item_id": "sku"}
    assert columns.catalog.joined == {"text": ("name", "about")}
    assert columns.log.names == {"session_id": "visit", "context_age": "age"}
    assert columns.log.single_impressions


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("catalogue: {item_id: sku}", "'catalogue' is not a name of ours. did you mean 'catalog'"),
        ("log: {sesion: visit}", "did you mean 'session_id'"),
        ("log: {click: [a, b]}", r"'click' is mapped to \['a', 'b'\]"),
        ("log: clicks", "section 'log' holds 'clicks'"),
        ("log: {single_impressions: 3}", "'single_impressions' is 3"),
        ("catalog: {price_scale: -1}", "'price_scale' is -1"),
        ("catalog: {numeric: 3}", "'numeric' is 3"),
        ("log: {a: b", "neither YAML nor JSON"),
        ("", "expected the sections"),
    ],
)
def test_mapping_faults(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "columns.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_columns(path)
    assert str(path) in caught.value.where


def test_missing_mapping_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_columns(tmp_path / "none.yaml")


def test_mapping_names_that_the_catalogue_lacks() -> None:
    frame = pd.DataFrame({"sku": ["1"], "name": ["Lamp"]})
    with pytest.raises(InputError, match=r"'skuu' is no column. did you mean 'sku'"):
        Catalog.from_frame(frame, ColumnMap.from_dict({"catalog": {"item_id": "skuu"}}))
    with pytest.raises(InputError, match=r"text: 'attr_\*' is no column"):
        Catalog.from_frame(frame, ColumnMap.from_dict({"catalog": {"item_id": "sku", "text": ["attr_*"]}}))
