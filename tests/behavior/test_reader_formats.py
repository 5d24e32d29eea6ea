"""One door for all formats: FORMAT:PATH, near names, options that a format has no use for, and room in memory."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from behavior import InputError, load
from behavior.readers import raw, room
from behavior.readers.cells import read_published
from behavior.readers.formats import FORMATS, TABLES, format_of, looks_like

ROOT = Path(__file__).resolve().parents[2]


def test_every_format_has_a_reader_and_a_page_that_names_it() -> None:
    for name, entry in FORMATS.items():
        page = ROOT / entry.page
        assert page.exists(), entry.page
        text = page.read_text(encoding="utf-8")
        if entry is not TABLES:
            assert callable(entry.read())
            assert f"{name}:" in text
        if "not tried on the real files" in entry.title:
            assert "Not tried on the real files" in text
            assert "https://" in text


def test_names_and_paths(tmp_path: Path) -> None:
    assert format_of("otto:a/b.jsonl") == (FORMATS["otto"], Path("a/b.jsonl"))
    assert format_of("otto", "a.jsonl") == (FORMATS["otto"], Path("a.jsonl"))
    assert format_of(Path("tables:my.csv")) == (TABLES, Path("my.csv"))
    assert format_of("my/clicks.csv") == (TABLES, Path("my/clicks.csv"))
    assert format_of(r"C:\logs\clicks.csv")[0] is TABLES
    odd = tmp_path / "otta:log.csv"
    odd.touch()
    assert format_of(odd) == (TABLES, odd)


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ("otta:a.jsonl", None, "no format 'otta'. did you mean 'otto'"),
        ("kuairnd", "a", "no format 'kuairnd'. did you mean 'kuairand'"),
        ("movielen", None, "no file and no format 'movielen'. did you mean 'movielens'"),
        ("rl4rs", None, "the format 'rl4rs' needs one rl4rs_dataset"),
        ("ubi:", None, "the format 'ubi' needs a file"),
        ("otto:none.jsonl", None, "there is no such file or folder"),
    ],
)
def test_what_is_not_known_is_told_with_the_nearest(given: str, path: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(given, path=path)
    assert caught.value.mend


def test_folders_say_what_they_look_like(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match="this is a folder"):
        load(tmp_path)
    (tmp_path / "data" / "log_random_4_22_to_5_08_1k.csv").touch()
    assert looks_like(tmp_path) is FORMATS["kuairand"]
    with pytest.raises(InputError, match=f"it looks like KuaiRand .*: write kuairand:{tmp_path}"):
        load(tmp_path)


def test_useless_options_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.touch()
    with pytest.raises(InputError, match=r"OTTO sessions .* has no use for candidates, positive_from"):
        load(f"otto:{path}", candidates="x.csv", positive_from=3)
    with pytest.raises(InputError, match="has no use for actions"):
        load(f"otto:{path}", actions=["a=click"])
    with pytest.raises(InputError, match=r"tables of your own.* has no use for gap_minutes"):
        load(path, gap_minutes=3)


def test_a_file_that_does_not_fit_is_refused_before_it_is_read(
    tmp_path: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.csv"
    frame.to_csv(path, index=False)
    size = path.stat().st_size
    monkeypatch.setattr(room, "free_bytes", lambda: int(size * room.GROWTH) - 1)
    with pytest.raises(InputError, match="read whole it needs about"):
        raw.read_table(path)
    monkeypatch.setattr(room, "free_bytes", lambda: int(size * room.GROWTH) + 1)
    assert len(raw.read_table(path)) == 8
    monkeypatch.setattr(room, "free_bytes", lambda: None)
    assert len(raw.read_table(path)) == 8


def test_columns_that_are_not_read_need_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.csv"
    path.write_text("a,long,b\n" + f"1,{'x' * 94},2\n" * 100)
    size = path.stat().st_size
    monkeypatch.setattr(room, "free_bytes", lambda: int(size * room.GROWTH * 0.05))
    assert read_published(path, ("a", "b"), "a test").shape == (100, 2)  # 4 of 99 letters a row
    with pytest.raises(InputError, match="read whole it needs about"):
        read_published(path, ("a", "long"), "a test")


def test_free_memory_is_a_number_here() -> None:
    free = room.free_bytes()
    assert free is None or 0 <= free < 2**50
