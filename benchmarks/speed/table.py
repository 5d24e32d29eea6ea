"""The figures of a benchmark as a table for people, on standard error; the JSON goes to standard output."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from benchmarks.common import Case

__all__ = ["number", "show"]


def number(value: float | None) -> str:
    """As few digits as tell enough: 412,345, 612, 2.34, 0.0123."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(title: str, cases: Iterable[Case]) -> None:
    """Print the table."""
    table = Table("case", title=title)
    for name in ("value", "unit", "reference", "ratio"):
        table.add_column(name, justify="left" if name == "unit" else "right")
    for row in cases:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.case, number(row.value), row.unit, number(row.reference), ratio)
    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = 140  # a file has no width; 80 would break every name
    console.print(table)
