"""The actor and the critic of PPO over slates."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn

from agents.network_config import NetworkConfig
from agents.networks import CandidateScorer, PageFeatures, PageInputs, SessionEncoder, standardise
from agents.outlook import Outlook
from agents.page_features import purchase_worth
from agents.ppo.distribution import MASKED, PlackettLuceDistribution, slot_log_prob
from agents.query_item import make_tally
from agents.response import Response, ResponseModel
from encoders.features import FeatureTables
from envs.world import RewardMix

__all__ = ["PlackettLucePolicy"]


class PlackettLucePolicy(ActorCriticPolicy):
    """Scores candidates, ranks by Plackett-Luce, and values the session; any SB3 on-policy learner takes it.

    The score of a candidate is its expected gain, standardised over the page, plus what policy gradients find out.
    The gain is that of this page, as a response model learned from the feedback of every position foretells it, and
    of what follows (`agents.outlook`). The untrained actor thus ranks by what the relevance model expects to earn.
    Actor, critic, outlook and response model share features but no weights: they are cheap, and the critic's large
    early errors would otherwise move the ranking.

    Args:
        observation_space: The environment's Dict space.
        action_space: `MultiDiscrete([N] * K)`.
        lr_schedule: SB3's schedule.
        tables: The public tables.
        network: Sizes.
        reward: The environment's reward: what a click and a purchase of each item are worth.
        actor_rate: The actor's step size as a share of the others': policy gradients are far noisier than the
            log losses of the response model.
        sample_seed: Seed of the policy's own Gumbel noise.
        **kwargs: SB3's optimiser options.
    """

    page: PageFeatures
    purchase_worth: Tensor

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.MultiDiscrete,
        lr_schedule: Schedule,
        *,
        tables: FeatureTables,
        network: NetworkConfig | None = None,
        reward: RewardMix | None = None,
        actor_rate: float = 0.1,
        sample_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        self._tables, self._network, self._sample_seed = tables, network or NetworkConfig(), sample_seed
        self.actor_rate = actor_rate
        self._reward = reward or RewardMix()
        super().__init__(
            observation_space, action_space, lr_schedule, net_arch=[], ortho_init=False, **kwargs
        )

    def make_features_extractor(self) -> Any:
        """Features are made by `PageFeatures`; SB3's extractor only has to exist."""
        small = spaces.Box(-1.0, 1.0, (1,))
        return FlattenExtractor(small)

    def _build(self, lr_schedule: Schedule) -> None:
        assert isinstance(self.action_space, spaces.MultiDiscrete)
        assert isinstance(self.observation_space, spaces.Dict)
        self.page = PageFeatures.for_spaces(self._tables, self.observation_space, self.action_space)
        self.page.tally = make_tally(self.page, self._network)
        n_candidates, slate_size = self.page.n_candidates, self.page.slate_size
        buy = np.append(purchase_worth(self._tables, self._reward), np.float32(0))
        # Rewards are counted in units of a usual click with what may follow it: settings then mean the same whether
        # clicks are counted or money.
        self.unit = max(abs(self._reward.click), 0.2 * float(np.abs(buy).mean())) or 1.0
        self.click_worth = self._reward.click / self.unit
        self.register_buffer(
            "purchase_worth", torch.from_numpy(buy / np.float32(self.unit)), persistent=False
        )
        self.scorer = CandidateScorer(self.page, self._network, n_outputs=1)
        self.response = ResponseModel(self.page, self._network, slate_size=slate_size)
        self.outlook = Outlook(self.page, self._network)
        self.gain_scale = nn.Parameter(torch.tensor(self._network.gain_scale))
        self.critic = SessionEncoder(self.page, self._network)
        self.value_net = nn.Linear(self._network.state_width, slate_size + 1)
        nn.init.zeros_(self.value_net.weight)
        nn.init.zeros_(self.value_net.bias)
        self.generator = torch.Generator().manual_seed(self._sample_seed)
        self.action_dist = PlackettLuceDistribution(n_candidates, slate_size, generator=self.generator)
        actor = [*self.scorer.parameters(), self.gain_scale]
        others = [
            p
            for part in (self.response, self.outlook, self.critic, self.value_net)
            for p in part.parameters()
        ]
        self.optimizer = self.optimizer_class(
            [{"params": actor, "factor": self.actor_rate}, {"params": others, "factor": 1.0}],
            lr=lr_schedule(1),  # type: ignore[call-arg]
            **self.optimizer_kwargs,
        )

    def to(self, *args: Any, **kwargs: Any) -> PlackettLucePolicy:
        """Move the policy; its source of noise moves along (generators live on one device)."""
        moved = super().to(*args, **kwargs)
        device = self.gain_scale.device
        if self.generator.device != device:
            self.generator = torch.Generator(device).manual_seed(self._sample_seed)
            self.action_dist.generator = self.generator  # type: ignore[attr-defined]
        return moved

    def expected_gain(self, page: PageInputs, response: Response) -> Tensor:
        """What each candidate is expected to earn on this page and after it, (B, N), standardised; no gradient.

        Response model and outlook learn by regression alone: policy gradients would cost them their calibration.
        """
        with torch.no_grad():
            buy = self.worth_of(page.items)
            worth = self.click_worth + buy * torch.sigmoid(response.conversion)
            gain = response.click_probability() * worth + self.outlook(page, response)
            return standardise(gain, page.valid)

    def worth_of(self, items: Tensor) -> Tensor:
        """What buying each of `items` (B, M) is worth in reward units, on top of its click; 0 at padding."""
        last = self.purchase_worth.shape[0] - 1
        return self.purchase_worth[torch.where(items < 0, last, items).long()]

    def page_scores(self, page: PageInputs, gain: Tensor) -> Tensor:
        """Plackett-Luce scores (B, N), `MASKED` at padding."""
        return torch.where(page.valid, self.scorer(page).squeeze(2) + self.gain_scale * gain, MASKED)

    def scores(self, observation: PyTorchObs) -> Tensor:
        """Plackett-Luce scores (B, N) of observation tensors."""
        return self.law_scores(self.page(observation))

    def law_scores(self, page: PageInputs) -> Tensor:
        """Plackett-Luce scores (B, N) of pages whose features are known."""
        return self.page_scores(page, self.expected_gain(page, self.response(page)))

    def slot_values(self, page: PageInputs) -> Tensor:
        """The critic (B, K + 1): expected reward of each position, and of all that follows the page."""
        return self._values_of(self.critic(page))

    def _values_of(self, state: Tensor) -> Tensor:
        values: Tensor = self.value_net(state)
        return torch.cat((values[:, :-1], self._network.value_scale * values[:, -1:]), dim=1)

    def _value(self, page: PageInputs) -> Tensor:
        return self.slot_values(page).sum(1, keepdim=True)

    def act(self, page: PageInputs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Drawn slates (B, K), the critic (B, K + 1), log-probabilities (B, K) of the choices, gains (B, N)."""
        gain = self.expected_gain(page, self.response(page))
        scores = self.page_scores(page, gain)
        slates = self.action_dist.proba_distribution(scores).sample()
        return slates, self.slot_values(page), slot_log_prob(scores, slates), gain

    def judge(self, page: PageInputs, slates: Tensor, gain: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The critic (B, K + 1), its state (B, W), log-probabilities (B, K) of earlier choices, and scores (B, N).

        `gain` is that of `act`: the response model moves on within an update, and probability ratios must not
        tell of that.
        """
        scores, state = self.page_scores(page, gain), self.critic(page)
        return self._values_of(state), state, slot_log_prob(scores, slates), scores

    def forward(self, obs: PyTorchObs, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Slates (B, K), values (B, 1) and log-probabilities (B,)."""
        page = self.page(obs)
        law = self.action_dist.proba_distribution(self.law_scores(page))
        actions = law.get_actions(deterministic=deterministic)
        return actions, self._value(page), law.log_prob(actions)

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values (B, 1), log-probabilities (B,) and entropies (B,) of slates chosen earlier."""
        page = self.page(obs)
        law = self.action_dist.proba_distribution(self.law_scores(page))
        return self._value(page), law.log_prob(actions), law.entropy()

    def get_distribution(self, obs: PyTorchObs) -> Distribution:
        """The law over slates."""
        law: Distribution = self.action_dist.proba_distribution(self.scores(obs))
        return law

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Values (B, 1)."""
        return self._value(self.page(obs))
