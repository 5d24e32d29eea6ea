"""`train.py` under a real `torchrun`: two processes, one run folder, one policy."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.checkpoint import read_checkpoint, read_training_state
from agents.ppo.config import PPOConfig
from pipeline.run_folder import STAGES

ROOT = Path(__file__).resolve().parents[2]
N_ENVS = 64
TOGETHER = 2 * N_ENVS * PPOConfig().n_steps
"""User-steps of both processes for one update."""


def torchrun(*arguments: object) -> subprocess.Popen[str]:
    """Start `train.py` in two processes."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]
    return subprocess.Popen(
        [*launch, str(ROOT / "train.py"), *map(str, arguments)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def together(
    small: Sequence[str], end: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A small run of two processes: its folder, and how it ended."""
    logs = tmp_path_factory.mktemp("together")
    ended = end(torchrun(*small, "--threads", 1, "--n-envs", N_ENVS, "--logs", logs, "--name", "two"))
    assert ended.code == 0, ended.out + ended.err
    return logs / "two", ended


@pytest.mark.slow
def test_one_run_of_two_processes(together: tuple[Path, Any]) -> None:
    run, ended = together
    assert [path.name for path in run.parent.iterdir()] == ["two"]
    # Only one of them speaks, and it walks every stage once.
    assert ended.out.splitlines()[0] == str(run)
    said = [line.split("]")[0].strip("[") for line in ended.out.splitlines() if line.startswith("[")]
    assert said == [f"{i + 1}/{len(STAGES)}" for i in range(len(STAGES))]
    assert "2,048 user-steps" in ended.out
    assert "by 2 processes" in ended.out
    assert ended.out.count("report: ") == 1
    assert "process 1" not in ended.err
    rows = [row["policy"] for row in json.loads((run / "table.json").read_text())["rows"]]
    assert "ppo" in rows
    assert len(rows) == len(set(rows))
    assert len(list(run.glob("events.*"))) == 2  # of training and of the table, as one process leaves them
    assert {path.name for path in run.rglob(".*")} == {".lock"}


@pytest.mark.slow
def test_steps_and_users_are_those_of_both(together: tuple[Path, Any]) -> None:
    last = together[0] / "last_model.zip"
    about, state = read_checkpoint(last), read_training_state(last)
    assert about.num_timesteps == 2048
    assert about.n_updates == 2048 // TOGETHER * PPOConfig().n_epochs
    users = [set(state[f"rank{rank}/learner/env/user"].tolist()) for rank in (0, 1)]
    assert [len(part) for part in users] == [N_ENVS, N_ENVS]
    assert not users[0] & users[1]


@pytest.mark.slow
def test_interrupt_and_resume(
    together: tuple[Path, Any], end: Callable[..., Any], run_train: Callable[..., Any], tmp_path: Path
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(together[0], run)
    for name in ("table.json", "report.html"):
        (run / name).unlink()
    last = run / "last_model.zip"
    endless = ("--steps", 4_000_000, "--evaluate-every", 4_000_000, "--checkpoint-every", TOGETHER)
    process = torchrun("--resume", run, *endless, "--quiet")
    try:
        limit = time.monotonic() + 240
        while read_checkpoint(last).num_timesteps < 2048 + 2 * TOGETHER:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < limit
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        ended = end(process, 60)
    finally:
        process.kill()
    assert ended.code != 0
    assert f"stopped; go on with:\n  torchrun --nproc-per-node 2 train.py --resume {run}" in ended.err
    assert "process 1 stopped" in ended.err
    assert "pipeline/main.py" not in ended.err  # torchrun shows its own traceback, ours say it in words
    assert not (run / "report.html").exists()
    done = read_checkpoint(last).num_timesteps
    assert done % TOGETHER == 0

    alone = run_train("--resume", run, "--quiet")
    assert alone.code == 2
    assert "written by 2 processes, and here are 1" in alone.err
    assert "torchrun --nproc-per-node 2" in alone.err

    ended = end(
        torchrun("--resume", run, "--steps", done + TOGETHER, "--evaluate-every", 4_000_000, "--quiet")
    )
    assert ended.code == 0, ended.err
    assert read_checkpoint(last).num_timesteps == done + TOGETHER
    assert (run / "report.html").is_file()


def test_a_mistake_that_one_process_finds_ends_the_other(
    small: Sequence[str], end: Callable[..., Any], tmp_path: Path
) -> None:
    # The first process reads the log, while the second waits for what comes of it.
    ended = end(
        torchrun(*small, "--data", tmp_path / "nowhere.csv", "--logs", tmp_path, "--name", "two"), 100
    )
    assert ended.code != 0
    assert "error: the file does not exist" in ended.err
    assert "error in process 1: another process of this run has stopped" in ended.err
    assert "pipeline/main.py" not in ended.err
    assert list(tmp_path.iterdir()) == []  # nothing was done, so nothing is left
