"""Models of a reader who looks from the top: they differ in what makes the reader go on.

| model | after a click | after passing over |
|---|---|---|
| cascade (CM) | stops | goes on |
| dependent (DCM) | lambda_k | goes on |
| tiring cascade | lambda_k | nu_k |
| click chain (CCM) | tau2 (1 - a) + tau3 a | tau1 |
| dynamic Bayesian (DBN) | beta (1 - s) | beta |
| simplified DBN | 1 - s | goes on |

with a the appeal of the item clicked and s its power to satisfy.

Sources: Craswell, Zoeter, Taylor, Ramsey, "An experimental comparison of click position-bias models", WSDM 2008
(CM); Guo, Liu, Wang, "Efficient multiple-click models in web search", WSDM 2009 (DCM); Guo et al., "Click chain
model in web search", WWW 2009 (CCM); Chapelle and Zhang, "A dynamic Bayesian network click model for web search
ranking", WWW 2009 (DBN, SDBN).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulators.clicks.contract import ClickLaw, Globals, draw
from simulators.clicks.laws import (
    Chance,
    coin,
    mixture,
    never,
    sure,
    walk_given_clicks,
    walk_marginal,
)

__all__ = ["Cascade", "ClickChain", "Dependent", "DynamicBayesian", "SimplifiedDynamicBayesian", "Tiring"]


class FromTheTop(ClickLaw):
    """What they share: the walk. A model says when its reader goes on."""

    @abstractmethod
    def going_on(self, appeal: Chance, p: Globals, satisfaction: Tensor | None) -> tuple[Chance, Chance]:
        """Chance to look at k + 1 after a click at k, and after passing over k; each (M, K) or (1, K)."""

    def given_clicks(
        self, logits: Tensor, click: Tensor, p: Globals, satisfaction: Tensor | None = None
    ) -> tuple[Tensor, Chance]:
        """See `ClickLaw`."""
        appeal = self._appeal(logits)
        return walk_given_clicks(appeal, click, *self.going_on(appeal, p, satisfaction))

    def marginal(self, logits: Tensor, p: Globals, satisfaction: Tensor | None = None) -> Chance:
        """See `ClickLaw`."""
        appeal = self._appeal(logits)
        return walk_marginal(appeal, *self.going_on(appeal, p, satisfaction))

    def sample(
        self, logits: Tensor, p: Globals, generator: torch.Generator, satisfaction: Tensor | None = None
    ) -> Tensor:
        """See `ClickLaw`."""
        appeal = self._appeal(logits)
        after_click, after_skip = self.going_on(appeal, p, satisfaction)
        attracted = draw(appeal.yes.exp(), generator)
        if_click = draw(after_click.yes.exp().expand(logits.shape), generator)
        if_skip = draw(after_skip.yes.exp().expand(logits.shape), generator)
        goes_on = torch.where(attracted, if_click, if_skip)
        first = torch.ones_like(goes_on[:, :1])
        looks = torch.cat([first, goes_on[:, :-1]], 1).to(torch.int64).cumprod(1).bool()
        return attracted & looks


class Cascade(FromTheTop):
    """Reads from the top, clicks on the first item that appeals, and stops."""

    name: ClassVar[str] = "cm"
    title: ClassVar[str] = "cascade"
    one_click: ClassVar[bool] = True

    def start(self, n_positions: int) -> dict[str, Tensor]:
        """None: the model has only its items."""
        return {}

    def going_on(self, appeal: Chance, p: Globals, satisfaction: Tensor | None) -> tuple[Chance, Chance]:
        """Stops, goes on."""
        row = torch.zeros_like(appeal.yes[:1])
        return never(row), sure(row)

    def natural(self, p: Globals) -> dict[str, NDArray[np.float64]]:
        """None."""
        return {}


class Dependent(FromTheTop):
    """Goes on after a click with a chance that depends on the position."""

    name: ClassVar[str] = "dcm"
    title: ClassVar[str] = "dependent click"

    def start(self, n_positions: int) -> dict[str, Tensor]:
        """(K - 1,) logits of going on after a click."""
        return {"after_click": torch.zeros(n_positions - 1, dtype=torch.float64)}

    def going_on(self, appeal: Chance, p: Globals, satisfaction: Tensor | None) -> tuple[Chance, Chance]:
        """Lambda, and surely."""
        return coin(_row(p["after_click"])), sure(torch.zeros_like(appeal.yes[:1]))

    def natural(self, p: Globals) -> dict[str, NDArray[np.float64]]:
        """Lambda (K - 1,)."""
        return {"after_click": _chance(p["after_click"])}


class Tiring(FromTheTop):
    """Goes on with chances that depend on the position, after a click and after passing over; also without a click.

    It is what `simulators.fit_simulator("cascade")` fits.
    """

    name: ClassVar[str] = "cascade"
    title: ClassVar[str] = "tiring cascade"
    stops_unseen: ClassVar[bool] = True

    def start(self, n_positions: int) -> dict[str, Tensor]:
        """(K - 1,) logits of going on, twice."""
        zeros = torch.zeros(n_positions - 1, dtype=torch.float64)
        return {"after_click": zeros, "after_skip": zeros + 2.0}

    def going_on(self, appeal: Chance, p: Globals, satisfaction: Tensor | None) -> tuple[Chance, Chance]:
        """Lambda and nu."""
        return coin(_row(p["after_click"])), coin(_row(p["after_skip"]))

    def natural(self, p: Globals) -> dict[str, NDArray[np.float64]]:
        """Lambda and nu (K - 1,)."""
        return {name: _chance(p[name]) for name in ("after_click", "after_skip")}


class ClickChain(FromTheTop):
    """May leave without a click; a click satisfies with the chance that the item appeals."""

    name: ClassVar[str] = "ccm"
    title: ClassVar[str] = "click chain"
    stops_unseen: ClassVar[bool] = True

    def start(self, n_positions: int) -> dict[str, Tensor]:
        """Logits (3,) of tau1, tau2, tau3."""
        return {"tau": torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)}

    def going_on(self, appeal: Chance, p: Globals, satisfaction: Tensor | None) -> tuple[Chance, Chance]:
        """tau2 (1 - a) + tau3 a, and tau1."""
        tau = coin(p["tau"])
        return mixture(appeal, tau[2], tau[1]), Chance(tau.yes[:1, None], tau.no[:1, None]).expand_to(appeal)

    def natural(self, p: Globals) -> dict[str, NDArray[np.float64]]:
        """Tau (3,): go on after passing over, after a click that left unsatisfied, after one that satisfied."""
        return {"tau": _chance(p["tau"])}


class DynamicBayesian(FromTheTop):
    """A click satisfies with a chance of the item's own, and ends the search; patience may end it at any position."""

    name: ClassVar[str] = "dbn"
    title: ClassVar[str] = "dynamic Bayesian"
    stops_unseen: ClassVar[bool] = True
    satisfies: ClassVar[bool] = True

    def start(self, n_positions: int) -> dict[str, Tensor]:
        """The logit (1,) of perseverance."""
        return {"perseverance": torch.full((1,), 2.0, dtype=torch.float64)}

    def going_on(self, appeal: Chance, p: Globals, satisfaction: Tensor | None) -> tuple[Chance, Chance]:
        """Beta (1 - s), and beta."""
        assert satisfaction is not None
        beta = coin(p["perseverance"][:, None])
        return coin(-satisfaction).and_(beta), beta.expand_to(appeal)

    def natural(self, p: Globals) -> dict[str, NDArray[np.float64]]:
        """Beta (1,)."""
        return {"perseverance": _chance(p["perseverance"])}


class SimplifiedDynamicBayesian(FromTheTop):
    """The dynamic Bayesian model with endless patience: only satisfaction ends the search."""

    name: ClassVar[str] = "sdbn"
    title: ClassVar[str] = "simplified dynamic Bayesian"
    satisfies: ClassVar[bool] = True

    def start(self, n_positions: int) -> dict[str, Tensor]:
        """None: the model has only its items."""
        return {}

    def going_on(self, appeal: Chance, p: Globals, satisfaction: Tensor | None) -> tuple[Chance, Chance]:
        """1 - s, and surely."""
        assert satisfaction is not None
        return coin(-satisfaction), sure(torch.zeros_like(appeal.yes[:1]))

    def natural(self, p: Globals) -> dict[str, NDArray[np.float64]]:
        """None."""
        return {}


def _row(logits: Tensor) -> Tensor:
    """(1, K) of (K - 1,): the last position has no next one."""
    return torch.cat([logits, logits.new_zeros(1)])[None]


def _chance(logits: Tensor) -> NDArray[np.float64]:
    return np.asarray(torch.sigmoid(logits.detach()).numpy())
