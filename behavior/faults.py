"""Faults found in a table: where, what, what it should be; gathered first, then told in one message."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from behavior.errors import InputError
from behavior.vocabulary import COMMON_NAMES

__all__ = ["Fault", "missing_columns", "raise_faults", "suggest"]

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


def raise_faults(faults: Iterable[Fault], source: str) -> None:
    """Raise one `InputError` that lists the first ten faults in row order; nothing happens without faults.

    Args:
        faults: What was found.
        source: The file (or the name of the table) it was found in.
    """
    ordered = sorted(faults)
    if not ordered:
        return
    shown = [str(fault) for fault in ordered[:MOST_SHOWN]]
    rest = len(ordered) - len(shown)
    if rest:
        shown.append(f"and {rest:,} more")
    counted = "1 fault" if len(ordered) == 1 else f"{len(ordered):,} faults"
    mends = list(dict.fromkeys(fault.mend for fault in ordered if fault.mend))
    raise InputError(
        f"{counted} in the table\n" + "\n".join(f"  {line}" for line in shown),
        where=f"{source or 'table'} (rows counted from 1, the header not counted)",
        mend="\n         ".join(mends),  # as wide as the heading under which `InputError` shows it
    )


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
