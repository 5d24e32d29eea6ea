"""Where the prior of an ensemble's member is centred: at a draw from the prior itself.

A fit pulls what the log says little of towards the centre of the prior. Members that all share one centre agree
about an item the log never showed, and the ensemble would be sure of it. A centre drawn from the prior gives each
member an opinion of its own there, and for a Gaussian likelihood exact draws from the posterior: with data precision
A and prior precision T, (A + T)^-1 (A theta_data + T theta_0) has variance (A + T)^-1 where theta_data has A^-1 and
theta_0 has T^-1.

Source: Pearce, Leibfried, Brintrup, "Uncertainty in neural networks: approximately Bayesian ensembling", AISTATS
2020, sections 3 and 4; Bardsley, Solonen, Haario, Laine, "Randomize-then-optimize", SIAM Journal on Scientific
Computing 36, 2014.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from simulators.fitting.likelihood import Problem

__all__ = ["CATEGORY_PENALTY", "EFFECT_PENALTY", "ITEM_PENALTY", "LEAST_SCALE", "Centre", "drawn_centre"]

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
class Centre:
    """Centre and precision of the prior of weights of standardised columns and of biases."""

    weights: Floats  # (P,)
    category: Floats  # (C,)
    item: Floats  # (I,)
    precision: tuple[Floats, float, float]  # (P,) of the weights; of category and item biases

    def warm(
        self, problem: Problem, weights: Floats, category: Floats, item: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """A start at the point fit, moved by the share of the centre that the data leave it, as if all were apart.

        Where the log says nothing the optimiser would have to walk all the way to the centre down a slope too
        shallow to see.
        """
        if not (self.weights.any() or self.category.any() or self.item.any()):
            return weights, category, item
        rate = float(np.clip(problem.outcome.mean(), 1e-6, 1 - 1e-6)) if len(problem.outcome) else 0.5
        known = rate * (1.0 - rate)  # of one row about a logit

        def left(precision: Floats | float, rows: Floats | float) -> Floats:
            return np.asarray(precision / (precision + known * rows))

        def shown(index: NDArray[np.int64] | None, size: int) -> Floats:
            return np.zeros(size) if index is None else np.bincount(index, minlength=size).astype(np.float64)

        of_weights, of_category, of_item = self.precision
        return (
            weights + self.weights * left(of_weights, float(len(problem.outcome))),
            category + self.category * left(of_category, shown(problem.category, len(category))),
            item + self.item * left(of_item, shown(problem.item, len(item))),
        )


def drawn_centre(
    problem: Problem, strength: float, spread: Floats, rng: np.random.Generator | None
) -> Centre:
    """The centre of the prior of `strength`: zero where `rng` is None, else a draw from that prior.

    The constant has no prior worth drawing from. Columns that never move in the log keep the centre zero: a unit of
    them is many standard deviations, of which the log knows nothing.

    Args:
        problem: Whose prior.
        strength: Multiplies the relative tightness.
        spread: (P,) standard deviations of the columns.
        rng: Source of the draw.
    """
    precision = np.maximum(problem.penalty.astype(np.float64) * strength, 1e-12)
    tight = strength * CATEGORY_PENALTY, strength * ITEM_PENALTY
    weights = np.zeros(len(precision))
    category, item = np.zeros(problem.n_categories), np.zeros(problem.n_items)
    if rng is not None:
        free = (problem.penalty > 0) & (spread >= LEAST_SCALE)
        weights = np.where(free, rng.standard_normal(len(precision)) / np.sqrt(precision), 0.0)
        category = rng.standard_normal(len(category)) / np.sqrt(tight[0])
        item = rng.standard_normal(len(item)) / np.sqrt(tight[1])
    return Centre(weights=weights, category=category, item=item, precision=(precision, *tight))
