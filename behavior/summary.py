"""What a log holds, counted: sizes, rates, overlap, the long tail, pauses; `behavior.verdict` says what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from behavior.log import InteractionLog

__all__ = [
    "LogSummary",
    "Overlap",
    "Pauses",
    "PositionRates",
    "PropensityFacts",
    "rate_interval",
    "summarise",
]

FEW_SHOWN = 10
"""An item shown less often than this is in the tail."""

_PROPENSITIES = ("propensity", "cascade_propensity", "slate_propensity")
_DAY = 86_400 * 10**9  # ns
_Z = 1.959963984540054  # 97.5 % point of the normal distribution


@dataclass(frozen=True, kw_only=True)
class PositionRates:
    """How often a position was shown, clicked and bought from."""

    position: int
    """0 is the first."""
    shown: int
    """Items shown there."""
    click_rate: float
    """Clicks per item shown there."""
    click_interval: tuple[float, float]
    """95 % interval of the click rate (`rate_interval`)."""
    purchase_rate: float
    """Purchases per item shown there."""


@dataclass(frozen=True, kw_only=True)
class PropensityFacts:
    """One kind of logged propensity."""

    known: float
    """Share of rows with a value."""
    smallest: float
    """Smallest value."""
    median: float
    """Median value."""
    certain: float
    """Share of the known values that are 1: there was no choice."""
    even_weight: float
    """Effective share of the known rows for a policy that shows all of them alike: the rows that are left when each
    is weighted by 1 / propensity, (Σ w)² / (n Σ w²). 1 is overlap without loss, near 0 is none."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Whether the same thing was shown in more than one way: without that, causes cannot be told apart."""

    moved_items: float
    """Share of the shown items that stood at two or more positions."""
    moved_rows: float
    """Share of the rows with such an item."""
    moved_pairs: float
    """Share of the rows whose item stood at two or more positions under the same query."""
    shown_candidates: float
    """Share of the candidates that were shown somewhere in the log; nan where candidates are unknown."""
    policies: int
    """Distinct `policy_id`; 0 where unknown."""
    propensities: Mapping[str, PropensityFacts]
    """By kind of propensity that the log has."""


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """How the log lies in time."""

    days: float
    """From the first row to the last, in days."""
    longest_hours: float
    """Longest time without any page."""
    longest_begins: str
    """When it began, ISO 8601 in UTC; empty where there is one page only."""
    empty_days: int
    """Whole UTC days between the first and the last without any page."""
    return_days: float
    """Median time between a user's visits, start to start, in days; nan where nobody came again."""


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
    n_positions: int
    """Distinct positions."""
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
    tail_items: float
    """Share of the shown items that were shown fewer than `FEW_SHOWN` times."""
    unclicked_items: float
    """Share of the shown items that nobody clicked."""
    empty_query_share: float
    """Share of pages without a query."""
    by_position: tuple[PositionRates, ...]
    """Rates by position."""
    overlap: Overlap
    """Whether things were shown in more than one way."""
    pauses: Pauses
    """Gaps in time."""
    ends_known: float
    """Share of the sessions of which it is known how they ended."""
    candidates_per_step: float
    """Mean number of candidates per step; 0 where the log has none."""
    single_impressions: bool
    """Rows cannot be regrouped into pages."""
    repaired: Mapping[str, int]
    """Rows touched by each repair asked for."""
    notes: tuple[str, ...]
    """What was filled in or passed over while reading."""
    supports: tuple[str, ...] = ()
    """What can be learned and judged from this log."""
    lacks: tuple[str, ...] = ()
    """What cannot, and why."""

    @property
    def propensities(self) -> dict[str, float]:
        """Share of rows with a known value, by kind of propensity that the log has."""
        return {name: facts.known for name, facts in self.overlap.propensities.items()}


def summarise(log: InteractionLog) -> LogSummary:
    """Count, and say what follows."""
    from behavior.verdict import verdict

    rows = log.rows
    pages = rows.drop_duplicates(["session_id", "step"])
    length = pages.groupby("session_id", sort=False).size()
    starts = pages.groupby("session_id", sort=False).agg(user=("user_id", "first"), time=("timestamp", "min"))
    sessions = starts.groupby("user", sort=False).size()
    items = rows.groupby("item_id", sort=False)["click"].agg(["size", "sum"])
    shown = np.sort(items["size"].to_numpy())[::-1]
    query = pages["query"]
    ends = rows["session_end"].isin(("left", "limit")) if "session_end" in rows else None
    summary = LogSummary(
        n_rows=len(rows),
        n_steps=len(pages),
        n_sessions=len(length),
        n_users=len(sessions),
        n_items=len(shown),
        n_queries=int(query[query != ""].nunique()),
        slate_size=int(rows["position"].max()) + 1,
        n_positions=int(rows["position"].nunique()),
        first_time=rows["timestamp"].min().isoformat(),
        last_time=rows["timestamp"].max().isoformat(),
        clicks=int(rows["click"].sum()),
        purchases=int(rows["purchase"].sum()),
        steps_per_session=float(length.mean()),
        longest_session=int(length.max()),
        sessions_per_user=float(sessions.mean()),
        returning_users=float((sessions > 1).mean()),
        head_share=float(shown[: max(1, len(shown) // 10)].sum() / shown.sum()),
        tail_items=float((shown < FEW_SHOWN).mean()),
        unclicked_items=float((items["sum"] == 0).mean()),
        empty_query_share=float((query == "").mean()),
        by_position=_by_position(rows),
        overlap=_overlap(log),
        pauses=_pauses(pages["timestamp"], starts),
        ends_known=0.0 if ends is None else rows.loc[ends, "session_id"].nunique() / len(length),
        candidates_per_step=0.0 if log.candidates is None else len(log.candidates) / len(pages),
        single_impressions=log.single_impressions,
        repaired=dict(log.repaired),
        notes=log.notes,
    )
    supports, lacks = verdict(summary)
    return replace(summary, supports=supports, lacks=lacks)


def rate_interval(hits: int, trials: int) -> tuple[float, float]:
    """95 % interval of a rate: Wilson (1927), "Probable Inference, the Law of Succession, and Statistical Inference".

    Args:
        hits: Successes.
        trials: Trials, at least 1.
    """
    rate, z2 = hits / trials, _Z**2 / trials
    middle = (rate + z2 / 2) / (1 + z2)
    half = _Z / (1 + z2) * np.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _by_position(rows: pd.DataFrame) -> tuple[PositionRates, ...]:
    table = rows.groupby("position").agg(
        shown=("click", "size"), clicks=("click", "sum"), purchases=("purchase", "sum")
    )
    return tuple(
        PositionRates(
            position=int(position),
            shown=int(shown),
            click_rate=float(clicks / shown),
            click_interval=rate_interval(int(clicks), int(shown)),
            purchase_rate=float(purchases / shown),
        )
        for position, shown, clicks, purchases in zip(
            table.index, table["shown"], table["clicks"], table["purchases"], strict=True
        )
    )


def _overlap(log: InteractionLog) -> Overlap:
    rows = log.rows
    item = pd.factorize(rows["item_id"])[0]
    pair = pd.factorize(pd.MultiIndex.from_arrays([rows["query"], item]))[0]
    position = rows["position"].to_numpy(np.int64)
    moved, moved_pair = _at_several(item, position), _at_several(pair, position)
    shown = float("nan")
    if log.candidates is not None:
        shown = float(log.candidates["item_id"].isin(rows["item_id"].unique()).mean())
    return Overlap(
        moved_items=float(pd.Series(item)[moved].nunique() / (item.max() + 1)),
        moved_rows=float(moved.mean()),
        moved_pairs=float(moved_pair.mean()),
        shown_candidates=shown,
        policies=int(rows["policy_id"].nunique()) if "policy_id" in rows else 0,
        propensities={
            name: _propensity(rows[name])
            for name in _PROPENSITIES
            if name in rows and rows[name].notna().any()
        },
    )


def _at_several(group: NDArray[np.int64], position: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows of groups that stand at more than one position."""
    low = np.full(int(group.max()) + 1, np.iinfo(np.int64).max)
    high = np.full(len(low), -1)
    np.minimum.at(low, group, position)
    np.maximum.at(high, group, position)
    several: NDArray[np.bool_] = (low < high)[group]
    return several


def _propensity(values: pd.Series) -> PropensityFacts:
    known = values.dropna().to_numpy(np.float64)
    weight = known.min() / known  # scaled, so that no square overflows
    return PropensityFacts(
        known=len(known) / len(values),
        smallest=float(known.min()),
        median=float(np.median(known)),
        certain=float((known == 1).mean()),
        even_weight=float(weight.sum() ** 2 / (len(weight) * (weight**2).sum())),
    )


def _pauses(pages: pd.Series, starts: pd.DataFrame) -> Pauses:
    moment = np.sort(pages.dt.as_unit("ns").astype("int64").to_numpy())  # (M,) ns since 1970 UTC
    between = np.diff(moment)
    days = moment // _DAY
    visits = starts.sort_values("time")
    again = (
        visits["time"].dt.as_unit("ns").astype("int64").groupby(visits["user"], sort=False).diff().dropna()
    )
    widest = int(between.argmax()) if len(between) else 0
    return Pauses(
        days=float((moment[-1] - moment[0]) / _DAY),
        longest_hours=float(between[widest] / _DAY * 24) if len(between) else 0.0,
        longest_begins=pd.Timestamp(int(moment[widest]), tz="UTC").isoformat() if len(between) else "",
        empty_days=int(days[-1] - days[0] + 1 - len(np.unique(days))),
        return_days=float(again.median() / _DAY) if len(again) else float("nan"),
    )
