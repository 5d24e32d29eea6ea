"""Rows become pages: against a log worked out by hand, and the contract on logs of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from behavior import Catalog, InputError, InteractionLog, SessionEnd, read_log
from behavior.contract import check_log, check_steps


def test_regrouped_by_hand(frame: pd.DataFrame, catalog: Catalog, candidates: pd.DataFrame) -> None:
    log = InteractionLog.from_frame(frame, candidates, catalog=catalog)
    steps = check_log(log, catalog)
    # sessions in order of their first time: s1 (two pages), s2, s3
    assert steps.session.tolist() == [0, 0, 1, 2]
    assert steps.user.tolist() == [0, 0, 0, 1]
    assert steps.step.tolist() == [0, 1, 0, 0]
    assert steps.queries == ("chair", "lamp", "")
    assert steps.query.tolist() == [0, 1, 1, 2]
    assert steps.item.tolist() == [[1, 0, 3], [2, 3, -1], [0, 2, -1], [3, -1, -1]]
    assert steps.click.tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert steps.purchase.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert steps.candidates.tolist() == [[3, 2, 1, 0]] * 3 + [[3, 2, -1, -1]]
    assert steps.timestamp[1] - steps.timestamp[0] == 60 * 10**9
    assert pd.Timestamp(int(steps.timestamp[0]), tz="UTC") == pd.Timestamp("2026-01-01T10:00:00Z")
    assert steps.session_end.tolist() == [SessionEnd.NO, *[SessionEnd.UNKNOWN] * 3]
    assert np.isnan(steps.propensity).all()
    assert not steps.single_impressions


def test_order_of_rows_does_not_change_the_steps(frame: pd.DataFrame, catalog: Catalog) -> None:
    straight = InteractionLog.from_frame(frame).to_steps(catalog)
    shuffled = InteractionLog.from_frame(frame.sample(frac=1, random_state=1), repairs={"sort"})
    again = shuffled.to_steps(catalog)
    np.testing.assert_array_equal(again.item, straight.item)
    np.testing.assert_array_equal(again.click, straight.click)
    assert again.queries == straight.queries
    assert shuffled.repaired["sort"] > 0


def test_sessions_may_be_interleaved(frame: pd.DataFrame, catalog: Catalog) -> None:
    by_time = frame.sort_values(["timestamp", "position"])
    mixed = pd.concat([by_time.iloc[::2], by_time.iloc[1::2]]).sort_values(
        ["step", "position"], kind="stable"
    )
    np.testing.assert_array_equal(
        InteractionLog.from_frame(mixed).to_steps(catalog).item,
        InteractionLog.from_frame(frame).to_steps(catalog).item,
    )


def test_dwell_reaches_its_place_and_is_none_where_the_log_tells_none(
    frame: pd.DataFrame, catalog: Catalog
) -> None:
    assert InteractionLog.from_frame(frame).to_steps(catalog).dwell is None
    frame["dwell_seconds"] = [4.5, 0.0, None, 7.0, None, 3.0, None, 2.0]
    steps = InteractionLog.from_frame(frame).to_steps(catalog)
    assert steps.dwell is not None
    nan = np.nan
    np.testing.assert_array_equal(
        steps.dwell,
        np.array([[nan, 7.0, nan], [3.0, nan, nan], [4.5, 0.0, nan], [2.0, nan, nan]], np.float32),
    )
    cut = steps.top(2).dwell
    assert cut is not None
    np.testing.assert_array_equal(cut, steps.dwell[:, :2])
    some = steps.take(np.array([1])).dwell
    assert some is not None
    np.testing.assert_array_equal(some, steps.dwell[1:2])


def test_propensities_and_ends_reach_their_places(frame: pd.DataFrame, catalog: Catalog) -> None:
    frame["propensity"] = [0.5, 0.4, 0.3, 0.2, 0.1, 0.6, 0.7, None]
    frame["cascade_propensity"] = [0.5, 0.2, 0.3, 0.06, 0.006, 0.6, 0.42, None]
    frame["slate_propensity"] = [0.2, 0.2, 0.006, 0.006, 0.006, 0.42, 0.42, None]
    frame["session_end"] = ["left", "left", None, None, None, "LIMIT", "limit", "unknown"]
    steps = check_log(InteractionLog.from_frame(frame, catalog=catalog), catalog)
    nan = np.nan
    np.testing.assert_array_equal(
        steps.propensity, [[0.3, 0.2, 0.1], [0.6, 0.7, nan], [0.5, 0.4, nan], [nan, nan, nan]]
    )
    np.testing.assert_array_equal(steps.slate_propensity, [0.006, 0.42, 0.2, nan])
    np.testing.assert_array_equal(steps.cascade_propensity[0], [0.3, 0.06, 0.006])
    assert steps.session_end.tolist() == [
        SessionEnd.NO,
        SessionEnd.LIMIT,
        SessionEnd.LEFT,
        SessionEnd.UNKNOWN,
    ]


def test_top_cuts_pages_as_if_they_had_ended_there(frame: pd.DataFrame, catalog: Catalog) -> None:
    frame["propensity"] = 0.5
    frame["cascade_propensity"] = 0.5 ** (frame["position"] + 1.0)
    frame["slate_propensity"] = frame.groupby(["session_id", "step"])["cascade_propensity"].transform("min")
    steps = InteractionLog.from_frame(frame).to_steps(catalog)
    assert steps.top(3) is steps
    cut = steps.top(2)
    assert cut.item.tolist() == [[1, 0], [2, 3], [0, 2], [3, -1]]
    assert cut.click.shape == cut.purchase.shape == cut.propensity.shape == (4, 2)
    assert cut.slate_propensity.tolist() == [0.25, 0.25, 0.25, 0.5]  # the last page holds one item
    assert steps.slate_propensity.tolist() == [0.125, 0.25, 0.25, 0.5]
    check_steps(cut, n_items=catalog.n_items)


def test_context_is_numbers_and_sorted_levels(frame: pd.DataFrame, catalog: Catalog) -> None:
    frame["context_age"] = [30, 30, 30, 30, 30, 31, 31, 50]
    frame["context_device"] = ["web"] * 7 + ["app"]
    log = InteractionLog.from_frame(frame)
    steps = log.to_steps(catalog)
    assert steps.context_names == ("age", "device=app", "device=web")
    assert steps.context.tolist() == [[30, 0, 1], [31, 0, 1], [30, 0, 1], [50, 1, 0]]
    other = log.to_steps(catalog, context_names=("device=web", "device=tv"))
    assert other.context.tolist() == [[1, 0], [1, 0], [1, 0], [0, 0]]


def test_query_vocabulary_is_kept_and_foreign_queries_refused(frame: pd.DataFrame, catalog: Catalog) -> None:
    log = InteractionLog.from_frame(frame)
    steps = log.to_steps(catalog, queries=["desk", "", "lamp", "chair"])
    assert steps.query.tolist() == [3, 2, 2, 1]
    assert steps.queries == ("desk", "", "lamp", "chair")
    with pytest.raises(InputError, match="'lamp'"):
        log.to_steps(catalog, queries=["", "chair"])


def test_items_outside_the_catalogue_are_refused_when_regrouping(frame: pd.DataFrame) -> None:
    few = Catalog.from_frame(pd.DataFrame({"item_id": ["a", "b"]}))
    with pytest.raises(InputError, match="2 items of the log"):
        InteractionLog.from_frame(frame).to_steps(few)


def test_single_impressions_keep_their_slot(catalog: Catalog) -> None:
    frame = pd.DataFrame(
        {
            "timestamp": ["2026-01-01 00:00:02", "2026-01-01 00:00:01"],
            "item_id": ["a", "b"],
            "position": [2, 0],
            "click": [1, 0],
            "propensity": [0.25, 0.5],
        }
    )
    log = InteractionLog.from_frame(frame, single_impressions=True, catalog=catalog)
    steps = check_log(log, catalog)
    assert steps.single_impressions
    assert steps.item.tolist() == [[1, -1, -1], [-1, -1, 0]]
    assert steps.click.tolist() == [[0, 0, 0], [0, 0, 1]]
    np.testing.assert_array_equal(steps.propensity, [[0.5, np.nan, np.nan], [np.nan, np.nan, 0.25]])
    assert any("no time zone" in note for note in log.notes)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("single", [False, True])
def test_written_logs_read_back_alike(
    tmp_path: Path, frame: pd.DataFrame, catalog: Catalog, candidates: pd.DataFrame, suffix: str, single: bool
) -> None:
    frame["propensity"] = [0.5, 0.1 + 0.2, 1 / 3, 0.2, 0.1, 0.6, 0.7, None]
    frame["context_device"] = ["web"] * 7 + ["app"]
    if single:
        frame["session_id"] = [f"{n:03d}" for n in range(len(frame))]  # ids that look like numbers stay text
        frame["step"] = 0
        log = InteractionLog.from_frame(frame, catalog=catalog, single_impressions=True)
    else:
        log = InteractionLog.from_frame(frame, candidates, catalog=catalog)
    path = tmp_path / f"log{suffix}"
    log.write(path)
    again = read_log(path, catalog=catalog)
    assert again.single_impressions == single
    pd.testing.assert_frame_equal(again.rows, log.rows)
    if not single:
        pd.testing.assert_frame_equal(again.candidates, log.candidates)
        assert (tmp_path / f"log.candidates{suffix}").exists()
    before = path.read_bytes()
    with pytest.raises(InputError, match="already"):
        log.write(path)
    assert path.read_bytes() == before
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [suffix] * (1 if single else 2)


def test_write_refuses_other_kinds(tmp_path: Path, frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="xlsx"):
        InteractionLog.from_frame(frame).write(tmp_path / "log.xlsx")


def test_summary_by_hand(frame: pd.DataFrame, candidates: pd.DataFrame) -> None:
    summary = InteractionLog.from_frame(frame, candidates).summary()
    assert (summary.n_rows, summary.n_steps, summary.n_sessions, summary.n_users) == (8, 4, 3, 2)
    assert (summary.n_items, summary.n_queries, summary.slate_size) == (4, 2, 3)
    assert (summary.clicks, summary.purchases) == (3, 1)
    assert [r.shown for r in summary.by_position] == [4, 3, 1]
    assert [r.click_rate for r in summary.by_position] == [0.5, 1 / 3, 0.0]
    assert [r.purchase_rate for r in summary.by_position] == [0.25, 0.0, 0.0]
    assert summary.steps_per_session == pytest.approx(4 / 3)
    assert summary.sessions_per_user == 1.5
    assert summary.returning_users == 0.5
    assert summary.head_share == 3 / 8  # d is shown 3 times of 8
    assert summary.empty_query_share == 0.25
    assert summary.candidates_per_step == 14 / 4
    assert any("cascade" in text for text in summary.supports)
    assert any("off-policy" in text for text in summary.lacks)


def test_contract_finds_what_is_broken(frame: pd.DataFrame, catalog: Catalog) -> None:
    import dataclasses

    log = InteractionLog.from_frame(frame)
    steps = log.to_steps(catalog)
    broken = {
        "purchase without": {"purchase": np.ones_like(steps.purchase)},
        "same item twice": {"item": np.where(steps.item >= 0, 1, -1).astype(np.int32)},
        "outside -1": {"item": steps.item + 3},
        "session_end": {"session_end": np.full_like(steps.session_end, SessionEnd.LEFT)},
        "order of time": {"timestamp": steps.timestamp[::-1].copy()},
        r"outside \(0, 1\]": {"slate_propensity": np.full(steps.n_steps, 1.5)},
    }
    for message, change in broken.items():
        with pytest.raises(AssertionError, match=message):
            check_steps(dataclasses.replace(steps, **change), catalog.n_items)
    rows = log.rows.assign(click=np.uint8(0))
    with pytest.raises(AssertionError, match="does not pass validation"):
        check_log(dataclasses.replace(log, rows=rows), catalog)


def test_two_hundred_thousand_rows_regroup() -> None:
    pages, size = 20_000, 10
    page = np.repeat(np.arange(pages), size)
    position = np.tile(np.arange(size), pages)
    start = np.datetime64("2026-01-01", "ns") + (page * 10**9).astype("timedelta64[ns]")
    frame = pd.DataFrame(
        {
            "session_id": [f"s{p // 5}" for p in page],
            "step": page % 5,
            "timestamp": start,
            "query": [f"q{p % 300}" for p in page],
            "position": position,
            "item_id": [f"i{(p * 7 + k) % 500}" for p, k in zip(page, position, strict=True)],
            "click": (page + position) % 9 == 0,
        }
    )
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": [f"i{n}" for n in range(500)]}))
    log = InteractionLog.from_frame(frame, catalog=catalog)
    steps = log.to_steps(catalog)
    assert steps.item.shape == (pages, size)
    assert int(steps.click.sum()) == int(frame["click"].sum())
    assert steps.item[7].tolist() == [(49 + k) % 500 for k in range(size)]
