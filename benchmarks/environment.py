"""Speed, memory, threads and start-up of the environment, against a naive fused step in the same run.

`python -m benchmarks.environment [--quick] [--json FILE]` prints a table on standard error and JSON on standard output.
The worlds are generated shops with 64-wide vectors, N 100 candidates, K 10 positions, one query per hundred items and
sessions of at most 20 pages; a step is the full one: response, state, next query, candidates, observation, reward,
reset of who is finished. Slates are drawn beforehand at random, without repeats where nothing else is said. The
reference is `benchmarks.reference_step` over the same tables; the two run in turn, five rounds, and the best of each
counts. Each size of catalogue has a process of its own; one thread means one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from behavior.errors import InputError
from benchmarks.common import Case, Options, case, main, result
from benchmarks.speed.child import cores, in_child
from benchmarks.speed.table import show

__all__ = ["measure"]

_ROOT = Path(__file__).resolve().parent.parent
_START = """
import time
began = time.perf_counter()
import envs
{work}
print(time.perf_counter() - began)
"""
_STARTS = {
    "single Env": (
        "import gymnasium\n"
        "env = gymnasium.make('envs:SlateRank-v0')\n"
        "env.reset(seed=0)\n"
        "env.step(env.action_space.sample())"
    ),
    "batched core, B 1,024": (
        "import numpy\n"
        "core = envs.SlateCore(envs.toy_world(), n_users=1024)\n"
        "core.reset()\n"
        "core.step(numpy.tile(numpy.arange(10), (1024, 1)))"
    ),
}


def measure(options: Options) -> dict[str, Any]:
    """Run every part; a bar shows how far it is. `--quick`: short windows and three rounds."""
    times: dict[str, Any] = {"seconds": 0.2, "rounds": 3} if options.quick else {"seconds": 1.5, "rounds": 5}
    every = cores()
    plan: list[tuple[str, dict[str, Any]]] = [
        ("catalogue", {"n_items": n_items, "memory": n_items == 1_000_000})
        for n_items in (1_000, 100_000, 1_000_000)
    ]
    plan.append(("faces", {}))
    if every > 1:
        batches = (4096,) if options.quick else (1024, 4096, 16_384)
        plan += [("threads", {"n_threads": every, "n_users": n_users}) for n_users in batches]
    cases: list[Case] = []
    bar = tqdm(total=len(plan) + len(_STARTS), desc="environment", unit="part", disable=None)
    with bar:
        for part, arguments in plan:
            bar.set_postfix_str(part)
            cases += in_child(part, **arguments, **times)
            bar.update()
        for name, work in _STARTS.items():
            cases.append(_start(name, work, repeats=2 if options.quick else 5))
            bar.update()
    show("environment", cases)
    return result("environment", cases, packages=("numpy", "numba", "gymnasium", "stable-baselines3"))


def _start(name: str, work: str, *, repeats: int) -> Case:
    """Seconds from `import envs` to the end of the first step, kernels cached: the best of `repeats` processes."""
    seconds = []
    for _ in range(1 + repeats):  # the first fills the kernel cache, if need be, and is not counted
        done = subprocess.run(
            [sys.executable, "-c", _START.format(work=work)],
            cwd=_ROOT,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise InputError(
                f"the first step failed: {done.stderr.strip().splitlines()[-1:]}",
                where=f"start-up, {name}",
                mend="run the tests of envs",
            )
        seconds.append(float(done.stdout))
    return case(
        f"start-up with warm kernel cache, {name}", min(seconds[1:]), "s from import to first step", 2.0
    )


if __name__ == "__main__":
    sys.exit(main(measure, description=__doc__))
