from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from behavior.errors import InputError
from encoders.__main__ import main
from encoders.continual import ContinualConfig
from encoders.heads import HeadConfig
from encoders.known_queries import KnownQueriesConfig, fit_known_queries
from encoders.pairs import PairCounts
from encoders.relevance import Heads, KnownQueries, RelevanceModel
from encoders.weeks import Kept, load_kept, save_kept, start_kept
from pipeline.config import SourceOptions
from pipeline.data import read_source

SHORT = ["--heads.steps", "4", "--known.steps", "4", "--quiet"]


@pytest.fixture(scope="module")
def weeks(shop, log, tmp_path_factory) -> list[list[str]]:
    """The log that `model` learned from, and a later one: 'kicks' has become 'sneaker', 'gizmo' is asked no more, the
    catalogue is turned round, its first ten items are gone and two are new."""
    folder = tmp_path_factory.mktemp("second")
    frame = shop.catalog.frame[["item_id", "title", "category", "price"]]
    fresh = frame.iloc[:2].assign(item_id=["n0", "n1"], title=["red shoe new", "blue shoe new"])
    pd.concat([frame.iloc[10:].iloc[::-1], fresh]).to_csv(folder / "items.csv", index=False)
    steps, rows = shop.steps, []
    ids = frame["item_id"].to_numpy().copy()
    ids[:2], ids[2:10] = ["n0", "n1"], ""
    names = {"kicks": "sneaker"}
    for m in range(1_500, 2_700):
        query = steps.queries[steps.query[m]]
        if query == "gizmo":
            continue
        shown = [k for k in range(6) if ids[steps.item[m, k]]]
        rows += [
            {
                "session_id": f"s{m}",
                "user_id": f"u{m}",
                "step": 0,
                "timestamp": f"2024-02-{1 + (m - 1_500) // 100:02d}T{m % 24:02d}:{m % 60:02d}:00",
                "query": names.get(query, query),
                "item_id": ids[steps.item[m, k]],
                "position": place,
                "click": int(steps.click[m, k]),
                "purchase": int(steps.purchase[m, k]),
            }
            for place, k in enumerate(shown)
        ]
    pd.DataFrame(rows).to_csv(folder / "log.csv", index=False)
    later = ["--data", str(folder / "log.csv"), "--catalog", str(folder / "items.csv")]
    return [log[:4], later]


@pytest.fixture(scope="module")
def updated(weeks, model, tmp_path_factory) -> Path:
    """The model after the second week, holding on to the first."""
    folder = tmp_path_factory.mktemp("updated") / "week-2"
    before = digest(model)
    earlier = ["--earlier", weeks[0][1], "--earlier-catalog", weeks[0][3]]
    assert main(["update", "--model", str(model), "--out", str(folder), *weeks[1], *earlier, *SHORT]) == 0
    assert digest(model) == before  # last week's model is never touched
    return folder


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def clicks_by_name(options: list[str]) -> dict[tuple[str, str], int]:
    """Clicks of each (query text, item id) in the training part of a log, counted row by row."""
    shop = read_source(SourceOptions(data=options[1], catalog=Path(options[3])), progress=False)
    found: dict[tuple[str, str], int] = {}
    ids, steps = shop.catalog.item_ids, shop.train
    for m, k in zip(*np.nonzero(steps.item >= 0), strict=True):
        key = steps.queries[steps.query[m]], ids[steps.item[m, k]]
        found[key] = found.get(key, 0) + int(steps.click[m, k])
    return found


def test_numbers_keep_their_meaning(weeks, updated) -> None:
    kept = load_kept(updated)
    assert kept is not None
    assert {"gizmo", "kicks", "sneaker"} <= set(kept.queries)
    assert kept.queries[-1] == "sneaker"
    assert kept.item_ids[:120] == tuple(f"i{n}" for n in range(120))
    assert kept.item_ids[120:] == ("n0", "n1")
    assert kept.item_texts[0] == "red shoe 0. shoe"  # gone from the catalogue, remembered all the same
    assert kept.item_texts[120] == "red shoe new. shoe"
    memory = kept.state.memory
    each = [clicks_by_name(options) for options in weeks]
    with_text = [sum(bool(query) for query, _ in week) for week in each]
    assert memory.n_pairs == sum(with_text)  # all of both weeks: the memory is larger
    expected = sorted((*key, n) for week in each for key, n in week.items() if key[0])
    found = sorted(
        (kept.queries[q], kept.item_ids[i], int(n))
        for q, i, n in zip(memory.query, memory.item, memory.clicks, strict=True)
    )
    assert found == expected
    assert kept.empty.clicks.sum() == sum(n for week in each for (query, _), n in week.items() if not query)
    assert kept.state.weeks == 2


def test_the_report_says_what_was_learned_and_forgotten(updated) -> None:
    found = json.loads((updated / "update.json").read_text())
    new, earlier, gone = found["measured"]
    assert [row["name"].split(",")[0] for row in found["measured"]] == [
        "the new week",
        "earlier weeks",
        "earlier weeks",
    ]
    assert gone["n_queries"] == 2  # gizmo, kicks
    assert earlier["n_queries"] > gone["n_queries"]
    assert set(new["before"]) == set(new["after"]) >= {"click AUC", "NDCG@10 by clicks"}
    for low, high in ((gain[1], gain[2]) for gain in new["gains"].values()):
        assert low <= high


def test_single_queries_are_learned_on_and_others_stay(model, updated) -> None:
    old, new = (RelevanceModel.load(folder).known for folder in (model, updated))
    before, after = (dict(zip(k.texts, k.click, strict=True)) for k in (old, new))
    assert set(after) == set(before) | {"sneaker"}
    np.testing.assert_array_equal(after["gizmo"][:-1], before["gizmo"][:-1])
    assert not np.allclose(after["red shoe"][:-1], before["red shoe"][:-1])


def test_weeks_follow_one_another(weeks, updated, tmp_path: Path, capsys) -> None:
    base = ["update", "--model", str(updated), *weeks[1], *SHORT]
    assert main([*base, "--earlier", weeks[0][1], "--out", str(tmp_path / "x")]) == 2
    assert "of 2 earlier weeks already" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="100 % of the new log's pages are no later"):
        assert main([*base, "--out", str(tmp_path / "week-3"), "--memory", "100"]) == 0
    assert "'replay' remembers" in capsys.readouterr().out
    kept = load_kept(tmp_path / "week-3")
    assert kept is not None
    assert (kept.state.weeks, kept.state.memory.n_pairs, kept.put_by.n_pairs) == (3, 100, 100)
    before = load_kept(updated)
    assert before is not None
    assert (kept.queries, kept.item_ids) == (before.queries, before.item_ids)
    assert main([*base, "--out", str(updated)]) == 2  # nothing is overwritten
    assert "there already" in capsys.readouterr().err


def test_a_first_update_says_what_it_does_not_know(weeks, model, tmp_path: Path, capsys) -> None:
    for way in ("replay", "ewc"):
        out = tmp_path / way
        given = ["--model", str(model), "--way", way, "--out", str(out), *weeks[1], *SHORT]
        assert main(["update", *given]) == 0
        assert "With --earlier LOG" in capsys.readouterr().out
        kept = load_kept(out)
        assert kept is not None
        assert kept.state.weeks == 1
        assert "gizmo" not in kept.queries  # nobody asked it this week
        assert bool(kept.state.memory.n_pairs) == (way == "replay")
        assert bool(kept.state.projection_weight.any()) == (way == "ewc")
        assert "gizmo" in RelevanceModel.load(out).known.texts  # what the old model knew of it stays
    given = ["--model", str(tmp_path / "ewc"), "--out", str(tmp_path / "other"), *weeks[1], *SHORT]
    with pytest.warns(UserWarning, match="Give the new week alone"):
        assert main(["update", *given]) == 0
    assert "went another way" in capsys.readouterr().out


def test_what_is_kept_goes_through_the_disk_and_damage_is_named(updated, tmp_path: Path) -> None:
    kept = load_kept(updated)
    assert kept is not None
    save_kept(tmp_path, kept)
    again = load_kept(tmp_path)
    assert isinstance(again, Kept)
    assert (again.queries, again.item_ids, again.item_texts) == (
        kept.queries,
        kept.item_ids,
        kept.item_texts,
    )
    np.testing.assert_array_equal(again.put_by.clicks, kept.put_by.clicks)
    np.testing.assert_array_equal(again.draw, kept.draw)
    save_kept(tmp_path, replace(kept, queries=kept.queries[:3]))
    with pytest.raises(InputError, match="does not name"):
        load_kept(tmp_path)
    (tmp_path / "weeks.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        load_kept(tmp_path)
    (tmp_path / "weeks.json").unlink()
    with pytest.raises(InputError, match="damaged"):
        load_kept(tmp_path)
    shutil.rmtree(tmp_path)
    assert load_kept(tmp_path) is None


def test_a_model_without_a_log_keeps_nothing(model) -> None:
    kept = start_kept(RelevanceModel.load(model), None, ContinualConfig(heads=HeadConfig(steps=1)))
    assert (kept.state.weeks, kept.state.memory.n_pairs, kept.queries) == (0, 0, ())


def test_offsets_are_held_to_where_they_start() -> None:
    rng = np.random.default_rng(0)
    item = rng.normal(size=(30, 8)).astype(np.float32)
    query = rng.normal(size=(2, 8)).astype(np.float32)
    heads = Heads.plain(8, click_scale=5.0, purchase_scale=1.0, bias=(-2.0, -2.0))
    shown = np.full(30, 5.0)
    pairs = PairCounts(
        query=np.zeros(30, np.int32),
        item=np.arange(30, dtype=np.int32),
        impressions=shown,
        exposure=shown,
        clicks=(np.arange(30) < 5).astype(np.float64) * 3.0,
        purchases=np.zeros(30),
    )
    start = KnownQueries(texts=("gone", "asked"), click=rng.normal(size=(2, 9)).astype(np.float32))

    def fit(ridge: float, start: KnownQueries | None) -> dict[str, np.ndarray]:
        config = KnownQueriesConfig(ridge=ridge, steps=60)
        found = fit_known_queries(
            heads, item, query, ("asked", "new"), pairs, config, start=start, progress=False
        )
        return dict(zip(found.texts, found.click, strict=True))

    stiff = fit(1e5, start)
    np.testing.assert_allclose(stiff["asked"][:-1], start.click[1, :-1], atol=0.02)
    np.testing.assert_array_equal(stiff["gone"], start.click[0])
    assert set(stiff) == {"gone", "asked"}
    loose = fit(3.0, start)
    assert np.abs(loose["asked"][:-1] - start.click[1, :-1]).max() > 0.1
    np.testing.assert_allclose(fit(1e5, None)["asked"][:-1], 0.0, atol=0.02)
    nobody = replace(pairs, clicks=np.zeros(30))
    still = fit_known_queries(heads, item, query, ("asked", "new"), nobody, KnownQueriesConfig(), start=start)
    assert still is start
