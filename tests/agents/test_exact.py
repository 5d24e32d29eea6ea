"""Planners against exact dynamic programming on tiny shops with every mechanism of the task suite."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.base import Draw, Policy
from agents.baselines import RelevancePolicy
from agents.exact import TinyGame, next_visit
from agents.oracles import MyopicOracle, PlanningConfig, PlanningOracle
from agents.planning import Tuning
from behavior.errors import InputError
from encoders.features import CandidateTable, FeatureTables, RelevanceTables
from envs.core import SlateCore
from envs.observation import Observation
from envs.world import TaskConfig, World
from simulators.base import SessionState
from simulators.shopper import ItemTraits, Shopper, ShopperSimulator

MECHANISMS: dict[str, dict[str, Any]] = {
    "boredom": {
        "boredom": 2.5,
        "boredom_memory": 0.9,
        "leave_bias": -2.0,
        "click_bias": 1.0,
        "taste_fit": 1.0,
    },
    "satisfaction": {
        "lure_fit": 1.5,
        "quality_joy": 2.5,
        "click_joy": 0.0,
        "purchase_joy": 0.0,
        "leave_bias": -0.5,
        "leave_satisfaction": 3.0,
        "click_bias": 0.5,
        "satisfaction_memory": 0.9,
    },
    "drift": {
        "drift": 3.0,
        "taste_fit": 3.0,
        "click_bias": -0.5,
        "purchase_worth": 2.0,
        "purchase_taste": 2.0,
        "boredom": 0.0,
        "leave_bias": -3.0,
    },
    "funnel": {
        "checkout_bias": -2.0,
        "checkout_intent": 2.0,
        "intent_click": 0.5,
        "intent_quality": 1.0,
        "intent_memory": 0.9,
        "intent_purchase": 0.5,
        "click_bias": 0.0,
        "purchase_bias": 0.0,
    },
    "return": {
        "return_bias": -0.5,
        "return_satisfaction": 3.0,
        "return_memory": 0.9,
        "quality_joy": 1.5,
        "click_joy": 0.0,
        "lure_fit": 1.0,
        "click_bias": 0.0,
    },
    "cascade": {"click_model": "cascade", "quality_joy": 1.0},
    "dynamic-bayesian": {"click_model": "dynamic-bayesian", "quality_joy": 1.0},
    "multinomial": {"click_model": "multinomial", "boredom": 1.5},
}


def unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    length: NDArray[np.float64] = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return (rows / length).astype(np.float32)


def tiny_world(seed: int, n_items: int, **constants: Any) -> World:
    """One query, every item a candidate, two groups of items, traits drawn at random."""
    rng = np.random.default_rng(seed)
    item, query, personas = (unit(rng.normal(size=(n, 4))) for n in (n_items, 1, 3))
    price, lure, quality, worth = (rng.normal(size=n_items).astype(np.float32) for _ in range(4))
    group = rng.integers(0, 2, n_items).astype(np.int32)
    simulator = ShopperSimulator(
        item_vectors=item,
        query_vectors=query,
        personas=personas,
        traits=ItemTraits(price=price, group=group, lure=lure, quality=quality, worth=worth),
        shopper=Shopper(**constants),
    )
    relevance = RelevanceTables(
        item=item, click_query=query, purchase_query=query, click_bias=-1.0, purchase_bias=-1.0
    )
    return World(
        simulator=simulator,
        candidates=CandidateTable(
            items=np.arange(n_items, dtype=np.int32)[None],
            scores=np.linspace(0.5, 0.2, n_items, dtype=np.float32)[None],
        ),
        features=FeatureTables(
            item_vectors=item,
            query_vectors=query,
            item_numeric=price[:, None],
            numeric_names=("log_price",),
            item_category=group,
            n_categories=2,
            price=np.exp(price),
            popularity=np.full(n_items, 0.1, np.float32),
            relevance=relevance,
        ),
    )


def game_of(name: str, instance: int) -> tuple[TinyGame, World, TaskConfig]:
    """Pages of one item and a longer session, or pages of two and a shorter one."""
    returning, single = name == "return", instance % 2 == 0
    n_items = 4 if single or not returning else 3
    world = tiny_world(100 + instance, n_items, **MECHANISMS[name])
    task = TaskConfig(
        slate_size=1 if single else 2,
        n_candidates=n_items,
        max_steps=(4 if returning else 5) if single else 3,
        purchase_weight=2.0,
        revenue_weight=0.5 if name == "funnel" else 0.0,
    )
    return TinyGame(world, task, next_visit=next_visit if returning else None), world, task


def arrive(world: World, user: int = 7) -> SessionState:
    return world.simulator.begin(np.array([user]), seed=3)


class Scripted(Policy):
    """Shows the pages of a plan, whatever happens."""

    def __init__(self, plan: tuple[int, ...]) -> None:
        self.plan = np.array(plan, np.int64)

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        return self.plan[draw.step][:, None]


@pytest.mark.parametrize("name", ["satisfaction", "return"])
def test_exact_value_is_the_mean_of_sessions(name: str) -> None:
    game, world, task = game_of(name, 0)
    policy = MyopicOracle.for_world(world, task)
    n, seed = 20_000, 5
    core = SlateCore(world, task, n_users=n, seed=seed)
    observation = core.reset(seed=seed)
    # Everyone is the same user, with chance of their own.
    everyone = arrive(world).take(np.zeros(n, np.int64))
    everyone.user = np.arange(n)
    core.state.put(np.arange(n), everyone)
    score, here = np.zeros(n), np.ones(n, np.bool_)
    for _ in range(task.max_steps):
        draw = Draw(0, core.state.user, core.state.step)
        result = core.step(policy.rank(observation, draw, slate_size=task.slate_size, state=core.state))
        score += here * result.score
        here &= ~(result.terminated | result.truncated)
        observation = result.observation
    error = score.std() / np.sqrt(n)
    # Four standard errors: a right value fails once in 16,000.
    assert abs(score.mean() - game.value(policy, arrive(world))[0]) < 4 * error


def test_optimum_of_two_pages_by_hand() -> None:
    world = tiny_world(0, 3, boredom=0.0)
    task = TaskConfig(slate_size=1, n_candidates=3, max_steps=2, purchase_weight=2.0)
    game, state = TinyGame(world, task), arrive(world)
    plans = [game.value(Scripted(plan), state)[0] for plan in itertools.product(range(3), repeat=2)]
    best = game.optimum(state)[0]
    # No plan that ignores the answers beats the optimum, and on the last page they cannot help.
    last = TaskConfig(slate_size=1, n_candidates=3, max_steps=1, purchase_weight=2.0)
    appeal = world.simulator.appeal(state, np.arange(3, dtype=np.int32)[None])  # type: ignore[attr-defined]
    assert TinyGame(world, last).optimum(state)[0] == pytest.approx(
        float((appeal.click * (1 + 2 * appeal.purchase)).max()), rel=1e-6
    )
    assert max(plans) <= best + 1e-12
    assert best <= 2.0 * float((appeal.click * (1 + 2 * appeal.purchase)).max()) + 1e-9


def test_games_that_cannot_be_solved_say_so() -> None:
    world = tiny_world(0, 4)
    with pytest.raises(InputError, match="leaves"):
        TinyGame(world, TaskConfig(slate_size=3, n_candidates=4, max_steps=8))
    with pytest.raises(InputError, match="cannot be solved"):
        TinyGame(
            World(simulator=object(), candidates=world.candidates, features=world.features),  # type: ignore[arg-type]
            TaskConfig(slate_size=1, n_candidates=4),
        )


def planner(world: World, task: TaskConfig) -> PlanningOracle:
    """The planning oracle with more rollouts than it takes by default: a tiny task can afford them."""
    config = PlanningConfig(
        rollouts=400,
        final_rollouts=0,
        caution=1.0,
        tuning=Tuning(rounds=6, population=12, elite=4, users=64),
        progress=False,
    )
    return PlanningOracle.for_world(world, task, config)


def shares(instances: range, names: tuple[str, ...] = tuple(MECHANISMS)) -> NDArray[np.float64]:
    """Share of the optimum of planning oracle, myopic oracle and relevance order, (instances, 3)."""
    found = []
    for name, instance in itertools.product(names, instances):
        game, world, task = game_of(name, instance)
        state = arrive(world)
        best = game.optimum(state)[0]
        policies = (planner(world, task), MyopicOracle.for_world(world, task), RelevancePolicy())
        values = [game.value(policy, state)[0] for policy in policies]
        assert max(values) <= best + 1e-9  # nobody beats the optimum
        found.append([value / best for value in values])
    return np.array(found)


def test_planning_comes_close_to_the_optimum() -> None:
    found = shares(range(1), ("boredom", "satisfaction", "funnel", "return", "cascade", "multinomial"))
    planning, myopic, relevance = found.mean(axis=0)
    assert planning >= 0.99
    assert planning > myopic > relevance


@pytest.mark.slow
def test_planning_earns_99_percent_of_the_optimum_on_average() -> None:
    planning, myopic, relevance = shares(range(6)).mean(axis=0)  # 48 instances
    assert planning >= 0.99
    assert planning > myopic + 0.01  # the instances need foresight
    assert myopic > relevance
