from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import pytest

from agents.base import Draw
from agents.baselines import MMRPolicy, PopularityPolicy, RandomPolicy, RelevancePolicy
from agents.click_greedy import ClickGreedyConfig, ClickGreedyPolicy
from agents.click_model import LogisticChance
from agents.kernels.baselines import session_history
from agents.offline.served import served_transitions
from behavior.errors import InputError
from behavior.steps import LoggedSteps
from envs.core import SlateCore
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import TaskConfig, World


@pytest.fixture(scope="module")
def world() -> World:
    return toy_world(n_items=120, n_queries=8, n_candidates=20)


@pytest.fixture(scope="module")
def observation(world: World) -> Observation:
    core = SlateCore(world, TaskConfig(slate_size=5, n_candidates=20), n_users=70, seed=3)
    observation = core.reset()
    for _ in range(2):
        observation = core.step(np.tile(np.arange(5), (70, 1))).observation
    return observation


def draw(n: int, seed: int = 0) -> Draw:
    return Draw(seed=seed, user=np.arange(n, dtype=np.int64), step=np.zeros(n, np.int32))


def test_orders(world: World, observation: Observation) -> None:
    slate = RelevancePolicy().rank(observation, draw(70), slate_size=5)
    assert (slate == np.arange(5)).all()  # the source is sorted by relevance
    slate = PopularityPolicy(world.features).rank(observation, draw(70), slate_size=5)
    popularity = world.features.popularity[observation.candidates]
    best = np.argsort(-popularity, axis=1, kind="stable")[:, :5]
    assert (slate == best).all()


def test_random_is_uniform(observation: Observation) -> None:
    one = observation.take(np.zeros(20_000, np.int64))
    slates = RandomPolicy().rank(one, draw(20_000), slate_size=5)
    for k in (0, 4):
        # 19 degrees of freedom: 43.8 is exceeded once in a thousand seeds
        count = np.bincount(slates[:, k], minlength=20)
        assert ((count - 1000) ** 2 / 1000).sum() < 43.8
    propensity = RandomPolicy().propensity(one.take(np.arange(3)), slates[:3])
    np.testing.assert_allclose(propensity.item, 1 / 20, rtol=1e-9)
    np.testing.assert_allclose(propensity.slate, 1 / (20 * 19 * 18 * 17 * 16), rtol=1e-12)


def test_deterministic_propensities_are_indicators(observation: Observation) -> None:
    policy = RelevancePolicy()
    slates = np.tile(np.array([0, 1, 4, 3, 2]), (70, 1))
    got = policy.propensity(observation, slates)
    assert (got.item == [1, 1, 0, 1, 0]).all()
    assert (got.cascade == [1, 1, 0, 0, 0]).all()
    assert (got.slate == 0).all()


def test_mmr_matches_its_definition(world: World, observation: Observation) -> None:
    policy = MMRPolicy(world.features, trade_off=0.6)
    slates = policy.rank(observation, draw(70), slate_size=5)
    for b in range(10):
        vectors = world.features.item_vectors[observation.candidates[b]].astype(np.float64)
        relevance = (observation.scores[b] / observation.scores[b].max()).astype(np.float64)
        chosen: list[int] = []
        for _ in range(5):
            values = [
                0.6 * relevance[n] - 0.4 * max([0.0] + [float(vectors[n] @ vectors[m]) for m in chosen])
                if n not in chosen
                else -np.inf
                for n in range(20)
            ]
            chosen.append(int(np.argmax(values)))
        assert slates[b].tolist() == chosen
    # pure relevance is the source's order, and diversity spreads
    assert (
        MMRPolicy(world.features, trade_off=1.0).rank(observation, draw(70), slate_size=5) == np.arange(5)
    ).all()


def test_settings_out_of_range(world: World) -> None:
    with pytest.raises(ValueError, match="temperature"):
        RelevancePolicy(temperature=-1)
    with pytest.raises(ValueError, match="above 0"):
        RandomPolicy(temperature=0)
    with pytest.raises(ValueError, match="trade_off"):
        MMRPolicy(world.features, trade_off=1.5)


def test_history_of_a_log() -> None:
    session = np.array([0, 0, 0, 1])
    item = np.array([[4, 2], [2, 5], [2, 4], [2, 4]], np.int32)
    click = np.array([[1, 1], [0, 1], [0, 0], [0, 0]], np.uint8)
    seen, clicked = np.zeros((4, 2), np.float32), np.full((4, 2), -1, np.int32)
    session_history(session, item, click, seen, clicked)
    assert seen.tolist() == [[0, 0], [1, 0], [2, 1], [0, 0]]
    assert clicked.tolist() == [[-1, -1], [2, 4], [5, 2], [-1, -1]]


def logged(world: World, n: int) -> LoggedSteps:
    """Random slates; clicks fall with earlier showings and with position, and rise with popularity."""
    rng = np.random.default_rng(0)
    item = np.stack([rng.choice(120, 4, replace=False) for _ in range(n)]).astype(np.int32)
    session = np.arange(n) // 5
    seen, clicked = np.zeros((n, 4), np.float32), np.full((n, 1), -1, np.int32)
    session_history(session, item, np.zeros((n, 4), np.uint8), seen, clicked)
    logit = 1.5 * np.log(world.features.popularity[item]) + 2.5 - 0.8 * seen - 0.5 * np.arange(4)
    click = (rng.random((n, 4)) < 1 / (1 + np.exp(-logit))).astype(np.uint8)
    nan = np.full((n, 4), np.nan)
    return LoggedSteps(
        session=session,
        user=session,
        step=(np.arange(n) % 5).astype(np.int32),
        query=rng.integers(0, 8, n).astype(np.int32),
        timestamp=np.arange(n),
        item=item,
        click=click,
        purchase=np.zeros_like(click),
        candidates=np.empty((n, 0), np.int32),
        propensity=nan,
        cascade_propensity=nan,
        slate_propensity=nan[:, 0],
        session_end=np.zeros(n, np.int8),
        context=np.empty((n, 0), np.float32),
        context_names=(),
        queries=tuple(world.queries),
        single_impressions=False,
    )


def test_click_greedy_recovers_the_law(world: World, observation: Observation) -> None:
    log = logged(world, 20_000)
    # Without the numeric columns, one of which is the popularity again: the weights would share what is one effect.
    features = dataclasses.replace(
        world.features, item_numeric=world.features.item_numeric[:, :1], numeric_names=("log_price",)
    )
    policy = ClickGreedyPolicy.fit(log, features, ClickGreedyConfig(model="logistic", history=5))
    assert isinstance(policy.click, LogisticChance)
    weight = dict(zip(policy.names, policy.click.weights, strict=True))
    assert weight["log_popularity"] == pytest.approx(
        1.5, abs=0.15
    )  # 80,000 impressions: about five standard errors
    # Two columns tell of the same: log1p of the showings, and whether there were any. Together: -0.8 for one showing.
    assert weight["seen"] * np.log(2) + weight["seen_before"] == pytest.approx(-0.8, abs=0.25)
    assert abs(weight["relevance"]) < 0.1
    slates = policy.rank(observation, draw(70), slate_size=5)
    popular = PopularityPolicy(world.features).rank(observation, draw(70), slate_size=5)
    assert (np.sort(slates, 1) != np.sort(popular, 1)).any()  # what was seen twice is put back


@pytest.mark.parametrize("model", ["boosting", "logistic"])
def test_click_greedy_in_a_world(world: World, model: Literal["boosting", "logistic"]) -> None:
    task = TaskConfig(slate_size=5, n_candidates=20, max_steps=5)
    config = ClickGreedyConfig(model=model, trees=30)
    policy = ClickGreedyPolicy.fit_in_world(
        world, task, n_steps=6_000, behaviour=RandomPolicy(), rounds=2, config=config, progress=False
    )
    score = {}
    for one in (RelevancePolicy(), policy):
        tried = served_transitions(world, task, one, n_steps=10_000, seed=9, progress=False)
        score[one.name] = float(tried.reward.mean())
    assert score["click-greedy"] > score["relevance"] + 0.2  # either is known to 0.03


def test_click_greedy_ranks_by_worth(world: World, observation: Observation) -> None:
    # Even items are clicked half as often as odd ones, and bought four times as often when clicked.
    rng = np.random.default_rng(0)
    log = logged(world, 10_000)
    odd = (log.item % 2).astype(bool)
    click = (rng.random(odd.shape) < np.where(odd, 0.4, 0.2)).astype(np.uint8)
    purchase = (click * (rng.random(odd.shape) < np.where(odd, 0.2, 0.8))).astype(np.uint8)
    features = dataclasses.replace(
        world.features,
        item_numeric=(np.arange(120, dtype=np.float32) % 2)[:, None],
        numeric_names=("odd",),
    )
    log = dataclasses.replace(log, click=click, purchase=purchase)
    odd = observation.candidates % 2 == 1
    for objective, better in (
        ("click", odd),
        ("worth", ~odd),
    ):  # 1 + 5 x 0.2 = 2 a click, against 1 + 5 x 0.8 = 5
        config = ClickGreedyConfig(model="logistic", objective=objective)  # type: ignore[arg-type]
        scores = ClickGreedyPolicy.fit(log, features, config).scores(observation)
        assert scores[better].mean() > scores[~better].mean()
        gap = scores[~odd].mean() - scores[odd].mean()
        assert gap == pytest.approx(np.log(0.5 * 5 / 2 if objective == "worth" else 0.5), abs=0.1)


def test_click_greedy_without_clicks(world: World) -> None:
    log = logged(world, 50)
    with pytest.raises(InputError, match="with and without clicks"):
        ClickGreedyPolicy.fit(dataclasses.replace(log, click=np.zeros_like(log.click)), world.features)
