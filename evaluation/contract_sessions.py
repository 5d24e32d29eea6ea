"""The contract of estimators of whole sessions: what must hold whatever the formula.

    check_session_estimator(SessionCase(my_estimator, propensity="page", self_normalised=True))

Each failure is an AssertionError that says what to mend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators import Estimate, pdis, session_mis, tis, wpdis, wtis

__all__ = ["SESSION_CASES", "SessionCase", "SessionLog", "check_session_estimator"]

SessionEstimator = Callable[..., Estimate]


@dataclass(frozen=True)
class SessionLog:
    """A random log of sessions."""

    reward: NDArray[np.float64]  # (M, K)
    logging: NDArray[np.float64]  # (M,) or (M, K)
    evaluation: NDArray[np.float64]  # (M,) or (M, K)
    session: NDArray[np.int64]  # (M,)
    step: NDArray[np.int64]  # (M,)


@dataclass(frozen=True)
class SessionCase:
    """An estimator `(reward, logging, evaluation, *, session, step)` and what it expects."""

    estimator: SessionEstimator
    propensity: Literal["page", "cascade"]
    """(M,) joint propensities of pages, or (M, K) of the page down to each position."""
    self_normalised: bool

    def draw(self, n: int = 60, n_positions: int = 3, seed: int = 0) -> SessionLog:
        """Sessions of one to four pages, in random order of rows."""
        rng = np.random.default_rng(seed)
        length = rng.integers(1, 5, n)
        session = np.repeat(np.arange(n), length)
        step = np.concatenate([np.arange(one) for one in length])
        order = rng.permutation(session.size)
        choice = rng.uniform(0.3, 1.0, (2, session.size, n_positions))
        cascade = np.asarray(np.cumprod(choice, axis=2), np.float64)
        wide = self.propensity == "cascade"
        return SessionLog(
            reward=(rng.random((session.size, n_positions)) < 0.3).astype(np.float64),
            logging=cascade[0] if wide else cascade[0, :, -1].copy(),
            evaluation=cascade[1] if wide else cascade[1, :, -1].copy(),
            session=session[order],
            step=step[order],
        )

    def estimate(self, log: SessionLog, **changed: Any) -> Estimate:
        """The estimate of a log, with some of its arrays changed."""
        arrays = {name: changed.get(name, getattr(log, name)) for name in SessionLog.__annotations__}
        return self.estimator(
            arrays["reward"],
            arrays["logging"],
            arrays["evaluation"],
            session=arrays["session"],
            step=arrays["step"],
        )


def _one_state_mis(*arrays: Any, session: Any, step: Any) -> Estimate:
    return session_mis(*arrays, session=session, step=step, state=np.zeros(len(session), np.int64))


SESSION_CASES: dict[str, SessionCase] = {
    "tis": SessionCase(tis, "page", False),
    "wtis": SessionCase(wtis, "page", True),
    "pdis": SessionCase(pdis, "page", False),
    "wpdis": SessionCase(wpdis, "page", True),
    "pdis of cascades": SessionCase(pdis, "cascade", False),
    "wpdis of cascades": SessionCase(wpdis, "cascade", True),
    "session_mis": SessionCase(_one_state_mis, "page", False),
}
"""The estimators that need nothing but rewards and propensities."""


def check_session_estimator(case: SessionCase) -> None:
    """Runs the whole contract.

    Raises:
        AssertionError: With what was found and what to mend.
    """
    _result(case)
    _shuffled(case)
    _equal_policies(case)
    _first_page_reward(case)
    _linear(case)
    _untouched(case)
    _refusals(case)


def _close(found: float, wanted: float, what: str, tolerance: float = 1e-12) -> None:
    assert abs(found - wanted) <= tolerance * max(1.0, abs(wanted)), (
        f"{what}: found {found!r}, not {wanted!r}"
    )


def _totals(log: SessionLog) -> NDArray[np.float64]:
    return np.asarray(np.bincount(log.session, weights=log.reward.sum(axis=1)), np.float64)


def _result(case: SessionCase) -> None:
    log = case.draw()
    found = case.estimate(log)
    n = np.unique(log.session).size
    assert found.name, "an estimate carries the estimator's name"
    assert found.terms.shape == (n,), f"`terms` has shape {found.terms.shape}, expected one a session ({n},)"
    _close(float(found.terms.mean()), found.value, "the mean of `terms` is the value", 1e-10)
    assert 0 < found.ess <= n + 1e-9, f"`ess` is {found.ess}, expected in (0, sessions]"
    ratios = found.numerator.sum(axis=0) / found.denominator.sum(axis=0)
    _close(float(ratios.sum()), found.value, "`numerator` and `denominator` give the value", 1e-10)


def _shuffled(case: SessionCase) -> None:
    log = case.draw()
    order = np.random.default_rng(1).permutation(log.session.size)
    moved = SessionLog(**{name: getattr(log, name)[order] for name in SessionLog.__annotations__})
    one, two = case.estimate(log), case.estimate(moved)
    _close(two.value, one.value, "the value must not depend on the order of the rows")
    _close(
        two.standard_error, one.standard_error, "the error must not depend on the order of the rows", 1e-10
    )


def _equal_policies(case: SessionCase) -> None:
    log = case.draw()
    found = case.estimate(log, evaluation=log.logging)
    _close(found.value, float(_totals(log).mean()), "a policy judged on its own log is worth the log's mean")


def _first_page_reward(case: SessionCase) -> None:
    """Every session is paid 1 for its first page: self-normalised, that is worth 1, without doubt."""
    if not case.self_normalised:
        return
    log = case.draw()
    reward = np.zeros_like(log.reward)
    reward[log.step == 0, 0] = 1.0
    found = case.estimate(log, reward=reward)
    _close(found.value, 1.0, "a reward that is the same for all sessions comes out as it is")
    assert found.standard_error < 1e-9, "and there is nothing uncertain about it"


def _linear(case: SessionCase) -> None:
    log = case.draw()
    one = case.estimate(log).value
    _close(case.estimate(log, reward=2.5 * log.reward).value, 2.5 * one, "2.5 times the reward", 1e-10)
    _close(case.estimate(log, reward=0 * log.reward).value, 0.0, "no reward anywhere")


def _untouched(case: SessionCase) -> None:
    log = case.draw()
    before = {name: getattr(log, name).copy() for name in SessionLog.__annotations__}
    case.estimate(log)
    for name, array in before.items():
        assert np.array_equal(getattr(log, name), array), "an estimator must not write into its inputs"


def _refusals(case: SessionCase) -> None:
    log = case.draw()
    longest = int(log.session[np.argmax(log.step)])
    of_it = np.flatnonzero(log.session == longest)
    middle = of_it[log.step[of_it] == 1]

    def spoiled(array: NDArray[Any], value: float) -> NDArray[Any]:
        copy = array.astype(np.float64)
        copy.reshape(copy.shape[0], -1)[7, 0] = value
        return copy

    gap, twice = np.delete(np.arange(log.step.size), middle), log.step.copy()
    twice[middle] = 0
    wrong: dict[str, dict[str, Any]] = {
        "a page missing from a session": {n: getattr(log, n)[gap] for n in SessionLog.__annotations__},
        "a page that occurs twice": {"step": twice},
        "steps counted from 1": {"step": log.step + 1},
        "half a step": {"step": spoiled(log.step, 0.5)},
        "a missing step": {"step": spoiled(log.step, np.nan)},
        "a missing session": {"session": spoiled(log.session, np.nan)},
        "one session": {n: getattr(log, n)[of_it] for n in SessionLog.__annotations__},
        "no rows": {n: getattr(log, n)[:0] for n in SessionLog.__annotations__},
        "a propensity of 0": {"logging": spoiled(log.logging, 0.0)},
        "a missing propensity": {"logging": spoiled(log.logging, np.nan)},
        "a propensity above 1": {"logging": spoiled(log.logging, 1.5)},
        "a missing evaluation probability": {"evaluation": spoiled(log.evaluation, np.nan)},
        "a missing reward": {"reward": spoiled(log.reward, np.nan)},
        "arrays of different lengths": {"reward": log.reward[:-1]},
    }
    for what, changed in wrong.items():
        try:
            case.estimate(log, **changed)
        except InputError:
            continue
        raise AssertionError(f"{what} must raise InputError, but the estimator went on")
