"""Labels without the pull of the position: three ways to count a log.

With `theta_k` the chance that position k is looked at, relative to the best one (`examination_by_position`):

    none          clicks and impressions as they are: what stood low looks bad
    propensity    a click at position k counts 1 / theta_k, an impression 1 (inverse propensity scoring: Joachims,
                  Swaminathan, Schnabel, "Unbiased learning-to-rank with biased feedback", WSDM 2017, equation 4)
    click_model   a click counts 1, an impression theta_k: the maximum likelihood of a position-based click model with
                  Poisson clicks, whose examination and click rates are fitted jointly (`encoders.pairs`)

The two debiased ways estimate the same rate; the second has less variance, because a rare click far down does not count
many times.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps
from encoders.pairs import PairCounts, count_pairs, examination_by_position, sum_over_pairs

__all__ = ["Debias", "debiased_counts"]

Debias = Literal["none", "propensity", "click_model"]


def debiased_counts(
    steps: LoggedSteps,
    way: Debias,
    *,
    examination: NDArray[np.float64] | None = None,
    largest_weight: float = 10.0,
) -> PairCounts:
    """The counts of a log, counted as `way` says.

    Args:
        steps: The log.
        way: See the module.
        examination: (K,) relative examination; estimated from `steps` by default.
        largest_weight: A click counts no more than this (way 'propensity'); clipping trades variance for bias.
    """
    if way == "none":
        return count_pairs(steps, np.ones(steps.slate_size))
    theta = examination_by_position(steps) if examination is None else examination
    if way == "click_model":
        return count_pairs(steps, theta)
    plain = count_pairs(steps, np.ones(steps.slate_size))
    weight = np.minimum(1.0 / np.maximum(theta, 1e-12), largest_weight)  # (K,)
    weighed = sum_over_pairs(steps, steps.click * weight), sum_over_pairs(steps, steps.purchase * weight)
    # A weighed click is as many impressions that were looked at; what is left of the impressions are misses.
    exposure = np.maximum(plain.impressions, weighed[0])
    return replace(plain, clicks=weighed[0], purchases=weighed[1], exposure=exposure)
