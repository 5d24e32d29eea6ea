"""Cells: one policy of one seed, trained where it learns, judged, and kept in a file of its own."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Policy
from behavior.files import atomic_path
from benchmarks.skill.judging import VALIDATION_USER, serve_blocks
from benchmarks.skill.places import Place, open_place
from benchmarks.skill.watch import Budget, Point, Watch
from benchmarks.tasks import Effort

__all__ = ["Cell", "Plan", "read_cell", "run_all", "validation_score"]

VALIDATION_BLOCKS = 4
"""Fewer and larger than the judges': an evaluation should not take longer than what it looks at."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one policy did for the users of one seed."""

    task: str
    agent: str
    seed: int
    scores: NDArray[np.float64]  # (U,) of the held-out users, the same for all policies of a seed
    steps: int = 0
    seconds: float = 0.0
    points: tuple[Point, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where cells lie, and how large they are."""

    folder: Path
    """Of all cells."""
    budget: Budget
    """Of trained policies."""
    effort: Effort
    """Of references, and the number of users who judge."""

    def trained(self, task: str, agent: str, seed: int) -> Path:
        """The file of a trained policy's cell; its checkpoints lie in the folder of the same name without ending."""
        return self.folder / self.budget.label / task / f"{agent}-seed{seed}.json"

    def reference(self, task: str, name: str, seed: int) -> Path:
        """The file of a reference policy's cell, which no budget changes."""
        return self.folder / f"references-users{self.effort.users}" / task / f"{name}-seed{seed}.json"


def read_cell(file: Path) -> Cell | None:
    """The cell kept in `file`; None where there is none yet."""
    if not file.is_file():
        return None
    kept = json.loads(file.read_text(encoding="utf-8"))
    return Cell(
        task=kept["task"],
        agent=kept["agent"],
        seed=kept["seed"],
        scores=np.array(kept["scores"]),
        steps=kept["steps"],
        seconds=kept["seconds"],
        points=tuple(Point(**point) for point in kept["points"]),
        settings=kept.get("settings", {}),
    )


def run_all(
    plan: Plan,
    *,
    tasks: Sequence[str],
    agents: Sequence[str],
    references: Sequence[str],
    seeds: Sequence[int],
    jobs: int,
) -> Iterator[str]:
    """Run what is missing; gives the name of each job when it is done.

    A job is a trained cell, or all missing references of a task, whose oracles practise once. References come first:
    theirs are the longest jobs. Each job has one thread.
    """
    from benchmarks.skill.references import belief_possible

    work: list[tuple[Any, ...]] = []
    for task in tasks:
        possible = belief_possible(open_place(task, plan.folder)) if "belief" in references else True
        missing = [
            (name, seed)
            for name in references
            for seed in seeds
            if (name != "belief" or possible) and not plan.reference(task, name, seed).is_file()
        ]
        if missing:
            work.append((_judge_references, plan, task, missing))
    for task in tasks:
        for seed in seeds:
            for agent in agents:
                if not plan.trained(task, agent, seed).is_file():
                    work.append((_train, plan, task, agent, seed))
    if jobs == 1:
        _one_thread()
        for function, *arguments in work:
            yield function(*arguments)
        return
    # Spawned, not forked: numba's and torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_one_thread) as pool:
        running = [pool.submit(function, *arguments) for function, *arguments in work]
        try:
            for done in as_completed(running):
                yield done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def validation_score(policy: Policy, place: Place, budget: Budget, seed: int) -> float:
    """Mean score of the validation users of a seed."""
    served = serve_blocks(
        policy,
        place.world,
        place.task,
        users=budget.validation_users,
        seed=seed,
        first_user=VALIDATION_USER,
        blocks=min(VALIDATION_BLOCKS, budget.validation_users),
    )
    return float(served.score.mean())


def _one_thread() -> None:
    import numba
    import torch

    numba.set_num_threads(1)
    torch.set_num_threads(1)


def _judge_references(plan: Plan, task: str, missing: Sequence[tuple[str, int]]) -> str:
    from benchmarks.skill.references import reference_policies

    place = open_place(task, plan.folder)
    names = tuple(dict.fromkeys(name for name, _ in missing))
    for name, policy in reference_policies(place, plan.effort, names):
        for seed in (seed for wanted, seed in missing if wanted == name):
            began = time.perf_counter()
            served = serve_blocks(policy, place.world, place.task, users=plan.effort.users, seed=seed)
            cell = Cell(task=task, agent=name, seed=seed, scores=served.score)
            _keep(plan.reference(task, name, seed), cell, judging=time.perf_counter() - began)
    return f"{task}: {', '.join(names)}"


def _train(plan: Plan, task: str, agent: str, seed: int) -> str:
    from benchmarks.skill.agents import Course, agent_place, train

    place = agent_place(agent, open_place(task, plan.folder))
    file = plan.trained(task, agent, seed)
    folder = file.with_suffix("")

    def validate(policy: Policy) -> float:
        return validation_score(policy, place, plan.budget, seed)

    watch = Watch(plan.budget, validate, folder / "curve.json")
    trained = train(agent, Course(place=place, budget=plan.budget, seed=seed, folder=folder, watch=watch))
    began = time.perf_counter()
    served = serve_blocks(trained.policy, place.world, place.task, users=plan.effort.users, seed=seed)
    cell = Cell(
        task=task,
        agent=agent,
        seed=seed,
        scores=served.score,
        steps=trained.steps,
        seconds=trained.seconds,
        points=trained.points,
        settings=trained.settings,
    )
    _keep(file, cell, judging=time.perf_counter() - began)
    return f"{task}: {agent}, seed {seed}"


def _keep(file: Path, cell: Cell, *, judging: float) -> None:
    kept = asdict(cell) | {"scores": cell.scores.tolist(), "judging_seconds": judging}
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(kept), encoding="utf-8")
