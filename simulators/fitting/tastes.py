"""How far queries may mean other items than their words say: a prior as tight as the log shows it to be.

The vectors of queries share one strength with all that a click model learns, which is chosen by what foretells; where
queries mean what their words say, so loose a prior only lets noise in. So the variance of the vectors is estimated from
the vectors themselves, by expectation-maximisation: their mean square plus the variance that the data leave them. The
prior closes step by step where there is nothing to be learned.

Source: Laird and Ware, "Random-effects models for longitudinal data", Biometrics 38, 1982.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from simulators.fitting.centres import EFFECT_PENALTY
from simulators.fitting.likelihood import Parameters, Problem, maximise

__all__ = ["tightened"]

_STEPS = 4
_ENOUGH = 1.1  # a prior tighter by less is left as it is


def tightened(
    problem: Problem,
    p: Parameters,
    *,
    strength: float,
    max_iterations: int,
    tick: Callable[[str], None] = lambda _: None,
) -> tuple[Parameters, float]:
    """Fit again, with the prior on effects that come in amounts as tight as they turn out to be.

    Args:
        problem: What was fitted to.
        p: As fitted.
        strength: Of the prior.
        max_iterations: Most iterations of each fit.
        tick: Told of each fit done.

    Returns:
        The parameters, and the tightness of these effects relative to others: 1 or more.
    """
    tightness = 1.0
    for _ in range(_STEPS):
        found = _tightness(problem, p, strength * EFFECT_PENALTY)
        if found <= _ENOUGH * tightness:
            break
        tightness = found
        more = tuple(e if e.amount is None else replace(e, tightness=found) for e in problem.more)
        problem = replace(problem, more=more)
        p = maximise(problem, strength=strength, max_iterations=max_iterations, start=p)
        tick("queries' vectors")
    return p, tightness


def _tightness(problem: Problem, p: Parameters, precision: float) -> float:
    """One step of expectation-maximisation; `precision` is that of the prior on effects of tightness 1."""
    rate = float(np.clip(problem.outcome.mean(), 1e-6, 1 - 1e-6))
    squares = []
    for effect in problem.more:
        if effect.amount is not None:
            known = effect.index >= 0
            amount = np.square(effect.amount[known])
            says = rate * (1.0 - rate) * np.bincount(effect.index[known], amount, minlength=effect.size)
            squares.append(np.square(p.more[effect.name]) + 1.0 / (precision * effect.tightness + says))
    return max(1.0, 1.0 / (precision * float(np.mean(squares)))) if squares else 1.0
