"""What a page's items change about all that follows: a regression that learns beside a learner.

A critic says what a session is still worth; policy gradients find out, slowly, which items raise or lower that. This
model asks the same of the critic's own errors: what follows a page, less what the critic expected, is explained by the
items shown, clicked and bought on it,

    future - V_future(s) = bias(s) + sum_k [ u(s, i_k) + click_k (c(s, i_k) + purchase_k d(s, i_k)) ] + noise,

the additive decomposition of SlateQ (Ie et al. 2019) as an advantage on policy. Knowing the clicks takes their
chance out of the regression; the response model puts their expectation back when candidates are compared.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agents.network_config import NetworkConfig
from agents.networks import CandidateScorer, PageFeatures, PageInputs
from agents.response import Response

__all__ = ["Outlook"]


class Outlook(nn.Module):
    """Later worth of candidates; zero until something is learned.

    Args:
        page: The features, for their sizes.
        config: Sizes.
    """

    def __init__(self, page: PageFeatures, config: NetworkConfig) -> None:
        super().__init__()
        self.scorer = CandidateScorer(page, config, n_outputs=3)
        self.bias = nn.Linear(config.state_width, 1)
        nn.init.zeros_(self.bias.weight)
        nn.init.zeros_(self.bias.bias)

    def forward(self, page: PageInputs, response: Response) -> Tensor:
        """What each candidate is expected to add to what follows the page, (B, N)."""
        shown, clicked, bought = self.scorer(page).unbind(2)
        worth: Tensor = shown + response.click_probability() * (
            clicked + torch.sigmoid(response.conversion) * bought
        )
        return worth

    def realised(self, page: PageInputs, state: Tensor, click: Tensor, purchase: Tensor) -> Tensor:
        """What the shown items, the only candidates of `page`, and the feedback (B, K) foretell of the rest, (B,)."""
        shown, clicked, bought = self.scorer(page).unbind(2)  # (B, K) each
        each = shown + click * clicked + purchase * bought
        result: Tensor = self.bias(state).squeeze(1) + each.sum(1)
        return result
