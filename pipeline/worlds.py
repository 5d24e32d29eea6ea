"""The worlds of a run: the fitted simulator that policies are trained in, and the one they are judged in."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from behavior.errors import InputError
from encoders.features import CandidateTable
from envs.world import TaskConfig, World
from pipeline.config import TrainConfig
from pipeline.data import ShopData, n_candidates_for
from pipeline.relevance import Relevance, hidden_scores

if TYPE_CHECKING:
    from behavior.steps import LoggedSteps
    from envs.observation import Observation
    from simulators.base import UserSimulator

__all__ = [
    "PESSIMISM",
    "Observed",
    "fitted_world",
    "judged_world",
    "observe",
    "pessimism_of",
    "task_for",
    "trained_in",
    "training_task",
]

PESSIMISM = 0.5
"""Of a training in an ensemble where none is asked for; `benchmarks.ensemble` says what speaks for it."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What a policy would have seen at the logged steps; None where the log cannot say."""

    train: Observation | None
    test: Observation | None


def task_for(config: TrainConfig, shop: ShopData) -> TaskConfig:
    """The task in its sizes for this shop: no page longer than the log's, no more candidates than items.

    Raises:
        InputError: Fewer candidates than positions.
    """
    options = config.task
    slate_size = min(options.slate_size, shop.train.slate_size)
    n_candidates = n_candidates_for(config, shop)
    if n_candidates < slate_size:
        raise InputError(
            f"{n_candidates} candidates cannot fill a page of {slate_size}",
            where=f"--n-candidates {options.n_candidates}, --slate-size {options.slate_size}, "
            f"{shop.catalog.n_items} items",
            mend="ask for more candidates or a shorter page",
        )
    return TaskConfig(
        slate_size=slate_size,
        n_candidates=n_candidates,
        max_steps=1 if shop.train.single_impressions else options.max_steps,
        history=options.history,
        memory=options.memory,
        purchase_weight=options.purchase_weight,
        reward=config.reward,
    )


def fitted_world(shop: ShopData, relevance: Relevance, simulator: UserSimulator) -> World:
    """The world of the fitted simulator."""
    return World(
        simulator=simulator,
        candidates=relevance.candidates,
        features=relevance.features,
        titles=tuple(shop.catalog.titles),
        queries=shop.queries,
    )


def judged_world(shop: ShopData, fitted: World) -> World:
    """The true store where it is known, else the fitted world."""
    if shop.truth is None:
        return fitted
    return dataclasses.replace(fitted, simulator=shop.truth.true_simulator)


def trained_in(config: TrainConfig, world: World) -> str:
    """What reports call the simulator that policies are trained in: a plug-in goes by its name."""
    from evaluation.run_artifacts import FITTED
    from simulators.base import UncertainSimulator
    from simulators.fitted import FittedSimulator

    if isinstance(world.simulator, UncertainSimulator):
        return f"the ensemble of {world.simulator.n_members} fits, with pessimism {pessimism_of(config, world):g}"
    return (
        FITTED if isinstance(world.simulator, FittedSimulator) else f"the simulator {config.user.simulator}"
    )


def pessimism_of(config: TrainConfig, world: World) -> float:
    """What was asked for, or what suits the simulator."""
    from simulators.base import UncertainSimulator

    if config.user.pessimism is not None:
        return config.user.pessimism
    return PESSIMISM if isinstance(world.simulator, UncertainSimulator) else 0.0


def training_task(config: TrainConfig, world: World, task: TaskConfig) -> TaskConfig:
    """`task` as the learner meets it; policies are judged by the task itself.

    Raises:
        InputError: Pessimism is asked for, and the simulator has no members.
    """
    from envs.pessimism import check_pessimism

    mine = dataclasses.replace(task, pessimism=pessimism_of(config, world))
    try:
        check_pessimism(world, mine)
    except InputError as error:
        where = f"--pessimism {mine.pessimism:g}, --simulator {config.user.simulator}"
        raise InputError(error.what, where=where, mend=error.mend) from error
    return mine


def observe(config: TrainConfig, shop: ShopData, relevance: Relevance, task: TaskConfig) -> Observed:
    """What a policy would have seen at the training and test steps."""
    return Observed(
        train=_observe(config, shop.train, relevance, task), test=_observe(config, shop.test, relevance, task)
    )


def _observe(
    config: TrainConfig, steps: LoggedSteps, relevance: Relevance, task: TaskConfig
) -> Observation | None:
    from envs.replay import observe_log

    table: CandidateTable | None = None
    if steps.candidates.shape[1] == 0:
        if not steps.single_impressions:
            return None
        table = relevance.candidates
    seen = observe_log(steps, relevance.features, task, candidates=table)
    if config.relevance.as_observation:
        return seen
    return dataclasses.replace(seen, scores=hidden_scores(seen.candidates))
