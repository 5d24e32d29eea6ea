"""Files of rows, whatever their format: text stays text, so that the id `007` is not the number 7."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import IO, Any

import pandas as pd
from tqdm import tqdm

from behavior.errors import InputError

__all__ = ["SUFFIXES", "is_json", "read_records", "read_table"]

SUFFIXES = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson")
"""What can be read, each also inside a `.zip`, the text formats also as `.gz`."""


def is_json(path: Path) -> bool:
    """Whether the file (or the only file within the zip) holds JSON records."""
    return _inner_suffix(path) in (".json", ".jsonl", ".ndjson")


def read_table(path: Path, *, progress: bool = True) -> pd.DataFrame:
    """The rows of a CSV, TSV, Parquet, JSON or JSON-lines file, also within a zip.

    Args:
        path: The file.
        progress: Show a bar where reading lasts longer than two seconds.

    Returns:
        The columns as the file has them; those of text formats are text, empty where nothing is written.

    Raises:
        InputError: The file is missing, empty, cut off, or not what its suffix says.
    """
    suffix = _inner_suffix(path)
    if suffix == ".parquet":
        frame = _read_parquet(path)
    elif suffix in (".csv", ".tsv"):
        frame = _read_delimited(path, "\t" if suffix == ".tsv" else ",", progress)
    else:
        frame = pd.DataFrame.from_records(read_records(path, progress=progress))
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


def read_records(path: Path, *, progress: bool = True) -> list[dict[str, Any]]:
    """The records of a JSON list or of JSON lines, also within a zip.

    Raises:
        InputError: The file is missing, empty or not JSON, or holds something else than records.
    """
    with _open(path, progress) as stream:
        raw = stream.read()
    text = _decode(raw, path)
    if not text.strip():
        raise _empty(path)
    try:
        if _inner_suffix(path) == ".json":
            content = json.loads(text)
        else:
            content = [json.loads(line) for line in text.splitlines() if line.strip()]
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


def _inner_suffix(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    if suffixes and suffixes[-1] == ".zip":
        suffixes = [Path(_member(path)).suffix.lower()]
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in SUFFIXES:
        raise InputError(
            f"files of the kind '{suffix or path.name}' cannot be read",
            where=str(path),
            mend=f"write it as one of {', '.join(SUFFIXES)} (also within .zip, or .csv.gz)",
        )
    return suffix


def _member(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [
                name
                for name in archive.namelist()
                if Path(name).suffix.lower() in SUFFIXES and not name.startswith("__MACOSX")
            ]
    except FileNotFoundError:
        raise _missing(path) from None
    except zipfile.BadZipFile as error:
        raise InputError(
            f"the file is not a whole zip archive: {error}", where=str(path), mend="fetch or write it again"
        ) from error
    if len(names) != 1:
        raise InputError(
            f"the archive holds {len(names)} tables, expected one",
            where=str(path),
            mend="unpack it and name the file" if names else f"put one of {', '.join(SUFFIXES)} into it",
        )
    return names[0]


def _open(path: Path, progress: bool) -> IO[bytes]:
    """The bytes, unpacked; a bar over them appears when reading lasts longer than two seconds."""
    if not path.exists():
        raise _missing(path)
    if path.is_dir():
        raise InputError("this is a folder, expected a file", where=str(path), mend="name the file in it")
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                return io.BytesIO(archive.read(_member(path)))
        if path.suffix.lower() == ".gz":
            import gzip

            return io.BytesIO(gzip.decompress(path.read_bytes()))
        stream: IO[bytes] = path.open("rb")
    except (EOFError, OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"the file cannot be unpacked: {error}", where=str(path), mend="fetch or write it again"
        ) from error
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


def _read_delimited(path: Path, separator: str, progress: bool) -> pd.DataFrame:
    with _open(path, progress) as stream:
        try:
            return pd.read_csv(
                stream, sep=separator, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig"
            )
        except pd.errors.EmptyDataError:
            raise _empty(path) from None
        except pd.errors.ParserError as error:
            raise InputError(
                f"the rows cannot be told apart: {' '.join(str(error).split())}",
                where=str(path),
                mend="put texts that hold a separator or a line break in double quotes",
            ) from error
        except UnicodeDecodeError as error:
            raise _encoding(path, error) from error


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow

    if path.suffix.lower() == ".zip":
        with _open(path, progress=False) as stream:
            source: Any = io.BytesIO(stream.read())
    elif not path.exists():
        raise _missing(path)
    elif path.stat().st_size == 0:
        raise _empty(path)
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
        raise _encoding(path, error) from error


def _encoding(path: Path, error: UnicodeDecodeError) -> InputError:
    return InputError(
        f"the file is not UTF-8 text: {error.reason} at byte {error.start:,}",
        where=str(path),
        mend="save it as UTF-8 (in a spreadsheet: 'CSV UTF-8')",
    )


def _missing(path: Path) -> InputError:
    return InputError("the file does not exist", where=str(path), mend="check the path")


def _empty(path: Path) -> InputError:
    return InputError(
        "the file is empty", where=str(path), mend="give a file with a header and at least one row"
    )
