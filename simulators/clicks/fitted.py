"""A fitted click model: what it says of pages, whether it has seen them or not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from simulators.clicks.appeal import Basis
from simulators.clicks.ascent import State, one_thread
from simulators.clicks.contract import ClickLaw
from simulators.clicks.laws import Chance, finish
from simulators.clicks.pages import ClickPages

__all__ = ["FittedClickModel", "FittedLaw", "Prediction"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Of `M` pages; logarithms, so that nothing is lost at either end."""

    log_likelihood: Floats  # (M,) of all clicks of the page; -inf where the model cannot make them
    given_yes: Floats  # (M, K) log-chance of a click given the clicks above
    given_no: Floats  # (M, K) of none
    marginal_yes: Floats  # (M, K) log-chance of a click before anything of the page is known
    marginal_no: Floats  # (M, K) of none

    @classmethod
    def of(cls, likelihood: torch.Tensor, given: Chance, marginal: Chance) -> Prediction:
        """From what laws return."""
        arrays = [
            np.asarray(finish(t).numpy(), np.float64)
            for t in (likelihood, given.yes, given.no, marginal.yes, marginal.no)
        ]
        return cls(
            log_likelihood=arrays[0],
            given_yes=arrays[1],
            given_no=arrays[2],
            marginal_yes=arrays[3],
            marginal_no=arrays[4],
        )


@dataclass(frozen=True, kw_only=True)
class FittedClickModel(ABC):
    """A click model with its parameters."""

    name: str
    """Which model."""
    strength: float
    """Of the prior that was chosen."""
    iterations: int
    """Of the last fit."""
    converged: bool
    """Whether it arrived; a fit stopped early on purpose counts as arrived."""
    notes: tuple[str, ...]
    """What the user should know."""

    @abstractmethod
    def predict(self, pages: ClickPages) -> Prediction:
        """What the model says of `pages`."""

    @abstractmethod
    def sample(self, pages: ClickPages, *, seed: int) -> NDArray[np.bool_]:
        """Clicks (M, K) on `pages`, drawn."""

    @property
    @abstractmethod
    def parameters(self) -> dict[str, Floats]:
        """Parameters that are not of an item, as the literature writes them."""


@dataclass(frozen=True, kw_only=True)
class FittedLaw(FittedClickModel):
    """A law with its parameters, and what turns pages into logits."""

    law: ClickLaw
    """The click model."""
    basis: Basis
    """Made from the training pages."""
    state: State
    """All parameters."""

    def attractiveness(self, pages: ClickPages) -> Floats:
        """Chance (M, K) of a click on each shown item if it is looked at; 0 where nothing is shown."""
        design = self.basis.design(pages)
        return np.asarray(torch.sigmoid(design.dense(design.logits(self.state.appeal))).numpy())

    def satisfaction(self, pages: ClickPages) -> Floats | None:
        """Chance (M, K) that each shown item satisfies who clicked it; None where the model has no such thing."""
        if self.state.satisfaction is None:
            return None
        design = self.basis.design(pages)
        return np.asarray(torch.sigmoid(design.dense(design.logits(self.state.satisfaction))).numpy())

    def _logits(self, pages: ClickPages) -> tuple[torch.Tensor, torch.Tensor | None]:
        design = self.basis.design(pages)
        z = design.dense(design.logits(self.state.appeal))
        if self.state.satisfaction is None:
            return z, None
        return z, design.dense(design.logits(self.state.satisfaction))

    def predict(self, pages: ClickPages) -> Prediction:
        """See `FittedClickModel`."""
        with torch.no_grad(), one_thread():
            z, s = self._logits(pages)
            p = self.state.globals
            likelihood, given = self.law.given_clicks(z, torch.from_numpy(pages.click), p, s)
            return Prediction.of(likelihood, given, self.law.marginal(z, p, s))

    def sample(self, pages: ClickPages, *, seed: int) -> NDArray[np.bool_]:
        """See `FittedClickModel`."""
        with torch.no_grad():
            z, s = self._logits(pages)
            generator = torch.Generator().manual_seed(seed)
            return np.asarray(self.law.sample(z, self.state.globals, generator, s).numpy())

    @property
    def parameters(self) -> dict[str, Floats]:
        """See `FittedClickModel`."""
        return self.law.natural(self.state.globals)
