"""One small run of the main job for all tests of this room, and ways to start others."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_SMALL = (
    "--preset smoke --steps 2048 --evaluate-every 1024 --checkpoint-every 1024 "
    "--eval-users 24 --validation-users 16 --planner-users 8 --planner-rollouts 1 --planner-practice 16"
)
SMALL = tuple(_SMALL.split())
"""The smoke preset, smaller still."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Finished:
    """The small run, finished."""

    path: Path
    ended: Ended
    seconds: float


def train(*arguments: object) -> subprocess.Popen[str]:
    """Start `train.py` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *map(str, arguments)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "120"},
    )


def wait(process: subprocess.Popen[str], seconds: float = 400) -> Ended:
    """Wait for its end."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"still at work after {seconds} s:\n{out}\n{err}") from None
    return Ended(process.returncode, out, err)


@pytest.fixture(scope="session")
def small() -> Sequence[str]:
    """Options of a small run."""
    return SMALL


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts `train.py` as a process of its own."""
    return train


@pytest.fixture(scope="session")
def end() -> Callable[..., Ended]:
    """Waits for the end of such a process."""
    return wait


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The small run, made once as a process of its own."""
    logs = tmp_path_factory.mktemp("finished")
    begun = time.perf_counter()
    ended = wait(train(*SMALL, "--logs", logs, "--name", "small"))
    assert ended.code == 0, ended.out + ended.err
    return Finished(path=logs / "small", ended=ended, seconds=time.perf_counter() - begun)


@pytest.fixture
def untrained(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the small run as it was before training."""
    copy = tmp_path / "untrained"
    shutil.copytree(finished.path, copy)
    for pattern in ("*_model.zip", "events.*", "table.*", "report.html", "comparisons.json"):
        for path in copy.glob(pattern):
            path.unlink()
    return copy


@pytest.fixture
def run_train(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ended]]:
    """Runs `train.py` within this process: the same command, without the seconds that imports take."""
    from pipeline.main import main

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: object) -> Ended:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as left:  # what the command-line library does of its own
            code = left.code if isinstance(left.code, int) else 1
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)
