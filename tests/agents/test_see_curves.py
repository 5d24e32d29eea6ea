"""What the curves say, against what was counted apart from them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback

from agents.checkpoint import LearnerConfig
from agents.clock import Stopwatch
from agents.dqn.config import DQNConfig
from agents.explain import greedy_slates
from agents.exploration import exploration, off_greedy
from agents.learning import TrainingOptions, policy_of, train_agent
from agents.ppo.config import PPOConfig
from agents.value_watch import probe_values
from envs.results import StepResult
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.tensorboard import read_scalars

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=5)
WORLD = toy_world(n_items=60, n_queries=6, n_candidates=12, width=8)
PPO_SMALL = PPOConfig(n_envs=16, n_steps=4, batch_size=32, n_epochs=1, gamma=0.8, bootstrap_at_limit=False)
DQN_SMALL = DQNConfig(n_envs=16, batch_size=32, buffer_size=640, learning_starts=64, train_freq=1, gamma=0.8)
BOTH = pytest.mark.parametrize("config", [PPO_SMALL, DQN_SMALL], ids=["ppo", "dqn"])


class Witness(BaseCallback):
    """Keeps every page that was served."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[StepResult] = []

    def _on_step(self) -> bool:
        result = self.training_env.last_result  # type: ignore[attr-defined]
        self.results.append(result)
        return True


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@BOTH
def test_curves_say_what_happened(config: LearnerConfig, tmp_path: Path) -> None:
    """One point over all 40 steps of 16 users, against sums over the pages that a witness kept."""
    witness = Witness()
    options = TrainingOptions(tensorboard=tmp_path, log_every=640, evaluate_every=640, progress=False)
    model = train_agent(config, WORLD, TASK, total_steps=640, options=options, callbacks=[witness])
    found = {tag: curve.values for tag, curve in read_scalars(tmp_path).items()}
    results = witness.results
    assert len(results) == 40
    for k in range(4):
        clicks = np.concatenate([result.feedback.click[:, k] for result in results])
        assert found[f"slate/clicks_at/{k + 1:02d}"] == pytest.approx([clicks.mean()])
    sessions = np.concatenate([result.episodes.reward for result in results])
    assert found["rollout/ep_rew_mean"] == pytest.approx([sessions.mean()], rel=1e-5)
    lengths = np.concatenate([result.episodes.length for result in results])
    assert found["rollout/ep_len_mean"] == pytest.approx([lengths.mean()], rel=1e-5)
    shown = np.stack([result.slates for result in results])  # (40, 16, 4)
    assert found["slate/coverage"] == pytest.approx([np.unique(shown).size / 60])
    assert found["slate/repetition"] == pytest.approx([repeated(results)])
    shares = ("simulator", "policy", "update", "watching", "other")
    assert sum(found[f"time/{part}_share"][0] for part in shares) == pytest.approx(1.0, abs=1e-5)
    assert found["time/fps"][0] > 0
    assert 0 <= found["slate/explored_items"][0] <= found["slate/explored_slots"][0] <= 1
    if isinstance(config, DQNConfig):
        assert found["rollout/exploration_rate"] == pytest.approx([model.exploration_rate])  # type: ignore[union-attr]
    else:
        assert 1 <= found["slate/effective_slates"][0] <= math.perm(12, 4) * (1 + 1e-5)
        assert found["slate/value_realised"] == pytest.approx([first_page_return(results, 0.8)], rel=1e-4)
        assert found["slate/value_bootstrapped"] == pytest.approx([0.0])


def repeated(results: list[StepResult]) -> float:
    """Share of shown items that the same session had shown before."""
    seen: list[set[int]] = [set() for _ in range(16)]
    again, n = 0, 0
    for result in results:
        for b in range(16):
            page = result.slates[b].tolist()
            again, n = again + len(seen[b] & set(page)), n + len(page)
            seen[b] |= set(page)
            if result.terminated[b] or result.truncated[b]:
                seen[b] = set()
    return again / n


def first_page_return(results: list[StepResult], gamma: float) -> float:
    """Mean discounted return of the sessions that finished."""
    totals, running, discount = [], np.zeros(16), np.ones(16)
    for result in results:
        running += discount * result.reward
        discount *= gamma
        over = result.terminated | result.truncated
        totals += running[over].tolist()
        running[over], discount[over] = 0.0, 1.0
    return float(np.mean(totals))


def test_a_probe_tells_what_its_network_foretold() -> None:
    model = train_agent(DQN_SMALL, WORLD, TASK, total_steps=320, options=TrainingOptions(progress=False))
    policy = policy_of(model)
    found = probe_values(policy, WORLD, TASK, n_users=20, gamma=0.8, bootstrap=True)
    again = probe_values(policy, WORLD, TASK, n_users=20, gamma=0.8, bootstrap=True)
    np.testing.assert_array_equal(found.realised, again.realised)
    assert (found.step == 0).sum() == 20  # each user's session counts once
    assert found.step.max() <= 4
    plain = probe_values(policy, WORLD, TASK, n_users=20, gamma=0.8, bootstrap=False)
    np.testing.assert_allclose(found.realised - found.bootstrapped, plain.realised)
    assert (plain.bootstrapped == 0).all()
    assert (found.bootstrapped != 0).any()


def test_off_greedy_by_hand() -> None:
    shown, greedy = torch.tensor([[0, 1, 2], [5, 4, 3]]), torch.tensor([[0, 2, 1], [5, 4, 9]])
    slots, items = off_greedy(shown, greedy)
    assert slots == pytest.approx(3 / 6)  # 1, 2 changed places; 3 is not on the greedy page
    assert items == pytest.approx(1 / 6)


def test_equal_scores_are_as_many_slates_as_there_are() -> None:
    model = train_agent(PPO_SMALL, WORLD, TASK, total_steps=64, options=TrainingOptions(progress=False))
    with torch.no_grad():
        model.policy.gain_scale.zero_()  # type: ignore[operator, union-attr]
        for parameter in model.policy.scorer.parameters():  # type: ignore[union-attr]
            parameter.zero_()
    assert model._last_obs is not None
    pages = {name: torch.as_tensor(array) for name, array in model._last_obs.items()}  # type: ignore[union-attr]
    slates = torch.arange(4).expand(16, 4)
    before = model.policy.generator.get_state()  # type: ignore[operator, union-attr]
    found = exploration(model.policy, pages, slates)
    assert found["slate/effective_slates"] == pytest.approx(math.perm(12, 4), rel=1e-4)
    assert found["slate/effective_choices"] == pytest.approx(math.perm(12, 4) ** 0.25, rel=1e-4)
    assert found["slate/explored_slots"] == 0.0  # ties are ranked in source order
    assert torch.equal(before, model.policy.generator.get_state())  # type: ignore[operator, union-attr]


@BOTH
def test_greedy_slates_are_the_policys(config: LearnerConfig) -> None:
    model = train_agent(config, WORLD, TASK, total_steps=128, options=TrainingOptions(progress=False))
    policy = policy_of(model)
    env = model.get_env()
    assert env is not None
    pages = env.core.observe()  # type: ignore[attr-defined]
    slates, values = greedy_slates(policy, pages, 4)
    assert slates.shape == (16, 4)
    assert values.shape == (16,)
    scores = np.take_along_axis(policy.scores(pages), slates, axis=1)
    assert (np.diff(scores, axis=1) <= 1e-6).all()


def test_a_lap_counts_all_time() -> None:
    clock = Stopwatch(began=0.0)
    clock.add(simulator=1.0, policy=2.0, update=4.0, watching=0.5, evaluation=2.0, steps=100)
    lap = clock.lap()
    wall = 100 / lap["fps"]
    assert lap["simulator_share"] == pytest.approx(1.0 / (wall - 2.0))
    assert lap["evaluation_share"] == pytest.approx(2.0 / wall)
    assert lap["update_fps"] == pytest.approx(25.0)
    assert clock.steps == 0
    assert clock.update == 0.0
