"""What a learner sees of a page: features of the session and of each candidate, from public tables alone.

They are functions of the observation and of fixed tables, so they carry no gradient and are computed once per page,
however often the page is learned from. Tables are non-persistent buffers: a checkpoint holds weights, never the
catalogue, and Polyak averaging leaves them alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoders.features import FeatureTables
from envs.world import RewardMix

if TYPE_CHECKING:
    from agents.query_item import PairTally

__all__ = ["PageFeatures", "PageInputs", "purchase_worth", "rows", "standardise"]

_DENSE_LIMIT = 16_000_000
_CATEGORY_BINS = 512
_STATE_PARTS = 4  # query, clicked mean, last page's clicked mean, last page's skipped mean
_MEMORY_PARTS = 4  # sums over the remembered pages: clicked, skipped, shown lately, bought
_MEMORY_COLUMNS = (
    6  # of a candidate: its category's showings (three rates of fading), clicks (two), purchases
)
_MEMORY_TOTALS = 6
_FADING = (1.0, 0.8, 0.5)  # how much of a showing is left after each further page
_LOOK_DECAY = 0.7  # a position k is looked at about (k + 1)^-0.7 as often as the first


class PageInputs(NamedTuple):
    """The features of a batch of pages; no gradient flows into them."""

    state: Tensor  # (B, S) session, query and a summary of the candidates
    candidates: Tensor  # (B, N, C) features of each candidate
    items: Tensor  # (B, N) int32 catalogue rows, -1 at padding
    vectors: Tensor  # (B, N, D) candidate vectors, zeros at padding
    logit: Tensor  # (B, N) logit of the candidate's score (a click probability)
    purchase_logit: Tensor  # (B, N) the relevance model's logit of a purchase given a click
    valid: Tensor  # (B, N) bool, False at padding
    recent: Tensor  # (B, M) int32 items of the remembered pages, -1 at padding
    feedback: Tensor  # (B, M) what users did with them: 0 nothing, 1 clicked, 2 bought
    recent_vectors: Tensor  # (B, M, D) their vectors, zeros at padding
    query: Tensor  # (B,) int32 row of the query table, -1 for none

    def shown(self, slates: Tensor) -> PageInputs:
        """The same pages with the items of `slates` (B, K) as their only candidates, in slate order."""
        wide = slates.unsqueeze(2)

        def pick(table: Tensor) -> Tensor:
            return table.gather(1, wide.expand(-1, -1, table.shape[2]))

        return self._replace(
            candidates=pick(self.candidates),
            vectors=pick(self.vectors),
            items=self.items.gather(1, slates),
            logit=self.logit.gather(1, slates),
            purchase_logit=self.purchase_logit.gather(1, slates),
            valid=self.valid.gather(1, slates),
        )


def purchase_worth(features: FeatureTables, reward: RewardMix) -> NDArray[np.float32]:
    """(I,) what buying each item adds to the reward of its position; unknown prices and margins add nothing."""
    worth = np.full(features.n_items, reward.purchase, np.float64)
    price = np.nan_to_num(features.price.astype(np.float64), nan=0.0)
    worth += reward.revenue * price
    if features.margin is not None:
        worth += reward.margin * price * np.nan_to_num(features.margin.astype(np.float64), nan=0.0)
    return worth.astype(np.float32)


def _with_zero_row(table: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.concatenate([table, np.zeros((1, table.shape[1]), np.float32)]))


def rows(table: Tensor, ids: Tensor) -> Tensor:
    """Rows of a table whose last row is selected by -1 (embedding look-ups refuse negative ids)."""
    return functional.embedding(torch.where(ids < 0, table.shape[0] - 1, ids), table)


def _mean(vectors: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of `vectors` (B, M, D) by `weight` (B, M); zeros where all weights are zero."""
    total = torch.bmm(weight.unsqueeze(1), vectors).squeeze(1)  # (B, D)
    return total / weight.sum(1, keepdim=True).clamp_min(1.0)


def _evidence(vectors: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum of `vectors` (B, M, D) over the root of one and the summed weights: grows with what is known."""
    total = torch.bmm(weight.unsqueeze(1), vectors).squeeze(1)  # (B, D)
    return total / (1.0 + weight.sum(1, keepdim=True)).sqrt()


def _first_mean(values: Tensor, valid: Tensor, k: int) -> Tensor:
    """Mean (B, C) of the first `k` valid rows of `values` (B, N, C), zeros at padding; of fewer where there are fewer.

    Padding mostly stands last, and the mean of a slice is then ten times as quick as a weighted one: the CPU looks
    whether that is so. Elsewhere to look would be to wait. A page's mean is the same either way.
    """
    full = valid[:, :k].all(1, keepdim=True)  # (B, 1)
    plain = values[:, :k].mean(1)
    if full.device.type == "cpu" and bool(full.all()):
        return plain
    first = (valid & (valid.cumsum(1) <= k)).to(values.dtype)  # (B, N)
    return torch.where(full, plain, _mean(values, first))


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
        memory: Pages that the observation remembers (`TaskConfig.memory`).
    """

    item_vectors: Tensor
    query_vectors: Tensor
    item_numeric: Tensor
    item_category: Tensor
    purchase_logit: Tensor
    relevance_item: Tensor
    relevance_query: Tensor
    look: Tensor
    fading: Tensor

    def __init__(
        self,
        features: FeatureTables,
        *,
        n_candidates: int,
        slate_size: int,
        context_size: int,
        memory: int = 0,
    ) -> None:
        super().__init__()
        self.n_candidates = n_candidates
        self.slate_size = slate_size
        self.memory = memory
        self.tally: PairTally | None = None  # what was counted of pairs corrects what relevance says of them

        def table(name: str, values: Tensor) -> None:
            self.register_buffer(name, values.clone(), persistent=False)

        table("item_vectors", _with_zero_row(features.item_vectors))
        table("query_vectors", _with_zero_row(features.query_vectors))
        table("item_numeric", _with_zero_row(features.item_numeric))
        # Category codes share bins where there are very many of them; padding has the last bin to itself.
        self.n_bins = max(1, min(features.n_categories, _CATEGORY_BINS)) + 1
        if features.n_categories > 0:
            bins = features.item_category.astype(np.int64) % (self.n_bins - 1)
        else:  # without categories all items are of one kind
            bins = np.zeros(features.n_items, np.int64)
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
        slot = torch.arange(memory * slate_size)
        table("look", (slot % slate_size + 1.0) ** -_LOOK_DECAY)  # (M,)
        age = slot // slate_size
        table("fading", torch.stack([torch.tensor(rate) ** age for rate in _FADING]))  # (3, M)
        self.vector_size = int(features.item_vectors.shape[1])
        parts = _STATE_PARTS + (_MEMORY_PARTS if memory else 0)
        self.candidate_size = 13 + parts + int(features.item_numeric.shape[1])
        self.state_size = parts * self.vector_size + context_size + 4 + 2 * slate_size + 1
        if memory:
            self.candidate_size += _MEMORY_COLUMNS
            self.state_size += _MEMORY_TOTALS
        self.state_size += 2 * self.candidate_size

    @classmethod
    def for_spaces(
        cls, features: FeatureTables, observations: spaces.Dict, actions: spaces.MultiDiscrete
    ) -> PageFeatures:
        """The features of an environment with these spaces."""
        slate_size = len(actions.nvec)
        sizes = {name: int(space.shape[0]) for name, space in observations.spaces.items() if space.shape}
        return cls(
            features,
            n_candidates=int(actions.nvec[0]),
            slate_size=slate_size,
            context_size=sizes["context"],
            memory=sizes.get("recent_items", 0) // slate_size,
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

        slate_vectors = rows(self.item_vectors, slate)  # (B, K, D)
        known = [
            rows(self.query_vectors, query),
            _mean(rows(self.item_vectors, clicked_ids), clicked),
            _mean(slate_vectors, click),
            _mean(slate_vectors, skipped),
        ]  # P times (B, D)
        category = self._category(items)  # (B, N)
        slate_category = self._category(slate)  # (B, K)
        tallies: list[Tensor] = []
        totals: list[Tensor] = []
        if self.memory:
            recent, feedback = observation["recent_items"].int(), observation["recent_feedback"].float()
            recent_vectors = rows(self.item_vectors, recent)  # (B, M, D)
            looked = (recent >= 0).float() * self.look  # (B, M)
            lately, hit, bought = looked * self.fading[1], (feedback > 0).float(), (feedback > 1).float()
            known += [_evidence(recent_vectors, w) for w in (hit, looked * (1.0 - hit), lately, bought)]
            tallies, totals = self._counted(category, recent, looked, lately, hit, bought)
        else:
            recent, feedback = items[:, :0], seen[:, :0]
            recent_vectors = slate_vectors[:, :0]
        parts = torch.stack(known, dim=2)  # (B, D, P)
        vectors = rows(self.item_vectors, items)  # (B, N, D)
        cosines = torch.bmm(vectors, parts)  # (B, N, P)

        logit = torch.logit(observation["scores"].float().clamp(1e-4, 1 - 1e-4))  # (B, N)
        buy = self._purchase(query, items)
        if self.tally is not None:
            click_counted, purchase_counted = self.tally(query, items)
            logit, buy = logit + click_counted, buy + purchase_counted
        same_item = (items.unsqueeze(2) == slate.unsqueeze(1)).float()  # (B, N, K)
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
                *tallies,
            ),
            dim=2,
        )
        candidates = torch.cat((columns, cosines, rows(self.item_numeric, items)), dim=2)  # (B, N, C)
        candidates = torch.where(valid.unsqueeze(2), candidates, 0.0)
        top = _first_mean(candidates, valid, self.slate_size)  # the page that relevance alone would show
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
                *totals,
            ),
            dim=1,
        )  # (B, S)
        return PageInputs(
            state, candidates, items, vectors, logit, buy, valid, recent, feedback, recent_vectors, query
        )

    def with_vectors(self, page: PageInputs) -> PageInputs:
        """`page` with its vectors looked up again: they need not be kept."""
        return page._replace(
            vectors=rows(self.item_vectors, page.items), recent_vectors=rows(self.item_vectors, page.recent)
        )

    def _counted(
        self,
        category: Tensor,
        recent: Tensor,
        looked: Tensor,
        lately: Tensor,
        clicked: Tensor,
        bought: Tensor,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Summed weights (B, M) of remembered items: by the category of each candidate (B, N), and in all (B, 1)."""
        fading = self.fading
        of = self._category(recent)  # (B, M)
        clicked_lately = clicked * fading[1]
        by_category = (
            (looked, 4.0),
            (lately, 2.0),
            (looked * fading[2], 1.0),
            (clicked, 2.0),
            (clicked_lately, 2.0),
            (bought, 1.0),
        )
        in_all = (
            (looked, 10.0),
            (lately, 4.0),
            (clicked, 4.0),
            (clicked_lately, 2.0),
            (clicked * fading[2], 1.0),
            (bought, 1.0),
        )
        return (
            [self._tally(category, of, weight) / unit for weight, unit in by_category],
            [weight.sum(1, keepdim=True) / unit for weight, unit in in_all],
        )

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
            table = rows(self.relevance_query, query).unsqueeze(2)  # (B, R, 1)
            logit = torch.bmm(rows(self.relevance_item, items), table).squeeze(2)
        return (logit + self.purchase_bias).clamp(-6.0, 6.0)
