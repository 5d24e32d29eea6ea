"""What a log holds and what it can support, counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from behavior.log import InteractionLog

__all__ = ["LogSummary", "PositionRates", "summarise"]

_FEW_CLICKS = 200


@dataclass(frozen=True, kw_only=True)
class PositionRates:
    """How often a position was shown, clicked and bought from."""

    position: int
    """0 is the first."""
    shown: int
    """Items shown there."""
    click_rate: float
    """Clicks per item shown there."""
    purchase_rate: float
    """Purchases per item shown there."""


@dataclass(frozen=True, kw_only=True)
class LogSummary:
    """Counts and rates of a log."""

    n_rows: int
    """Items shown."""
    n_steps: int
    """Pages (impressions, where pages are unknown)."""
    n_sessions: int
    """Visits."""
    n_users: int
    """Users."""
    n_items: int
    """Distinct items shown."""
    n_queries: int
    """Distinct queries, the empty one not counted."""
    slate_size: int
    """Positions of the longest page."""
    first_time: str
    """First timestamp, ISO 8601 in UTC."""
    last_time: str
    """Last timestamp."""
    clicks: int
    """Items clicked."""
    purchases: int
    """Items bought."""
    steps_per_session: float
    """Mean number of pages per session."""
    longest_session: int
    """Most pages in a session."""
    sessions_per_user: float
    """Mean number of sessions per user."""
    returning_users: float
    """Share of the users with more than one session."""
    head_share: float
    """Share of the impressions that go to the tenth of the shown items shown most."""
    empty_query_share: float
    """Share of pages without a query."""
    by_position: tuple[PositionRates, ...]
    """Rates by position."""
    propensities: Mapping[str, float]
    """Share of rows with a known value, by kind of propensity that the log has."""
    candidates_per_step: float
    """Mean number of candidates per step; 0 where the log has none."""
    single_impressions: bool
    """Rows cannot be regrouped into pages."""
    repaired: Mapping[str, int]
    """Rows touched by each repair asked for."""
    notes: tuple[str, ...]
    """What was filled in or passed over while reading."""
    supports: tuple[str, ...]
    """What can be learned and judged from this log."""
    lacks: tuple[str, ...]
    """What cannot, and why."""


def summarise(log: InteractionLog) -> LogSummary:
    """Count."""
    rows = log.rows
    pages = rows.drop_duplicates(["session_id", "step"])
    length = pages.groupby("session_id", sort=False).size()
    sessions = pages.drop_duplicates("session_id").groupby("user_id", sort=False).size()
    shown = np.sort(rows["item_id"].value_counts().to_numpy())[::-1]
    head = shown[: max(1, len(shown) // 10)].sum() / shown.sum()
    known = {
        name: float(rows[name].notna().mean())
        for name in ("propensity", "cascade_propensity", "slate_propensity")
        if name in rows and rows[name].notna().any()
    }
    supports, lacks = _verdict(log, known)
    query = pages["query"]
    return LogSummary(
        n_rows=len(rows),
        n_steps=len(pages),
        n_sessions=len(length),
        n_users=len(sessions),
        n_items=len(shown),
        n_queries=int(query[query != ""].nunique()),
        slate_size=int(rows["position"].max()) + 1,
        first_time=rows["timestamp"].min().isoformat(),
        last_time=rows["timestamp"].max().isoformat(),
        clicks=int(rows["click"].sum()),
        purchases=int(rows["purchase"].sum()),
        steps_per_session=float(length.mean()),
        longest_session=int(length.max()),
        sessions_per_user=float(sessions.mean()),
        returning_users=float((sessions > 1).mean()),
        head_share=float(head),
        empty_query_share=float((query == "").mean()),
        by_position=_by_position(rows),
        propensities=known,
        candidates_per_step=0.0 if log.candidates is None else len(log.candidates) / len(pages),
        single_impressions=log.single_impressions,
        repaired=dict(log.repaired),
        notes=log.notes,
        supports=supports,
        lacks=lacks,
    )


def _by_position(rows: pd.DataFrame) -> tuple[PositionRates, ...]:
    table = rows.groupby("position").agg(
        shown=("click", "size"), clicks=("click", "sum"), purchases=("purchase", "sum")
    )
    return tuple(
        PositionRates(
            position=int(position),
            shown=int(shown),
            click_rate=float(clicks / shown),
            purchase_rate=float(purchases / shown),
        )
        for position, shown, clicks, purchases in zip(
            table.index, table["shown"], table["clicks"], table["purchases"], strict=True
        )
    )


def _verdict(log: InteractionLog, known: Mapping[str, float]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    rows = log.rows
    yes, no = ["a position-based click model"], []
    if log.single_impressions:
        no.append("a cascade click model: the other positions of each page are unknown")
        no.append("session dynamics: impressions cannot be joined into sessions")
    else:
        yes.append("a cascade click model: whole pages are known")
        many = rows.groupby("session_id", sort=False)["step"].max().gt(0).any()
        if many:
            yes.append("session dynamics: sessions have several pages")
        else:
            no.append("session dynamics: every session has one page")
    if int(rows["purchase"].sum()):
        yes.append("a purchase model")
    else:
        no.append("a purchase model: nothing was bought")
    if "session_end" in rows and rows["session_end"].isin(("left", "limit")).any():
        yes.append("a leaving model: it is known how sessions ended")
    else:
        no.append(
            "a sure leaving model: it is unknown how sessions ended, the last page is taken for leaving"
        )
    if "propensity" in known:
        yes.append("off-policy estimates by item and position")
    if "cascade_propensity" in known or "slate_propensity" in known:
        yes.append("off-policy estimates of whole pages")
    if not known:
        no.append("off-policy estimates: no propensities were logged")
    if log.candidates is None:
        no.append("the candidates of each page: overlap with a new policy is judged on shown items only")
    clicks = int(rows["click"].sum())
    if clicks < _FEW_CLICKS:
        no.append(f"narrow intervals: there are {clicks} clicks only")
    return tuple(yes), tuple(no)
