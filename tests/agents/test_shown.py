"""Credit goes to what was shown: pages that the environment repaired, against its own account of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from agents.dqn.config import DQNConfig
from agents.dqn.learner import SlateDQN
from agents.offline.fitting import fresh_learner
from agents.ppo.config import PPOConfig
from agents.ppo.learner import SlatePPO
from agents.shown import places_of
from behavior.errors import InputError
from envs.business import BusinessRules
from envs.sb3 import SlateVecEnv
from envs.toy import toy_world
from envs.world import RewardMix, TaskConfig

TOY = toy_world(n_items=40, n_queries=6, n_candidates=12)
WORLD = dataclasses.replace(TOY, brand=np.arange(40, dtype=np.int32) % 3, sponsored=np.arange(40) % 4 == 0)
TASK = TaskConfig(
    slate_size=4,
    n_candidates=12,
    max_steps=3,
    reward=RewardMix(click=0.0, purchase=0.0, relevance=0.0, revenue=1.0),
    rules=BusinessRules(max_per_brand=2, sponsored_slots=(1,), sold_out=0.15, selling_out=0.3, seed=4),
)
PPO = PPOConfig(n_envs=32, n_steps=6, batch_size=48)
DQN = DQNConfig(n_envs=32, batch_size=64, buffer_size=640, learning_starts=0, train_freq=6)


class Witness(BaseCallback):
    """Writes down what the environment showed."""

    def __init__(self) -> None:
        super().__init__()
        self.positions: list[np.ndarray] = []
        self.feedback: list[tuple[np.ndarray, np.ndarray]] = []
        self.slates: list[np.ndarray] = []
        self.repairs = 0

    def _on_step(self) -> bool:
        env = self.training_env
        assert isinstance(env, SlateVecEnv)
        result = env.last_result
        assert result is not None
        self.positions.append(result.positions.copy())
        self.slates.append(result.slates.copy())
        self.feedback.append((result.feedback.click.copy(), result.feedback.purchase.copy()))
        self.repairs += int(result.repairs.sum())
        return True


def served(config: PPOConfig | DQNConfig) -> tuple[SlatePPO | SlateDQN, Witness]:
    """A fresh learner that has served every user six pages."""
    torch.set_num_threads(1)
    model, witness = fresh_learner(config, WORLD, TASK, seed=3), Witness()
    model.set_logger(Logger(folder=None, output_formats=[]))
    _, callback = model._setup_learn(32 * 6, callback=witness)
    if isinstance(model, SlatePPO):
        model.collect_rollouts(model.env, callback, model.rollout_buffer, 6)  # type: ignore[arg-type]
    else:
        model.collect_rollouts(model.env, callback, model.train_freq, model.replay_buffer)  # type: ignore[arg-type]
    assert witness.repairs > 50
    return model, witness


def test_places_by_hand() -> None:
    candidates = np.array([[7, -1, 5, 3], [1, 2, 4, 6]], np.int32)
    chosen = np.array([[0, 1], [3, 2]])
    items = np.array([[7, 3], [6, 4]], np.int32)
    assert places_of(candidates, chosen, items).tolist() == [[0, 3], [3, 2]]
    assert chosen.tolist() == [[0, 1], [3, 2]]
    with pytest.raises(InputError, match="item 9 was shown to user 1 at position 0"):
        places_of(candidates, chosen, np.array([[7, 3], [9, 4]], np.int32))


def test_rollouts_hold_what_was_shown_and_what_it_earned() -> None:
    model, witness = served(PPO)
    assert isinstance(model, SlatePPO)
    steps, policy = model.rollout_buffer.steps, model.policy
    np.testing.assert_array_equal(steps.shown.numpy(), witness.positions)
    assert (steps.slates != steps.shown).sum() == witness.repairs
    for t, (click, purchase) in enumerate(witness.feedback):
        np.testing.assert_array_equal(steps.click[t].numpy(), click)
        np.testing.assert_array_equal(steps.purchase[t].numpy(), purchase)
        earned = policy.unit * steps.rewards[t, :, :-1].numpy()
        price = np.nan_to_num(WORLD.features.price[witness.slates[t]])
        np.testing.assert_allclose(earned, price * purchase, rtol=1e-5)
    goes_on = ~steps.dones
    rest = steps.rewards[:, :, -1][goes_on]  # revenue is all there is: nothing is left over
    np.testing.assert_allclose(rest.numpy(), 0.0, atol=1e-4)


def test_replay_holds_what_was_shown() -> None:
    model, witness = served(DQN)
    assert isinstance(model, SlateDQN)
    held = model.replay_buffer.save()  # type: ignore[union-attr]
    np.testing.assert_array_equal(held["slates"], witness.positions)
    np.testing.assert_array_equal(held["click"], [click for click, _ in witness.feedback])
    np.testing.assert_array_equal(held["purchase"], [purchase for _, purchase in witness.feedback])


def test_a_choice_that_was_not_shown_teaches_the_actor_nothing() -> None:
    for all_repaired in (True, False):
        model, _ = served(PPO)
        assert isinstance(model, SlatePPO)
        steps = model.rollout_buffer.steps
        if all_repaired:
            steps.shown.copy_((steps.slates + 1) % 12)
        actor = [parameter.detach().clone() for parameter in model.policy.scorer.parameters()]
        others = [parameter.detach().clone() for parameter in model.policy.response.parameters()]
        model.train()
        after = list(model.policy.scorer.parameters())
        same = all(torch.equal(old, new) for old, new in zip(actor, after, strict=True))
        assert same == all_repaired
        assert not all(
            torch.equal(old, new) for old, new in zip(others, model.policy.response.parameters(), strict=True)
        )
