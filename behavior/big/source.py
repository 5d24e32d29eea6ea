"""One Parquet file or many as one table, whose rows keep their number in it and their place in their file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from behavior.big.engine import identifier, literal
from behavior.errors import InputError

__all__ = ["ROW", "Source", "open_source"]

ROW = "__row"
"""Column of the data row's number in the whole table, from 0."""
_FILE = "__file"
_COMPANION = ".candidates"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A table in Parquet files, in the order of their names."""

    name: str
    """As it was given, for messages."""
    files: tuple[Path, ...]
    """The files."""
    starts: tuple[int, ...]
    """First data row of each file in the whole table, from 0."""
    n_rows: int
    """Data rows in all."""
    schema: Any
    """The `pyarrow.Schema` of every file."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names of the columns; the index that a data frame was written with is none."""
        return tuple(name for name in self.schema.names if not name.startswith("__index_level_"))

    @property
    def described(self) -> str:
        """Name and number of files, for messages."""
        return self.name if len(self.files) == 1 else f"{self.name} ({len(self.files)} files)"

    def empty(self, names: tuple[str, ...] | None = None) -> pd.DataFrame:
        """No rows under the columns `names` (None: all)."""
        frame: pd.DataFrame = self.schema.remove_metadata().empty_table().to_pandas()
        return frame[list(self.columns if names is None else names)]

    def place(self, row: int) -> tuple[str, int]:
        """File of a data row (from 1) of the whole table, and its number (from 1) there."""
        at = bisect_right(self.starts, row - 1) - 1
        return str(self.files[at]), row - self.starts[at]

    def sql(self, *expressions: str, where: str = "") -> str:
        """A query of `expressions` over all rows; the column `ROW` stands ready."""
        files = "[" + ", ".join(literal(str(file)) for file in self.files) + "]"
        table = (
            f"read_parquet({files}, file_row_number = true, filename = {literal(_FILE)}, "
            "hive_partitioning = false)"
        )
        if len(self.files) == 1:
            table = f"(SELECT *, file_row_number AS {ROW} FROM {table})"
        else:
            starts = ", ".join(
                f"({literal(str(file))}, {start})"
                for file, start in zip(self.files, self.starts, strict=True)
            )
            offsets = f"(VALUES {starts}) AS o({_FILE}, start)"
            table = (
                f"(SELECT t.*, t.file_row_number + o.start AS {ROW} FROM {table} t JOIN {offsets} "
                f"ON t.{_FILE} = o.{_FILE})"
            )
        chosen = f"SELECT {', '.join(expressions)} FROM {table}"
        return f"{chosen} WHERE {where}" if where else chosen

    def column(self, name: str, n_rows: int) -> Iterator[pd.Series]:
        """One column, at most `n_rows` rows at a time."""
        for file in self.files:
            for batch in pq.ParquetFile(file).iter_batches(n_rows, columns=[name]):
                yield batch.to_pandas().iloc[:, 0]

    def kind(self, name: str) -> str:
        """What a column holds: `time`, `integer`, `real`, `flag`, or `other` (texts, and what is seldom used)."""
        found = self.schema.field(name).type
        if pa.types.is_timestamp(found):
            return "time"
        if pa.types.is_integer(found):
            return "integer"
        if pa.types.is_floating(found):
            return "real"
        return "flag" if pa.types.is_boolean(found) else "other"


def open_source(place: Path | str, *, companions: bool = False) -> Source:
    """Find the files and read what they say of themselves.

    Args:
        place: A file, a folder (all its Parquet files), or a pattern with `*`.
        companions: Whether files of candidates (`<stem>.candidates.parquet`) count.

    Raises:
        InputError: No such file, one that is no whole Parquet file, or files that do not go together.
    """
    files = _files(Path(place), companions=companions)
    starts, n_rows, schema = [], 0, None
    for file in files:
        try:
            found = pq.ParquetFile(file)
            mine, count = found.schema_arrow, int(found.metadata.num_rows)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"the Parquet file cannot be read, it may be cut off: {' '.join(str(error).split())}",
                where=str(file),
                mend="write the file again; a Parquet file is readable only when it was closed",
            ) from error
        _same_columns(mine, schema, file, files[0])
        schema = mine if schema is None else schema
        starts.append(n_rows)
        n_rows += count
    if n_rows == 0:
        raise InputError("the file has no rows", where=str(place), mend="give a file with at least one row")
    return Source(name=str(place), files=tuple(files), starts=tuple(starts), n_rows=n_rows, schema=schema)


def _files(place: Path, *, companions: bool) -> list[Path]:
    if place.is_dir():
        found = sorted(place.glob("*.parquet"))
    elif any(sign in place.name for sign in "*?[") and not place.exists():
        found = sorted(place.parent.glob(place.name))
    else:
        if not place.exists():
            raise InputError("the file does not exist", where=str(place), mend="check the path")
        if place.suffix.lower() != ".parquet":
            raise InputError(
                f"files of the kind '{place.suffix or place.name}' are not streamed",
                where=str(place),
                mend="bring a big log as Parquet, one file or many; smaller logs of other kinds are read whole",
            )
        return [place]
    if not companions:
        found = [file for file in found if not file.stem.endswith(_COMPANION)]
    if not found:
        raise InputError("no Parquet file is found there", where=str(place), mend="check the path")
    return found


def _same_columns(mine: Any, first: Any, file: Path, other: Path) -> None:
    if first is None:
        return
    here = {field.name: field.type for field in mine}
    there = {field.name: field.type for field in first}
    for name in dict.fromkeys((*there, *here)):
        if here.get(name) != there.get(name):
            raise InputError(
                f"the column {identifier(name)} is {here.get(name, 'not there')} here and "
                f"{there.get(name, 'not there')} in {other}",
                where=str(file),
                mend="write all files of a log with the same columns of the same types",
            )
