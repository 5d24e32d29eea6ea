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
from evaluation.estimators.checks import array_of, numbers
from evaluation.estimators.result import Estimate
from evaluation.estimators.tuning import TuneConfig, Tuned, tune_slope
from evaluation.estimators.weighting import weighted_by_position

__all__ = ["BehaviourChoice", "adaptive_ips", "choose_behaviour", "snadaptive_ips"]


def adaptive_ips(
    reward: ArrayLike,
    logging: Sequence[ArrayLike],
    evaluation: Sequence[ArrayLike],
    *,
    behaviour: ArrayLike,
    shown: ArrayLike | None = None,
) -> Estimate:
    """Adaptive IPS, `mean(sum_k w_k(c_i) r_k)`, `c_i` the behaviour of the row.

    Unbiased where `behaviour` says for each row which items each position's reward can depend on: naming more than
    it does costs variance, naming fewer costs bias. The least variance of all unbiased weightings of this kind.
    Source: Kiyohara et al., KDD 2023.

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
    """Self-normalised adaptive IPS, `sum_k sum_i(w_ik r_ik) / sum_i(w_ik)`; otherwise as for `adaptive_ips`."""
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
    which = array_of(behaviour, "behaviour", name)
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
    return weighted_by_position(name, r, b, e, shown, normalise=normalise)


def _chosen(
    argument: str, arrays: Sequence[ArrayLike], which: NDArray[Any], shape: tuple[int, ...], name: str
) -> NDArray[np.float64]:
    """(n, K) of each position the probability that its behaviour asks for."""
    out = np.empty(shape)
    for number, values in enumerate(arrays):
        array = array_of(values, f"{argument} of behaviour {number}", name)
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
    tuned: tuple[Tuned, ...]
    """(G,) how each was chosen: estimates and half widths by every behaviour, and warnings."""


def choose_behaviour(
    reward: ArrayLike,
    logging: Sequence[ArrayLike],
    evaluation: Sequence[ArrayLike],
    *,
    groups: ArrayLike,
    clusters: NDArray[Any] | None = None,
    shown: ArrayLike | None = None,
    config: TuneConfig | None = None,
) -> BehaviourChoice:
    """Chooses each group's behaviour from the log: the least uncertain one that the others do not contradict.

    By SLOPE (`evaluation.estimators.tuning.tune_slope`) within each group. Kiyohara et al. (2023) grow a tree over
    contexts instead; here the groups are the caller's. What is chosen on the rows that are then judged is a little
    too favourable to simple behaviours: choose on other sessions where there are enough.

    Args:
        reward: (n, K) reward of each position.
        logging: As for `adaptive_ips`.
        evaluation: The same under the policy judged.
        groups: (n,) label of the row's context; hundreds of rows each are needed to tell behaviours apart.
        clusters: (n,) labels of users or sessions, whose rows are not independent.
        shown: (n, K) booleans, False where a short page is empty.
        config: How sure the choice has to be.

    Raises:
        InputError: Groups of fewer than two rows, or a group where no behaviour has an estimate.
    """
    labels, dense = np.unique(np.asarray(groups), return_inverse=True)
    n = dense.shape[0]
    if np.bincount(dense).min(initial=2) < 2:
        raise InputError(
            f"group {labels[int(np.bincount(dense).argmin())]!r} has one row",
            where="choose_behaviour",
            mend="Make groups of at least two rows; hundreds are needed to tell behaviours apart.",
        )
    every = [
        adaptive_ips(reward, logging, evaluation, behaviour=np.full(n, number, np.intp), shown=shown)
        for number in range(len(logging))
    ]
    tuned = tuple(_tuned(every, dense == g, clusters, config) for g in range(labels.size))
    chosen = np.array([int(found.parameter) for found in tuned], np.intp)
    return BehaviourChoice(chosen[dense], labels, chosen, tuned)


def _tuned(
    every: Sequence[Estimate],
    rows: NDArray[np.bool_],
    clusters: NDArray[Any] | None,
    config: TuneConfig | None,
) -> Tuned:
    def of_group(number: float) -> Estimate:
        whole = every[int(number)]
        return estimate_rows(whole.name, Given(whole.weights[rows], whole.terms[rows, None], None))

    inside = None if clusters is None else clusters[rows]
    return tune_slope(
        of_group, [float(number) for number in range(len(every))], clusters=inside, config=config
    )
