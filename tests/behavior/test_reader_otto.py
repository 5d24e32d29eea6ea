"""OTTO sessions, by hand and as published."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from behavior import Dataset, InputError, load
from behavior.contract import check_log
from behavior.readers import lines, otto

SAMPLE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "otto_sample" / "train.jsonl"

MINUTE = 60_000
START = 1_659_304_800_000


def _events(*events: tuple[int, float, str]) -> list[dict[str, object]]:
    return [{"aid": aid, "ts": int(START + at * MINUTE), "type": kind} for aid, at, kind in events]


def _file(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def _load(path: Path, **options: object) -> Dataset:
    return load(f"otto:{path}", progress=False, **options)  # type: ignore[arg-type]


def test_clicks_become_steps_and_orders_mark_them(tmp_path: Path) -> None:
    first = _events(
        (7, 0, "clicks"),
        (8, 1, "clicks"),
        (7, 2, "carts"),
        (7, 3, "clicks"),
        (7, 40, "orders"),  # of the click at minute 3
        (9, 40, "orders"),  # never clicked
        (8, 50, "clicks"),  # 47 minutes after the last click: a new visit
    )
    second = {"session": 5, "events": _events((8, 0.5, "carts"))}
    path = _file(tmp_path / "train.jsonl", {"session": 3, "events": first}, second)
    dataset = _load(path)
    steps = check_log(dataset.log, dataset.catalog)
    rows = dataset.log.rows
    assert rows["session_id"].tolist() == ["3-0", "3-0", "3-0", "3-1"]
    assert rows["user_id"].tolist() == ["3"] * 4
    assert rows["item_id"].tolist() == ["7", "8", "7", "8"]
    assert rows["purchase"].tolist() == [0, 0, 1, 0]
    assert rows["context_carted"].tolist() == [0, 0, 1, 1]
    assert steps.single_impressions
    assert steps.item.shape == (4, 1)
    assert bool(steps.click.all())
    told = " ".join(dataset.log.notes)
    for text in (
        "only clicks were logged",
        "1 clicks are marked as bought, out of 2 orders",
        "1 orders of items never clicked before",
        "1 sessions without a click",
        "2 cart events",
    ):
        assert text in told


def test_the_gap_decides_on_visits(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.jsonl", {"session": 1, "events": _events((1, 0, "clicks"), (2, 40, "clicks"))})
    assert _load(path).log.rows["session_id"].nunique() == 2
    assert _load(path, gap_minutes=60).log.rows["session_id"].nunique() == 1
    with pytest.raises(InputError, match="session_gap is 0"):
        _load(path, gap_minutes=0)


def test_every_bad_line_is_named(tmp_path: Path) -> None:
    good = {"session": 1, "events": _events((1, 0, "clicks"))}
    path = _file(
        tmp_path / "bad.jsonl",
        good,
        {"session": "x", "events": []},
        {"session": 2, "events": 3},
        {"session": 4, "events": [{"aid": -1, "ts": START, "type": "views"}, 5]},
        good,
    )
    with pytest.raises(InputError) as caught:
        _load(path)
    for text in (
        "row 2, column 'session': found 'x', expected a whole number",
        "row 3, column 'events': found 3, expected a list of events",
        "row 4, column 'events[0].aid': found -1",
        "row 4, column 'events[0].type': found 'views', expected one of clicks, carts, orders",
        "row 4, column 'events[1]': found 5",
        "row 5, column 'session': found 1, expected a session of its own",
    ):
        assert text in str(caught.value)


def test_lines_that_are_no_json_are_named(tmp_path: Path) -> None:
    path = tmp_path / "torn.jsonl"
    path.write_text(
        json.dumps({"session": 1, "events": _events((1, 0, "clicks"))}) + '\n[1]\n{"session": 2, "ev'
    )
    with pytest.raises(InputError, match=r"(?s)line 2: found a list.*line 3: found '\{\"session\": 2, \"ev'"):
        _load(path)
    path.write_text("")
    with pytest.raises(InputError, match="empty"):
        _load(path)
    packed = tmp_path / "cut.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"session": 1}\n')[:-6])
    with pytest.raises(InputError, match="cannot be unpacked"):
        _load(packed)


def test_events_out_of_order_need_a_repair(tmp_path: Path) -> None:
    events = _events((1, 5, "clicks"), (2, 0, "clicks"), (1, 6, "orders"))
    path = _file(tmp_path / "late.jsonl", {"session": 1, "events": events})
    with pytest.raises(InputError, match=r"(?s)row 1, column 'events\[1\].ts'.*--repairs sort"):
        _load(path)
    log = _load(path, repairs=["sort"]).log
    assert log.rows["item_id"].tolist() == ["2", "1"]
    assert log.rows["purchase"].tolist() == [0, 1]
    assert log.repaired == {"sort": 1}


def test_what_is_no_session_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path / "long.jsonl", {"session": 1, "events": _events(*[(1, 0, "clicks")] * 5)})
    with monkeypatch.context() as patch:
        patch.setattr(otto, "LONGEST_SESSION", 4)
        with pytest.raises(InputError, match="session 1 has 5 events, more than 4"):
            _load(path)
    with monkeypatch.context() as patch:
        patch.setattr(lines, "LONGEST_LINE", 100)
        with pytest.raises(InputError, match="line 1 is longer than"):
            _load(path)
    carts = _file(tmp_path / "carts.jsonl", {"session": 1, "events": _events((1, 0, "carts"))})
    with pytest.raises(InputError, match="not a single click"):
        _load(carts)


@pytest.mark.skipif(not SAMPLE.exists(), reason="the OTTO sample is not at hand")
def test_the_published_sample() -> None:
    dataset = _load(SAMPLE)
    steps = check_log(dataset.log, dataset.catalog)
    records = [json.loads(line) for line in SAMPLE.read_text().splitlines()]
    kinds = [event["type"] for record in records for event in record["events"]]
    assert steps.n_steps == kinds.count("clicks") == 800
    assert dataset.log.rows["user_id"].nunique() == len(records) == 20
    assert dataset.catalog.n_items == len(
        {event["aid"] for record in records for event in record["events"] if event["type"] == "clicks"}
    )
    assert int(steps.purchase.sum()) == 7  # of 10 orders; 3 were never clicked before
