"""A table of chances by query and item (and position), read a batch of rows at a time and looked up by halving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MAX_POSITION", "ChanceTable"]

MAX_POSITION = 255
"""Deepest position that a table may name."""

_CHANCES = ("click", "purchase", "leave")
_KNOWN = ("query", "item_id", "position", *_CHANCES)


@dataclass(frozen=True, kw_only=True, eq=False)
class ChanceTable:
    """`n` rows, sorted by key: 8 bytes for the key and 4 for each chance."""

    key: NDArray[np.int64]  # (n,)
    click: NDArray[np.float32]  # (n,)
    purchase: NDArray[np.float32] | None  # (n,) given a click; None: no such column
    leave: NDArray[np.float32] | None  # (n,) after a click on it; None: no such column
    n_items: int
    by_position: bool
    notes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, *, queries: tuple[str, ...], item_ids: tuple[str, ...]) -> ChanceTable:
        """Read a Parquet or CSV file.

        Columns: `query` and `item_id` as the log writes them, `position` (from 1) if chances differ by it, `click`,
        and, if known, `purchase` and `leave`. Rows that name a query or an item that the shop does not know are left
        out, and counted in `notes`.

        Args:
            path: The file.
            queries: Query texts of the shop.
            item_ids: Item ids of the shop.

        Raises:
            InputError: No such file, a missing column, a chance outside 0 to 1, a row given twice, or no row of this
                shop.
        """
        columns, batches = _open(path)
        by_position = "position" in columns
        parts: list[tuple[NDArray[np.int64], list[NDArray[np.float32]], NDArray[np.int64]]] = []
        n_rows = 0
        for batch in batches:
            parts.append(_read_batch(batch, n_rows, path, queries, item_ids, by_position))
            n_rows += batch.num_rows
        key = np.concatenate([part[0] for part in parts]) if parts else np.empty(0, np.int64)
        if not len(key):
            raise InputError(
                f"none of its {n_rows:,} rows names a query and an item of this shop",
                where=str(path),
                mend=f"write them as the log does, such as query {queries[0]!r} and item_id {item_ids[0]!r}"
                if queries and item_ids
                else "the shop has no queries or items",
            )
        order = np.argsort(key, kind="stable")
        key = key[order]
        twice = np.flatnonzero(key[1:] == key[:-1])
        if len(twice):
            row = np.concatenate([part[2] for part in parts])[order]
            what = "query, item_id and position" if by_position else "query and item_id"
            raise InputError(
                f"{len(twice):,} rows repeat the {what} of an earlier one",
                where=f"{path}, rows {row[twice[0]]} and {row[twice[0] + 1]}",
                mend="keep one row for each" + ("" if by_position else ", or add the column position"),
            )
        found = {
            name: np.concatenate([part[1][c] for part in parts])[order]
            for c, name in enumerate(n for n in _CHANCES if n in columns)
        }
        left_out = n_rows - len(key)
        notes = (
            (
                f"table: {left_out:,} of its {n_rows:,} rows name queries or items that the shop does not know, and "
                "are left out",
            )
            if left_out
            else ()
        )
        return cls(
            key=key,
            click=found["click"],
            purchase=found.get("purchase"),
            leave=found.get("leave"),
            n_items=len(item_ids),
            by_position=by_position,
            notes=notes,
        )

    @property
    def mean_click(self) -> float:
        """Mean chance of a click over all rows."""
        return float(self.click.mean(dtype=np.float64))

    @property
    def mean_by_position(self) -> NDArray[np.float64]:
        """(K,) mean chance of a click at each position, 0 where no row names it; up to the deepest named."""
        position = self.key % (MAX_POSITION + 1)
        total, count = np.bincount(position, self.click), np.bincount(position)
        return np.asarray(total / np.maximum(count, 1))

    def find(
        self, query: NDArray[np.int32], items: NDArray[np.int32], position: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Row of each query, item and 0-based position (they broadcast together); -1 where the table has none."""
        key = _key(query, items, position if self.by_position else np.zeros_like(position), self.n_items)
        row = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        return np.where((self.key[row] == key) & (items >= 0) & (position < MAX_POSITION), row, -1)


def _key(
    query: NDArray[np.integer[Any]], item: NDArray[np.integer[Any]], position: NDArray[np.int64], n_items: int
) -> NDArray[np.int64]:
    return (query.astype(np.int64) * n_items + item) * (MAX_POSITION + 1) + position


def _open(path: Path) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    """The columns of the file that count, and its rows in batches."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.dataset as ds

    if not path.is_file():
        raise InputError(
            "there is no such table", where=str(path), mend="give the path of a Parquet or CSV file"
        )
    as_text = pa.csv.ConvertOptions(
        column_types={"query": pa.string(), "item_id": pa.string()} | dict.fromkeys(_CHANCES, pa.float64()),
        strings_can_be_null=False,
    )
    parquet = path.suffix.lower() in (".parquet", ".pq")
    try:
        data = ds.dataset(path, format="parquet" if parquet else ds.CsvFileFormat(convert_options=as_text))
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"unreadable table: {error}",
            where=str(path),
            mend="give a Parquet file, or a CSV file with a header",
        ) from error
    names = data.schema.names
    missing = [name for name in ("query", "item_id", "click") if name not in names]
    if missing:
        raise InputError(
            f"the table has no column {', '.join(missing)}; its columns are {', '.join(names)}",
            where=str(path),
            mend=f"name them so; known are {', '.join(_KNOWN)}",
        )
    columns = [name for name in _KNOWN if name in names]

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from data.to_batches(columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"unreadable table: {error}", where=str(path), mend="check the row that the message names"
            ) from error

    return columns, batches()


def _read_batch(
    batch: pa.RecordBatch,
    start: int,
    path: Path,
    queries: tuple[str, ...],
    item_ids: tuple[str, ...],
    by_position: bool,
) -> tuple[NDArray[np.int64], list[NDArray[np.float32]], NDArray[np.int64]]:
    """Keys, chances and 1-based row numbers of the rows that name a query and an item of the shop."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def rows_of(name: str, known: tuple[str, ...]) -> NDArray[np.int64]:
        text = pc.cast(batch.column(name), pa.string())
        found = pc.index_in(text, value_set=pa.array(known, pa.string()))
        return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), np.int64)

    def numbers(
        name: str, lowest: float, highest: float, what: str, *, whole: bool = False
    ) -> NDArray[np.float64]:
        try:
            column = pc.cast(batch.column(name), pa.float64())
        except pa.ArrowException as error:
            raise InputError(
                f"column {name} does not hold numbers: {error}", where=str(path), mend=f"write {what}"
            ) from error
        values = np.asarray(pc.fill_null(column, np.nan).to_numpy(zero_copy_only=False), np.float64)
        fine = (values >= lowest) & (values <= highest) & ~(whole & (values % 1.0 != 0))
        bad = np.flatnonzero(~fine)
        if len(bad):
            found = batch.column(name)[int(bad[0])].as_py()
            raise InputError(
                f"{name} is {found}, expected {what}",
                where=f"{path}, row {start + int(bad[0]) + 1}",
                mend="mend the row, or leave it out",
            )
        return values

    query, item = rows_of("query", queries), rows_of("item_id", item_ids)
    position = np.zeros(len(query), np.int64)
    if by_position:
        named = numbers("position", 1, MAX_POSITION, f"a whole number from 1 to {MAX_POSITION}", whole=True)
        position = named.astype(np.int64) - 1
    chances = [
        numbers(name, 0.0, 1.0, "a chance from 0 to 1").astype(np.float32)
        for name in _CHANCES
        if name in batch.schema.names
    ]
    ours = (query >= 0) & (item >= 0)
    key = _key(query, item, position, len(item_ids))[ours]
    return key, [chance[ours] for chance in chances], start + np.flatnonzero(ours) + 1
