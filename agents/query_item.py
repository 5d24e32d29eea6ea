"""What is learned of a query and an item together, where there are few enough pairs to meet each of them often.

Text tells which items answer a query up to a point; beyond it only clicks do. Both modules are for shops whose queries
and candidates come again: a head query's page is shown thousands of times. Where pairs are too many, nothing is kept of
them and features alone have to tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from agents.network_config import NetworkConfig
from agents.page_features import PageFeatures, PageInputs
from agents.ranks import Ranks

if TYPE_CHECKING:
    from agents.response import Response

__all__ = ["PairFactors", "PairTally", "make_factors", "make_tally"]

_SPREAD = 8
"""Cells of a tally for each pair that may turn up: so many that one pair in nine shares its cell with another."""
_STRIDE = 1_000_003
"""A prime: queries' pairs are spread over the cells by it."""


class PairFactors(nn.Module):
    """Trainable vectors of queries and items, whose products are logits (matrix factorisation, Koren et al. 2009).

    Queries start at zero, so that nothing is said before something is learned.

    Args:
        page: The features, for their sizes.
        width: Numbers of an item; a query has as many for each output.
        scale: How much faster they learn than what all pairs share.
        n_outputs: Numbers `M` per pair.
    """

    def __init__(self, page: PageFeatures, width: int, scale: float, *, n_outputs: int) -> None:
        super().__init__()
        self.width, self.n_outputs, self.scale = width, n_outputs, scale
        self.query = nn.Embedding(page.query_vectors.shape[0], width * n_outputs)
        self.item = nn.Embedding(page.item_vectors.shape[0], width)
        nn.init.zeros_(self.query.weight)
        nn.init.normal_(self.item.weight, std=0.5 / scale)

    def forward(self, page: PageInputs) -> Tensor:
        """(B, N, M)."""
        query = torch.where(page.query < 0, self.query.num_embeddings - 1, page.query)
        items = torch.where(page.items < 0, self.item.num_embeddings - 1, page.items)
        weights = self.query(query).view(-1, self.width, self.n_outputs)
        return self.scale**2 * torch.bmm(self.item(items), weights)


class PairTally(nn.Module):
    """Clicks and purchases of each (query, item) pair, counted against what was expected of it.

    The correction of a pair's logit is log((happened + prior) / (expected + prior)): the posterior mean of a rate
    under a Gamma prior around the expectation, the usual empirical-Bayes estimate of click-through rates. It is
    counted, not descended to: no step size, no noise of minibatches. Buffers, saved with the weights; no gradient.

    Args:
        n_cells: Cells; pairs are spread over them by a hash.
        prior: Events that expectation counts for; the higher, the later a pair is believed.
    """

    counts: Tensor
    pending: Tensor

    def __init__(self, n_cells: int, prior: float) -> None:
        super().__init__()
        self.prior = prior
        self.register_buffer("counts", torch.zeros(n_cells, 4))
        self.register_buffer("pending", torch.zeros(n_cells, 4))

    def _cells(self, query: Tensor, items: Tensor) -> Tensor:
        return (query.long().unsqueeze(1) * _STRIDE + items.long()) % self.counts.shape[0]

    @torch.no_grad()
    def forward(self, query: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Corrections (B, N) of the logits of a click, and of a purchase given a click, of `items` (B, N)."""
        return self._corrections(self._cells(query, items))

    def _corrections(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        logs = torch.log(self.counts[cells] + self.prior)  # (B, N, 4)
        return logs[..., 0] - logs[..., 1], logs[..., 2] - logs[..., 3]

    @torch.no_grad()
    def count(self, page: PageInputs, response: Response, click: Tensor, purchase: Tensor) -> None:
        """Count the feedback (B, K) on pages whose candidates are what was shown; believed from `settle` on.

        Called before the next `settle`, so that `response` was foretold with the corrections of now.

        Args:
            page: The pages, (B, K) candidates in slate order.
            response: What was expected of them, corrections included.
            click: 0 or 1.
            purchase: 0 or 1.
        """
        cells = self._cells(page.query, page.items)
        corrected, conversion = self._corrections(cells)
        clicked = torch.sigmoid(response.attraction - corrected + response.position)
        bought = click * torch.sigmoid(response.conversion - conversion)
        events = torch.stack((click, clicked, purchase, bought), dim=2) * page.valid.unsqueeze(2)
        self.pending.index_add_(0, cells.flatten(), events.flatten(0, 1))

    def settle(self, ranks: Ranks) -> None:
        """Believe what was counted since the last time, by all ranks together."""
        self.counts += ranks.total(self.pending)
        self.pending.zero_()


def _few_pairs(page: PageFeatures, config: NetworkConfig) -> bool:
    return (page.query_vectors.shape[0] - 1) * page.n_candidates <= config.pair_limit


def make_factors(page: PageFeatures, config: NetworkConfig, *, n_outputs: int) -> PairFactors | None:
    """Factors of the pairs; None where they are switched off or pairs or items are too many."""
    if (
        config.pair_traits == 0
        or page.item_vectors.shape[0] > config.item_limit
        or not _few_pairs(page, config)
    ):
        return None
    return PairFactors(page, config.pair_traits, config.item_scale, n_outputs=n_outputs)


def make_tally(page: PageFeatures, config: NetworkConfig) -> PairTally | None:
    """A tally of the pairs; None where it is switched off or they are too many."""
    if config.pair_prior == 0 or not _few_pairs(page, config):
        return None
    n_cells = _SPREAD * max(1, page.query_vectors.shape[0] - 1) * page.n_candidates
    return PairTally(n_cells | 1, config.pair_prior)
