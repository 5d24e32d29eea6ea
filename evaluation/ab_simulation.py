"""An A/B test rehearsed in simulated users: how often it finds what is there, what it finds where nothing is, how long.

Every user of a pool is served by both policies, one session each, so both potential outcomes are known, and the true
difference with them. A rehearsed test draws users with replacement, parts them at random into two arms, sees each in
its own arm alone, and looks as planned:

- *group-sequential*: Welch's z at each look against the plan's boundary;
- *always valid*: a confidence sequence of the difference after every so many users.

Many rehearsals give power, users on average, and how far the estimate at the stop lies above the truth (a test that
stops early stops on a high). The same with both arms under one policy gives the rate of false alarms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.ab_test import ABPlan
from evaluation.intervals import Interval, paired_difference
from evaluation.sequential import mixture_rho, sequence_half_width

__all__ = ["ABRehearsal", "Rehearsed", "rehearse_ab_test"]

_EVERY = 100  # looks of the confidence sequence, evenly spaced up to the end


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """What many rehearsals of one kind of test came to."""

    found: float
    """Share of the rehearsals that called a difference in the true direction (of A/A: any)."""
    wrong: float
    """Share that called one in the other direction."""
    users: float
    """Users on average, both arms together."""
    early: float
    """Share that stopped before the end."""
    estimate: float
    """Mean of the estimated difference at the stop, of those that called one; nan where none did."""

    def to_json(self) -> dict[str, float | None]:
        """Plain data."""
        return {key: None if np.isnan(value) else float(value) for key, value in self.__dict__.items()}


@dataclass(frozen=True, kw_only=True)
class ABRehearsal:
    """An A/B test, rehearsed."""

    truth: Interval
    """Difference of the two policies over the pool, new minus today, paired: what the test looks for."""
    sequential: Rehearsed
    """The group-sequential test."""
    always_valid: Rehearsed
    """The confidence sequence."""
    sequential_aa: Rehearsed
    """The group-sequential test where both arms are the policy of today."""
    always_valid_aa: Rehearsed
    """The confidence sequence there."""
    rehearsals: int
    """Of each kind."""
    plan: ABPlan
    """What was rehearsed."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "truth": {"value": self.truth.value, "low": self.truth.low, "high": self.truth.high},
            "rehearsals": self.rehearsals,
            "plan": self.plan.to_json(),
            **{
                name: getattr(self, name).to_json()
                for name in ("sequential", "always_valid", "sequential_aa", "always_valid_aa")
            },
        }

    def sentences(self) -> tuple[str, ...]:
        """The finding in plain words."""
        truth, test, anytime = self.truth, self.sequential, self.always_valid
        error = (0.25 / self.rehearsals) ** 0.5 * 1.96
        return (
            f"In these users the new policy is worth {truth.value:+.4g} ({truth.low:+.4g} to {truth.high:+.4g}) a user "
            f"more; the test was planned for {self.plan.design.effect:+.4g}.",
            f"The planned test finds it in {test.found:.0%} of {self.rehearsals:,} rehearsals (known to "
            f"{error:.0%}), after {test.users:,.0f} users on average of at most {self.plan.users:,}; {test.early:.0%} "
            "stop early.",
            f"A confidence sequence, looked at {_EVERY} times over the same users, finds it in {anytime.found:.0%}, "
            f"after {anytime.users:,.0f} users on average.",
            f"Where there is no difference, they call one in {self.sequential_aa.found:.1%} and "
            f"{self.always_valid_aa.found:.1%}; {self.plan.design.alpha:.0%} is allowed.",
            *(
                ()
                if np.isnan(test.estimate)
                else (
                    f"Where the test calls a difference, its estimate is {test.estimate:+.4g} on average: tests that "
                    "stop on a high overstate.",
                )
            ),
        )


def rehearse_ab_test(
    today: NDArray[np.float64],
    new: NDArray[np.float64],
    plan: ABPlan,
    *,
    rehearsals: int = 1000,
    seed: int = 0,
) -> ABRehearsal:
    """Rehearses the planned test on users whose score under both policies is known.

    Args:
        today: (U,) score of each user under the policy of today.
        new: (U,) score of the same users under the new policy.
        plan: Sizes and looks.
        rehearsals: How often.
        seed: Of the drawing.

    Raises:
        InputError: Different users, or too few.
    """
    if today.shape != new.shape or today.ndim != 1 or today.size < 50 or rehearsals < 1:
        raise InputError(
            f"{today.shape} and {new.shape} users, {rehearsals} rehearsals",
            where="A/B rehearsal",
            mend="serve the same 50 users or more with both policies, and rehearse once or more",
        )
    rng = np.random.default_rng(seed)
    true = float((new - today).mean())
    direction = 1.0 if true >= 0 else -1.0
    real = [_rehearse(today, new, plan, rng) for _ in range(rehearsals)]
    same = [_rehearse(today, today, plan, rng) for _ in range(rehearsals)]
    return ABRehearsal(
        truth=paired_difference(new, today),
        sequential=_summary([one for one, _ in real], plan, direction),
        always_valid=_summary([two for _, two in real], plan, direction),
        sequential_aa=_summary([one for one, _ in same], plan, 0.0),
        always_valid_aa=_summary([two for _, two in same], plan, 0.0),
        rehearsals=rehearsals,
        plan=plan,
    )


@dataclass(frozen=True)
class _Stop:
    """Where a rehearsed test ended."""

    users: int
    called: float  # sign of the difference called, 0 where none was
    estimate: float


def _rehearse(
    today: NDArray[np.float64], new: NDArray[np.float64], plan: ABPlan, rng: np.random.Generator
) -> tuple[_Stop, _Stop]:
    """One test, read in both ways."""
    users = rng.integers(0, today.size, plan.users)
    treated = rng.random(plan.users) < plan.design.share
    score = np.where(treated, new[users], today[users])
    looks = np.ceil(plan.users * plan.fractions).astype(np.int64)
    gaps, errors, counts = _running(score, treated, looks)
    stop = _first(np.abs(gaps) >= plan.critical * errors, gaps, counts)
    often = np.unique(np.linspace(plan.users / _EVERY, plan.users, _EVERY).astype(np.int64))
    gaps, errors, counts = _running(score, treated, often)
    rho = mixture_rho(plan.users, plan.design.alpha)
    wide = sequence_half_width(
        counts.astype(np.float64), errors * np.sqrt(counts), rho=rho, alpha=plan.design.alpha
    )
    return stop, _first(np.abs(gaps) > wide, gaps, counts)


def _running(
    score: NDArray[np.float64], treated: NDArray[np.bool_], looks: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Difference of means, its standard error, and users, at each look; no error where an arm has below two users."""

    def arm(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        n = np.cumsum(mask)[looks - 1].astype(np.float64)
        total = np.cumsum(np.where(mask, score, 0.0))[looks - 1]
        square = np.cumsum(np.where(mask, np.square(score), 0.0))[looks - 1]
        mean = np.divide(total, n, out=np.zeros_like(total), where=n > 0)
        spread = np.divide(square - n * mean**2, n - 1, out=np.full_like(total, np.inf), where=n > 1)
        return mean, np.maximum(spread, 0.0) / np.maximum(n, 1.0)

    (new, new_error), (old, old_error) = arm(treated), arm(~treated)
    error = np.sqrt(new_error + old_error)
    # A sample without any spread yet (all zeros) says nothing either.
    return new - old, np.where(error > 0, error, np.inf), looks


def _first(crossed: NDArray[np.bool_], gaps: NDArray[np.float64], counts: NDArray[np.int64]) -> _Stop:
    at = int(crossed.argmax()) if crossed.any() else -1
    called = float(np.sign(gaps[at])) if crossed.any() else 0.0
    return _Stop(int(counts[at]), called, float(gaps[at]))


def _summary(stops: list[_Stop], plan: ABPlan, direction: float) -> Rehearsed:
    called = np.array([stop.called for stop in stops])
    users = np.array([stop.users for stop in stops], np.float64)
    estimates = np.array([stop.estimate for stop in stops])
    some = called != 0
    found = some if direction == 0 else called == direction
    return Rehearsed(
        found=float(found.mean()),
        wrong=float((some & ~found).mean()),
        users=float(users.mean()),
        early=float((users < plan.users).mean()),
        estimate=float(estimates[some].mean()) if some.any() else float("nan"),
    )
