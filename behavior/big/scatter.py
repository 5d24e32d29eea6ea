"""Deal the rows of a table out over parts, so that each part holds whole sessions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from behavior.big.engine import identifier, literal, with_progress
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
        progress: Whether to show a bar.
    """
    columns = [f"{expression} AS {identifier(name)}" for name, expression in select.items()]
    part = f"hash(trim(CAST({key} AS VARCHAR), {_BLANKS})) % {n_parts} AS part"
    connection.execute(f"SET partitioned_write_max_open_files = {min(n_parts + 1, _MOST_OPEN)}")
    # Each part is put into the file's order when it is read: keeping it here would take memory.
    connection.execute("SET preserve_insertion_order = false")
    with_progress(
        connection,
        f"COPY ({source.sql(*columns, ROW, part)}) TO {literal(str(folder))} "
        f"(FORMAT parquet, PARTITION_BY (part), ROW_GROUP_SIZE {_GROUP_ROWS})",
        f"deal out {source.name}",
        progress=progress,
    )
    connection.execute("SET preserve_insertion_order = true")
