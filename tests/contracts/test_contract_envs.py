"""Worlds of the project keep the environment contract in all three faces."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest

from encoders.build import build_features
from encoders.tabular import fit_feature_relevance
from envs.contract import check_batch_independence, check_determinism, check_env_suite
from envs.world import TaskConfig, World
from simulators.composed import ComposedSimulator
from simulators.parts import DynamicBayesianExamination, MultinomialExamination
from simulators.parts.contract import Examination
from store.shop import Store


def test_five_parts(world: World, task: TaskConfig) -> None:
    check_env_suite(lambda: world, task)


@pytest.mark.parametrize(
    "examination",
    [
        DynamicBayesianExamination(satisfaction_bias=-1.0, satisfaction_slope=0.5),
        MultinomialExamination(attention=np.array([1.0, 0.7, 0.5, 0.4])),
    ],
    ids=lambda part: part.kind,
)
def test_other_click_models(world: World, task: TaskConfig, examination: Examination) -> None:
    simulator = copy.copy(world.simulator)
    assert isinstance(simulator, ComposedSimulator)
    simulator.examination = examination
    other = dataclasses.replace(world, simulator=simulator)
    check_determinism(lambda: other, task)
    check_batch_independence(lambda: other, task)


def test_the_true_store(store: Store) -> None:
    steps = store.log.to_steps(store.catalog, store.queries)
    relevance = fit_feature_relevance(store.catalog, steps)
    features = build_features(store.catalog, store.queries, steps, relevance, width=16, progress=False)
    world = World(simulator=store.true_simulator, candidates=store.candidates, features=features)
    check_env_suite(lambda: world, TaskConfig())
