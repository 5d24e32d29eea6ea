"""What each task is worth learning for: reference scores, and the gaps between them.

`python -m benchmarks.tasks [--quick] [--json FILE] [--task Boredom ...]`. For every task of the suite: the score of
random, popularity, relevance order, MMR, the best constant slate, the best policy that is not personal, the policy that
keeps users longest, and the myopic, belief and planning oracles, on the same users of several seeds. From them

- planning gap: how far the planning oracle beats the myopic one (planning / myopic - 1);
- personalisation gap: the share of the gap from random to planning that the best non-personal policy leaves open;
- hidden: the share of that gap that not even the belief oracle closes, because a user's state is hidden.

A task that is finished is read from `--folder`, not measured again, so the table can be made in several sittings.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from agents.base import Policy
from agents.baselines import MMRPolicy, PopularityPolicy, RandomPolicy, RelevancePolicy
from agents.belief import BeliefConfig, BeliefOracle
from agents.oracles import MyopicOracle, PlanningConfig, PlanningOracle
from agents.planning import Tuning
from agents.search import SearchConfig, best_constant_slate, best_score_direction, longest_session
from behavior.errors import InputError
from behavior.files import atomic_path
from benchmarks.common import Case, Options, main, result
from benchmarks.skill.judging import serve_blocks
from envs.tasks import SUITE, make_task
from envs.world import TaskConfig, World
from evaluation.intervals import Interval, bootstrap_ratio, mean_interval

__all__ = ["QUICK", "Effort", "IntervalCase", "TasksOptions", "judge_task", "measure", "short_name"]

ROOT = Path(__file__).resolve().parent.parent
GUARDS = ("constant slate", "score direction", "longest session")


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How hard oracles and searches work, and how many users judge them."""

    users: int = 400
    """Users per seed, served by every policy."""
    search: SearchConfig = field(
        default_factory=lambda: SearchConfig(rounds=16, population=24, elite=5, users=128, progress=False)
    )
    """Of constant slates, score directions and longest sessions."""
    tuning: Tuning = field(default_factory=lambda: Tuning(rounds=24, population=32, elite=7, users=200))
    """Practice of the planning oracle."""
    retuning: Tuning = field(default_factory=lambda: Tuning(rounds=6, population=10, elite=3, users=96))
    """Practice of the belief oracle after that."""
    rollouts: int = 0
    """Of the planning oracle at every page. At this size looking ahead page by page gains nothing measurable over its
    practised policy (`docs/oracles.md`), which therefore serves."""


QUICK = Effort(
    users=64,
    search=SearchConfig(rounds=4, population=8, elite=3, users=32, final_users=64, progress=False),
    tuning=Tuning(rounds=4, population=8, elite=3, users=48),
    retuning=Tuning(rounds=1, population=4, elite=2, users=16),
)


@dataclass(frozen=True, kw_only=True)
class TasksOptions(Options):
    """Which tasks, and on how many users."""

    task: tuple[str, ...] = ()
    """Tasks by name (Boredom) or id; all by default, two of them where --quick."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the users who judge."""
    folder: Path = ROOT / "logs" / "benchmark-tasks"
    """Where finished tasks lie."""


@dataclass(frozen=True, kw_only=True)
class IntervalCase(Case):
    """A figure with its 95 % interval."""

    low: float
    high: float


def short_name(task_id: str) -> str:
    """'Boredom' of 'SlateRank-Boredom-v0'."""
    return task_id.split("/")[-1].removeprefix("SlateRank-").removesuffix("-v0")


def measure(options: TasksOptions) -> dict[str, Any]:
    """Judge what is not judged yet, read the rest."""
    known = {short_name(task_id): task_id for task_id in SUITE}
    wanted = tuple(short_name(name) for name in options.task) or tuple(known)
    if options.quick and not options.task:
        wanted = wanted[:2]
    for name in wanted:
        if name not in known:
            raise InputError(
                f"no task named {name!r}", where="--task", mend=f"choose among {', '.join(known)}"
            )
    seeds = options.seeds[:1] if options.quick else options.seeds
    folder = options.folder / ("quick" if options.quick else "full")
    cases: list[Case] = []
    for name in tqdm(wanted, desc="tasks", disable=None):
        path = folder / f"{name}.json"
        if not path.is_file() or options.quick:
            world, task = make_task(known[name])
            found = judge_task(name, world, task, QUICK if options.quick else Effort(), seeds)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps([asdict(one) for one in found], indent=1), encoding="utf-8")
        cases += [
            IntervalCase(**row) if "low" in row else Case(**row)
            for row in json.loads(path.read_text(encoding="utf-8"))
        ]
    return result("tasks", cases)


def judge_task(
    name: str, world: World, task: TaskConfig, effort: Effort, seeds: tuple[int, ...]
) -> list[Case]:
    """All figures of one task."""
    started = time.perf_counter()
    served = {
        who: [serve_blocks(policy, world, task, users=effort.users, seed=seed) for seed in seeds]
        for who, policy in policies_of(world, task, effort).items()
    }
    # (seeds * users,), the same users in the same order for every policy
    flat = {who: np.concatenate([one.score for one in found]) for who, found in served.items()}
    length = {who: np.concatenate([one.length for one in found]) for who, found in served.items()}
    top = float(flat["planning"].mean())
    cases: list[Case] = []
    for who, values in flat.items():
        cases.append(_case(f"{name}: {who}", mean_interval(values), "score per session", top))
    floor, ceiling = flat["random"], flat["planning"] - flat["random"]
    gain = bootstrap_ratio(flat["planning"] - flat["myopic"], flat["myopic"], seed=0)
    cases.append(_case(f"{name}: planning gap", gain, "planning / myopic - 1"))
    shares = {
        who: bootstrap_ratio(values - floor, ceiling, seed=0)
        for who, values in flat.items()
        if who not in ("random", "planning")
    }
    personal = _rest(shares["score direction"])
    cases.append(_case(f"{name}: personalisation gap", personal, "share of random to planning"))
    cases.append(
        _case(f"{name}: out of reach by hidden state", _rest(shares["belief"]), "share of random to planning")
    )
    for who, share in shares.items():
        cases.append(_case(f"{name}: {who}, share of gap", share, "share of random to planning"))
    for who, pages in length.items():
        cases.append(_case(f"{name}: {who}, pages", mean_interval(pages), "pages per session"))
    cases.append(Case(case=f"{name}: seconds", value=time.perf_counter() - started, unit="s"))
    return cases


def policies_of(world: World, task: TaskConfig, effort: Effort) -> Mapping[str, Policy]:
    """All reference policies of a task, practised."""
    planner = PlanningOracle.for_world(
        world, task, PlanningConfig(rollouts=effort.rollouts, tuning=effort.tuning, progress=False)
    )
    belief = BeliefConfig(retuning=effort.retuning, progress=False)
    return {
        "random": RandomPolicy(),
        "popularity": PopularityPolicy(world.features),
        "relevance": RelevancePolicy(),
        "mmr": MMRPolicy(world.features),
        "constant slate": best_constant_slate(world, task, effort.search),
        "score direction": best_score_direction(world, task, effort.search),
        "longest session": longest_session(world, task, effort.search),
        "myopic": MyopicOracle.for_world(world, task),
        "belief": BeliefOracle(world, task, belief, theta=planner.prepare()[0]),
        "planning": planner,
    }


def _rest(share: Interval) -> Interval:
    """What a share leaves of the whole."""
    return Interval(
        value=1.0 - share.value,
        low=1.0 - share.high,
        high=1.0 - share.low,
        standard_error=share.standard_error,
        level=share.level,
        n_clusters=share.n_clusters,
        method=share.method,
    )


def _case(name: str, found: Interval, unit: str, reference: float | None = None) -> IntervalCase:
    return IntervalCase(
        case=name,
        value=found.value,
        unit=unit,
        reference=reference,
        ratio=None if not reference else found.value / reference,
        low=found.low,
        high=found.high,
    )


if __name__ == "__main__":
    sys.exit(main(measure, TasksOptions, description=__doc__))
