"""A forked process runs kernels on its own thread: OpenMP's threads do not survive a fork."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import os
import numpy as np
from envs import SlateCore, toy_world

core = SlateCore(toy_world(), n_users=256, seed=1)
core.reset()
actions = np.tile(np.arange(10), (256, 1))
core.step(actions)  # in parallel
child = os.fork()
result = core.step(actions)
print(child == 0, result.score.sum(), flush=True)
if child:
    _, status = os.waitpid(child, 0)
    assert status == 0, status
"""


def test_a_forked_process_goes_on_with_the_same_bits() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"NUMBA_NUM_THREADS": "2"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    lines = dict(line.split() for line in done.stdout.splitlines())
    assert lines.keys() == {"True", "False"}  # the child and its parent
    assert lines["True"] == lines["False"]
