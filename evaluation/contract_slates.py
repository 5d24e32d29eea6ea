"""The contract of slate estimators that need more than rewards and one kind of propensity.

An estimator is judged through a `SlateCase`: a function that takes a `SlateLog`, all that can be known of a log of
slates, and hands the estimator what it needs of it:

    case = SlateCase(lambda log: my_estimator(log.reward, *log.sets), right_for=("independent", "reader"))
    check_slate_estimator(case)

The logs hold every slate in exact proportion, so an unbiased estimator equals the truth to rounding, and one that
assumes more of users than it says misses it. Each failure is an AssertionError that says what to mend.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators import (
    Estimate,
    adaptive_ips,
    cascade_dr,
    cm_ips,
    ips,
    latent_ips,
    pbm_ips,
    pseudo_inverse,
    pseudo_inverse_support,
    slate_dm,
    snadaptive_ips,
    sncascade_dr,
    sncm_ips,
    snips,
    snlatent_ips,
    snpbm_ips,
)
from evaluation.exact_slates import USERS, SlateLog, Users, exact_slates
from evaluation.intervals import estimate_interval

__all__ = ["SLATE_CASES", "SlateCase", "check_slate_estimator"]

_TOLERANCE = 1e-9
_LOGGING = ("slate", "cascade", "sets", "item", "places")


@dataclass(frozen=True)
class SlateCase:
    """A slate estimator and what it expects."""

    estimator: Callable[[SlateLog], Estimate]
    """Hands an estimator what it needs of a log."""
    right_for: tuple[Users, ...] | None
    """The users for which it equals the truth on exact designs; it must miss it for all others. None: not checked."""
    self_normalised: bool = False
    """Whether a reward that is the same on every page comes out as it is, without doubt."""
    even: Literal["everywhere", "where looked at"] = "everywhere"
    """Of a self-normalised estimator: is that reward 1 at every position, or as much as the position is looked at?"""
    goes_by: Literal["weights", "law", "weights and model", "model"] = "weights"
    """What it needs: propensities of the rows; the whole law of the logging policy; a reward model too, which may be
    wrong (`SlateLog.wrong_model`); or nothing but a model, which must be right (`SlateLog.model`)."""


def _adaptive(function: Callable[..., Estimate], log: SlateLog) -> Estimate:
    logging, evaluation = zip(log.item, log.cascade, strict=True)  # context 0: independent, 1: cascade
    return function(log.reward, logging, evaluation, behaviour=log.context)


def _cascade_dr(function: Callable[..., Estimate], log: SlateLog) -> Estimate:
    return function(
        log.reward,
        *log.cascade,
        action=log.action,
        evaluation_dist=log.given_above,
        q_hat=log.wrong_model,
    )


def _position_based(function: Callable[..., Estimate], log: SlateLog) -> Estimate:
    return function(log.reward, *log.places, examination=log.examination)


def _reader(function: Callable[..., Estimate], log: SlateLog) -> Estimate:
    return function(log.reward, *log.sets)


def _first_two(function: Callable[..., Estimate], log: SlateLog) -> Estimate:
    """Pages abstracted to their first two items, which tell nothing of what stands below."""
    two = min(2, log.reward.shape[1]) - 1
    return function(log.reward, *(part[:, two] for part in log.cascade))


def _pseudo_inverse(log: SlateLog, control: Literal["none", "mean", "single", "slots"] = "none") -> Estimate:
    phi = np.einsum("cs,ska->cka", log.laws[1], _hot(log))
    return pseudo_inverse(
        log.reward, log.action, phi, gamma=log.second_moment, context=log.context, control=control
    )


def _pseudo_inverse_support(log: SlateLog) -> Estimate:
    phi = np.einsum("cs,ska->cka", log.laws[1], _hot(log))  # (C, K, A)
    here = phi[:, np.arange(log.slates.shape[1]), log.slates]  # (C, S, K)
    return pseudo_inverse_support(log.reward, log.number, log.slates, log.laws[0], here, context=log.context)


def _hot(log: SlateLog) -> NDArray[np.float64]:
    S, K = log.slates.shape
    hot = np.zeros((S, K, log.marginal[0].shape[2]))
    hot[np.arange(S)[:, None], np.arange(K), log.slates] = 1.0
    return hot


def _direct(log: SlateLog) -> Estimate:
    return slate_dm(log.marginal[1], log.model)


_ALONE: tuple[Users, ...] = ("position-based", "independent")
_ABOVE: tuple[Users, ...] = (*_ALONE, "reader", "cascade", "mixed")

SLATE_CASES: dict[str, SlateCase] = {
    "cascade_dr": SlateCase(partial(_cascade_dr, cascade_dr), _ABOVE, goes_by="weights and model"),
    "sncascade_dr": SlateCase(partial(_cascade_dr, sncascade_dr), _ABOVE, goes_by="weights and model"),
    "pseudo_inverse": SlateCase(_pseudo_inverse, _ALONE, goes_by="law"),
    "pseudo_inverse, self-normalised": SlateCase(
        partial(_pseudo_inverse, control="mean"), _ALONE, self_normalised=True, goes_by="law"
    ),
    "pseudo_inverse, control variate": SlateCase(
        partial(_pseudo_inverse, control="single"), _ALONE, goes_by="law"
    ),
    "pseudo_inverse, control variates by position": SlateCase(
        partial(_pseudo_inverse, control="slots"), _ALONE, goes_by="law"
    ),
    "pseudo_inverse_support": SlateCase(_pseudo_inverse_support, _ALONE, goes_by="law"),
    "adaptive_ips": SlateCase(partial(_adaptive, adaptive_ips), (*_ALONE, "mixed")),
    "snadaptive_ips": SlateCase(partial(_adaptive, snadaptive_ips), (*_ALONE, "mixed"), self_normalised=True),
    "latent_ips": SlateCase(partial(_first_two, latent_ips), ()),
    "snlatent_ips": SlateCase(partial(_first_two, snlatent_ips), (), self_normalised=True),
    "slate_dm": SlateCase(_direct, _ALONE, goes_by="model"),
    "pbm_ips": SlateCase(partial(_position_based, pbm_ips), ("position-based",)),
    "snpbm_ips": SlateCase(
        partial(_position_based, snpbm_ips), ("position-based",), self_normalised=True, even="where looked at"
    ),
    "cm_ips": SlateCase(partial(_reader, cm_ips), (*_ALONE, "reader")),
    "sncm_ips": SlateCase(partial(_reader, sncm_ips), (*_ALONE, "reader"), self_normalised=True),
}
"""The slate estimators that need more than rewards and one kind of propensity."""


def check_slate_estimator(case: SlateCase) -> None:
    """Runs the whole contract.

    Raises:
        AssertionError: With what was found and what to mend.
    """
    _named_result(case)
    _shuffled(case)
    _right_and_wrong(case)
    _untouched(case)
    if case.goes_by != "model":
        _equal_policies(case)
        _constant_reward(case)
    if case.goes_by in ("weights", "law"):
        _linear(case)
        _slate_of_one(case)
    _refusals(case)


def _close(found: float, wanted: float, what: str) -> None:
    assert abs(found - wanted) <= _TOLERANCE * max(1.0, abs(wanted)), (
        f"{what}: found {found!r}, not {wanted!r}"
    )


def _named_result(case: SlateCase) -> None:
    log = exact_slates()
    found = case.estimator(log)
    assert found.name, "an estimate carries the estimator's name"
    assert found.terms.shape == (log.n_rows,), (
        f"`terms` has shape {found.terms.shape}, expected one per row ({log.n_rows},)"
    )
    _close(float(found.terms.mean()), found.value, "the mean of `terms` is the value")
    ratios = found.numerator.sum(axis=0) / found.denominator.sum(axis=0)
    _close(float(ratios.sum()), found.value, "`numerator` and `denominator` give the value")
    assert 0 < found.ess <= log.n_rows * (1 + 1e-9), f"`ess` is {found.ess}, expected in (0, n]"


def _shuffled(case: SlateCase) -> None:
    log = exact_slates()
    one = case.estimator(log)
    two = case.estimator(log.take(np.random.default_rng(1).permutation(log.n_rows)))
    _close(two.value, one.value, "the value must not depend on the order of the rows")
    _close(two.standard_error, one.standard_error, "the error must not depend on the order of the rows")


def _right_and_wrong(case: SlateCase) -> None:
    if case.right_for is None:
        return
    for users in USERS:
        log = exact_slates(users)
        found = case.estimator(log).value
        if users in case.right_for:
            _close(found, log.truth, f"users respond as {users!r}, which the estimator allows for")
        else:
            assert abs(found - log.truth) > 1e-4 * abs(log.truth), (
                f"users respond as {users!r}, which the estimator does not claim to see, and yet it finds the truth "
                f"{log.truth!r}: it assumes less than it says"
            )


def _equal_policies(case: SlateCase) -> None:
    log = exact_slates("whole slate").judged_by_itself()
    found = case.estimator(log)
    mean = float(log.reward.sum(axis=1).mean())
    _close(found.value, mean, "a policy judged on its own log is worth the log's mean, whatever users do")
    _close(found.ess, log.n_rows, "a policy judged on its own log uses every row")


def _constant_reward(case: SlateCase) -> None:
    if not case.self_normalised:
        return
    log = exact_slates()
    page = np.ones(log.reward.shape[1]) if case.even == "everywhere" else log.examination
    found = case.estimator(dataclasses.replace(log, reward=np.tile(page, (log.n_rows, 1))))
    _close(found.value, float(page.sum()), "a self-normalised estimate of a constant reward is that constant")
    interval = estimate_interval(found, clusters=np.arange(log.n_rows) // 3)
    assert interval.high - interval.low < 1e-8, (
        f"a constant reward leaves the interval no width, found {interval.low} to {interval.high}"
    )


def _linear(case: SlateCase) -> None:
    log = exact_slates()
    one = case.estimator(log).value
    for times, what in ((2.5, "2.5 times the reward"), (0.0, "no reward anywhere")):
        _close(case.estimator(dataclasses.replace(log, reward=times * log.reward)).value, times * one, what)


def _slate_of_one(case: SlateCase) -> None:
    """With one position, all assumptions on users are one: the estimate is that of single impressions."""
    log = exact_slates(n_positions=1)
    single = snips if case.self_normalised else ips
    wanted = single(log.reward[:, 0], *(part[:, 0] for part in log.item))
    found = case.estimator(log)
    _close(found.value, wanted.value, f"a slate of one position is worth what {wanted.name} says")


def _untouched(case: SlateCase) -> None:
    log = exact_slates()
    before = copy.deepcopy(log)
    case.estimator(log)
    for f in dataclasses.fields(log):
        pairs = zip(_parts(getattr(log, f.name)), _parts(getattr(before, f.name)), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs), f"an estimator must not write into `{f.name}`"


def _parts(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _refusals(case: SlateCase) -> None:
    log = exact_slates()
    for what, wrong in _wrong(case, log).items():
        try:
            case.estimator(wrong)
        except InputError:
            continue
        raise AssertionError(f"{what} must raise InputError, but the estimator went on")


def _wrong(case: SlateCase, log: SlateLog) -> dict[str, SlateLog]:
    """Logs with one thing wrong that the estimator can see."""
    found = {"a single row": log.take(slice(0, 1)), "no rows": log.take(slice(0, 0))}
    if "model" in case.goes_by:
        gap: dict[str, Any] = {
            name: _spoiled(getattr(log, name), np.nan) for name in ("model", "wrong_model")
        }
        found["a gap in the reward model"] = dataclasses.replace(log, **gap)
    if case.goes_by == "model":
        return found | {"a missing evaluation probability": _with_evaluation(log, np.nan)}
    found |= {
        "a missing reward": dataclasses.replace(log, reward=_spoiled(log.reward, np.nan)),
        "an infinite reward": dataclasses.replace(log, reward=_spoiled(log.reward, np.inf)),
        "arrays of different lengths": dataclasses.replace(log, reward=log.reward[:-1]),
        "a missing evaluation probability": _with_evaluation(log, np.nan),
        "an evaluation probability above 1": _with_evaluation(log, 1.5),
        "a missing propensity": _with_logging(log, np.nan),
        "a negative propensity": _with_logging(log, -0.1),
    }
    if case.goes_by != "law":  # a law may give a slate no chance
        found["a propensity of 0"] = _with_logging(log, 0.0)
    return found


def _spoiled(array: NDArray[np.float64], value: float) -> NDArray[np.float64]:
    out = array.copy()
    flat = out.reshape(out.shape[0], -1)
    flat[min(7, out.shape[0] - 1)] = value  # the whole row: each estimator looks at a part of it
    return out


def _with_logging(log: SlateLog, value: float) -> SlateLog:
    changed: dict[str, Any] = {
        name: (_spoiled(getattr(log, name)[0], value), getattr(log, name)[1]) for name in _LOGGING
    }
    changed["laws"] = (_spoiled(log.laws[0], value), log.laws[1])
    changed["second_moment"] = _spoiled(log.second_moment, value)
    return dataclasses.replace(log, **changed)


def _with_evaluation(log: SlateLog, value: float) -> SlateLog:
    changed: dict[str, Any] = {
        name: (getattr(log, name)[0], _spoiled(getattr(log, name)[1], value))
        for name in (*_LOGGING, "marginal", "laws")
    }
    return dataclasses.replace(log, **changed, given_above=_spoiled(log.given_above, value))
