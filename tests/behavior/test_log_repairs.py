"""Repairs are made when asked for, counted, and change nothing else."""

from __future__ import annotations

import pandas as pd
import pytest

from behavior import Catalog, InputError, InteractionLog
from behavior.contract import check_log


def test_nothing_is_repaired_unasked(frame: pd.DataFrame) -> None:
    assert InteractionLog.from_frame(frame).repaired == {}
    with pytest.raises(InputError, match="--repairs sort"):
        InteractionLog.from_frame(frame.iloc[::-1])


def test_sort(frame: pd.DataFrame, catalog: Catalog) -> None:
    swapped = frame.iloc[[0, 1, 3, 2, 4, 5, 6, 7]]
    with pytest.raises(InputError, match=r"row 4, column 'position'.*rising order"):
        InteractionLog.from_frame(swapped)
    log = InteractionLog.from_frame(swapped, repairs={"sort"})
    assert log.repaired == {"sort": 2}
    pd.testing.assert_frame_equal(log.rows, InteractionLog.from_frame(frame).rows)


def test_purchase_implies_click(frame: pd.DataFrame) -> None:
    frame.loc[2, "purchase"] = 1
    log = InteractionLog.from_frame(frame, repairs={"purchase-implies-click"})
    assert log.repaired == {"purchase-implies-click": 1}
    assert log.rows["click"].tolist() == [1, 0, 1, 1, 0, 1, 0, 0]


def test_drop_duplicates(frame: pd.DataFrame) -> None:
    twice = pd.concat([frame.iloc[:3], frame.iloc[2:]])
    with pytest.raises(InputError, match="a position of its own"):
        InteractionLog.from_frame(twice)
    log = InteractionLog.from_frame(twice, repairs={"drop-duplicates"})
    assert log.repaired == {"drop-duplicates": 1}
    pd.testing.assert_frame_equal(log.rows, InteractionLog.from_frame(frame).rows)


def test_positions_from_one(frame: pd.DataFrame) -> None:
    one_based = frame.assign(position=frame["position"] + 1)
    with pytest.raises(InputError, match="positions-from-one"):
        InteractionLog.from_frame(one_based)
    log = InteractionLog.from_frame(one_based, repairs={"positions-from-one"})
    assert log.repaired == {"positions-from-one": 8}
    pd.testing.assert_frame_equal(log.rows, InteractionLog.from_frame(frame).rows)
    with pytest.raises(InputError, match="found -1"):
        InteractionLog.from_frame(frame, repairs={"positions-from-one"})


def test_drop_unknown_items_drops_whole_pages(
    frame: pd.DataFrame, catalog: Catalog, candidates: pd.DataFrame
) -> None:
    frame["session_end"] = ["left", "left", "", "", "", "left", "left", "left"]
    frame.loc[3, "item_id"] = "gone"  # on the first of s1's two pages
    shown = candidates.copy()
    shown.loc[(shown["session_id"] == "s1") & (shown["step"] == 0) & (shown["item_id"] == "a"), "item_id"] = (
        "gone"
    )
    log = InteractionLog.from_frame(frame, shown, repairs={"drop-unknown-items"}, catalog=catalog)
    assert log.repaired == {"drop-unknown-items": 3}
    steps = check_log(log, catalog)
    assert steps.item.tolist() == [[2, 3], [0, 2], [3, -1]]  # s1's second page is its first now
    assert steps.session_end.tolist() == [1, 1, 1]
    assert len(log.candidates) == 10


def test_drop_unknown_items_forgets_a_lost_end(frame: pd.DataFrame, catalog: Catalog) -> None:
    frame["session_end"] = ["left", "left", "", "", "", "left", "left", "left"]
    frame.loc[6, "item_id"] = "gone"  # on the last of s1's two pages
    log = InteractionLog.from_frame(frame, repairs={"drop-unknown-items"}, catalog=catalog)
    assert check_log(log, catalog).session_end.tolist() == [3, 1, 1]


def test_drop_unknown_items_never_leaves_nothing(frame: pd.DataFrame) -> None:
    other = Catalog.from_frame(pd.DataFrame({"item_id": ["1", "2"]}))
    with pytest.raises(InputError, match="no page is left"):
        InteractionLog.from_frame(frame, repairs={"drop-unknown-items"}, catalog=other)


def test_derive_steps_by_time_and_query(frame: pd.DataFrame, catalog: Catalog) -> None:
    bare = frame.drop(columns="step")
    log = InteractionLog.from_frame(bare, repairs={"derive-steps"})
    assert log.repaired == {"derive-steps": 8}
    assert log.rows["step"].tolist() == frame["step"].tolist()
    at_once = bare.assign(timestamp="2026-01-01T10:00:00Z")  # the query alone tells the pages apart
    assert (
        InteractionLog.from_frame(at_once, repairs={"derive-steps"}).rows["step"].tolist()
        == frame["step"].tolist()
    )
    mixed = bare.sample(frac=1, random_state=3)
    sorted_again = InteractionLog.from_frame(mixed, repairs={"derive-steps", "sort"})
    assert sorted_again.to_steps(catalog).item.tolist() == log.to_steps(catalog).item.tolist()
