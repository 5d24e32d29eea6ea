"""Visits out of a user's events, for formats that know the user and the time but not where a visit ends."""

from __future__ import annotations

import numpy as np
import pandas as pd

from behavior.numeric import check_real
from behavior.parse import as_utc

__all__ = ["GAP_MINUTES", "into_visits"]

GAP_MINUTES = 30.0
"""A longer pause than this begins a new visit: the usual convention of web analytics, no property of any log."""


def into_visits(events: pd.DataFrame, gap_minutes: float | None = None) -> tuple[pd.DataFrame, str]:
    """Events in order of user and time, cut into visits where a user paused, one step each.

    Args:
        events: `user_id` and `timestamp` (as `behavior.parse.as_utc` reads it, no cell unreadable), and what else
            there is. Users stay in order of appearance; events of the same instant stay in order.
        gap_minutes: Pause after which a new visit begins; None: `GAP_MINUTES`.

    Returns:
        The events with `session_id` (`<user>-<visit, from 0>`), `step` (from 0) and `timestamp` as times, under
        their old index; and a note that says what was done.

    Raises:
        InputError: The gap is no number above 0.
    """
    gap = GAP_MINUTES if gap_minutes is None else gap_minutes
    check_real(gap, where="session_gap", least=1e-6)
    user, _ = pd.factorize(events["user_id"])
    time = as_utc(events["timestamp"])
    moment = time.dt.as_unit("ns").astype("int64").to_numpy()
    order = np.lexsort((moment, user))  # stable: what happened at once keeps its order
    user, moment = user[order], moment[order]
    new_user = np.append(True, user[1:] != user[:-1])
    paused = np.append(False, np.diff(moment) > gap * 60e9)
    begins = new_user | paused
    first = np.flatnonzero(begins)
    length = np.diff(np.append(first, len(begins)))
    step = np.arange(len(begins)) - np.repeat(first, length)
    visit = np.cumsum(begins) - 1
    of_user = visit - np.repeat(visit[new_user], np.diff(np.append(np.flatnonzero(new_user), len(begins))))
    out = events.iloc[order]
    session = out["user_id"].astype("str") + "-" + pd.Series(of_user, index=out.index).astype("str")
    note = f"visits: a user's events are cut where more than {gap:g} minutes passed; the format does not say"
    return out.assign(session_id=session, step=step, timestamp=time.iloc[order]), note
