"""Click models: which positions are looked at."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, TypedDict

import numpy as np
from numpy.typing import NDArray

from simulators import click_models
from simulators.base import SessionState
from simulators.click_models import ClickModel, looks, sigmoid
from simulators.kernels.clicks import page_clicks
from simulators.parts.contract import Part

__all__ = [
    "CascadeExamination",
    "ClickChainExamination",
    "DynamicBayesianExamination",
    "MultinomialExamination",
    "PositionExamination",
    "SkimmingExamination",
]

Floats = NDArray[np.float64]


class _Rows(TypedDict):
    """What a click model reads beside the logits, each (K,) for all pages or (M, K)."""

    examination: Floats
    after_click: Floats
    after_skip: Floats


def _stretch(values: Floats, n: int) -> Floats:
    """The first `n` values, the last one repeated where there are fewer."""
    return values[np.minimum(np.arange(n), len(values) - 1)]


class _ClickModelPart(Part, ABC):
    """A click model that says what its rows are; the draws and the closed forms follow."""

    model: ClassVar[ClickModel]

    @abstractmethod
    def _rows(self, logits: Floats) -> _Rows:
        """The model's rows for pages with these logits (M, K)."""

    def _read(self, logits: Floats) -> Floats:
        """Logits (M, K) of a click where the model takes the user to be: those given, unless not all is read there."""
        return logits

    def click(self, state: SessionState, logits: Floats, *, seed: int) -> NDArray[np.uint8]:
        """Clicks (B, K)."""
        logits = np.require(self._read(logits), np.float64, ["C", "W"])
        rows = self._rows(logits)
        click = np.empty(logits.shape, np.uint8)
        page_clicks(
            len(click),
            click,
            int(self.model),
            logits,
            np.atleast_2d(rows["examination"]),
            np.atleast_2d(rows["after_click"]),
            np.atleast_2d(rows["after_skip"]),
            state.user,
            state.step,
            np.uint64(seed),
        )
        return click

    def click_probability(self, logits: Floats) -> Floats:
        """Probability (M, K) of a click at each position, before anything of the page is known."""
        logits = self._read(logits)
        return click_models.click_probability(self.model, logits, **self._rows(logits))

    def click_probability_given_above(self, logits: Floats, click: NDArray[np.uint8]) -> Floats:
        """Probability (M, K) of a click at each position given the clicks above it."""
        logits = self._read(logits)
        return click_models.click_probability_given_above(self.model, logits, click, **self._rows(logits))


@dataclass(frozen=True, kw_only=True, eq=False)
class PositionExamination(_ClickModelPart):
    """Position-based model: P(click at k) = gamma_k * sigmoid(logit), independently of the other positions.

    Source: Richardson, Dominowska, Ragno, "Predicting clicks", WWW 2007; Chuklin, Markov, de Rijke, "Click Models
    for Web Search", 2015, section 3.3.
    """

    kind: ClassVar[str] = "position"
    model: ClassVar[ClickModel] = ClickModel.POSITION

    gamma: Floats
    """(K,) probability that a position is looked at, the largest being 1; longer slates repeat the last."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "gamma", np.require(self.gamma, np.float64, ["C", "W"]))

    def weights(self, n_positions: int) -> NDArray[np.float32]:
        """Gamma (K,)."""
        return _stretch(self.gamma, n_positions).astype(np.float32)

    def _rows(self, logits: Floats) -> _Rows:
        gamma = _stretch(self.gamma, logits.shape[1])
        return {"examination": gamma, "after_click": gamma, "after_skip": gamma}


@dataclass(frozen=True, kw_only=True, eq=False)
class CascadeExamination(_ClickModelPart):
    """Cascade: the user reads from the top and goes on with a chance that depends on a click.

    With `after_click` 0 and `after_skip` 1 it is the cascade model that stops at the first click (Craswell et al.,
    "An experimental comparison of click position-bias models", WSDM 2008); a free `after_click` makes it the
    dependent click model (Guo, Liu, Wang, WSDM 2009), a free `after_skip` lets readers tire.
    """

    kind: ClassVar[str] = "cascade"
    model: ClassVar[ClickModel] = ClickModel.CASCADE

    after_click: Floats
    """(K-1,) chance to look at position k+1 after a click at k; longer slates repeat the last."""
    after_skip: Floats
    """(K-1,) chance to look at position k+1 after passing over k."""
    typical_click: float = 0.1
    """Mean probability of a click on an item looked at, for `weights`."""

    def __post_init__(self) -> None:
        for name in ("after_click", "after_skip"):
            values = np.require(getattr(self, name), np.float64, ["C", "W"])
            object.__setattr__(self, name, values if len(values) else np.ones(1))

    def weights(self, n_positions: int) -> NDArray[np.float32]:
        """Average probability (K,) of a look, on a page of typical items."""
        after_click, after_skip = (
            _stretch(self.after_click, n_positions),
            _stretch(self.after_skip, n_positions),
        )
        typical = np.full((1, n_positions), self.typical_click)
        look: Floats = looks(typical, after_click=after_click, after_skip=after_skip)[0]
        return look.astype(np.float32)

    def _rows(self, logits: Floats) -> _Rows:
        n = logits.shape[1]
        after_click, after_skip = _stretch(self.after_click, n), _stretch(self.after_skip, n)
        return {"examination": after_skip, "after_click": after_click, "after_skip": after_skip}


@dataclass(frozen=True, kw_only=True, eq=False)
class SkimmingExamination(CascadeExamination):
    """Cascade whose readers skim: past the first position they read an item only now and then.

    Who gets to a position reads its item with chance 1 - `skip`, and goes on by the cascade's chances whether it was
    read or not. It joins what the position-based model has (items unseen although later ones are seen) with what the
    cascade has (the end of reading). A cascade must explain an item passed over between two clicks by its appeal alone.
    """

    kind: ClassVar[str] = "skimming"

    skip: float = 0.0
    """Chance that an item at a position that was come to is not read; 0 at the first position."""

    def weights(self, n_positions: int) -> NDArray[np.float32]:
        """Average probability (K,) that an item is read, on a page of typical items."""
        typical = np.full((1, n_positions), self.typical_click)
        typical[:, 1:] *= 1.0 - self.skip
        look: Floats = looks(
            typical,
            after_click=_stretch(self.after_click, n_positions),
            after_skip=_stretch(self.after_skip, n_positions),
        )[0]
        look[1:] *= 1.0 - self.skip
        return look.astype(np.float32)

    def _read(self, logits: Floats) -> Floats:
        # Of the chance a (1 - s), a = o / (1 + o), the odds are o (1 - s) / (1 + o s).
        odds = np.exp(np.minimum(logits, 500.0))
        with np.errstate(divide="ignore"):
            bent = np.log(odds * (1.0 - self.skip)) - np.log1p(odds * self.skip)
        bent[..., 0] = logits[..., 0]
        return np.asarray(bent)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClickChainExamination(_ClickModelPart):
    """Click chain: reads from the top; a click satisfies with the chance a that the item appealed.

    Goes on with chance tau1 after passing over, tau2 (1 - a) + tau3 a after a click.

    Source: Guo, Liu, Kannan, Minka, Taylor, Wang, Faloutsos, "Click chain model in web search", WWW 2009.
    """

    kind: ClassVar[str] = "click-chain"
    model: ClassVar[ClickModel] = ClickModel.DYNAMIC_BAYESIAN

    tau: Floats
    """(3,) chance to go on after passing over, after a click that left unsatisfied, after one that satisfied."""
    typical_click: float = 0.1
    """Mean probability of a click on an item looked at, for `weights`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tau", np.require(self.tau, np.float64, ["C", "W"]))

    def weights(self, n_positions: int) -> NDArray[np.float32]:
        """Average probability (K,) of a look, on a page of typical items."""
        typical = np.full((1, n_positions), self.typical_click)
        rows = self._rows(np.log(typical / (1.0 - typical)))
        look: Floats = looks(typical, after_click=rows["after_click"], after_skip=rows["after_skip"])[0]
        return look.astype(np.float32)

    def _rows(self, logits: Floats) -> _Rows:
        appeal = sigmoid(logits)
        after_click = self.tau[1] * (1.0 - appeal) + self.tau[2] * appeal
        after_skip = np.full(logits.shape[1], self.tau[0])
        return {"examination": after_skip, "after_click": after_click, "after_skip": after_skip}


@dataclass(frozen=True, kw_only=True, eq=False)
class DynamicBayesianExamination(_ClickModelPart):
    """Dynamic Bayesian network: reads from the top, may be satisfied by a clicked item and stop, or lose patience.

    After a pass-over the user goes on with chance `perseverance`; after a click with `perseverance` * (1 - s), where
    s, the item's power to satisfy, is sigmoid(satisfaction_bias + satisfaction_slope * logit): with a slope of 0 all
    items satisfy alike, with one above 0 those do that appeal.

    Source: Chapelle and Zhang, "A dynamic Bayesian network click model for web search ranking", WWW 2009.
    """

    kind: ClassVar[str] = "dynamic-bayesian"
    model: ClassVar[ClickModel] = ClickModel.DYNAMIC_BAYESIAN

    perseverance: float = 0.9
    """Chance to look further while not satisfied."""
    satisfaction_bias: float = 0.0
    """Logit of a clicked item's power to satisfy where its own logit is 0."""
    satisfaction_slope: float = 0.0
    """How much it rises per unit of the item's logit."""
    typical_click: float = 0.1
    """Mean probability of a click on an item looked at, for `weights`."""

    def satisfaction(self, logits: Floats) -> Floats:
        """Chance (M, K) that an item satisfies who clicked it."""
        tilt = self.satisfaction_slope * logits if self.satisfaction_slope else np.zeros_like(logits)
        return sigmoid(self.satisfaction_bias + tilt)

    def weights(self, n_positions: int) -> NDArray[np.float32]:
        """Average probability (K,) of a look, on a page of typical items."""
        logit = math.log(self.typical_click / (1.0 - self.typical_click))
        rows = self._rows(np.full((1, n_positions), logit))
        typical = np.full((1, n_positions), self.typical_click)
        look: Floats = looks(typical, after_click=rows["after_click"], after_skip=rows["after_skip"])[0]
        return look.astype(np.float32)

    def _rows(self, logits: Floats) -> _Rows:
        after_click = self.perseverance * (1.0 - self.satisfaction(logits))
        after_skip = np.full(logits.shape[1], self.perseverance)
        return {"examination": after_skip, "after_click": after_click, "after_skip": after_skip}


@dataclass(frozen=True, kw_only=True, eq=False)
class MultinomialExamination(_ClickModelPart):
    """Multinomial choice: at most one click a page; P(click at k) is proportional to attention_k * e^logit.

    No click has weight 1. Items compete: a page of good ones is clicked hardly more often than one with a single
    good one, which no model of independent positions can say.

    Source: Luce, "Individual Choice Behavior", 1959; McFadden, "Conditional logit analysis of qualitative choice
    behavior", 1974.
    """

    kind: ClassVar[str] = "multinomial"
    model: ClassVar[ClickModel] = ClickModel.MULTINOMIAL

    attention: Floats
    """(K,) weight of a position, the largest being 1; longer slates repeat the last."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "attention", np.require(self.attention, np.float64, ["C", "W"]))

    def weights(self, n_positions: int) -> NDArray[np.float32]:
        """Attention (K,)."""
        return _stretch(self.attention, n_positions).astype(np.float32)

    def _rows(self, logits: Floats) -> _Rows:
        attention = _stretch(self.attention, logits.shape[1])
        return {"examination": attention, "after_click": attention, "after_skip": attention}
