"""Click models: which positions are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simulators.base import SessionState
from simulators.kernels.responses import cascade_clicks, position_clicks
from simulators.parts.contract import Part

__all__ = ["CascadeExamination", "PositionExamination"]


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def _stretch(values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """The first `n` values, the last one repeated where there are fewer."""
    return values[np.minimum(np.arange(n), len(values) - 1)]


@dataclass(frozen=True, kw_only=True, eq=False)
class PositionExamination(Part):
    """Position-based model: P(click at k) = gamma_k * sigmoid(logit), independently of the other positions.

    Source: Richardson, Dominowska, Ragno, "Predicting clicks", WWW 2007; Chuklin, Markov, de Rijke, "Click Models
    for Web Search", 2015, section 3.3.
    """

    kind: ClassVar[str] = "position"

    gamma: NDArray[np.float64]
    """(K,) probability that a position is looked at, the largest being 1; longer slates repeat the last."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "gamma", np.require(self.gamma, np.float64, ["C", "W"]))

    def click(self, state: SessionState, logits: NDArray[np.float64], *, seed: int) -> NDArray[np.uint8]:
        """Clicks (B, K)."""
        click = np.empty(logits.shape, np.uint8)
        position_clicks(len(click), click, logits, self.gamma, state.user, state.step, np.uint64(seed))
        return click

    def weights(self, n_positions: int) -> NDArray[np.float32]:
        """Gamma (K,)."""
        return _stretch(self.gamma, n_positions).astype(np.float32)

    def click_probability(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """gamma_k * sigmoid(logit), shape (M, K)."""
        return _stretch(self.gamma, logits.shape[1]) * _sigmoid(logits)

    def click_probability_given_above(
        self, logits: NDArray[np.float64], click: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        """The same: positions do not know of each other."""
        return self.click_probability(logits)


@dataclass(frozen=True, kw_only=True, eq=False)
class CascadeExamination(Part):
    """Cascade: the user reads from the top and goes on with a chance that depends on a click.

    With `after_click` 0 and `after_skip` 1 it is the cascade model that stops at the first click (Craswell et al.,
    "An experimental comparison of click position-bias models", WSDM 2008); a free `after_click` makes it the
    dependent click model (Guo, Liu, Wang, WSDM 2009), a free `after_skip` lets readers tire.
    """

    kind: ClassVar[str] = "cascade"

    after_click: NDArray[np.float64]
    """(K-1,) chance to look at position k+1 after a click at k; longer slates repeat the last."""
    after_skip: NDArray[np.float64]
    """(K-1,) chance to look at position k+1 after passing over k."""
    typical_click: float = 0.1
    """Mean probability of a click on an item looked at, for `weights`."""

    def __post_init__(self) -> None:
        for name in ("after_click", "after_skip"):
            values = np.require(getattr(self, name), np.float64, ["C", "W"])
            object.__setattr__(self, name, values if len(values) else np.ones(1))

    def click(self, state: SessionState, logits: NDArray[np.float64], *, seed: int) -> NDArray[np.uint8]:
        """Clicks (B, K)."""
        click = np.empty(logits.shape, np.uint8)
        cascade_clicks(
            len(click),
            click,
            logits,
            self.after_click,
            self.after_skip,
            state.user,
            state.step,
            np.uint64(seed),
        )
        return click

    def weights(self, n_positions: int) -> NDArray[np.float32]:
        """Average probability (K,) of a look, on a page of typical items."""
        typical = np.full((1, n_positions), self.typical_click)
        weights: NDArray[np.float32] = self._examined(typical)[0].astype(np.float32)
        return weights

    def click_probability(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(looked at k) * sigmoid(logit), shape (M, K)."""
        appeal = _sigmoid(logits)
        return self._examined(appeal) * appeal

    def click_probability_given_above(
        self, logits: NDArray[np.float64], click: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        """P(click at k | clicks above), shape (M, K): a pass-over lowers the belief that k was looked at."""
        appeal = _sigmoid(logits)
        n = logits.shape[1]
        after_click, after_skip = _stretch(self.after_click, n), _stretch(self.after_skip, n)
        out = np.empty(logits.shape)
        looked = np.ones(logits.shape[0])
        for k in range(n):
            out[:, k] = looked * appeal[:, k]
            passed = looked * (1.0 - appeal[:, k]) / np.maximum(1.0 - out[:, k], 1e-12)
            looked = np.where(click[:, k] > 0, after_click[k], passed * after_skip[k])
        return out

    def _examined(self, appeal: NDArray[np.float64]) -> NDArray[np.float64]:
        n = appeal.shape[1]
        after_click, after_skip = _stretch(self.after_click, n), _stretch(self.after_skip, n)
        out = np.ones(appeal.shape)
        for k in range(n - 1):
            go_on = appeal[:, k] * after_click[k] + (1.0 - appeal[:, k]) * after_skip[k]
            out[:, k + 1] = out[:, k] * go_on
        return out
