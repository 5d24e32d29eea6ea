"""From cells to figures: scores, shares of the gap, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from benchmarks.common import Case
from benchmarks.skill.cells import Cell, Plan, read_cell
from benchmarks.skill.statistics import interquartile_interval
from benchmarks.tasks import IntervalCase
from evaluation.intervals import Interval, mean_interval

__all__ = ["Cells", "curves_of", "pooled_difference", "read_all", "shares", "summary"]

Cells = Mapping[str, Mapping[str, Mapping[int, Cell]]]
"""Task -> policy -> seed -> cell."""
RIVALS = ("click-greedy", "relevance")
"""Policies that every agent is set beside."""
CEILINGS = ("belief", "planning")
"""Oracles at the upper end of a gap whose lower end is random."""
ALL = "all tasks"


def read_all(
    plan: Plan,
    *,
    tasks: Sequence[str],
    agents: Sequence[str],
    references: Sequence[str],
    seeds: Sequence[int],
) -> Cells:
    """The cells that are finished.

    Raises:
        InputError: Not one is, or some of one agent were trained by other settings than the rest.
    """
    found: dict[str, dict[str, dict[int, Cell]]] = {}
    for task in tasks:
        for names, place in ((references, plan.reference), (agents, plan.trained)):
            for name in names:
                for seed in seeds:
                    cell = read_cell(place(task, name, seed))
                    if cell is not None:
                        found.setdefault(task, {}).setdefault(name, {})[seed] = cell
    if not found:
        raise InputError(
            "no cell is finished",
            where=str(plan.folder),
            mend="leave --read out, or name the folder that has some",
        )
    for agent in agents:
        _refuse_mixture(
            agent, [cell for policies in found.values() for cell in policies.get(agent, {}).values()]
        )
    return found


def _refuse_mixture(agent: str, cells: Sequence[Cell]) -> None:
    """A table of cells from before and after a change of the defaults would say nothing."""
    for cell in cells[1:]:
        first = cells[0]
        changed = sorted(
            name
            for name in (cell.settings.keys() | first.settings.keys()) - {"bootstrap_at_limit"}  # the task's
            if cell.settings.get(name) != first.settings.get(name)
        )
        if changed:
            raise InputError(
                f"{agent} was trained by different settings: {', '.join(changed)}",
                where=f"{first.task}, seed {first.seed}, and {cell.task}, seed {cell.seed}",
                mend="remove the older cells, or take another --folder",
            )


def shares(cells: Mapping[str, Mapping[int, Cell]], agent: str, ceiling: str) -> NDArray[np.float64]:
    """(seeds,) the agent's share of the gap from random to `ceiling`, for the seeds that have all three."""
    found = []
    for seed, cell in cells[agent].items():
        if seed in cells.get("random", {}) and seed in cells.get(ceiling, {}):
            low, high = cells["random"][seed].scores.mean(), cells[ceiling][seed].scores.mean()
            found.append((cell.scores.mean() - low) / (high - low))
    return np.array(found)


def pooled_difference(first: Mapping[int, Cell], second: Mapping[int, Cell]) -> tuple[Interval, float] | None:
    """Interval of the mean difference over the users of all common seeds, and the lowest mean of a seed.

    Differences are between two policies on the same user; None without a common seed.
    """
    seeds = [seed for seed in first if seed in second]
    if not seeds:
        return None
    differences = [first[seed].scores - second[seed].scores for seed in seeds]
    return mean_interval(np.concatenate(differences)), min(float(one.mean()) for one in differences)


def summary(cells: Cells) -> list[Case]:
    """All figures, task by task, then over all tasks."""
    cases: list[Case] = []
    gathered: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for task, policies in cells.items():
        for name, by_seed in policies.items():
            scores = np.concatenate([cell.scores for cell in by_seed.values()])
            cases.append(_case(f"{task}: {name}, score", mean_interval(scores), "score per session"))
        for name, by_seed in policies.items():
            for ceiling in CEILINGS:
                found = shares(policies, name, ceiling)
                if found.size and name not in ("random", ceiling):
                    case_name = f"{task}: {name}, share of random to {ceiling}"
                    cases.append(_case(case_name, interquartile_interval([found]), "share"))
                    gathered.setdefault((name, ceiling), []).append(found)
            if any(cell.steps for cell in by_seed.values()):
                cases += _against(task, name, policies)
                cases += [
                    Case(case=f"{task}: {name}, {what}", value=float(np.mean(values)), unit=unit)
                    for what, unit, values in (
                        ("steps", "user-steps", [cell.steps for cell in by_seed.values()]),
                        ("training", "s", [cell.seconds for cell in by_seed.values()]),
                    )
                ]
    if len(cells) > 1:
        for (name, ceiling), found_all in gathered.items():
            # Over fewer tasks, or more seeds of some, a mean would not stand beside the others.
            if len(found_all) == len(cells) and len({runs.size for runs in found_all}) == 1:
                case_name = f"{ALL}: {name}, share of random to {ceiling}"
                cases.append(_case(case_name, interquartile_interval(found_all), "share"))
    return cases


def curves_of(cells: Cells) -> list[dict[str, Any]]:
    """The learning curves of all trained cells, for pictures."""
    return [
        {
            "task": task,
            "agent": name,
            "seed": seed,
            "steps": [point.steps for point in cell.points],
            "seconds": [round(point.seconds, 2) for point in cell.points],
            "score": [round(point.score, 4) for point in cell.points],
        }
        for task, policies in cells.items()
        for name, by_seed in policies.items()
        for seed, cell in by_seed.items()
        if cell.points
    ]


def _against(task: str, name: str, policies: Mapping[str, Mapping[int, Cell]]) -> list[Case]:
    """Paired differences to the rivals, and to the same agent without a future."""
    cases: list[Case] = []
    for rival in (*RIVALS, f"{name}-gamma-0"):
        found = pooled_difference(policies[name], policies.get(rival, {})) if rival != name else None
        if found is not None:
            interval, least = found
            cases.append(_case(f"{task}: {name}, above {rival}", interval, "score per session"))
            cases.append(
                Case(
                    case=f"{task}: {name}, above {rival}, lowest seed", value=least, unit="score per session"
                )
            )
    return cases


def _case(name: str, found: Interval, unit: str) -> IntervalCase:
    return IntervalCase(case=name, value=found.value, unit=unit, low=found.low, high=found.high)
