"""Worlds of the project keep the environment contract in all three faces."""

from __future__ import annotations

from encoders.build import build_features
from encoders.tabular import fit_feature_relevance
from envs.contract import check_env_suite
from envs.world import TaskConfig, World
from store.shop import Store


def test_five_parts(world: World, task: TaskConfig) -> None:
    check_env_suite(lambda: world, task)


def test_the_true_store(store: Store) -> None:
    steps = store.log.to_steps(store.catalog, store.queries)
    relevance = fit_feature_relevance(store.catalog, steps)
    features = build_features(store.catalog, store.queries, steps, relevance, width=16, progress=False)
    world = World(simulator=store.true_simulator, candidates=store.candidates, features=features)
    check_env_suite(lambda: world, TaskConfig())
