"""Item-wise values, a click model and a purchase model, learned side by side; and the slate they make best.

SlateQ (Ie et al., "SlateQ: a tractable decomposition for reinforcement learning with recommendation sets", IJCAI
2019) writes the value of a slate as the chance-weighted sum of item-wise long-term values of a user who clicks at
most once. Pages here may have many clicks and purchases, so the decomposition is additive, an approximation:

    Q(s, A) = b(s) + sum_k [ u(s, i_k) + P(click at k) (c(s, i_k) + P(purchase | click) d(s, i_k)) ]

`b` is the value of a page that nobody touches, `u` what merely showing an item changes (boredom, relevance),
`c` what a click adds now and later, `d` what a purchase adds.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor, nn

from agents.network_config import NetworkConfig
from agents.networks import CandidateScorer, PageFeatures, SessionEncoder
from agents.response import Response, ResponseModel
from encoders.features import FeatureTables

__all__ = ["PADDING", "PageValues", "SlateQNetwork"]

PADDING = -1e9
"""Item value of a padded candidate."""


class PageValues(NamedTuple):
    """What the network says of a batch of pages."""

    untouched: Tensor  # (B,) b(s)
    shown: Tensor  # (B, N) u(s, i)
    clicked: Tensor  # (B, N) c(s, i)
    purchased: Tensor  # (B, N) d(s, i)
    response: Response  # clicks and purchases
    valid: Tensor  # (B, N) bool

    def gain(self) -> Tensor:
        """Expected worth (B, N) of a click on each candidate."""
        return self.clicked + torch.sigmoid(self.response.conversion) * self.purchased

    def item_values(self) -> Tensor:
        """What showing a candidate adds to the page, averaged over positions (B, N); very low at padding."""
        worth = self.shown + self.response.click_probability() * self.gain()
        return torch.where(self.valid, worth, PADDING)

    def best_slates(self) -> Tensor:
        """Greedy slates (B, K): the K candidates of the highest item value, best first."""
        return self.item_values().topk(self.response.position.shape[0], dim=1).indices

    def slate_value(self, slates: Tensor) -> Tensor:
        """Q(s, A) of slates (B, K), shape (B,)."""
        probability = self.response.slate_click_probability(slates)  # (B, K)
        worth = self.shown.gather(1, slates) + probability * self.gain().gather(1, slates)
        return self.untouched + worth.sum(1)

    def realised_value(self, slates: Tensor, click: Tensor, purchase: Tensor) -> Tensor:
        """Value of slates (B, K) once the user's clicks and purchases (B, K) are known, shape (B,)."""
        worth = (
            self.shown.gather(1, slates)
            + click * self.clicked.gather(1, slates)
            + purchase * self.purchased.gather(1, slates)
        )
        return self.untouched + worth.sum(1)


class SlateQNetwork(BasePolicy):
    """Observation -> `PageValues`; the untrained network ranks by relevance.

    Args:
        observation_space: The environment's Dict space.
        action_space: `MultiDiscrete([N] * K)`.
        tables: The public tables.
        network: Sizes.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.MultiDiscrete,
        *,
        tables: FeatureTables,
        network: NetworkConfig,
    ) -> None:
        super().__init__(
            observation_space, action_space, features_extractor=FlattenExtractor(spaces.Box(-1.0, 1.0, (1,)))
        )
        context = observation_space["context"].shape
        assert context is not None
        slate_size = len(action_space.nvec)
        self.page = PageFeatures(
            tables,
            n_candidates=int(action_space.nvec[0]),
            slate_size=slate_size,
            context_size=context[0],
        )
        self.value_scale = network.value_scale
        self.scorer = CandidateScorer(self.page, network, n_outputs=3)
        self.response = ResponseModel(self.page, network, slate_size=slate_size)
        self.state = SessionEncoder(self.page, network)
        self.untouched = nn.Linear(network.state_width, 1)
        nn.init.zeros_(self.untouched.weight)
        nn.init.zeros_(self.untouched.bias)

    def forward(self, obs: PyTorchObs) -> PageValues:
        """Values of `B` pages."""
        page = self.page(obs)
        shown, clicked, purchased = self.scorer(page).unbind(2)
        return PageValues(
            untouched=self.value_scale * self.untouched(self.state(page)).squeeze(1),
            shown=shown,
            clicked=1.0 + clicked,
            purchased=1.0 + purchased,
            response=self.response(page),
            valid=page.valid,
        )

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> Tensor:
        slates: Tensor = self(observation).best_slates()
        return slates
