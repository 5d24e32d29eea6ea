"""A training that was killed and resumed is, to the bit, the training that was never stopped."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents.checkpoint import read_checkpoint, read_parameters, read_training_state

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

_spec = importlib.util.spec_from_file_location("resume_worker", HERE / "resume_worker.py")
assert _spec is not None
assert _spec.loader is not None
worker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worker)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=["ppo", "dqn"])
def agent(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def whole(agent: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training that was never stopped."""
    folder = tmp_path_factory.mktemp(agent)
    torch.set_num_threads(1)
    worker.go(agent, folder)
    return folder


def leaves(tree: Any, name: str = "") -> dict[str, Any]:
    """Every entry of nested mappings and sequences, by its path."""
    if isinstance(tree, dict):
        return {k: v for key, entry in tree.items() for k, v in leaves(entry, f"{name}/{key}").items()}
    if isinstance(tree, list | tuple):
        return {k: v for i, entry in enumerate(tree) for k, v in leaves(entry, f"{name}/{i}").items()}
    return {name: tree}


def assert_same_file(one: Path, other: Path, *, training: bool) -> None:
    """Equal weights, optimiser, counters, figures and, where asked for, users, replay and generators."""
    assert read_checkpoint(one) == read_checkpoint(other)
    mine, theirs = (leaves(read_parameters(path, "cpu")) for path in (one, other))
    assert mine.keys() == theirs.keys()
    for name, entry in mine.items():
        if isinstance(entry, torch.Tensor):
            assert torch.equal(entry, theirs[name]), name
        else:
            assert entry == theirs[name], name
    if training:
        states = [read_training_state(path) for path in (one, other)]
        assert states[0].keys() == states[1].keys()
        for name, array in states[0].items():
            np.testing.assert_array_equal(array, states[1][name], err_msg=name)


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every curve that does not tell of time, as TensorBoard shows it.

    The watch over PPO's values (`slate/value_...`) loses the sessions under way when it is killed, so its first point
    after a resume is of fewer sessions: of these, steps alone are compared.
    """
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    reader.Reload()
    return {
        tag: [
            (event.step, 0.0 if tag.startswith("slate/value_") else event.value)
            for event in reader.Scalars(tag)
        ]
        for tag in reader.Tags()["scalars"]
        if not tag.startswith("time/")
    }


def assert_same_run(one: Path, other: Path) -> None:
    assert_same_file(one / "last_model.zip", other / "last_model.zip", training=True)
    assert_same_file(one / "best_model.zip", other / "best_model.zip", training=False)
    mine, theirs = events(one), events(other)
    assert mine.keys() == theirs.keys()
    assert {"eval/score", "train/grad_norm", "rollout/ep_rew_mean"} <= mine.keys()
    for tag, points in mine.items():
        assert points == theirs[tag], (tag, set(points) ^ set(theirs[tag]))


def test_same_seed_same_curve(agent: str, whole: Path, tmp_path: Path) -> None:
    worker.go(agent, tmp_path)
    assert_same_run(tmp_path, whole)


def go_on_after_kills(agent: str, folder: Path, *, kills: int) -> None:
    """Real kills of real processes: after a checkpoint, and then anywhere in an update, a page or a write."""
    chance = np.random.default_rng(int.from_bytes(os.urandom(4), "little"))
    last, killed = folder / "last_model.zip", []
    for _ in range(kills):
        before = read_checkpoint(last).num_timesteps if last.exists() else 0
        process = subprocess.Popen(
            [sys.executable, str(HERE / "resume_worker.py"), agent, str(folder)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        try:
            limit = time.monotonic() + 120
            while not last.exists() or read_checkpoint(last).num_timesteps == before:
                assert process.poll() is None, "it ended before its first checkpoint"
                assert time.monotonic() < limit
                time.sleep(0.002)
            time.sleep(float(chance.uniform(0.0, 0.15)))
        finally:
            process.kill()
        assert process.wait() == -signal.SIGKILL
        killed.append(read_checkpoint(last).num_timesteps)
    assert all(before < after for before, after in pairwise([0, *killed, worker.STEPS]))
    worker.go(agent, folder)


def test_killed_at_random_moments(agent: str, whole: Path, tmp_path: Path) -> None:
    go_on_after_kills(agent, tmp_path, kills={"ppo": 1, "dqn": 2}[agent])
    assert_same_run(tmp_path, whole)


@pytest.mark.slow
def test_killed_again_and_again(agent: str, whole: Path, tmp_path: Path) -> None:
    go_on_after_kills(agent, tmp_path, kills=3)
    assert_same_run(tmp_path, whole)


class Copies(worker.Slowly):  # type: ignore[name-defined, misc]
    """Keeps the folder as it was at some steps: what a kill at that moment leaves behind."""

    def __init__(self, folder: Path, kept: Path, steps: tuple[int, ...]) -> None:
        super().__init__()
        self.folder, self.kept, self.steps = folder, kept, list(steps)

    def _on_step(self) -> bool:
        while self.steps and self.num_timesteps >= self.steps[0]:
            shutil.copytree(self.folder, self.kept / str(self.steps.pop(0)))
        return True


@pytest.mark.slow
def test_going_on_from_every_kind_of_moment(
    agent: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first session and later, before the replay is full and after, on a checkpoint's step and off it."""
    run, moments = tmp_path / "run", (208, 400, 592, 1008, 1520)
    monkeypatch.setattr(worker, "Slowly", lambda: Copies(run, tmp_path, moments))
    worker.go(agent, run, slowly=True)
    monkeypatch.undo()
    for moment in moments:
        folder = tmp_path / str(moment)
        assert 0 < read_checkpoint(folder / "last_model.zip").num_timesteps <= moment
        worker.go(agent, folder)
        assert_same_run(folder, whole)
