"""What must hold between the rows of a log: whole pages, sessions in order, no purchase without a click."""

from __future__ import annotations

import numpy as np
import pandas as pd

from behavior.catalog import Catalog
from behavior.schema import Rule, repair_hint

__all__ = ["candidate_relations", "log_relations"]

PAGE = ["session_id", "step"]


def log_relations(*, single_impressions: bool, catalog: Catalog | None) -> list[Rule]:
    """Rules between the rows of a typed log.

    Args:
        single_impressions: Rows are impressions whose pages are unknown: a page has one row, at any position.
        catalog: Where given, every item must be in it.
    """
    rules = [
        Rule(
            column="purchase",
            expected="0, as there is no click in this row",
            holds=lambda f: (f["purchase"] == 0) | (f["click"] == 1),
            mend="mark the click, or " + repair_hint("purchase-implies-click"),
        ),
        Rule(
            column="user_id",
            expected="the user of this session's first row",
            holds=lambda f: _same_in(f, ["session_id"], "user_id"),
            mend="a session belongs to one user: give each user's visit a session_id of its own",
        ),
        Rule(
            column="step",
            expected="the same step as in the session's row before it, or the next (from 0)",
            holds=_steps_count_up,
            mend="sort the file by session, step and position and number pages from 0 without gaps, or "
            + repair_hint("sort"),
        ),
        Rule(
            column="timestamp",
            expected="no time before that of the session's earlier rows",
            holds=_time_goes_on,
            mend="steps and times disagree: correct one, or, if the times are right, ask for the repairs "
            "'derive-steps' and 'sort' (--repairs derive-steps sort)",
        ),
        *(
            Rule(
                column=name,
                expected=f"the same '{name}' as in the page's first row",
                holds=lambda f, name=name: _same_in(f, PAGE, name),  # type: ignore[misc]
                mend=f"'{name}' belongs to the page: write the same in all rows of a step",
                about_missing=True,
            )
            for name in ("query", "slate_propensity")
        ),
        Rule(
            column="session_end",
            expected="the same as in the session's last row, or nothing",
            holds=_one_end,
            mend="a session ends once: write how on the rows of its last page",
        ),
    ]
    rules.append(
        Rule(
            column="position",
            expected="a number of at least 0",
            holds=lambda f: f["position"] >= 0,
            mend="positions start at 0 already: do without the repair 'positions-from-one'",
        )
    )
    if single_impressions:
        # nothing else bounds it here, and the arrays are as wide as the last position
        rules.append(
            Rule(
                column="position",
                expected="a position below 1,000",
                holds=lambda f: f["position"] < 1000,
                mend="the position is the place on the page, not the place in the catalogue: correct it",
            )
        )
        rules.append(
            Rule(
                column="position",
                expected="one row per step, as these are single impressions",
                holds=lambda f: ~f.duplicated(PAGE),
                mend="give each impression a session_id or step of its own, or leave single_impressions out",
            )
        )
    else:
        rules += _page_rules()
    if catalog is not None:
        rules.append(
            Rule(
                column="item_id",
                expected=f"an item of the catalogue{' ' + catalog.source if catalog.source else ''}",
                holds=lambda f, c=catalog: pd.Series(c.rows(f["item_id"]) >= 0, index=f.index),  # type: ignore[misc]
                mend="add the item to the catalogue, or " + repair_hint("drop-unknown-items"),
            )
        )
    return rules


def _page_rules() -> list[Rule]:
    return [
        Rule(
            column="position",
            expected="a position of its own in this page",
            holds=lambda f: ~f.duplicated([*PAGE, "position"]),
            mend="a place on a page holds one item: correct the positions (or the steps, if two pages fell into one)"
            ", or, where whole rows repeat, " + repair_hint("drop-duplicates"),
        ),
        Rule(
            column="item_id",
            expected="an item not shown elsewhere on the same page",
            holds=lambda f: ~f.duplicated([*PAGE, "item_id"]),
            mend="a page shows an item once: correct the items (or the steps, if two pages fell into one)",
        ),
        Rule(
            column="position",
            expected="positions 0, 1, 2, … without gaps in this page",
            holds=_no_gaps,
            mend="add the rows of the items that were shown and not clicked; if positions start at 1, "
            + repair_hint("positions-from-one")
            + "; if the pages are unknown, set `single_impressions: true` in the mapping file",
        ),
        Rule(
            column="position",
            expected="positions in rising order within the page",
            holds=_positions_rise,
            mend="sort the file by session, step and position, or " + repair_hint("sort"),
        ),
        Rule(
            column="cascade_propensity",
            expected="no more than at the position above",
            holds=_cascade_falls,
            mend="the probability of a longer part of the page cannot be greater: correct the column",
        ),
    ]


def candidate_relations(log: pd.DataFrame, *, catalog: Catalog | None) -> list[Rule]:
    """Rules between the rows of the table of candidates, and between it and the log."""
    pages = _page_index(log)
    rules = [
        Rule(
            column="session_id",
            expected="a session and step of the log",
            holds=lambda f: pd.Series(_page_index(f).isin(pages), index=f.index),
            mend="leave out candidates of pages that are not in the log",
        ),
        Rule(
            column="rank",
            expected="ranks 0, 1, 2, … without gaps or repeats in this step",
            holds=lambda f: _no_gaps(f, "rank") & ~f.duplicated([*PAGE, "rank"]),
            mend="number the candidates of each step from 0",
        ),
        Rule(
            column="item_id",
            expected="an item that is not yet among the step's candidates",
            holds=lambda f: ~f.duplicated([*PAGE, "item_id"]),
            mend="list a candidate once per step",
        ),
    ]
    if catalog is not None:
        rules.append(
            Rule(
                column="item_id",
                expected="an item of the catalogue",
                holds=lambda f, c=catalog: pd.Series(c.rows(f["item_id"]) >= 0, index=f.index),  # type: ignore[misc]
                mend="add the item to the catalogue, or " + repair_hint("drop-unknown-items"),
            )
        )
    return rules


def _page_index(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([frame["session_id"], frame["step"].astype("int64")])


def _same_in(frame: pd.DataFrame, group: list[str], name: str) -> pd.Series:
    code = pd.Series(pd.factorize(frame[name])[0], index=frame.index)  # -1: missing, a value like any other
    first = code.groupby([frame[g] for g in group], sort=False).transform("first")
    return code == first


def _before(frame: pd.DataFrame, group: list[str], name: str) -> pd.Series:
    return frame.groupby(group, sort=False)[name].shift(1)


def _steps_count_up(frame: pd.DataFrame) -> pd.Series:
    before = _before(frame, ["session_id"], "step")
    first = before.isna()
    rise = frame["step"] - before.fillna(0)
    return (first & (frame["step"] == 0)) | (~first & (rise >= 0) & (rise <= 1))


def _time_goes_on(frame: pd.DataFrame) -> pd.Series:
    # pages are compared, not rows: the items of a page may be written down in any order
    start = frame.groupby(PAGE, sort=False)["timestamp"].transform("min")
    at = pd.Series(start.astype("int64"), index=frame.index)
    latest = at.groupby(frame["session_id"], sort=False).cummax()
    in_order = frame["step"] == frame.groupby("session_id", sort=False)["step"].cummax()
    return (at >= latest) | ~in_order  # disorder of steps is told by its own rule


def _one_end(frame: pd.DataFrame) -> pd.Series:
    last = frame.groupby("session_id", sort=False)["step"].transform("max") == frame["step"]
    end = frame["session_end"].fillna("")
    final = end.where(last).groupby(frame["session_id"], sort=False).transform("last")
    return (end == "") | (end == final)


def _no_gaps(frame: pd.DataFrame, name: str = "position") -> pd.Series:
    size = frame.groupby(PAGE, sort=False)[name].transform("size")
    # with repeats told elsewhere, a page of n rows has no gap exactly if no position reaches n
    return frame[name] < size


def _positions_rise(frame: pd.DataFrame) -> pd.Series:
    before = _before(frame, PAGE, "position")
    return before.isna() | (frame["position"] >= before)


def _cascade_falls(frame: pd.DataFrame) -> pd.Series:
    before = _before(frame, PAGE, "cascade_propensity")
    rises = frame["cascade_propensity"].to_numpy(np.float64) > before.to_numpy(np.float64) * (1 + 1e-6)
    return pd.Series(~rises, index=frame.index)
