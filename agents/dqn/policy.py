"""SB3's DQN policy with the item-wise network in place of one value per action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor

from agents.dqn.network import SlateQNetwork
from agents.network_config import NetworkConfig
from encoders.features import FeatureTables
from envs.world import RewardMix

__all__ = ["SlateQPolicy"]


class SlateQPolicy(DQNPolicy):
    """An online and a target `SlateQNetwork`.

    Args:
        observation_space: The environment's Dict space.
        action_space: `MultiDiscrete([N] * K)`.
        lr_schedule: SB3's schedule.
        tables: The public tables.
        network: Sizes.
        reward: The environment's reward.
        form: Settings of `SlateQNetwork` beyond its sizes.
        item_rate: The step size of the item-wise values as a share of the others'.
        **kwargs: SB3's optimiser options.
    """

    q_net: SlateQNetwork  # type: ignore[assignment]
    q_net_target: SlateQNetwork  # type: ignore[assignment]

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.MultiDiscrete,
        lr_schedule: Schedule,
        *,
        tables: FeatureTables,
        network: NetworkConfig | None = None,
        reward: RewardMix | None = None,
        form: Mapping[str, Any] | None = None,
        item_rate: float = 1.0,
        **kwargs: Any,
    ) -> None:
        self.item_rate = item_rate
        self._tables, self._network, self._reward = tables, network or NetworkConfig(), reward
        self._form = dict(form or {})
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)  # type: ignore[arg-type]

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        items = list(self.q_net.scorer.parameters())
        own = {id(parameter) for parameter in items}
        others = [parameter for parameter in self.q_net.parameters() if id(parameter) not in own]
        self.optimizer = self.optimizer_class(
            [{"params": items, "factor": self.item_rate}, {"params": others, "factor": 1.0}],
            lr=lr_schedule(1),  # type: ignore[call-arg]
            **self.optimizer_kwargs,
        )

    def make_q_net(self) -> SlateQNetwork:  # type: ignore[override]
        """A fresh network."""
        assert isinstance(self.observation_space, spaces.Dict)
        assert isinstance(self.action_space, spaces.MultiDiscrete)
        return SlateQNetwork(
            self.observation_space,
            self.action_space,
            tables=self._tables,
            network=self._network,
            reward=self._reward,
            **self._form,
        ).to(self.device)

    def scores(self, observation: PyTorchObs) -> Tensor:
        """Scores (B, N): the chosen slate takes the highest."""
        return self.q_net.scores(observation)

    def _predict(self, obs: PyTorchObs, deterministic: bool = True) -> Tensor:
        return self.q_net._predict(obs, deterministic=deterministic)
