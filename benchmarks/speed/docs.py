"""Writes the tables of documents from the kept results, so that no figure is copied by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from behavior.errors import InputError
from benchmarks.speed.table import number

__all__ = ["DOCUMENTS", "RESULTS", "fill_blocks", "markdown", "read_kept", "write_tables"]

_ROOT = Path(__file__).resolve().parents[2]
RESULTS = _ROOT / "benchmarks" / "results"
DOCUMENTS = (_ROOT / "docs" / "performance.md", _ROOT / "README.md")
_BLOCK = re.compile(
    r"<!-- table: (?P<name>[\w-]+)(?P<some>, rows (?P<rows>[\d ]+))? -->\n.*?<!-- end of table -->", re.DOTALL
)


def markdown(found: dict[str, Any]) -> str:
    """The result of a benchmark as a Markdown table under a line that says on what it was measured."""
    versions = ", ".join(f"{name} {text}" for name, text in found["versions"].items())
    head = [f"{found['machine']}; {versions}.", ""]
    sizes = list(dict.fromkeys(row["case"].partition(" items: ")[0] for row in found["cases"]))
    if len(sizes) > 1 and all(" items: " in row["case"] for row in found["cases"]):
        return "\n".join(head + _by_size(found["cases"], sizes))
    lines = [
        *head,
        "| case | value | unit | reference | ratio |",
        "|---|---:|---|---:|---:|",
    ]
    for row in found["cases"]:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        cells = (row["case"], number(row["value"]), row["unit"], number(row["reference"]), ratio)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _by_size(cases: list[dict[str, Any]], sizes: list[str]) -> list[str]:
    """One line a case and one column a size of catalogue: "value (ratio)"; the unit is that of the largest."""
    cells: dict[str, dict[str, str]] = {}
    units: dict[str, str] = {}
    for row in cases:
        size, _, name = row["case"].partition(" items: ")
        ratio = "" if row["ratio"] is None else f" ({row['ratio']:.2f})"
        cells.setdefault(name, {})[size] = number(row["value"]) + ratio
        units[name] = row["unit"]
    lines = [
        "| case: value (ratio to its reference) | "
        + " | ".join(f"{size} items" for size in sizes)
        + " | unit |",
        "|---|" + "---:|" * len(sizes) + "---|",
    ]
    for name, found in cells.items():
        values = " | ".join(found.get(size, "") for size in sizes)
        lines.append(f"| {name} | {values} | {units[name]} |")
    return lines


def read_kept(name: str, *, mend: str) -> dict[str, Any]:
    """The kept result of a benchmark.

    Args:
        name: Of its file under benchmarks/results/, without the ending.
        mend: How to make it.

    Raises:
        InputError: None is kept.
    """
    kept = RESULTS / f"{name}.json"
    if not kept.is_file():
        raise InputError("there is no result to write from", where=str(kept), mend=mend)
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def write_tables(document: Path, results: Path = RESULTS) -> list[str]:
    """Fill each block `<!-- table: NAME --> ... <!-- end of table -->` from results/NAME.json.

    `<!-- table: NAME, rows 1 3 -->` takes the first and the third case alone.

    Returns:
        The names of the tables that were written; one without a result is left as it stands.

    Raises:
        InputError: There is no such document, or no table in it has a result.
    """

    def table(name: str, rows: str | None) -> str | None:
        file = results / f"{name}.json"
        if not file.is_file():
            return None
        found = json.loads(file.read_text(encoding="utf-8"))
        if rows:
            found["cases"] = [found["cases"][int(row) - 1] for row in rows.split()]
        return markdown(found)

    return _fill(document, table, f"no table of {document} has a result in {results}")


def fill_blocks(document: Path, tables: Mapping[str, str]) -> list[str]:
    """Fill the blocks of these names with these texts.

    Returns:
        The names of the tables that were written.

    Raises:
        InputError: There is no such document, or it has none of these tables.
    """
    return _fill(
        document, lambda name, rows: tables.get(name), f"{document} has none of {', '.join(tables)} to fill"
    )


def _fill(document: Path, table: Callable[[str, str | None], str | None], nothing: str) -> list[str]:
    """Put `table(name, rows)` into each block where it is not None."""
    if not document.is_file():
        raise InputError(f"there is no {document}", where="write_tables", mend="name the document to fill")
    written = []

    def fill(block: re.Match[str]) -> str:
        text = table(block["name"], block["rows"])
        if text is None:
            return block[0]
        written.append(block["name"])
        return f"<!-- table: {block['name']}{block['some'] or ''} -->\n{text}\n<!-- end of table -->"

    text = _BLOCK.sub(fill, document.read_text(encoding="utf-8"))
    if not written:
        raise InputError(nothing, where="write_tables", mend="run the benchmarks with --json first")
    document.write_text(text, encoding="utf-8")
    return written
