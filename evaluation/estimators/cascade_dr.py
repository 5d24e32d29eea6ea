"""Cascade doubly robust: a reward model for the slate's tail, corrected by cascade weights position by position.

With `w_k` the cascade weight down to position k (`w_0 = 1`) and any reward model `q_k(x, a_1..a_k)`,

    Cascade-DR = mean(sum_k w_k (r_k - q_k(a_k)) + w_{k-1} sum_a pi_e(a | x, a_1..a_{k-1}) q_k(a))

(Kiyohara, Saito, Matsuhiro, Narita, Shimizu, Yamamoto: Doubly robust off-policy evaluation for ranking policies
under the cascade behavior model, WSDM 2022.) The model that makes the weights matter least foretells
the rewards of position k *and all below it* under the policy judged, given the items down to k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.blocks import Block, estimate_rows
from evaluation.estimators.checks import (
    array_of,
    check_actions,
    check_distribution,
    check_probabilities,
    check_reward,
    check_same_rows,
    check_shown,
    numbers,
)
from evaluation.estimators.result import Estimate

__all__ = ["cascade_dr", "cascade_dr_from_values", "sncascade_dr", "sncascade_dr_from_values"]

_ROUNDING = 1e-4
"""Relative difference allowed between `evaluation` and the product of `evaluation_dist`: the latter is often
float32."""


@dataclass(frozen=True)
class _Rows:
    """What both forms of the reward model go with."""

    name: str
    reward: NDArray[np.float64]  # (n, K)
    logging: NDArray[np.float64]  # (n, K)
    evaluation: NDArray[np.float64]  # (n, K)
    shown: NDArray[np.bool_] | None
    normalise: bool

    @property
    def n_rows(self) -> int:
        return int(self.reward.shape[0])


@dataclass(frozen=True)
class _Values(_Rows):
    """Rows whose reward model has been evaluated: at the shown item, and averaged over the policy judged."""

    predicted: NDArray[np.float64]  # (n, K)
    expected: NDArray[np.float64]  # (n, K)

    @property
    def width(self) -> int:
        return int(self.reward.shape[1])

    def block(self, rows: slice) -> Block:
        part = _part(self, rows)
        return _block(
            self.name, part, self.predicted[rows], self.expected[rows], rows.start, normalise=self.normalise
        )


@dataclass(frozen=True)
class _Tables(_Rows):
    """Rows with the reward model and the policy judged as tables over all items."""

    action: NDArray[Any]  # (n, K)
    evaluation_dist: NDArray[Any]  # (n, K, A)
    q_hat: NDArray[Any]  # (n, K, A)

    @property
    def width(self) -> int:
        return int(self.q_hat.shape[1] * self.q_hat.shape[2])

    def block(self, rows: slice) -> Block:
        part = _part(self, rows)
        m, K, A = self.q_hat[rows].shape
        q = np.asarray(self.q_hat[rows], np.float64)
        dist = np.asarray(self.evaluation_dist[rows], np.float64)
        action = check_actions(
            self.action[rows],
            (m, K),
            n_items=A,
            where=f"{self.name} (rows from {rows.start})",
            shown=part.shown,
        )
        # Where the policy judged never comes, its distribution means nothing and weighs nothing.
        reached = part.before > 0
        if part.shown is not None:
            reached &= part.shown
        check_distribution(dist, name="evaluation_dist", where=self.name, shown=reached, first_row=rows.start)
        at = (np.arange(m * K), action.ravel())
        predicted = q.reshape(m * K, A)[at].reshape(m, K)
        chance = dist.reshape(m * K, A)[at].reshape(m, K)
        self._agree(part, chance, reached, rows.start)
        expected = np.einsum("mka,mka->mk", dist, q)
        if not reached.all():
            expected = np.where(reached, expected, 0.0)
        return _block(self.name, part, predicted, expected, rows.start, normalise=self.normalise)

    def _agree(
        self, part: _Part, chance: NDArray[np.float64], reached: NDArray[np.bool_], first: int
    ) -> None:
        """The policy judged is stated twice: both must be the same policy."""
        wanted = part.before * chance
        bad = reached & ~(np.abs(part.evaluation - wanted) <= _ROUNDING * np.maximum(wanted, 1e-300) + 1e-12)
        if bad.any():
            row, position = (int(i) for i in np.argwhere(bad)[0])
            raise InputError(
                f"`evaluation` holds {part.evaluation[row, position]:.6g}, but `evaluation_dist` makes it "
                f"{wanted[row, position]:.6g}",
                where=f"{self.name}, row {first + row}, position {position}",
                mend="Pass cascade (not item-position) probabilities, and distributions given the logged items above.",
            )


@dataclass(frozen=True)
class _Part:
    """Some rows, checked."""

    reward: NDArray[np.float64]
    logging: NDArray[np.float64]
    evaluation: NDArray[np.float64]
    before: NDArray[np.float64]  # (m, K) the evaluation probability of the items above
    shown: NDArray[np.bool_] | None


def _part(rows_of: _Rows, rows: slice) -> _Part:
    r, b, e = rows_of.reward[rows], rows_of.logging[rows], rows_of.evaluation[rows]
    shown = None if rows_of.shown is None else rows_of.shown[rows]
    if shown is not None:
        # An empty position changes nothing: it keeps the weight of the items above it.
        r, b, e = np.where(shown, r, 0.0), _kept(b, shown), _kept(e, shown)
    ok = np.isfinite(r).all() and b.min() > 0 and b.max() <= 1 and e.min() >= 0 and e.max() <= 1
    if not ok:
        where = f"{rows_of.name} (rows from {rows.start})"
        check_reward(
            np.concatenate([r, r]), ndim=2, where=where
        )  # twice: a single row is no fault of the log
        b = check_probabilities(b, name="logging", ndim=2, positive=True, where=where)
        e = check_probabilities(e, name="evaluation", ndim=2, positive=False, where=where)
    before = np.ones_like(e)
    before[:, 1:] = e[:, :-1]
    _falls(rows_of.name, "logging", b, rows.start)
    _falls(rows_of.name, "evaluation", e, rows.start)
    return _Part(r, b, e, before, shown)


def _kept(probability: NDArray[np.float64], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(m, K) with each empty position given the value of the last shown one above it, 1 at the top."""
    kept = np.where(shown, probability, np.nan)
    last = np.ones(kept.shape[0])
    for k in range(kept.shape[1]):
        last = kept[:, k] = np.where(shown[:, k], kept[:, k], last)
    return kept


def _falls(name: str, argument: str, probability: NDArray[np.float64], first: int) -> None:
    bad = probability[:, 1:] > probability[:, :-1] * (1 + 1e-9) + 1e-12
    if bad.any():
        row, position = (int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"`{argument}` rises from {probability[row, position]:.6g} to {probability[row, position + 1]:.6g}; the "
            "probability of more items is never larger",
            where=f"{name}, row {first + row}, position {position + 1}",
            mend="Pass cascade probabilities: of all the items down to each position.",
        )


def _block(
    name: str,
    part: _Part,
    predicted: NDArray[np.float64],
    expected: NDArray[np.float64],
    first: int,
    *,
    normalise: bool,
) -> Block:
    if part.shown is not None:
        predicted, expected = np.where(part.shown, predicted, 0.0), np.where(part.shown, expected, 0.0)
    for argument, values in (("predicted", predicted), ("expected", expected)):
        if not np.isfinite(values).all():
            row, position = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise InputError(
                f"the reward model's {argument} reward is {values[row, position]}",
                where=f"{name}, row {first + row}, position {position}",
                mend="Fill the model's gaps (0 will do: any model leaves the estimate unbiased), or mend its fit.",
            )
    w = part.evaluation / part.logging  # (m, K)
    above = np.ones_like(w)
    above[:, 1:] = w[:, :-1]
    corrected, foretold = w * (part.reward - predicted), above * expected
    if not normalise:
        return Block(w, corrected + foretold, None)
    return Block(w, np.concatenate([corrected, foretold], axis=1), np.concatenate([w, above], axis=1))


def _inputs(
    name: str,
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    shown: ArrayLike | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_] | None]:
    r, b, e = (
        numbers(values, argument, 2, name)
        for argument, values in (("reward", reward), ("logging", logging), ("evaluation", evaluation))
    )
    check_same_rows(name, reward=r, logging=b, evaluation=e)
    if r.shape[0] < 2:
        check_reward(r, ndim=2, where=name)
    return r, b, e, None if shown is None else check_shown(shown, r.shape, where=name)


def _tables(
    name: str,
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    action: ArrayLike,
    evaluation_dist: ArrayLike,
    q_hat: ArrayLike,
    shown: ArrayLike | None,
    *,
    normalise: bool,
) -> Estimate:
    r, b, e, mask = _inputs(name, reward, logging, evaluation, shown)
    dist, q = array_of(evaluation_dist, "evaluation_dist", name), array_of(q_hat, "q_hat", name)
    if q.ndim != 3 or q.shape != dist.shape or q.shape[:2] != r.shape:
        raise InputError(
            f"`q_hat` {q.shape} and `evaluation_dist` {dist.shape} for rewards {r.shape}",
            where=name,
            mend="Pass both as (n, K, A): a value and a probability for each item at each position.",
        )
    chosen = array_of(action, "action", name)
    check_same_rows(name, reward=r, action=chosen)
    return estimate_rows(name, _Tables(name, r, b, e, mask, normalise, chosen, dist, q))


def _values(
    name: str,
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    predicted: ArrayLike,
    expected: ArrayLike,
    shown: ArrayLike | None,
    *,
    normalise: bool,
) -> Estimate:
    r, b, e, mask = _inputs(name, reward, logging, evaluation, shown)
    here, ahead = numbers(predicted, "predicted", 2, name), numbers(expected, "expected", 2, name)
    check_same_rows(name, reward=r, predicted=here, expected=ahead)
    return estimate_rows(name, _Values(name, r, b, e, mask, normalise, here, ahead))


def cascade_dr(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    action: ArrayLike,
    evaluation_dist: ArrayLike,
    q_hat: ArrayLike,
    shown: ArrayLike | None = None,
) -> Estimate:
    """Cascade doubly robust, `mean(sum_k w_k (r_k - q_k(a_k)) + w_{k-1} sum_a pi_e(a | above) q_k(a))`, `w_0 = 1`.

    Unbiased for *any* reward model that was not fitted to the same rows, where a position's reward depends on the
    items down to it, propensities are right and the log could show whatever the policy would. A better model
    means less variance. A plain average: denominators of ones. Source: Kiyohara et al., WSDM 2022.

    Args:
        reward: (n, K) reward of each position.
        logging: (n, K) logged joint propensity of the slate down to each position, in (0, 1].
        evaluation: (n, K) the same under the policy judged.
        action: (n, K) number of the item shown, in [0, A).
        evaluation_dist: (n, K, A) the policy's distribution over the item at each position, given the *logged*
            items above it. Not looked at where the policy judged would never show those.
        q_hat: (n, K, A) the reward model's value of each item there, given the logged items above: of rewards from
            this position down. Cross-fitted: fitted to other sessions than the row's.
        shown: (n, K) booleans, False where a short page is empty; None: all positions hold an item.

    Raises:
        InputError: Bad values, distributions that do not sum to 1, or ones that contradict `evaluation`.
    """
    return _tables(
        "Cascade-DR", reward, logging, evaluation, action, evaluation_dist, q_hat, shown, normalise=False
    )


def sncascade_dr(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    action: ArrayLike,
    evaluation_dist: ArrayLike,
    q_hat: ArrayLike,
    shown: ArrayLike | None = None,
) -> Estimate:
    """Cascade-DR with each position's weights divided by their mean; consistent, arguments as for `cascade_dr`.

    `sum_k sum(w_k (r_k - q_k)) / sum(w_k) + sum(w_{k-1} v_k) / sum(w_{k-1})`: 2 K ratios of sums.
    """
    return _tables(
        "SNCascade-DR", reward, logging, evaluation, action, evaluation_dist, q_hat, shown, normalise=True
    )


def cascade_dr_from_values(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    predicted: ArrayLike,
    expected: ArrayLike,
    shown: ArrayLike | None = None,
) -> Estimate:
    """Cascade-DR, `mean(sum_k w_k (r_k - predicted_k) + w_{k-1} expected_k)`: for candidates too many for tables.

    Assumptions as for `cascade_dr`.

    Args:
        reward: (n, K) reward of each position.
        logging: (n, K) logged joint propensity of the slate down to each position, in (0, 1].
        evaluation: (n, K) the same under the policy judged.
        predicted: (n, K) the model's value of the item shown.
        expected: (n, K) the model's value averaged over the policy judged, given the logged items above.
        shown: (n, K) booleans, False where a short page is empty; None: all positions hold an item.
    """
    return _values("Cascade-DR", reward, logging, evaluation, predicted, expected, shown, normalise=False)


def sncascade_dr_from_values(
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    *,
    predicted: ArrayLike,
    expected: ArrayLike,
    shown: ArrayLike | None = None,
) -> Estimate:
    """Self-normalised Cascade-DR: ratios of sums as for `sncascade_dr`, arguments as for `cascade_dr_from_values`.

    Source: Kiyohara et al., WSDM 2022.
    """
    return _values("SNCascade-DR", reward, logging, evaluation, predicted, expected, shown, normalise=True)
