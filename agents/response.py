"""A click and purchase model that learns beside a learner from the feedback of every position shown."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.network_config import NetworkConfig
from agents.networks import CandidateScorer, PageFeatures, PageInputs
from agents.query_item import make_factors

__all__ = ["Response", "ResponseModel"]


class Response(NamedTuple):
    """How users are expected to respond to a batch of pages."""

    attraction: Tensor  # (B, N) click logit but for the position
    conversion: Tensor  # (B, N) logit of a purchase given a click
    position: Tensor  # (K,) what a position adds to the click logit

    def click_probability(self) -> Tensor:
        """Click probability (B, N) of a candidate placed at random."""
        return torch.sigmoid(self.attraction.unsqueeze(2) + self.position).mean(2)

    def slate_click_probability(self, slates: Tensor) -> Tensor:
        """Click probabilities (B, K) of slates (B, K)."""
        return torch.sigmoid(self.attraction.gather(1, slates) + self.position)

    def loss(self, slates: Tensor, click: Tensor, purchase: Tensor) -> tuple[Tensor, Tensor]:
        """Mean log losses of the clicks (B, K) on shown items, and of the purchases on clicked ones."""
        logit = self.attraction.gather(1, slates) + self.position
        clicks = functional.binary_cross_entropy_with_logits(logit, click)
        conversion = self.conversion.gather(1, slates)
        each = functional.binary_cross_entropy_with_logits(conversion, purchase, reduction="none")
        return clicks, (each * click).sum() / click.sum().clamp_min(1.0)


class ResponseModel(nn.Module):
    """Starts as the relevance model says, and learns what it does not know: taste, boredom, position, pairs.

    Args:
        page: The features, for their sizes.
        config: Sizes.
        slate_size: Positions `K`.
    """

    def __init__(self, page: PageFeatures, config: NetworkConfig, *, slate_size: int) -> None:
        super().__init__()
        self.scorer = CandidateScorer(page, config, n_outputs=2)
        self.position = nn.Parameter(torch.zeros(slate_size))
        self.factors = make_factors(page, config, n_outputs=2)

    def forward(self, page: PageInputs) -> Response:
        """The expected response to `B` pages."""
        found = self.scorer(page)
        if self.factors is not None:
            found = found + self.factors(page)
        attraction, conversion = found.unbind(2)
        return Response(attraction + page.logit, conversion + page.purchase_logit, self.position)
