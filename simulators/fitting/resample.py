"""One member of an ensemble: what a fit is given in place of the log as it is and of the search for a prior.

The sessions get random weights, exponential with mean 1 over their sum: the Bayesian bootstrap. Unlike a draw of
sessions with replacement it never loses all of the few sessions with a purchase, and needs no copy of a row.

Source: Rubin, "The Bayesian bootstrap", Annals of Statistics 9, 1981; Newton and Raftery, "Approximate Bayesian
inference with the weighted likelihood bootstrap", JRSS B 56, 1994.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.fitting.centres import EFFECT_PENALTY
from simulators.fitting.likelihood import Parameters, Problem, constant_rate, maximise

__all__ = ["Resample", "coupled_rows", "session_weights"]


def session_weights(n_sessions: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Weights (S,) of the sessions, mean 1."""
    weight = rng.standard_exponential(n_sessions)
    return np.asarray(weight / weight.mean())


def coupled_rows(weight: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows (S,) of a table, each about as often as its weight says, and at its own place as far as it can be.

    The weights are rounded to counts that add up to S (each within 1 of its weight). A row that is to occur stands
    at its own index; the places of those that are not are filled with the others' further occurrences. A simulated
    user who draws place s so meets session s in most members, which keeps the members' users comparable.
    """
    n = len(weight)
    edges = np.floor(np.cumsum(weight) * (n / weight.sum()) + 0.5).astype(np.int64)
    edges[-1] = n
    count = np.diff(edges, prepend=0)
    rows = np.arange(n)
    rows[count == 0] = np.repeat(np.arange(n), np.maximum(count - 1, 0))
    return rows


@dataclass(frozen=True, kw_only=True)
class Resample:
    """One draw of what the log could not tell: weights of its sessions, and a centre of the prior."""

    session: NDArray[np.int64]  # (S,) sorted ids of the training sessions
    weight: NDArray[np.float64]  # (S,) their weights, mean 1
    start: Mapping[str, Parameters]  # by part: as fitted to the log as it is
    strengths: Mapping[str, float]  # by part: of the prior, as chosen on the log as it is
    seed: tuple[int, ...]  # of the centres
    max_iterations: int = 30
    draw_centres: bool = True  # False: all members' priors are centred at zero

    def of(self, session: NDArray[np.int64]) -> NDArray[np.float64]:
        """Weights (n,) of rows that belong to `session` (n,)."""
        return np.asarray(self.weight[np.searchsorted(self.session, session)])

    def fit(self, part: str, problem: Problem, session: NDArray[np.int64]) -> Parameters:
        """The part's parameters under these weights; its rows belong to `session` (n,)."""
        rng = self._rng(part)
        weight = self.of(session)
        if problem.family == "plain" and len(np.unique(problem.outcome)) < 2:
            return _drawn_rate(problem, weight, rng)
        return maximise(
            replace(problem, weight=weight.astype(np.float32)),
            strength=self.strengths[part],
            max_iterations=self.max_iterations,
            start=self.start[part],
            rng=rng if self.draw_centres else None,
        )

    def silent(self, part: str, name: str, size: int, known: NDArray[np.float64]) -> NDArray[np.float64]:
        """Draws (size,) from the prior of the effect `name`, for the groups that the log does not show.

        No wider than what this member learned for the groups that it does, `known`; see `simulators.fitting.centres`.
        """
        own = float(np.square(known).mean()) if len(known) else np.inf
        spread = min(1.0 / (self.strengths[part] * EFFECT_PENALTY), own) ** 0.5 if self.draw_centres else 0.0
        return np.asarray(spread * self._rng(f"{part}/{name}").standard_normal(size))

    def _rng(self, what: str) -> np.random.Generator:
        return np.random.default_rng([*self.seed, *what.encode()])


def _drawn_rate(problem: Problem, weight: NDArray[np.float64], rng: np.random.Generator) -> Parameters:
    """A rate for every row from the posterior of a rate (Jeffreys' prior), where all outcomes are alike."""
    hits = float((weight * problem.outcome).sum())
    rate = rng.beta(hits + 0.5, float(weight.sum()) - hits + 0.5)
    p = constant_rate(problem)
    fields: dict[str, Any] = {"weights": p.weights.copy()}
    fields["weights"][problem.penalty == 0] = np.log(rate / (1.0 - rate))
    return replace(p, **fields)
