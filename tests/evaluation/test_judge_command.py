"""`python -m evaluation --log`: tables, functions, what is written, and every mistake met by a clear message."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.baselines import RelevancePolicy
from envs.recorder import SessionRecorder
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.__main__ import main
from evaluation.callable_policies import Pages

WORLD = toy_world(n_items=40, n_queries=4, n_candidates=6, seed=0)
TASK = TaskConfig(slate_size=2, n_candidates=6, max_steps=3)
IDS = [f"p{row:02d}" for row in range(40)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of a shop's own, with candidates and propensities."""
    folder = tmp_path_factory.mktemp("judged")
    recorder = SessionRecorder(WORLD, TASK, item_ids=IDS)
    recorder.record(RelevancePolicy(temperature=2.0), n_sessions=400, seed=3, progress=False)
    recorder.log().write(folder / "log.csv")
    return folder


def by_id(pages: Pages) -> np.ndarray:
    """Prefers items with large numbers in their names."""
    return np.array([[0.0 if i is None else int(i[1:]) / 20 for i in page] for page in pages.candidates])


def fails(pages: Pages) -> np.ndarray:
    """Not written well."""
    raise KeyError("weights")


def holes(pages: Pages) -> np.ndarray:
    """Not every item has a score."""
    return np.full(pages.candidates.shape, np.nan)


def narrow(pages: Pages) -> np.ndarray:
    """One score a page."""
    return np.zeros(len(pages.query))


def table(path: Path, rows: Sequence[tuple[Any, ...]], *columns: str) -> Path:
    pd.DataFrame(rows, columns=list(columns)).to_csv(path, index=False)
    return path


def judge(files: Path, *arguments: object) -> list[str]:
    return ["--log", str(files / "log.csv"), "--part", "all", "--quiet", *map(str, arguments)]


def figures(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = json.loads((folder / "off_policy.json").read_text())
    return {(row["policy"], row["estimator"]): row for row in found["figures"]}


def test_a_table_and_a_function_with_the_same_scores_are_the_same_policy(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = table(tmp_path / "scores.csv", [(i, int(i[1:]) / 20) for i in IDS], "item", "score")
    out = tmp_path / "out"
    code = main(
        judge(
            files,
            "--policy",
            scores,
            "--policy",
            f"mine={__name__}:by_id",
            "--policy",
            "random",
            "--out",
            out,
        )
    )
    printed = capsys.readouterr().out
    assert code == 0
    assert "SNIIPS" in printed
    found = figures(out)
    for estimator in ("sniips", "snrips", "iips", "wpdis"):
        assert found["scores", estimator]["value"] == pytest.approx(
            found["mine", estimator]["value"], rel=1e-12
        )
    assert found["scores", "sniips"]["value"] != found["random", "sniips"]["value"]
    assert {"off_policy.html", "off_policy.csv", "figures.svg"} <= {path.name for path in out.iterdir()}
    assert any(path.name.startswith("events.out") for path in out.iterdir()), "TensorBoard's events"
    page = (out / "off_policy.html").read_text()
    assert "mine" in page
    assert "<svg" in page
    assert main(judge(files, "--policy", "random", "--out", out)) == 2, "nothing is overwritten"


def test_scores_of_single_pages_are_found_by_session_and_step(files: Path, tmp_path: Path) -> None:
    candidates = pd.read_csv(files / "log.candidates.csv")
    candidates["score"] = candidates["item_id"].str[1:].astype(int) / 20
    candidates[["session_id", "step", "item_id", "score"]].to_parquet(tmp_path / "pages.parquet")
    out = tmp_path / "out"
    names = ("--policy", tmp_path / "pages.parquet", "--policy", f"mine={__name__}:by_id")
    assert main(judge(files, *names, "--out", out)) == 0
    found = figures(out)
    assert found["pages", "snrips"]["value"] == pytest.approx(found["mine", "snrips"]["value"], rel=1e-12)


def test_probabilities_are_those_of_the_first_position(files: Path, tmp_path: Path) -> None:
    candidates = pd.read_csv(files / "log.candidates.csv")
    weight = candidates["item_id"].str[1:].astype(int).map(lambda number: np.exp(number / 20))
    whole = weight.groupby([candidates["session_id"], candidates["step"]]).transform("sum")
    candidates["probability"] = weight / whole
    columns = ["session_id", "step", "item_id", "probability"]
    candidates[columns].to_parquet(tmp_path / "chances.parquet")
    out = tmp_path / "out"
    names = ("--policy", tmp_path / "chances.parquet", "--policy", f"mine={__name__}:by_id")
    assert main(judge(files, *names, "--out", out)) == 0
    found = figures(out)
    assert found["chances", "snrips"]["value"] == pytest.approx(found["mine", "snrips"]["value"], rel=1e-9)
    candidates["probability"] *= 0.9
    candidates[columns].to_parquet(tmp_path / "short.parquet")
    assert main(judge(files, "--policy", tmp_path / "short.parquet")) == 2


def test_policies_are_simulated_where_asked(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code = main(
        [
            *judge(files, "--policy", "random", "--policy", f"{__name__}:by_id"),
            *("--simulator", "pbm", "--users", "40", "--out", str(out)),
        ]
    )
    assert code == 0, capsys.readouterr().err
    found = json.loads((out / "off_policy.json").read_text())
    assert set(found["simulated"]["pbm"]) == {"random", "by_id"}
    assert found["simulated"]["pbm"]["random"]["value"] > 0
    assert found["truth"] is None, "nobody knows the truth about a shop's own log"


def spoiled(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path, Path], list[str]]:
    """The command on the log with its rows changed."""

    def arguments(files: Path, folder: Path) -> list[str]:
        rows = change(pd.read_csv(files / "log.csv", dtype={"item_id": str}))
        rows.to_csv(folder / "log.csv", index=False)
        pd.read_csv(files / "log.candidates.csv").to_csv(folder / "log.candidates.csv", index=False)
        return judge(folder, "--policy", "random")

    return arguments


def by_table(rows: Sequence[tuple[Any, ...]], *columns: str) -> Callable[[Path, Path], list[str]]:
    return lambda files, folder: judge(files, "--policy", table(folder / "t.csv", rows, *columns))


def with_options(*options: str) -> Callable[[Path, Path], list[str]]:
    return lambda files, folder: judge(files, *options)


SCORES = [(i, 1.0) for i in IDS]
MISTAKES: dict[str, tuple[Callable[[Path, Path], list[str]], str]] = {
    "zero propensity": (spoiled(lambda f: f.assign(propensity=0.0)), "propensity"),
    "no propensities": (
        spoiled(lambda f: f.drop(columns=["propensity", "cascade_propensity", "slate_propensity"])),
        "state a propensity",
    ),
    "propensities above one": (spoiled(lambda f: f.assign(propensity=f["propensity"] * 9)), "propensity"),
    "propensities that contradict": (
        spoiled(lambda f: f.assign(slate_propensity=f["slate_propensity"] * 0.5)),
        "slate_propensity",
    ),
    "propensity that is no number": (
        spoiled(lambda f: f.assign(propensity=np.where(f.index == 3, "often", f["propensity"].astype(str)))),
        "often",
    ),
    "duplicate positions": (spoiled(lambda f: f.assign(position=0)), "position"),
    "ragged slates": (spoiled(lambda f: f.drop(index=f.index[f["position"] == 0][:5])), "position"),
    "clicks that are none": (
        spoiled(lambda f: f.assign(click=np.where(f.index == 5, -1, f["click"]))),
        "click",
    ),
    "missing clicks": (
        spoiled(lambda f: f.assign(click=f["click"].astype(float).where(f.index != 5))),
        "click",
    ),
    "one row": (spoiled(lambda f: f.head(1)), ""),
    "no rows": (spoiled(lambda f: f.head(0)), "no rows"),
    "table lacks items": (by_table(SCORES[:20], "item", "score"), "says nothing of"),
    "table of other items": (by_table([("x1", 1.0)], "item", "score"), "knows no item"),
    "table without a score": (by_table(SCORES, "item", "points"), "make no policy"),
    "table with a hole": (by_table([*SCORES[:-1], (IDS[-1], None)], "item", "score"), "expected a number"),
    "table says twice": (by_table([*SCORES, SCORES[0]], "item", "score"), "two rows for item p00"),
    "table with a negative chance": (
        by_table([(i, -0.1) for i in IDS], "item", "probability"),
        "probability is -0.1",
    ),
    "chances that do not sum": (by_table([(i, 0.3) for i in IDS], "item", "probability"), "sum to 1.8"),
    "step without a session": (
        by_table([(0, i, 1.0) for i in IDS], "step", "item", "score"),
        "make no policy",
    ),
    "no policy": (with_options(), "no policy"),
    "unknown policy": (with_options("--policy", "logs/nobody"), "no such run or table"),
    "unknown module": (with_options("--policy", "nowhere:f"), "no module 'nowhere'"),
    "unknown function": (with_options("--policy", f"{__name__}:nothing"), "has no function"),
    "function that raises": (with_options("--policy", f"{__name__}:fails"), "raised KeyError"),
    "function with holes": (with_options("--policy", f"{__name__}:holes"), "returned nan"),
    "function of a wrong shape": (with_options("--policy", f"{__name__}:narrow"), "returned shape"),
    "two of a name": (with_options("--policy", "random", "--policy", "random"), "two policies are called"),
    "unknown estimator": (
        with_options("--policy", "random", "--estimators", "snrps"),
        "did you mean 'snrips'",
    ),
    "estimator that does not fit": (
        with_options("--policy", "random", "--estimators", "snips"),
        "single impressions",
    ),
    "unknown simulator": (with_options("--policy", "random", "--simulator", "pmb"), "did you mean 'pbm'"),
    "a level that is none": (with_options("--policy", "random", "--level", "95"), "--level 95"),
    "a negative reward": (
        with_options("--policy", "random", "--purchase-weight", "-5"),
        "a purchase weighs -5",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(
    files: Path, tmp_path: Path, mistake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, message = MISTAKES[mistake]
    assert main(arguments(files, tmp_path)) == 2, mistake
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert message in printed
    assert "mend:" in printed, "it says what to do"
    assert "Traceback" not in printed


def test_propensities_can_be_estimated(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.read_csv(files / "log.csv", dtype={"item_id": str})
    unknown = ["propensity", "cascade_propensity", "slate_propensity"]
    rows.drop(columns=unknown).to_csv(tmp_path / "log.csv", index=False)
    pd.read_csv(files / "log.candidates.csv").to_csv(tmp_path / "log.candidates.csv", index=False)
    assert main(judge(tmp_path, "--policy", "random", "--estimate-propensities")) == 0
    assert "PROPENSITIES ARE ESTIMATED" in " ".join(capsys.readouterr().out.split())


def test_missing_items_can_be_ranked_last(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = table(tmp_path / "half.csv", SCORES[:20], "item", "score")
    assert main(judge(files, "--policy", half, "--missing", "last")) == 0
    assert "these rank last" in " ".join(capsys.readouterr().out.split())


def test_a_policy_outside_the_support_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log of little exploration, and a policy that explores much: a figure of some height, loudly not believed."""
    recorder = SessionRecorder(WORLD, TASK, item_ids=IDS)
    recorder.record(RelevancePolicy(temperature=0.2), n_sessions=200, seed=3, progress=False)
    recorder.log().write(tmp_path / "log.csv")
    out = tmp_path / "out"
    assert main(judge(tmp_path, "--policy", "random", "--out", out)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "NOT TO BELIEVE" in printed
    assert "The log cannot say" in printed
    found = json.loads((out / "off_policy.json").read_text())
    assert found["believed"] == []
    assert all(row["rank"] is None for row in found["figures"])


def test_a_log_of_one_action_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorder = SessionRecorder(WORLD, TASK, item_ids=IDS)
    recorder.record(RelevancePolicy(), n_sessions=100, seed=3, progress=False).log().write(
        tmp_path / "log.csv"
    )
    assert main(judge(tmp_path, "--policy", "random")) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "made without chance" in printed
    assert "The log cannot say" in printed


def test_the_commands_list_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("--log LOG", "--run RUN", "agreement"))


@pytest.mark.slow
def test_the_command_as_a_process(files: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "evaluation", *judge(files, "--policy", "random")],
        cwd=Path(__file__).resolve().parents[2],
        text=True,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "SNIIPS" in ended.stdout
