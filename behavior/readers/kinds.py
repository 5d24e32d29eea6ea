"""What kind of file it is by its name, also within an archive, and what to say of one that cannot be read."""

from __future__ import annotations

import zipfile
from pathlib import Path

from behavior.errors import InputError

__all__ = ["SUFFIXES", "broken", "empty", "inner_suffix", "is_json", "member", "missing", "wrong_encoding"]

SUFFIXES = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson")
"""What can be read, each also inside a `.zip`, the text formats also as `.gz`."""


def is_json(path: Path) -> bool:
    """Whether the file (or the only file within the zip) holds JSON records."""
    return inner_suffix(path) in (".json", ".jsonl", ".ndjson")


def inner_suffix(path: Path) -> str:
    """The suffix of the file, or of the only table within the archive.

    Raises:
        InputError: It is none of `SUFFIXES`, or the archive is broken or holds several tables.
    """
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    if suffixes and suffixes[-1] == ".zip":
        suffixes = [Path(member(path)).suffix.lower()]
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in SUFFIXES:
        raise InputError(
            f"files of the kind '{suffix or path.name}' cannot be read",
            where=str(path),
            mend=f"write it as one of {', '.join(SUFFIXES)} (also within .zip, or .csv.gz)",
        )
    return suffix


def member(path: Path) -> str:
    """The name of the only table within a zip.

    Raises:
        InputError: The archive is missing or broken, or holds none or several.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [
                name
                for name in archive.namelist()
                if Path(name).suffix.lower() in SUFFIXES and not name.startswith("__MACOSX")
            ]
    except FileNotFoundError:
        raise missing(path) from None
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


def wrong_encoding(path: Path, error: UnicodeDecodeError) -> InputError:
    """The error for text that is not UTF-8."""
    return InputError(
        f"the file is not UTF-8 text: {error.reason} at byte {error.start:,}",
        where=str(path),
        mend="save it as UTF-8 (in a spreadsheet: 'CSV UTF-8')",
    )


def broken(path: Path, error: Exception) -> InputError:
    """The error for an archive that is cut off."""
    return InputError(
        f"the file cannot be unpacked: {error}", where=str(path), mend="fetch or write it again"
    )


def missing(path: Path) -> InputError:
    """The error for a file that is not there."""
    return InputError("the file does not exist", where=str(path), mend="check the path")


def empty(path: Path) -> InputError:
    """The error for a file without content."""
    return InputError(
        "the file is empty", where=str(path), mend="give a file with a header and at least one row"
    )
