"""One file or many as one table, whose rows keep their number in it and their place in their file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from behavior.big.engine import identifier, literal
from behavior.errors import InputError
from behavior.readers.kinds import inner_suffix
from behavior.readers.raw import delimited_chunks

__all__ = ["ROW", "Source", "open_source"]

ROW = "__row"
"""Column of the data row's number in the whole table, from 0."""
_FILE = "__file"
_COMPANION = ".candidates."
_TEXT = (".csv", ".tsv")
_PATTERNS = ("*.parquet", "*.csv", "*.tsv", "*.csv.gz", "*.tsv.gz")
_CHUNK_ROWS = 200_000


@dataclass(frozen=True, kw_only=True)
class Source:
    """A table in Parquet files, in the order of their names."""

    name: str
    """As it was given, for messages."""
    files: tuple[Path, ...]
    """The Parquet files."""
    labels: tuple[str, ...]
    """The files as they were given: those of texts are read from Parquet copies."""
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
        return self.labels[at], row - self.starts[at]

    def sql(self, *expressions: str, where: str = "true", low: int = 0, high: int | None = None) -> str:
        """A query of `expressions` over the data rows `low` to `high` - 1; the column `ROW` stands ready."""
        high = self.n_rows if high is None else high
        ends = (*self.starts[1:], self.n_rows)
        held = [
            (file, start)
            for file, start, end in zip(self.files, self.starts, ends, strict=True)
            if start < high and end > low
        ]
        files = "[" + ", ".join(literal(str(file)) for file, _ in held) + "]"
        table = (
            f"read_parquet({files}, file_row_number = true, filename = {literal(_FILE)}, "
            "hive_partitioning = false)"
        )
        if len(held) == 1:  # said of the file's own rows, for the reader to skip all others
            start = held[0][1]
            inside = f"file_row_number >= {low - start} AND file_row_number < {high - start}"
            table = f"(SELECT *, file_row_number + {start} AS {ROW} FROM {table} WHERE {inside})"
        else:
            starts = ", ".join(f"({literal(str(file))}, {start})" for file, start in held)
            offsets = f"(VALUES {starts}) AS o({_FILE}, start)"
            table = (
                f"(SELECT t.*, t.file_row_number + o.start AS {ROW} FROM {table} t JOIN {offsets} "
                f"ON t.{_FILE} = o.{_FILE} WHERE {ROW} >= {low} AND {ROW} < {high})"
            )
        return f"SELECT {', '.join(expressions)} FROM {table} WHERE {where}"

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


def open_source(
    place: Path | str, scratch: Path, *, companions: bool = False, progress: bool = True
) -> Source:
    """Find the files and read what they say of themselves; CSV and TSV are copied into Parquet first.

    Args:
        place: A file, a folder (all its Parquet files, or else its CSV and TSV files), or a pattern with `*`.
        scratch: A folder for copies.
        companions: Whether files of candidates (`<stem>.candidates.parquet`) count.
        progress: Whether to show a bar.

    Raises:
        InputError: No such file, one that is no whole Parquet file, or files that do not go together.
    """
    given = _files(Path(place), companions=companions)
    files = [
        _copied(file, scratch / f"{number:06d}.parquet", progress=progress)
        if inner_suffix(file) in _TEXT
        else file
        for number, file in enumerate(given)
    ]
    starts, n_rows, schema = [], 0, None
    for file, label in zip(files, given, strict=True):
        try:
            found = pq.ParquetFile(file)
            mine, count = found.schema_arrow, int(found.metadata.num_rows)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"the Parquet file cannot be read, it may be cut off: {' '.join(str(error).split())}",
                where=str(file),
                mend="write the file again; a Parquet file is readable only when it was closed",
            ) from error
        _same_columns(mine, schema, label, given[0])
        schema = mine if schema is None else schema
        starts.append(n_rows)
        n_rows += count
    if n_rows == 0:
        raise InputError("the file has no rows", where=str(place), mend="give a file with at least one row")
    return Source(
        name=str(place),
        files=tuple(files),
        labels=tuple(map(str, given)),
        starts=tuple(starts),
        n_rows=n_rows,
        schema=schema,
    )


def _files(place: Path, *, companions: bool) -> list[Path]:
    if place.is_dir():
        found = sorted(place.glob(_PATTERNS[0])) or sorted(
            file for pattern in _PATTERNS[1:] for file in place.glob(pattern)
        )
    elif any(sign in place.name for sign in "*?[") and not place.exists():
        found = sorted(place.parent.glob(place.name))
    else:
        if not place.exists():
            raise InputError("the file does not exist", where=str(place), mend="check the path")
        found, companions = [place], True
    if not companions:
        found = [file for file in found if _COMPANION not in file.name]
    if not found:
        raise InputError(
            "no Parquet, CSV or TSV file is found there", where=str(place), mend="check the path"
        )
    for file in found:
        if file.suffix.lower() == ".zip" or inner_suffix(file) not in (".parquet", *_TEXT):
            raise InputError(
                f"files of the kind '{file.suffix or file.name}' are not streamed",
                where=str(file),
                mend="bring a big log as Parquet, CSV or TSV, one file or many; smaller logs are read whole",
            )
    return found


def _copied(file: Path, copy: Path, *, progress: bool) -> Path:
    """The same rows as Parquet, all columns texts, as the readers of smaller logs have them."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    writer: Any = None
    with tqdm(desc=f"read {file.name}", unit=" rows", delay=2, disable=None if progress else True) as bar:
        try:
            for chunk in delimited_chunks(file, _CHUNK_ROWS):
                schema = pa.schema([(str(name), pa.string()) for name in chunk])
                table = pa.Table.from_pandas(chunk, schema=schema, preserve_index=False)
                writer = pq.ParquetWriter(copy, schema) if writer is None else writer
                writer.write_table(table)
                bar.update(len(chunk))
        finally:
            if writer is not None:
                writer.close()
    if writer is None:
        raise InputError("the file has no rows", where=str(file), mend="give a file with at least one row")
    return copy


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
