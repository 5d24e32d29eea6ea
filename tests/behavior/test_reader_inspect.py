"""What `inspect` counts, says and draws: worked out by hand, and for logs that nothing can be learned from."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from behavior import InputError, InteractionLog
from behavior.__main__ import main
from behavior.plots import plot_log
from behavior.summary import rate_interval


def _pages(
    n: int, size: int, *, clicks: float = 0.3, items: int = 7, step_days: float = 0.1, shuffle: bool = True
) -> pd.DataFrame:
    """`n` sessions of one page of `size` places, clicked with a chance of `clicks`."""
    rng = np.random.default_rng(3)
    rows = []
    for page in range(n):
        shown = (
            rng.permutation(items)[:size] if shuffle else np.arange(size) + (page % (items // size)) * size
        )
        for position, item in enumerate(shown.tolist()):
            time = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(days=page * step_days)
            clicked = int(rng.random() < clicks)
            rows.append((f"s{page}", 0, time.isoformat(), position, f"i{item}", clicked))
    return pd.DataFrame(rows, columns=["session_id", "step", "timestamp", "position", "item_id", "click"])


def test_the_interval_of_a_rate() -> None:
    # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3
    assert rate_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert rate_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert rate_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert rate_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_overlap_and_pauses_by_hand(frame: pd.DataFrame, candidates: pd.DataFrame) -> None:
    # items by place: a 0 1, c 1 0, b 0, d 2 1 0; under one query: lamp c 1 0
    frame["propensity"] = [0.5, 0.5, 0.25, 0.5, 0.5, 0.5, np.nan, 1.0]
    frame["policy_id"] = ["p"] * 4 + ["q"] * 4
    summary = InteractionLog.from_frame(frame, candidates).summary()
    overlap = summary.overlap
    assert overlap.moved_items == 3 / 4
    assert overlap.moved_rows == 7 / 8
    assert overlap.moved_pairs == 2 / 8
    assert overlap.shown_candidates == 1.0
    assert overlap.policies == 2
    fact = overlap.propensities["propensity"]
    assert (fact.known, fact.smallest, fact.median, fact.certain) == (7 / 8, 0.25, 0.5, 1 / 7)
    # weights 2 (five times), 4 and 1: (10 + 4 + 1)² / (7 (20 + 16 + 1))
    assert fact.even_weight == pytest.approx(15**2 / (7 * 37))
    pauses = summary.pauses
    assert pauses.days == pytest.approx(2.0)
    assert pauses.empty_days == 0
    assert pauses.longest_hours == pytest.approx(24.0)
    assert pauses.longest_begins == "2026-01-02T10:00:00+00:00"
    assert pauses.return_days == 1.0  # u1: s1, then s2 a day later
    assert summary.tail_items == 1.0
    assert summary.unclicked_items == 2 / 4
    assert summary.n_positions == 3


def test_empty_days_are_counted() -> None:
    summary = InteractionLog.from_frame(_pages(4, 2, step_days=3)).summary()
    assert summary.pauses.empty_days == 6
    assert any("6 days between the first and the last row are empty" in text for text in summary.lacks)


@pytest.mark.parametrize(
    ("kind", "lacking"),
    [
        ("no clicks", "any click model: nothing was clicked"),
        ("all clicks", "any click model: every row is a click"),
        ("one position", "any effect of the place: all rows stand at position 0"),
        ("one item", "what makes an item attractive: a single item was shown"),
        ("one instant", "a split in time: all rows carry the same time"),
        ("fixed places", "place told apart from item: only 0%"),
        ("few sessions", "a judgement on held-out sessions: there are 60 only"),
        ("all bought", "conversion after a click: every click is a purchase"),
        ("no chance", "every propensity is 1, the policy left nothing to chance"),
        ("no overlap", "the smallest propensity is 1.0e-06"),
        ("endless", "the longest has 1,500 steps"),
    ],
)
def test_what_a_poor_log_does_not_support(kind: str, lacking: str, tmp_path: Path) -> None:
    frame = _pages(60, 3)
    if kind in ("no clicks", "all clicks"):
        frame["click"] = int(kind == "all clicks")
    elif kind == "one position":
        frame = _pages(60, 1)
    elif kind == "one item":
        frame = _pages(60, 1, items=1)
    elif kind == "one instant":
        frame["timestamp"] = "2026-01-01T00:00:00Z"
    elif kind == "fixed places":
        frame = _pages(60, 3, shuffle=False)
    elif kind == "all bought":
        frame["purchase"] = frame["click"]
    elif kind == "no chance":
        frame["propensity"] = 1.0
    elif kind == "no overlap":
        frame["propensity"] = np.where(np.arange(len(frame)) == 5, 1e-6, 0.5)
    elif kind == "endless":
        frame = _pages(1500, 1).assign(session_id="s", step=range(1500))
    log = InteractionLog.from_frame(frame)
    summary = log.summary()
    assert any(lacking in text for text in summary.lacks), summary.lacks
    others = " ".join(summary.supports)
    if kind in ("no clicks", "all clicks"):
        assert "click" not in others
    if kind == "one position":
        assert "position-based" not in others
    if kind in (
        "no clicks",
        "one item",
        "one instant",
        "no overlap",
        "endless",
    ):  # nothing of it fails to be drawn
        assert plot_log(log, summary, tmp_path / "plots")


def test_a_good_log_is_told_so() -> None:
    frame = _pages(300, 3)
    frame["propensity"] = 1 / 7
    frame["session_end"] = "left"
    summary = InteractionLog.from_frame(frame).summary()
    told = " ".join(summary.supports)
    for text in (
        "position-based",
        "cascade",
        "place told apart from item: 100%",
        "an even policy rests on 100%",
        "leaving",
    ):
        assert text in told
    assert not any("click model" in text for text in summary.lacks)


def test_inspect_prints_and_draws(
    tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    path = tmp_path / "clicks.csv"
    frame.assign(propensity=0.5).to_csv(path, index=False)
    plots = tmp_path / "pictures"
    assert main(["inspect", str(path), "--plots", str(plots)]) == 0
    shown = capsys.readouterr().out
    for text in (
        "overlap",
        "gaps in time",
        "95 % interval",
        "This log supports:",
        "This log does not support:",
    ):
        assert text in shown
    names = {file.name for file in plots.iterdir()}
    assert names == {
        f"{name}.png"
        for name in ("rates-by-position", "long-tail", "visits", "time", "overlap", "propensities")
    }
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in plots.iterdir())
    assert main(["inspect", str(path), "--plots", str(plots)]) == 2
    assert "holds something already" in capsys.readouterr().err


def test_formats_are_listed_and_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["formats"]) == 0
    shown = capsys.readouterr().out
    for name in ("tables", "open-bandit", "ubi", "otto", "kuairand", "kuairec", "rl4rs", "movielens"):
        assert name in shown
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert "otto" in capsys.readouterr().out
    matrix = tmp_path / "big_matrix.csv"
    matrix.write_text(
        "user_id,video_id,play_duration,timestamp,watch_ratio\n1,2,500,1593878903,0.5\n1,3,500,1593879903,2.5\n"
    )
    assert main(["validate", f"kuairec:{matrix}"]) == 2
    assert "--positive-from" in capsys.readouterr().err
    assert main(["validate", f"kuairec:{matrix}", "--positive-from", "2", "--gap-minutes", "10"]) == 0
    shown = capsys.readouterr().out
    assert "valid: 2 rows, 2 steps, 2 sessions, 2 items" in shown
    assert "does not support" in shown


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path, frame: pd.DataFrame) -> None:
    log = InteractionLog.from_frame(frame)
    place = tmp_path / "file"
    place.touch()
    with pytest.raises(InputError, match="holds something already"):
        plot_log(log, log.summary(), place)
    assert math.isnan(log.summary().overlap.shown_candidates)
