"""Click models of whole pages in a simulator's fit: the laws of `simulators.clicks` on logits of feature rows.

Satisfaction of the dynamic Bayesian models is a line in the logit here, because that is what simulators serve
(`simulators.parts.examination.DynamicBayesianExamination`): a bias and a slope, not a number for each item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from simulators.fitting.likelihood import Problem

__all__ = ["OWN", "PageLaw", "law_prior", "law_start"]

OWN = ("plain", "pbm", "cascade", "skimming")
"""Families that `simulators.fitting.likelihood` works out itself."""
_SATISFACTION = ("dbn", "sdbn")


def law_start(family: str, n_positions: int) -> NDArray[np.float64]:
    """Where a fit begins: the law's own parameters, then bias and slope of satisfaction where it has one."""
    from simulators.clicks.registry import law_named

    own = [value.numpy() for value in law_named(family).start(n_positions).values()]
    line = [np.zeros(2)] if family in _SATISFACTION else []
    return np.concatenate([*own, *line, np.zeros(0)])


def law_prior(family: str, first: Any) -> Any:
    """Twice minus the logarithm of a weak prior on those parameters: neighbouring positions are alike."""
    prior = 0.25 * (first**2).sum()
    if family in ("dcm", "mnl"):
        prior = prior + ((first[1:] - first[:-1]) ** 2).sum()
    return prior


class PageLaw:
    """A law on the pages of a problem."""

    def __init__(self, problem: Problem) -> None:
        import torch

        from simulators.clicks.registry import law_named

        self.law = law_named(problem.family)
        self.shape = problem.shape
        self.line = problem.family in _SATISFACTION
        self.flat = torch.from_numpy(problem.page * problem.shape[1] + problem.position)
        click = torch.zeros(problem.shape[0] * problem.shape[1], dtype=torch.bool)
        click[self.flat] = torch.from_numpy(problem.outcome.astype(bool))
        self.click = click.view(problem.shape)

    def log_likelihood(self, z: Any, first: Any) -> Any:
        """Log-likelihood (n,) of each row's outcome given those above it, for logits z (n,)."""
        import torch

        from simulators.clicks.laws import NEVER

        n = self.shape[0] * self.shape[1]
        logits = torch.full((n,), NEVER, dtype=z.dtype).index_copy(0, self.flat, z).view(self.shape)
        own = first[:-2] if self.line else first
        satisfaction = None
        if self.line:
            bent = first[-2] + first[-1] * z
            satisfaction = torch.zeros(n, dtype=z.dtype).index_copy(0, self.flat, bent).view(self.shape)
        names = list(self.law.start(2))
        _, given = self.law.given_clicks(logits, self.click, dict.fromkeys(names, own), satisfaction)
        return torch.where(self.click, given.yes, given.no).view(-1).index_select(0, self.flat)
