"""Models in which looking depends on the place alone, or on the place and the last click: PBM and UBM.

Sources: Richardson, Dominowska, Ragno, "Predicting clicks", WWW 2007, and Craswell et al., WSDM 2008 (PBM);
Dupret and Piwowarski, "A user browsing model to predict search engine click data from past observations", SIGIR
2008 (UBM).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulators.clicks.contract import ClickLaw, Globals, draw
from simulators.clicks.laws import Chance, coin

__all__ = ["PositionBased", "UserBrowsing", "last_click"]


class PositionBased(ClickLaw):
    """P(click at k) = gamma_k a: positions do not know of each other.

    All gammas times c and all appeals divided by c say the same of every page: gamma is told up to a factor where
    appeal is a table.
    """

    name: ClassVar[str] = "pbm"
    title: ClassVar[str] = "position-based"
    needs_page: ClassVar[bool] = False
    splits_position_from_appeal: ClassVar[bool] = True

    def start(self, n_positions: int) -> dict[str, Tensor]:
        """Logits (K,) of gamma, falling a little."""
        return {"examination": torch.linspace(2.0, 0.0, n_positions, dtype=torch.float64)}

    def given_clicks(
        self, logits: Tensor, click: Tensor, p: Globals, satisfaction: Tensor | None = None
    ) -> tuple[Tensor, Chance]:
        """See `ClickLaw`."""
        chance = self.marginal(logits, p)
        return torch.where(click, chance.yes, chance.no).sum(1), chance

    def marginal(self, logits: Tensor, p: Globals, satisfaction: Tensor | None = None) -> Chance:
        """See `ClickLaw`."""
        return coin(p["examination"][None]).and_(self._appeal(logits))

    def sample(
        self, logits: Tensor, p: Globals, generator: torch.Generator, satisfaction: Tensor | None = None
    ) -> Tensor:
        """See `ClickLaw`."""
        looks = draw(torch.sigmoid(p["examination"]).expand(logits.shape), generator)
        return looks & draw(torch.sigmoid(logits), generator)

    def natural(self, p: Globals) -> dict[str, NDArray[np.float64]]:
        """Gamma (K,), its largest being 1."""
        gamma = torch.sigmoid(p["examination"].detach()).numpy()
        return {"examination": np.asarray(gamma / gamma.max())}


class UserBrowsing(ClickLaw):
    """P(click at k) = gamma_{k, j} a, where j is the position of the last click above (0: none).

    Gamma and appeal are told up to a common factor, as in the position-based model.
    """

    name: ClassVar[str] = "ubm"
    title: ClassVar[str] = "user browsing"
    splits_position_from_appeal: ClassVar[bool] = True

    def start(self, n_positions: int) -> dict[str, Tensor]:
        """Logits (K, K) of gamma; row k is the position, column j the last click, and only j <= k is read."""
        row = torch.linspace(2.0, 0.0, n_positions, dtype=torch.float64)
        return {"examination": row[:, None].repeat(1, n_positions)}

    def given_clicks(
        self, logits: Tensor, click: Tensor, p: Globals, satisfaction: Tensor | None = None
    ) -> tuple[Tensor, Chance]:
        """See `ClickLaw`."""
        n = logits.shape[1]
        cell = torch.arange(n)[None] * n + last_click(click)  # (M, K)
        looks = coin(p["examination"].reshape(-1)[cell])
        chance = looks.and_(self._appeal(logits))
        return torch.where(click, chance.yes, chance.no).sum(1), chance

    def marginal(self, logits: Tensor, p: Globals, satisfaction: Tensor | None = None) -> Chance:
        """See `ClickLaw`; over all places that the last click may have had."""
        appeal, looks = self._appeal(logits), coin(p["examination"])
        last = torch.zeros_like(logits[:, :1])  # (M, 1 + k) log-probability of each last click
        yes, no = [], []
        for k in range(logits.shape[1]):
            chance = Chance(looks.yes[k : k + 1, : k + 1], looks.no[k : k + 1, : k + 1]).and_(
                Chance(appeal.yes[:, k : k + 1], appeal.no[:, k : k + 1])
            )  # (M, 1 + k)
            hit = torch.logsumexp(last + chance.yes, 1, keepdim=True)
            missed = last + chance.no
            yes.append(hit[:, 0])
            no.append(torch.logsumexp(missed, 1))
            last = torch.cat([missed, hit], 1)
        return Chance(torch.stack(yes, 1), torch.stack(no, 1))

    def sample(
        self, logits: Tensor, p: Globals, generator: torch.Generator, satisfaction: Tensor | None = None
    ) -> Tensor:
        """See `ClickLaw`."""
        gamma = torch.sigmoid(p["examination"])
        attracted = draw(torch.sigmoid(logits), generator)
        last = torch.zeros(len(logits), dtype=torch.int64)
        clicks = []
        for k in range(logits.shape[1]):
            clicked = attracted[:, k] & draw(gamma[k, last], generator)
            last = torch.where(clicked, k + 1, last)
            clicks.append(clicked)
        return torch.stack(clicks, 1)

    def natural(self, p: Globals) -> dict[str, NDArray[np.float64]]:
        """Gamma (K, K), the largest of those that can be being 1; nan where the last click would be below."""
        gamma = torch.sigmoid(p["examination"].detach()).numpy()
        gamma = np.where(np.tri(len(gamma)) > 0, gamma, np.nan)
        return {"examination": np.asarray(gamma / np.nanmax(gamma))}


def last_click(click: Tensor) -> Tensor:
    """The last clicked position above each, counted from 1 (M, K); 0 where there is none."""
    place = torch.where(click, torch.arange(1, click.shape[1] + 1)[None], 0)
    return torch.cat([torch.zeros_like(place[:, :1]), place.cummax(1).values[:, :-1]], 1)
