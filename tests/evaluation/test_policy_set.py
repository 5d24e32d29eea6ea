"""The policies that simulators are judged by: many, varied, the same for the same seed."""

from __future__ import annotations

import dataclasses

import numpy as np

from agents.base import Draw
from agents.registry import AgentInputs
from envs.core import SlateCore
from evaluation.online import evaluate_online
from evaluation.policy_set import policy_set
from store.config import StoreConfig
from store.shop import open_store
from store.world import shop_task, shop_world


def test_the_set_is_varied_and_deterministic() -> None:
    store = open_store(StoreConfig.tiny(), cache=False)
    world, task = shop_world(store), shop_task(store)
    steps = store.log.to_steps(store.catalog, queries=store.queries)
    inputs = AgentInputs(features=world.features, train=steps, world=world, task=task, seed=3)
    policies = policy_set(inputs, behaviour=store.behavior_policy)
    assert len(policies) >= 12
    assert {"random", "relevance", "click-greedy", "linucb", "behavior"} <= set(policies)

    core = SlateCore(world, task, n_users=40, seed=0)
    seen = core.reset()
    draw = Draw(seed=1, user=core.state.user.copy(), step=core.state.step.copy())
    again = policy_set(inputs, behaviour=store.behavior_policy)
    pages = {name: policy.rank(seen, draw, slate_size=task.slate_size) for name, policy in policies.items()}
    for name, policy in again.items():
        assert np.array_equal(policy.rank(seen, draw, slate_size=task.slate_size), pages[name]), name
    # On first pages nothing was seen yet: the fresh ones rank as their bases do, all others differ from each other.
    distinct = {page.tobytes() for page in pages.values()}
    assert len(distinct) == len(pages) - sum("fresh" in name for name in pages)

    online = evaluate_online(policies, world, task, n_users=300, first_user=10_000_000, progress=False)
    scores = {name: outcome.score.mean() for name, outcome in online.outcomes.items()}
    assert scores["relevance reversed"] < 0.7 * scores["random"]
    assert max(scores.values()) > 1.3 * scores["random"]


def test_what_the_shop_has_no_data_for_is_left_out() -> None:
    store = open_store(StoreConfig.tiny(), cache=False)
    world = shop_world(store)
    bare = dataclasses.replace(world.features, price=np.full(world.features.n_items, np.nan, np.float32))
    names = set(policy_set(AgentInputs(features=bare)))
    assert len(names) == 11
    assert not names & {"cheap first", "dear first", "click-greedy", "linucb", "behavior"}
