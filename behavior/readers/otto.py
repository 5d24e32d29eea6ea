"""OTTO sessions: JSON lines of what users clicked, put into the cart and ordered; nothing of what they were shown.

The format is described at https://github.com/otto-de/recsys-dataset ("Data Format", "FAQ"). A line is all activity of
one user over weeks, so it is cut into visits. A click becomes a step of one item at an unknown place; an order marks
the user's latest click on that item as bought; carts are counted as context.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from behavior.catalog import Catalog
from behavior.columns import LogColumns
from behavior.errors import InputError
from behavior.faults import Fault, raise_faults
from behavior.log import InteractionLog
from behavior.readers.lines import read_json_lines
from behavior.readers.options import ReadOptions
from behavior.readers.room import check_room
from behavior.readers.visits import into_visits

__all__ = ["LONGEST_SESSION", "read_otto"]

LONGEST_SESSION = 100_000
"""Events of one line beyond which it is no user's activity; the longest published one has 500."""

_TYPES = ("clicks", "carts", "orders")


@dataclass
class _Events:
    """Clicks as columns, and counts of what has no place in a log."""

    user: array[int] = field(default_factory=lambda: array("q"))
    item: array[int] = field(default_factory=lambda: array("q"))
    time: array[int] = field(default_factory=lambda: array("q"))  # ms since 1970 UTC
    carted: array[int] = field(default_factory=lambda: array("q"))  # carts of the user before the click
    sessions: array[int] = field(default_factory=lambda: array("q"))  # by line
    lines: array[int] = field(default_factory=lambda: array("q"))
    bought: bytearray = field(default_factory=bytearray)
    carts: int = 0
    orders: int = 0
    unclicked: int = 0  # orders of items that the user never clicked before
    idle: int = 0  # users without any click
    sorted: int = 0  # events that stood after a later one


def read_otto(path: Path, options: ReadOptions) -> tuple[Catalog, InteractionLog]:
    """Catalogue (ids only, or the shop's own) and log.

    Args:
        path: A `.jsonl` file as published (also `.gz`, `.zip`).
        options: `repairs` may hold `sort` for sessions whose events are out of order; `gap_minutes` cuts visits;
            `catalog` is the shop's own.

    Raises:
        InputError: Lines or events that are not what the format says; each with its line.
    """
    path = Path(path)
    check_room(path)
    events = _Events()
    faults: list[Fault] = []
    for line, record in read_json_lines(path, progress=options.progress):
        _take(record, line, events, faults, may_sort="sort" in options.repairs)
        if len(faults) >= 10:
            break
    raise_faults(faults + _repeated(events), f"{path}, by line")
    if not events.item:
        raise InputError("there is not a single click", where=str(path), mend="give a file with clicks")
    frame = pd.DataFrame(
        {
            "user_id": np.asarray(events.user),
            "item_id": np.asarray(events.item).astype(str),
            "timestamp": pd.to_datetime(np.asarray(events.time), unit="ms", utc=True),
            "click": 1,
            "purchase": np.frombuffer(bytes(events.bought), np.uint8),
            "position": 0,
            "context_carted": np.asarray(events.carted),
        }
    )
    frame, visits = into_visits(frame, options.gap_minutes)
    frame["user_id"] = frame["user_id"].astype("str")
    catalog = options.catalog
    if catalog is None:
        catalog = Catalog.from_frame(pd.DataFrame({"item_id": frame["item_id"].unique()}), source=str(path))
        catalog = replace(catalog, notes=("the format has no products: items are known by their ids alone",))
    log = InteractionLog.from_frame(
        frame,
        columns=LogColumns(single_impressions=True),
        repairs=[name for name in options.repairs if name != "sort"],
        source=str(path),
        catalog=catalog,
    )
    repaired = dict(log.repaired) | ({"sort": events.sorted} if "sort" in options.repairs else {})
    return catalog, replace(log, repaired=repaired, notes=(*log.notes, visits, *_notes(events)))


def _repeated(events: _Events) -> list[Fault]:
    """Sessions that stand in two lines: their visits would fall into one another."""
    sessions = np.asarray(events.sessions)
    first = np.zeros(len(sessions), np.bool_)
    first[np.unique(sessions, return_index=True)[1]] = True
    expected = "a session of its own (this one stands in an earlier line)"
    return [
        _fault(events.lines[at], "session", int(sessions[at]), expected)
        for at in np.flatnonzero(~first).tolist()
    ]


def _notes(events: _Events) -> list[str]:
    notes = [
        "only clicks were logged, not what was shown: every row is a click, positions are unknown (all written as 0)",
        f"{events.carts:,} cart events are no rows; context_carted counts the user's carts before each click",
        f"{int(sum(events.bought)):,} clicks are marked as bought, out of {events.orders:,} orders: the latest click "
        "on the item before its order",
    ]
    if events.unclicked:
        notes.append(f"{events.unclicked:,} orders of items never clicked before are left out")
    if events.idle:
        notes.append(f"{events.idle:,} sessions without a click are left out")
    return notes


def _take(record: dict[str, Any], line: int, into: _Events, faults: list[Fault], *, may_sort: bool) -> None:
    """One line: its clicks go to `into`, what is wrong with it to `faults`."""
    session, events = record.get("session"), record.get("events")
    if not _whole(session) or session is None:
        faults.append(_fault(line, "session", session, "a whole number"))
        return
    into.sessions.append(session)
    into.lines.append(line)
    if not isinstance(events, list):
        faults.append(_fault(line, "events", events, "a list of events"))
        return
    if len(events) > LONGEST_SESSION:
        raise InputError(
            f"line {line:,}: session {session} has {len(events):,} events, more than {LONGEST_SESSION:,}",
            where=str(line),
            mend="no user does so much in the weeks of a log: leave the line out, it is a robot or several users",
        )
    count = len(faults)
    for number, event in enumerate(events):
        _check(event, line, number, faults)
    if len(faults) > count:
        return
    times = [event["ts"] for event in events]
    late = sum(1 for before, after in pairwise(times) if after < before)
    if late and not may_sort:
        at = next(n for n in range(1, len(times)) if times[n] < times[n - 1])
        faults.append(
            Fault(
                row=line,
                column=f"events[{at}].ts",
                found=str(times[at]),
                expected=f"no time before that of the event before it ({times[at - 1]})",
                mend="the format promises events in order of time: correct them, or ask for the repair 'sort' "
                "(--repairs sort)",
            )
        )
        return
    if late:
        into.sorted += late
        events = sorted(events, key=lambda event: int(event["ts"]))
    _append(session, events, into)


def _append(session: int, events: list[dict[str, Any]], into: _Events) -> None:
    latest: dict[int, int] = {}  # item to the row of its latest click
    carted = 0
    for event in events:
        item, kind = int(event["aid"]), event["type"]
        if kind == "clicks":
            latest[item] = len(into.item)
            into.user.append(session)
            into.item.append(item)
            into.time.append(int(event["ts"]))
            into.carted.append(carted)
            into.bought.append(0)
        elif kind == "carts":
            carted += 1
            into.carts += 1
        else:
            into.orders += 1
            if item in latest:
                into.bought[latest[item]] = 1
            else:
                into.unclicked += 1
    into.idle += not latest


def _check(event: Any, line: int, number: int, faults: list[Fault]) -> None:
    if not isinstance(event, dict):
        faults.append(_fault(line, f"events[{number}]", event, "an event with aid, ts and type"))
        return
    for name in ("aid", "ts"):
        if not _whole(event.get(name)):
            faults.append(
                _fault(line, f"events[{number}].{name}", event.get(name), "a whole number of at least 0")
            )
    if event.get("type") not in _TYPES:
        faults.append(
            _fault(line, f"events[{number}].type", event.get("type"), "one of " + ", ".join(_TYPES))
        )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _fault(line: int, column: str, found: Any, expected: str) -> Fault:
    shown = "nothing" if found is None else repr(found)[:60]
    return Fault(
        row=line,
        column=column,
        found=shown,
        expected=expected,
        mend="write sessions as the format says, or leave the line out (docs/logs/otto.md)",
    )
