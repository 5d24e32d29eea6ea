"""What both learners see and share: tables beside the policy, features of a page, and small networks over them.

Features are functions of the observation and of fixed tables only, so they carry no gradient; what is learned is
small and reads a few dozen numbers per candidate. Tables are non-persistent buffers: a checkpoint holds weights,
never the catalogue, and Polyak averaging leaves them alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from agents.network_config import NetworkConfig
from encoders.features import FeatureTables

__all__ = ["CandidateScorer", "PageFeatures", "PageInputs", "SessionEncoder", "standardise"]

_DENSE_LIMIT = 16_000_000
_CATEGORY_BINS = 512
_STATE_PARTS = 4  # query, clicked mean, last page's clicked mean, last page's skipped mean


class PageInputs(NamedTuple):
    """The features of a batch of pages; no gradient flows into them."""

    state: Tensor  # (B, S) session, query and a summary of the candidates
    candidates: Tensor  # (B, N, C) features of each candidate
    vectors: Tensor  # (B, N, D) candidate vectors, zeros at padding
    logit: Tensor  # (B, N) logit of the candidate's score (a click probability)
    purchase_logit: Tensor  # (B, N) the relevance model's logit of a purchase given a click
    valid: Tensor  # (B, N) bool, False at padding


def _with_zero_row(table: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.concatenate([table, np.zeros((1, table.shape[1]), np.float32)]))


def _rows(table: Tensor, ids: Tensor) -> Tensor:
    """Rows of a table whose last row is selected by -1 (embedding look-ups refuse negative ids)."""
    return functional.embedding(torch.where(ids < 0, table.shape[0] - 1, ids), table)


def _mean(vectors: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of `vectors` (B, M, D) by `weight` (B, M); zeros where all weights are zero."""
    total = torch.bmm(weight.unsqueeze(1), vectors).squeeze(1)  # (B, D)
    return total / weight.sum(1, keepdim=True).clamp_min(1.0)


def standardise(values: Tensor, valid: Tensor) -> Tensor:
    """`values` (B, N) less their mean over their spread among the page's candidates; zeros at padding."""
    count = valid.sum(1, keepdim=True).clamp_min(1)
    centred = torch.where(valid, values - (values * valid).sum(1, keepdim=True) / count, 0.0)
    return centred / (centred.square().sum(1, keepdim=True) / count).sqrt().clamp_min(0.1)


class PageFeatures(nn.Module):
    """Observation tensors -> `PageInputs`, from the public tables alone.

    Args:
        features: The public tables.
        n_candidates: Candidates `N` on a page.
        slate_size: Positions `K`.
        context_size: Width of the observed user context.
    """

    item_vectors: Tensor
    query_vectors: Tensor
    item_numeric: Tensor
    item_category: Tensor
    purchase_logit: Tensor
    relevance_item: Tensor
    relevance_query: Tensor

    def __init__(
        self, features: FeatureTables, *, n_candidates: int, slate_size: int, context_size: int
    ) -> None:
        super().__init__()
        self.n_candidates = n_candidates
        self.slate_size = slate_size

        def table(name: str, values: Tensor) -> None:
            self.register_buffer(name, values.clone(), persistent=False)

        table("item_vectors", _with_zero_row(features.item_vectors))
        table("query_vectors", _with_zero_row(features.query_vectors))
        table("item_numeric", _with_zero_row(features.item_numeric))
        # Category codes share bins where there are very many of them; padding has the last bin to itself.
        self.n_bins = min(features.n_categories, _CATEGORY_BINS) + 1
        bins = features.item_category.astype(np.int64) % (self.n_bins - 1)
        table("item_category", torch.from_numpy(np.append(bins, self.n_bins - 1)))
        relevance = features.relevance
        self.purchase_bias = float(relevance.purchase_bias)
        # A dense table saves a wide gather per candidate where the catalogue is small enough to afford it.
        self.dense_purchase = (features.n_items + 1) * (features.n_queries + 1) <= _DENSE_LIMIT
        if self.dense_purchase:
            dense = np.zeros((features.n_queries + 1, features.n_items + 1), np.float32)
            dense[:-1, :-1] = relevance.purchase_query @ relevance.item.T
            table("purchase_logit", torch.from_numpy(dense))
        else:
            table("relevance_item", _with_zero_row(relevance.item))
            table("relevance_query", _with_zero_row(relevance.purchase_query))
        self.vector_size = int(features.item_vectors.shape[1])
        self.candidate_size = 13 + _STATE_PARTS + int(features.item_numeric.shape[1])
        self.state_size = (
            _STATE_PARTS * self.vector_size + context_size + 4 + 2 * slate_size + 1 + 2 * self.candidate_size
        )

    @torch.no_grad()
    def forward(self, observation: Mapping[str, Tensor]) -> PageInputs:
        """Features of `B` pages; observations may be float (as SB3 makes them) or integer."""
        query = observation["query"].int().squeeze(1)  # (B,)
        items = observation["candidates"].int()  # (B, N)
        clicked_ids = observation["clicked"].int()  # (B, H)
        slate = observation["last_slate"].int()  # (B, K)
        click, purchase = observation["last_click"].float(), observation["last_purchase"].float()  # (B, K)
        seen = observation["seen"].float()  # (B, N)
        valid = items >= 0
        shown, clicked = (slate >= 0).float(), (clicked_ids >= 0).float()
        skipped = shown * (1.0 - click)

        slate_vectors = _rows(self.item_vectors, slate)  # (B, K, D)
        parts = torch.stack(
            (
                _rows(self.query_vectors, query),
                _mean(_rows(self.item_vectors, clicked_ids), clicked),
                _mean(slate_vectors, click),
                _mean(slate_vectors, skipped),
            ),
            dim=2,
        )  # (B, D, P)
        vectors = _rows(self.item_vectors, items)  # (B, N, D)
        cosines = torch.bmm(vectors, parts)  # (B, N, P); means of unit vectors, so at most 1

        logit = torch.logit(observation["scores"].float().clamp(1e-4, 1 - 1e-4))  # (B, N)

        category = self._category(items)  # (B, N)
        slate_category = self._category(slate)  # (B, K)
        same_item = (items.unsqueeze(2) == slate.unsqueeze(1)).float()  # (B, N, K)
        buy = self._purchase(query, items)
        rank = torch.arange(items.shape[1], device=items.device, dtype=torch.float32) / items.shape[1]
        columns = torch.stack(
            (
                standardise(logit, valid),
                logit / 3.0,
                rank.expand_as(logit),
                buy / 3.0,
                torch.sigmoid(buy) * torch.sigmoid(logit) * 10.0,
                torch.log1p(seen),
                (seen > 0).float(),
                (items.unsqueeze(2) == clicked_ids.unsqueeze(1)).any(2).float(),
                torch.bmm(same_item, skipped.unsqueeze(2)).squeeze(2),
                self._tally(category, slate_category, skipped) / self.slate_size,
                self._tally(category, slate_category, click) / 2.0,
                self._tally(category, self._category(clicked_ids), clicked) / 4.0,
                torch.log1p(self._tally(category, category, seen)) / 2.0,
            ),
            dim=2,
        )
        candidates = torch.cat((columns, cosines, _rows(self.item_numeric, items)), dim=2)  # (B, N, C)
        candidates = torch.where(valid.unsqueeze(2), candidates, 0.0)
        top = candidates[:, : self.slate_size].mean(1)  # the page that relevance alone would show
        mean = candidates.sum(1) / valid.sum(1, keepdim=True).clamp_min(1)
        state = torch.cat(
            (
                parts.flatten(1),
                observation["context"].float(),
                observation["progress"].float(),
                click,
                purchase,
                clicked.sum(1, keepdim=True) / 5.0,
                top,
                mean,
            ),
            dim=1,
        )  # (B, S)
        return PageInputs(state, candidates, vectors, logit, buy, valid)

    def _category(self, items: Tensor) -> Tensor:
        return self.item_category[torch.where(items < 0, self.item_category.shape[0] - 1, items).long()]

    def _tally(self, asked: Tensor, category: Tensor, weight: Tensor) -> Tensor:
        """Summed `weight` (B, M) of the entries whose `category` (B, M) is the one `asked` for (B, N)."""
        counts = torch.zeros((asked.shape[0], self.n_bins), device=asked.device)
        return counts.scatter_add_(1, category, weight).gather(1, asked)

    def _purchase(self, query: Tensor, items: Tensor) -> Tensor:
        """Purchase logit given a click, (B, N)."""
        if self.dense_purchase:
            width = self.purchase_logit.shape[1]
            row = torch.where(query < 0, self.purchase_logit.shape[0] - 1, query).long().unsqueeze(1)
            column = torch.where(items < 0, width - 1, items).long()
            logit = self.purchase_logit.view(-1)[row * width + column]
        else:
            table = _rows(self.relevance_query, query).unsqueeze(2)  # (B, R, 1)
            logit = torch.bmm(_rows(self.relevance_item, items), table).squeeze(2)
        return (logit + self.purchase_bias).clamp(-6.0, 6.0)


class SessionEncoder(nn.Module):
    """What is known of a session, as `config.state_width` numbers: two hidden layers over its features.

    Args:
        page: The features, for their sizes.
        config: Sizes.
    """

    def __init__(self, page: PageFeatures, config: NetworkConfig) -> None:
        super().__init__()
        n_inputs, width = page.state_size, config.state_width
        self.layers = nn.Sequential(
            nn.LayerNorm(n_inputs), nn.Linear(n_inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.orthogonal_(layer.weight, math.sqrt(2.0))
                nn.init.zeros_(layer.bias)

    def forward(self, page: PageInputs) -> Tensor:
        """(B, W)."""
        result: Tensor = self.layers(page.state)
        return result


class CandidateScorer(nn.Module):
    """`M` numbers per candidate: a small network on its features and the state, plus linear paths.

    `out = c . relu(A x_i + B z) + (w + W z) . x_i + v_i . P z`, all of which start at zero.

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
        self.taste = nn.Linear(hidden, page.vector_size * n_outputs, bias=False)
        for layer in (self.head, self.weights, self.taste):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.head.bias)
        nn.init.zeros_(self.weights.bias)

    def forward(self, page: PageInputs) -> Tensor:
        """(B, N, M)."""
        state = self.encode(page)  # (B, W)
        hidden = torch.relu(self.candidate(page.candidates) + self.shift(state).unsqueeze(1))  # (B, N, V)
        weights = self.weights(state).view(-1, page.candidates.shape[2], self.n_outputs)  # (B, C, M)
        taste = self.taste(state).view(-1, page.vectors.shape[2], self.n_outputs)  # (B, D, M)
        linear = torch.bmm(page.candidates, weights) + torch.bmm(page.vectors, taste)
        result: Tensor = self.head(hidden) + linear
        return result
