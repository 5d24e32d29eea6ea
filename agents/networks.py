"""The networks that all learners share: what is known of a session, and numbers for each candidate.

What is learned is small: it reads a few dozen features per candidate (`agents.page_features`) and the vectors of
the frozen tables, and meets a session through one encoder.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from agents.network_config import NetworkConfig
from agents.page_features import PageFeatures, PageInputs, standardise
from agents.session_memory import make_memory, make_traits

__all__ = ["CandidateScorer", "PageFeatures", "PageInputs", "SessionEncoder", "standardise"]


class SessionEncoder(nn.Module):
    """What is known of a session, as `config.state_width` numbers.

    Two hidden layers over the session's features and, where the configuration asks for one and the observation
    remembers pages, a learned reading of those pages (`agents.session_memory`).

    Args:
        page: The features, for their sizes.
        config: Sizes.
    """

    def __init__(self, page: PageFeatures, config: NetworkConfig) -> None:
        super().__init__()
        self.memory = make_memory(page, config)
        self.traits = make_traits(page, config)
        n_inputs = page.state_size + sum(
            part.width for part in (self.memory, self.traits) if part is not None
        )
        width = config.state_width
        self.layers = nn.Sequential(
            nn.LayerNorm(n_inputs), nn.Linear(n_inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.orthogonal_(layer.weight, math.sqrt(2.0))
                nn.init.zeros_(layer.bias)

    def forward(self, page: PageInputs) -> Tensor:
        """(B, W)."""
        state = page.state
        if self.memory is not None:
            state = torch.cat((state, self.memory(page)), dim=1)
        if self.traits is not None:
            state = torch.cat((state, self.traits(page)), dim=1)
        result: Tensor = self.layers(state)
        return result


class CandidateScorer(nn.Module):
    """`M` numbers per candidate: a small network on its features and the state, plus linear paths.

    `out = c . relu(A x_i + B z) + (w + W z) . x_i + v_i . P z`, all of which start at zero. `P z` is the session's
    query vector, met by the candidates' vectors as they stand in the frozen table, or by a trainable projection of
    them (`NetworkConfig.item_width`).

    Args:
        page: The features, for their sizes.
        config: Sizes.
        n_outputs: Numbers `M` per candidate.
    """

    def __init__(self, page: PageFeatures, config: NetworkConfig, *, n_outputs: int) -> None:
        super().__init__()
        self.n_outputs, self.width = n_outputs, config.candidate_width
        hidden, features = config.state_width, page.candidate_size
        self.encode = SessionEncoder(page, config)
        self.candidate = nn.Linear(features, config.candidate_width, bias=False)
        self.shift = nn.Linear(hidden, config.candidate_width)
        self.head = nn.Linear(config.candidate_width, n_outputs)
        self.weights = nn.Linear(hidden, features * n_outputs)
        self.project = nn.Linear(page.vector_size, config.item_width) if config.item_width else None
        self.taste = nn.Linear(hidden, (config.item_width or page.vector_size) * n_outputs, bias=False)
        self.item_bias = self.item_code = None
        self.item_scale = config.item_scale
        if page.item_vectors.shape[0] <= config.item_limit:
            self.item_bias = nn.Embedding(page.item_vectors.shape[0], n_outputs)
            self.item_code = nn.Embedding(page.item_vectors.shape[0], config.candidate_width)
            nn.init.zeros_(self.item_bias.weight)
            nn.init.zeros_(self.item_code.weight)
        for layer in (self.head, self.weights, self.taste):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.head.bias)
        nn.init.zeros_(self.weights.bias)

    def forward(self, page: PageInputs) -> Tensor:
        """(B, N, M)."""
        state = self.encode(page)  # (B, W)
        hidden = self.candidate(page.candidates) + self.shift(state).unsqueeze(1)  # (B, N, V)
        if self.item_code is not None:
            ids = torch.where(page.items < 0, self.item_code.num_embeddings - 1, page.items)
            hidden = hidden + self.item_scale * self.item_code(ids)
        hidden = torch.relu(hidden)
        weights = self.weights(state).view(-1, page.candidates.shape[2], self.n_outputs)  # (B, C, M)
        vectors = page.vectors if self.project is None else torch.tanh(self.project(page.vectors))
        taste = self.taste(state).view(-1, vectors.shape[2], self.n_outputs)  # (B, D, M)
        linear = torch.bmm(page.candidates, weights) + torch.bmm(vectors, taste)
        result: Tensor = self.head(hidden) + linear
        if self.item_bias is not None:
            result = result + self.item_scale * self.item_bias(ids)
        return result
