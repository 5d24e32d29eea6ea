"""Runs one part of a benchmark in a process of its own, so that no part times what another left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from behavior.errors import InputError
from benchmarks.common import Case

__all__ = ["cores", "in_child"]

_ROOT = Path(__file__).resolve().parents[2]


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_child(part: str, *, n_threads: int = 1, **arguments: Any) -> list[Case]:
    """Run `benchmarks.speed.parts.PARTS[part](**arguments)` in a fresh interpreter with `n_threads` numba threads.

    Raises:
        InputError: The child failed; its last words are in the message.
    """
    environment = os.environ | {"NUMBA_NUM_THREADS": str(n_threads), "OMP_NUM_THREADS": str(n_threads)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.child", json.dumps({"part": part, **arguments})],
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InputError(
            f"the part {part!r} failed: {done.stderr.strip().splitlines()[-1:] or done.returncode}",
            where=f"benchmarks.speed.parts, {arguments}",
            mend="run python -m benchmarks.speed.child with these arguments to see all of it",
        )
    return [Case(**row) for row in json.loads(done.stdout.strip().splitlines()[-1])]


def _run(text: str) -> str:
    from benchmarks.speed.parts import PARTS

    arguments = json.loads(text)
    return json.dumps([asdict(found) for found in PARTS[arguments.pop("part")](**arguments)])


if __name__ == "__main__":
    print(_run(sys.argv[1]))
