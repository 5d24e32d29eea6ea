"""What must be known of a whole log before its parts are read one by one: a pass over the few columns it hangs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from behavior.big.engine import identifier
from behavior.big.source import Source
from behavior.columns import ColumnMap
from behavior.errors import InputError
from behavior.log_table import LogNames, candidate_names, holds_text, log_names, marked_single
from behavior.parse import time_unit, time_zone
from behavior.vocabulary import SINGLE_IMPRESSION
from behavior.whole import WholeLog

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Survey", "survey_log", "text_expression"]

_TEXTS = ("session_id", "user_id", "item_id", "policy_id", "query", "session_end")
_FEW = 1000
_CHUNK_ROWS = 500_000


@dataclass(frozen=True, kw_only=True)
class Survey:
    """A log's names and the facts that its parts cannot know."""

    names: LogNames
    """Which column is which."""
    whole: WholeLog
    """The facts."""
    single: bool
    """Rows are single impressions."""
    select: Mapping[str, str]
    """Their name of every column that is read -> the expression that reads it."""
    key: str
    """The expression of the session, as text."""
    candidates_select: Mapping[str, str]
    """The same of the table of candidates; empty where there is none."""
    candidates_key: str
    """The same of the table of candidates."""


def survey_log(
    connection: DuckDBPyConnection,
    log: Source,
    candidates: Source | None,
    columns: ColumnMap,
    asked: frozenset[str],
) -> Survey:
    """Name the columns and gather the facts.

    Raises:
        InputError: Columns that are missing, or marks of single impressions that disagree.
    """
    single = columns.log.single_impressions
    if not single and SINGLE_IMPRESSION in log.columns:
        marks = connection.execute(log.sql(f"DISTINCT {identifier(SINGLE_IMPRESSION)}")).df()
        single = marked_single(marks, log.name)
    names = log_names(log.empty(), columns, asked, log.name, single=single)
    texts = [names.theirs[name] for name in _TEXTS if name in names.theirs]
    select = {name: identifier(name) for name in (*names.theirs.values(), *names.context.values())}
    select |= {name: text_expression(connection, log, name) for name in texts}
    session = names.theirs.get("session_id")
    their_candidates: dict[str, str] = {}
    candidates_key = ""
    if candidates is not None:
        found = candidate_names(candidates.empty(), columns, f"candidates of {log.name}")
        their_candidates = {name: identifier(name) for name in found.values()}
        for name in (found["session_id"], found["item_id"]):
            their_candidates[name] = text_expression(connection, candidates, name)
        candidates_key = their_candidates[found["session_id"]]
    zones, unit = _times(connection, log, names.theirs["timestamp"])
    return Survey(
        names=names,
        whole=WholeLog(
            zones=zones,
            time_unit=unit,
            text_context=frozenset(
                name for name in names.context.values() if _is_text(connection, log, name)
            ),
        ),
        single=single,
        select=select,
        key=select[session] if session is not None else "__row",
        candidates_select=their_candidates,
        candidates_key=candidates_key,
    )


def text_expression(connection: DuckDBPyConnection, source: Source, name: str) -> str:
    """A column of ids; whole numbers stored as reals become integers, as `behavior.parse.as_text` has them.

    Raises:
        InputError: Ids are numbers with fractions.
    """
    column = identifier(name)
    if source.kind(name) != "real":
        return column
    known = f"{column} IS NOT NULL AND NOT isnan({column})"
    row = connection.execute(
        source.sql(
            f"coalesce(bool_and(isfinite({column}) AND {column} = trunc({column})), true)", where=known
        )
    ).fetchone()
    if row is not None and not row[0]:
        raise InputError(
            f"the column '{name}' holds numbers with fractions, expected ids",
            where=source.name,
            mend="write ids as text, or as whole numbers",
        )
    return f"CASE WHEN {known} THEN CAST({column} AS BIGINT) END"


def _is_text(connection: DuckDBPyConnection, log: Source, name: str) -> bool:
    if log.kind(name) != "other":
        return False
    column = identifier(name)
    # nearly always the first rows tell; only a column of numbers written as text is looked through
    unlike = f"try_cast(CAST({column} AS VARCHAR) AS DOUBLE) IS NULL AND {column} IS NOT NULL"
    few = connection.execute(log.sql(column, where=unlike) + f" LIMIT {_FEW}").df()
    if holds_text(few.iloc[:, 0]):
        return True
    return holds_text(connection.execute(log.sql(f"DISTINCT {column}")).df().iloc[:, 0])


def _times(connection: DuckDBPyConnection, log: Source, name: str) -> tuple[pd.Series, int | None]:
    """Rows by zone, the most frequent first, and the unit of numbers."""
    kind, column = log.kind(name), identifier(name)
    if kind == "time":
        return pd.Series({str(log.schema.field(name).type.tz or ""): log.n_rows}), None
    if kind != "other":
        real = f"CAST({column} AS DOUBLE)"
        row = connection.execute(log.sql(f"max(abs({real}))", where=f"NOT isnan({real})")).fetchone()
        largest = 0.0 if row is None or row[0] is None else float(row[0])
        return pd.Series({"UTC": log.n_rows}), time_unit(largest)
    counts: dict[str, int] = {}
    largest = 0.0
    for written in log.column(name, _CHUNK_ROWS):
        for zone, count in time_zone(written).value_counts().items():
            counts[str(zone)] = counts.get(str(zone), 0) + int(count)
        number = pd.to_numeric(written.astype("str").str.strip(), errors="coerce").abs().max()
        largest = largest if pd.isna(number) else max(largest, float(number))
    return pd.Series(counts).sort_values(ascending=False, kind="stable"), time_unit(largest)
