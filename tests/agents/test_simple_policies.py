"""Simple rules: their orders by hand, their propensities by the contract suite."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from agents.base import Draw
from agents.baselines import RandomPolicy, RelevancePolicy
from agents.contract import check_policy
from agents.simple import FreshPolicy, MixturePolicy, PricePolicy, ReversedPolicy
from behavior.errors import InputError
from envs.core import SlateCore
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import TaskConfig, World

K = 3


@pytest.fixture(scope="module")
def world() -> World:
    return toy_world(n_items=60, n_queries=6, n_candidates=8)


@pytest.fixture(scope="module")
def observation(world: World) -> Observation:
    """Five users on their second page."""
    core = SlateCore(world, TaskConfig(slate_size=K, n_candidates=8), n_users=5, seed=1)
    core.reset()
    return core.step(np.tile(np.arange(K), (5, 1))).observation


def _draw(n: int) -> Draw:
    return Draw(seed=7, user=np.arange(n, dtype=np.int64), step=np.zeros(n, np.int32))


def test_every_rule_keeps_the_contract(world: World, observation: Observation) -> None:
    relevance = RelevancePolicy(temperature=0.5)
    for policy in (
        PricePolicy(world.features, temperature=0.3),
        FreshPolicy(relevance, penalty=1.0),
        ReversedPolicy(relevance),
        MixturePolicy(RandomPolicy(), relevance, share=0.3),
        MixturePolicy(RandomPolicy(), RelevancePolicy(), share=0.5),
    ):
        assert len(check_policy(policy, observation, slate_size=K, samples=2000)) == 8, policy.name


def test_price_is_compared_within_the_category(world: World, observation: Observation) -> None:
    """Category 0: prices 1 and 4 (mean of logs: log 2); category 1: 100, and one unknown."""
    features = dataclasses.replace(
        world.features,
        price=np.array([1.0, 4.0, 100.0, np.nan], np.float32),
        item_category=np.array([0, 0, 1, 1], np.int32),
        n_categories=2,
    )
    page = dataclasses.replace(observation.take(np.array([0])), candidates=np.array([[0, 1, 2, 3]], np.int32))
    scores = PricePolicy(features).scores(page)[0]
    assert scores == pytest.approx([np.log(2), -np.log(2), 0.0, 0.0], abs=1e-6)
    assert PricePolicy(features, descending=True).rank(page, _draw(1), slate_size=4).tolist() == [
        [1, 2, 3, 0]
    ]
    with pytest.raises(InputError, match="no item has a known price"):
        PricePolicy(dataclasses.replace(features, price=np.full(4, np.nan, np.float32)))


def test_fresh_moves_what_was_seen_down(observation: Observation) -> None:
    assert (observation.seen[:, :K] > 0).any()
    base = RelevancePolicy()
    page = FreshPolicy(base, penalty=1e6).rank(observation, _draw(5), slate_size=K)
    assert not np.take_along_axis(observation.seen, page, axis=1).any()
    same = FreshPolicy(base, penalty=0.0).rank(observation, _draw(5), slate_size=K)
    assert np.array_equal(same, base.rank(observation, _draw(5), slate_size=K))


def test_reversed_is_the_other_end(observation: Observation) -> None:
    page = ReversedPolicy(RelevancePolicy()).rank(observation, _draw(5), slate_size=8)
    shown = np.take_along_axis(observation.scores, page, axis=1)
    assert (np.diff(shown, axis=1) >= 0).all()


def test_a_mixture_shares_pages_as_it_says(observation: Observation) -> None:
    """Of 4,000 pages, .25 ± .03 (more than four standard errors) are ranked by the first policy."""
    pages = observation.take(np.zeros(4000, np.int64))
    first, second = ReversedPolicy(RelevancePolicy()), RelevancePolicy()
    mixed = MixturePolicy(first, second, share=0.25).rank(pages, _draw(4000), slate_size=K)
    mine = (mixed == first.rank(pages, _draw(4000), slate_size=K)).all(axis=1)
    other = (mixed == second.rank(pages, _draw(4000), slate_size=K)).all(axis=1)
    assert (mine ^ other).all()
    assert mine.mean() == pytest.approx(0.25, abs=0.03)
