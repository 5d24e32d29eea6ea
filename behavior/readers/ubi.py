"""User Behavior Insights (UBI) of OpenSearch: queries, and the events that followed them.

The schema is that of https://github.com/o19s/ubi (1.3.0; `schema/1.3.0/event.schema.json`) and of the indexes
`ubi_queries` and `ubi_events` at https://docs.opensearch.org/latest/search-plugins/ubi/schemas. A query becomes a
step; what its page showed comes from its `impression` events, or from `query_response_hit_ids`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from behavior.catalog import Catalog
from behavior.errors import InputError
from behavior.faults import Fault, raise_faults
from behavior.log import InteractionLog
from behavior.parse import as_utc
from behavior.readers.lines import read_json_lines
from behavior.readers.options import ReadOptions
from behavior.readers.room import check_room
from behavior.readers.ubi_pages import Page, PageCounts, shown_items
from behavior.readers.visits import into_visits

__all__ = ["read_ubi"]

_SUFFIXES = (".ndjson", ".jsonl")
_ACTIONS = {"impression": "impression", "click": "click", "click_through": "click", "purchase": "purchase"}
"""The specification's names of what a log knows; a shop may choose names of its own."""


@dataclass
class _Gathered:
    """All that the files say, by query."""

    pages: dict[str, Page] = field(default_factory=dict)
    actions: Counter[str] = field(default_factory=Counter)
    titles: dict[str, str] = field(default_factory=dict)
    lowest: dict[str, int] = field(default_factory=dict)
    """Smallest ordinal of an impression, by application: some count from 0, some from 1."""
    names: dict[str, str] = field(default_factory=dict)
    """What each action means: impression, click or purchase."""
    no_query: int = 0
    faults: list[Fault] = field(default_factory=list)

    def page(self, query_id: str) -> Page:
        if query_id not in self.pages:
            self.pages[query_id] = Page()
        return self.pages[query_id]


def read_ubi(path: Path, options: ReadOptions) -> tuple[Catalog, InteractionLog]:
    """Catalogue (ids, and titles where events carry a description; or the shop's own) and log.

    Args:
        path: A file of JSON lines, or a folder of them: documents of the two indexes, alone, as `_source` of an
            export, or between the action lines of a bulk file.
        options: `catalog` is the shop's own; `gap_minutes` cuts visits where events carry no session; `repairs` by
            name, of which `purchase-implies-click` is the likely one; `actions` names events as the shop does.

    Raises:
        InputError: Lines that are no documents, documents without what the schema requires, or no page that is known.
    """
    path = Path(path)
    gathered = _Gathered(names=_ACTIONS | dict(options.actions))
    for file in _files(path):
        check_room(file)
        for line, document in _documents(file, progress=options.progress):
            if "action_name" in document:
                _event(document, f"{file.name}:{line}", line, gathered)
            else:
                _query(document, line, gathered)
            if len(gathered.faults) >= 10:
                break
        raise_faults(gathered.faults, f"{file}, by line")
    counts = PageCounts()
    records = [
        record
        for query_id, page in gathered.pages.items()
        for record in _rows(query_id, page, gathered, counts)
    ]
    if not records:
        raise InputError(
            "no page is known: no query has impression events or query_response_hit_ids",
            where=str(path),
            mend="log impressions with event_attributes.object.object_id and position.ordinal, or let the search "
            "engine log the ids it returned (docs/logs/ubi.md)",
        )
    frame, notes = _in_sessions(pd.DataFrame(records), options.gap_minutes)
    catalog = options.catalog or _catalog(frame, gathered, path)
    log = InteractionLog.from_frame(
        frame,
        repairs=options.repairs,
        source=f"{path} (as a table of shown items)",
        catalog=catalog,
    )
    passed = Counter({name: n for name, n in gathered.actions.items() if name not in gathered.names})
    if passed:
        shown = ", ".join(f"{name} {n:,}" for name, n in passed.most_common(12))
        notes.append(f"events that a log has no column for are passed over: {shown}")
    if gathered.no_query:
        notes.append(f"{gathered.no_query:,} events without a query or an object are passed over")
    return catalog, replace(log, source=str(path), notes=(*log.notes, *notes, *counts.notes()))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES)
    if not files:
        raise InputError(
            "the folder holds no JSON lines",
            where=str(path),
            mend="export the indexes ubi_queries and ubi_events as .ndjson or .jsonl",
        )
    return files


def _documents(file: Path, *, progress: bool) -> Any:
    """Documents with their lines; action lines of bulk files are none, `_source` of an export is one."""
    for line, record in read_json_lines(file, progress=progress):
        if set(record) <= {"index", "create", "update", "delete"} and record:
            continue
        yield line, record["_source"] if isinstance(record.get("_source"), dict) else record


def _query(document: dict[str, Any], line: int, into: _Gathered) -> None:
    query_id = _text(document.get("query_id"))
    if not query_id or document.get("timestamp") is None:
        lacking = "timestamp" if query_id else "query_id"
        into.faults.append(_fault(line, lacking, document.get(lacking), "a value, as every query has"))
        return
    page = into.page(query_id)
    page.query = _text(document.get("user_query")) or page.query
    page.client = _text(document.get("client_id")) or page.client
    page.application = _text(document.get("application")) or page.application
    page.times.insert(
        0, document["timestamp"]
    )  # a page begins with its query, wherever that stands in the file
    hits = document.get("query_response_hit_ids") or document.get("query_response_objects_ids") or []
    if not isinstance(hits, list):
        into.faults.append(_fault(line, "query_response_hit_ids", hits, "a list of ids"))
        return
    page.hits = page.hits or [_text(hit) for hit in hits]  # a query sent twice keeps its first answer


def _event(document: dict[str, Any], place: str, line: int, into: _Gathered) -> None:
    action = _text(document.get("action_name"))
    if not action or document.get("timestamp") is None:
        lacking = "timestamp" if action else "action_name"
        into.faults.append(_fault(line, lacking, document.get(lacking), "a value, as every event has"))
        return
    into.actions[action] += 1
    attributes = document.get("event_attributes") or {}
    thing = attributes.get("object") or {}
    item, query_id = _text(thing.get("object_id")), _text(document.get("query_id"))
    if not query_id or (action in into.names and not item):
        into.no_query += 1
        return
    if action not in into.names:
        return
    page = into.page(query_id)
    page.query = page.query or _text(document.get("user_query"))
    page.application = page.application or _text(document.get("application"))
    page.session = page.session or _text(document.get("session_id") or attributes.get("session_id"))
    page.client = page.client or _text(document.get("client_id"))
    page.user = page.user or _text(document.get("user_id"))
    title = _text(thing.get("description") or thing.get("name"))
    if title:
        into.titles.setdefault(item, title)
    meaning = into.names[action]
    if meaning == "click":
        page.clicked.add(item)
    elif meaning == "purchase":
        page.bought.add(item)
    else:
        ordinal = (attributes.get("position") or {}).get("ordinal")
        if not isinstance(ordinal, int) or isinstance(ordinal, bool) or ordinal < 0:
            into.faults.append(
                _fault(line, "event_attributes.position.ordinal", ordinal, "a whole number of at least 0")
            )
            return
        page.times.append(document["timestamp"])
        page.impressions.append((ordinal, item))
        into.lowest[page.application] = min(ordinal, into.lowest.get(page.application, ordinal))


def _rows(query_id: str, page: Page, gathered: _Gathered, counts: PageCounts) -> list[dict[str, Any]]:
    """One record per item that the page is known to have shown."""
    base = 0 if gathered.lowest.get(page.application, 0) == 0 else 1
    items = shown_items(page, base, counts)
    if not items:
        return []
    return [
        {
            "query_id": query_id,
            "session_id": page.session,
            "user_id": page.user or None,
            "client": page.client or page.session or query_id,
            "timestamp": page.times[0],
            "query": page.query,
            "position": position,
            "item_id": item,
            "click": int(item in page.clicked),
            "purchase": int(item in page.bought),
            "context_application": page.application,
        }
        for position, item in enumerate(items)
    ]


def _in_sessions(frame: pd.DataFrame, gap_minutes: float | None) -> tuple[pd.DataFrame, list[str]]:
    """Pages in order of time within their session; where no session was logged, a client's visits take its place."""
    notes: list[str] = []
    frame["timestamp"] = _times(frame["timestamp"])
    pages = frame.drop_duplicates("query_id")[["query_id", "session_id", "client", "user_id", "timestamp"]]
    unknown = pages["session_id"] == ""
    session = pages["session_id"].copy()
    if unknown.any():
        events = pages[unknown].drop(columns=["session_id", "user_id"]).rename(columns={"client": "user_id"})
        events, visits = into_visits(events, gap_minutes)
        session.loc[events.index] = events["session_id"]
        notes.append(f"{int(unknown.sum()):,} pages carry no session; {visits}")
    pages = pages.assign(session_id=session).sort_values("timestamp", kind="stable")
    begins = pages.groupby("session_id", sort=False)["timestamp"].transform("min")
    pages = pages.assign(begins=begins).sort_values(["begins", "session_id", "timestamp"], kind="stable")
    pages["step"] = pages.groupby("session_id", sort=False).cumcount()
    # who signs in during a visit was the same person before; who never does is known by the client
    by_session = pages.groupby("session_id", sort=False)
    pages["user_id"] = (
        by_session["user_id"].transform("first").fillna(by_session["client"].transform("first"))
    )
    pages["order"] = range(len(pages))
    key = pages.set_index("query_id")
    for name in ("session_id", "step", "user_id", "order"):
        frame[name] = frame["query_id"].map(key[name])
    frame = frame.sort_values(["order", "position"], kind="stable")
    if frame["context_application"].nunique() == 1:
        frame = frame.drop(columns="context_application")
    if (frame["query"] == "").any():
        lacking = frame.loc[frame["query"] == "", "query_id"].nunique()
        notes.append(f"{lacking:,} pages have no query text: they stand as recommendation pages")
    return frame.drop(columns=["query_id", "client", "order"]).reset_index(drop=True), notes


def _times(values: pd.Series) -> pd.Series:
    """Times written as text and as milliseconds, each read as what it is."""
    number = values.map(lambda value: isinstance(value, int | float))
    out = pd.Series(pd.NaT, index=values.index, dtype="datetime64[ns, UTC]")
    if number.any():
        out[number] = as_utc(values[number].astype("float64"))
    if (~number).any():
        out[~number] = as_utc(values[~number].astype("str"))
    if out.isna().any():
        at = values[out.isna()].iloc[0]
        raise InputError(
            f"a timestamp is {at!r}, expected ISO 8601 or milliseconds since 1970",
            where="timestamp",
            mend="write timestamps as OpenSearch does: 2026-01-31T13:45:00Z",
        )
    return out


def _catalog(frame: pd.DataFrame, gathered: _Gathered, path: Path) -> Catalog:
    ids = frame["item_id"].drop_duplicates()
    table = pd.DataFrame({"item_id": ids, "title": ids.map(lambda item: gathered.titles.get(item, item))})
    titled = int(ids.map(lambda item: item in gathered.titles).sum())
    catalog = Catalog.from_frame(table, source=str(path))
    note = (
        f"no catalogue given: {len(ids):,} items are those shown, {titled:,} of them with the description in their "
        "events as title, the rest known by their ids alone; prices unknown"
    )
    return replace(catalog, notes=(note,))


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _fault(line: int, column: str, found: Any, expected: str) -> Fault:
    return Fault(
        row=line,
        column=column,
        found="nothing" if found is None else repr(found)[:60],
        expected=expected,
        mend="write documents as the UBI schema says (docs/logs/ubi.md), or leave the line out",
    )
