"""A small world with known users: what the contract suite and the tests are run on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps
from encoders.features import FeatureTables, RelevanceTables
from simulators.composed import ComposedSimulator
from simulators.parts.attractiveness import LinearAttractiveness, LinearConversion
from simulators.parts.contract import Examination
from simulators.parts.dynamics import FittedDynamics
from simulators.parts.examination import CascadeExamination, PositionExamination
from simulators.parts.population import EmpiricalPopulation
from simulators.parts.rows import impression_names, page_names
from simulators.rollout import RandomPages, simulate_steps

__all__ = ["example_candidates", "example_features", "example_log", "example_simulator"]

_CONTEXT = ("context 0", "context 1")


def example_features(
    *, n_items: int = 200, n_queries: int = 20, width: int = 8, n_categories: int = 6, seed: int = 0
) -> FeatureTables:
    """Random items in a few categories, and queries each close to one category."""
    rng = np.random.default_rng(seed)

    def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    centre = rng.normal(size=(n_categories, width))
    category = rng.integers(0, n_categories, n_items).astype(np.int32)
    item_vectors = unit(centre[category] + rng.normal(size=(n_items, width)))
    query_vectors = unit(centre[np.arange(n_queries) % n_categories] + rng.normal(size=(n_queries, width)))
    numeric = rng.normal(size=(n_items, 2)).astype(np.float32)
    return FeatureTables(
        item_vectors=item_vectors,
        query_vectors=query_vectors,
        item_numeric=numeric,
        numeric_names=("log price", "popularity"),
        item_category=category,
        n_categories=n_categories,
        price=np.exp(numeric[:, 0] + 3.0).astype(np.float32),
        popularity=(0.1 / (1.0 + np.exp(-numeric[:, 1]))).astype(np.float32),
        relevance=RelevanceTables(
            item=item_vectors,
            click_query=2.0 * query_vectors,
            purchase_query=1.5 * query_vectors,
            click_bias=-1.0,
            purchase_bias=-1.5,
        ),
    )


def example_candidates(features: FeatureTables, n_candidates: int = 40) -> NDArray[np.int32]:
    """The most similar items of each query (Q, N)."""
    similarity = np.einsum("qd,id->qi", features.query_vectors, features.item_vectors)
    return np.argsort(-similarity, axis=1)[:, :n_candidates].astype(np.int32)


def example_simulator(
    kind: str = "pbm", *, features: FeatureTables | None = None, slate_size: int = 5
) -> ComposedSimulator:
    """A simulator with hand-set parameters: what a fit to its log should find again.

    Args:
        kind: "pbm" (gamma 1, .75, .55, .4, .3) or "cascade" (after a click .35, after a pass-over .85).
        features: The tables; `example_features()` by default.
        slate_size: Positions K.
    """
    features = features or example_features()
    names = impression_names(features, _CONTEXT)
    weights = dict.fromkeys(names, 0.0) | {
        "constant": -0.6,
        "relevance: click logit": 0.8,
        "similarity to items clicked in this session": 0.8,
        "log1p(times shown before)": -0.7,
        "log1p(items of this category clicked before)": -0.3,
        "log price": -0.4,
        "context 0 x log price": 0.4,
    }
    buying = dict.fromkeys(names, 0.0) | {
        "constant": -0.5,
        "relevance: purchase logit": 0.5,
        "log price": -0.6,
        "bought before": -2.0,
    }
    leaving = dict.fromkeys(page_names(features, _CONTEXT), 0.0) | {
        "constant": -1.2,
        "any click on the page": -0.8,
        "any purchase on the page": 1.2,
        "log1p(pages in a row without a click)": 0.6,
    }
    rng = np.random.default_rng(7)
    n = features.n_queries
    frequency = 1.0 / np.arange(1.0, n + 1)
    frequency /= frequency.sum()
    successor = (np.arange(n) + 1) % n
    examination: Examination
    if kind == "pbm":
        examination = PositionExamination(gamma=np.array([1.0, 0.75, 0.55, 0.4, 0.3]))
    else:
        examination = CascadeExamination(
            after_click=np.full(slate_size - 1, 0.35), after_skip=np.full(slate_size - 1, 0.85)
        )
    return ComposedSimulator(
        features=features,
        population=EmpiricalPopulation(
            first_query=rng.choice(n, 500, p=frequency).astype(np.int32),
            context=rng.normal(size=(500, len(_CONTEXT))).astype(np.float32),
        ),
        attractiveness=LinearAttractiveness(
            weights=np.array([weights[name] for name in names], np.float32),
            category_bias=np.linspace(-0.3, 0.3, features.n_categories, dtype=np.float32),
            item_bias=np.zeros(features.n_items, np.float32),
        ),
        examination=examination,
        conversion=LinearConversion(
            weights=np.array([buying[name] for name in names], np.float32),
            category_bias=np.zeros(features.n_categories, np.float32),
            item_bias=np.zeros(features.n_items, np.float32),
        ),
        dynamics=FittedDynamics(
            leave_weights=np.array(list(leaving.values()), np.float32),
            stay=np.array([0.3, 0.6, 0.2]),
            row_start=np.arange(n + 1),
            row_query=successor.astype(np.int32),
            row_cumulative=np.ones(n),
            row_trust=np.full(n, 0.5),
            frequency=frequency,
        ),
        slate_size=slate_size,
    )


def example_log(
    kind: str = "pbm", *, n_sessions: int = 2_000, seed: int = 0, first_user: int = 0
) -> LoggedSteps:
    """Sessions of `example_simulator` on random pages of five, at most eight pages each."""
    simulator = example_simulator(kind)
    source = RandomPages(example_candidates(simulator.features), 5)
    return simulate_steps(
        simulator, source, n_sessions=n_sessions, max_steps=8, seed=seed, first_user=first_user
    )
