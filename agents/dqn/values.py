"""What the network says of a batch of pages, in the two forms of the choice model.

`ChoiceValues`: a user picks one item of the slate, or none (SlateQ as published). `PageValues`: pages with several
clicks, additive over positions. Both say what a slate is worth, what it was worth once the clicks are known, how
well the feedback was foretold, and which slate is best.

Source: Ie et al., "SlateQ: a tractable decomposition for reinforcement learning with recommendation sets", IJCAI
2019.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from agents.dqn.slates import (
    assigned_slates,
    fractional_slates,
    greedy_choice_slates,
    greedy_page_slates,
)
from agents.response import Response

__all__ = ["PADDING", "ChoiceValues", "PageValues"]

PADDING = -1e9
"""Item value of a candidate that cannot be shown."""


class PageValues(NamedTuple):
    """Pages with several clicks: Q is a sum over positions, less what crowding costs.

    Q(s, A) = b(s) + sum_k [ x_k u(s, i_k) + P(click at k) (c(s, i_k) + P(purchase | click) d(s, i_k)) ]
              - sum_{k < l} x_k x_l kappa(s) . g(cos(i_k, i_l))

    `b` is the value of a page that nobody touches, `u` what merely showing an item changes (boredom, relevance),
    `c` what a click adds now and later, `d` what a purchase adds, `x` how much a position counts as a showing, and
    `kappa >= 0` what like items on one page cost, g(c) = (max(c, 0), max(c, 0)^4).
    """

    untouched: Tensor  # (B,) b(s)
    shown: Tensor  # (B, N) u(s, i)
    clicked: Tensor  # (B, N) c(s, i)
    purchased: Tensor  # (B, N) d(s, i)
    response: Response  # clicks and purchases
    valid: Tensor  # (B, N) bool
    exposure: Tensor | None = None  # (K,) x; None: 1 everywhere
    crowding: Tensor | None = None  # (B, 2) kappa; None: 0
    vectors: Tensor | None = None  # (B, N, D) unit vectors of the candidates, where there is crowding

    def gain(self) -> Tensor:
        """Expected worth (B, N) of a click on each candidate."""
        return self.clicked + torch.sigmoid(self.response.conversion) * self.purchased

    def position_values(self) -> Tensor:
        """What candidate n adds at position k but for crowding, (B, N, K); very low at padding."""
        response = self.response
        click = torch.sigmoid(response.attraction.unsqueeze(2) + response.position)  # (B, N, K)
        shown = self.shown.unsqueeze(2)
        worth = (shown if self.exposure is None else shown * self.exposure) + click * self.gain().unsqueeze(2)
        return torch.where(self.valid.unsqueeze(2), worth, PADDING)

    def item_values(self) -> Tensor:
        """What showing a candidate adds to the page, averaged over positions (B, N); very low at padding."""
        shown = self.shown if self.exposure is None else self.shown * self.exposure.mean()
        worth = shown + self.response.click_probability() * self.gain()
        return torch.where(self.valid, worth, PADDING)

    def best_slates(self, optimiser: str = "topk") -> Tensor:
        """The slates (B, K) that look best.

        Args:
            optimiser: 'topk': the K candidates of the highest item value, best first. 'greedy': position after
                position, the most looked at first, the candidate that adds most. 'exact': the best assignment of
                candidates to positions (without crowding; with it, every ordered slate of a tiny page is tried).
        """
        if optimiser == "topk":
            return self.item_values().topk(self.response.position.shape[0], dim=1).indices
        worth = self.position_values()
        if optimiser == "exact":
            return assigned_slates(worth, None if self.crowding is None else self._pairs())
        return greedy_page_slates(worth, self.response.position, self._cost_of_taking)

    def slate_value(self, slates: Tensor) -> Tensor:
        """Q(s, A) of slates (B, K), shape (B,)."""
        probability = self.response.slate_click_probability(slates)  # (B, K)
        worth = self._shown(slates) + probability * self.gain().gather(1, slates)
        return self.untouched + worth.sum(1) - self._crowded(slates)

    def realised_value(self, slates: Tensor, click: Tensor, purchase: Tensor) -> Tensor:
        """Value of slates (B, K) once the user's clicks and purchases (B, K) are known, shape (B,)."""
        worth = (
            self._shown(slates)
            + click * self.clicked.gather(1, slates)
            + purchase * self.purchased.gather(1, slates)
        )
        return self.untouched + worth.sum(1) - self._crowded(slates)

    def response_loss(self, slates: Tensor, click: Tensor, purchase: Tensor) -> tuple[Tensor, Tensor]:
        """Log losses of clicks and purchases; see `Response.loss`."""
        return self.response.loss(slates, click, purchase)

    def _shown(self, slates: Tensor) -> Tensor:
        shown = self.shown.gather(1, slates)
        return shown if self.exposure is None else shown * self.exposure

    def _kernel(self, cosine: Tensor) -> Tensor:
        """Kappa . g(cosine) of (B, ...)."""
        assert self.crowding is not None
        near = cosine.clamp_min(0.0)
        first, second = (part.view(-1, *[1] * (cosine.dim() - 1)) for part in self.crowding.unbind(1))
        return first * near + second * near.square().square()

    def _crowded(self, slates: Tensor) -> Tensor | float:
        if self.crowding is None or self.vectors is None:
            return 0.0
        vectors = self.vectors.gather(
            1, slates.unsqueeze(2).expand(-1, -1, self.vectors.shape[2])
        )  # (B, K, D)
        cost = self._kernel(torch.bmm(vectors, vectors.transpose(1, 2))).triu(1)  # (B, K, K)
        if self.exposure is not None:
            cost = cost * self.exposure * self.exposure.unsqueeze(1)
        return cost.sum((1, 2))

    def _pairs(self) -> Tensor:
        """Cost (B, N, N, K, K) of a pair of candidates at a pair of positions."""
        assert self.vectors is not None
        cost = self._kernel(torch.bmm(self.vectors, self.vectors.transpose(1, 2)))[:, :, :, None, None]
        n_positions = self.response.position.shape[0]
        x = torch.ones(n_positions) if self.exposure is None else self.exposure
        return cost * (x * x.unsqueeze(1))

    def _cost_of_taking(self, taken: Tensor, k: int) -> Tensor | None:
        """What the candidates `taken` (B,) at position k cost every other at every position, (B, N, K)."""
        if self.crowding is None or self.vectors is None:
            return None
        one = self.vectors.gather(1, taken.view(-1, 1, 1).expand(-1, 1, self.vectors.shape[2]))  # (B, 1, D)
        cost = self._kernel(torch.bmm(self.vectors, one.transpose(1, 2)))  # (B, N, 1)
        if self.exposure is None:
            return cost.expand(-1, -1, self.response.position.shape[0])
        return cost * self.exposure[k] * self.exposure


class ChoiceValues(NamedTuple):
    """Pages on which a user picks one item or none: Q is the mean over the choice.

    P(n at k | A, s) = e^(a_n + p_k) / (1 + sum_j e^(a_j + p_j)), the rest of the chance for the null choice, and

        Q(s, A) = P(null) Q(s, null) + sum_k P(i_k) Q(s, i_k)      (Ie et al. 2019, eq. 7)

    with Q(s, null) = b(s) and Q(s, i) = b(s) + c(s, i) + P(purchase | click) d(s, i).
    """

    untouched: Tensor  # (B,) b(s)
    clicked: Tensor  # (B, N) c(s, i)
    purchased: Tensor  # (B, N) d(s, i)
    response: Response  # `attraction` and `position` are logits of the odds against the null choice
    valid: Tensor  # (B, N) bool

    def gain(self) -> Tensor:
        """How much more the choice of each candidate is worth than none, (B, N)."""
        return self.clicked + torch.sigmoid(self.response.conversion) * self.purchased

    def item_values(self) -> Tensor:
        """Odds times gain (B, N), by which top-k sorts; very low at padding."""
        return torch.where(self.valid, torch.exp(self.response.attraction) * self.gain(), PADDING)

    def best_slates(self, optimiser: str = "exact") -> Tensor:
        """The slates (B, K) that look best.

        Args:
            optimiser: 'topk': the highest odds times gain. 'greedy': one after another what raises Q most.
                'exact': the maximum of Q over all ordered slates.
        """
        position = self.response.position
        if optimiser == "topk":
            best = self.item_values().topk(position.shape[0], dim=1).indices
            return torch.empty_like(best).scatter(1, _by_attention(position).expand_as(best), best)
        odds = torch.where(self.valid, torch.exp(self.response.attraction), 0.0)
        solve = fractional_slates if optimiser == "exact" else greedy_choice_slates
        return solve(odds, self.gain(), torch.exp(position), self.valid)

    def chances(self, slates: Tensor) -> Tensor:
        """Chance (B, K) that each item of the slates (B, K) is picked; what is left is the null choice's."""
        logits = self.response.attraction.gather(1, slates) + self.response.position
        null = torch.zeros_like(logits[:, :1])
        return torch.softmax(torch.cat((logits, null), dim=1), dim=1)[:, :-1]

    def slate_value(self, slates: Tensor) -> Tensor:
        """Q(s, A) of slates (B, K), shape (B,)."""
        return self.untouched + (self.chances(slates) * self.gain().gather(1, slates)).sum(1)

    def realised_value(self, slates: Tensor, click: Tensor, purchase: Tensor) -> Tensor:
        """Q(s, i) of the item picked, or Q(s, null), shape (B,)."""
        picked = _first(click)
        worth = self.clicked.gather(1, slates) + purchase * self.purchased.gather(1, slates)
        return self.untouched + (picked * worth).sum(1)

    def response_loss(self, slates: Tensor, click: Tensor, purchase: Tensor) -> tuple[Tensor, Tensor]:
        """Mean log loss of the choice, and of the purchase after it."""
        picked = _first(click)
        logits = self.response.attraction.gather(1, slates) + self.response.position
        null = torch.zeros_like(logits[:, :1])
        log_chance = torch.log_softmax(torch.cat((logits, null), dim=1), dim=1)
        none = 1.0 - picked.sum(1, keepdim=True)
        choice = -(torch.cat((picked, none), dim=1) * log_chance).sum(1).mean()
        conversion = self.response.conversion.gather(1, slates)
        each = functional.binary_cross_entropy_with_logits(conversion, purchase, reduction="none")
        return choice, (each * picked).sum() / picked.sum().clamp_min(1.0)


def _first(click: Tensor) -> Tensor:
    """The uppermost click (B, K) alone: this choice model knows one."""
    return click * (click.cumsum(1) <= 1.0)


def _by_attention(position: Tensor) -> Tensor:
    """Positions (K,), the most looked at first."""
    return torch.argsort(position, descending=True, stable=True)
