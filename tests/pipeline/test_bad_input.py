"""Mistakes end with one clear message and exit code 2, and nothing is overwritten or left behind."""

from __future__ import annotations

import gzip
import hashlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]


def good_log() -> pd.DataFrame:
    """Three sessions of two pages of three items."""
    rows = []
    for session in range(3):
        for step in range(2):
            for position in range(3):
                rows.append(
                    {
                        "session_id": f"s{session}",
                        "step": step,
                        "timestamp": f"2026-01-0{session + 1}T10:0{step}:00+00:00",
                        "query": "lamp",
                        "position": position,
                        "item_id": f"i{position}",
                        "click": int(position == session),
                        "purchase": 0,
                        "propensity": 0.5,
                    }
                )
    return pd.DataFrame(rows)


def catalogue() -> pd.DataFrame:
    return pd.DataFrame({"item_id": ["i0", "i1", "i2"], "title": ["desk lamp", "floor lamp", "night lamp"]})


def tree(folder: Path) -> dict[str, str]:
    """What stands in a folder, by digest."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def check(ended: Any, *says: str) -> None:
    """One message, without a traceback, that says what, where and how to mend it."""
    assert ended.code == 2, ended.out + ended.err
    assert "Traceback" not in ended.out + ended.err
    assert ended.err.startswith("error: "), ended.err
    assert ended.err.count("error: ") == 1
    assert "\n  where: " in ended.err
    assert "\n  mend:  " in ended.err
    for words in says:
        assert words in ended.err, ended.err


@pytest.fixture
def refused(run_train: Callable[..., Any], tmp_path: Path) -> Callable[..., None]:
    """Runs a command that is to be refused without leaving anything behind."""
    logs = tmp_path / "logs"

    def run(*arguments: object, says: tuple[str, ...]) -> None:
        before = tree(tmp_path)
        check(run_train(*arguments, "--logs", logs, "--quiet"), *says)
        assert not logs.exists() or list(logs.iterdir()) == []
        assert tree(tmp_path) == before

    return run


# --- options ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--agent dqnn", ("no agent 'dqnn'", "did you mean 'dqn'", "--agent")),
        ("--agent PPO", ("no agent 'PPO'", "did you mean 'ppo'")),
        ("--agent planning", ("no agent 'planning'", "known: ppo, dqn")),
        ("--agent relevance --warm-start log", ("no start to warm", "--agent ppo or dqn")),
        ("--task SlateRank-v9", ("no task 'SlateRank-v9'", "did you mean 'SlateRank-v0'")),
        ("--preset smok", ("no preset 'smok'", "demo, smoke, full")),
        ("--simulator pbmm", ("unknown simulator 'pbmm'", "did you mean 'pbm'", "--simulator")),
        ("--compare pbm cascad", ("unknown simulator 'cascad'", "--compare")),
        ("--simulator no_such_module:Users", ("no module 'no_such_module'",)),
        ("--simulator json:Users", ("json has no class 'Users'", "--simulator json:Users")),
        ("--steps 0", ("--steps is 0", "1 or more")),
        ("--seed -1", ("the seed is -1",)),
        ("--gamma 1.5", ("gamma is 1.5",)),
        ("--learning-rate 0", ("--learning-rate is 0.0", "more than 0")),
        ("--purchase-weight -1", ("--purchase-weight is -1.0", "0 or more")),
        ("--reward.relevance nan", ("--reward.relevance is nan",)),
        ("--threads 0", ("--threads is 0",)),
        ("--slate-size 10 --n-candidates 5", ("5 candidates cannot fill a page of 10",)),
        ("--config nowhere.yaml", ("no such configuration file", "nowhere.yaml")),
        ("--preset smoke --config nowhere.yaml", ("each say where the settings start",)),
        ("--resume nowhere", ("not the folder of a run", "nowhere")),
        ("--data nowhere.csv", ("nowhere.csv",)),
        ("--data open-bandit --data-path nowhere", ("nowhere",)),
        ("--data icecat", ("--data-path",)),
        ("--data icecat --data-path nowhere", ("nowhere",)),
        ("--preset smoke --encoder ./nowhere", ("no such folder", "nowhere", "'minilm'")),
    ],
)
def test_options(arguments: str, says: tuple[str, ...], refused: Callable[..., None]) -> None:
    refused(*arguments.split(), says=says)


@pytest.mark.parametrize("arguments", ["--device tpu", "--no-such-option 3", "--steps many"])
def test_options_of_no_such_name_or_type(
    arguments: str, run_train: Callable[..., Any], tmp_path: Path
) -> None:
    ended = run_train(*arguments.split(), "--logs", tmp_path / "logs")
    assert ended.code == 2
    assert arguments.split()[0] in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "logs").exists()


def test_cuda_where_there_is_none(refused: Callable[..., None]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    refused("--device", "cuda", says=("no CUDA device", "--device cuda", "--device auto"))


def test_an_encoder_folder_without_a_model(refused: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    refused("--preset", "smoke", "--encoder", tmp_path / "model", says=("config.json is missing",))


def test_a_configuration_with_an_unknown_key(refused: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("learner: {stepz: 5}\n")
    refused(
        "--config", tmp_path / "c.yaml", says=("unknown option learner.stepz", "did you mean learner.steps")
    )


def test_logs_that_are_a_file(run_train: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("mine")
    check(run_train("--preset", "smoke", "--logs", tmp_path / "logs"), "is a file, not a folder")
    assert (tmp_path / "logs").read_text() == "mine"


def test_logs_where_no_folder_can_be_made(run_train: Callable[..., Any], tmp_path: Path) -> None:
    proc = Path("/proc/slategym")
    if not proc.parent.is_dir():
        pytest.skip("no /proc here, which takes no folders")
    check(run_train("--preset", "smoke", "--logs", proc), "no folder can be made at /proc/slategym", "--logs")
    check(
        run_train("--preset", "smoke", "--logs", tmp_path / "logs", "--name", "n" * 300),
        "longer than the disk takes",
        "choose a shorter one",
    )


# --- the user's files ------------------------------------------------------------------------------------------


def with_cell(column: str, row: int, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(log: pd.DataFrame) -> pd.DataFrame:
        log = log.astype({column: object})
        log.loc[row, column] = value
        return log

    return change


FAULTS: Mapping[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], tuple[str, ...]]] = {
    "a column is missing": (
        lambda log: log.drop(columns="click"),
        ("lacks the column click", "clicks.csv", "--columns"),
    ),
    "a click is no number": (with_cell("click", 3, "maybe"), ("row 4", "'click'", "'maybe'", "0 or 1")),
    "a position is a fraction": (with_cell("position", 3, 0.5), ("row 4", "'position'", "whole number")),
    "a position stands twice": (with_cell("position", 4, 0), ("'position'", "a position of its own")),
    "a propensity above 1": (with_cell("propensity", 5, 1.5), ("row 6", "'propensity'", "1.5", "(0, 1]")),
    "a propensity of 0": (with_cell("propensity", 5, 0), ("row 6", "'propensity'", "(0, 1]")),
    "a purchase without a click": (
        with_cell("purchase", 5, 1),
        ("row 6", "'purchase'", "no click", "purchase-implies-click"),
    ),
    "an item that the catalogue lacks": (
        with_cell("item_id", 7, "i99"),
        ("row 8", "'i99'", "an item of the catalogue", "drop-unknown-items"),
    ),
    "an item twice on a page": (
        with_cell("item_id", 1, "i0"),
        ("'item_id'", "not shown elsewhere on the same page"),
    ),
    "pages out of order": (lambda log: log.iloc[::-1], ("'step'", "sort")),
    "times of several zones": (
        with_cell("timestamp", 2, "2026-01-01T12:00:00+02:00"),
        ("row 3", "'timestamp'", "zone", "to-utc"),
    ),
    "a time without a zone": (
        with_cell("timestamp", 2, "2026-01-01T10:00:00"),
        ("row 3", "'timestamp'", "zone", "assume-utc"),
    ),
    "no time at all": (with_cell("timestamp", 2, "yesterday"), ("row 3", "'timestamp'", "'yesterday'")),
    "no rows": (lambda log: log.iloc[:0], ("clicks.csv",)),
    "too few sessions to be split": (lambda log: log, ("sessions",)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_log(fault: str, refused: Callable[..., None], tmp_path: Path) -> None:
    change, says = FAULTS[fault]
    change(good_log()).to_csv(tmp_path / "clicks.csv", index=False)
    catalogue().to_csv(tmp_path / "products.csv", index=False)
    refused("--data", tmp_path / "clicks.csv", "--catalog", tmp_path / "products.csv", says=says)


def test_all_faults_are_told_at_once(refused: Callable[..., None], tmp_path: Path) -> None:
    log = with_cell("purchase", 5, 1)(with_cell("click", 3, "maybe")(good_log()))
    log.to_csv(tmp_path / "clicks.csv", index=False)
    refused("--data", tmp_path / "clicks.csv", says=("row 4", "'maybe'"))


def test_an_empty_file(refused: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").touch()
    refused("--data", tmp_path / "clicks.csv", says=("empty", "clicks.csv"))


@pytest.mark.parametrize("kind", ["parquet", "csv.gz"])
def test_a_truncated_file(kind: str, refused: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / f"clicks.{kind}"
    if kind == "parquet":
        good_log().to_parquet(path)
    else:
        path.write_bytes(gzip.compress(good_log().to_csv(index=False).encode()))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused("--data", path, says=(path.name,))


def test_a_file_that_is_not_utf8(refused: Callable[..., None], tmp_path: Path) -> None:
    text = good_log().replace("lamp", "lampe à pied").to_csv(index=False)
    (tmp_path / "clicks.csv").write_bytes(text.encode("latin-1"))
    refused("--data", tmp_path / "clicks.csv", says=("clicks.csv", "UTF-8"))


def test_faults_of_the_other_files(refused: Callable[..., None], tmp_path: Path) -> None:
    data = tmp_path / "clicks.csv"
    good_log().to_csv(data, index=False)
    pd.concat([catalogue(), catalogue()]).to_csv(tmp_path / "twice.csv", index=False)
    (tmp_path / "wrong.yaml").write_text("log: {item_id: skuu}\n")
    (tmp_path / "unknown.yaml").write_text("log: {itemid: item_id}\n")
    refused("--data", data, "--catalog", tmp_path / "nowhere.csv", says=("nowhere.csv",))
    refused("--data", data, "--catalog", tmp_path / "twice.csv", says=("'item_id'", "twice.csv"))
    refused("--data", data, "--columns", tmp_path / "nowhere.yaml", says=("nowhere.yaml",))
    refused("--data", data, "--columns", tmp_path / "wrong.yaml", says=("'skuu'",))
    refused("--data", data, "--columns", tmp_path / "unknown.yaml", says=("itemid", "item_id"))
    refused("--data", data, "--repairs", "sortt", says=("'sortt'", "sort"))


# --- runs and checkpoints --------------------------------------------------------------------------------------


def test_a_run_folder_that_exists(finished: Any, run_train: Callable[..., Any]) -> None:
    before = tree(finished.path)
    ended = run_train("--preset", "smoke", "--logs", finished.path.parent, "--name", finished.path.name)
    check(ended, "exists already", str(finished.path), f"--resume {finished.path}")
    assert tree(finished.path) == before


def test_a_folder_of_the_users_own_is_no_run(run_train: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    check(run_train("--preset", "smoke", "--logs", tmp_path, "--name", "mine"), "exists already")
    check(run_train("--resume", tmp_path / "mine"), "not the folder of a run")
    assert tree(tmp_path) == {"mine/thesis.txt": hashlib.sha256(b"all of it").hexdigest()}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--agent dqn", "learner.agent: 'ppo' -> 'dqn'"),
        ("--slate-size 5", "task.slate_size: 10 -> 5"),
        ("--reward.click 2", "reward.click: 1.0 -> 2.0"),
        ("--store-seed 4", "source.store_seed: 0 -> 4"),
        ("--width 12", "relevance.width: 48 -> 12"),
        ("--seed 5", "run.seed: 0 -> 5"),
        ("--validation-users 17", "judge.validation_users: 16 -> 17"),
    ],
)
def test_resuming_with_another_configuration(
    arguments: str, says: str, finished: Any, run_train: Callable[..., Any]
) -> None:
    before = tree(finished.path)
    ended = run_train("--resume", finished.path, *arguments.split())
    check(ended, "another configuration", says, str(finished.path), "resume it without these options")
    assert tree(finished.path) == before


@pytest.mark.parametrize("swapped", ["another agent's", "another task's", "cut off"])
def test_a_checkpoint_of_another_configuration(
    swapped: str, finished: Any, untrained: Path, run_train: Callable[..., Any], tmp_path: Path
) -> None:
    from agents.dqn.config import DQNConfig
    from agents.learning import TrainingOptions, train_agent
    from agents.ppo.config import PPOConfig
    from envs.toy import toy_world
    from envs.world import TaskConfig

    last = untrained / "last_model.zip"
    if swapped == "cut off":
        whole = (finished.path / "last_model.zip").read_bytes()
        last.write_bytes(whole[: len(whole) // 2])
        says = "not a checkpoint"
    else:
        task = TaskConfig(slate_size=3, n_candidates=8)
        quiet = TrainingOptions(folder=tmp_path / "other", progress=False)
        other = DQNConfig(n_envs=8) if swapped == "another agent's" else PPOConfig(n_envs=8)
        train_agent(other, toy_world(n_items=40, n_candidates=8), task, total_steps=64, options=quiet)
        shutil.copy(tmp_path / "other" / "last_model.zip", last)
        says = (
            "agent is DQNConfig there and PPOConfig here"
            if isinstance(other, DQNConfig)
            else "slate_size is 3"
        )
    before = tree(untrained)
    check(run_train("--resume", untrained), says, str(last))
    after = tree(untrained)
    assert {name: after[name] for name in before if name != "run.json"} == {
        name: digest for name, digest in before.items() if name != "run.json"
    }


# --- simulators of the user's own ------------------------------------------------------------------------------

BROKEN = """
import numpy as np
from simulators.base import Feedback, SessionState

class Users:
    slate_size = None
    context_size = 0

    def __init__(self, inputs):
        self.n_items, self.n_queries = inputs.features.n_items, inputs.features.n_queries

    def begin(self, users, *, seed):
        n = len(users)
        return SessionState(user=users.copy(), step=np.zeros(n, np.int32), query=np.zeros(n, np.int32),
                            context=np.zeros((n, 0), np.float32), hidden=np.zeros((n, 1), np.float32))

    def respond(self, state, slates, *, seed):
        state.step += 1
        ones = np.ones(slates.shape, np.uint8)
        return Feedback(click=0 * ones, purchase=ones, left=np.ones(len(slates), bool))  # bought, never clicked

class Stubborn:
    def __init__(self, inputs):
        raise ValueError("no coffee")
"""


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the command is given in, with modules of the user's own."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "own_broken_users.py").write_text(BROKEN)
    (home / "own_raising_users.py").write_text("raise RuntimeError('half written')\n")
    (home / "own_hungry_users.py").write_text("import a_library_that_is_missing\n")
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return home


def test_simulator_modules_that_do_not_import(own_modules: Path, refused: Callable[..., None]) -> None:
    refused(
        "--simulator", "own_raising_users:Users", says=("RuntimeError: half written", "own_raising_users")
    )
    refused(
        "--simulator",
        "own_hungry_users:Users",
        says=("imports 'a_library_that_is_missing', which is missing",),
    )
    refused("--simulator", "own_broken_users:Userz", says=("has no class 'Userz'", "Users"))


@pytest.mark.parametrize(
    ("name", "says"), [("Users", "breaks the contract"), ("Stubborn", "raised ValueError: no coffee")]
)
def test_simulators_that_break_the_contract(
    name: str, says: str, own_modules: Path, run_train: Callable[..., Any], tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    chosen = f"own_broken_users:{name}"
    ended = run_train("--preset", "smoke", "--simulator", chosen, "--logs", logs, "--name", "x", "--quiet")
    check(ended, says, chosen)
    # The relevance model was made before: it is kept, and the class can be mended.
    assert f"python train.py --resume {logs / 'x'}" in ended.err
    assert (logs / "x" / "candidates.npz").is_file()
    assert not (logs / "x" / "simulators").exists() or not list((logs / "x" / "simulators").iterdir())


# --- the disk --------------------------------------------------------------------------------------------------


def limited(bytes_a_file: int) -> Callable[[], None]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, bytes_a_file))

    return limit


def test_no_room_for_a_checkpoint(finished: Any, run_train: Callable[..., Any], tmp_path: Path) -> None:
    from agents.checkpoint import read_checkpoint

    trained = tmp_path / "trained"
    shutil.copytree(finished.path, trained)
    half = (finished.path / "last_model.zip").stat().st_size // 2
    before = tree(trained)
    ended = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "--resume", str(trained), "--steps", "4096", "--quiet"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        preexec_fn=limited(half),
    )
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("error: "), ended.stderr
    assert str(trained / "last_model.zip") in ended.stderr
    assert "room" in ended.stderr
    assert f"--resume {trained}" in ended.stderr
    # The checkpoint of before is whole, and no part of the next one is left.
    assert read_checkpoint(trained / "last_model.zip").num_timesteps == 2048
    assert not [path for path in trained.rglob(".*") if path.name != ".lock"]
    after = tree(trained)
    # The record of the run and the settings it was resumed with are kept true, and a better policy may have been found
    # by then; nothing else is touched.
    told = ("run.json", "config.yaml", "best_model.zip")
    assert {name: after[name] for name in before if name not in told} == {
        name: digest for name, digest in before.items() if name not in told
    }
    again = run_train("--resume", trained, "--quiet")  # room has been made
    assert again.code == 0, again.err
    assert read_checkpoint(trained / "last_model.zip").num_timesteps == 4096


def test_no_room_for_anything(tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            str(ROOT / "train.py"),
            "--preset",
            "smoke",
            "--logs",
            tmp_path / "logs",
            "--name",
            "x",
        ],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        preexec_fn=limited(100),
    )
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert "no room left" in ended.stderr


def test_a_folder_without_rights(run_train: Callable[..., Any], tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs").chmod(0o500)
    check(run_train("--preset", "smoke", "--logs", tmp_path / "logs"), "cannot be written to")


# --- as a process of its own -----------------------------------------------------------------------------------


def test_exit_codes_of_the_process(
    start: Callable[..., Any], end: Callable[..., Any], finished: Any, tmp_path: Path
) -> None:
    with_cell("click", 3, "maybe")(good_log()).to_csv(tmp_path / "clicks.csv", index=False)
    logs = tmp_path / "logs"
    check(end(start("--agent", "nobody", "--logs", logs)), "no agent 'nobody'")
    check(end(start("--data", tmp_path / "clicks.csv", "--logs", logs)), "row 4", "'maybe'")
    check(end(start("--logs", finished.path.parent, "--name", finished.path.name)), "exists already")
    assert not logs.exists() or list(logs.iterdir()) == []
