"""From a log to a report: everything that a run promises is there, is right, and can be repeated."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
POLICIES = {
    "random": "baseline",
    "popularity": "baseline",
    "relevance": "baseline",
    "mmr": "baseline",
    "click-greedy": "baseline",
    "linucb": "baseline",
    "cloning": "baseline",
    "reinforce": "baseline",
    "behavior": "behaviour",
    "ppo": "trained",
    "ppo, sampled": "trained",
    "myopic": "oracle",
    "planning": "oracle",
}
BASELINES = POLICIES.keys() - {"ppo", "ppo, sampled"}
STAGES = (
    "data",
    "relevance",
    "simulators",
    "environment",
    "training",
    "judgement",
    "off-policy",
    "agreement",
    "report",
)


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["policy"]: row for row in json.loads((folder / "table.json").read_text())["rows"]}


def said_of(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return loaded


def same(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> None:
    """Served users answer alike to the last click; a network's probabilities agree as far as float32 goes."""
    assert one.keys() == other.keys()
    for policy, row in one.items():
        for name, value in row.items():
            expected = other[policy][name]
            if name.startswith("off_policy") and isinstance(value, float):
                expected = pytest.approx(expected, rel=1e-5)
            assert value == expected, (policy, name)


class Loads(HTMLParser):
    """What a page makes a browser load, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset", "href", "xlink:href", "data", "action") and value:
                self.loads.append(value)
            if name == "style" and value:
                self.loads += re.findall(r"url\(([^)]*)\)", value)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def own_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop's own two files and mapping, with its own names: the tiny store's log, written as that shop would."""
    from store import StoreConfig, open_store

    folder = tmp_path_factory.mktemp("own")
    shop = open_store(StoreConfig.tiny(seed=0))
    log = shop.log.rows.rename(
        columns={
            "session_id": "visit",
            "user_id": "customer",
            "step": "page",
            "timestamp": "seen_at",
            "query": "search_term",
            "position": "rank",
            "item_id": "sku",
            "click": "clicked",
            "purchase": "ordered",
        }
    )
    kept = ["visit", "customer", "page", "seen_at", "search_term", "rank", "sku", "clicked", "ordered"]
    log[kept].to_csv(folder / "clicks.csv", index=False)
    products = pd.DataFrame(
        {
            "sku": shop.catalog.frame["item_id"],
            "product_name": shop.catalog.frame["title"],
            "department": shop.catalog.frame["category"],
            "cents": (shop.catalog.frame["price"] * 100).round().astype(int),
        }
    )
    products.to_csv(folder / "products.csv", index=False)
    (folder / "columns.yaml").write_text(
        "catalog: {item_id: sku, title: product_name, category: department, price: cents, price_scale: 0.01}\n"
        "log: {session_id: visit, user_id: customer, step: page, timestamp: seen_at, query: search_term, "
        "position: rank, item_id: sku, click: clicked, purchase: ordered}\n",
        encoding="utf-8",
    )
    return folder


def test_console(finished: Any) -> None:
    out = finished.ended.out
    for number, stage in enumerate(STAGES, 1):
        assert re.search(rf"^\[{number}/{len(STAGES)}\] {stage} .*\(\d+\.\d s\)$", out, re.MULTILINE), stage
    for policy in POLICIES:
        assert re.search(rf"^{policy} +-?\d", out, re.MULTILINE), policy
    assert f"tensorboard --logdir {finished.path.parent}" in out
    assert str(finished.path / "report.html") in out
    assert finished.ended.err == ""  # no warnings, and no bars where nobody looks
    assert "\r" not in out


def test_table_fits_its_width(finished: Any) -> None:
    lines = finished.ended.out.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("[9/9]")) :]
    long = [line for line in table if len(line) > 120 and str(finished.path) not in line]
    assert long == [] or all(line.startswith("Not yet") or "," in line for line in long)


def test_every_artefact_of_the_readme(finished: Any) -> None:
    page = (ROOT / "logs" / "README.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
    assert len(first_cells) > 8
    for cell in first_cells:
        for name in re.findall(r"`([^`]+)`", cell):
            found = list(finished.path.glob(name.replace("<name>", "pbm").rstrip("/")))
            assert found, f"logs/README.md names {name}, and the run has none"
            assert all(path.is_dir() == name.endswith("/") for path in found)
    unexplained = [
        path.name
        for path in finished.path.iterdir()
        if f"`{path.name}" not in page and not path.name.startswith((".", "events."))
    ]
    assert unexplained == []


def test_nothing_half_written_is_left(finished: Any) -> None:
    assert [p for p in finished.path.rglob(".*") if p.name != ".lock"] == []


def test_table(finished: Any) -> None:
    rows = rows_of(finished.path)
    assert {name: row["kind"] for name, row in rows.items()} == POLICIES
    weight = said_of(finished.path)["task"]["purchase_weight"]
    for name, row in rows.items():
        assert row["score"] == pytest.approx(row["clicks"] + weight * row["purchases"]), name
        assert row["score_low"] <= row["score"] <= row["score_high"]
        assert row["purchases"] <= row["clicks"]
        assert 0 < row["coverage"] <= 1
        assert 0 <= row["ndcg"] <= 1
        assert row["n_users"] == (8 if name == "planning" else 24)
        assert (row["off_policy_status"] is None) == (row["kind"] == "oracle")
        if row["kind"] != "oracle":
            assert row["off_policy_status"] in ("ok", "no support")
            assert row["off_policy_reason"] or row["off_policy_status"] == "ok"
    assert rows["random"]["share_of_gap"] == 0
    assert rows["planning"]["share_of_gap"] == 1
    assert rows["ppo"]["fitted_score"] is not None
    table = pd.read_csv(finished.path / "table.csv")
    assert list(table["policy"]) == list(rows)
    np.testing.assert_allclose(table["score"], [row["score"] for row in rows.values()])


def test_comparisons_are_paired_with_every_other_policy(finished: Any) -> None:
    found = json.loads((finished.path / "comparisons.json").read_text())
    rows = rows_of(finished.path)
    assert found.keys() == POLICIES.keys() - {"ppo", "ppo, sampled"}  # not with its own exploring form
    for name, difference in found.items():
        assert difference["low"] <= difference["value"] <= difference["high"]
        if rows[name]["n_users"] == rows["ppo"]["n_users"]:
            assert difference["value"] == pytest.approx(rows["ppo"]["score"] - rows[name]["score"])


def test_report_is_self_contained(finished: Any) -> None:
    from store import StoreConfig, open_store

    page = Loads()
    page.feed((finished.path / "report.html").read_text(encoding="utf-8"))
    outside = [load for load in page.loads if not load.startswith(("#", "data:"))]
    assert outside == []
    text = "".join(page.words)
    assert "@import" not in text
    assert re.findall(r"url\((?!['\"]?(?:data:|#))[^)]*\)", text) == []
    for policy in POLICIES:
        assert policy in text
    titles = [str(title) for title in open_store(StoreConfig.tiny(seed=0)).catalog.titles]
    assert sum(title in text for title in titles) >= 10  # pages before and after training
    assert "--preset smoke" in text  # the command
    assert "store_size: tiny" in text  # the configuration


def test_command_is_the_one_typed(finished: Any, small: Sequence[str]) -> None:
    command = (finished.path / "command.txt").read_text(encoding="utf-8").strip()
    assert command == " ".join(
        ["python train.py", *small, "--logs", str(finished.path.parent), "--name small"]
    )


def test_record(finished: Any) -> None:
    record = json.loads((finished.path / "run.json").read_text())
    assert tuple(record["stages"]) == STAGES
    assert sum(stage["seconds"] for stage in record["stages"].values()) < finished.seconds
    assert [part["name"] for part in record["split"]] == ["train", "valid", "test"]
    starts = [(part["first_start"], part["last_start"]) for part in record["split"]]
    assert starts == sorted(starts)
    assert starts[0][1] <= starts[1][0]
    assert starts[1][1] <= starts[2][0]


def test_the_moment_that_was_best_is_named(finished: Any) -> None:
    from agents.checkpoint import read_checkpoint

    last, best = (
        read_checkpoint(finished.path / name).num_timesteps for name in ("last_model.zip", "best_model.zip")
    )
    report = (finished.path / "report.html").read_text(encoding="utf-8")
    assert f"ppo, {last:,} user-steps; judged as it was after {best:,}, best on validation users" in report
    assert re.search(rf"best score on validation users \d+\.\d+, after {best:,} ", finished.ended.out)


def test_tensorboard(finished: Any) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from evaluation.tensorboard import read_scalars

    scalars = read_scalars(finished.path)
    expected = {
        *(f"rollout/{name}" for name in ("ep_rew_mean", "ep_len_mean")),
        *(f"slate/{name}" for name in ("score", "clicks", "purchases", "coverage", "repetition")),
        *(f"slate/{name}" for name in ("page_diversity", "value_predicted", "value_realised", "value_error")),
        *(f"slate/clicks_at/{k:02d}" for k in range(1, 11)),
        *(f"slate/purchases_at/{k:02d}" for k in range(1, 11)),
        *(f"time/{name}" for name in ("fps", "simulator_share", "policy_share", "update_share")),
        *(f"final/{name}" for name in ("score", "share_of_gap", "coverage")),
        *(f"train/{name}" for name in ("entropy", "value_loss", "policy_gradient_loss", "learning_rate")),
        *(f"eval/{name}" for name in ("score", "share_of_gap", "mean_reward", "mean_ep_length")),
        *(f"evaluation/{policy}/score" for policy in (*BASELINES, "ppo")),
    }
    assert expected - scalars.keys() == set()
    assert all(np.isfinite(curve.values).all() for curve in scalars.values())
    assert list(scalars["eval/score"].steps) == sorted(scalars["eval/score"].steps)
    assert scalars["eval/score"].steps[0] == 0
    assert scalars["eval/score"].steps[-1] == 2048
    rows = rows_of(finished.path)
    for policy in (*BASELINES, "ppo"):
        assert scalars[f"evaluation/{policy}/score"].values[-1] == pytest.approx(
            rows[policy]["score"], rel=1e-5
        )
    pictures, plugins = set(), set()
    for path in finished.path.glob("events.*"):
        events = EventAccumulator(str(path))
        events.Reload()
        pictures |= set(events.Tags()["images"])
        plugins |= {name for name in events.summary_metadata if name.startswith("_hparams_")}
    assert {"slate/first_pages", "slate/value_calibration"} <= pictures
    assert plugins  # hyper-parameters


def test_config_repeats_the_run_to_the_last_figure(
    finished: Any, run_train: Callable[..., Any], tmp_path: Path
) -> None:
    config = finished.path / "config.yaml"
    again = run_train("--config", config, "--logs", tmp_path, "--name", "again", "--quiet")
    assert again.code == 0, again.err
    ours, theirs = said_of(finished.path), said_of(tmp_path / "again")
    assert ours.pop("run") | {"name": "again", "logs": tmp_path.as_posix(), "quiet": True} == theirs.pop(
        "run"
    )
    assert ours == theirs
    same(rows_of(tmp_path / "again"), rows_of(finished.path))


def test_resuming_a_finished_run_changes_nothing_that_was_learned(
    finished: Any, run_train: Callable[..., Any], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    ended = run_train("--resume", copy)
    assert ended.code == 0, ended.err
    assert "[9/9] report" in ended.out
    same(rows_of(copy), rows_of(finished.path))
    for name in ("best_model.zip", "features.npz", "config.yaml", "command.txt"):
        assert (copy / name).read_bytes() == (finished.path / name).read_bytes(), name


def test_evaluation_command(finished: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "evaluation", "--run", finished.path, "--users", "20"]
    command += ["--planner-users", "4", "--out", tmp_path / "judged"]
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*") if path.name != ".lock"}
    ended = subprocess.run(list(map(str, command)), cwd=ROOT, text=True, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    rows = rows_of(tmp_path / "judged")
    assert rows.keys() == POLICIES.keys()
    assert rows["ppo"]["n_users"] == 20
    assert rows["planning"]["n_users"] == 4
    changed = {path.name for path, mtime in before.items() if path.stat().st_mtime_ns != mtime}
    rewritten = {
        path.name for kind in ("fidelity", "trust") for path in finished.path.rglob(f"*.{kind}.json")
    }
    assert changed <= {"simulators"} | rewritten


def test_a_shops_own_files(
    own_files: Path, small: Sequence[str], run_train: Callable[..., Any], tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in own_files.iterdir()}
    ended = run_train(
        *small,
        *("--data", own_files / "clicks.csv", "--catalog", own_files / "products.csv"),
        *("--columns", own_files / "columns.yaml", "--logs", tmp_path, "--name", "own", "--quiet"),
    )
    assert ended.code == 0, ended.err
    assert ended.err == ""
    assert {path.name: path.read_bytes() for path in own_files.iterdir()} == before
    rows = rows_of(tmp_path / "own")
    # No truth is known: no behaviour policy to ask, and the fitted simulator is what policies are judged in. No
    # candidates are logged: nothing can be learned of what was passed over.
    assert rows.keys() == POLICIES.keys() - {"behavior", "linucb", "cloning", "reinforce"}
    assert json.loads((tmp_path / "own" / "table.json").read_text())["world"] == "the fitted simulator"
    assert {row["off_policy_status"] for row in rows.values()} <= {None, "not applicable", "no support"}
    page = (tmp_path / "own" / "report.html").read_text(encoding="utf-8")
    titles = pd.read_csv(own_files / "products.csv")["product_name"]
    assert sum(title in page for title in titles) >= 10


def test_the_guides_own_users(
    small: Sequence[str], run_train: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "your-own-simulator.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", guide, re.S)[0]
    (tmp_path / "whole_way_shop.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    # They tell nothing of themselves; the true store's users, whom the policy is judged by, do.
    ended = run_train(
        *small,
        *("--simulator", "whole_way_shop:TiringUsers", "--logs", tmp_path, "--name", "tired", "--quiet"),
    )
    assert ended.code == 0, ended.err
    rows = rows_of(tmp_path / "tired")
    assert rows.keys() == POLICIES.keys()


def test_without_a_catalogue(
    own_files: Path, small: Sequence[str], run_train: Callable[..., Any], tmp_path: Path
) -> None:
    log = pd.read_csv(own_files / "clicks.csv").drop(columns="search_term")
    log.to_csv(tmp_path / "clicks.csv", index=False)
    columns = yaml.safe_load((own_files / "columns.yaml").read_text())
    del columns["catalog"], columns["log"]["query"]
    (tmp_path / "columns.yaml").write_text(yaml.safe_dump(columns))
    ended = run_train(
        *small,
        *("--data", tmp_path / "clicks.csv", "--columns", tmp_path / "columns.yaml"),
        *("--agent", "popularity", "--logs", tmp_path, "--name", "bare", "--quiet"),
    )
    assert ended.code == 0, ended.err
    assert "item features" in ended.out
    assert "popularity" in rows_of(tmp_path / "bare")


def test_a_baseline_is_only_judged(
    small: Sequence[str], run_train: Callable[..., Any], tmp_path: Path
) -> None:
    # Fewer candidates than the log's pages have positions: the log judges the first four.
    short = ("--slate-size", "4", "--n-candidates", "8")
    ended = run_train(*small, *short, "--agent", "mmr", "--logs", tmp_path, "--name", "mmr", "--quiet")
    assert ended.code == 0, ended.err
    assert "only the first 4 are judged" in (tmp_path / "mmr" / "report.html").read_text(encoding="utf-8")
    rows = rows_of(tmp_path / "mmr")
    assert rows.keys() == BASELINES
    assert not list((tmp_path / "mmr").glob("*_model.zip"))
    assert "mmr, needs no training" in (tmp_path / "mmr" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_dqn(small: Sequence[str], run_train: Callable[..., Any], tmp_path: Path) -> None:
    # Long enough for updates: the replay is first filled with 4,000 pages.
    ended = run_train(
        *small, "--agent", "dqn", "--steps", "6000", "--logs", tmp_path, "--name", "q", "--quiet"
    )
    assert ended.code == 0, ended.err
    rows = rows_of(tmp_path / "q")
    assert rows.keys() == BASELINES | {"dqn"}
    assert rows["dqn"]["kind"] == "trained"
    from evaluation.tensorboard import read_scalars

    assert any(tag.startswith("train/") and "loss" in tag for tag in read_scalars(tmp_path / "q"))


@pytest.mark.slow
def test_smoke_preset_as_it_is(start: Callable[..., Any], end: Callable[..., Any], tmp_path: Path) -> None:
    ended = end(start("--preset", "smoke", "--logs", tmp_path, "--name", "smoke"))
    assert ended.code == 0, ended.err
    assert rows_of(tmp_path / "smoke").keys() == POLICIES.keys()


@pytest.mark.slow
def test_cascade_and_another_seed(
    finished: Any, small: Sequence[str], run_train: Callable[..., Any], tmp_path: Path
) -> None:
    ended = run_train(
        *small,
        *("--simulator", "cascade", "--seed", "1", "--logs", tmp_path, "--name", "c", "--quiet"),
    )
    assert ended.code == 0, ended.err
    ours, theirs = rows_of(tmp_path / "c"), rows_of(finished.path)
    assert ours["random"]["score"] != theirs["random"]["score"]
    assert (tmp_path / "c" / "simulators" / "cascade").is_dir()
    assert (tmp_path / "c" / "simulators" / "pbm").is_dir()  # fitted to compare with
