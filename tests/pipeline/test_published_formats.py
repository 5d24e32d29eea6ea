"""`train.py --data FORMAT:PATH`: options reach the reader; what no simulator can be fitted to is told at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from behavior import InputError
from pipeline.config import RunOptions, SourceOptions, TrainConfig, UserOptions
from pipeline.data import load_shop, read_source

START = 1_659_304_800_000


def _config(data: str, simulator: str = "pbm") -> TrainConfig:
    return TrainConfig(
        source=SourceOptions(data=data), user=UserOptions(simulator=simulator), run=RunOptions(quiet=True)
    )


def test_a_log_of_clicks_alone_is_refused_before_anything_is_learned(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(
        "".join(
            json.dumps({"session": n, "events": [{"aid": n % 3, "ts": START + n, "type": "clicks"}]}) + "\n"
            for n in range(20)
        )
    )
    with pytest.raises(InputError, match="every shown item of the log was clicked"):
        load_shop(_config(f"otto:{path}"))
    # a plug-in says itself what it needs
    assert load_shop(_config(f"otto:{path}", "module:Class")).train.n_sessions == 14


def test_options_of_a_format_reach_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "big_matrix.csv"
    rows = [f"{n // 4},{n % 5},500,{1_593_878_903 + 60 * n},{n % 3}" for n in range(40)]
    path.write_text("user_id,video_id,play_duration,timestamp,watch_ratio\n" + "\n".join(rows) + "\n")
    with pytest.raises(InputError, match="--positive-from"):
        read_source(SourceOptions(data=f"kuairec:{path}"))
    shop = read_source(
        SourceOptions(data="kuairec", data_path=path, positive_from=2.0, gap_minutes=0.5), progress=False
    )
    parts = (shop.train, shop.valid, shop.test)
    assert sum(part.n_sessions for part in parts) == 40  # a minute lies between any two rows
    assert sum(int(part.click.sum()) for part in parts) == sum(n % 3 == 2 for n in range(40))
    with pytest.raises(InputError, match=r"no format 'clicks\.csv'"):
        read_source(SourceOptions(data="clicks.csv", data_path=path))
