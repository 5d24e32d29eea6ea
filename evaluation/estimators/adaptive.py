"""Adaptive IPS: each context weighed by what *its* users look at.

    AIPS = mean(sum_k w_k(c_i) r_k),   w_k(c) = pi_e(Phi_k(s, c) | x) / pi_b(Phi_k(s, c) | x)

with `c` the user behaviour of the context and `Phi_k(s, c)` the items of slate s that the reward of position k
depends on under it (Kiyohara, Uehara, Narita, Shimizu, Yamamoto, Saito: Off-policy evaluation of ranking policies
under diverse user behavior, KDD 2023). Where all users are independent it is IIPS, where all cascade it is RIPS.
Behaviours are numbered here by the order in which their probabilities are passed, from the simplest to the richest:
commonly item-position, cascade, whole slate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.blocks import Given, estimate_rows
from evaluation.estimators.checks import numbers
from evaluation.estimators.result import Estimate
from evaluation.estimators.weighting import weighted_estimate

__all__ = ["BehaviourChoice", "adaptive_ips", "choose_behaviour", "snadaptive_ips"]


def adaptive_ips(
    reward: ArrayLike,
    logging: Sequence[ArrayLike],
    evaluation: Sequence[ArrayLike],
    *,
    behaviour: ArrayLike,
    shown: ArrayLike | None = None,
) -> Estimate:
    """Adaptive IPS.

    Unbiased where `behaviour` says for each row which items each position's reward can depend on: naming more than
    it does costs variance, naming fewer costs bias. The least variance of all unbiased weightings of this kind.

    Args:
        reward: (n, K) reward of each position.
        logging: For each behaviour, (n, K) logged probability of the items that each position's reward depends on,
            in (0, 1]; or (n,) where that is the whole slate at every position.
        evaluation: The same under the policy judged.
        behaviour: (n,) number of the behaviour of each row's context, or (n, K) of each position.
        shown: (n, K) booleans, False where a short page is empty; None: all positions hold an item.
    """
    return _adaptive("AIPS", reward, logging, evaluation, behaviour, shown, normalise=False)


def snadaptive_ips(
    reward: ArrayLike,
    logging: Sequence[ArrayLike],
    evaluation: Sequence[ArrayLike],
    *,
    behaviour: ArrayLike,
    shown: ArrayLike | None = None,
) -> Estimate:
    """Self-normalised adaptive IPS, position by position; arguments as for `adaptive_ips`."""
    return _adaptive("SNAIPS", reward, logging, evaluation, behaviour, shown, normalise=True)


def _adaptive(
    name: str,
    reward: ArrayLike,
    logging: Sequence[ArrayLike],
    evaluation: Sequence[ArrayLike],
    behaviour: ArrayLike,
    shown: ArrayLike | None,
    *,
    normalise: bool,
) -> Estimate:
    r = numbers(reward, "reward", 2, name)
    which = np.asarray(behaviour)
    if len(logging) != len(evaluation) or not logging:
        raise InputError(
            f"{len(logging)} logged and {len(evaluation)} evaluation probabilities",
            where=name,
            mend="Pass both for every behaviour, in the same order.",
        )
    if which.dtype.kind not in "iu" or which.shape not in (r.shape, r.shape[:1]):
        raise InputError(
            f"`behaviour` is {which.dtype} of shape {which.shape} for rewards {r.shape}",
            where=name,
            mend="Pass the number of each row's behaviour, (n,), or of each position's, (n, K).",
        )
    if which.size and (which.min() < 0 or which.max() >= len(logging)):
        raise InputError(
            f"behaviour {which.min()} to {which.max()}, expected numbers in [0, {len(logging)})",
            where=name,
            mend="Number the behaviours by the order in which their probabilities are passed.",
        )
    if which.ndim == 1:
        which = which[:, None]
    b, e = (
        _chosen(argument, arrays, which, r.shape, name)
        for argument, arrays in (("logging", logging), ("evaluation", evaluation))
    )
    return weighted_estimate(
        name, r, b, e, reward_ndim=2, propensity_ndim=2, normalise=normalise, shown=shown
    )


def _chosen(
    argument: str, arrays: Sequence[ArrayLike], which: NDArray[Any], shape: tuple[int, ...], name: str
) -> NDArray[np.float64]:
    """(n, K) of each position the probability that its behaviour asks for."""
    out = np.empty(shape)
    for number, values in enumerate(arrays):
        array = np.asarray(values, np.float64)
        if array.shape not in (shape, shape[:1]):
            raise InputError(
                f"`{argument}` of behaviour {number} has shape {array.shape} for rewards {shape}",
                where=name,
                mend="Pass (n, K), or (n,) for whole slates.",
            )
        np.copyto(out, array if array.ndim == 2 else array[:, None], where=which == number)
    return out


@dataclass(frozen=True)
class BehaviourChoice:
    """Which behaviour was chosen for each group of contexts."""

    behaviour: NDArray[np.intp]
    """(n,) the number of the behaviour, for `adaptive_ips`."""
    groups: NDArray[Any]
    """(G,) the groups."""
    chosen: NDArray[np.intp]
    """(G,) the behaviour of each."""
    value: NDArray[np.float64]
    """(G, M) estimate by each behaviour."""
    standard_error: NDArray[np.float64]
    """(G, M)."""


def choose_behaviour(
    reward: ArrayLike,
    logging: Sequence[ArrayLike],
    evaluation: Sequence[ArrayLike],
    *,
    groups: ArrayLike,
    width: float = 2.0,
    shown: ArrayLike | None = None,
) -> BehaviourChoice:
    """Chooses each group's behaviour from the log: the simplest one that the richer ones do not contradict.

    Lepski's principle as in SLOPE (Su, Srinath, Krishnamurthy: Adaptive estimator selection for off-policy
    evaluation, ICML 2020): from the richest behaviour to the simplest, as long as the intervals `estimate
    +- width x standard error` of all so far have a point in common. Kiyohara et al. (2023) grow a tree
    over contexts instead; here the groups are the caller's. What is chosen on the rows that are then judged is a
    little too favourable to simple behaviours: choose on other sessions where there are enough.

    Args:
        reward: (n, K) reward of each position.
        logging: As for `adaptive_ips`, from the simplest behaviour to the richest.
        evaluation: The same under the policy judged.
        groups: (n,) label of the row's context; at least two rows each.
        width: Half-width of the intervals in standard errors.
        shown: (n, K) booleans, False where a short page is empty.
    """
    labels, dense = np.unique(np.asarray(groups), return_inverse=True)
    M = len(logging)
    value, error = np.empty((labels.size, M)), np.empty((labels.size, M))
    n = dense.size
    for number in range(M):
        found = adaptive_ips(reward, logging, evaluation, behaviour=np.full(n, number, np.intp), shown=shown)
        for g in range(labels.size):
            part = estimate_rows(
                "AIPS", Given(found.weights[dense == g], found.terms[dense == g, None], None)
            )
            value[g, number], error[g, number] = part.value, part.standard_error
    if np.isnan(error).any():
        g = int(np.isnan(error).any(axis=1).argmax())
        raise InputError(
            f"group {labels[g]!r} has one row",
            where="choose_behaviour",
            mend="Make groups of at least two rows; hundreds are needed to tell behaviours apart.",
        )
    low, high = value - width * error, value + width * error
    chosen = np.full(labels.size, M - 1, np.intp)
    for g in range(labels.size):
        floor, roof = low[g, M - 1], high[g, M - 1]
        for number in range(M - 2, -1, -1):
            floor, roof = max(floor, low[g, number]), min(roof, high[g, number])
            if floor > roof:
                break
            chosen[g] = number
    return BehaviourChoice(chosen[dense], labels, chosen, value, error)
