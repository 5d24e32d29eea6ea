"""Text files line by line: one line in memory at a time, and every line that is no record named."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from behavior.errors import InputError
from behavior.readers.kinds import broken, empty, member, missing

__all__ = ["LONGEST_LINE", "read_json_lines", "read_lines"]

LONGEST_LINE = 64 * 2**20
"""Bytes of the longest line that is read: a record larger than this is no record of one visit."""

_MOST_NAMED = 10


def read_json_lines(path: Path, *, progress: bool = True) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of a JSON-lines file, one after the other, each with its line number from 1; empty lines are none.

    Lines that are no records are gathered and told together when the end (or the tenth of them) is reached, so
    nothing may be made of the records before the last has come.

    Raises:
        InputError: The file is missing or empty, or lines are not JSON records; each with its number.
    """
    faults: list[str] = []
    count = 0
    for number, line in read_lines(path, progress=progress):
        if not line.strip():
            continue
        count += 1
        try:
            record = json.loads(line)
            found = f"a {type(record).__name__}"
        except ValueError as error:  # not JSON, or not UTF-8
            record, found = None, f"{_shown(line)} ({error})"
        if isinstance(record, dict):
            yield number, record
            continue
        faults.append(f"line {number:,}: found {found}, expected a JSON record")
        if len(faults) == _MOST_NAMED:
            break
    if faults:
        raise InputError(
            "the file is not JSON, one record a line\n" + "\n".join(f"  {fault}" for fault in faults),
            where=str(path),
            mend="it may be cut off, or hold something else: write it again (`.jsonl` holds one record a line, "
            "`.json` one list)",
        )
    if not count:
        raise empty(path)


def read_lines(path: Path, *, progress: bool = True) -> Iterator[tuple[int, bytes]]:
    """The lines of a text file with their numbers from 1, never holding more than one; also within .gz and .zip.

    Raises:
        InputError: The file is missing, is cut off, or has a line longer than `LONGEST_LINE`.
    """
    if not path.exists():
        raise missing(path)
    if path.is_dir():
        raise InputError("this is a folder, expected a file", where=str(path), mend="name the file in it")
    with ExitStack() as stack:
        try:
            if path.suffix.lower() == ".zip":
                stream: IO[bytes] = stack.enter_context(
                    stack.enter_context(zipfile.ZipFile(path)).open(member(path))
                )
            elif path.suffix.lower() == ".gz":
                unpacked: Any = gzip.open(path)  # noqa: SIM115
                stream = stack.enter_context(unpacked)
            else:
                stream = stack.enter_context(path.open("rb"))
            packed = path.suffix.lower() in (".zip", ".gz")
            total = None if packed else path.stat().st_size
            bar = stack.enter_context(
                tqdm(
                    desc=f"reading {path.name}",
                    total=total,
                    unit="B",
                    unit_scale=True,
                    delay=2,
                    disable=None if progress else True,
                )
            )
            number = 0
            while line := stream.readline(LONGEST_LINE + 1):
                number += 1
                bar.update(len(line))
                if len(line) > LONGEST_LINE:
                    raise InputError(
                        f"line {number:,} is longer than {LONGEST_LINE // 2**20} MiB",
                        where=str(path),
                        mend="a record of this size is not one visit: part it, or leave it out",
                    )
                yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        except (EOFError, OSError, zipfile.BadZipFile) as error:
            raise broken(path, error) from error


def _shown(line: bytes) -> str:
    text = line[:60].decode("utf-8", "replace").strip()
    return repr(text + ("…" if len(line) > 60 else ""))
