"""Policies that are not trained here: what a score is to be set beside. Oracles practise once a task, for all seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from agents.base import Policy
from agents.baselines import MMRPolicy, PopularityPolicy, RandomPolicy, RelevancePolicy
from agents.belief import BeliefConfig, BeliefOracle
from agents.oracles import MyopicOracle, PlanningConfig, PlanningOracle
from behavior.errors import InputError
from benchmarks.skill.places import Place
from benchmarks.tasks import Effort

__all__ = ["REFERENCES", "belief_possible", "reference_names", "reference_policies"]

REFERENCES = ("random", "popularity", "relevance", "mmr", "myopic", "planning", "belief")
"""In the order of their cost."""


def reference_names(asked: Sequence[str]) -> tuple[str, ...]:
    """The policies asked for, each once.

    Raises:
        InputError: There is no such policy.
    """
    for name in asked:
        if name not in REFERENCES:
            raise InputError(
                f"no policy named {name!r} to set beside the agents",
                where="--reference",
                mend=f"choose among {', '.join(REFERENCES)}",
            )
    return tuple(dict.fromkeys(asked))


def belief_possible(place: Place) -> bool:
    """Whether this place's users can be guessed at: their simulator has to give the chances of what they did."""
    from simulators.base import TransparentSimulator

    return isinstance(place.world.simulator, TransparentSimulator)


def reference_policies(
    place: Place, effort: Effort, names: Sequence[str] = REFERENCES
) -> Iterator[tuple[str, Policy]]:
    """The policies of these names, made when their turn comes; belief is left out where it is not possible."""
    world, task = place.world, place.task
    planner = PlanningOracle.for_world(
        world, task, PlanningConfig(rollouts=effort.rollouts, tuning=effort.tuning, progress=False)
    )
    for name in names:
        if name == "belief" and not belief_possible(place):
            continue
        yield name, _make(name, place, effort, planner)


def _make(name: str, place: Place, effort: Effort, planner: PlanningOracle) -> Policy:
    world, task = place.world, place.task
    if name == "random":
        return RandomPolicy()
    if name == "popularity":
        return PopularityPolicy(world.features)
    if name == "relevance":
        return RelevancePolicy()
    if name == "mmr":
        return MMRPolicy(world.features)
    if name == "myopic":
        return MyopicOracle.for_world(world, task)
    if name == "planning":
        return planner
    if name == "belief":
        theta: NDArray[np.float64] = planner.prepare()[0]
        return BeliefOracle(world, task, BeliefConfig(retuning=effort.retuning, progress=False), theta=theta)
    raise ValueError(name)
