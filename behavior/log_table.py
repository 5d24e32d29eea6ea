"""From a log as a file holds it to the canonical one: names, types, repairs asked for, and validation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from behavior.catalog import Catalog
from behavior.columns import ColumnMap
from behavior.errors import InputError
from behavior.faults import Fault, missing_columns, raise_faults, suggest
from behavior.parse import as_flag, as_number, as_text, as_utc, is_numeric_column, time_zone
from behavior.repairs import check_repairs, drop_unknown_items, repair_rows
from behavior.schema import CANDIDATE_CELLS, LOG_CELLS, find_faults, repair_hint
from behavior.schema_log import candidate_relations, log_relations
from behavior.vocabulary import (
    CANDIDATE_COLUMNS,
    CONTEXT_PREFIX,
    LOG_COLUMNS,
    LOG_ORDER,
    REQUIRED_LOG_COLUMNS,
    SINGLE_IMPRESSION,
)
from behavior.whole import WholeLog

__all__ = ["LogNames", "LogTable", "candidate_names", "holds_text", "log_names", "marked_single", "tidy_log"]

_TEXT = ("session_id", "user_id", "item_id", "policy_id")
_LARGEST = float(np.finfo(np.float32).max)
_NUMBERS = ("dwell_seconds", "price", "propensity", "cascade_propensity", "slate_propensity")


@dataclass(frozen=True, kw_only=True)
class LogTable:
    """A tidy log and what is to be said of it."""

    rows: pd.DataFrame
    candidates: pd.DataFrame | None
    single_impressions: bool
    repaired: Mapping[str, int]
    notes: tuple[str, ...]


def tidy_log(
    frame: pd.DataFrame,
    candidates: pd.DataFrame | None,
    columns: ColumnMap,
    repairs: Collection[str],
    *,
    source: str,
    catalog: Catalog | None,
    single_impressions: bool,
    whole: WholeLog | None = None,
) -> LogTable:
    """The canonical log; see `InteractionLog.from_frame`.

    Args:
        frame: See there.
        candidates: See there.
        columns: See there.
        repairs: See there.
        source: See there.
        catalog: See there.
        single_impressions: See there.
        whole: Where the tables hold some sessions of a larger log: its facts. The tables keep their index then, may
            have no rows, and all their pages may be left out by a repair.
    """
    asked = check_repairs(repairs)
    if frame.empty and whole is None:
        raise InputError("the log has no rows", where=source or "log", mend="give at least one shown item")
    if whole is None:
        frame = frame.reset_index(drop=True)
    frame.columns = frame.columns.astype(str)
    single = single_impressions or columns.log.single_impressions or marked_single(frame, source)
    names = log_names(frame, columns, asked, source, single=single)
    theirs, context, notes = names.theirs, names.context, list(names.notes)
    ours = pd.DataFrame({name: frame[column] for name, column in theirs.items() if column in frame})
    raise_faults(find_faults(ours, LOG_CELLS, theirs), source or "log", stage=1)
    zones = _check_zones(ours["timestamp"], theirs["timestamp"], asked, source, notes, whole)
    rows = _typed(ours, frame, context, theirs, source, single=single, whole=whole)
    rows, repaired = repair_rows(rows, asked)
    if candidates is not None and whole is None:
        candidates = candidates.reset_index(drop=True)
    typed_candidates = None if candidates is None else _typed_candidates(candidates, columns, source)
    if "drop-unknown-items" in asked and catalog is not None:
        rows, typed_candidates, repaired["drop-unknown-items"] = drop_unknown_items(
            rows, typed_candidates, catalog
        )
        if rows.empty and whole is None:
            raise InputError(
                "no page is left: each shows an item that the catalogue lacks",
                where=source or "log",
                mend="check that the log and the catalogue number their items alike",
            )
    repaired |= {name: zones for name in ("assume-utc", "to-utc") if name in asked}
    rows = rows[[*(n for n in LOG_ORDER if n in rows), *context]]
    relations = log_relations(single_impressions=single, catalog=catalog)
    # rules group by session and never show it: numbers group sooner than texts
    numbered = rows.assign(session_id=pd.factorize(rows["session_id"])[0])
    if len(numbered):
        raise_faults(find_faults(numbered, relations, theirs), source or "log", stage=5)
    if typed_candidates is not None:
        typed_candidates = _check_candidates(typed_candidates, rows, columns, catalog, source)
        if whole is None:
            typed_candidates = typed_candidates.reset_index(drop=True)
    return LogTable(
        rows=rows.reset_index(drop=True) if whole is None else rows,
        candidates=typed_candidates,
        single_impressions=single,
        repaired=repaired,
        notes=tuple(notes),
    )


@dataclass(frozen=True, kw_only=True)
class LogNames:
    """Which column of a file is which of ours."""

    theirs: Mapping[str, str]
    """Our name to the file's."""
    context: Mapping[str, str]
    """`context_<name>` to the file's."""
    notes: tuple[str, ...]
    """What is filled in for columns that are not there, and what is passed over."""


def log_names(
    frame: pd.DataFrame, columns: ColumnMap, asked: frozenset[str], source: str, *, single: bool
) -> LogNames:
    """Name the columns of `frame`, whose rows are not looked at.

    Raises:
        InputError: A column that is needed is not there.
    """
    names = {k: v for k, v in columns.log.names.items() if not k.startswith(CONTEXT_PREFIX)}
    theirs = _their_names(names, LOG_COLUMNS, frame, "log", source)
    context = _context_names(columns.log.names, frame, source)
    notes = _fill_names(frame, theirs, asked, single, source)
    extra = [n for n in frame if n not in {*theirs.values(), *context.values(), SINGLE_IMPRESSION, ""}]
    if extra:
        shown = ", ".join(map(repr, extra[:10])) + (f" and {len(extra) - 10} more" if len(extra) > 10 else "")
        notes.append(f"columns passed over: {shown}")
    return LogNames(theirs=theirs, context=context, notes=tuple(notes))


def marked_single(frame: pd.DataFrame, source: str) -> bool:
    """Whether the rows are marked as single impressions; refuses marks that disagree."""
    if SINGLE_IMPRESSION not in frame:
        return False
    marks = as_flag(frame[SINGLE_IMPRESSION])
    if marks.nunique() != 1:
        raise InputError(
            f"the column '{SINGLE_IMPRESSION}' holds both 0 and 1, expected the same in all rows",
            where=source or "log",
            mend="part the file in two: whole pages, and single impressions",
        )
    return bool(marks.iloc[0])


def _their_names(
    names: Mapping[str, str], known: Mapping[str, str], frame: pd.DataFrame, table: str, source: str
) -> dict[str, str]:
    """Our name to the file's, from the mapping and from columns that carry our names already."""
    absent = {ours: name for ours, name in names.items() if name not in frame}
    if absent:
        lines = [
            f"  {ours}: '{name}' is no column. {suggest(name, frame.columns)}".rstrip()
            for ours, name in absent.items()
        ]
        raise InputError(
            f"the mapping names columns that the {table} lacks\n"
            + "\n".join(lines)
            + f"\n  columns found: {', '.join(frame.columns[:30])}",
            where=source or table,
            mend=f"correct the section `{table}` of the mapping file",
        )
    taken = {*names.values()}
    return dict(names) | {n: n for n in known if n not in names and n in frame and n not in taken}


def _context_names(names: Mapping[str, str], frame: pd.DataFrame, source: str) -> dict[str, str]:
    mapped = {k: v for k, v in names.items() if k.startswith(CONTEXT_PREFIX)}
    return _their_names(
        mapped, {n: n for n in frame.columns if n.startswith(CONTEXT_PREFIX)}, frame, "log", source
    )


def _fill_names(
    frame: pd.DataFrame, theirs: dict[str, str], asked: frozenset[str], single: bool, source: str
) -> list[str]:
    """Names of columns that are not there but follow from others; raises for those that do not."""
    notes: list[str] = []
    derived = {"step"} if "derive-steps" in asked else set()
    if single:
        derived |= {"step", "session_id", "position"}
    if "derive-steps" in asked:
        theirs.pop("step", None)
    missing = [n for n in REQUIRED_LOG_COLUMNS if n not in theirs and n not in derived]
    if missing:
        raise missing_columns(
            missing,
            list(frame.columns),
            meanings=LOG_COLUMNS,
            table="log",
            source=source,
            hints={
                "step": repair_hint("derive-steps"),
                "position": "if a row is one impression of an unknown page: `single_impressions: true` in the mapping",
            },
        )
    if "session_id" not in theirs:
        notes.append("session_id: no such column, each impression is a session of its own")
    if "user_id" not in theirs:
        notes.append("user_id: no such column, each session is a user of its own")
    if "query" not in theirs:
        notes.append("query: no such column, all pages are recommendation pages")
    if "purchase" not in theirs:
        notes.append("purchase: no such column, nothing was bought")
    return notes


def _check_zones(
    times: pd.Series,
    label: str,
    asked: frozenset[str],
    source: str,
    notes: list[str],
    whole: WholeLog | None,
) -> int:
    """Refuse several time zones unless a repair allows them; returns how many rows a repair touched."""
    zone = time_zone(times)
    counts = zone.value_counts() if whole is None else whole.zones
    usual = str(counts.index[0])
    if len(counts) == 1:
        if usual == "":
            notes.append("timestamp: no time zone given, taken as UTC")
            return len(zone) if "assume-utc" in asked else 0
        return 0
    naive, others = zone == "", len(set(counts.index) - {""})
    faults = []
    if "" in counts.index and "assume-utc" not in asked:
        faults += _zone_faults(times, naive, label, "a time zone, as other rows have", "assume-utc")
    if others > 1 and "to-utc" not in asked:
        first = next(z for z in counts.index if z != "")
        odd = (zone != first) & ~naive
        faults += _zone_faults(times, odd, label, f"the time zone of most rows ({first})", "to-utc")
    raise_faults(faults, source or "log", stage=2)
    return int((zone != "UTC").sum())


def _zone_faults(times: pd.Series, odd: pd.Series, label: str, expected: str, repair: str) -> list[Fault]:
    mend = "write all times in one time zone, or " + repair_hint(repair)
    return [
        Fault(row=int(row) + 1, column=label, found=repr(str(times.loc[row])), expected=expected, mend=mend)
        for row in times.index[odd]
    ]


def _typed(
    ours: pd.DataFrame,
    frame: pd.DataFrame,
    context: Mapping[str, str],
    theirs: Mapping[str, str],
    source: str,
    *,
    single: bool,
    whole: WholeLog | None,
) -> pd.DataFrame:
    index = ours.index
    out: dict[str, pd.Series] = {}
    number = pd.Series(index, index=index).astype("str")
    out["session_id"] = as_text(ours["session_id"]).str.strip() if "session_id" in ours else number
    out["user_id"] = as_text(ours["user_id"]).str.strip() if "user_id" in ours else out["session_id"]
    if "step" in ours:
        out["step"] = as_number(ours["step"]).astype("int64")
    elif single:
        out["step"] = out["session_id"].groupby(out["session_id"], sort=False).cumcount()
    out["timestamp"] = as_utc(ours["timestamp"], None if whole is None else whole.time_unit)
    query = as_text(ours["query"]).fillna("").str.strip() if "query" in ours else pd.Series("", index=index)
    out["query"] = query
    zero = pd.Series(0, index=index)
    out["position"] = as_number(ours["position"]).astype("int64") if "position" in ours else zero
    out["item_id"] = as_text(ours["item_id"]).str.strip()
    out["click"] = as_flag(ours["click"])
    out["purchase"] = as_flag(ours["purchase"]) if "purchase" in ours else zero.astype("uint8")
    for name in LOG_COLUMNS:
        if name in out or name not in ours:
            continue
        if name in _TEXT:
            out[name] = as_text(ours[name]).fillna("")
        elif name in _NUMBERS:
            out[name] = as_number(ours[name])
        elif name == "session_end":
            end = as_text(ours[name]).fillna("").str.strip().str.lower()
            out[name] = end.where(end != "no", "")
    faults: list[Fault] = []
    for name, column in context.items():
        text = None if whole is None else column in whole.text_context
        out[name] = _context(frame[column], column, faults, text)
    if "user_id" in ours and ours["user_id"].isna().any():
        faults += _empty_cells(ours["user_id"], theirs["user_id"])
    raise_faults(faults, source or "log", stage=3)
    return pd.DataFrame(out, index=index)


def holds_text(values: pd.Series) -> bool:
    """Whether something is written in the column that is no number."""
    return not is_numeric_column(values) and bool(as_number(values)[values.notna()].isna().any())


def _context(values: pd.Series, label: str, faults: list[Fault], text: bool | None) -> pd.Series:
    """Numbers where all that is written are numbers, text otherwise; a number may not be missing."""
    if holds_text(values) if text is None else text:
        return as_text(values).fillna("")
    number = as_number(values)
    faults += _empty_cells(number, label)
    faults += [
        Fault(
            row=int(row) + 1,
            column=label,
            found=repr(float(number.loc[row])),
            expected="a finite number",
            mend=f"write plain numbers in '{label}'",
        )
        for row in number.index[number.abs() > _LARGEST]  # policies see float32
    ]
    return number


def _empty_cells(values: pd.Series, label: str) -> list[Fault]:
    return [
        Fault(
            row=int(row) + 1,
            column=label,
            found="nothing",
            expected="a value",
            mend=f"fill in the empty cells of '{label}', or leave the column out",
        )
        for row in values.index[values.isna()]
    ]


def candidate_names(candidates: pd.DataFrame, columns: ColumnMap, source: str) -> dict[str, str]:
    """Our name of each column of candidates to the file's; refuses a table that lacks one."""
    names = {n: columns.log.names[n] for n in ("session_id", "step", "item_id") if n in columns.log.names}
    # the log's own names hold for its companion, too, unless it is written with ours
    names = {ours: name for ours, name in names.items() if name in candidates} | dict(columns.candidates)
    theirs = _their_names(names, CANDIDATE_COLUMNS, candidates, "candidates", source)
    missing = [name for name in CANDIDATE_COLUMNS if name not in theirs]
    if missing:
        raise missing_columns(
            missing, list(candidates.columns), meanings=CANDIDATE_COLUMNS, table="candidates", source=source
        )
    return theirs


def _typed_candidates(candidates: pd.DataFrame, columns: ColumnMap, source: str) -> pd.DataFrame:
    source = f"candidates of {source}" if source else "candidates"
    theirs = candidate_names(candidates, columns, source)
    ours = pd.DataFrame({name: candidates[theirs[name]] for name in CANDIDATE_COLUMNS})
    raise_faults(find_faults(ours, CANDIDATE_CELLS, theirs), source, stage=4)
    return pd.DataFrame(
        {
            "session_id": as_text(ours["session_id"]).str.strip(),
            "step": as_number(ours["step"]).astype("int64"),
            "rank": as_number(ours["rank"]).astype("int64"),
            "item_id": as_text(ours["item_id"]).str.strip(),
        }
    )


def _check_candidates(
    candidates: pd.DataFrame, rows: pd.DataFrame, columns: ColumnMap, catalog: Catalog | None, source: str
) -> pd.DataFrame:
    where = f"candidates of {source}" if source else "candidates"
    raise_faults(find_faults(candidates, candidate_relations(rows, catalog=catalog), {}), where, stage=6)
    key = ["session_id", "step", "item_id"]
    shown = pd.MultiIndex.from_frame(rows[key].astype({"step": "int64"}))
    among = shown.isin(pd.MultiIndex.from_frame(candidates[key]))
    raise_faults(
        [
            Fault(
                row=int(rows.index[int(i)]) + 1,
                column=columns.log.names.get("item_id", "item_id"),
                found=repr(rows["item_id"].iloc[int(i)]),
                expected="one of the candidates of its step",
                mend="list everything that could have been shown, best first, or leave the table of candidates out",
            )
            for i in (~among).nonzero()[0]
        ],
        source or "log",
        stage=7,
    )
    return candidates
