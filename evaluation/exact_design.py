"""Small logs in which every slate occurs in exact proportion: unbiased estimators equal the truth, to rounding.

Twelve slates of two out of four items, each logged as often as its propensity says, with the expected reward in place
of a random one. Both policies are arbitrary laws over slates; their marginals come from enumeration.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.disagreement import Structure

__all__ = ["STRUCTURES", "ExactLog", "exact_design"]

STRUCTURES: tuple[Structure, ...] = ("independent", "cascade", "whole slate")
"""Users, from the most restricted to the least."""

_N_ITEMS, _K = 4, 2
Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class ExactLog:
    """A log of `n` rows with logged and evaluation propensities, and the value of the policy judged."""

    reward: NDArray[np.float64]  # (n, 2)
    slate: Pair  # (n,) of the whole slate
    cascade: Pair  # (n, 2) of the slate down to each position
    item: Pair  # (n, 2) of each item at its position
    truth: float


def exact_design(structure: Structure) -> ExactLog:
    """The log for users whose reward at a position depends on what `structure` says.

    'independent': on the item there; 'cascade': on the item above too; 'whole slate': on the item below as well.
    """
    rng = np.random.default_rng(27)  # a design whose wrong estimators are off by more than a tenth
    slates = np.array(list(itertools.permutations(range(_N_ITEMS), _K)))  # (S, 2)
    S = slates.shape[0]
    counts = rng.integers(1, 9, S)
    logging = counts / counts.sum()
    evaluation = rng.dirichlet(np.ones(S))
    own = rng.uniform(0.1, 0.9, (_K, _N_ITEMS))
    from_above, from_below = rng.uniform(-0.5, 0.5, (2, _N_ITEMS, _N_ITEMS))
    first, second = slates.T
    reward = np.stack([own[0, first], own[1, second]], axis=1)  # (S, 2)
    if structure != "independent":
        reward[:, 1] += from_above[first, second]
    if structure == "whole slate":
        reward[:, 0] += from_below[first, second]
    rows = np.repeat(np.arange(S), counts)
    laws = [_marginals(slates, law) for law in (logging, evaluation)]
    cascade, item = ([law[part][rows] for law in laws] for part in (0, 1))
    return ExactLog(
        reward=reward[rows],
        slate=(logging[rows], evaluation[rows]),
        cascade=(cascade[0], cascade[1]),
        item=(item[0], item[1]),
        truth=float(evaluation @ reward.sum(axis=1)),
    )


def _marginals(slates: NDArray[np.int64], law: NDArray[np.float64]) -> Pair:
    """Probability of each slate down to each position, and of its items at their positions, (S, 2) each."""
    item = np.zeros((_K, _N_ITEMS))
    for k in range(_K):
        np.add.at(item[k], slates[:, k], law)
    at = np.stack([item[k, slates[:, k]] for k in range(_K)], axis=1)
    return np.stack([at[:, 0], law], axis=1), at
