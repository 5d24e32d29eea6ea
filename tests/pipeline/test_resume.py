"""A run that was stopped, politely or not, goes on from its last checkpoint."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LONG = ("--steps", "4000000", "--evaluate-every", "4000000", "--quiet")


def wait_for(process: subprocess.Popen[str], there: Callable[[], bool], seconds: float = 240) -> None:
    """Wait until `there()`; the process must still be at work then."""
    limit = time.monotonic() + seconds
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit, "nothing came"
        time.sleep(0.05)
    assert process.poll() is None


def steps_of(run: Path) -> int:
    from agents.checkpoint import read_checkpoint

    return read_checkpoint(run / "last_model.zip").num_timesteps


def finish(run: Path, run_train: Callable[..., Any], *, steps: int) -> Any:
    ended = run_train("--resume", run, "--steps", steps, "--evaluate-every", 4_000_000, "--quiet")
    assert ended.code == 0, ended.err
    assert (run / "report.html").is_file()
    assert "ppo" in {row["policy"] for row in json.loads((run / "table.json").read_text())["rows"]}
    return ended


def test_interrupt_saves_and_resume_finishes(
    untrained: Path, start: Callable[..., Any], end: Callable[..., Any], run_train: Callable[..., Any]
) -> None:
    # So seldom a checkpoint that the one found must be the interrupt's.
    process = start("--resume", untrained, *LONG, "--checkpoint-every", 4_000_000)
    wait_for(process, lambda: (untrained / "best_model.zip").exists())
    time.sleep(1.0)
    assert not (untrained / "last_model.zip").exists()
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert ended.code == 130, ended.err
    assert ended.err.strip() == f"stopped; go on with:\n  python train.py --resume {untrained}"
    assert not (untrained / "report.html").exists()
    done = steps_of(untrained)
    assert done > 0
    finish(untrained, run_train, steps=done + 1024)
    assert steps_of(untrained) == done + 1024


def test_kill_in_training_and_resume_goes_on_from_the_checkpoint(
    untrained: Path, start: Callable[..., Any], run_train: Callable[..., Any], tmp_path: Path
) -> None:
    process = start("--resume", untrained, *LONG, "--checkpoint-every", 1024)
    wait_for(process, lambda: (untrained / "last_model.zip").exists() and steps_of(untrained) >= 4096)
    process.kill()
    process.communicate()
    done = steps_of(untrained)
    weights = (untrained / "last_model.zip").read_bytes()
    # As if the kill had come in the middle of writing.
    half, folder = untrained / ".last_model-q7_k2xw0.zip", untrained / "simulators" / ".pbm-ab3_x9qd"
    half.write_bytes(weights[:1000])
    folder.mkdir()
    (untrained / ".gitignore").write_text("*")

    # Nothing left to train: the checkpoint itself is judged, so it is what the run goes on from.
    copy = tmp_path / "judged at once"
    shutil.copytree(untrained, copy)
    finish(copy, run_train, steps=done)
    assert steps_of(copy) == done

    ended = finish(untrained, run_train, steps=done + 2048)
    assert f"{done + 2048:,} user-steps" in ended.out
    assert steps_of(untrained) == done + 2048
    assert (untrained / "last_model.zip").read_bytes() != weights

    from evaluation.tensorboard import read_scalars

    steps = read_scalars(untrained)["eval/score"].steps
    assert steps[0] == 0
    assert steps[-1] == done + 2048
    assert {path.name for path in untrained.rglob(".*")} == {".lock", ".gitignore"}  # the user's own stays


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["data", "relevance", "simulators", "training", "judgement"])
def test_kill_in_any_stage_and_resume(
    stage: str,
    small: Any,
    finished: Any,
    start: Callable[..., Any],
    run_train: Callable[..., Any],
    tmp_path: Path,
) -> None:
    before = {
        "data": "config.yaml",
        "relevance": "relevance",
        "simulators": "candidates.npz",
        "training": "last_model.zip",
        "judgement": "last_model.zip",
    }
    run = tmp_path / "killed"
    process = start(*small, "--logs", tmp_path, "--name", "killed", "--quiet")
    wait_for(process, lambda: (run / before[stage]).exists())
    if stage == "judgement":
        wait_for(process, lambda: "training" in json.loads((run / "run.json").read_text())["stages"])
    process.kill()
    process.communicate()
    ended = run_train("--resume", run, "--quiet")
    assert ended.code == 0, ended.err
    # The run that was never stopped came to the same table.
    ours, theirs = (json.loads((path / "table.json").read_text()) for path in (run, finished.path))
    assert ours == theirs

    import torch

    from agents.checkpoint import read_parameters

    one, other = (read_parameters(path / "last_model.zip", "cpu")["policy"] for path in (run, finished.path))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_terminate_is_like_interrupt(
    small: Any, start: Callable[..., Any], end: Callable[..., Any], tmp_path: Path
) -> None:
    run = tmp_path / "x"
    process = start(*small, "--logs", tmp_path, "--name", "x", "--quiet")
    wait_for(process, lambda: (run / "run.json").exists())
    process.terminate()
    ended = end(process)
    assert ended.code == 130, ended.err
    assert "Traceback" not in ended.err
    assert f"python train.py --resume {run}" in ended.err


def test_two_processes_on_one_run(
    untrained: Path, start: Callable[..., Any], run_train: Callable[..., Any]
) -> None:
    process = start("--resume", untrained, *LONG)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == str(untrained)  # the run is its own now
        ended = run_train("--resume", untrained)
    finally:
        process.kill()
        process.communicate()
    assert ended.code == 2
    assert "another process is working on this run" in ended.err
    assert str(untrained) in ended.err
