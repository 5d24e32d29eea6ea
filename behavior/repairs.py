"""Repairs of a log, made only when asked for by name, each counted."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from behavior.catalog import Catalog
from behavior.errors import InputError
from behavior.faults import suggest
from behavior.vocabulary import REPAIRS

__all__ = ["check_repairs", "drop_unknown_items", "repair_rows"]


def check_repairs(repairs: Collection[str]) -> frozenset[str]:
    """The asked-for repairs.

    Raises:
        InputError: One of them is not known.
    """
    for name in repairs:
        if name not in REPAIRS:
            raise InputError(
                f"there is no repair '{name}'. {suggest(name, REPAIRS)}".rstrip(),
                where="repairs",
                mend="choose among " + "; ".join(f"{key} ({what})" for key, what in REPAIRS.items()),
            )
    return frozenset(repairs)


def repair_rows(rows: pd.DataFrame, repairs: frozenset[str]) -> tuple[pd.DataFrame, dict[str, int]]:
    """Make the repairs that concern the order and the cells of a typed log.

    Args:
        rows: Canonical columns and types; `step` may be missing where `derive-steps` is asked for.
        repairs: Names out of `REPAIRS`.

    Returns:
        The repaired rows under their old index, and the number of rows touched by each repair asked for.
    """
    count: dict[str, int] = {}
    if "drop-duplicates" in repairs:
        again = rows.duplicated()
        rows, count["drop-duplicates"] = rows[~again], int(again.sum())
    if "positions-from-one" in repairs:
        rows = rows.assign(position=rows["position"] - 1)
        count["positions-from-one"] = len(rows)
    if "derive-steps" in repairs:
        if "sort" in repairs:
            rows, count["sort"] = _sorted(rows, "timestamp")
        rows = rows.assign(step=_steps_by_time(rows))
        count["derive-steps"] = len(rows)
    if "sort" in repairs:
        rows, moved = _sorted(rows, "step")
        count["sort"] = max(moved, count.get("sort", 0))
    if "purchase-implies-click" in repairs:
        lacking = (rows["purchase"] == 1) & (rows["click"] == 0)
        rows = rows.assign(click=rows["click"].where(~lacking, 1))
        count["purchase-implies-click"] = int(lacking.sum())
    return rows, count


def drop_unknown_items(
    rows: pd.DataFrame, candidates: pd.DataFrame | None, catalog: Catalog
) -> tuple[pd.DataFrame, pd.DataFrame | None, int]:
    """Leave out the pages that show, or could have shown, an item that the catalogue lacks.

    The whole page goes, not the row alone: a page with a hole would say that its other items were shown without
    the missing one, and its propensities would be wrong. The pages of a session are numbered anew; where its last
    page goes, nothing is known of how the session ended.

    Returns:
        Rows, candidates, and the number of rows left out.
    """
    key = ["session_id", "step"]
    bad = rows.loc[catalog.rows(rows["item_id"]) < 0, key]
    if candidates is not None:
        bad = pd.concat([bad, candidates.loc[catalog.rows(candidates["item_id"]) < 0, key]])
    if bad.empty:
        return rows, candidates, 0
    gone = pd.MultiIndex.from_frame(bad).unique()
    last = rows.groupby("session_id", sort=False)["step"].transform("max")
    keep = ~pd.MultiIndex.from_frame(rows[key]).isin(gone)
    kept = rows[keep]
    if "session_end" in kept:
        ended = kept.groupby("session_id", sort=False)["step"].transform("max") == last[keep]
        kept = kept.assign(session_end=kept["session_end"].where(ended, ""))
    pages = kept[key].drop_duplicates().sort_values("step", kind="stable")
    pages = pages.assign(new=pages.groupby("session_id", sort=False).cumcount())
    kept = _renumbered(kept, pages)
    if candidates is not None:
        stay = ~pd.MultiIndex.from_frame(candidates[key]).isin(gone)
        candidates = _renumbered(candidates[stay], pages)
    return kept, candidates, int((~keep).sum())


def _renumbered(frame: pd.DataFrame, pages: pd.DataFrame) -> pd.DataFrame:
    new = frame[["session_id", "step"]].merge(pages, how="left", on=["session_id", "step"])["new"]
    return frame.assign(step=new.to_numpy())


def _sorted(rows: pd.DataFrame, by: str) -> tuple[pd.DataFrame, int]:
    """Sessions stay where they began; their rows come together, in order."""
    order = rows.assign(_session=pd.factorize(rows["session_id"])[0]).sort_values(
        ["_session", by, "position"], kind="stable"
    )
    moved = int((order.index.to_numpy() != rows.index.to_numpy()).sum())
    return order.drop(columns="_session"), moved


def _steps_by_time(rows: pd.DataFrame) -> pd.Series:
    session = pd.Series(pd.factorize(rows["session_id"])[0], index=rows.index)
    new = rows["timestamp"].ne(rows.groupby("session_id", sort=False)["timestamp"].shift(1))
    if "query" in rows:
        new |= rows["query"].ne(rows.groupby("session_id", sort=False)["query"].shift(1))
    return new.astype("int64").groupby(session, sort=False).cumsum() - 1
