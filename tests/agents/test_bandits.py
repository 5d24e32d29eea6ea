from __future__ import annotations

import numpy as np
import pytest

from agents.bandits import BanditConfig, LinearStatistics, learn_bandit, learn_from_log
from agents.bandits.policies import LinearThompsonPolicy, LinUCBPolicy
from agents.base import Draw
from agents.baselines import RandomPolicy
from agents.contract import check_policy
from agents.item_columns import ItemColumns
from agents.offline.served import served_transitions
from behavior.errors import InputError
from envs.core import SlateCore
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import TaskConfig, World

TASK = TaskConfig(slate_size=4, n_candidates=20, max_steps=5)


@pytest.fixture(scope="module")
def world() -> World:
    return toy_world(n_items=120, n_queries=8, n_candidates=20)


@pytest.fixture(scope="module")
def observation(world: World) -> Observation:
    core = SlateCore(world, TASK, n_users=6, seed=3)
    core.reset()
    return core.step(np.tile(np.arange(4), (6, 1))).observation


def pages(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pages of a linear worth under known position effects."""
    rng = np.random.default_rng(0)
    theta, effect = np.array([0.8, -0.5, 0.3]), np.array([1.0, 0.6, 0.3])
    x = rng.normal(size=(n, 3, 3))
    worth = effect * (x @ theta) + 0.5 * rng.normal(size=(n, 3))
    return x, worth, theta, effect


def test_least_squares_of_one_position() -> None:
    # x = 1, 2, 3 with worth 1, 2, 4 and ridge 1: theta = (1 + 4 + 12) / (1 + 14)
    statistics = LinearStatistics(1, 1, ridge=1.0)
    statistics.add(
        np.array([[[1.0]], [[2.0]], [[3.0]]]), np.array([[1.0], [2.0], [4.0]]), np.ones((3, 1), bool)
    )
    fit = statistics.fit()
    assert fit.theta[0] == pytest.approx(17 / 15)
    assert (fit.root.T @ fit.root)[0, 0] == pytest.approx(1 / 15)
    residual = sum((y - 17 / 15 * x) ** 2 for x, y in ((1, 1), (2, 2), (3, 4)))
    assert fit.noise == pytest.approx(np.sqrt((residual + 1) / 4))


def test_weights_positions_and_noise_are_recovered() -> None:
    x, worth, theta, effect = pages(20_000)
    statistics = LinearStatistics(3, 3)
    statistics.add(x, worth, np.ones(worth.shape, bool))
    fit = statistics.fit()
    np.testing.assert_allclose(fit.theta, theta, atol=0.02)  # standard error 0.003
    np.testing.assert_allclose(fit.position, effect, atol=0.03)
    assert fit.noise == pytest.approx(0.5, abs=0.01)


def test_batches_add_up() -> None:
    x, worth, _, _ = pages(60)
    known = np.random.default_rng(1).random(worth.shape) < 0.8
    whole, parts = LinearStatistics(3, 3), LinearStatistics(3, 3)
    whole.add(x, worth, known)
    for rows in np.array_split(np.arange(60), 7):
        parts.add(x[rows], worth[rows], known[rows])
    np.testing.assert_allclose(whole.fit().theta, parts.fit().theta, rtol=1e-9)
    hidden = LinearStatistics(3, 3)
    hidden.add(x, np.where(known, worth, 1e6), known)  # what is not known has no say
    np.testing.assert_allclose(whole.fit().theta, hidden.fit().theta)


def test_index_of_linucb(world: World, observation: Observation) -> None:
    columns = ItemColumns(world.features, constant=True)
    policy = learn_bandit(BanditConfig(n_envs=16), world, TASK, total_steps=64, progress=False)
    assert isinstance(policy, LinUCBPolicy)
    x = policy.columns(observation).astype(np.float64)
    covariance = policy.fit.root.T @ policy.fit.root
    width = np.sqrt(np.einsum("bnc,cd,bnd->bn", x, covariance, x))
    np.testing.assert_allclose(
        policy.scores(observation), x @ policy.fit.theta + policy.fit.noise * width, rtol=1e-5, atol=1e-6
    )
    assert set(columns.names) < set(
        policy.columns.names
    )  # the crosses with what is known of the user come on top


def test_thompson_draws_have_the_posterior(world: World, observation: Observation) -> None:
    policy = learn_bandit(BanditConfig(kind="lints", n_envs=16), world, TASK, total_steps=64, progress=False)
    assert isinstance(policy, LinearThompsonPolicy)
    n, one = 20_000, observation.take(np.zeros(20_000, np.int64))
    draw = Draw(seed=1, user=np.arange(n, dtype=np.int64), step=np.zeros(n, np.int32))
    first = policy.rank(one, draw, slate_size=4)[:, 0]
    # The chance that candidate 0 is drawn above candidate 1 by itself, against the normal law.
    x = policy.columns(observation.take(np.zeros(1, np.int64)))[0].astype(np.float64)
    covariance = policy.fit.noise**2 * policy.fit.root.T @ policy.fit.root
    rng = np.random.default_rng(0)
    best = (x @ rng.multivariate_normal(policy.fit.theta, covariance, n).T).argmax(axis=0)
    expected, found = np.bincount(best, minlength=20) / n, np.bincount(first, minlength=20) / n
    assert np.abs(expected - found).max() < 0.02  # either is known to 0.0035


@pytest.mark.parametrize("kind", ["linucb", "lints"])
def test_contract(world: World, observation: Observation, kind: str) -> None:
    config = BanditConfig(kind=kind, n_envs=16)  # type: ignore[arg-type]
    policy = learn_bandit(config, world, TASK, total_steps=64, progress=False)
    assert len(check_policy(policy, observation, slate_size=4)) == (8 if kind == "linucb" else 4)


def test_learning_beats_chance_and_the_log_teaches_the_same(world: World) -> None:
    log = served_transitions(world, TASK, RandomPolicy(), n_steps=20_000, seed=1, progress=False)
    from_log = learn_from_log(BanditConfig(exploration=0.0), log, world.features, TASK)
    online = learn_bandit(BanditConfig(), world, TASK, total_steps=20_000, seed=2, progress=False)
    score = {}
    for name, policy in (("random", RandomPolicy()), ("log", from_log), ("online", online)):
        tried = served_transitions(world, TASK, policy, n_steps=10_000, seed=9, progress=False)
        score[name] = float(tried.reward.mean())
    # A page earns 2.6 by chance, known to 0.03.
    assert score["log"] > score["random"] + 0.3
    assert score["online"] > score["random"] + 0.3


def test_faulty_settings() -> None:
    with pytest.raises(InputError, match="ridge"):
        BanditConfig(ridge=0.0)
    with pytest.raises(InputError, match="choose linucb or lints"):
        BanditConfig(kind="ucb")  # type: ignore[arg-type]
