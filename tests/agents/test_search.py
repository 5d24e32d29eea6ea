from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from agents.base import Draw
from agents.baselines import RandomPolicy, RelevancePolicy
from agents.contract import check_policy
from agents.oracles import MyopicOracle
from agents.search import (
    ConstantSlate,
    LongestSession,
    ScoreDirection,
    SearchConfig,
    best_constant_slate,
    best_score_direction,
    longest_session,
)
from agents.worth import Worth
from envs.core import SlateCore
from envs.toy import toy_world
from envs.world import TaskConfig, World
from evaluation.online import evaluate_online
from simulators.base import Feedback, ItemAppeal

TASK = TaskConfig(slate_size=3, n_candidates=15, max_steps=5)
QUICK = SearchConfig(rounds=4, population=16, elite=4, users=48, final_users=200, progress=False)


def world() -> World:
    return toy_world(n_items=120, n_queries=6, n_candidates=15)


def test_worth_by_hand() -> None:
    shop = world()
    prices = np.array([2.0, np.nan, 10.0] + [1.0] * 117, np.float32)
    features = dataclasses.replace(shop.features, price=prices)
    task = dataclasses.replace(TASK, click_weight=0.5, purchase_weight=3.0, revenue_weight=0.1)
    worth = Worth.of_task(task, features, 120)
    slates = np.array([[0, 1, 2], [2, 1, 0]], np.int32)
    click = np.array([[1, 1, 0], [1, 0, 1]], np.uint8)
    purchase = np.array([[1, 1, 0], [0, 0, 1]], np.uint8)
    score = worth.of_page(slates, Feedback(click, purchase, np.zeros(2, np.bool_)))
    # 2 clicks, 2 purchases for 2.0 and an unknown price; 2 clicks, 1 purchase for 2.0
    assert score == pytest.approx([1.0 + 6.0 + 0.2, 1.0 + 3.0 + 0.2])
    appeal = ItemAppeal(np.full((1, 2), 0.5, np.float32), np.full((1, 2), 0.25, np.float32))
    expected = worth.expected(np.array([[2, -1]], np.int32), appeal)
    assert expected == pytest.approx(np.array([[0.5 * (0.5 + 0.25 * 4.0), 0.0]]))
    assert Worth.of_length(120).of_page(
        slates, Feedback(click, purchase, np.zeros(2, np.bool_))
    ) == pytest.approx([1.0, 1.0])


def test_the_core_scores_as_worth_does() -> None:
    shop = world()
    task = dataclasses.replace(TASK, click_weight=0.5, purchase_weight=3.0, revenue_weight=0.1)
    core, worth = SlateCore(shop, task, n_users=64, seed=2), Worth.of_task(task, shop.features, 120)
    core.reset()
    for _ in range(5):
        result = core.step(np.tile(np.arange(3), (64, 1)))
        assert result.score == pytest.approx(worth.of_page(result.slates, result.feedback))
    assert result.feedback.purchase.any()


def test_policies_keep_the_contract() -> None:
    shop = world()
    core = SlateCore(shop, TASK, n_users=5, seed=4)
    observation = core.reset()
    space = ScoreDirection(shop.features, np.zeros(3 + shop.features.item_numeric.shape[1] + 16))
    for policy in (
        ConstantSlate(np.arange(15.0)),
        space,
        longest_session(shop, TASK, dataclasses.replace(QUICK, rounds=0)),
    ):
        state = core.state if isinstance(policy, LongestSession) else None
        assert len(check_policy(policy, observation, slate_size=3, state=state)) >= 4


def test_relevance_order_is_a_direction_and_a_constant_slate() -> None:
    shop = world()
    core = SlateCore(shop, TASK, n_users=40, seed=4)
    observation, draw = core.reset(), Draw(0, core.state.user, core.state.step)
    weights = np.zeros(3 + shop.features.item_numeric.shape[1] + 16)
    weights[0] = 1.0
    wanted = RelevancePolicy().rank(observation, draw, slate_size=3)
    assert (ScoreDirection(shop.features, weights).rank(observation, draw, slate_size=3) == wanted).all()
    assert (ConstantSlate(-np.arange(15.0)).rank(observation, draw, slate_size=3) == wanted).all()


def test_searches_beat_where_they_start_and_not_the_myopic_oracle() -> None:
    shop = world()
    policies = {
        "random": RandomPolicy(),
        "relevance": RelevancePolicy(),
        "constant": best_constant_slate(shop, TASK, QUICK),
        "direction": best_score_direction(shop, TASK, QUICK),
        "longest": longest_session(shop, TASK, QUICK),
        "myopic": MyopicOracle.for_world(shop, TASK),
    }
    found = evaluate_online(policies, shop, TASK, n_users=600, seed=3, progress=False)
    # Paired over 600 users, 99.99 % intervals.
    assert found.difference("direction", "relevance", level=0.9999).low > 0
    assert found.difference("myopic", "direction", level=0.9999).low > 0
    assert found.difference("constant", "relevance", level=0.9999).high >= 0  # or it stays where it starts
    assert found.difference("longest", "random", "length", level=0.9999).low > 0


def test_searches_can_be_repeated() -> None:
    shop, config = world(), dataclasses.replace(QUICK, rounds=1)
    first, second = (best_score_direction(shop, TASK, config).weights for _ in range(2))
    assert (first == second).all()
