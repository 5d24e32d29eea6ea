"""MovieLens: what users thought of films they had seen; nothing of what they were shown.

Harper and Konstan (2015), "The MovieLens Datasets: History and Context", https://doi.org/10.1145/2827872; the files
are those of https://grouplens.org/datasets/movielens/ (their README). There are no clicks: from which rating on a film
counts as one is the user's choice. Not tried on the real files.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from behavior.catalog import Catalog
from behavior.columns import CatalogColumns, LogColumns
from behavior.errors import InputError
from behavior.log import InteractionLog
from behavior.readers.cells import number_cells, read_published, time_cells
from behavior.readers.options import ReadOptions, positive_threshold
from behavior.readers.room import check_room
from behavior.readers.users import user_context
from behavior.readers.visits import into_visits

__all__ = ["read_movielens"]

_TITLE = "MovieLens"
_RATINGS = ["user_id", "item_id", "rating", "timestamp"]
_GENRES_100K = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]


@dataclass(frozen=True, kw_only=True)
class _Edition:
    """How one edition names and writes its files."""

    ratings: str
    films: str
    users: str = ""
    separator: str = ","
    films_separator: str = ","
    user_columns: tuple[str, ...] = ()


_EDITIONS = (
    _Edition(ratings="ratings.csv", films="movies.csv"),  # 20M, 25M, 32M, latest
    _Edition(
        ratings="ratings.dat",  # 1M, 10M
        films="movies.dat",
        users="users.dat",
        separator="::",
        films_separator="::",
        user_columns=("user_id", "gender", "age", "occupation", "zip"),
    ),
    _Edition(
        ratings="u.data",  # 100K
        films="u.item",
        users="u.user",
        separator="\t",
        films_separator="|",
        user_columns=("user_id", "age", "gender", "occupation", "zip"),
    ),
)


def read_movielens(path: Path, options: ReadOptions) -> tuple[Catalog, InteractionLog]:
    """Catalogue and log.

    Args:
        path: The folder as published.
        options: `positive_from`, the smallest rating that counts as a click, must be given; `gap_minutes` cuts
            visits; `repairs` by name.

    Raises:
        InputError: No threshold, or files, columns or cells that are not what the format says.
    """
    path = Path(path)
    edition = _edition(path)
    threshold = positive_threshold(options, title=_TITLE, what="ratings", example="4 (ratings go up to 5)")
    file = path / edition.ratings
    frame = _ratings(file, edition, progress=options.progress)
    rating = number_cells(frame, "rating", file, least=0)
    frame = frame.assign(
        click=(rating >= threshold).astype("int64"),
        timestamp=time_cells(frame, "timestamp", file),
        position=0,
    ).drop(columns="rating")
    frame, visits = into_visits(frame, options.gap_minutes)
    context, notes = user_context(frame, _users(path, edition), ("gender", "age", "occupation"))
    catalog = options.catalog or _films(path / edition.films, edition)
    log = InteractionLog.from_frame(
        frame.assign(**context),
        columns=LogColumns(single_impressions=True),
        repairs=options.repairs,
        source=str(file),
        catalog=catalog,
    )
    return catalog, replace(
        log,
        notes=(
            *log.notes,
            visits,
            f"click is your choice: a rating of at least {threshold:g}; the format has no clicks",
            "only films that users chose to rate are rows: what they were shown, and at which place, is unknown (all "
            "places are written as 0), and times are those of rating, not of watching",
            *notes,
        ),
    )


def _edition(path: Path) -> _Edition:
    if not path.is_dir():
        raise InputError(
            "MovieLens is read from its folder, with ratings and films",
            where=str(path),
            mend="name the folder as published, for example movielens:ml-25m",
        )
    for edition in _EDITIONS:
        if (path / edition.ratings).exists() and (path / edition.films).exists():
            return edition
    held = ", ".join(sorted(p.name for p in path.iterdir())[:10]) or "nothing"
    raise InputError(
        f"the folder is no edition of MovieLens; it holds {held}",
        where=str(path),
        mend="expected are ratings.csv and movies.csv, or ratings.dat and movies.dat, or u.data and u.item",
    )


def _ratings(file: Path, edition: _Edition, *, progress: bool) -> pd.DataFrame:
    if edition.separator == ",":
        names = ("userId", "movieId", "rating", "timestamp")
        frame = read_published(file, names, _TITLE, progress=progress)
        return frame.rename(columns={"userId": "user_id", "movieId": "item_id"})
    check_room(file)
    return _headless(file, edition.separator, _RATINGS)


def _headless(file: Path, separator: str, names: list[str]) -> pd.DataFrame:
    """A table without a header, in UTF-8 or, as older editions are, in Latin-1; all cells are text."""
    raw = file.read_bytes()
    try:
        raw.decode("utf-8")
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = "latin-1"
    if separator == "::":  # pandas' fast parser takes separators of one sign; no file of these holds a tab
        raw, separator = raw.replace(b"::", b"\t"), "\t"
    try:
        frame = pd.read_csv(
            io.BytesIO(raw), sep=separator, header=None, dtype=str, encoding=encoding, keep_default_na=False,
            na_values=[""], quoting=3,
        )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(
            f"the rows cannot be told apart: {' '.join(str(error).split())}",
            where=str(file),
            mend="give the file as published",
        ) from error
    if frame.shape[1] != len(names):
        raise InputError(
            f"the rows have {frame.shape[1]} cells, expected {len(names)}: {', '.join(names[:6])}",
            where=str(file),
            mend="give the file as published",
        )
    frame.columns = pd.Index(names)
    return frame


def _films(file: Path, edition: _Edition) -> Catalog:
    if edition.films_separator == ",":
        frame = read_published(file, ("movieId", "title", "genres"), _TITLE)
        frame = frame.rename(columns={"movieId": "item_id"})
    elif edition.films_separator == "::":
        frame = _headless(file, "::", ["item_id", "title", "genres"])
    else:
        marks = _headless(file, "|", ["item_id", "title", "released", "video", "imdb", *_GENRES_100K])
        genres = [
            "|".join(genre for genre, mark in zip(_GENRES_100K, row, strict=True) if mark == "1")
            for row in marks[_GENRES_100K].itertuples(index=False)
        ]
        frame = marks[["item_id", "title"]].assign(genres=genres)
    frame["words"] = frame["genres"].str.replace("|", ", ")
    columns = CatalogColumns(
        names={"item_id": "item_id", "title": "title", "category": "genres"},
        joined={"text": ("title", "words")},
        numeric=(),
        categorical=(),
    )
    catalog = Catalog.from_frame(frame, columns, str(file))
    note = "category: all genres of the film together, as they stand in alphabetical order"
    return replace(catalog, notes=(*catalog.notes, note))


def _users(folder: Path, edition: _Edition) -> pd.DataFrame | None:
    """Who rated, where the edition says so."""
    file = folder / edition.users
    if not edition.users or not file.exists():
        return None
    return _headless(file, "|" if edition.users == "u.user" else "::", list(edition.user_columns))
