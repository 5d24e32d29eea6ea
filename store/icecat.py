"""Real products and human judgments: the Icecat catalogue and ratings published with querqy/chorus."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from behavior.catalog import Catalog
from behavior.columns import CatalogColumns
from behavior.errors import InputError
from behavior.readers.raw import read_records, read_table

__all__ = ["load_icecat"]

_FIELDS = ("id", "title", "short_description", "supplier", "price", "attr_t_product_colour", "attr_t_type")
_RATINGS = "Broad_Query_Set_rated.csv"


def load_icecat(folder: Path | str, *, progress: bool = True) -> tuple[Catalog, pd.DataFrame]:
    """The catalogue and the judgments (`query`, `item_id`, `rating` 0..3) of a folder as published.

    The products carry no category; the query whose words all stand in a product's title stands in for one (no
    rating is used, since categories are public). Judgments of products that the files lack are left out. Prices
    are in cents.

    Args:
        folder: Holds `1.json.zip` .. `4.json.zip` and `Broad_Query_Set_rated.csv`.
        progress: Show a bar where reading lasts.

    Raises:
        InputError: A file is missing or not what it should be.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.json.zip"))
    if not files:
        raise InputError(
            "no product files (*.json.zip) found",
            where=str(folder),
            mend="give the folder of querqy/chorus that holds 1.json.zip to 4.json.zip",
        )
    records = [
        {name: record.get(name) for name in _FIELDS}
        for file in files
        for record in read_records(file, progress=progress)
    ]
    frame = pd.DataFrame.from_records(records).drop_duplicates("id", ignore_index=True)
    frame["title"] = frame["title"].fillna("").replace("", pd.NA).fillna(frame["short_description"])
    frame["text"] = (frame["title"] + ". " + frame["short_description"].fillna("")).str.strip()
    for column in ("supplier", "attr_t_product_colour", "attr_t_type"):
        frame[column] = frame[column].fillna("").astype(str)
    judged = read_table(folder / _RATINGS, progress=progress).rename(columns={"docid": "item_id"})
    missing = [column for column in ("query", "item_id", "rating") if column not in judged.columns]
    if missing:
        raise InputError(
            f"the columns {', '.join(missing)} are missing; found {', '.join(map(str, judged.columns))}",
            where=str(folder / _RATINGS),
            mend="give the file as published, with query, docid, rating",
        )
    judged["rating"] = pd.to_numeric(judged["rating"], errors="coerce")
    judged = judged[judged["item_id"].isin(set(frame["id"])) & judged["rating"].notna()]
    judged = judged[["query", "item_id", "rating"]].reset_index(drop=True)
    frame["category"] = _categories(list(frame["title"]), list(dict.fromkeys(judged["query"])))
    catalog = Catalog.from_frame(
        frame.rename(columns={"attr_t_product_colour": "color", "attr_t_type": "type"}).drop(
            columns="short_description"
        ),
        CatalogColumns(
            names={"item_id": "id"}, numeric=(), categorical=("supplier", "color"), price_scale=0.01
        ),
        source=str(folder),
    )
    return catalog, judged


def _categories(titles: list[str], queries: list[str]) -> list[str]:
    """The best-matching query (BM25) all of whose words stand in the title, else "other"."""
    from store.lexical import bm25_scores

    scores = bm25_scores(titles, queries)  # (Q, I)
    words = [frozenset(re.findall(r"\w+", title.lower())) for title in titles]
    for q, query in enumerate(queries):
        asked = frozenset(re.findall(r"\w+", query.lower()))
        scores[q, [not asked <= own for own in words]] = 0.0
    best = scores.argmax(axis=0)
    return [queries[q] if scores[q, i] > 0 else "other" for i, q in enumerate(best)]
