"""Item-wise values, a click model and a purchase model, learned side by side."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor, nn
from torch.nn import functional

from agents.dqn.values import PADDING, ChoiceValues, PageValues
from agents.network_config import NetworkConfig
from agents.networks import CandidateScorer, PageFeatures, PageInputs, SessionEncoder
from agents.page_features import purchase_worth
from agents.response import ResponseModel
from encoders.features import FeatureTables
from envs.world import RewardMix

__all__ = ["PADDING", "PageValues", "SlateQNetwork"]

_LITTLE = -3.0  # softplus of this is 0.05: crowding starts as next to nothing


class SlateQNetwork(BasePolicy):
    """Observation -> `PageValues` or `ChoiceValues`; the untrained network ranks by relevance.

    Args:
        observation_space: The environment's Dict space.
        action_space: `MultiDiscrete([N] * K)`.
        tables: The public tables.
        network: Sizes.
        choice: 'additive' (`PageValues`) or 'multinomial' (`ChoiceValues`).
        optimiser: How slates are chosen: 'topk', 'greedy' or 'exact'.
        crowding: Additive form: whether like items on one page may cost.
        reward: The environment's reward: what a click and a purchase of each item are worth at once.
    """

    purchase_worth: Tensor

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.MultiDiscrete,
        *,
        tables: FeatureTables,
        network: NetworkConfig,
        choice: str = "additive",
        optimiser: str = "topk",
        crowding: bool = False,
        reward: RewardMix | None = None,
    ) -> None:
        super().__init__(
            observation_space, action_space, features_extractor=FlattenExtractor(spaces.Box(-1.0, 1.0, (1,)))
        )
        self.page = PageFeatures.for_spaces(tables, observation_space, action_space)
        self.slate_size = self.page.slate_size
        self.choice, self.optimiser, self.crowding = choice, optimiser, crowding
        reward = reward or RewardMix()
        buy = np.append(purchase_worth(tables, reward), np.float32(0))
        # What is learned is counted in units of a usual click with what may follow it; values are in units of reward.
        self.unit = max(abs(reward.click), 0.2 * float(np.abs(buy).mean())) or 1.0
        self.value_scale = self.unit * network.value_scale
        self.click_worth = reward.click
        self.register_buffer("purchase_worth", torch.from_numpy(buy), persistent=False)
        self.scorer = CandidateScorer(self.page, network, n_outputs=2 if choice == "multinomial" else 3)
        self.response = ResponseModel(self.page, network, slate_size=self.slate_size)
        self.state = SessionEncoder(self.page, network)
        self.untouched = nn.Linear(network.state_width, 1)
        nn.init.zeros_(self.untouched.weight)
        nn.init.zeros_(self.untouched.bias)
        if choice == "additive":
            self.exposure = nn.Parameter(torch.zeros(self.slate_size))
            if crowding:
                self.crowded = nn.Linear(network.state_width, 2)
                nn.init.zeros_(self.crowded.weight)
                nn.init.constant_(self.crowded.bias, _LITTLE)

    def forward(self, obs: PyTorchObs) -> PageValues | ChoiceValues:
        """Values of `B` pages."""
        return self.values(self.page(obs))

    def values(self, page: PageInputs) -> PageValues | ChoiceValues:
        """Values of `B` pages whose features are known."""
        parts = self.scorer(page).unbind(2)
        last = self.purchase_worth.shape[0] - 1
        buy = self.purchase_worth[torch.where(page.items < 0, last, page.items).long()]  # (B, N)
        clicked, purchased = self.click_worth + self.unit * parts[0], buy + self.unit * parts[1]
        state = self.state(page)
        untouched = self.value_scale * self.untouched(state).squeeze(1)
        response = self.response(page)
        if self.choice == "multinomial":
            return ChoiceValues(untouched, clicked, purchased, response, page.valid)
        return PageValues(
            untouched=untouched,
            shown=self.unit * parts[2],
            clicked=clicked,
            purchased=purchased,
            response=response,
            valid=page.valid,
            exposure=self.slate_size * torch.softmax(self.exposure, dim=0),
            crowding=self.unit * functional.softplus(self.crowded(state)) if self.crowding else None,
            vectors=page.vectors if self.crowding else None,
        )

    def slate_values(self, page: PageInputs, slates: Tensor) -> tuple[PageValues | ChoiceValues, Tensor]:
        """Values of the items of `slates` (B, K) alone, and the slates by their places among them."""
        places = torch.arange(slates.shape[1], device=slates.device).expand_as(slates)
        return self.values(page.shown(slates)), places

    def scores(self, observation: PyTorchObs) -> Tensor:
        """Scores (B, N) whose order is that of the chosen slates: the K chosen come first.

        With top-k they are the item values themselves.
        """
        values: PageValues | ChoiceValues = self(observation)
        items = values.item_values()
        if self.optimiser == "topk" and self.choice == "additive":
            return items
        slates = values.best_slates(self.optimiser)
        # The chosen get the highest item values of the page, in the order of the slate.
        top = items.amax(1, keepdim=True).clamp_min(PADDING / 2)
        step = 1e-3 * torch.arange(self.slate_size, 0, -1, device=items.device, dtype=items.dtype)
        chosen = torch.where(values.valid.gather(1, slates), top + step * (1.0 + top.abs()), PADDING)
        return items.scatter(1, slates, chosen)

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> Tensor:
        slates: Tensor = self(observation).best_slates(self.optimiser)
        return slates
