"""How good the agents are: each trained on each task with its true users, judged on users nobody has met.

`python -m benchmarks.learning [--quick] [--task Boredom Demo] [--agent ppo dqn] [--seeds 0 1 2] [--steps N]
[--minutes M] [--jobs J] [--folder DIR] [--json FILE]`. A cell is one agent on one task with one seed. It is trained
until its steps are made or its minutes are up (evaluations are not counted), the moment that was best on validation
users is judged on held-out users, and the cell is kept in a file. Finished cells are read, interrupted ones gone on
with, so the table can be made in several sittings; `--read` runs nothing and sums up what there is.

Beside them stand, on the same users: random, popularity, relevance order, MMR, and the myopic, planning and belief
oracles. A share is that of the gap from random to an oracle; over seeds and tasks, the interquartile mean with its
stratified bootstrap interval. Differences are paired by user. Variants are asked for by name: --agent 'ppo[gamma=0.9]'.

`--write-docs` runs nothing: it writes the tables and pictures of docs/learning.md from
benchmarks/results/learning_tasks.json.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from benchmarks.common import Options, main, result
from benchmarks.skill.agents import agent_names
from benchmarks.skill.cells import Plan, run_all
from benchmarks.skill.checks import check_counts, check_minutes, check_seeds
from benchmarks.skill.places import DEMO, place_names
from benchmarks.skill.references import REFERENCES, reference_names
from benchmarks.skill.summary import curves_of, read_all, summary
from benchmarks.skill.watch import Budget
from benchmarks.speed.table import show
from benchmarks.tasks import QUICK, Effort

__all__ = ["LearningOptions", "measure"]

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class LearningOptions(Options):
    """Which cells, and how long each may take."""

    task: tuple[str, ...] = ()
    """Tasks by name (Boredom), and Demo, the demo store with its true user; all by default."""
    agent: tuple[str, ...] = ()
    """Agents by name, with settings in brackets: ppo 'ppo[gamma=0.9]'; all by default."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the training and of the users who judge."""
    steps: int = 300_000
    """User-steps of training."""
    minutes: float | None = None
    """Minutes of training, where they are up before the steps are made."""
    clock: Literal["wall", "cpu"] = "wall"
    """What seconds and minutes of training are: of the wall, or of the processor where others keep it busy."""
    evaluate_every: int = 30_000
    """User-steps between two points of a curve."""
    reference: tuple[str, ...] = REFERENCES
    """Policies to set beside them; the oracles take minutes a task."""
    users: int = 400
    """Held-out users of a seed."""
    jobs: int = 1
    """Cells side by side, one thread each."""
    folder: Path = ROOT / "logs" / "benchmark-learning"
    """Where the cells lie."""
    read: bool = False
    """Run nothing; sum up the cells that are finished."""
    write_docs: bool = False
    """Run nothing; write tables and pictures of docs/learning.md from the result that is kept."""


def measure(options: LearningOptions) -> dict[str, Any]:
    """Run what is missing, read all, sum it up.

    Raises:
        InputError: No such task, agent, setting or policy, or a number that makes no sense; before anything is run.
    """
    if options.write_docs:
        from benchmarks.skill.docs import write_docs

        return write_docs()
    check_counts(
        {
            "--steps": options.steps,
            "--evaluate-every": options.evaluate_every,
            "--users": options.users,
            "--jobs": options.jobs,
        }
    )
    check_minutes(options.minutes)
    check_seeds(options.seeds)
    tasks, agents, seeds = place_names(options.task), agent_names(options.agent), options.seeds
    budget = Budget(
        steps=options.steps,
        minutes=options.minutes,
        evaluate_every=options.evaluate_every,
        clock=options.clock,
    )
    effort, folder, references = (
        Effort(users=options.users),
        options.folder / "full",
        reference_names(options.reference),
    )
    if options.quick:
        tasks = tasks if options.task else ("Boredom",)
        agents = agents if options.agent else ("ppo", "dqn")
        budget = Budget(steps=12_288, minutes=0.15, evaluate_every=6_144, validation_users=32)
        effort, folder, seeds = QUICK, options.folder / "quick", seeds[:1]
        references = tuple(name for name in references if name not in ("belief", "popularity", "mmr"))
    plan = Plan(folder=folder, budget=budget, effort=effort)
    if not options.read:
        if DEMO in tasks:
            from benchmarks.skill.places import open_place

            open_place(DEMO, folder)  # its tables are made once, before several cells want them
        jobs = run_all(
            plan, tasks=tasks, agents=agents, references=references, seeds=seeds, jobs=options.jobs
        )
        for name in (bar := tqdm(jobs, desc="cells", disable=None)):
            bar.set_postfix_str(name)
    cells = read_all(plan, tasks=tasks, agents=agents, references=REFERENCES, seeds=seeds)
    cases = summary(cells)
    show("learning", cases)
    found = result("learning_tasks", cases, packages=("numpy", "torch", "stable-baselines3", "gymnasium"))
    return found | {"budget": budget.label, "curves": curves_of(cells)}


if __name__ == "__main__":
    sys.exit(main(measure, LearningOptions, description=__doc__))
