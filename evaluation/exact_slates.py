"""Logs of slates in exact proportion, with all that estimators of slates are made of, by enumeration.

Two contexts, each with its own law over all slates of K out of five items; every slate is logged as often as its
propensity says, and pays its expected reward. An estimator that is right for the users at hand equals the truth.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["USERS", "Pair", "SlateLog", "Users", "exact_slates"]

Users = Literal["position-based", "independent", "reader", "cascade", "mixed", "whole slate"]
"""What the reward of a position depends on: how much it is looked at times how good its item is; its own item; and the
set of those above it; and their order; the own item in one context and the order above in the other; the whole page."""
USERS: tuple[Users, ...] = ("position-based", "independent", "reader", "cascade", "mixed", "whole slate")

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]
_N_ITEMS, _CONTEXTS = 5, 2


@dataclass(frozen=True, kw_only=True)
class SlateLog:
    """`n` pages of `K` out of `A` items in `C` contexts; pairs are of the logging policy and the one judged."""

    reward: NDArray[np.float64]  # (n, K)
    action: NDArray[np.int64]  # (n, K) items
    context: NDArray[np.int64]  # (n,)
    number: NDArray[np.int64]  # (n,) which of the slates
    slate: Pair  # (n,) of the whole page
    cascade: Pair  # (n, K) of the page down to each position
    sets: Pair  # (n, K) of this item here and this set of items above it, in any order
    item: Pair  # (n, K) of this item here
    places: Pair  # (n, K, K) of each shown item at each position
    marginal: Pair  # (n, K, A) of every item at each position
    given_above: NDArray[
        np.float64
    ]  # (n, K, A) of the policy judged: each item here, given the logged ones above
    model: NDArray[np.float64]  # (n, K, A) mean logged reward of each item here, in this context
    wrong_model: NDArray[np.float64]  # (n, K, A) of nothing in particular
    slates: NDArray[np.int64]  # (S, K) all slates
    laws: Pair  # (C, S)
    second_moment: NDArray[np.float64]  # (C, K A, K A) of the logging policy: E[1_s 1_s'], row k A + a
    examination: NDArray[np.float64]  # (K,) how much position-based users look
    truth: float  # what the policy judged is worth

    @property
    def n_rows(self) -> int:
        """Pages `n`."""
        return int(self.reward.shape[0])

    def take(self, rows: NDArray[Any] | slice) -> SlateLog:
        """The pages at `rows`."""
        return self._rows(lambda array: array[rows])

    def judged_by_itself(self) -> SlateLog:
        """The logging policy in the place of the one judged."""
        pairs: dict[str, Any] = {
            f.name: (getattr(self, f.name)[0],) * 2 for f in dataclasses.fields(self) if f.type == "Pair"
        }
        given = _given_above(self.slates, self.laws[0])[self.context, self.number]
        return dataclasses.replace(self, **pairs, given_above=given)

    def _rows(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> SlateLog:
        changed: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if f.name in ("slates", "laws", "second_moment", "examination", "truth"):
                continue
            changed[f.name] = (
                tuple(change(part) for part in value) if isinstance(value, tuple) else change(value)
            )
        return dataclasses.replace(self, **changed)


def exact_slates(users: Users = "independent", *, n_positions: int = 3, seed: int = 5) -> SlateLog:
    """The log for these users.

    Args:
        users: What rewards depend on.
        n_positions: Positions `K`: 1, 2 or 3. (Of a page that lacks one item alone, any reader's total would be a sum
            over positions.)
        seed: Of policies and rewards.
    """
    rng = np.random.default_rng(seed)
    K = n_positions
    slates = np.array(list(itertools.permutations(range(_N_ITEMS), K)))  # (S, K)
    S = slates.shape[0]
    counts = rng.integers(1, 6, (_CONTEXTS, S))
    laws = counts / counts.sum(axis=1, keepdims=True), rng.dirichlet(np.ones(S), _CONTEXTS)
    paid = _rewards(users, slates, rng)  # (C, S, K)
    hot = np.zeros((S, K, _N_ITEMS))
    hot[np.arange(S)[:, None], np.arange(K), slates] = 1.0
    flat = hot.reshape(S, -1)
    context, number = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices((_CONTEXTS, S)))
    marginal = [np.einsum("cs,ska->cka", law, hot) for law in laws]  # (C, K, A)
    mean = np.einsum("cs,csk,ska->cka", laws[0], paid, hot) / np.maximum(marginal[0], 1e-300)
    share = counts.sum(axis=1) / counts.sum()
    wrong = rng.normal(size=(_CONTEXTS, K, _N_ITEMS))
    at = context, number
    same_above = [_alike(slates, k) for k in range(K)]  # K times (S, S, 2): the same order, the same set
    return SlateLog(
        reward=paid[at],
        action=slates[number],
        context=context,
        number=number,
        slate=_pair(laws, lambda law: law[at]),
        cascade=_pair(laws, lambda law: np.stack([law @ same[:, :, 0] for same in same_above], axis=2)[at]),
        sets=_pair(laws, lambda law: np.stack([law @ same[:, :, 1] for same in same_above], axis=2)[at]),
        item=_pair(marginal, lambda m: m[context[:, None], np.arange(K), slates[number]]),
        places=_pair(
            marginal,
            lambda m: m[context][:, :, :].transpose(0, 2, 1)[
                np.arange(context.size)[:, None], slates[number]
            ],
        ),
        marginal=_pair(marginal, lambda m: m[context]),
        given_above=_given_above(slates, laws[1])[at],
        model=mean[context],
        wrong_model=wrong[context],
        slates=slates,
        laws=laws,
        second_moment=np.einsum("cs,si,sj->cij", laws[0], flat, flat),
        examination=_examination(K),
        truth=float(share @ (laws[1] * paid.sum(axis=2)).sum(axis=1)),
    )


def _examination(n_positions: int) -> NDArray[np.float64]:
    return np.asarray((np.arange(n_positions) + 1.0) ** -0.8)


def _rewards(users: Users, slates: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """(C, S, K) expected rewards."""
    S, K = slates.shape
    at = np.arange(K)
    appeal = rng.uniform(0.1, 0.9, (_CONTEXTS, _N_ITEMS))[:, slates]  # (C, S, K)
    own = rng.uniform(0.1, 0.9, (_CONTEXTS, K, _N_ITEMS))[:, at, slates]
    by_order = {tuple(s[: k + 1]): rng.uniform(0.1, 0.9, _CONTEXTS) for s in slates.tolist() for k in at}
    ordered = np.array([[by_order[tuple(s[: k + 1])] for k in at] for s in slates.tolist()])  # (S, K, C)
    ordered = ordered.transpose(2, 0, 1)
    if users == "position-based":
        return np.asarray(_examination(K) * appeal)
    if users == "reader":
        reached = np.cumprod(
            np.concatenate([np.ones((_CONTEXTS, S, 1)), 1 - appeal[:, :, :-1]], axis=2), axis=2
        )
        return np.asarray(reached * appeal)
    if users == "whole slate":
        return rng.uniform(0.1, 0.9, (_CONTEXTS, S, K))
    if users == "mixed":
        return np.stack([own[0], ordered[1]])
    return own if users == "independent" else ordered


def _alike(slates: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """(S, S, 2) do two slates have the same item at k, and above it the same items in order; and in any order?"""
    above = slates[:, :k]
    any_order = np.sort(above, axis=1)
    here = slates[:, None, k] == slates[None, :, k]
    order, sets = ((a[:, None] == a[None]).all(axis=2) for a in (above, any_order))
    return np.stack([here & order, here & sets], axis=2).astype(np.float64)


def _given_above(slates: NDArray[np.int64], law: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, S, K, A) chance of each item at each position, given the items of the slate above it."""
    chances = []
    for k in range(slates.shape[1]):
        same = (slates[:, None, :k] == slates[None, :, :k]).all(axis=2).astype(np.float64)  # (S, S)
        joint = np.einsum("st,ct,ta->csa", same, law, np.eye(_N_ITEMS)[slates[:, k]])
        chances.append(joint / joint.sum(axis=2, keepdims=True))
    return np.stack(chances, axis=2)


def _pair(
    of: tuple[NDArray[np.float64], NDArray[np.float64]] | list[NDArray[np.float64]],
    make: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Pair:
    return np.asarray(make(of[0]), np.float64), np.asarray(make(of[1]), np.float64)
