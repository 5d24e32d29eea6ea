"""Every policy of the project keeps the policy contract."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from agents.baselines import MMRPolicy, PopularityPolicy, RandomPolicy, RelevancePolicy
from agents.click_greedy import ClickGreedyConfig, ClickGreedyPolicy
from agents.contract import check_policy
from agents.dqn.config import DQNConfig
from agents.learning import TrainingOptions, policy_of, train_agent
from agents.oracles import MyopicOracle, PlanningConfig, PlanningOracle
from agents.planning import Tuning
from agents.ppo.config import PPOConfig
from envs.core import SlateCore
from envs.observation import Observation
from envs.world import TaskConfig, World
from simulators.example import example_log
from store.shop import Store

Pages = tuple[SlateCore, Observation]


@pytest.fixture(scope="module")
def pages(world: World, task: TaskConfig) -> Pages:
    """Five users on their second or third page, some candidates padded away."""
    items = world.candidates.items.copy()
    items[::3, 15:] = -1
    scores = np.where(items >= 0, world.candidates.scores, 0).astype(np.float32)
    padded = dataclasses.replace(
        world, candidates=dataclasses.replace(world.candidates, items=items, scores=scores)
    )
    core = SlateCore(padded, task, n_users=5, seed=4)
    core.reset()
    for _ in range(2):
        result = core.step(np.tile(np.arange(4), (5, 1)))
    return core, result.observation


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_baselines(pages: Pages, temperature: float) -> None:
    core, observation = pages
    features = core.world.features
    policies = [
        PopularityPolicy(features, temperature=temperature),
        RelevancePolicy(temperature=temperature),
        MMRPolicy(features, temperature=temperature),
        RandomPolicy(),
    ]
    for policy in policies:
        assert len(check_policy(policy, observation, slate_size=4)) == 8


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_click_greedy(pages: Pages, temperature: float) -> None:
    core, observation = pages
    log = example_log(n_sessions=400)
    policy = ClickGreedyPolicy.fit(log, core.world.features, ClickGreedyConfig(temperature=temperature))
    check_policy(policy, observation, slate_size=4)


def test_oracles(pages: Pages) -> None:
    core, observation = pages
    tuning = Tuning(rounds=2, population=6, elite=2, users=16)
    planning = PlanningConfig(tuning=tuning, progress=False)
    oracles = [
        MyopicOracle(core.world.simulator, 5.0),  # type: ignore[arg-type]
        PlanningOracle.for_world(core.world, core.task, planning),
    ]
    for oracle in oracles:
        passed = check_policy(oracle, observation, slate_size=4, state=core.state)
        assert len(passed) == 4  # oracles tell no propensities


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(
    "config",
    [PPOConfig(n_envs=8, n_steps=4, batch_size=16, n_epochs=1), DQNConfig(n_envs=8)],
    ids=["ppo", "dqn"],
)
def test_learners(pages: Pages, config: PPOConfig | DQNConfig, temperature: float) -> None:
    core, observation = pages
    model = train_agent(
        config, core.world, core.task, total_steps=32, options=TrainingOptions(progress=False)
    )
    policy = policy_of(model, temperature=temperature)
    check_policy(policy, observation, slate_size=4, samples=1_000)


def test_the_policy_of_the_log(store: Store) -> None:
    # Its scores need query and candidates only, so any observation of the shop will do.
    steps = store.log.to_steps(store.catalog, store.queries)
    rows = np.arange(6)
    candidates = store.candidates.items[steps.query[rows]]
    none = np.full((6, 10), -1, np.int32)
    observation = Observation(
        query=steps.query[rows, None],
        context=steps.context[rows],
        candidates=candidates,
        scores=store.candidates.scores[steps.query[rows]],
        seen=np.zeros(candidates.shape, np.float32),
        last_slate=none,
        last_click=np.zeros((6, 10), np.float32),
        last_purchase=np.zeros((6, 10), np.float32),
        clicked=none,
        progress=np.zeros((6, 4), np.float32),
    )
    assert len(check_policy(store.behavior_policy, observation, slate_size=10)) == 8
