from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from agents.baselines import RandomPolicy, RelevancePolicy
from agents.contract import check_policy
from agents.dqn.config import DQNConfig
from agents.learning import TrainingOptions, load_policy, train_agent
from agents.offline.actor import actor_of, slot_returns, surprises
from agents.offline.cloning import CloningConfig, clone_behaviour
from agents.offline.fitting import fresh_learner
from agents.offline.lanes import in_lanes
from agents.offline.reinforce import ReinforceConfig, single_draw, top_k_multiplier, train_reinforce
from agents.offline.served import served_transitions
from agents.offline.transitions import LogTransitions, log_transitions
from agents.offline.warm_start import WarmStartConfig, warm_start
from agents.ppo.buffer import slot_advantages
from agents.ppo.config import PPOConfig
from agents.ppo.distribution import slate_log_prob
from behavior import Catalog, InteractionLog
from behavior.errors import InputError
from envs.observation import Observation
from envs.recorder import SessionRecorder
from envs.toy import toy_world
from envs.world import RewardMix, TaskConfig, World

TASK = TaskConfig(
    slate_size=4,
    n_candidates=20,
    max_steps=5,
    memory=2,
    reward=RewardMix(revenue=0.1, diversity=0.5, stay=0.2),
)
PPO = PPOConfig(n_envs=8)


@pytest.fixture(scope="module")
def world() -> World:
    return toy_world(n_items=120, n_queries=8, n_candidates=20)


@pytest.fixture(scope="module")
def log(world: World) -> LogTransitions:
    return served_transitions(
        world, TASK, RelevancePolicy(temperature=0.5), n_steps=4_000, seed=1, n_envs=32, progress=False
    )


def test_a_log_read_back_is_what_was_served(world: World) -> None:
    behaviour = RelevancePolicy(temperature=0.5)
    recorder = SessionRecorder(world, TASK).record(
        behaviour, n_sessions=40, seed=1, policy_seed=1, progress=False
    )
    frame, candidates = recorder.frames()
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": [str(i) for i in range(120)], "title": "thing"}))
    steps = InteractionLog.from_frame(frame, candidates=candidates, source="test").to_steps(
        catalog, tuple(world.queries)
    )
    read = log_transitions(steps, world.features, TASK)
    served = served_transitions(world, TASK, behaviour, n_steps=40 * 5, seed=1, n_envs=40, progress=False)
    # The first session of each of the 40 users.
    ends = np.flatnonzero(served.ends)
    first = np.concatenate([np.arange(u * 5, ends[ends >= u * 5][0] + 1) for u in range(40)])
    served = served.take(first)
    assert read.n_steps == served.n_steps
    for name in ("actions", "click", "purchase", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(read, name), getattr(served, name), err_msg=name)
    np.testing.assert_allclose(read.reward, served.reward, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(read.choice_propensity, served.choice_propensity, rtol=1e-9)
    for side in ("observation", "next_observation"):
        one, other = getattr(read, side).as_dict(), getattr(served, side).as_dict()
        for name in (
            "seen",
            "last_slate",
            "last_click",
            "clicked",
            "progress",
            "recent_items",
            "recent_feedback",
        ):
            rows = np.ones(read.n_steps, bool)
            if side == "next_observation" and name in ("seen",):
                rows = ~read.ends  # whose next query a log does not tell
            np.testing.assert_allclose(
                one[name][rows], other[name][rows], rtol=1e-5, err_msg=f"{side} {name}"
            )


def test_returns_stop_at_the_ends_of_sessions(log: LogTransitions) -> None:
    part = log.take(np.arange(4))
    part = dataclasses.replace(
        part,
        terminated=np.array([False, True, False, False]),
        truncated=np.array([False, False, False, True]),
    )
    np.testing.assert_allclose(part.returns(np.array([1, 2, 4, 8], np.float32), 0.5), [2, 2, 8, 8])


def test_split_keeps_sessions_whole(log: LogTransitions) -> None:
    learned, held = log.split(0.1)
    assert learned.ends[-1]
    assert held.ends[-1]
    assert learned.n_steps + held.n_steps == log.n_steps
    assert 0.05 < held.n_steps / log.n_steps <= 0.1


def test_clone_finds_the_behaviour(world: World, log: LogTransitions) -> None:
    result = clone_behaviour(CloningConfig(learner=PPO, epochs=8), log, world, TASK, seed=1, progress=False)
    entropy = -np.log(log.choice_propensity).sum(axis=1).mean()  # the loss of the behaviour itself
    assert result.metrics["before_loss"] > entropy + 0.5
    assert result.metrics["loss"] < entropy + 0.15
    rows = np.arange(6) * 30
    check_policy(result.policy(temperature=1.0), log.observation.take(rows), slate_size=4, samples=1_000)


def test_the_best_pass_is_kept(world: World, log: LogTransitions) -> None:
    short = log.take(np.arange(400))
    config = CloningConfig(
        learner=PPO, epochs=40, batch_size=32, held_out=0.5
    )  # far too many passes for 200 pages
    result = clone_behaviour(config, short, world, TASK, seed=1, progress=False)
    losses = [point["loss"] for point in result.curve]
    assert losses[-1] > min(losses) + 0.05
    assert result.metrics["loss"] == min(losses)
    _, held = short.split(0.5)
    seen = {name: torch.as_tensor(array) for name, array in held.observation.as_dict().items()}
    with torch.no_grad():
        scores = actor_of(result.model).scores(seen)
    again = -slate_log_prob(scores, torch.as_tensor(held.actions)).mean()
    assert float(again) == pytest.approx(min(losses), rel=1e-4)


def test_single_draw_inverts_plackett_luce() -> None:
    weight = np.array([0.5, 0.3, 0.15, 0.05])
    choice = np.array([[0.3, 0.5 / 0.7, 0.05 / 0.2]])  # item 1, then 0, then 3
    np.testing.assert_allclose(single_draw(choice), [[0.3, 0.5, 0.05]])
    scores = torch.log(torch.tensor(weight)).unsqueeze(0)
    joint = float(slate_log_prob(scores, torch.tensor([[1, 0, 3]])).exp())
    assert joint == pytest.approx(choice.prod())


def test_top_k_multiplier_is_a_derivative() -> None:
    p = torch.tensor([0.0, 0.1, 0.7, 1.0], dtype=torch.float64, requires_grad=True)
    (1 - (1 - p) ** 5).sum().backward()  # type: ignore[no-untyped-call]
    assert p.grad is not None
    torch.testing.assert_close(top_k_multiplier(p, 5), p.grad)


@pytest.mark.parametrize("logged", [True, False])
def test_reinforce_beats_the_behaviour(world: World, logged: bool) -> None:
    behaviour = RandomPolicy()
    log = served_transitions(world, TASK, behaviour, n_steps=8_000, seed=1, progress=False)
    if not logged:
        log = dataclasses.replace(log, choice_propensity=np.full_like(log.choice_propensity, np.nan))
    config = ReinforceConfig(learner=PPO, epochs=3, behaviour=CloningConfig(learner=PPO, epochs=1))
    policy = train_reinforce(config, log, world, TASK, seed=1, progress=False).policy()
    tried = served_transitions(world, TASK, policy, n_steps=8_000, seed=9, progress=False)
    standard_error = float(log.reward.std()) * np.sqrt(2 / 8_000)
    assert tried.reward.mean() > log.reward.mean() + 5 * standard_error


@pytest.mark.slow
@pytest.mark.parametrize("learner", [PPO, DQNConfig(n_envs=8, batch_size=256)], ids=["ppo", "dqn"])
def test_warm_start_begins_above_a_cold_one(
    world: World, tmp_path: Path, learner: PPOConfig | DQNConfig
) -> None:
    log = served_transitions(world, TASK, RandomPolicy(), n_steps=16_000, seed=1, progress=False)
    config = WarmStartConfig(epochs=8, q_updates=150, q_target_every=50)
    result = warm_start(config, learner, log, world, TASK, seed=1, progress=False)
    path = result.save(tmp_path / "warm.zip")
    begun = {}
    for name, start in (("warm", path), ("cold", None)):
        folder = tmp_path / name
        train_agent(
            learner,
            world,
            TASK,
            total_steps=8,
            seed=2,
            options=TrainingOptions(folder=folder, progress=False),
            start_from=start,
        )
        policy = load_policy(folder / "last_model.zip", world, TASK)
        tried = served_transitions(world, TASK, policy, n_steps=8_000, seed=9, progress=False)
        begun[name] = float(tried.reward.mean())
    standard_error = float(log.reward.std()) * np.sqrt(2 / 8_000)
    assert begun["warm"] > begun["cold"] + 3 * standard_error


def test_warm_start_learns_what_items_do_to_the_rest(world: World, log: LogTransitions) -> None:
    """Each item of an even number on a page is worth one unit more of what follows it, whether clicked or not."""
    policy = actor_of(fresh_learner(PPO, world, TASK, seed=0))
    one_page = dataclasses.replace(log, terminated=np.ones(log.n_steps, np.bool_))
    own, _ = slot_returns(policy, one_page, PPO.gamma)
    even = np.take_along_axis(log.observation.candidates, log.actions, axis=1) % 2 == 0
    reward = policy.unit * (own.sum(axis=1) + even.sum(axis=1))
    made = dataclasses.replace(one_page, reward=reward.astype(np.float32))
    result = warm_start(WarmStartConfig(epochs=8), PPO, made, world, TASK, seed=1, progress=False)
    taught = actor_of(result.model)
    _, held = made.split(0.1)
    seen = {name: torch.as_tensor(array) for name, array in held.observation.as_dict().items()}
    with torch.no_grad():
        page = taught.page(seen)
        outlook = taught.outlook(page, taught.response(page)).numpy()
    items = held.observation.candidates
    difference = outlook[items % 2 == 0].mean() - outlook[items % 2 == 1].mean()
    # Its category and its vector tell something of an item's number on a small catalogue, and early stopping shrinks.
    assert 0.5 < difference < 1.1
    assert result.metrics["outlook"] < 0.5 * result.metrics["before_outlook"]


def test_surprises_are_the_errors_that_ppo_credits_to_a_page(world: World, log: LogTransitions) -> None:
    policy = actor_of(fresh_learner(PPO, world, TASK, seed=0))
    with torch.no_grad():
        policy.value_net.weight.normal_(generator=torch.Generator().manual_seed(1))
    one = log.take(np.arange(125))  # a user's pages, the last session cut
    own, _ = slot_returns(policy, one, PPO.gamma)
    found = surprises(policy, one, PPO, own)

    def values(observation: Observation) -> torch.Tensor:
        seen = {name: torch.as_tensor(array) for name, array in observation.as_dict().items()}
        with torch.no_grad():
            return policy.slot_values(policy.page(seen))

    expected, beyond = values(one.observation), values(one.next_observation).sum(1)
    cut = torch.as_tensor(one.truncated)
    assert 1 < cut.sum() < one.ends.sum()
    rewards = torch.cat((torch.as_tensor(own), torch.zeros(125, 1)), dim=1)
    rewards[:, -1] = torch.as_tensor(one.reward) / policy.unit - rewards.sum(1) + PPO.gamma * beyond * cut
    advantages, _ = slot_advantages(
        rewards.unsqueeze(1),
        expected.unsqueeze(1),
        torch.zeros(1),
        torch.as_tensor(one.ends).unsqueeze(1),
        gamma=PPO.gamma,
        gae_lambda=PPO.gae_lambda,
        slot_lambda=0.0,
    )
    future = advantages[:, 0] - (rewards - expected)[:, :-1]  # (T, K), the same for all positions
    np.testing.assert_allclose(found, future[:, 0], rtol=1e-4, atol=1e-4)


def test_returns_in_the_units_of_the_policy(world: World, log: LogTransitions) -> None:
    model = fresh_learner(PPO, world, TASK, seed=0)
    policy = actor_of(model)
    own, rest = slot_returns(policy, log, 0.9)
    rows = np.flatnonzero(log.purchase.any(axis=1))[:20]
    items = np.take_along_axis(log.observation.candidates, log.actions, axis=1)
    worth = 5.0 + 0.1 * world.features.price[items]  # a purchase, and 0.1 per unit of revenue
    np.testing.assert_allclose(
        own[rows] * policy.unit, log.click[rows] + (worth * log.purchase)[rows], rtol=1e-5
    )
    total = policy.unit * (own.sum(axis=1) + rest)
    np.testing.assert_allclose(total, log.returns(log.reward, 0.9), rtol=1e-4, atol=1e-4)


def test_lanes_hold_whole_sessions_in_order(log: LogTransitions) -> None:
    rows = in_lanes(log, 4)
    going_on = ~log.ends[rows[:-1]]
    np.testing.assert_array_equal(rows[1:][going_on], rows[:-1][going_on] + 1)
    assert np.unique(rows).size == rows.size
    assert rows.size > 0.9 * log.n_steps


def test_what_cannot_be_learned_from(world: World, log: LogTransitions) -> None:
    torn = dataclasses.replace(log, actions=np.where(log.actions == log.actions[:, :1], -1, log.actions))
    with pytest.raises(InputError, match="4 different items"):
        clone_behaviour(CloningConfig(learner=PPO), torn, world, TASK, progress=False)
    with pytest.raises(InputError, match="smaller n_envs"):
        warm_start(WarmStartConfig(), DQNConfig(n_envs=2_048), log, world, TASK, progress=False)
    with pytest.raises(InputError, match="held_out"):
        CloningConfig(held_out=1.0)
    with pytest.raises(InputError, match="cap"):
        ReinforceConfig(cap=0)


def test_a_small_log_takes_few_updates_of_dqn(world: World) -> None:
    log = served_transitions(world, TASK, RandomPolicy(), n_steps=320, seed=1, progress=False)
    config = WarmStartConfig(q_passes=10)
    learner = DQNConfig(n_envs=8, batch_size=64)
    result = warm_start(config, learner, log, world, TASK, progress=False)
    # Ten times 320 pages, 64 to a minibatch; q_updates (2,000) would draw every page 400 times.
    assert result.model._n_updates == pytest.approx(10 * log.n_steps / 64, abs=10)


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"q_passes": 0.0}, "q_passes"), ({"actor": "clonee"}, "clone"), ({"q_updates": 0}, "q_upd")],
)
def test_warm_starts_that_cannot_work_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        WarmStartConfig(**settings)
