"""Multinomial choice: at most one click a page, in proportion to odds; items compete.

Sources: Luce, "Individual Choice Behavior", 1959; McFadden, "Conditional logit analysis of qualitative choice
behavior", 1974.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulators.clicks.contract import ClickLaw, Globals
from simulators.clicks.laws import NEVER, Chance

__all__ = ["MultinomialChoice"]


class MultinomialChoice(ClickLaw):
    """The click is at k with odds exp(logit_k + b_k) against 1 for no click; b of the first position is 0."""

    name: ClassVar[str] = "mnl"
    title: ClassVar[str] = "multinomial choice"
    one_click: ClassVar[bool] = True
    splits_position_from_appeal: ClassVar[bool] = True

    def start(self, n_positions: int) -> dict[str, Tensor]:
        """The log-attention (K - 1,) of all positions but the first."""
        return {"attention": torch.zeros(n_positions - 1, dtype=torch.float64)}

    def _odds(self, logits: Tensor, p: Globals) -> Tensor:
        """(M, 1 + K) log-odds, those of no click first."""
        row = torch.cat([p["attention"].new_zeros(1), p["attention"]])
        return torch.cat([torch.zeros_like(logits[:, :1]), logits + row[None]], 1)

    def given_clicks(
        self, logits: Tensor, click: Tensor, p: Globals, satisfaction: Tensor | None = None
    ) -> tuple[Tensor, Chance]:
        """See `ClickLaw`."""
        odds = self._odds(logits, p)
        count = click.sum(1)
        chosen = torch.where(count > 0, torch.where(click, odds[:, 1:], 0.0).sum(1), odds[:, 0])
        likelihood = torch.where(count > 1, NEVER, chosen - torch.logsumexp(odds, 1))
        # Of those who have not clicked yet: no click at all, or one from here on.
        below = torch.logcumsumexp(odds[:, 1:].flip(1), 1).flip(1)  # (M, K) from k down
        under = torch.cat([below[:, 1:], torch.full_like(below[:, :1], NEVER)], 1)
        none = odds[:, :1]
        total = torch.logaddexp(none, below)
        free = (click.cumsum(1) - click.to(torch.int64)) == 0
        return likelihood, Chance(
            torch.where(free, odds[:, 1:] - total, NEVER),
            torch.where(free, torch.logaddexp(none, under) - total, 0.0),
        )

    def marginal(self, logits: Tensor, p: Globals, satisfaction: Tensor | None = None) -> Chance:
        """See `ClickLaw`."""
        odds = self._odds(logits, p)
        total = torch.logsumexp(odds, 1, keepdim=True)
        n = logits.shape[1]
        rest = [
            torch.logsumexp(torch.cat([odds[:, : k + 1], odds[:, k + 2 :]], 1), 1, keepdim=True)
            for k in range(n)
        ]
        return Chance(odds[:, 1:] - total, torch.cat(rest, 1) - total)

    def sample(
        self, logits: Tensor, p: Globals, generator: torch.Generator, satisfaction: Tensor | None = None
    ) -> Tensor:
        """See `ClickLaw`."""
        odds = self._odds(logits, p)
        chosen = torch.multinomial(torch.softmax(odds, 1), 1, generator=generator)
        return torch.arange(1, odds.shape[1])[None] == chosen

    def natural(self, p: Globals) -> dict[str, NDArray[np.float64]]:
        """Attention (K,), that of the first position being 1."""
        row = p["attention"].detach()
        return {"attention": np.asarray(torch.cat([row.new_zeros(1), row]).exp().numpy())}
