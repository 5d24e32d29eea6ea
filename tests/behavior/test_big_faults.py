"""What is wrong in a big log is told as in any other: all faults of all parts, by file, row and column."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from behavior import Catalog, InputError, load
from behavior.__main__ import main

pytest.importorskip("duckdb", reason="big logs need the extra `big`")

from behavior.big import BigLogConfig, prepare_log

SMALL = BigLogConfig(rows_per_part=30)
Spoil = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture
def catalog() -> Catalog:
    return Catalog.from_frame(pd.DataFrame({"item_id": ["a", "b", "c"]}), source="shop.csv")


@pytest.fixture
def many() -> pd.DataFrame:
    """Sixty sessions of two pages of three items."""
    session, step, position = (a.ravel() for a in np.meshgrid(range(60), range(2), range(3), indexing="ij"))
    return pd.DataFrame(
        {
            "session_id": session,
            "step": step,
            "timestamp": 1_767_225_600 + session * 60 + step,
            "position": position,
            "item_id": np.array(["a", "b", "c"])[position],
            "click": ((session + position) % 4 == 0).astype(int),
            "purchase": 0,
        }
    )


def _at(column: str, rows: list[int], value: object) -> Spoil:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype({column: object})
        frame.loc[rows, column] = value
        return frame if isinstance(value, int) else frame.astype({column: "str"})

    return spoil


SPOILS: dict[str, Spoil] = {
    "no numbers": _at("position", [5, 100, 359], "left"),
    "unknown item": _at("item_id", list(range(7, 350, 11)), "zebra"),  # more than ten
    "purchase without click": _at("purchase", [2, 14, 200], 1),
    "time goes back": _at("timestamp", [9, 10, 11], 1_000_000_000),
    "several zones": lambda f: f.assign(
        timestamp=[f"2026-01-01T00:00:00{'+01:00' if n % 97 == 0 else 'Z'}" for n in range(len(f))]
    ),
    "some without zone": lambda f: f.assign(
        timestamp=[f"2026-01-01T00:00:00{'' if n % 97 == 0 else 'Z'}" for n in range(len(f))]
    ),
    "rows out of order": lambda f: f.sample(frac=1, random_state=0),
    "empty context": lambda f: f.assign(context_age=[None if n == 200 else 30.0 for n in range(len(f))]),
    # faults of cells hide those between rows, wherever they are
    "two kinds": lambda f: _at("click", [350], 3)(_at("purchase", [2], 1)(f)),
    "missing column": lambda f: f.drop(columns="item_id"),
    "marks disagree": lambda f: f.assign(single_impression=[0, *[1] * (len(f) - 1)]),
}


@pytest.mark.parametrize("name", list(SPOILS))
def test_messages_are_those_of_a_log_read_whole(
    tmp_path: Path, many: pd.DataFrame, catalog: Catalog, name: str
) -> None:
    path = tmp_path / "log.parquet"
    SPOILS[name](many).to_parquet(path, index=False)
    with pytest.raises(InputError) as whole:
        load(path, catalog=catalog)
    with pytest.raises(InputError) as parts:
        prepare_log(path, tmp_path / "out", catalog=catalog, config=SMALL, progress=False)
    assert str(parts.value) == str(whole.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.parquet"]  # nothing half done is left


@pytest.mark.parametrize("spoiled", ["no such page", "not among", "twice", "rank"])
def test_faults_of_candidates(tmp_path: Path, many: pd.DataFrame, catalog: Catalog, spoiled: str) -> None:
    table = many[["session_id", "step", "position", "item_id"]].rename(columns={"position": "rank"})
    if spoiled == "no such page":
        table = pd.concat(
            [table, pd.DataFrame({"session_id": range(900, 940), "step": 0, "rank": 0, "item_id": "a"})]
        )
    elif spoiled == "not among":
        table = table[~((table["session_id"] == 30) & (table["rank"] == 2))]
    elif spoiled == "twice":
        table.loc[table.index[[100, 101]], "item_id"] = "a"
    else:
        table["rank"] = table["rank"].where(table["session_id"] != 11, -1)
    path = tmp_path / "log.parquet"
    many.to_parquet(path, index=False)
    table.to_parquet(tmp_path / "log.candidates.parquet", index=False)
    with pytest.raises(InputError) as whole:
        load(path, catalog=catalog)
    with pytest.raises(InputError) as parts:
        prepare_log(path, tmp_path / "out", catalog=catalog, config=SMALL, progress=False)
    assert str(parts.value) == str(whole.value)


def test_a_row_of_many_files_is_told_by_its_file(
    tmp_path: Path, many: pd.DataFrame, catalog: Catalog
) -> None:
    many.loc[[9, 250], "purchase"] = 1
    folder = tmp_path / "log"
    folder.mkdir()
    many.iloc[:200].to_parquet(folder / "a.parquet", index=False)
    many.iloc[200:].to_parquet(folder / "b.parquet", index=False)
    assert many.loc[9, "click"] == many.loc[250, "click"] == 0
    with pytest.raises(InputError) as raised:
        prepare_log(folder, tmp_path / "out", catalog=catalog, config=SMALL, progress=False)
    text = str(raised.value)
    assert f"{folder / 'a.parquet'}, row 10, column 'purchase': found 1" in text
    assert f"{folder / 'b.parquet'}, row 51, column 'purchase': found 1" in text
    assert f"{folder} (2 files)" in text


def test_files_that_cannot_be_streamed(tmp_path: Path, many: pd.DataFrame) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="does not exist"):
        prepare_log(tmp_path / "none.parquet", out)
    (tmp_path / "log.jsonl").write_text('{"click": 1}')
    with pytest.raises(InputError, match="not streamed"):
        prepare_log(tmp_path / "log.jsonl", out)
    for text, told in (("", "empty"), ("click,step\n", "no rows"), ('a\n"1\n', "told apart")):
        (tmp_path / "log.csv").write_text(text)
        with pytest.raises(InputError, match=told):
            prepare_log(tmp_path / "log.csv", out)
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(b"click\n" + bytes(range(48, 58)) * 999)[:40])
    with pytest.raises(InputError, match=r"log.csv.gz"):
        prepare_log(tmp_path / "log.csv.gz", out)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cut off"):
        prepare_log(tmp_path / "cut.parquet", out)
    folder = tmp_path / "log"
    folder.mkdir()
    with pytest.raises(InputError, match="no Parquet, CSV or TSV"):
        prepare_log(folder, out)
    many.to_parquet(folder / "a.parquet", index=False)
    many.astype({"item_id": "category", "step": "int32"}).to_parquet(folder / "b.parquet", index=False)
    with pytest.raises(InputError, match=r'column "step" is int32 here and int64 in .*a.parquet'):
        prepare_log(folder, out)
    many.assign(session_id=0.5).to_parquet(tmp_path / "half.parquet", index=False)
    with pytest.raises(InputError, match="numbers with fractions"):
        prepare_log(tmp_path / "half.parquet", out)
    out.mkdir()
    with pytest.raises(InputError, match="already"):
        prepare_log(folder / "a.parquet", out)


def test_no_page_is_left(tmp_path: Path, many: pd.DataFrame) -> None:
    many.to_parquet(tmp_path / "log.parquet", index=False)
    other = Catalog.from_frame(pd.DataFrame({"item_id": ["x"]}))
    with pytest.raises(InputError, match="no page is left"):
        prepare_log(
            tmp_path / "log.parquet",
            tmp_path / "out",
            catalog=other,
            repairs=["drop-unknown-items"],
            config=SMALL,
        )


def test_the_command(tmp_path: Path, many: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    many.to_parquet(tmp_path / "log.parquet", index=False)
    arguments = ["prepare", str(tmp_path / "log.parquet"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--rows-per-part", "100"]) == 0
    shown = capsys.readouterr().out
    assert "360 rows, 120 steps, 60 sessions, 60 users, 3 items, 1 queries" in shown
    assert "train: 42 sessions that began from 2026-01-01T00:00:00+00:00" in shown
    assert "note: user_id: no such column" in shown
    assert main(arguments) == 2
    assert "already" in capsys.readouterr().err
