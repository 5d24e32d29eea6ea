"""Where the prior of an ensemble's member is centred: at a draw from the prior itself.

A fit pulls what the log says little of towards the centre of the prior. Members that all share one centre agree
about an item the log never showed, and the ensemble would be sure of it. A centre drawn from the prior gives each
member an opinion of its own there, and for a Gaussian likelihood exact draws from the posterior: with data precision
A and prior precision T, (A + T)^-1 (A theta_data + T theta_0) has variance (A + T)^-1 where theta_data has A^-1 and
theta_0 has T^-1.

One strength is chosen for all that a part learns, by what foretells, so a prior can be far looser than what its numbers
turn out to be like; draws from it would then be absurd where nothing holds them. The draws are therefore no wider than
the numbers themselves: their mean square plus their posterior variance, the variance of one EM step.

Source: Pearce, Leibfried, Brintrup, "Uncertainty in neural networks: approximately Bayesian ensembling", AISTATS
2020, sections 3 and 4; Bardsley, Solonen, Haario, Laine, "Randomize-then-optimize", SIAM Journal on Scientific
Computing 36, 2014; for the variance, Laird and Ware, "Random-effects models for longitudinal data", Biometrics 38,
1982.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from simulators.fitting.likelihood import Problem

__all__ = ["CATEGORY_PENALTY", "EFFECT_PENALTY", "ITEM_PENALTY", "LEAST_SCALE", "Learned", "drawn_centre"]

CATEGORY_PENALTY = 0.03
"""Relative tightness of the prior on category biases."""
ITEM_PENALTY = 0.03
"""Relative tightness of the prior on item biases."""
EFFECT_PENALTY = 0.03
"""Relative tightness of the prior on what is learned for a query, a query and category, a query and item."""
LEAST_SCALE = 0.02
"""Standard deviations of columns count as at least so much."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a prior holds: values, or centres of the prior."""

    weights: Floats  # (P,) of standardised columns
    category: Floats  # (C,)
    item: Floats  # (I,)
    more: tuple[Floats, ...]  # (size,) of each further effect


def drawn_centre(
    problem: Problem, strength: float, spread: Floats, start: Learned, rng: np.random.Generator | None
) -> tuple[Learned, Learned]:
    """The centre of the prior of `strength`, and where to start: zero and `start` where `rng` is None, else a draw.

    The start moves by the share of the centre that the data leave it, as if all numbers were apart: where the log says
    nothing the optimiser would have to walk all the way to the centre down a slope too shallow to see.

    The constant has no prior worth drawing from. Columns that never move in the log keep the centre zero: a unit of
    them is many standard deviations, of which the log knows nothing.

    Args:
        problem: Whose prior.
        strength: Multiplies the relative tightness.
        spread: (P,) standard deviations of the columns.
        start: Values of the fit to the log as it is.
        rng: Source of the draw.
    """
    zero = Learned(
        weights=np.zeros_like(start.weights),
        category=np.zeros_like(start.category),
        item=np.zeros_like(start.item),
        more=tuple(np.zeros_like(bias) for bias in start.more),
    )
    if rng is None:
        return zero, start
    rate = float(np.clip(problem.outcome.mean(), 1e-6, 1 - 1e-6)) if len(problem.outcome) else 0.5
    known = rate * (1.0 - rate)  # what one row says about a logit

    def draw(value: Floats, precision: float, says: Floats) -> tuple[Floats, Floats]:
        """Centres of equally tight numbers and starts, given what the data say of each."""
        if not len(value):
            return value, value
        seen = says > 0
        own = float((np.square(value) + 1.0 / (precision + says))[seen].mean()) if seen.any() else np.inf
        centre = rng.standard_normal(len(value)) * np.sqrt(min(1.0 / precision, own))
        return centre, value + centre * precision / (precision + says)

    def shown(index: NDArray[np.int64] | None, size: int, amount: Floats | None = None) -> Floats:
        if index is None:
            return np.zeros(size)
        there = index >= 0
        squares = None if amount is None else np.square(amount[there])
        return np.asarray(known * np.bincount(index[there], squares, minlength=size), np.float64)

    weights, begin = zero.weights.copy(), start.weights.copy()
    for penalty in np.unique(problem.penalty[problem.penalty > 0]):
        group = (problem.penalty == penalty) & (spread >= LEAST_SCALE)
        rows = np.full(int(group.sum()), known * len(problem.outcome))
        weights[group], begin[group] = draw(start.weights[group], float(penalty) * strength, rows)
    category, of_category = draw(
        start.category, strength * CATEGORY_PENALTY, shown(problem.category, len(start.category))
    )
    item, of_item = draw(start.item, strength * ITEM_PENALTY, shown(problem.item, len(start.item)))
    more = [
        draw(
            bias,
            strength * EFFECT_PENALTY * effect.tightness,
            shown(effect.index, effect.size, effect.amount),
        )
        for bias, effect in zip(start.more, problem.more, strict=True)
    ]
    return (
        Learned(weights=weights, category=category, item=item, more=tuple(c for c, _ in more)),
        Learned(weights=begin, category=of_category, item=of_item, more=tuple(b for _, b in more)),
    )
