from __future__ import annotations

import numpy as np
import pytest

from encoders.features import CandidateTable
from envs.world import TaskConfig, World
from simulators.example import example_candidates, example_features, example_simulator
from store.config import StoreConfig
from store.shop import Store, open_store


@pytest.fixture(scope="session")
def task() -> TaskConfig:
    return TaskConfig(slate_size=4, n_candidates=20, max_steps=6, history=5)


@pytest.fixture(scope="session")
def world() -> World:
    """Five parts put together, as a fit would."""
    features = example_features()
    items = example_candidates(features, 20)
    queries = np.arange(features.n_queries, dtype=np.int32)
    return World(
        simulator=example_simulator(features=features),
        candidates=CandidateTable(items=items, scores=features.relevance.click_probability(queries, items)),
        features=features,
    )


@pytest.fixture(scope="session")
def store() -> Store:
    return open_store(StoreConfig.tiny(), cache=False)
