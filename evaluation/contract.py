"""The estimator contract: properties that every off-policy estimator must have, whatever its formula.

An estimator is judged through an `EstimatorCase`, which hands it rewards and propensities of the shapes it wants:

    check_estimator(EstimatorCase(my_estimator, propensity="item", self_normalised=True, assumes="independent"))

Each failure is an AssertionError that says what to mend. Estimators that take more than these three arrays:
`evaluation.contract_slates`; those of whole sessions: `evaluation.contract_sessions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.disagreement import Structure
from evaluation.estimators import Estimate, iips, ips, rips, sips, sniips, snips, snrips, snsips
from evaluation.exact_design import STRUCTURES, exact_design
from evaluation.intervals import bootstrap_estimate, estimate_interval

__all__ = ["CASES", "EstimatorCase", "check_estimator"]

Estimator = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], Estimate]


@dataclass(frozen=True)
class EstimatorCase:
    """An estimator and what it expects."""

    estimator: Estimator
    propensity: Literal["impression", "slate", "item"]
    """(n,) rewards and propensities; (n, K) rewards with (n,) propensities; or (n, K) of both."""
    self_normalised: bool
    assumes: Structure | None = None
    """The widest class of users for which the estimator is right, given slates: it must then equal the truth on exact
    designs of this class and of narrower ones, and miss it on wider ones. None: not checked."""
    cascade: bool = False
    """Whether the (n, K) propensities are of the slate down to each position, not of each item alone."""

    def draw(
        self, n: int = 200, n_positions: int = 3, seed: int = 0
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Random rewards, logged and evaluation probabilities of the right shapes."""
        rng = np.random.default_rng(seed)
        wide, narrow = (n, n_positions), (n,)
        reward_shape = narrow if self.propensity == "impression" else wide
        shape = wide if self.propensity == "item" else narrow
        reward = (rng.random(reward_shape) < 0.3).astype(np.float64)
        return reward, rng.uniform(0.05, 1.0, shape), rng.uniform(0.0, 1.0, shape)

    def constant(self, n_positions: int) -> float:
        """The value of a policy when every position always pays 1."""
        return 1.0 if self.propensity == "impression" else float(n_positions)


CASES: dict[str, EstimatorCase] = {
    "ips": EstimatorCase(ips, "impression", False),
    "snips": EstimatorCase(snips, "impression", True),
    "sips": EstimatorCase(sips, "slate", False, "whole slate"),
    "snsips": EstimatorCase(snsips, "slate", True, "whole slate"),
    "iips": EstimatorCase(iips, "item", False, "independent"),
    "sniips": EstimatorCase(sniips, "item", True, "independent"),
    "rips": EstimatorCase(rips, "item", False, "cascade", cascade=True),
    "snrips": EstimatorCase(snrips, "item", True, "cascade", cascade=True),
}
"""The estimators that need nothing but rewards and propensities."""


def check_estimator(case: EstimatorCase) -> None:
    """Runs the whole contract.

    Raises:
        AssertionError: With what was found and what to mend.
    """
    _named_result(case)
    _shuffle(case)
    _equal_policies(case)
    _constant_reward(case)
    _slate_of_one(case)
    _bias_where_it_must(case)
    _linear_in_reward(case)
    _zero_evaluation(case)
    _inputs_untouched(case)
    _refuses_bad_input(case)


def _close(found: float, wanted: float, what: str, tolerance: float = 1e-12) -> None:
    scale = max(1.0, abs(wanted))
    assert abs(found - wanted) <= tolerance * scale, f"{what}: found {found!r}, expected {wanted!r}"


def _named_result(case: EstimatorCase) -> None:
    result = case.estimator(*case.draw())
    assert result.name, "an estimate carries the estimator's name"
    assert result.terms.shape == (200,), (
        f"`terms` has shape {result.terms.shape}, expected one per row (200,)"
    )
    _close(float(result.terms.mean()), result.value, "the mean of `terms` is the value", 1e-10)
    _close(
        result.standard_error,
        float(result.terms.std(ddof=1) / np.sqrt(200)),
        "standard error of the terms",
        1e-10,
    )
    assert 0 < result.ess <= 200 + 1e-9, f"`ess` is {result.ess}, expected in (0, n]"
    top, bottom = result.numerator.sum(axis=0), result.denominator.sum(axis=0)
    _close(float((top / bottom).sum()), result.value, "`numerator` and `denominator` give the value")


def _shuffle(case: EstimatorCase) -> None:
    reward, logging, evaluation = case.draw()
    order = np.random.default_rng(1).permutation(reward.shape[0])
    one = case.estimator(reward, logging, evaluation)
    two = case.estimator(reward[order], logging[order], evaluation[order])
    _close(two.value, one.value, "the value must not depend on the order of the rows")
    _close(two.standard_error, one.standard_error, "the error must not depend on the order of the rows")


def _equal_policies(case: EstimatorCase) -> None:
    reward, logging, _ = case.draw()
    result = case.estimator(reward, logging, logging)
    mean = float(reward.reshape(reward.shape[0], -1).sum(axis=1).mean())
    _close(result.value, mean, "a policy judged on its own log is worth the log's mean")
    _close(result.ess, reward.shape[0], "a policy judged on its own log uses every row", 1e-9)


def _constant_reward(case: EstimatorCase) -> None:
    if case.self_normalised:
        reward, logging, evaluation = case.draw()
        result = case.estimator(np.ones_like(reward), logging, evaluation)
        _close(
            result.value, case.constant(3), "a self-normalised estimate of a constant reward is that constant"
        )
        assert result.standard_error < 1e-9, "and there is nothing uncertain about it"
        clusters = np.arange(reward.shape[0]) // 4
        for found in (
            estimate_interval(result, clusters=clusters),
            bootstrap_estimate(result, clusters=clusters, n_resamples=64),
        ):
            assert found.high - found.low < 1e-9, (
                f"a constant reward leaves the {found.method} interval no width, found {found.low} to {found.high}"
            )


def _slate_of_one(case: EstimatorCase) -> None:
    """With one position, all assumptions on users are one: the estimate is that of single impressions."""
    if case.propensity == "impression":
        return
    reward, logging, evaluation = case.draw(n_positions=1)
    single = snips if case.self_normalised else ips
    wanted = single(reward[:, 0], logging.reshape(-1), evaluation.reshape(-1))
    found = case.estimator(reward, logging, evaluation)
    _close(found.value, wanted.value, f"a slate of one position is worth what {wanted.name} says")
    _close(found.standard_error, wanted.standard_error, "and its error is the same")


def _bias_where_it_must(case: EstimatorCase) -> None:
    """On logs in which every slate occurs in exact proportion, right estimators are exact and others are not."""
    if case.assumes is None:
        return
    for structure in STRUCTURES:
        log = exact_design(structure)
        by_position = log.cascade if case.cascade else log.item
        pair = log.slate if case.propensity == "slate" else by_position
        found = case.estimator(log.reward, *pair).value
        if STRUCTURES.index(structure) <= STRUCTURES.index(case.assumes):
            _close(found, log.truth, f"users respond as '{structure}', which the estimator allows for", 1e-11)
        else:
            assert abs(found - log.truth) > 1e-4 * abs(log.truth), (
                f"users respond as '{structure}', which an estimator that assumes '{case.assumes}' cannot see, and yet "
                f"it finds the truth {log.truth!r}: it assumes less than it says"
            )


def _linear_in_reward(case: EstimatorCase) -> None:
    reward, logging, evaluation = case.draw()
    one = case.estimator(reward, logging, evaluation).value
    _close(case.estimator(2.5 * reward, logging, evaluation).value, 2.5 * one, "2.5 times the reward", 1e-10)
    _close(case.estimator(0 * reward, logging, evaluation).value, 0.0, "no reward anywhere")


def _zero_evaluation(case: EstimatorCase) -> None:
    reward, logging, evaluation = case.draw()
    result = case.estimator(reward, logging, 0 * evaluation)
    assert result.ess == 0, "a policy that would show nothing of the log has no effective sample"
    if case.self_normalised:
        assert np.isnan(result.value), f"without any weight there is no value (nan), found {result.value}"
    else:
        assert result.value == 0, f"without any weight an unnormalised estimate is 0, found {result.value}"


def _inputs_untouched(case: EstimatorCase) -> None:
    arrays = case.draw()
    before = [array.copy() for array in arrays]
    case.estimator(*arrays)
    for array, copy in zip(arrays, before, strict=True):
        assert np.array_equal(array, copy), "an estimator must not write into its inputs"


def _refuses_bad_input(case: EstimatorCase) -> None:
    reward, logging, evaluation = case.draw()

    def spoiled(array: NDArray[np.float64], value: float) -> NDArray[np.float64]:
        copy = array.copy()
        copy.reshape(copy.shape[0], -1)[7, 0] = value
        return copy

    wrong: dict[str, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]] = {
        "a propensity of 0": (reward, spoiled(logging, 0.0), evaluation),
        "a negative propensity": (reward, spoiled(logging, -0.1), evaluation),
        "a propensity above 1": (reward, spoiled(logging, 1.5), evaluation),
        "a missing propensity": (reward, spoiled(logging, np.nan), evaluation),
        "a missing evaluation probability": (reward, logging, spoiled(evaluation, np.nan)),
        "an evaluation probability above 1": (reward, logging, spoiled(evaluation, 1.5)),
        "a missing reward": (spoiled(reward, np.nan), logging, evaluation),
        "an infinite reward": (spoiled(reward, np.inf), logging, evaluation),
        "arrays of different lengths": (reward, logging[:-1], evaluation),
        "a single row": (reward[:1], logging[:1], evaluation[:1]),
        "no rows": (reward[:0], logging[:0], evaluation[:0]),
    }
    for what, arguments in wrong.items():
        try:
            case.estimator(*arguments)
        except InputError:
            continue
        raise AssertionError(f"{what} must raise InputError, but the estimator went on")
