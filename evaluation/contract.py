"""The estimator contract: properties that every off-policy estimator must have, whatever its formula.

An estimator is judged through an `EstimatorCase`, which hands it rewards and propensities of the shapes it wants:

    check_estimator(EstimatorCase(my_estimator, propensity="item", self_normalised=True))

Each failure is an AssertionError that says what to mend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators import Estimate, iips, ips, rips, sips, sniips, snips, snrips, snsips

__all__ = ["CASES", "EstimatorCase", "check_estimator"]

Estimator = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], Estimate]


@dataclass(frozen=True)
class EstimatorCase:
    """An estimator and what it expects."""

    estimator: Estimator
    propensity: Literal["impression", "slate", "item"]
    """(n,) rewards and propensities; (n, K) rewards with (n,) propensities; or (n, K) of both."""
    self_normalised: bool

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
    "sips": EstimatorCase(sips, "slate", False),
    "snsips": EstimatorCase(snsips, "slate", True),
    "iips": EstimatorCase(iips, "item", False),
    "sniips": EstimatorCase(sniips, "item", True),
    "rips": EstimatorCase(rips, "item", False),
    "snrips": EstimatorCase(snrips, "item", True),
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
    _close(
        two.standard_error, one.standard_error, "the error must not depend on the order of the rows", 1e-10
    )


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
