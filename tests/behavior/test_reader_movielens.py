"""MovieLens: files made here after the published schemas of its three kinds of editions."""

from __future__ import annotations

from pathlib import Path

import pytest

from behavior import Dataset, InputError, load
from behavior.contract import check_log

RATINGS = [(1, 31, 4.5, 900), (1, 29, 2.0, 0), (2, 29, 4.0, 100), (1, 31, 3.0, 9_000)]
START = 1_260_759_000


def _load(path: Path, **options: object) -> Dataset:
    return load(f"movielens:{path}", progress=False, **options)  # type: ignore[arg-type]


def _csv(folder: Path) -> Path:
    lines = [f"{user},{film},{rating},{START + at}" for user, film, rating, at in RATINGS]
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "\n".join(lines) + "\n")
    (folder / "movies.csv").write_text(
        'movieId,title,genres\n29,"City of Lost Children, The (1995)",Adventure|Drama\n'
        "31,Heat (1995),(no genres listed)\n"
        "50,Unseen (1995),Drama\n"
    )
    return folder


def _check(dataset: Dataset) -> None:
    steps = check_log(dataset.log, dataset.catalog)
    rows = dataset.log.rows
    assert rows["session_id"].tolist() == ["1-0", "1-0", "1-1", "2-0"]
    assert rows["item_id"].tolist() == ["29", "31", "31", "29"]
    assert rows["click"].tolist() == [0, 1, 0, 1]
    assert steps.single_impressions
    assert steps.timestamp[0] == START * 10**9
    assert dataset.catalog.titles[0] == "City of Lost Children, The (1995)"
    assert dataset.catalog.frame["category"].iloc[0] == "Adventure|Drama"
    assert dataset.catalog.frame["text"].iloc[0] == "City of Lost Children, The (1995). Adventure, Drama"
    told = " ".join(dataset.log.notes)
    assert "a rating of at least 4" in told
    assert "only films that users chose to rate are rows" in told


def test_editions_with_a_header(tmp_path: Path) -> None:
    dataset = _load(_csv(tmp_path), positive_from=4)
    _check(dataset)
    assert dataset.catalog.n_items == 3
    assert any("no table of users" in note for note in dataset.log.notes)


def test_editions_with_double_colons(tmp_path: Path) -> None:
    lines = [f"{user}::{film}::{rating}::{START + at}" for user, film, rating, at in RATINGS]
    (tmp_path / "ratings.dat").write_text("\n".join(lines) + "\n")
    films = ["29::City of Lost Children, The (1995)::Adventure|Drama", '31::Léon: "Pro" (1994)::Drama']
    (tmp_path / "movies.dat").write_bytes("\n".join(films).encode("latin-1"))
    (tmp_path / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")
    dataset = _load(tmp_path, positive_from=4)
    _check(dataset)
    assert dataset.catalog.titles[1] == 'Léon: "Pro" (1994)'
    assert dataset.log.rows["context_gender"].tolist() == ["is F"] * 3 + ["is M"]
    assert "context_age=is 56" in {
        f"context_{n}" for n in dataset.log.to_steps(dataset.catalog).context_names
    }


def test_the_edition_of_tabs_and_bars(tmp_path: Path) -> None:
    lines = [f"{user}\t{film}\t{rating}\t{START + at}" for user, film, rating, at in RATINGS]
    (tmp_path / "u.data").write_text("\n".join(lines) + "\n")
    marks = ["0"] * 19
    marks[2] = marks[8] = "1"  # Adventure and Drama among unknown, Action, Adventure, …
    films = [
        f"29|City of Lost Children, The (1995)|01-Jan-1995||http://imdb/1|{'|'.join(marks)}",
        f"31|Heat (1995)|01-Jan-1995||http://imdb/2|{'|'.join(['0'] * 19)}",
    ]
    (tmp_path / "u.item").write_text("\n".join(films) + "\n")
    (tmp_path / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|94043\n")
    dataset = _load(tmp_path, positive_from=4)
    _check(dataset)
    assert dataset.log.rows["context_occupation"].tolist() == ["is technician"] * 3 + ["is other"]


def test_bad_folders_and_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no edition of MovieLens; it holds nothing"):
        _load(tmp_path, positive_from=4)
    _csv(tmp_path)
    with pytest.raises(InputError, match="ratings and no clicks"):
        _load(tmp_path)
    with pytest.raises(InputError, match="read from its folder"):
        _load(tmp_path / "ratings.csv", positive_from=4)
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,29,good,1260759000\n")
    with pytest.raises(InputError, match="row 1, column 'rating': found 'good', expected a number"):
        _load(tmp_path, positive_from=4)
    (tmp_path / "ratings.csv").unlink()
    (tmp_path / "ratings.dat").write_text("1::29::4\n")
    (tmp_path / "movies.dat").write_text("29::A::Drama\n")
    with pytest.raises(InputError, match="the rows have 3 cells, expected 4"):
        _load(tmp_path, positive_from=4)
