"""The formats that can be read, in one list: their names, what they are, and which reader does it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from behavior.errors import InputError
from behavior.faults import suggest
from behavior.readers.options import Reader

__all__ = ["FORMATS", "TABLES", "Format", "format_of", "looks_like"]


@dataclass(frozen=True, kw_only=True)
class Format:
    """One published way to write logged behaviour."""

    name: str
    """As in `NAME:PATH`."""
    title: str
    """What it is called."""
    path: str
    """What PATH has to be."""
    knows: str
    """What its rows say."""
    lacks: str
    """What they do not."""
    page: str
    """Its page in `docs/`."""
    reader: str = ""
    """`module:function` of type `behavior.readers.options.Reader`."""
    takes: tuple[str, ...] = ()
    """Which options of `behavior.load` it has use for, besides `repairs`."""
    marks: tuple[str, ...] = ()
    """Files that a folder of this format holds."""

    def read(self) -> Reader:
        """The reader, imported now."""
        module, _, function = self.reader.partition(":")
        reader: Reader = getattr(import_module(module), function)
        return reader


TABLES = Format(
    name="tables",
    title="tables of your own, with a mapping file",
    path="a file: CSV, TSV, Parquet, JSON, JSON lines (also .zip, .gz)",
    knows="what your columns say, named in a YAML file",
    lacks="what your columns lack, and says so",
    page="docs/your-own-logs.md",
    takes=("catalog", "columns", "candidates"),
)
"""How a path without a format's name is read."""

FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        TABLES,
        Format(
            name="open-bandit",
            title="Open Bandit Dataset",
            path="the folder of one campaign, with <campaign>.csv and item_context.csv",
            knows="single impressions, clicks, places, true propensities",
            lacks="pages, sessions, queries, purchases, prices, titles",
            page="docs/open-bandit.md",
            reader="behavior.readers.open_bandit:read_open_bandit_as",
            marks=("item_context.csv",),
        ),
        Format(
            name="ubi",
            title="User Behavior Insights (UBI) of OpenSearch",
            path="a file of JSON lines with queries and events, or a folder of them",
            knows="query texts, pages, places, clicks, purchases, sessions",
            lacks="propensities, prices; what a page showed where no impression was logged",
            page="docs/logs/ubi.md",
            reader="behavior.readers.ubi:read_ubi",
            takes=("catalog", "columns", "gap_minutes", "actions"),
            marks=("ubi_queries*", "ubi_events*"),
        ),
        Format(
            name="otto",
            title="OTTO sessions (clicks, carts, orders)",
            path="a .jsonl file",
            knows="what users clicked and ordered, in order",
            lacks="what was shown and not clicked, places, queries, propensities, prices, titles",
            page="docs/logs/otto.md",
            reader="behavior.readers.otto:read_otto",
            takes=("catalog", "columns", "gap_minutes"),
            marks=("otto-recsys-*.jsonl",),
        ),
        Format(
            name="kuairand",
            title="KuaiRand (not tried on the real files)",
            path="the folder with log_*.csv, or one of them",
            knows="single impressions, clicks, view times, which were shown at random",
            lacks="pages, places, queries, purchases, prices, propensities",
            page="docs/logs/kuairand.md",
            reader="behavior.readers.kuairand:read_kuairand",
            takes=("catalog", "columns", "gap_minutes"),
            marks=("log_standard_*.csv", "log_random_*.csv"),
        ),
        Format(
            name="kuairec",
            title="KuaiRec (not tried on the real files)",
            path="big_matrix.csv or small_matrix.csv",
            knows="videos watched and for how long",
            lacks="clicks (you choose: positive_from), pages, places, queries, purchases, prices, propensities",
            page="docs/logs/kuairec.md",
            reader="behavior.readers.kuairec:read_kuairec",
            takes=("catalog", "columns", "gap_minutes", "positive_from"),
            marks=("big_matrix.csv", "small_matrix.csv"),
        ),
        Format(
            name="rl4rs",
            title="RL4RS (not tried on the real files)",
            path="one rl4rs_dataset_*.csv, with item_info.csv beside it",
            knows="whole pages of nine, purchases, sessions, prices, which policy",
            lacks="clicks without a purchase, queries, propensities, titles",
            page="docs/logs/rl4rs.md",
            reader="behavior.readers.rl4rs:read_rl4rs",
            marks=("rl4rs_dataset_*.csv",),
        ),
        Format(
            name="movielens",
            title="MovieLens (not tried on the real files)",
            path="the folder with ratings and films (100K, 1M, 10M, 20M, 25M, 32M, latest)",
            knows="ratings, titles, genres",
            lacks="clicks (you choose: positive_from), what was shown, places, queries, purchases, propensities",
            page="docs/logs/movielens.md",
            reader="behavior.readers.movielens:read_movielens",
            takes=("catalog", "columns", "gap_minutes", "positive_from"),
            marks=("ratings.dat", "u.data", "ratings.csv"),
        ),
    )
}
"""By name."""

_WORD = re.compile(r"[A-Za-z][\w-]+$")


def format_of(name_or_path: str | Path, path: Path | str | None = None) -> tuple[Format, Path]:
    """Which format is meant, and where its files are.

    Args:
        name_or_path: `FORMAT:PATH`, the name of a format, or a path.
        path: Where the files are, if `name_or_path` is the name of a format.

    Raises:
        InputError: There is no such format (the nearest is named), or no path was given.
    """
    text = str(name_or_path)
    if text in FORMATS:
        if path is None and not Path(text).exists():
            raise InputError(
                f"the format '{text}' needs {FORMATS[text].path}",
                where=text,
                mend=f"write {text}:PATH (see {FORMATS[text].page})",
            )
        return FORMATS[text], Path(text if path is None else path)
    if path is not None:
        raise _unknown(text)
    word, colon, rest = text.partition(":")
    if not colon or Path(text).exists() or not _WORD.match(word):  # a letter alone is a drive
        return _of_path(Path(text))
    if word not in FORMATS:
        raise _unknown(word)
    if not rest:
        raise InputError(
            f"the format '{word}' needs {FORMATS[word].path}", where=text, mend=f"write {word}:PATH"
        )
    return FORMATS[word], Path(rest)


def looks_like(folder: Path) -> Format | None:
    """The format whose files the folder (or its `data`) holds, if there is one."""
    places = [place for place in (folder, folder / "data") if place.is_dir()]
    for entry in FORMATS.values():
        if any(next(place.glob(mark), None) for place in places for mark in entry.marks):
            return entry
    return None


def _of_path(path: Path) -> tuple[Format, Path]:
    if not path.is_dir():
        if not path.exists() and not path.suffix and len(path.parts) == 1:
            near = suggest(str(path), FORMATS)
            raise InputError(
                f"there is no file and no format '{path}'. {near}".rstrip(),
                where=str(path),
                mend="give the file of a log, or FORMAT:PATH with one of " + ", ".join(FORMATS),
            )
        return TABLES, path
    entry = looks_like(path)
    if entry is not None and entry.name == "open-bandit":  # nothing else is named by its folder alone
        return entry, path
    mend = "name the file in it"
    if entry is not None:
        mend = f"it looks like {entry.title}: write {entry.name}:{path} ({entry.path})"
    raise InputError("this is a folder, expected the file of a log", where=str(path), mend=mend)


def _unknown(word: str) -> InputError:
    return InputError(
        f"there is no format '{word}'. {suggest(word, FORMATS)}".rstrip(),
        where=word,
        mend="choose one of "
        + ", ".join(FORMATS)
        + " (`python -m behavior formats` describes them), or give the file of a log",
    )
