"""From rows to pages: the log as arrays, one entry per step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps, SessionEnd
from behavior.vocabulary import CONTEXT_PREFIX

if TYPE_CHECKING:
    from behavior.catalog import Catalog
    from behavior.log import InteractionLog

__all__ = ["regroup", "session_starts"]

_ENDS = {"left": SessionEnd.LEFT, "limit": SessionEnd.LIMIT, "unknown": SessionEnd.UNKNOWN}


def regroup(
    log: InteractionLog,
    catalog: Catalog,
    queries: Sequence[str] | None = None,
    context_names: Sequence[str] | None = None,
) -> LoggedSteps:
    """See `InteractionLog.to_steps`. Sorting aside, the cost is linear in the rows."""
    rows = log.rows
    order, session, page_start = _pages(rows)
    rows = rows.iloc[order]
    page = np.cumsum(page_start) - 1  # (rows,) page of each row
    first = np.flatnonzero(page_start)  # (M,) first row of each page
    position = rows["position"].to_numpy(np.int64)
    n_steps, size = len(first), int(position.max()) + 1

    item_row = catalog.rows(rows["item_id"])
    if (item_row < 0).any():
        missing = pd.unique(rows["item_id"][item_row < 0])
        shown = ", ".join(map(repr, missing[:5]))
        raise InputError(
            f"{len(missing):,} items of the log are not in the catalogue, the first: {shown}",
            where=log.source or "log",
            mend="add them to the catalogue, or ask for the repair 'drop-unknown-items' when reading the log",
        )

    def grid(values: NDArray[Any], fill: float, dtype: Any) -> NDArray[Any]:
        out = np.full((n_steps, size), fill, dtype)
        out[page, position] = values
        return out

    def known(name: str) -> NDArray[np.float64]:
        if name not in rows:
            return np.full(len(rows), np.nan)
        return rows[name].to_numpy(np.float64)

    heads = rows.iloc[first]
    texts, query = _query_rows(heads["query"], queries, log.source)
    context, names = _context(heads, context_names)
    start = np.minimum.reduceat(_nanoseconds(rows["timestamp"]), first)
    return LoggedSteps(
        session=session[first],
        user=pd.factorize(heads["user_id"])[0].astype(np.int64),
        step=heads["step"].to_numpy(np.int32),
        query=query,
        timestamp=start,
        item=grid(item_row, -1, np.int32),
        click=grid(rows["click"].to_numpy(), 0, np.uint8),
        purchase=grid(rows["purchase"].to_numpy(), 0, np.uint8),
        dwell=grid(known("dwell_seconds"), np.nan, np.float32) if "dwell_seconds" in rows else None,
        candidates=_candidates(log, catalog, heads),
        propensity=grid(known("propensity"), np.nan, np.float64),
        cascade_propensity=grid(known("cascade_propensity"), np.nan, np.float64),
        slate_propensity=known("slate_propensity")[first],
        session_end=_ends(heads, session[first]),
        context=context,
        context_names=names,
        queries=texts,
        single_impressions=log.single_impressions,
    )


def _nanoseconds(times: pd.Series) -> NDArray[np.int64]:
    out: NDArray[np.int64] = times.dt.as_unit("ns").astype("int64").to_numpy()
    return out


def session_starts(rows: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Session of each row (rows,), numbered by first appearance, and when each began (S,), in ns since 1970 UTC."""
    code, _ = pd.factorize(rows["session_id"])
    start = np.full(int(code.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(start, code, _nanoseconds(rows["timestamp"]))
    return code.astype(np.int64), start


def _pages(rows: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.bool_]]:
    """Order of the rows by session start, step and position; session numbers and page starts in that order."""
    code, start = session_starts(rows)
    rank = np.empty(len(start), np.int64)
    rank[np.argsort(start, kind="stable")] = np.arange(len(start))  # equal starts: in order of appearance
    session = rank[code]
    step = rows["step"].to_numpy(np.int64)
    order = np.lexsort((rows["position"].to_numpy(np.int64), step, session))
    session, step = session[order], step[order]
    page_start = np.ones(len(order), np.bool_)
    page_start[1:] = (session[1:] != session[:-1]) | (step[1:] != step[:-1])
    return order, session, page_start


def _query_rows(
    query: pd.Series, queries: Sequence[str] | None, source: str
) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    code, unique = pd.factorize(query)
    own = tuple(str(text) for text in unique)
    if queries is None:
        return own, code.astype(np.int32)
    place = {text: row for row, text in enumerate(queries)}
    unknown = [text for text in own if text not in place]
    if unknown:
        raise InputError(
            f"{len(unknown):,} queries of the log are not among the {len(place):,} known ones, the first: "
            + ", ".join(map(repr, unknown[:5])),
            where=source or "log",
            mend="give the vocabulary of queries that covers this log",
        )
    row = np.array([place[text] for text in own], np.int32)
    return tuple(queries), row[code]


def _ends(heads: pd.DataFrame, session: NDArray[np.int64]) -> NDArray[np.int8]:
    last = np.append(session[1:] != session[:-1], True)
    out = np.where(last, SessionEnd.UNKNOWN, SessionEnd.NO).astype(np.int8)
    if "session_end" in heads:
        said = heads["session_end"].map(_ENDS).fillna(int(SessionEnd.UNKNOWN)).to_numpy().astype(np.int8)
        out[last] = said[last]
    return out


def _candidates(log: InteractionLog, catalog: Catalog, heads: pd.DataFrame) -> NDArray[np.int32]:
    """(M, N) item rows in source order, -1 at the end of shorter lists."""
    if log.candidates is None:
        return np.empty((len(heads), 0), np.int32)
    table = log.candidates
    pages = pd.MultiIndex.from_arrays([heads["session_id"], heads["step"].astype("int64")])
    page = pages.get_indexer(pd.MultiIndex.from_arrays([table["session_id"], table["step"].astype("int64")]))
    rank = table["rank"].to_numpy(np.int64)
    out = np.full((len(heads), int(rank.max(initial=-1)) + 1), -1, np.int32)
    inside = page >= 0
    out[page[inside], rank[inside]] = catalog.rows(table["item_id"])[inside]
    return out


def _context(heads: pd.DataFrame, names: Sequence[str] | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Numbers as they are, texts one column per level (`name=level`, levels sorted)."""
    columns: dict[str, NDArray[np.float32]] = {}
    for column in [str(name) for name in heads if str(name).startswith(CONTEXT_PREFIX)]:
        values, name = heads[column], column.removeprefix(CONTEXT_PREFIX)
        if pd.api.types.is_numeric_dtype(values.dtype):
            columns[name] = values.to_numpy(np.float32)
            continue
        code, levels = pd.factorize(values, sort=True)
        for number, level in enumerate(levels):
            columns[f"{name}={level}"] = (code == number).astype(np.float32)
    wanted = tuple(columns) if names is None else tuple(names)
    context = np.zeros((len(heads), len(wanted)), np.float32)
    for number, name in enumerate(wanted):
        if name in columns:  # a level that this log never saw stays zero
            context[:, number] = columns[name]
    return context, wanted
