"""Paired online evaluation on the toy world, and ranking metrics by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from agents.base import Draw
from agents.baselines import RandomPolicy, RelevancePolicy
from behavior.errors import InputError
from envs.core import SlateCore
from envs.toy import toy_world
from envs.world import TaskConfig, World
from evaluation.online import evaluate_online, policy_seed
from evaluation.outcomes import OnlineResult
from evaluation.ranking import dcg, ideal_dcg, ndcg

TASK = TaskConfig(slate_size=5, n_candidates=20, max_steps=6)


@pytest.fixture(scope="module")
def world() -> World:
    return toy_world(n_items=200, n_queries=10, n_candidates=20)


@pytest.fixture(scope="module")
def relevance(world: World) -> np.ndarray:
    features = world.features
    return np.maximum(features.query_vectors @ features.item_vectors.T, 0).astype(np.float32)


@pytest.fixture(scope="module")
def result(world: World, relevance: np.ndarray) -> OnlineResult:
    policies = {"random": RandomPolicy(), "relevance": RelevancePolicy(), "planning": RelevancePolicy()}
    return evaluate_online(
        policies,
        world,
        TASK,
        n_users=150,
        seed=3,
        first_user=1000,
        batch=64,
        limits={"planning": 40},
        relevance=relevance,
        progress=False,
    )


def test_ndcg_by_hand() -> None:
    assert dcg(np.array([3.0, 0.0, 1.0])) == pytest.approx(3 + 1 / 2)
    relevance = np.array([[0.0, 1.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]], np.float32)
    ideal = ideal_dcg(relevance, 2)
    np.testing.assert_allclose(ideal, [1 + 0.5 / np.log2(3), 0])
    found = ndcg(relevance, ideal, np.array([0, 0, 1]), np.array([[1, 2, 0], [2, 1, 0], [1, 2, 3]]), depth=2)
    np.testing.assert_allclose(found[:2], [1.0, (0.5 + 1 / np.log2(3)) / (1 + 0.5 / np.log2(3))])
    assert np.isnan(found[2])
    short = ndcg(relevance, ideal_dcg(relevance, 3), np.array([0]), np.array([[1, -1, -1]]), depth=3)
    assert short[0] == pytest.approx(1 / (1 + 0.5 / np.log2(3)))
    assert ideal_dcg(relevance, 10)[0] == pytest.approx(1 + 0.5 / np.log2(3))
    with pytest.raises(InputError, match="negative"):
        ideal_dcg(-relevance, 2)


def test_equals_one_session_after_another(world: World, result: OnlineResult) -> None:
    """The batched sums equal a plain loop over single users."""
    for name, policy in (("random", RandomPolicy()), ("relevance", RelevancePolicy())):
        outcome = result[name]
        shown: set[int] = set()
        for u in range(20):
            core = SlateCore(world, TASK, n_users=1, seed=3, first_user=1000 + u, autoreset="disabled")
            observation, pages, clicks, purchases = core.reset(), 0, 0, 0
            while True:
                draw = Draw(seed=policy_seed(3), user=core.state.user.copy(), step=core.state.step.copy())
                step = core.step(policy.rank(observation, draw, slate_size=5))
                pages, observation = pages + 1, step.observation
                clicks, purchases = (
                    clicks + step.feedback.click.sum(),
                    purchases + step.feedback.purchase.sum(),
                )
                shown.update(step.slates[0].tolist())
                if step.finished.size:
                    break
            assert outcome.clicks[u] == clicks
            assert outcome.purchases[u] == purchases
            assert outcome.length[u] == pages
            assert outcome.left[u] == step.terminated[0]
            assert outcome.score[u] == pytest.approx(clicks + 5 * purchases)
        assert outcome.coverage >= len(shown) / 200


def test_does_not_depend_on_the_batch(world: World, relevance: np.ndarray, result: OnlineResult) -> None:
    for batch in (1, 7, 1000):
        again = evaluate_online(
            {"random": RandomPolicy()},
            world,
            TASK,
            n_users=30,
            seed=3,
            first_user=1000,
            batch=batch,
            relevance=relevance,
            progress=False,
        )["random"]
        for field in ("score", "clicks", "purchases", "revenue", "length", "ndcg", "diversity"):
            np.testing.assert_allclose(
                getattr(again, field), getattr(result["random"], field)[:30], rtol=1e-12, err_msg=field
            )


def test_same_policy_same_users(result: OnlineResult) -> None:
    np.testing.assert_array_equal(result["planning"].score, result["relevance"].score[:40])
    same = result.difference("planning", "relevance")
    assert (same.value, same.n_clusters) == (0.0, 40)
    assert not same.excludes_zero


def test_parts_add_up(result: OnlineResult) -> None:
    outcome = result["relevance"]
    assert outcome.n_users == 150
    np.testing.assert_allclose(outcome.score, outcome.clicks + 5 * outcome.purchases)
    pages = outcome.length.sum()
    assert outcome.click_by_position.sum() * pages == pytest.approx(outcome.clicks.sum())
    assert outcome.purchase_by_position.sum() * pages == pytest.approx(outcome.purchases.sum())
    assert 0 < outcome.coverage <= 1
    assert np.all((outcome.length >= 1) & (outcome.length <= 6))
    assert np.all((outcome.ndcg >= 0) & (outcome.ndcg <= 1 + 1e-9))
    assert outcome.interval("clicks").value == pytest.approx(outcome.clicks.mean())


def test_relevance_order_has_the_better_ranking(result: OnlineResult) -> None:
    assert result.difference("relevance", "random", "ndcg").low > 0


def test_pairing_narrows_the_interval(result: OnlineResult) -> None:
    paired = result.difference("relevance", "random").standard_error
    apart = np.hypot(
        result["relevance"].interval().standard_error, result["random"].interval().standard_error
    )
    assert paired < 1.02 * apart


def test_share_of_the_gap(result: OnlineResult) -> None:
    assert result.share_of_gap("random").value == pytest.approx(0)
    whole = result.share_of_gap("planning")
    assert (whole.value, whole.low, whole.high) == (1, 1, 1)
    # 40 users are common to all three
    mine, floor = result["relevance"].score[:40], result["random"].score[:40]
    found = result.share_of_gap("relevance", high="planning")
    assert found.value == pytest.approx((mine - floor).sum() / (result["planning"].score - floor).sum())


def test_unknown_relevance_gives_no_figure(world: World) -> None:
    outcome = evaluate_online({"random": RandomPolicy()}, world, TASK, n_users=5, progress=False)["random"]
    assert np.isnan(outcome.interval("ndcg").value)


def test_policies_do_not_share_the_environments_key() -> None:
    assert len({policy_seed(s) for s in range(1000)} - set(range(1000))) == 1000


def test_bad_input(world: World) -> None:
    policies = {"random": RandomPolicy()}
    with pytest.raises(InputError, match="limits"):
        evaluate_online(policies, world, TASK, n_users=5, limits={"planing": 3})
    with pytest.raises(InputError, match="n_users 0"):
        evaluate_online(policies, world, TASK, n_users=0)
    with pytest.raises(InputError, match="relevance of shape"):
        evaluate_online(
            policies, world, TASK, n_users=2, relevance=np.ones((2, 2), np.float32), progress=False
        )
    done = evaluate_online(policies, world, dataclasses.replace(TASK, max_steps=1), n_users=2, progress=False)
    with pytest.raises(InputError, match="no policy named"):
        done.difference("random", "popular")
