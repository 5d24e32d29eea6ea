"""A saved run, opened for judgement; and the judgement itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from envs.world import TaskConfig, World
from evaluation.off_policy import OffPolicyConfig, OffPolicyResult, evaluate_off_policy
from evaluation.online import evaluate_policy
from evaluation.outcomes import OnlineResult
from evaluation.table import FinalTable, build_table

if TYPE_CHECKING:
    from agents.base import Policy
    from encoders.features import CandidateTable
    from envs.observation import Observation
    from simulators.base import UserSimulator

__all__ = [
    "FITTED",
    "JudgeOptions",
    "Judgement",
    "RunArtifacts",
    "judge_from_log",
    "judge_online",
    "judge_run",
]


FITTED = "the fitted simulator"
"""What reports call a simulator that we fitted to the log; any other goes by its own name."""


@dataclass(frozen=True, kw_only=True)
class RunArtifacts:
    """What a run folder holds, ready to be judged."""

    world_fitted: World
    """The world that the policy was trained in."""
    world_true: World | None
    """The true store, where it is known."""
    task: TaskConfig
    """The task."""
    policies: Mapping[str, Policy]
    """Policies by name, in the order of the table: baselines, behaviour policy, trained policy."""
    steps_test: LoggedSteps | None
    """Held-out part of the log; None where it states no propensities or candidates."""
    observation_test: Observation | None
    """What a policy would have seen at its steps."""
    oracles_true: Mapping[str, Policy] = field(default_factory=dict)
    """Policies that look into the true store's users."""
    oracles_fitted: Mapping[str, Policy] = field(default_factory=dict)
    """Policies that look into the fitted users."""
    trained: str | None = None
    """Name of the trained policy."""
    trained_in: str = FITTED
    """What reports call the world that it was trained in."""
    simulator: str = "fitted"
    """Name of the simulator that it was trained in."""
    other_simulators: Mapping[str, UserSimulator] = field(default_factory=dict)
    """Other simulators fitted to the same log, by name."""
    behaviour: str | None = "behavior"
    """Name of the policy that made the log."""
    own_candidates: Mapping[str, CandidateTable] = field(default_factory=dict)
    """Candidates of policies that rank others than the world's: the policy that made the log, in the true store."""
    relevance: NDArray[np.float32] | None = None
    """(Q, I) true relevance, where it is known."""
    seed: int = 0
    """Key of the users' chance in the run's own judgement."""
    first_user: int = 10_000_000
    """First held-out user."""


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """How a saved run is judged."""

    users: int = 1000
    """Held-out users that every policy serves, the same for all."""
    planner_users: int = 100
    """Of these, so many are served by the planning oracle, which is costly."""
    seed: int | None = None
    """Key of the users' chance; the run's own where none is given."""
    policies: tuple[str, ...] = ()
    """Judge these policies alone; all where none is named."""
    quiet: bool = False
    """No progress bars."""


def judge_run(run: RunArtifacts, options: JudgeOptions | None = None) -> FinalTable:
    """Judges a run's policies: in the true store where it is known, in the fitted simulator, and by the log.

    Raises:
        InputError: A policy that the run does not hold.
    """
    options = options or JudgeOptions()
    everyone = [*run.policies, *run.oracles_true, *run.oracles_fitted]
    unknown = [name for name in options.policies if name not in everyone]
    if unknown:
        raise InputError(
            f"the run holds no policy named {', '.join(unknown)}",
            where="--policies",
            mend=f"Choose from: {shlex.join(dict.fromkeys(everyone))}",  # a name may hold a space
        )
    judgement = judge_online(run, options)
    return build_table(
        judgement.online,
        world=judgement.world,
        fitted=judgement.fitted,
        off_policy=judge_from_log(run, options),
        trained=run.trained,
        trained_in=judgement.trained_in,
        behaviour=run.behaviour,
        oracles={**run.oracles_true, **run.oracles_fitted},
    )


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What simulated users did with a run's policies."""

    online: OnlineResult
    """In the true store, or in the fitted simulator where no truth is known."""
    fitted: OnlineResult | None
    """In the fitted simulator, where that is another world."""
    world: str
    """Where `online` was measured, in words."""
    trained_in: str = FITTED
    """Where policies were trained, and `fitted` was measured, in words."""


def judge_online(run: RunArtifacts, options: JudgeOptions) -> Judgement:
    """Every policy on the same held-out users, in the true store where it is known and in the fitted simulator."""
    fitted = _serve(
        run, run.world_fitted, run.oracles_fitted, options, relevance=None, own=run.own_candidates
    )
    if run.world_true is None:
        return Judgement(online=fitted, fitted=None, world=run.trained_in, trained_in=run.trained_in)
    true = _serve(
        run, run.world_true, run.oracles_true, options, relevance=run.relevance, own=run.own_candidates
    )
    return Judgement(online=true, fitted=fitted, world="the true store", trained_in=run.trained_in)


def _wanted(name: str, options: JudgeOptions) -> bool:
    return not options.policies or name in options.policies


def _serve(
    run: RunArtifacts,
    world: World,
    oracles: Mapping[str, Policy],
    options: JudgeOptions,
    *,
    relevance: NDArray[np.float32] | None,
    own: Mapping[str, CandidateTable],
) -> OnlineResult:
    seed = run.seed if options.seed is None else options.seed
    outcomes = {
        name: evaluate_policy(
            policy,
            replace(world, candidates=own[name]) if name in own else world,
            run.task,
            n_users=min(options.users, options.planner_users) if name == "planning" else options.users,
            seed=seed,
            first_user=run.first_user,
            relevance=relevance,
            name=name,
            progress=not options.quiet,
        )
        for name, policy in {**run.policies, **oracles}.items()
        if _wanted(name, options)
    }
    return OnlineResult(
        outcomes=outcomes, seed=seed, first_user=run.first_user, purchase_weight=run.task.purchase_weight
    )


def judge_from_log(run: RunArtifacts, options: JudgeOptions) -> dict[str, OffPolicyResult]:
    """What the held-out part of the log says of the policies; empty where it states too little."""
    if run.steps_test is None or run.observation_test is None:
        return {}
    config = OffPolicyConfig(purchase_weight=run.task.purchase_weight)
    return {
        name: evaluate_off_policy(
            policy, run.steps_test, run.observation_test, config=config, name=name, progress=not options.quiet
        )
        for name, policy in run.policies.items()
        if _wanted(name, options)
    }
