"""Every fault of a log is named with its row, its column, what was found, and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pandas as pd
import pytest

from behavior import Catalog, InputError, InteractionLog

Break = Callable[[pd.DataFrame], object]


def _set(row: int, column: str, value: object) -> Break:
    def change(frame: pd.DataFrame) -> None:
        frame[column] = frame[column].astype(object)
        frame.loc[row - 1, column] = value

    return change


def _new(column: str, values: list[object]) -> Break:
    return lambda frame: frame.__setitem__(column, values)


CELLS = {
    "click-type": (_set(3, "click", "maybe"), "row 3, column 'click': found 'maybe', expected 0 or 1"),
    "click-count": (_set(3, "click", 2), "row 3, column 'click': found 2, expected 0 or 1"),
    "click-missing": (_set(2, "click", None), "row 2, column 'click': found nothing"),
    "item-missing": (_set(2, "item_id", None), "row 2, column 'item_id': found nothing"),
    "session-missing": (_set(2, "session_id", None), "row 2, column 'session_id': found nothing"),
    "user-missing": (_set(2, "user_id", None), "row 2, column 'user_id': found nothing"),
    "step-type": (_set(4, "step", "first"), "row 4, column 'step': found 'first', expected a whole number"),
    "step-fraction": (_set(4, "step", 0.5), "row 4, column 'step': found 0.5, expected a whole number"),
    "step-infinite": (
        _set(4, "step", float("inf")),
        "row 4, column 'step': found inf, expected a whole number",
    ),
    "position-negative": (
        _set(5, "position", -1),
        "row 5, column 'position': found -1, expected a number of at least 0",
    ),
    "position-missing": (_set(5, "position", None), "row 5, column 'position': found nothing"),
    "time": (
        _set(6, "timestamp", "yesterday"),
        "row 6, column 'timestamp': found 'yesterday', expected an ISO",
    ),
    "time-missing": (_set(6, "timestamp", None), "row 6, column 'timestamp': found nothing"),
    "time-year": (_set(6, "timestamp", "3026-01-01T10:00:00+00:00"), "row 6, column 'timestamp'"),
    "propensity-zero": (
        _new("propensity", [0.5, 0.5, 0.0, *[0.5] * 5]),
        "row 3, column 'propensity': found 0.0, expected a probability in (0, 1]",
    ),
    "propensity-above": (_new("propensity", [1.5, *[0.5] * 7]), "row 1, column 'propensity': found 1.5"),
    "propensity-text": (
        _new("propensity", ["high", *["0.5"] * 7]),
        "row 1, column 'propensity': found 'high'",
    ),
    "slate-propensity": (
        _new("slate_propensity", [-0.1] * 8),
        "row 1, column 'slate_propensity': found -0.1",
    ),
    "cascade-propensity": (
        _new("cascade_propensity", [2] * 8),
        "row 1, column 'cascade_propensity': found 2",
    ),
    "dwell": (_new("dwell_seconds", [-1.0] * 8), "row 1, column 'dwell_seconds': found -1.0"),
    "price": (
        _new("price", ["12 EUR", *["1"] * 7]),
        "row 1, column 'price': found '12 EUR', expected a number",
    ),
    "end": (_new("session_end", ["bored"] * 8), "row 1, column 'session_end': found 'bored', expected left"),
    "context": (_new("context_age", [1.0, None, *[3.0] * 6]), "row 2, column 'context_age': found nothing"),
}

RELATIONS = {
    "duplicate-position": (
        _set(2, "position", 0),
        "row 2, column 'position': found 0, expected a position of its own in this page",
    ),
    "duplicate-item": (
        _set(5, "item_id", "a"),
        "row 5, column 'item_id': found 'a', expected an item not shown",
    ),
    "gap": (_set(5, "position", 3), "row 5, column 'position': found 3, expected positions 0, 1, 2"),
    "purchase-without-click": (
        _set(3, "purchase", 1),
        "row 3, column 'purchase': found 1, expected 0, as there is no click",
    ),
    "unknown-item": (
        _set(8, "item_id", "zzz"),
        "row 8, column 'item_id': found 'zzz', expected an item of the",
    ),
    "user": (
        _set(4, "user_id", "u9"),
        "row 4, column 'user_id': found 'u9', expected the user of this session",
    ),
    "query": (_set(5, "query", "sofa"), "row 5, column 'query': found 'sofa', expected the same 'query'"),
    "step-gap": (
        lambda f: f.__setitem__("step", f["step"] * 2),
        "row 6, column 'step': found 2, expected the same",
    ),
    "first-step": (_set(8, "step", 1), "row 8, column 'step': found 1, expected the same step"),
    "time-back": (
        lambda f: f.__setitem__("timestamp", f["timestamp"].str.replace("10:01", "09:59")),
        "row 6, column 'timestamp': found '2026-01-01T09:59:00+00:00', expected no time before",
    ),
    "cascade-rises": (
        _new("cascade_propensity", [0.5, 0.6, *[None] * 6]),
        "row 2, column 'cascade_propensity': found 0.6, expected no more than at the position above",
    ),
    "ends-twice": (
        _new("session_end", [None, None, "limit", None, None, "left", "left", None]),
        "row 3, column 'session_end': found 'limit', expected the same as in the session's last row",
    ),
}


@pytest.mark.parametrize("case", CELLS | RELATIONS)
def test_fault_is_named(case: str, frame: pd.DataFrame, catalog: Catalog) -> None:
    change, expected = (CELLS | RELATIONS)[case]
    change(frame)
    with pytest.raises(InputError) as caught:
        InteractionLog.from_frame(frame, source="shop.csv", catalog=catalog)
    error = caught.value
    assert expected in error.what
    assert "shop.csv" in error.where
    assert error.mend


def test_all_faults_are_gathered_ten_are_shown(frame: pd.DataFrame) -> None:
    many = pd.concat([frame] * 2, ignore_index=True).assign(click=7, position="x")
    with pytest.raises(InputError) as caught:
        InteractionLog.from_frame(many)
    assert caught.value.what.startswith("32 faults")
    assert caught.value.what.count("\n") == 11
    assert caught.value.what.endswith("and 22 more")


def test_faults_speak_the_files_own_names(frame: pd.DataFrame) -> None:
    theirs = frame.rename(columns={"click": "clicked_yn"})
    theirs.loc[3, "clicked_yn"] = 5
    with pytest.raises(InputError, match=re.escape("row 4, column 'clicked_yn' (our 'click'): found 5")):
        InteractionLog.from_frame(theirs, columns={"click": "clicked_yn"})


def test_missing_columns_suggest_names_and_the_mapping(frame: pd.DataFrame) -> None:
    theirs = frame.rename(columns={"session_id": "sessionid", "click": "was_clicked"})
    with pytest.raises(InputError) as caught:
        InteractionLog.from_frame(theirs, source="shop.csv")
    assert "lacks columns session_id, click" in caught.value.what
    assert "did you mean 'sessionid'?" in caught.value.what
    assert "did you mean 'was_clicked'?" in caught.value.what
    assert "--columns" in caught.value.mend
    assert "log: {session_id: <your name for it>, click: <your name for it>}" in caught.value.mend


def test_no_step_points_to_the_repair(frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="derive-steps"):
        InteractionLog.from_frame(frame.drop(columns="step"))


def test_empty_and_unknown_names(frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="no rows"):
        InteractionLog.from_frame(frame.iloc[:0])
    with pytest.raises(InputError, match=r"no repair 'sorted'. did you mean 'sort'"):
        InteractionLog.from_frame(frame, repairs=["sorted"])
    with pytest.raises(InputError, match=r"'clik' is no column. did you mean 'click'"):
        InteractionLog.from_frame(frame, columns={"click": "clik"})
    with pytest.raises(InputError, match=r"'klick' is not a name of ours. did you mean 'click'"):
        InteractionLog.from_frame(frame, columns={"klick": "click"})


def test_mixed_time_zones(frame: pd.DataFrame, catalog: Catalog) -> None:
    tokyo = frame.copy()
    tokyo.loc[7, "timestamp"] = "2026-01-03T19:00:00+09:00"
    with pytest.raises(InputError, match=r"row 8, column 'timestamp': .*expected the time zone of most rows"):
        InteractionLog.from_frame(tokyo)
    mended = InteractionLog.from_frame(tokyo, repairs={"to-utc"})
    assert mended.repaired == {"to-utc": 1}
    pd.testing.assert_frame_equal(mended.rows, InteractionLog.from_frame(frame).rows)


def test_naive_beside_aware_times(frame: pd.DataFrame) -> None:
    mixed = frame.copy()
    mixed.loc[7, "timestamp"] = "2026-01-03T10:00:00"
    with pytest.raises(InputError, match=r"row 8, .*expected a time zone, as other rows have"):
        InteractionLog.from_frame(mixed)
    mended = InteractionLog.from_frame(mixed, repairs={"assume-utc"})
    assert mended.repaired == {"assume-utc": 1}
    pd.testing.assert_frame_equal(mended.rows, InteractionLog.from_frame(frame).rows)


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_times_as_numbers(frame: pd.DataFrame, unit: str, factor: int) -> None:
    seconds = (pd.to_datetime(frame["timestamp"]) - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(seconds=1)
    expected = InteractionLog.from_frame(frame).rows["timestamp"]
    for numbers in (seconds * factor, (seconds * factor).astype(str)):
        rows = InteractionLog.from_frame(frame.assign(timestamp=numbers)).rows
        pd.testing.assert_series_equal(rows["timestamp"], expected)


def test_single_impressions_have_one_row_a_step(frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="one row per step, as these are single impressions"):
        InteractionLog.from_frame(frame, single_impressions=True)


def test_single_impressions_have_a_place_on_a_page(frame: pd.DataFrame) -> None:
    frame = frame.assign(session_id=range(8), step=0, position=2**30)
    with pytest.raises(
        InputError, match="row 1, column 'position': found 1073741824, expected a position below"
    ):
        InteractionLog.from_frame(frame, single_impressions=True)


CANDIDATES = {
    "rank-gap": (lambda c: c.replace({"rank": {3: 7}}), "column 'rank': found 7, expected ranks 0, 1, 2"),
    "rank-type": (lambda c: c.assign(rank="x"), "column 'rank': found 'x', expected a whole number"),
    "repeat": (
        lambda c: c.replace({"item_id": {"b": "c"}}),
        "column 'item_id': found 'c', expected an item that is",
    ),
    "other-page": (
        lambda c: c.replace({"session_id": {"s3": "s9"}}),
        "found 's9', expected a session and step",
    ),
    "unknown": (
        lambda c: c.replace({"item_id": {"b": "zzz"}}),
        "found 'zzz', expected an item of the catalogue",
    ),
    "not-listed": (
        lambda c: c[c["session_id"] != "s2"],
        "found 'a', expected one of the candidates of its step",
    ),
}


@pytest.mark.parametrize("case", CANDIDATES)
def test_faults_of_candidates(
    case: str, frame: pd.DataFrame, candidates: pd.DataFrame, catalog: Catalog
) -> None:
    change, expected = CANDIDATES[case]
    with pytest.raises(InputError, match=re.escape(expected)):
        InteractionLog.from_frame(frame, change(candidates), catalog=catalog)


def test_candidates_without_rank(frame: pd.DataFrame, candidates: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="the candidates lacks the column rank"):
        InteractionLog.from_frame(frame, candidates.drop(columns="rank"))
