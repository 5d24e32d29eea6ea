"""A log read part by part is the log read whole: equal arrays, equal messages, whatever the sizes of the parts."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from behavior import Catalog, InputError, InteractionLog, LoggedSteps, load, split_steps_by_time
from behavior.contract import check_steps
from behavior.log import candidates_path

pytest.importorskip("duckdb", reason="big logs need the extra `big`")

from behavior.big import BigLogConfig, PreparedLog, open_prepared, prepare_log

SMALL = BigLogConfig(rows_per_part=200, rows_per_write=330, pages_per_chunk=16)
N_ITEMS = 30


@pytest.fixture(scope="module")
def items() -> Catalog:
    return Catalog.from_frame(pd.DataFrame({"item_id": [f"i{n}" for n in range(N_ITEMS)], "price": 2.5}))


def shop_log(seed: int = 0, n_sessions: int = 120) -> pd.DataFrame:
    """Sessions of several pages that begin at a few equal times and stand mixed up in the file, pages in order."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for session in rng.permutation(n_sessions).tolist():
        start = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(minutes=int(rng.integers(40)))
        user, pages = int(rng.integers(n_sessions // 3)), int(rng.integers(1, 4))
        for step in range(pages):
            query = f" query {rng.integers(12)}" if rng.random() < 0.8 else None
            shown = rng.permutation(N_ITEMS)[: rng.integers(1, 5)].tolist()
            chance = rng.uniform(0.1, 1.0, len(shown))
            for position, item in enumerate(shown):
                click = int(rng.random() < 0.3)
                rows.append(
                    {
                        "session_id": f"s{session}",
                        "user_id": f"u{user}",
                        "step": step,
                        "timestamp": start + pd.Timedelta(nanoseconds=10**9 * step + position),
                        "query": query,
                        "position": position,
                        "item_id": f"i{item}",
                        "click": click,
                        "purchase": int(click and rng.random() < 0.3),
                        "dwell_seconds": 1.5 * position if click else None,
                        "session_end": ["left", "limit", None][session % 3] if step == pages - 1 else None,
                        "propensity": chance[position],
                        "cascade_propensity": chance[: position + 1].prod(),
                        "slate_propensity": chance.prod(),
                        "context_age": 20 + session % 7,
                        "context_device": ["web", "app", "tv set"][session % 3],
                        "colour": "passed over",
                    }
                )
    frame = pd.DataFrame(rows)
    # sessions interleaved, each still in its own order
    return frame.iloc[np.argsort(frame["step"].to_numpy(), kind="stable")].reset_index(drop=True)


def candidates_of(frame: pd.DataFrame) -> pd.DataFrame:
    shown = frame[["session_id", "step", "position", "item_id"]].rename(columns={"position": "rank"})
    return shown.sort_values(["session_id", "step", "rank"]).reset_index(drop=True)


def assert_equal(found: LoggedSteps, wanted: LoggedSteps) -> None:
    for field in dataclasses.fields(LoggedSteps):
        here, there = getattr(found, field.name), getattr(wanted, field.name)
        if isinstance(there, np.ndarray):
            assert here.dtype == there.dtype, field.name
            np.testing.assert_array_equal(here, there, err_msg=field.name)
        else:
            assert here == there, field.name


def assert_same_log(prepared: PreparedLog, log: InteractionLog, catalog: Catalog) -> None:
    """All three parts, the catalogue and what is told of the log."""
    pd.testing.assert_frame_equal(prepared.catalog.frame, catalog.frame)
    wanted = split_steps_by_time(log.to_steps(catalog))
    for part, whole in zip((prepared.train, prepared.valid, prepared.test), wanted, strict=True):
        assert_equal(part.load(), whole)
        assert (part.n_sessions, part.n_steps) == (whole.n_sessions, whole.n_steps)
    meta = prepared.meta
    assert meta.split == wanted.record()
    assert meta.notes == log.notes
    assert (meta.n_rows, meta.n_clicks) == (len(log.rows), int(log.rows["click"].sum()))
    assert meta.n_purchases == int(log.rows["purchase"].sum())
    assert meta.n_users == log.rows["user_id"].nunique()


def compare(frame: pd.DataFrame, folder: Path, catalog: Catalog | None, **options: Any) -> PreparedLog:
    path = folder / "log.parquet"
    frame.to_parquet(path)
    whole = load(path, catalog=catalog, **options)
    prepared = prepare_log(path, folder / "out", catalog=catalog, config=SMALL, progress=False, **options)
    assert_same_log(prepared, whole.log, whole.catalog)
    assert {k: v for k, v in prepared.meta.repaired.items() if k != "sort"} == {
        k: v for k, v in whole.log.repaired.items() if k != "sort"
    }
    return prepared


def test_all_columns_with_candidates(tmp_path: Path, items: Catalog) -> None:
    frame = shop_log()
    candidates_of(frame).to_parquet(tmp_path / "log.candidates.parquet")
    prepared = compare(frame, tmp_path, items)
    assert prepared.train.n_chunks > 2
    assert prepared.train.chunk(0).context_names == ("age", "device=app", "device=tv set", "device=web")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "catalog.parquet",
        "prepared.json",
        "queries.parquet",
        "test",
        "train",
        "valid",
    ]


def test_required_columns_alone_without_a_catalogue(tmp_path: Path) -> None:
    frame = shop_log(1)[["session_id", "step", "timestamp", "position", "item_id", "click"]]
    frame["timestamp"] = frame["timestamp"].dt.tz_localize(None)
    compare(frame, tmp_path, None)


@pytest.mark.parametrize("seed", [2, 3])
def test_repairs_of_a_spoiled_log(tmp_path: Path, items: Catalog, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = shop_log(seed)
    frame.loc[rng.choice(len(frame), 6, replace=False), "item_id"] = "unknown"
    frame.loc[rng.choice(len(frame), 6, replace=False), "purchase"] = 1
    frame["position"] += 1
    frame = pd.concat([frame, frame.iloc[rng.choice(len(frame), 9, replace=False)]])
    frame = frame.sample(frac=1, random_state=seed)
    frame = frame.drop(columns=["dwell_seconds", "cascade_propensity", "slate_propensity"])
    repairs = (
        "sort",
        "drop-duplicates",
        "positions-from-one",
        "purchase-implies-click",
        "drop-unknown-items",
    )
    frame["session_end"] = None
    compare(frame, tmp_path, items, repairs=repairs)


def test_pages_numbered_by_time_and_no_catalogue(tmp_path: Path) -> None:
    frame = shop_log(4).drop(columns=["step", "slate_propensity", "session_end"])
    frame["timestamp"] = frame["timestamp"].dt.floor("s")
    frame["query"] = frame["query"].fillna("")
    frame = frame.sample(frac=1, random_state=4)
    compare(frame, tmp_path, None, repairs=("derive-steps", "sort"))


def test_times_ids_and_numbers_written_in_other_ways(tmp_path: Path) -> None:
    frame = shop_log(5)
    frame["session_id"] = frame["session_id"].str[1:].astype("float64")  # as ids that passed through a gap
    frame["user_id"] = frame["user_id"].str[1:].astype("int32")
    frame["context_age"] = frame["context_age"].astype(str)  # numbers written as text stay numbers
    frame["context_device"] = frame["context_age"].where(frame["context_device"] != "web", "thirty")
    frame["timestamp"] = frame["timestamp"].map(lambda t: t.isoformat())
    frame["click"] = frame["click"].map({0: "no", 1: "yes"})
    compare(frame, tmp_path, None)


def test_seconds_are_told_by_the_largest_time_of_all(tmp_path: Path) -> None:
    frame = shop_log(6)
    seconds = frame["timestamp"].astype("int64") // 10**9
    # in milliseconds, and most sessions so early that alone they would pass for seconds
    frame["timestamp"] = (seconds - seconds.min()) * 1000
    frame.loc[frame["session_id"] == "s7", "timestamp"] += 1_767_225_600_000
    compare(frame, tmp_path, None)


@pytest.mark.parametrize("mapped", [False, True])
def test_single_impressions(tmp_path: Path, mapped: bool) -> None:
    frame = shop_log(7)[["timestamp", "item_id", "position", "click", "propensity"]]
    if mapped:
        (tmp_path / "columns.yaml").write_text("log: {single_impressions: true}")
        compare(frame, tmp_path, None, columns=tmp_path / "columns.yaml")
    else:
        frame = frame.assign(single_impression=1, session_id=[f"{n}" for n in range(len(frame))], step=0)
        compare(frame, tmp_path, None)


def test_many_files_are_one_log_in_the_order_of_their_names(tmp_path: Path, items: Catalog) -> None:
    frame = shop_log(8).rename(columns={"item_id": "sku"})
    folder = tmp_path / "days"
    folder.mkdir()
    cuts = [0, 100, 101, 300, len(frame)]
    for day, (low, high) in enumerate(pairwise(cuts)):
        frame.iloc[low:high].to_parquet(folder / f"day-{day}.parquet")
    candidates_of(frame.rename(columns={"sku": "item_id"})).to_parquet(folder / "all.candidates.parquet")
    (tmp_path / "columns.yaml").write_text("log: {item_id: sku}")
    frame.to_parquet(tmp_path / "log.parquet")
    candidates = folder / "all.candidates.parquet"
    columns = tmp_path / "columns.yaml"
    whole = load(tmp_path / "log.parquet", catalog=items, columns=columns, candidates=candidates)
    prepared = prepare_log(
        folder, tmp_path / "out", catalog=items, columns=columns, config=SMALL, progress=False
    )
    assert_same_log(prepared, whole.log, items)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz"])
def test_texts_are_read_as_the_readers_read_them(tmp_path: Path, suffix: str) -> None:
    frame = shop_log(13)
    frame["session_id"] = frame["session_id"].map(lambda name: f"{int(name[1:]):03d}")  # ids, not numbers
    frame["query"] = frame["query"].str.replace("query 1", 'a "quoted", query')
    path, separator = tmp_path / f"log{suffix}", "\t" if suffix == ".tsv" else ","
    frame.to_csv(path, sep=separator, index=False)
    candidates_of(frame).to_csv(candidates_path(path), sep=separator, index=False)
    whole = load(path)
    prepared = prepare_log(path, tmp_path / "out", config=SMALL, progress=False)
    assert_same_log(prepared, whole.log, whole.catalog)


def test_sizes_of_parts_and_chunks_change_nothing(tmp_path: Path, items: Catalog) -> None:
    shop_log(9).to_parquet(tmp_path / "log.parquet")
    for name, config in {
        "one": BigLogConfig(),
        "many": BigLogConfig(rows_per_part=40, pages_per_chunk=1),
    }.items():
        prepare_log(tmp_path / "log.parquet", tmp_path / name, catalog=items, config=config, progress=False)
    one, many = open_prepared(tmp_path / "one"), open_prepared(tmp_path / "many")
    assert (one.train.n_chunks, many.train.n_chunks) == (1, one.train.n_sessions)
    assert_equal(many.train.load(), one.train.load())
    assert_equal(many.test.load(), one.test.load())


def test_chunks_are_logs_of_their_own(tmp_path: Path, items: Catalog) -> None:
    prepared = compare(shop_log(10), tmp_path, items)
    whole = prepared.train.load()
    chunks = list(prepared.train.chunks())
    for chunk in chunks:
        check_steps(chunk, N_ITEMS)
    assert [c.n_sessions for c in chunks] != [prepared.train.n_sessions]
    np.testing.assert_array_equal(np.concatenate([c.timestamp for c in chunks]), whole.timestamp)
    offsets = np.cumsum([0, *(c.n_sessions for c in chunks[:-1])])
    session = np.concatenate([c.session + low for c, low in zip(chunks, offsets, strict=True)])
    np.testing.assert_array_equal(session, whole.session)


def test_batches_hold_every_session_once_whole_and_mixed(tmp_path: Path, items: Catalog) -> None:
    part = compare(shop_log(11), tmp_path, items).train
    batches = list(part.batches(10, np.random.default_rng(5)))
    assert all(10 <= b.n_steps <= 12 for b in batches[:-1])  # a session has three pages at most
    again = list(part.batches(10, np.random.default_rng(5)))
    for one, other in zip(batches, again, strict=True):
        assert_equal(one, other)

    def sessions(steps: LoggedSteps) -> list[bytes]:
        return [
            steps.timestamp[steps.session == s].tobytes() + steps.item[steps.session == s].tobytes()
            for s in range(steps.n_sessions)
        ]

    drawn = [session for batch in batches for session in sessions(batch)]
    wanted = sessions(part.load())
    assert sorted(drawn) == sorted(wanted)
    assert drawn != wanted
    for batch in batches:
        ends = np.append(np.diff(batch.session) != 0, True)
        np.testing.assert_array_equal(batch.session_end != 0, ends)


@pytest.mark.parametrize("most", [1, 7, 60, 10**6])
def test_latest_sessions_are_those_that_a_fit_takes(tmp_path: Path, items: Catalog, most: int) -> None:
    from simulators.fitting.replay import latest_sessions

    shop_log(12).to_parquet(tmp_path / "log.parquet")
    part = prepare_log(
        tmp_path / "log.parquet", tmp_path / "out", catalog=items, config=SMALL, progress=False
    ).train
    wanted = latest_sessions(part.load(), most)
    found = part.latest(most)
    np.testing.assert_array_equal(found.timestamp, wanted.timestamp)
    np.testing.assert_array_equal(found.session, wanted.session - wanted.session[0])


def test_what_is_no_prepared_log(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no prepared log"):
        open_prepared(tmp_path)
    (tmp_path / "prepared.json").write_text('{"format": 0}')
    with pytest.raises(InputError, match="format 0"):
        open_prepared(tmp_path)
