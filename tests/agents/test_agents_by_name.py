from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from agents.baselines import RelevancePolicy
from agents.contract import check_policy
from agents.registry import (
    AgentInputs,
    agent_names,
    log_agent_names,
    make_agent,
    pages_of,
    train_in_world,
    world_agent_names,
)
from behavior import Catalog, InteractionLog
from behavior.errors import InputError
from envs.core import SlateCore
from envs.observation import Observation
from envs.recorder import SessionRecorder
from envs.toy import toy_world
from envs.world import TaskConfig

WORLD = toy_world(n_items=120, n_queries=8, n_candidates=20)
TASK = TaskConfig(slate_size=4, n_candidates=20, max_steps=5)


@pytest.fixture(scope="module")
def inputs() -> AgentInputs:
    recorder = SessionRecorder(WORLD, TASK).record(
        RelevancePolicy(temperature=0.5), n_sessions=60, progress=False
    )
    frame, candidates = recorder.frames()
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": [str(i) for i in range(120)], "title": "thing"}))
    log = InteractionLog.from_frame(frame, candidates=candidates, source="test")
    steps = log.to_steps(catalog, tuple(WORLD.queries))
    return AgentInputs(features=WORLD.features, train=steps, world=WORLD, task=TASK)


@pytest.fixture(scope="module")
def observation() -> Observation:
    core = SlateCore(WORLD, TASK, n_users=5, seed=3)
    core.reset()
    return core.step(np.tile(np.arange(4), (5, 1))).observation


@pytest.mark.parametrize("name", log_agent_names())
def test_made_from_a_log(inputs: AgentInputs, observation: Observation, name: str) -> None:
    assert name in agent_names()
    policy = make_agent(name, inputs)
    assert policy.name == name
    check_policy(policy, observation, slate_size=4, samples=500)


@pytest.mark.parametrize("name", ["click-greedy", "linucb", "lints"])
def test_trained_in_a_world(observation: Observation, name: str) -> None:
    assert name in world_agent_names()
    policy = train_in_world(name, WORLD, TASK, total_steps=600, progress=False)
    assert policy.name == name
    check_policy(policy, observation, slate_size=4)


def test_an_agent_that_sees_no_scores_learns_without(inputs: AgentInputs) -> None:
    hidden = dataclasses.replace(inputs, hide_scores=lambda items: np.full(items.shape, 0.25, np.float32))
    pages, _, _ = pages_of(hidden, "cloning")
    assert (pages.observation.scores == 0.25).all()
    assert (pages.next_observation.scores == 0.25).all()


def test_what_is_missing_is_named(inputs: AgentInputs) -> None:
    with pytest.raises(InputError, match="fitted to a log") as error:
        make_agent("linucb", AgentInputs(features=WORLD.features))
    assert "train_in_world" in error.value.mend
    with pytest.raises(InputError, match="learns for a task in a world"):
        make_agent("cloning", dataclasses.replace(inputs, world=None))
    with pytest.raises(InputError, match="sac has to be trained first"):
        make_agent("sac", inputs)
    with pytest.raises(InputError, match="unknown agent 'lnucb'") as error:
        train_in_world("lnucb", WORLD, TASK, total_steps=1)
    assert "did you mean 'linucb'" in error.value.mend
