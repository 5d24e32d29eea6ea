"""Deal the rows of a table out over parts, so that each part holds whole sessions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from behavior.big.engine import identifier, literal
from behavior.big.source import ROW, Source

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["scatter"]

_MOST_OPEN = 500
_GROUP_ROWS = 10_000
# What `str.strip` takes away: the session of a row is known by its stripped text, here as in `behavior.log_table`.
_BLANKS = " || ".join(f"chr({code})" for code in range(0x3001) if chr(code).isspace())


def scatter(
    connection: DuckDBPyConnection,
    source: Source,
    select: Mapping[str, str],
    key: str,
    folder: Path,
    n_parts: int,
    rows_per_write: int,
    *,
    progress: bool,
) -> None:
    """Write the rows to `folder/part=<number>/*.parquet` by a digest of their session.

    Args:
        connection: The engine.
        source: The table.
        select: Name of each column that is read -> the expression that reads it.
        key: The expression of the session.
        folder: Where the parts go.
        n_parts: How many there may be.
        rows_per_write: The engine writes parts only when it has seen all rows that it is given, so that it is given
            as many as fit into memory, and each part becomes a file for each time.
        progress: Whether to show a bar.
    """
    columns = [f"{expression} AS {identifier(name)}" for name, expression in select.items()]
    part = f"hash(trim(CAST({key} AS VARCHAR), {_BLANKS})) % {n_parts} AS part"
    connection.execute(f"SET partitioned_write_max_open_files = {min(n_parts + 1, _MOST_OPEN)}")
    # Each part is put into the file's order when it is read: keeping it here would take memory.
    connection.execute("SET preserve_insertion_order = false")
    title = f"deal out {source.name}"
    with tqdm(
        total=source.n_rows, desc=title, unit=" rows", delay=2, disable=None if progress else True
    ) as bar:
        for low in range(0, source.n_rows, rows_per_write):
            high = min(low + rows_per_write, source.n_rows)
            connection.execute(
                f"COPY ({source.sql(*columns, ROW, part, low=low, high=high)}) TO {literal(str(folder))} "
                f"(FORMAT parquet, PARTITION_BY (part), ROW_GROUP_SIZE {_GROUP_ROWS}, OVERWRITE_OR_IGNORE, "
                f"FILENAME_PATTERN {literal(f'{low:012d}-{{i}}')})"
            )
            bar.update(high - low)
    connection.execute("SET preserve_insertion_order = true")
