"""Sessions, users, queries and items of all parts, numbered as a log that is read whole would number them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.big.engine import literal
from behavior.big.part import part_path
from behavior.split import PartRecord, TimeSplit, split_bounds

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Chunk", "Numbering", "number_parts"]


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Sessions `low` to `high` - 1 of the whole log in order of time; one file of the result."""

    part: str
    """`train`, `valid` or `test`."""
    place: int
    """Its number in that part of the split."""
    low: int
    """First session."""
    high: int
    """The session after its last."""
    first: int
    """First session of that part of the split."""


@dataclass(frozen=True, kw_only=True)
class Numbering:
    """What the numbers of all parts are; those of each part lie on disk."""

    records: tuple[PartRecord, ...]
    """What lies in each part of the split."""
    chunks: tuple[Chunk, ...]
    """Files of the result."""
    n_users: int
    """Users."""


def number_parts(
    connection: DuckDBPyConnection,
    folder: Path,
    parts: Sequence[int],
    fractions: Sequence[float],
    pages_per_chunk: int,
    *,
    items: bool,
    progress: bool,
) -> Numbering:
    """Number everything, and write the numbers of each part to disk.

    `numbers/` (4, S): session, user, first page and number of pages of each session of the part; `query-rows/` and
    `item-rows/`: rows of the part's own queries and items.

    Sessions stand in order of the time at which they began, then of their first row; users and queries in order of
    the first page that names them; items, where there is no catalogue, in order of the first row.

    Raises:
        InputError: Too few sessions for such a split.
    """
    e = connection
    e.execute(
        f"CREATE TABLE session AS SELECT *, row_number() OVER () - 1 AS rank FROM "
        f"(SELECT * FROM {_all(folder, 'sessions')} ORDER BY start, first)"
    )
    e.execute(
        "CREATE TABLE visitor AS SELECT user_id, row_number() OVER (ORDER BY min(rank)) - 1 AS number "
        "FROM session GROUP BY user_id"
    )
    e.execute(
        "CREATE TABLE numbered AS SELECT s.part, s.session, s.rank, v.number, s.pages FROM session s "
        "JOIN visitor v USING (user_id) ORDER BY s.part, s.session"
    )
    e.execute(
        "CREATE TABLE query AS SELECT q.text, row_number() OVER (ORDER BY min(s.rank * 4294967296 + q.step)) - 1 "
        f"AS number FROM {_all(folder, 'queries')} q JOIN session s USING (part, session) GROUP BY q.text"
    )
    e.execute(
        f"CREATE TABLE asked AS SELECT q.part, q.query, t.number FROM {_all(folder, 'queries')} q "
        "JOIN query t USING (text) ORDER BY q.part, q.query"
    )
    _copy(e, "SELECT text FROM query ORDER BY number", folder / "queries.parquet")
    if items:
        e.execute(
            "CREATE TABLE item AS SELECT item_id, row_number() OVER (ORDER BY min(key)) - 1 AS number "
            f"FROM {_all(folder, 'items')} GROUP BY item_id"
        )
        _copy(e, "SELECT item_id FROM item ORDER BY number", folder / "items.parquet")
    for name in ("numbers", "query-rows", "item-rows"):
        (folder / name).mkdir()
    for part in tqdm(parts, desc="number the parts", delay=2, disable=None if progress else True):
        found = e.execute(
            f"SELECT rank, number, pages FROM numbered WHERE part = {part} ORDER BY session"
        ).fetchnumpy()
        begins = np.cumsum(found["pages"]) - found["pages"]
        numbers = np.stack([found["rank"], found["number"], begins, found["pages"]]).astype(np.int64)
        np.save(part_path(folder, "numbers", part), numbers)
        rows = e.execute(f"SELECT number FROM asked WHERE part = {part} ORDER BY query").fetchnumpy()
        np.save(folder / "query-rows" / f"{part:06d}.npy", np.asarray(rows["number"], np.int32))
        if items:
            local = pd.read_parquet(part_path(folder, "items", part), columns=["item_id"])
            e.register("here", local.assign(place=np.arange(len(local))))
            rows = e.execute("SELECT number FROM here JOIN item USING (item_id) ORDER BY place").fetchnumpy()
            e.unregister("here")
            np.save(folder / "item-rows" / f"{part:06d}.npy", np.asarray(rows["number"], np.int32))
    count, users = _count(e, "session"), _count(e, "visitor")
    bounds = split_bounds(count, fractions)
    records, chunks = [], []
    for name, low, high in zip(TimeSplit._fields, bounds[:-1], bounds[1:], strict=True):
        records.append(_record(e, name, low, high))
        edges = [*_edges(e, low, high, pages_per_chunk).tolist(), high]
        chunks += [
            Chunk(part=name, place=place, low=edges[place], high=edges[place + 1], first=low)
            for place in range(len(edges) - 1)
        ]
    return Numbering(records=tuple(records), chunks=tuple(chunks), n_users=users)


def _all(folder: Path, kind: str) -> str:
    return f"read_parquet({literal(str(folder / kind / '*.parquet'))})"


def _copy(connection: DuckDBPyConnection, query: str, path: Path) -> None:
    connection.execute(f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet)")


def _count(connection: DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def _record(connection: DuckDBPyConnection, name: str, low: int, high: int) -> PartRecord:
    row = connection.execute(
        f"SELECT count(*), sum(pages), min(start), max(start) FROM session WHERE rank >= {low} AND rank < {high}"
    ).fetchone()
    assert row is not None
    n_sessions, n_steps, first, last = (int(value) for value in row)
    return PartRecord(
        name=name,
        n_sessions=n_sessions,
        n_steps=n_steps,
        first_start=pd.Timestamp(first, tz="UTC").isoformat(),
        last_start=pd.Timestamp(last, tz="UTC").isoformat(),
    )


def _edges(connection: DuckDBPyConnection, low: int, high: int, size: int) -> NDArray[np.int64]:
    """First sessions of the chunks: a session lies in the chunk in which its first page falls."""
    found = connection.execute(
        f"SELECT min(rank) AS edge FROM (SELECT rank, (sum(pages) OVER (ORDER BY rank) - pages) // {size} AS chunk "
        f"FROM session WHERE rank >= {low} AND rank < {high}) GROUP BY chunk ORDER BY edge"
    ).fetchnumpy()
    edges: NDArray[np.int64] = np.asarray(found["edge"], np.int64)
    return edges
