"""DQN over slates by an additive SlateQ decomposition, on SB3's DQN: its replay, schedules and target network."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.utils import obs_as_tensor
from torch.nn import functional

from agents.clock import Stopwatch
from agents.dqn.network import PADDING
from agents.dqn.policy import SlateQPolicy

__all__ = ["SlateDQN"]


class SlateDQN(DQN):
    """DQN whose actions are slates.

    Loss: Huber(Q_realised(s, A, clicks, purchases) - y) + click log loss + purchase log loss, with
    y = r + gamma x Q_target(s', argmax_A' Q_online(s', A')) (double DQN). Conditioning on the realised clicks
    takes their chance out of the regression; the learned click and purchase models put their expectation back
    when slates are chosen. Per-position feedback is read from the next observation.

    Each user explores by a coin of their own: an exploring user sees a Plackett-Luce draw over the standardised
    item values.

    Args:
        policy: A `SlateQPolicy` class.
        env: A `VecEnv` with this project's Dict observations and `MultiDiscrete` slates.
        exploration_temperature: Temperature of an exploring user's draw, in standard deviations of the values.
        feedback_coef: Weight of the click and purchase log losses.
        bootstrap_at_limit: Whether the step limit only cuts the session (bootstrap), or ends the task.
        exploration_initial_eps: Share of exploring users at first.
        exploration_final_eps: Share of exploring users at last.
        exploration_fraction: Share of the training over which the former becomes the latter.
        target_update_interval: User-steps between updates of the target network.
        max_grad_norm: Gradient norm limit.
        replay_buffer_kwargs: Options of SB3's replay buffer.
        _init_setup_model: As SB3.
        **kwargs: Options of SB3's `OffPolicyAlgorithm`.
    """

    policy: SlateQPolicy

    def __init__(
        self,
        policy: str | type[SlateQPolicy],
        env: GymEnv | None,
        *,
        exploration_temperature: float = 1.0,
        feedback_coef: float = 1.0,
        bootstrap_at_limit: bool = True,
        exploration_initial_eps: float = 1.0,
        exploration_final_eps: float = 0.05,
        exploration_fraction: float = 0.3,
        target_update_interval: int = 10_000,
        max_grad_norm: float = 10.0,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        self.exploration_temperature = exploration_temperature
        self.feedback_coef = feedback_coef
        self.bootstrap_at_limit = bootstrap_at_limit
        self.stopwatch = Stopwatch()
        # DQN's own constructor allows Discrete actions only; its other lines are repeated here.
        OffPolicyAlgorithm.__init__(
            self,
            policy,
            env,  # type: ignore[arg-type]
            replay_buffer_kwargs={"handle_timeout_termination": bootstrap_at_limit}
            | (replay_buffer_kwargs or {}),
            sde_support=False,
            supported_action_spaces=(spaces.MultiDiscrete,),
            support_multi_env=True,
            **kwargs,
        )
        self.exploration_initial_eps = exploration_initial_eps
        self.exploration_final_eps = exploration_final_eps
        self.exploration_fraction = exploration_fraction
        self.target_update_interval = target_update_interval
        self._n_calls = 0
        self.max_grad_norm = max_grad_norm
        self.exploration_rate = 0.0
        self.generator = np.random.default_rng(self.seed)
        if _init_setup_model:
            self._setup_model()

    def _excluded_save_params(self) -> list[str]:
        # The tables in `policy_kwargs` belong to the data, not to the checkpoint.
        return [*super()._excluded_save_params(), "policy_kwargs", "stopwatch", "generator"]

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Slates (B, K) by the greedy rule, or by a draw for the users who explore."""
        start = time.perf_counter()
        with torch.no_grad():
            values = self.policy.scores(obs_as_tensor(self._last_obs, self.device))  # type: ignore[arg-type]
        scores = values.double().cpu().numpy()  # (B, N)
        rate = 1.0 if self.num_timesteps < learning_starts else self.exploration_rate
        explore = np.less(self.generator.random(scores.shape[0]), rate)
        valid = np.asarray(scores > PADDING / 2)
        noise = self.generator.gumbel(size=scores.shape) * explore[:, None]
        spread = scores.std(axis=1, where=valid, keepdims=True)
        scores = np.where(valid, scores + noise * self.exploration_temperature * spread, -np.inf)
        assert isinstance(self.action_space, spaces.MultiDiscrete)
        size = len(self.action_space.nvec)
        slates = np.argsort(-scores, axis=1, kind="stable")[:, :size]
        self.stopwatch.add(policy=time.perf_counter() - start)
        return slates, slates

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Minimise the loss on `gradient_steps` minibatches from the replay."""
        start = time.perf_counter()
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        sums = np.zeros(4)
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size)
            after: Any = batch.next_observations
            click, purchase = after["last_click"].float(), after["last_purchase"].float()  # (B, K)
            with torch.no_grad():
                slates = self.policy.q_net(after).best_slates()
                value = self.policy.q_net_target(after).slate_value(slates)
                target = batch.rewards.flatten() + (1.0 - batch.dones.flatten()) * self.gamma * value
            shown = batch.actions.long()
            page = self.policy.q_net(batch.observations)
            realised = page.realised_value(shown, click, purchase)
            td_loss = functional.smooth_l1_loss(realised, target)
            click_loss, purchase_loss = page.response.loss(shown, click, purchase)
            loss = td_loss + self.feedback_coef * (click_loss + purchase_loss)
            self.policy.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.policy.q_net.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
            sums += (td_loss.item(), click_loss.item(), purchase_loss.item(), target.mean().item())
        self._n_updates += gradient_steps
        for name, total in zip(("td_loss", "click_loss", "purchase_loss", "value"), sums, strict=True):
            self.logger.record(f"train/{name}", total / gradient_steps)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.stopwatch.add(update=time.perf_counter() - start)

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """The greedy slates; exploration belongs to training only."""
        return self.policy.predict(observation, state, episode_start, deterministic)
