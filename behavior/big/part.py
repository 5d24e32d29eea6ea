"""One part of a log: its sessions checked by the rules that hold for any log, and regrouped into pages on disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from behavior.big.pages import OPTIONAL, PageShape, to_records
from behavior.big.source import ROW
from behavior.catalog import Catalog
from behavior.columns import ColumnMap
from behavior.faults import FaultDigest, TableFaultsError
from behavior.log import InteractionLog
from behavior.log_table import tidy_log
from behavior.parse import as_text
from behavior.regroup import session_starts
from behavior.vocabulary import CONTEXT_PREFIX
from behavior.whole import WholeLog

__all__ = ["PartFaults", "PartJob", "PartResult", "part_path", "tidy_part"]

_AFTER_LOG = 2**62
"""Candidates of a log without a catalogue come after all items that its rows name."""


@dataclass(frozen=True, kw_only=True)
class PartJob:
    """What every part of a log is read by."""

    folder: Path
    """Rows in `rows/`, candidates in `candidates/`; the result goes into `pages/`."""
    source: str
    """The log's name, for messages."""
    columns: ColumnMap
    """Their names of the columns."""
    repairs: frozenset[str]
    """Repairs that may be made."""
    catalog: Catalog | None
    """None: items are known by their ids alone."""
    single: bool
    """Rows are single impressions."""
    whole: WholeLog
    """Facts of the whole log."""
    empty: pd.DataFrame
    """The log's columns without a row, for a part that has candidates only."""
    empty_candidates: pd.DataFrame | None
    """The same of the table of candidates; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class PartFaults:
    """What is wrong in a part."""

    digest: FaultDigest
    """The faults; their rows count in the whole table."""
    source: str
    """The table they are in."""
    stage: int
    """See `TableFaultsError`."""


@dataclass(frozen=True, kw_only=True)
class PartResult:
    """What a part holds; its pages, sessions, queries and items lie on disk."""

    part: int
    """Its number."""
    shape: PageShape
    """How wide its records are."""
    n_rows: int
    """Rows that are left."""
    n_clicks: int
    """Clicks in them."""
    n_purchases: int
    """Purchases in them."""
    n_pages: int
    """Pages."""
    context: tuple[tuple[str, tuple[str, ...] | None], ...]
    """Context columns without their prefix and the levels of those that are texts, in the log's order."""
    context_names: tuple[str, ...]
    """Names of its own columns of `LoggedSteps.context`."""
    repaired: Mapping[str, int]
    """Rows touched by each repair."""
    notes: tuple[str, ...]
    """What was filled in."""


def part_path(folder: Path, kind: str, part: int) -> Path:
    """Where the table or the records `kind` of a part lie."""
    return folder / kind / f"{part:06d}.{'npy' if kind in ('pages', 'numbers') else 'parquet'}"


def tidy_part(job: PartJob, part: int) -> PartResult | PartFaults | None:
    """Check and regroup one part; None where nothing of it is left. Its rows are removed from disk."""
    frame = _read(job.folder / "rows", part, job.empty)
    candidates = job.empty_candidates
    if candidates is not None:
        candidates = _read(job.folder / "candidates", part, candidates)
    if frame.empty and (candidates is None or candidates.empty):
        return None
    try:
        table = tidy_log(
            frame,
            candidates,
            job.columns,
            job.repairs,
            source=job.source,
            catalog=job.catalog,
            single_impressions=job.single,
            whole=job.whole,
        )
    except TableFaultsError as error:
        return PartFaults(digest=error.digest, source=error.source, stage=error.stage)
    finally:
        for kind in ("rows", "candidates"):
            shutil.rmtree(job.folder / kind / f"part={part}", ignore_errors=True)
    if table.rows.empty:
        return None
    log = InteractionLog(
        rows=table.rows,
        candidates=table.candidates,
        single_impressions=table.single_impressions,
        source=job.source,
    )
    first = _first_rows(job, frame, table.rows)
    return _regrouped(job, part, log, first, table.repaired, table.notes)


def _read(folder: Path, part: int, empty: pd.DataFrame) -> pd.DataFrame:
    files = sorted((folder / f"part={part}").glob("*.parquet"))
    if not files:
        return empty
    frame = pd.concat([pd.read_parquet(file, partitioning=None) for file in files], ignore_index=True)
    return frame.set_index(ROW).sort_index().rename_axis(None)


def _first_rows(job: PartJob, frame: pd.DataFrame, rows: pd.DataFrame) -> NDArray[np.int64]:
    """(S,) row by which sessions that began at the same time are ordered, sessions by first appearance in `rows`.

    That is the session's first row; where rows were sorted before pages were left out, also one that was left out.
    """
    label = rows["session_id"]
    if {"sort", "drop-unknown-items"} <= job.repairs:
        column = job.columns.log.names.get("session_id", "session_id")
        written = (
            as_text(frame[column]).str.strip() if column in frame else frame.index.astype("str").to_series()
        )
        begun = pd.Series(frame.index, index=frame.index).groupby(written.to_numpy()).min()
        return begun.loc[label.unique()].to_numpy(np.int64)
    code = pd.factorize(label)[0]
    first = np.full(int(code.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, code, rows.index.to_numpy(np.int64))
    return first


def _regrouped(
    job: PartJob,
    part: int,
    log: InteractionLog,
    first: NDArray[np.int64],
    repaired: Mapping[str, int],
    notes: tuple[str, ...],
) -> PartResult:
    rows = log.rows
    catalog = job.catalog
    if catalog is None:
        items = _items(log, first, sort="sort" in job.repairs)
        _write(items, job.folder, "items", part)
        catalog = Catalog.from_frame(items[["item_id"]])
    steps = log.to_steps(catalog)
    code, start = session_starts(rows)
    order = np.argsort(start, kind="stable")  # (S,) as `LoggedSteps` numbers the sessions of this part
    head = np.unique(code, return_index=True)[1]  # (S,) first row of each session
    sessions = pd.DataFrame(
        {
            "session": np.arange(len(order)),
            "start": start[order],
            "first": first[order],
            "user_id": rows["user_id"].iloc[head[order]].astype("str").to_numpy(),
            "pages": np.bincount(steps.session, minlength=len(order)),
        }
    )
    page = np.unique(steps.query, return_index=True)[1]  # (Q,) first page of each query
    queries = pd.DataFrame(
        {
            "query": np.arange(len(steps.queries)),
            "text": pd.Series(steps.queries, dtype="str"),
            "session": steps.session[page],
            "step": steps.step[page],
        }
    )
    _write(sessions, job.folder, "sessions", part)
    _write(queries, job.folder, "queries", part)
    shape = PageShape(
        n_positions=steps.slate_size,
        n_candidates=steps.candidates.shape[1],
        n_context=len(steps.context_names),
        optional=tuple(name for name, column in OPTIONAL.items() if column in rows),
    )
    place = part_path(job.folder, "pages", part)
    place.parent.mkdir(exist_ok=True)
    np.save(place, to_records(steps, shape))
    return PartResult(
        part=part,
        shape=shape,
        n_rows=len(rows),
        n_clicks=int(rows["click"].sum()),
        n_purchases=int(rows["purchase"].sum()),
        n_pages=steps.n_steps,
        context=_levels(rows),
        context_names=steps.context_names,
        repaired=repaired,
        notes=notes,
    )


def _items(log: InteractionLog, first: NDArray[np.int64], *, sort: bool) -> pd.DataFrame:
    """Items of the part, each with a number that orders them over all parts by first appearance in the tidy log."""
    rows = log.rows
    key = rows.index.to_numpy(np.int64)
    if sort:  # rows stand by session, then by step: see `behavior.repairs`
        code = pd.factorize(rows["session_id"])[0]
        place = rows.groupby(code).cumcount().to_numpy(np.int64)
        key = first[code] * 2**20 + place
    found = pd.DataFrame({"item_id": rows["item_id"].to_numpy(), "key": key})
    if log.candidates is not None:
        more = pd.DataFrame(
            {
                "item_id": log.candidates["item_id"].to_numpy(),
                "key": log.candidates.index.to_numpy(np.int64) + _AFTER_LOG,
            }
        )
        found = pd.concat([found, more], ignore_index=True)
    return found.drop_duplicates("item_id").reset_index(drop=True)


def _levels(rows: pd.DataFrame) -> tuple[tuple[str, tuple[str, ...] | None], ...]:
    return tuple(
        (
            str(column).removeprefix(CONTEXT_PREFIX),
            None
            if pd.api.types.is_numeric_dtype(rows[column].dtype)
            else tuple(str(level) for level in rows[column].unique()),
        )
        for column in rows
        if str(column).startswith(CONTEXT_PREFIX)
    )


def _write(frame: pd.DataFrame, folder: Path, kind: str, part: int) -> None:
    place = part_path(folder, kind, part)
    place.parent.mkdir(exist_ok=True)
    frame.assign(part=part).to_parquet(place, index=False)
