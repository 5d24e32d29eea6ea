from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import benchmarks  # noqa: F401  (points numba's cache)
from benchmarks.speed.feed import DeviceFeed
from benchmarks.speed.timing import pages
from benchmarks.speed.worlds import TASK, speed_world
from envs.core import SlateCore

ROOT = Path(__file__).resolve().parents[2]
B = 96


def test_what_arrives_is_what_a_core_of_its_own_would_show() -> None:
    world = speed_world(400, width=8)
    plain, sent = (SlateCore(world, TASK, n_users=B) for _ in range(2))
    feed = DeviceFeed(sent, torch.device("cpu"))
    plain.reset(seed=3)
    sent.reset(seed=3)
    finished = 0
    for slate in pages(B, TASK.n_candidates, TASK.slate_size, distinct=True):
        expected, found = plain.step(slate), feed.step(slate)
        finished += found.finished.size
        np.testing.assert_array_equal(found.reward, expected.reward)
        there = feed.arrived().as_dict()
        for name, array in expected.observation.as_dict().items():
            np.testing.assert_array_equal(there[name], array, err_msg=name)
    assert finished  # the first observations of next sessions were sent, not the last of the old ones


def test_a_core_that_cannot_write_elsewhere_is_refused() -> None:
    core = SlateCore(speed_world(400, width=8), TASK, n_users=2, fused=False)
    with pytest.raises(TypeError, match="ComposedEngine"):
        DeviceFeed(core, torch.device("cpu"))


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.device", "--quick", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_says_so() -> None:
    done = _run()
    assert done.returncode == 2
    assert "no CUDA device" in done.stderr
    assert done.stdout == ""


def test_a_batch_that_is_too_small_is_refused() -> None:
    done = _run("--device", "cpu", "--users", "8")
    assert done.returncode == 2
    assert "--users" in done.stderr


@pytest.mark.slow
def test_the_dry_run_walks_the_whole_way_and_says_what_it_is() -> None:
    done = _run("--device", "cpu", "--users", "256")
    assert done.returncode == 0, done.stderr
    cases = json.loads(done.stdout)["cases"]
    assert len(cases) == 3
    assert "dry run" in cases[2]["case"]
    assert cases[2]["value"] > 0
