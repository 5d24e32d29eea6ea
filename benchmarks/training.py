"""How fast agents are trained: simulate, act and learn, beside what their network alone would take.

`python -m benchmarks.training [--quick] [--json FILE] [--agent ppo dqn] [--users 1024] [--device cpu|cuda]`. A
generated shop of ten thousand items, N 100, K 10, sessions of at most 20 pages; the default settings of each agent, but
for the number of users. On the processor one thread does everything, and seconds are those that it computed. Each agent
has a process of its own, and its contestants take turns:

- end to end: `learn()` as `train_agent` calls it, with the curves that it draws; the split is that of its stopwatch;
- the network alone: the calls that one such iteration made of its network (pages to act on, minibatches to be judged),
  made again with the same tensors and a backward pass where there was one; no loss, no optimiser, no simulator;
- a plain matrix product, by whose rate the arithmetic of the network (counted by torch) is turned into the least time.

Beside PPO, SB3's PPO on the same environment with the same batches: with its own `MultiInputPolicy`, and with ours.

`--write-docs` measures nothing: it writes the table of docs/performance.md anew from benchmarks/results/training.json.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any, Literal

from tqdm import tqdm

from behavior.errors import InputError
from benchmarks.common import Case, Options, main, result
from benchmarks.speed.child import cores, in_child
from benchmarks.speed.docs import DOCUMENTS, RESULTS, write_tables
from benchmarks.speed.table import show

__all__ = ["TrainingSpeedOptions", "measure"]


@dataclass(frozen=True, kw_only=True)
class TrainingSpeedOptions(Options):
    """Who, and where."""

    agent: tuple[Literal["ppo", "dqn"], ...] = ("ppo", "dqn")
    """Learners."""
    users: tuple[int, ...] = (1024,)
    """Users side by side."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks live; the simulator is on the processor, on all its cores if the device is another."""
    sb3: bool = True
    """Measure SB3's own loop too (on the processor only)."""
    write_docs: bool = False
    """Measure nothing; write the table of docs/performance.md from the result that is kept."""


def measure(options: TrainingSpeedOptions) -> dict[str, Any]:
    """All cases; `--quick`: small rollouts, one turn each."""
    if options.write_docs:
        print(f"{DOCUMENTS[0].name}: {', '.join(write_tables(DOCUMENTS[0]))}", file=sys.stderr)
        kept: dict[str, Any] = json.loads((RESULTS / "training.json").read_text(encoding="utf-8"))
        return kept
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "there is no CUDA device here",
            where="benchmarks.training",
            mend="run it on a machine with a GPU, or leave --device out",
        )
    effort: dict[str, Any] = {"rounds": 1, "iterations": 1, "small": True}
    if not options.quick:
        effort = {"rounds": 5, "iterations": 2}
    plan: list[tuple[str, dict[str, Any]]] = [
        ("training", {"agent": agent, "n_users": n_users, "device": options.device})
        for agent in options.agent
        for n_users in options.users
    ]
    if options.sb3 and options.device == "cpu" and "ppo" in options.agent:
        plan += [("sb3_training", {"n_users": n_users}) for n_users in options.users]
    threads = 1 if options.device == "cpu" else cores()
    cases: list[Case] = []
    with tqdm(total=len(plan), desc="training", unit="part", disable=None) as bar:
        for part, arguments in plan:
            bar.set_postfix_str(" ".join(str(value) for value in (part, *arguments.values())))
            cases += in_child(part, n_threads=threads, **arguments, **effort)
            bar.update()
    show("training", cases)
    found = result("training", cases, packages=("numpy", "numba", "torch", "stable-baselines3"))
    if options.device == "cuda":
        found["machine"] += f"; {torch.cuda.get_device_name()}"
    return found


if __name__ == "__main__":
    sys.exit(main(measure, TrainingSpeedOptions, description=__doc__))
