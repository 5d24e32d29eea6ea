"""Files of rows, whatever their format: text stays text, so that the id `007` is not the number 7."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pandas as pd
from tqdm import tqdm

from behavior.errors import InputError
from behavior.readers.kinds import broken, empty, inner_suffix, member, missing, wrong_encoding
from behavior.readers.lines import read_json_lines
from behavior.readers.room import check_room
from behavior.readers.uneven import even_chunks, refuse_uneven

__all__ = ["delimited_chunks", "read_head", "read_records", "read_table"]


def read_table(
    path: Path,
    *,
    progress: bool = True,
    columns: Collection[str] | None = None,
    separator: str | None = None,
) -> pd.DataFrame:
    """The rows of a CSV, TSV, Parquet, JSON or JSON-lines file, also within a zip.

    Args:
        path: The file.
        progress: Show a bar where reading lasts longer than two seconds.
        columns: Columns to keep, of those that are there; None: all. What is left out takes no memory.
        separator: What stands between the cells of a CSV file; None: a comma (a tab in `.tsv`).

    Returns:
        The columns as the file has them; those of text formats are text, empty where nothing is written.

    Raises:
        InputError: The file is missing, empty, cut off, too large for the memory, or not what its suffix says.
    """
    suffix = inner_suffix(path)
    if columns is None:
        check_room(path)
    if suffix == ".parquet":
        frame = _read_parquet(path)
    elif suffix in (".csv", ".tsv"):
        usual = "\t" if suffix == ".tsv" else ","
        frame = _read_delimited(path, separator or usual, progress, columns)
    else:
        frame = pd.DataFrame.from_records(read_records(path, progress=progress))
    if columns is not None:
        frame = frame[[name for name in frame if name in columns]]
    if frame.empty:
        raise InputError("the file has no rows", where=str(path), mend="give a file with at least one row")
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise InputError(
            f"the column {', '.join(map(repr, doubled.unique()))} is there twice",
            where=str(path),
            mend="rename one of the two",
        )
    return frame


def read_head(path: Path, separator: str = ",", rows: int = 1000) -> pd.DataFrame:
    """The first rows of a CSV file with all its columns, also within .gz and .zip.

    Raises:
        InputError: The file is missing or empty, or is not UTF-8.
    """
    return _read_delimited(path, separator, progress=False, columns=None, rows=rows)


def read_records(path: Path, *, progress: bool = True) -> list[dict[str, Any]]:
    """The records of a JSON list or of JSON lines, also within a zip.

    Raises:
        InputError: The file is missing, empty or not JSON, or holds something else than records.
    """
    if inner_suffix(path) != ".json":
        return [record for _, record in read_json_lines(path, progress=progress)]
    with _open(path, progress) as stream:
        raw = stream.read()
    text = _decode(raw, path)
    if not text.strip():
        raise empty(path)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"the file is not JSON: {error}",
            where=str(path),
            mend="the file may be cut off; write it again (`.jsonl` holds one record a line, `.json` one list)",
        ) from error
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise InputError(
            f"the file holds a {type(content).__name__}, expected a list of records",
            where=str(path),
            mend='write `[{"item_id": "1", ...}, ...]`, or one record a line in a `.jsonl` file',
        )
    return content


def _open(path: Path, progress: bool) -> IO[bytes]:
    """The bytes, unpacked; a bar over them appears when reading lasts longer than two seconds."""
    if not path.exists():
        raise missing(path)
    if path.is_dir():
        raise InputError("this is a folder, expected a file", where=str(path), mend="name the file in it")
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                return io.BytesIO(archive.read(member(path)))
        if path.suffix.lower() == ".gz":
            return io.BytesIO(gzip.decompress(path.read_bytes()))
        stream: IO[bytes] = path.open("rb")
    except (EOFError, OSError, zipfile.BadZipFile) as error:
        raise broken(path, error) from error
    bar = tqdm.wrapattr(
        stream,
        "read",
        total=path.stat().st_size,
        desc=f"reading {path.name}",
        delay=2,
        disable=None if progress else True,
    )
    return _Closing(stream, bar)  # type: ignore[return-value]


class _Closing:
    """A stream read through its progress bar; leaving the block closes both."""

    def __init__(self, stream: IO[bytes], bar: Any) -> None:
        self.stream, self.bar = stream, bar

    def __enter__(self) -> IO[bytes]:
        reader: IO[bytes] = self.bar.__enter__()
        return reader

    def __exit__(self, *error: object) -> None:
        self.bar.__exit__(*error)
        self.stream.close()


_AS_TEXT: dict[str, Any] = {
    "dtype": str,
    "keep_default_na": False,
    "na_values": [""],
    "encoding": "utf-8-sig",
}
"""How cells are read, whole or in chunks: as they stand, and nothing but an empty one is missing."""


def _read_delimited(
    path: Path,
    separator: str,
    progress: bool,
    columns: Collection[str] | None,
    rows: int | None = None,
) -> pd.DataFrame:
    with _open(path, progress) as stream, _delimited_errors_named(path):
        frame: pd.DataFrame = pd.read_csv(
            stream,
            sep=separator,
            **_AS_TEXT,
            nrows=rows,
            usecols=None if columns is None else lambda name: name in columns,
        )
    if columns is None and rows is None:
        refuse_uneven(frame, path, separator)
    return frame


def delimited_chunks(path: Path, n_rows: int) -> Iterator[pd.DataFrame]:
    """The rows of a CSV or TSV file, also as `.gz`, as `read_table` gives them but at most `n_rows` at a time.

    Raises:
        InputError: See `read_table`.
    """
    separator = "\t" if inner_suffix(path) == ".tsv" else ","
    if not path.exists():
        raise missing(path)
    try:
        yield from _delimited_chunks(path, separator, n_rows)
    except (EOFError, OSError) as error:  # a `.gz` that is cut off
        raise broken(path, error) from error


def _delimited_chunks(path: Path, separator: str, n_rows: int) -> Iterator[pd.DataFrame]:
    with (
        _delimited_errors_named(path),
        pd.read_csv(
            path,
            sep=separator,
            **_AS_TEXT,
            chunksize=n_rows,
        ) as reader,
    ):
        yield from even_chunks(reader, path, separator)


@contextmanager
def _delimited_errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except pd.errors.EmptyDataError:
        raise empty(path) from None
    except pd.errors.ParserError as error:
        raise InputError(
            f"the rows cannot be told apart: {' '.join(str(error).split())}",
            where=str(path),
            mend="put texts that hold a separator or a line break in double quotes",
        ) from error
    except UnicodeDecodeError as error:
        raise wrong_encoding(path, error) from error


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow

    if path.suffix.lower() == ".zip":
        with _open(path, progress=False) as stream:
            source: Any = io.BytesIO(stream.read())
    elif not path.exists():
        raise missing(path)
    elif path.stat().st_size == 0:
        raise empty(path)
    else:
        source = path
    try:
        return pd.read_parquet(source)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(
            f"the Parquet file cannot be read, it may be cut off: {' '.join(str(error).split())}",
            where=str(path),
            mend="write the file again; a Parquet file is readable only when it was closed",
        ) from error


def _decode(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise wrong_encoding(path, error) from error
