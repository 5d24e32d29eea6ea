from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from behavior.catalog import Catalog
from behavior.contract import check_log
from behavior.errors import InputError
from behavior.steps import SessionEnd
from store.config import StoreConfig
from store.icecat import load_icecat
from store.lexical import bm25_scores
from store.log_maker import query_page
from store.shop import Store, open_store
from store.stock import stock_store
from store.true_user import LOG_USERS

ROOT = Path(__file__).resolve().parents[2]
ICECAT = ROOT.parent / "shared" / "data" / "chorus_icecat"


@pytest.fixture(scope="module")
def store() -> Store:
    return open_store(StoreConfig.tiny(), cache=False)


def test_the_log_passes_its_contract(store: Store) -> None:
    check_log(store.log, store.catalog)
    rows = store.log.rows
    assert rows["session_id"].nunique() == 300
    assert rows["user_id"].nunique() == 200
    assert str(rows["timestamp"].dt.tz) == "UTC"
    span = rows["timestamp"].max() - rows["timestamp"].min()
    assert pd.Timedelta(weeks=7) < span < pd.Timedelta(weeks=9)


def test_steps_replay_in_the_true_user(store: Store) -> None:
    """Shown again, the logged slates get the logged feedback: the log says what happened, and nothing else."""
    steps = store.log.to_steps(store.catalog, queries=store.queries)
    first = np.flatnonzero(steps.step == 0)
    rows = store.log.rows
    person = rows.groupby("session_id", sort=False)["user_id"].first().str[1:].astype(int).to_numpy()
    visit = np.zeros_like(person)
    for index, who in enumerate(person):
        visit[index] = (person[:index] == who).sum()
    users = person + 250_000 * visit
    assert users.max() < LOG_USERS
    state = store.true_simulator.begin(users[steps.session[first]], seed=store.config.seed)
    np.testing.assert_array_equal(state.query, steps.query[first])
    np.testing.assert_allclose(state.context, steps.context[first], rtol=1e-6)
    feedback = store.true_simulator.respond(state, steps.item[first], seed=store.config.seed)
    np.testing.assert_array_equal(feedback.click, steps.click[first])
    np.testing.assert_array_equal(feedback.purchase, steps.purchase[first])
    np.testing.assert_array_equal(feedback.left, steps.session_end[first] == SessionEnd.LEFT)


def test_propensities_are_those_of_the_policy(store: Store) -> None:
    steps = store.log.to_steps(store.catalog, queries=store.queries)
    page = query_page(steps.query, steps.context, store.candidates, store.config.slate_size)
    np.testing.assert_array_equal(page.candidates, steps.candidates)
    actions = (page.candidates[:, None, :] == steps.item[:, :, None]).argmax(axis=2)
    chance = store.behavior_policy.propensity(page, actions)
    np.testing.assert_allclose(chance.item, steps.propensity, rtol=1e-9)
    np.testing.assert_allclose(chance.cascade, steps.cascade_propensity, rtol=1e-9)
    np.testing.assert_allclose(chance.slate, steps.slate_propensity, rtol=1e-9)
    # An unbiased estimate of one: the mean inverse propensity of what stands first, over the candidates.
    weight = (1.0 / steps.propensity[:, 0]) / page.candidates.shape[1]
    assert abs(weight.mean() - 1.0) < 4 * weight.std() / np.sqrt(len(weight))


def test_the_same_seed_gives_the_same_bytes_and_the_cache_changes_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = open_store(StoreConfig.tiny(), cache=False)
    assert again.log.rows.to_csv() == store.log.rows.to_csv()
    assert again.catalog.frame.to_csv() == store.catalog.frame.to_csv()
    assert again.relevance.tobytes() == store.relevance.tobytes()
    monkeypatch.setenv("SLATEGYM_CACHE", str(tmp_path))
    made = open_store(StoreConfig.tiny())
    assert len(list(tmp_path.rglob("*.parquet"))) == 2
    read = open_store(StoreConfig.tiny())
    pd.testing.assert_frame_equal(made.log.rows, read.log.rows)
    pd.testing.assert_frame_equal(store.log.rows, read.log.rows)
    next(tmp_path.rglob("log.parquet")).write_bytes(b"PAR1 cut off")
    with pytest.warns(UserWarning, match="made anew"):
        mended = open_store(StoreConfig.tiny())
    pd.testing.assert_frame_equal(mended.log.rows, store.log.rows)
    other = open_store(StoreConfig.tiny(seed=1), cache=False)
    assert other.log.rows.to_csv() != store.log.rows.to_csv()


def test_no_column_of_catalogue_or_log_tells_the_truth(store: Store) -> None:
    hidden = {"quality", "hype", "style", "relevance", "taste", "satisfaction"}
    assert not hidden & set(store.catalog.frame.columns)
    assert not hidden & set(store.log.rows.columns)
    assert store.log.candidates is not None
    assert not hidden & set(store.log.candidates.columns)


def test_bm25_of_a_hand_worked_corpus() -> None:
    found = bm25_scores(
        ["red shoe", "blue shoe", "red red hat"], ["red", "nothing", "shoe hat"], k1=1.2, b=0.0
    )
    red = np.log1p((3 - 2 + 0.5) / (2 + 0.5))
    hat = np.log1p((3 - 1 + 0.5) / (1 + 0.5))
    expected = [[red, 0.0, red * 2 * 2.2 / (2 + 1.2)], [0.0, 0.0, 0.0], [red, red, hat]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def small_catalog() -> Catalog:
    return Catalog.from_frame(
        pd.DataFrame(
            {
                "item_id": [f"a{i}" for i in range(60)],
                "title": [
                    f"{color} {kind} {i}"
                    for i in range(20)
                    for kind, color in (("lamp", "red"), ("desk", "blue"), ("chair", "red"))
                ],
                "category": ["lamp", "desk", "chair"] * 20,
                "price": np.linspace(5, 300, 60),
            }
        )
    )


def judgments() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "query": ["light"] * 6 + ["desk"] * 4,
            "item_id": [f"a{i}" for i in (0, 3, 6, 9, 12, 1)] + [f"a{i}" for i in (1, 4, 7, 2)],
            "rating": [3, 3, 2, 1, 1, 0, 3, 3, 1, 0],
        }
    )


TINY = StoreConfig(n_sessions=80, n_people=60, n_candidates=20, slate_size=5, max_steps=4)


def test_a_stocked_store_takes_its_truth_from_the_judgments() -> None:
    store = stock_store(small_catalog(), judgments(), TINY, cache=False)
    assert store.queries == ("", "light", "desk")
    np.testing.assert_allclose(
        store.relevance[1, [0, 3, 6, 9, 12, 1]], [1, 1, 2 / 3, 1 / 3, 1 / 3, 0], rtol=1e-6
    )
    assert store.relevance[1].sum() == pytest.approx(3 + 1 / 3)
    assert {0, 3, 6, 9, 12, 1} <= set(store.candidates.items[1].tolist())
    check_log(store.log, store.catalog)
    assert store.log.rows["click"].sum() > 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop(columns="rating"), "lack the columns rating"),
        (lambda f: f.assign(item_id="zzz"), "'zzz' is not in the catalogue"),
        (lambda f: f.assign(rating="good"), "'good' is not a number"),
        (lambda f: f.assign(rating=-1), "'-1' is not a number from 0"),
        (lambda f: f.assign(rating=0), "every rating is 0"),
        (lambda f: f.iloc[:0], "no judgments"),
    ],
)
def test_bad_judgments_are_named(change: object, said: str) -> None:
    assert callable(change)
    with pytest.raises(InputError, match=said):
        stock_store(small_catalog(), change(judgments()), TINY, cache=False)


@pytest.mark.skipif(not ICECAT.exists(), reason="the Icecat products are not there")
def test_real_products_and_ratings() -> None:
    catalog, judged = load_icecat(ICECAT, progress=False)
    assert catalog.n_items == 19_406
    assert judged["query"].nunique() == 135
    store = stock_store(
        catalog, judged, StoreConfig(n_sessions=200, n_people=150), name="icecat", cache=False
    )
    assert store.relevance.shape == (136, 19_406)
    rated = np.take_along_axis(store.relevance, store.candidates.items, axis=1)[1:] > 0
    assert rated.sum() >= 0.99 * (store.relevance[1:] > 0).sum()
    check_log(store.log, store.catalog)


def test_icecat_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no product files"):
        load_icecat(tmp_path)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "store", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


SMALL = (
    "--source.products",
    "200",
    "--source.queries",
    "40",
    "--source.sessions",
    "300",
    "--source.no-cache",
)


def test_the_command_shows_and_exports_and_overwrites_nothing(tmp_path: Path) -> None:
    shown = run("show", *SMALL)
    assert shown.returncode == 0, shown.stderr
    assert "200 products" in shown.stdout
    folder = tmp_path / "out"
    written = run("export", str(folder), *SMALL)
    assert written.returncode == 0, written.stderr
    assert {path.name for path in folder.iterdir()} == {
        "catalog.csv",
        "log.csv",
        "log.candidates.csv",
        "queries.json",
        "truth",
    }
    again = run("export", str(folder), *SMALL)
    assert again.returncode == 2
    assert "exists" in again.stderr
    assert "Traceback" not in again.stderr
