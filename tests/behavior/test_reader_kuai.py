"""KuaiRand and KuaiRec: files made here after the published schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from behavior import Dataset, InputError, load
from behavior.contract import check_log

NOON = 1_650_513_600_000  # 2022-04-21T04:00:00Z in ms


def _impressions(rows: list[tuple[int, int, int, int, int, int, int]]) -> pd.DataFrame:
    """user, video, seconds after noon, click, play time in ms, random, tab; the other columns as published."""
    names = ["user_id", "video_id", "seconds", "is_click", "play_time_ms", "is_rand", "tab"]
    frame = pd.DataFrame(rows, columns=names)
    frame["time_ms"] = NOON + 1000 * frame.pop("seconds")
    frame = frame.assign(date=20220421, hourmin=1200, duration_ms=10_000, long_view=0)
    for name in ("is_like", "is_follow", "is_comment", "is_forward", "is_hate", "is_profile_enter"):
        frame[name] = 0
    return frame.assign(profile_stay_time=0, comment_stay_time=0)


def _kuairand(folder: Path) -> Path:
    data = folder / "KuaiRand-Pure" / "data"
    data.mkdir(parents=True)
    standard = [
        (4, 11, 60, 0, 500, 0, 1),
        (4, 10, 0, 1, 9_000, 0, 1),
        (9, 10, 5, 0, 0, 0, 2),
        (4, 12, 7_200, 1, 8_000, 0, 1),
    ]
    _impressions(standard).to_csv(data / "log_standard_4_22_to_5_08_pure.csv", index=False)
    _impressions([(4, 12, 30, 1, 7_000, 1, 1)]).to_csv(data / "log_random_4_22_to_5_08_pure.csv", index=False)
    pd.DataFrame(
        {
            "user_id": [4],
            "user_active_degree": ["full_active"],
            "is_live_streamer": [1],
            "register_days_range": ["730+"],
            "onehot_feat0": [1],
        }
    ).to_csv(data / "user_features_pure.csv", index=False)
    videos = pd.DataFrame({"video_id": [10, 11, 12, 13]}).assign(
        author_id=1,
        video_type="NORMAL",
        upload_dt="2022-04-01",
        upload_type=["ShortImport", "LongCamera", "ShortImport", "Web"],
        visible_status=1,
        video_duration=[9_000.0, None, 8_000.0, 1.0],
        server_width=720,
        server_height=1280,
        music_id=5,
        music_type=4,
        tag=["12,65", "8", "", "1"],
    )
    videos.to_csv(data / "video_features_basic_pure.csv", index=False)
    return folder / "KuaiRand-Pure"


def _rand(path: Path, **options: Any) -> Dataset:
    return load(f"kuairand:{path}", progress=False, **options)


def test_kuairand_by_hand(tmp_path: Path) -> None:
    dataset = _rand(_kuairand(tmp_path))
    steps = check_log(dataset.log, dataset.catalog)
    rows = dataset.log.rows
    assert rows[["session_id", "item_id", "click", "policy_id"]].to_numpy().tolist() == [
        ["4-0", "10", 1, "standard"],
        ["4-0", "12", 1, "random"],
        ["4-0", "11", 0, "standard"],
        ["4-1", "12", 1, "standard"],
        ["9-0", "10", 0, "standard"],
    ]
    assert rows["dwell_seconds"].tolist() == [9.0, 7.0, 0.5, 8.0, 0.0]
    assert rows["context_user_active_degree"].tolist() == ["is full_active"] * 4 + [""]
    assert rows["context_tab"].tolist() == ["tab 1"] * 4 + ["tab 2"]
    assert "propensity" not in rows
    assert steps.single_impressions
    assert "onehot_feat0" not in " ".join(steps.context_names)
    assert dataset.catalog.item_ids == ("10", "12", "11")  # those shown; video 13 never was
    assert dataset.catalog.frame["category"].tolist() == ["12,65", "", "8"]
    assert dataset.catalog.numeric_columns == ("video_duration", "server_width", "server_height")
    told = " ".join(dataset.log.notes)
    assert "states no propensities" in told
    assert "nothing is known of 1 of them" in told


def test_kuairand_one_file_and_without_side_files(tmp_path: Path) -> None:
    data = _kuairand(tmp_path) / "data"
    for name in ("user_features_pure.csv", "video_features_basic_pure.csv"):
        (data / name).unlink()
    dataset = _rand(data / "log_random_4_22_to_5_08_pure.csv")
    check_log(dataset.log, dataset.catalog)
    assert len(dataset.log.rows) == 1
    assert not dataset.catalog.has_text
    assert any("no table of users" in note for note in dataset.log.notes)


def test_kuairand_bad_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no log_\*.csv of KuaiRand; it holds nothing"):
        _rand(tmp_path)
    log = tmp_path / "log_standard.csv"
    _impressions([(1, 2, 0, 1, 0, 0, 1)]).rename(columns={"time_ms": "timems"}).to_csv(log, index=False)
    with pytest.raises(
        InputError, match=r"lacks columns that KuaiRand has\n  time_ms\. did you mean 'timems'"
    ):
        _rand(log)
    frame = _impressions([(1, 2, 0, 1, 0, 0, 1), (1, 3, 0, 1, -5, 0, 1)])
    frame.to_csv(log, index=False)
    with pytest.raises(
        InputError, match="row 2, column 'play_time_ms': found '-5', expected a number of at least 0"
    ):
        _rand(log)
    frame = frame.assign(play_time_ms=0, is_click=[1, 2])
    frame.to_csv(log, index=False)
    with pytest.raises(InputError, match=r"row 2, column 'is_click' .*found '2', expected 0 or 1"):
        _rand(log)


def _kuairec(folder: Path) -> Path:
    pd.DataFrame(
        {
            "user_id": [14, 14, 14, 19],
            "video_id": [148, 183, 3649, 148],
            "play_duration": [4_000, 24_000, 10_000, 9_000],
            "video_duration": [8_000, 8_000, 10_000, 8_000],
            "time": ["2020-07-05 05:27:48.378"] * 4,
            "date": [20200705] * 4,
            "timestamp": [1593898068.378, 1593898000.0, None, 1593898500.0],
            "watch_ratio": [0.5, 3.0, 1.0, 1.125],
        }
    ).to_csv(folder / "small_matrix.csv", index=False)
    pd.DataFrame({"video_id": [148, 183, 3649], "feat": ["[27, 9]", "[8]", "[1]"]}).to_csv(
        folder / "item_categories.csv", index=False
    )
    return folder / "small_matrix.csv"


def _rec(path: Path, **options: Any) -> Dataset:
    return load(f"kuairec:{path}", progress=False, **options)


def test_kuairec_by_hand(tmp_path: Path) -> None:
    dataset = _rec(_kuairec(tmp_path), positive_from=1.125)
    check_log(dataset.log, dataset.catalog)
    rows = dataset.log.rows
    assert rows["item_id"].tolist() == ["183", "148", "148"]  # user 14 in order of time
    assert rows["click"].tolist() == [1, 0, 1]
    assert rows["dwell_seconds"].tolist() == [24.0, 4.0, 9.0]
    assert rows["timestamp"].iloc[1].round("ms").isoformat() == "2020-07-04T21:27:48.378000+00:00"
    assert dataset.catalog.frame["category"].tolist() == ["8", "27 9"]
    told = " ".join(dataset.log.notes)
    assert "1 rows without a time are left out" in told
    assert "watch_ratio of at least 1.125" in told


def test_kuairec_captions(tmp_path: Path) -> None:
    path = _kuairec(tmp_path)
    pd.DataFrame(
        {
            "video_id": [148, 183],
            "manual_cover_text": ["x", "y"],
            "caption": ["A cat", None],
            "topic_tag": ["[pets]", "[food]"],
            "first_level_category_id": [1, 2],
            "first_level_category_name": ["animals", "food"],
        }
    ).to_csv(tmp_path / "kuairec_caption_category.csv", index=False)
    catalog = _rec(path, positive_from=2).catalog
    assert catalog.titles == ("183", "A cat")
    assert catalog.frame["text"].tolist() == ["[food]", "A cat. [pets]"]
    assert catalog.frame["category"].tolist() == ["food", "animals"]


def test_kuairec_asks_what_counts_and_which_matrix(tmp_path: Path) -> None:
    path = _kuairec(tmp_path)
    with pytest.raises(InputError, match="no clicks: say from which value"):
        _rec(path)
    with pytest.raises(InputError, match="two logs"):
        _rec(tmp_path, positive_from=2)
    with pytest.raises(InputError, match="positive_from is nan"):
        _rec(path, positive_from=float("nan"))
