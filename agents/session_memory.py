"""Learned readings of the pages that an observation remembers: a GRU over pages, a transformer over items.

The fixed sums of `agents.page_features` already say how much of what was shown, clicked and bought; these add what
depends on order and on the meeting of items. Both see ids only through the frozen item table.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.network_config import NetworkConfig
from agents.page_features import PageFeatures, PageInputs

__all__ = ["GruMemory", "TraitMemory", "TransformerMemory", "make_memory", "make_traits"]


class GruMemory(nn.Module):
    """A gated recurrent unit over the remembered pages, oldest first (Cho et al. 2014; GRU4Rec, Hidasi et al. 2016).

    A page is the sums of the vectors of what was looked at, clicked and bought on it, with their counts.

    Args:
        page: The features, for their sizes.
        width: Numbers that come out.
    """

    def __init__(self, page: PageFeatures, width: int) -> None:
        super().__init__()
        self.width, self.pages, self.slots = width, page.memory, page.slate_size
        self.register_buffer("look", page.look[: page.slate_size].clone(), persistent=False)
        self.inputs = nn.Linear(3 * (page.vector_size + 1), width)
        self.cell = nn.GRU(width, width, batch_first=True)

    look: Tensor

    def forward(self, page: PageInputs) -> Tensor:
        """(B, W); zeros before the first page."""
        B = page.recent.shape[0]
        shape = (B * self.pages, self.slots)
        vectors = page.recent_vectors.view(*shape, -1)  # (B P, K, D)
        ones = (page.recent >= 0).view(*shape, 1).to(vectors.dtype)
        vectors = torch.cat((vectors, ones), dim=2)  # a sum of ones is a count
        feedback = page.feedback.view(shape)
        weights = torch.stack(
            (self.look.expand(shape), (feedback > 0).to(vectors.dtype), (feedback > 1).to(vectors.dtype)),
            dim=1,
        )  # (B P, 3, K)
        told = torch.bmm(weights, vectors).view(B, self.pages, -1)
        shown = page.recent.view(B, self.pages, self.slots)[:, :, :1] >= 0  # (B, P, 1)
        # Newest comes first in the observation, and padding last: turned round, sessions start with nothing.
        inputs = torch.where(shown, torch.tanh(self.inputs(told)), 0.0).flip(1)
        state = torch.zeros((1, B, self.width), dtype=inputs.dtype, device=inputs.device)
        states: Tensor = self.cell(inputs, state)[0]
        return torch.where(shown[:, 0], states[:, -1], 0.0)


class TransformerMemory(nn.Module):
    """One block of self-attention over the remembered items, read out by one learned question.

    After Vaswani et al. 2017 and SASRec (Kang & McAuley 2018); position on the page, age of the page and feedback are
    learned embeddings.

    Args:
        page: The features, for their sizes.
        width: Numbers that come out, even.
    """

    def __init__(self, page: PageFeatures, width: int) -> None:
        super().__init__()
        self.width, self.heads = width, 2
        slot = torch.arange(page.memory * page.slate_size)
        self.register_buffer("place", slot % page.slate_size, persistent=False)
        self.register_buffer("age", slot // page.slate_size, persistent=False)
        self.token = nn.Linear(page.vector_size, width)
        self.place_code = nn.Embedding(page.slate_size, width)
        self.age_code = nn.Embedding(page.memory, width)
        self.feedback_code = nn.Embedding(3, width)
        self.question = nn.Parameter(torch.randn(1, 1, width) / width**0.5)
        self.first = nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.second = nn.LayerNorm(width)
        self.dense = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    place: Tensor
    age: Tensor

    def forward(self, page: PageInputs) -> Tensor:
        """(B, W)."""
        B = page.recent.shape[0]
        tokens = (
            self.token(page.recent_vectors)
            + self.place_code(self.place)
            + self.age_code(self.age)
            + self.feedback_code(page.feedback.long())
        )  # (B, M, W)
        tokens = torch.cat((self.question.expand(B, 1, -1), tokens), dim=1)
        told = (
            torch.cat((page.recent.new_ones((B, 1)), page.recent), dim=1) >= 0
        )  # the question is always there
        query, key, value = (
            part.view(B, -1, self.heads, self.width // self.heads).transpose(1, 2)
            for part in self.mix(self.first(tokens)).chunk(3, dim=2)
        )
        # Only the question's answer is read: attention is needed for that one row.
        answer = functional.scaled_dot_product_attention(
            query[:, :, :1], key, value, attn_mask=told[:, None, None, :]
        )
        read = tokens[:, 0] + answer.transpose(1, 2).reshape(B, self.width)
        result: Tensor = read + self.dense(self.second(read))
        return result


class TraitMemory(nn.Module):
    """What a session has left behind, by traits that are learned of every item.

    What a click does to a user (a delight, a disappointment) may depend on what no public feature tells of an item.
    Each item has a few trainable numbers; their fading sums over what was clicked and shown are part of the session.

    Args:
        page: The features, for their sizes.
        n_traits: Numbers of an item.
        scale: How much faster they learn than what items share.
    """

    def __init__(self, page: PageFeatures, n_traits: int, scale: float) -> None:
        super().__init__()
        self.width, self.scale = 4 * n_traits, scale
        self.table = nn.Embedding(page.item_vectors.shape[0], n_traits)
        nn.init.normal_(self.table.weight, std=0.1 / scale)
        self.register_buffer("look", page.look.clone(), persistent=False)
        self.register_buffer("fading", page.fading.clone(), persistent=False)

    look: Tensor
    fading: Tensor

    def forward(self, page: PageInputs) -> Tensor:
        """(B, W)."""
        there = (page.recent >= 0).to(self.look.dtype)
        traits = self.table(torch.where(page.recent < 0, self.table.num_embeddings - 1, page.recent))
        clicked = (page.feedback > 0).to(self.look.dtype)
        weights = torch.stack(
            (
                clicked * self.fading[0],
                clicked * self.fading[1],
                clicked * self.fading[2],
                there * self.look * self.fading[1],
            ),
            dim=1,
        )  # (B, 4, M)
        return self.scale * torch.bmm(weights, traits).flatten(1)


def make_traits(page: PageFeatures, config: NetworkConfig) -> TraitMemory | None:
    """Trainable traits of the remembered items; None where nothing is remembered, or the catalogue is large."""
    if page.memory == 0 or config.item_traits == 0 or page.item_vectors.shape[0] > config.item_limit:
        return None
    return TraitMemory(page, config.item_traits, config.item_scale)


def make_memory(page: PageFeatures, config: NetworkConfig) -> GruMemory | TransformerMemory | None:
    """The configured reading of the remembered pages; None where there is none, or nothing is remembered."""
    if config.memory_encoder == "sums" or page.memory == 0:
        return None
    kind = GruMemory if config.memory_encoder == "gru" else TransformerMemory
    return kind(page, config.memory_width)
