"""The columnar engine (DuckDB) within a bound of memory: connection, and names as SQL writes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from behavior.errors import InputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["connect", "identifier", "literal"]


@contextmanager
def connect(scratch: Path, engine_gb: float) -> Iterator[DuckDBPyConnection]:
    """A connection that works on one thread and puts what exceeds `engine_gb` into `scratch`.

    One thread: each further one holds buffers of its own for every part that is written, and the checks between
    two uses of the engine, which take most of the time, are spread over processes by `Workers`.

    Raises:
        InputError: DuckDB is not installed, or the bound is too small for what is asked of it.
    """
    try:
        import duckdb
    except ImportError as error:
        raise InputError(
            "big logs are read by DuckDB, which is not installed",
            where="behavior.big",
            mend="install the extra `big`: pip install 'slategym[big]'",
        ) from error
    settings: dict[str, Any] = {
        "threads": 1,
        "memory_limit": f"{round(engine_gb * 1000)}MB",
        "temp_directory": str(scratch),
    }
    connection = duckdb.connect(":memory:", config=settings)
    try:
        yield connection
    except duckdb.OutOfMemoryException as error:
        raise InputError(
            f"the engine has no room: {' '.join(str(error).split())[:300]}",
            where="BigLogConfig.engine_gb",
            mend="allow it more memory, or free some disk space beside the result",
        ) from error
    finally:
        connection.close()


def identifier(name: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
