"""Runs judged by a log: by their own held-out part, by another log, and never by what they were trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from behavior.errors import InputError
from evaluation.__main__ import main
from pipeline.config import SourceOptions
from pipeline.config_file import read_config
from pipeline.judging_config import parse_policies
from pipeline.log_sources import JudgedLog, check_not_trained_on, read_judged_log, same_source
from store import StoreConfig, open_store


@pytest.fixture(scope="module")
def log() -> JudgedLog:
    source = SourceOptions(data="demo", store_size="tiny")
    return read_judged_log(source, "all", None, with_sessions=True, progress=False)


def recorded(folder: Path, log: JudgedLog, *, train: tuple[int, int]) -> Path:
    """A run folder with the record of a split whose training part held the sessions from .. to."""
    begins = np.append(True, log.steps.session[1:] != log.steps.session[:-1])
    starts = np.sort(log.steps.timestamp[begins])
    first, last = (np.datetime64(int(starts[at]), "ns") for at in train)
    part = {"name": "train", "first_start": f"{first}+00:00", "last_start": f"{last}+00:00"}
    (folder / "run.json").write_text(json.dumps({"split": [part]}))
    return folder


def test_whoever_trained_on_it_is_refused(tmp_path: Path, log: JudgedLog) -> None:
    run = recorded(tmp_path, log, train=(0, 10))
    with pytest.raises(InputError, match="10 of the 300 sessions") as caught:
        check_not_trained_on(run, log, same_log=True, allow=False)
    assert "--part test" in str(caught.value)
    warned = check_not_trained_on(run, log, same_log=True, allow=True)
    assert "IT WAS TRAINED ON THEM" in warned[0]
    other = check_not_trained_on(run, log, same_log=False, allow=False)
    assert "may have learned from them" in other[0], "another log of the same weeks may be the same log"


def test_what_came_later_may_judge(tmp_path: Path, log: JudgedLog) -> None:
    run = recorded(tmp_path, log, train=(0, 10))
    late = log.steps.session >= 150
    held = replace(log, steps=log.steps.take(late))
    assert check_not_trained_on(run, held, same_log=True, allow=False) == ()


def test_a_run_without_a_record_is_warned_of(tmp_path: Path, log: JudgedLog) -> None:
    assert "no record of its split" in check_not_trained_on(tmp_path, log, same_log=True, allow=False)[0]
    (tmp_path / "run.json").write_text("{}")
    assert "no record of its split" in check_not_trained_on(tmp_path, log, same_log=True, allow=False)[0]


def test_parts_are_those_of_a_run(log: JudgedLog) -> None:
    source = log.source
    parts = {
        p: read_judged_log(source, p, None, with_sessions=True, progress=False) for p in ("train", "test")
    }
    assert parts["train"].steps.n_sessions == 210
    assert parts["test"].steps.n_sessions == 45
    assert list(parts["test"].sessions) == list(log.sessions[-45:])
    whole = open_store(StoreConfig.tiny(seed=0)).log
    assert set(log.sessions) == set(whole.rows["session_id"])
    first = log.sessions[0]
    rows = whole.rows[whole.rows["session_id"] == first]
    assert rows["click"].sum() == log.steps.click[log.steps.session == 0].sum()


def test_sources_are_compared_by_their_files(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("x")
    assert same_source(
        SourceOptions(data=str(path)), SourceOptions(data=f"{tmp_path}/../{tmp_path.name}/log.csv")
    )
    assert not same_source(SourceOptions(data="demo"), SourceOptions(data="demo", store_seed=1))


def test_policies_are_named(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("")
    (tmp_path / "a.csv").write_text("x")
    run = str(tmp_path / "run")
    found = parse_policies((run, f"old={run}#relevance", str(tmp_path / "a.csv"), "m.x:f", "random"))
    assert [(one.kind, one.name) for one in found] == [
        ("run", "run"),
        ("run", "old"),
        ("table", "a"),
        ("function", "f"),
        ("random", "random"),
    ]
    assert found[1].inside == "relevance"
    with pytest.raises(InputError, match="two policies are called 'run'"):
        parse_policies((run, run))


@pytest.mark.slow
def test_a_run_is_judged_by_its_own_held_out_part(
    finished: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = finished.path, tmp_path / "out"
    words = [
        "--log",
        str(run),
        "--policy",
        str(run),
        "--policy",
        f"log={run}#behavior",
        "--users",
        "20",
        "--quiet",
    ]
    assert main([*words, "--simulator", "pbm", "--out", str(out)]) == 0, capsys.readouterr().err
    found = json.loads((out / "off_policy.json").read_text())
    assert {row["policy"] for row in found["figures"]} == {"small", "small, sampled", "log"}
    assert set(found["simulated"]["pbm"]) == set(found["truth"]) == {"small", "small, sampled", "log"}
    ours = next(r for r in found["figures"] if (r["policy"], r["estimator"]) == ("log", "sniips"))
    own = json.loads((run / "off_policy.json").read_text())
    wanted = next(r for r in own["figures"] if (r["policy"], r["estimator"]) == ("behavior", "sniips"))
    assert ours["value"] == pytest.approx(wanted["value"]), "the command agrees with the run's own judgement"
    assert ours["trust"] == wanted["trust"]
    assert main([*words, "--part", "all"]) == 2
    assert "it was trained on them" in capsys.readouterr().err
    assert main([*words, "--part", "all", "--allow-trained-on"]) == 0
    assert "IT WAS TRAINED ON THEM" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_a_run_is_judged_by_a_later_log(
    finished: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = read_config(finished.path / "config.yaml")
    store = open_store(StoreConfig.tiny(seed=config.source.store_seed))
    later = store.log.rows.assign(timestamp=store.log.rows["timestamp"] + np.timedelta64(365, "D"))
    replace(store.log, rows=later).write(tmp_path / "later.csv")
    words = ["--log", str(tmp_path / "later.csv"), "--part", "all", "--quiet", "--no-truth"]
    assert main([*words, "--policy", str(finished.path), "--out", str(tmp_path / "out")]) == 0
    assert "trained on" not in capsys.readouterr().out.lower()
    found = json.loads((tmp_path / "out" / "off_policy.json").read_text())
    assert found["n_pages"] == 895
