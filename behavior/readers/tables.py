"""Catalogues and logs from files of rows, with the user's own column names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from behavior.catalog import Catalog
from behavior.catalog_table import matching
from behavior.columns import CatalogColumns, ColumnMap, read_columns
from behavior.errors import InputError
from behavior.log import InteractionLog, candidates_path
from behavior.readers.kinds import SUFFIXES, is_json
from behavior.readers.raw import read_records, read_table

__all__ = ["ICECAT_COLUMNS", "LEAST_COVERAGE", "column_map", "read_catalog", "read_log"]

Paths = Path | str | Sequence[Path | str]

LEAST_COVERAGE = 0.05
"""Attributes of JSON products that fewer of them carry become no column of their own."""

ICECAT_COLUMNS = ColumnMap(
    catalog=CatalogColumns(
        names={"item_id": "id", "title": "title", "category": "supplier", "price": "price"},
        joined={"text": ("title", "short_description", "attr_t_*")},
        numeric=("attr_n_*",),
        categorical=(),
        price_scale=0.01,
    )
)
"""The products of the Chorus Icecat files; their prices are in cents, and the maker is their only grouping."""


def column_map(columns: ColumnMap | Path | str | None) -> ColumnMap:
    """The mapping itself, read where a path is given."""
    if columns is None:
        return ColumnMap()
    return columns if isinstance(columns, ColumnMap) else read_columns(columns)


def read_catalog(
    paths: Paths, columns: ColumnMap | Path | str | None = None, *, progress: bool = True
) -> Catalog:
    """Read a product catalogue from CSV, TSV, Parquet, JSON, JSON-lines files, or zips of one.

    Args:
        paths: A file, a folder (all tables in it), a pattern with `*`, or a list of files.
        columns: Column names, or the mapping file that holds them.
        progress: Show a bar where reading lasts longer than two seconds.

    Raises:
        InputError: Files or cells that are not what they must be.
    """
    files = _files(paths)
    source = str(files[0]) if len(files) == 1 else f"{files[0].parent} ({len(files)} files)"
    names = column_map(columns).catalog
    notes: list[str] = []
    bar = tqdm(files, desc="reading products", delay=2, disable=None if progress else True)
    if all(is_json(file) for file in files):
        records = [record for file in bar for record in read_records(file, progress=False)]
        frame, names = _flat(records, names, notes)
    else:
        frame = pd.concat([read_table(file, progress=progress) for file in bar], ignore_index=True)
    catalog = Catalog.from_frame(frame, ColumnMap(catalog=names), source)
    return replace(catalog, notes=(*catalog.notes, *notes))


def read_log(
    path: Path | str,
    columns: ColumnMap | Path | str | None = None,
    *,
    candidates: Path | str | None = None,
    repairs: Collection[str] = (),
    catalog: Catalog | None = None,
    progress: bool = True,
) -> InteractionLog:
    """Read an interaction log.

    Args:
        path: The file of the log.
        columns: Column names, or the mapping file that holds them.
        candidates: The table of candidates; None: `<stem>.candidates<suffix>` beside the log, if it is there.
        repairs: Repairs that may be made, by name.
        catalog: Where given, every item must be in it.
        progress: Show a bar where reading lasts longer than two seconds.

    Raises:
        InputError: Files or cells that are not what they must be.
    """
    path = Path(path)
    companion = candidates_path(path) if candidates is None else Path(candidates)
    frame = read_table(path, progress=progress)
    table = read_table(companion, progress=progress) if candidates or companion.exists() else None
    return InteractionLog.from_frame(
        frame, table, column_map(columns), repairs=repairs, source=str(path), catalog=catalog
    )


def _files(paths: Paths) -> list[Path]:
    given = [paths] if isinstance(paths, Path | str) else list(paths)
    files: list[Path] = []
    for entry in given:
        path = Path(entry)
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in (*SUFFIXES, ".zip"))
            zipped = [p for p in found if p.suffix.lower() == ".zip"]
            files += zipped or found  # beside archives of products, other tables are something else
        elif any(sign in path.name for sign in "*?[") and not path.exists():
            files += sorted(path.parent.glob(path.name))
        else:
            files.append(path)
        if not files:
            raise InputError("no table is found there", where=str(entry), mend="check the path")
    return files


def _flat(
    records: list[dict[str, Any]], columns: CatalogColumns, notes: list[str]
) -> tuple[pd.DataFrame, CatalogColumns]:
    """A table of JSON products: joined texts made record by record, rare attributes left out of the columns.

    Products of many kinds have thousands of attributes, nearly all of them empty for nearly all products; as
    columns they would take gigabytes.
    """
    count = Counter(key for record in records for key in record)
    keys = list(count)
    joined: dict[str, list[str]] = {}
    names = dict(columns.names)
    for ours, patterns in columns.joined.items():
        if not all(matching((pattern,), keys) for pattern in patterns):
            return pd.DataFrame.from_records([{k: _cell(v) for k, v in r.items()} for r in records]), columns
        wanted = {key: place for place, key in enumerate(matching(patterns, keys))}
        place = f" {ours}"  # cannot be a key that the mapping names
        joined[place] = [
            ". ".join(
                text
                for key in sorted(wanted.keys() & record.keys(), key=wanted.__getitem__)
                if (text := str(_cell(record[key]) or "").strip())
            )
            for record in records
        ]
        names[ours] = place
    literal = {*names.values(), *(columns.numeric or ()), *(columns.categorical or ())}
    in_text = {key for patterns in columns.joined.values() for key in matching(patterns, keys)}
    least = LEAST_COVERAGE * len(records)
    kept = [k for k in keys if k in literal or (count[k] >= least and k not in in_text)]
    rare = sum(1 for k in keys if count[k] < least and k not in literal and k not in in_text)
    if rare:
        notes.append(
            f"{rare:,} attributes that fewer than {LEAST_COVERAGE:.0%} of the products carry are no columns"
        )
    frame = pd.DataFrame({key: [_cell(record.get(key)) for record in records] for key in kept} | joined)
    return frame, replace(columns, names=names, joined={})


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {part}" for key, part in value.items())
    return value
