"""How large and how long an A/B test must be: users, days, and when one may look.

Users are parted at random, one arm sees the policy of today, the other the new one; the unit is the user. With a mean
m, a standard deviation s and an effect d to be found, both arms the same size, a fixed test of level alpha and power
1 - beta takes

    n = 2 s^2 (z_{1 - alpha/2} + z_{1 - beta})^2 / d^2         users an arm,

one with several looks n times its inflation (drift^2 over the fixed test's), and one by a confidence sequence, at which
one may look after every user, as many as make its half-width at that n small enough.

Source: Jennison and Turnbull, "Group Sequential Methods", 2000, chapters 2, 3 and 7; Kohavi, Tang and Xu, "Trustworthy
Online Controlled Experiments", 2020, chapter 17; for confidence sequences see `evaluation.sequential`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri

from behavior.errors import InputError
from evaluation.sequential import (
    Spending,
    boundary,
    crossing_probabilities,
    drift_for_power,
    mixture_rho,
    sequence_half_width,
)

__all__ = ["ABDesign", "ABPlan", "plan_ab_test"]


@dataclass(frozen=True, kw_only=True)
class ABDesign:
    """What is to be found, and how sure."""

    mean: float
    """Score per user under the policy of today."""
    deviation: float
    """Standard deviation of the score between users."""
    effect: float
    """The difference in the mean that is to be found, in units of the score."""
    alpha: float = 0.05
    """Chance of calling a difference where there is none, over all looks together; two-sided."""
    power: float = 0.8
    """Chance of finding the effect where it is there."""
    looks: int = 1
    """Analyses, evenly spaced; 1: at the end alone."""
    spending: Spending = "obrien-fleming"
    """How the error is spent over the looks."""
    users_per_day: float | None = None
    """New users a day who take part, both arms together."""
    share: float = 0.5
    """Share of the users in the new policy's arm."""

    def __post_init__(self) -> None:
        """Refuses what is no design."""
        for name, ok, mend in (
            ("mean", math.isfinite(self.mean), "a number"),
            ("deviation", math.isfinite(self.deviation) and self.deviation > 0, "a number above 0"),
            ("effect", math.isfinite(self.effect) and self.effect != 0, "a number other than 0"),
            ("alpha", 0 < self.alpha < 1, "between 0 and 1"),
            ("power", self.alpha < self.power < 1, "between alpha and 1"),
            ("looks", 1 <= self.looks <= 50, "between 1 and 50"),
            ("share", 0 < self.share < 1, "between 0 and 1"),
            ("users_per_day", self.users_per_day is None or self.users_per_day > 0, "above 0"),
        ):
            if not ok:
                raise InputError(
                    f"{name} is {getattr(self, name)}", where=f"A/B test, {name}", mend=f"give {mend}"
                )


@dataclass(frozen=True, kw_only=True)
class ABPlan:
    """A test, planned."""

    design: ABDesign
    """What was asked for."""
    fixed: int
    """Users of both arms together, for a test that looks once, at the end."""
    users: int
    """The same for the looks that were asked for, if it goes to its end."""
    fractions: NDArray[np.float64]
    """(L,) share of the users seen at each look."""
    critical: NDArray[np.float64]
    """(L,) |z| that stops the test there."""
    stops: NDArray[np.float64]
    """(L,) chance of stopping there if the effect is as large as planned; what lacks to 1 is the chance to miss it."""
    expected: float
    """Users on average, if the effect is as large as planned."""
    anytime: int
    """Users after which the half-width of a confidence sequence is such that the effect is found with the same power,
    when one looks after every user."""
    days: float | None
    """Days that `users` take; None where no traffic was given."""

    @property
    def weeks(self) -> int | None:
        """Whole weeks, because users of weekdays and of weekends differ."""
        return None if self.days is None else math.ceil(self.days / 7)

    def rows(self) -> list[tuple[int, int, float, float, float]]:
        """Look, users, |z|, smallest difference that stops, chance of stopping there."""
        error = self._error()
        return [
            (k + 1, math.ceil(self.users * t), float(z), float(z * error / np.sqrt(t)), float(p))
            for k, (t, z, p) in enumerate(zip(self.fractions, self.critical, self.stops, strict=True))
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "design": self.design.__dict__,
            "users_fixed": self.fixed,
            "users": self.users,
            "users_expected": self.expected,
            "users_anytime": self.anytime,
            "days": self.days,
            "weeks": self.weeks,
            "looks": [
                {"look": k, "users": n, "z": z, "difference": d, "stops": p} for k, n, z, d, p in self.rows()
            ],
        }

    def _error(self) -> float:
        """Standard error of the difference at the end."""
        return self.design.deviation * _unit_error(self.design.share) / math.sqrt(self.users)


def plan_ab_test(design: ABDesign) -> ABPlan:
    """Sizes, looks and days of a test."""
    fractions = np.arange(1, design.looks + 1) / design.looks
    critical = boundary(fractions.tolist(), alpha=design.alpha, spending=design.spending)
    drift = drift_for_power(fractions.tolist(), critical, power=design.power)
    unit = (design.deviation * _unit_error(design.share) / abs(design.effect)) ** 2
    once = float((ndtri(1 - design.alpha / 2) + ndtri(design.power)) ** 2)
    users = math.ceil(unit * drift**2)
    stops = crossing_probabilities(fractions.tolist(), critical, drift=drift)
    seen = np.append(fractions, 1.0)
    chances = np.append(stops, max(0.0, 1.0 - float(stops.sum())))
    return ABPlan(
        design=design,
        fixed=math.ceil(unit * once),
        users=users,
        fractions=fractions,
        critical=critical,
        stops=stops,
        expected=float(users * (seen * chances).sum()),
        anytime=_anytime(design, unit),
        days=None if design.users_per_day is None else users / design.users_per_day,
    )


def _unit_error(share: float) -> float:
    """Standard error of a difference of means of one user in all, over the standard deviation."""
    return math.sqrt(1 / share + 1 / (1 - share))


def _anytime(design: ABDesign, unit: float) -> int:
    """Users N with half-width(N) + z_power x standard error(N) = effect: at N the sequence has left out zero.

    The sequence is of the mean of N user terms with deviation `deviation x unit error`, which has the same standard
    error; it is tuned to be tightest at N.
    """
    spread = math.sqrt(unit)  # of one user's term, with the effect as the unit

    def short(log_n: float) -> float:
        n = math.exp(log_n)
        rho = mixture_rho(n, design.alpha)
        wide = sequence_half_width(np.array(n), np.array(spread), rho=rho, alpha=design.alpha)
        return float(wide) + float(ndtri(design.power)) * spread / math.sqrt(n) - 1.0

    return math.ceil(math.exp(brentq(short, 0.0, 60.0)))
