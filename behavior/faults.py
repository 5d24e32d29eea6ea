"""Faults found in a table: where, what, what it should be; gathered first, then told in one message."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from behavior.errors import InputError
from behavior.vocabulary import COMMON_NAMES

__all__ = ["Fault", "FaultDigest", "TableFaultsError", "missing_columns", "raise_faults", "suggest"]

MOST_SHOWN = 10


@dataclass(frozen=True, kw_only=True, order=True)
class Fault:
    """One cell (or one row) that is not what it must be."""

    row: int
    """Data row in the file, 1-based; the header is not counted."""
    column: str
    """Column by the file's own name."""
    found: str
    """The value found."""
    expected: str
    """What it must be."""
    mend: str = ""
    """What to do."""
    ours: str = ""
    """Our name of the column, where the file's differs."""

    def __str__(self) -> str:
        name = f"'{self.column}'" + (f" (our '{self.ours}')" if self.ours else "")
        return f"row {self.row:,}, column {name}: found {self.found}, expected {self.expected}"


@dataclass(frozen=True, kw_only=True)
class FaultDigest:
    """What is told of any number of faults; digests of the parts of a table add up to that of the whole."""

    count: int
    """Number of faults."""
    first: tuple[Fault, ...]
    """The first ten in row order."""
    mends: tuple[Fault, ...]
    """The first fault of each mend, in row order."""

    @classmethod
    def of(cls, faults: Iterable[Fault]) -> FaultDigest:
        """That of these faults."""
        ordered = sorted(faults)
        by_mend: dict[str, Fault] = {}
        for fault in ordered:
            if fault.mend:
                by_mend.setdefault(fault.mend, fault)
        return cls(count=len(ordered), first=tuple(ordered[:MOST_SHOWN]), mends=tuple(by_mend.values()))

    @classmethod
    def sum(cls, digests: Iterable[FaultDigest]) -> FaultDigest:
        """That of all faults of several parts of one table."""
        parts = list(digests)
        shown = cls.of(fault for part in parts for fault in part.first)
        mends = cls.of(fault for part in parts for fault in part.mends).mends
        return cls(count=sum(part.count for part in parts), first=shown.first, mends=mends)

    def error(self, source: str, place: Callable[[int], tuple[str, int]] | None = None) -> InputError:
        """The error that lists them.

        Args:
            source: The file (or the name of the table) they were found in.
            place: Data row (from 1) of a table made of several files -> file, data row in it.
        """
        shown = [_told(fault, place) for fault in self.first]
        rest = self.count - len(shown)
        if rest:
            shown.append(f"and {rest:,} more")
        counted = "1 fault" if self.count == 1 else f"{self.count:,} faults"
        return InputError(
            f"{counted} in the table\n" + "\n".join(f"  {line}" for line in shown),
            where=f"{source or 'table'} (rows counted from 1, the header not counted)",
            # as wide as the heading under which `InputError` shows it
            mend="\n         ".join(fault.mend for fault in self.mends),
        )


def _told(fault: Fault, place: Callable[[int], tuple[str, int]] | None) -> str:
    if place is None:
        return str(fault)
    file, row = place(fault.row)
    return f"{file}, {replace(fault, row=row)}"


class TableFaultsError(InputError):
    """Faults of one table.

    Args:
        digest: What is told of them.
        source: The file (or the name of the table) they were found in.
        stage: How far the reading had come: faults of a later stage are looked for only where there are none of an
            earlier one.
    """

    def __init__(self, digest: FaultDigest, source: str, stage: int) -> None:
        self.digest, self.source, self.stage = digest, source, stage
        error = digest.error(source)
        super().__init__(error.what, where=error.where, mend=error.mend)


def raise_faults(faults: Iterable[Fault], source: str, stage: int = 0) -> None:
    """Raise one `InputError` that lists the first ten faults in row order; nothing happens without faults.

    Args:
        faults: What was found.
        source: The file (or the name of the table) it was found in.
        stage: See `TableFaultsError`.

    Raises:
        TableFaultsError: There are faults.
    """
    digest = FaultDigest.of(faults)
    if digest.count:
        raise TableFaultsError(digest, source, stage)


def suggest(name: str, known: Iterable[str]) -> str:
    """A "did you mean" for `name` among `known`, empty where nothing is near."""
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
    if not near:
        usual = COMMON_NAMES.get(name, ())
        near = [low for low in by_lower if any(word in re.split(r"[^a-z]+", low) for word in usual)][:3]
    if not near:  # names such as `id` for `item_id`: one within the other
        near = [low for low in by_lower if low in name.lower() or name.lower() in low][:3]
    return f"did you mean {' or '.join(repr(by_lower[n]) for n in near)}?" if near else ""


def missing_columns(
    missing: Sequence[str],
    found: Sequence[str],
    *,
    meanings: Mapping[str, str],
    table: str,
    source: str,
    hints: Mapping[str, str] | None = None,
) -> InputError:
    """The error for columns that a table lacks: nearest names, and the mapping file that would name them.

    Args:
        missing: Our names that no column of the file has.
        found: The file's columns.
        meanings: What each of our columns holds.
        table: `log`, `catalog` or `candidates`.
        source: The file.
        hints: Further ways out, by missing column.
    """
    lines = []
    for name in missing:
        free = [column for column in found if column not in meanings]
        lines.append(f"  {name}: {meanings[name]}. {suggest(name, free)}".rstrip())
        if hints and name in hints:
            lines.append(f"    {hints[name]}")
    example = ", ".join(f"{name}: <your name for it>" for name in missing)
    shown = ", ".join(found[:30]) + (f", and {len(found) - 30:,} more" if len(found) > 30 else "")
    return InputError(
        f"the {table} lacks {'the column' if len(missing) == 1 else 'columns'} {', '.join(missing)}\n"
        + "\n".join(lines)
        + f"\n  columns found: {shown}",
        where=source or table,
        mend=f"name your columns in a mapping file and pass it with --columns: `{table}: {{{example}}}`",
    )
