"""One fresh log after another: does each interval hold the truth, is the figure flagged, do the estimators disagree?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.ope_study.laws import JUDGED, Pages, Propensity, StudyWorld
from evaluation.diagnostics import diagnose
from evaluation.disagreement import Disagreement, Structure, disagreement_test
from evaluation.estimators import Estimate, iips, rips, sips, sniips, snrips, snsips
from evaluation.exact_design import STRUCTURES
from evaluation.intervals import IntervalConfig, TermRange, make_interval
from evaluation.intervals.interval import cluster_sums
from evaluation.tail_index import tail_index

__all__ = ["ESTIMATORS", "Judge", "Tally", "TestTally", "estimates", "skewness"]

Floats = NDArray[np.float64]
ESTIMATORS: dict[str, tuple[Callable[..., Estimate], Structure]] = {
    "IIPS": (iips, "independent"),
    "SNIIPS": (sniips, "independent"),
    "RIPS": (rips, "cascade"),
    "SNRIPS": (snrips, "cascade"),
    "SIPS": (sips, "whole slate"),
    "SNSIPS": (snsips, "whole slate"),
}
"""Each estimator and what it assumes of users."""

N_RESAMPLES = 200


@dataclass
class Tally:
    """What was seen of one policy and one estimator over the logs so far."""

    n_logs: int = 0
    held: dict[str, int] = field(default_factory=dict)
    """Logs whose interval holds the truth, by method."""
    flagged: int = 0
    """Logs whose diagnosis is not 'sound'."""
    no_support: int = 0
    """Logs among them without support."""
    missed: int = 0
    """Logs that Student's interval misses."""
    missed_flagged: int = 0
    """Logs among them that are flagged."""
    error: float = 0.0
    """Sum of the errors."""
    square: float = 0.0
    """Sum of their squares."""
    width: dict[str, float] = field(default_factory=dict)
    """Sum of the half-widths, by method."""


@dataclass
class TestTally:
    """What the test of structure found over the logs so far."""

    n_logs: int = 0
    rejected: int = 0
    named: int = 0
    """Logs on which the users' true structure is the strongest that is left."""
    steps: list[int] = field(default_factory=lambda: [0, 0])
    """Rejections of IIPS against RIPS, and of RIPS against SIPS."""
    power: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Sums of the stated powers for a difference of a twentieth of the value."""


def estimates(pages: Pages, logged: Propensity, judged: Propensity) -> dict[str, Estimate]:
    """All estimates of a log."""
    reward = pages.click.astype(np.float64)
    arrays = {
        "independent": (logged.item, judged.item),
        "cascade": (logged.cascade, judged.cascade),
        "whole slate": (logged.slate, judged.slate),
    }
    return {name: make(reward, *arrays[assumed]) for name, (make, assumed) in ESTIMATORS.items()}


class Judge:
    """Judges fresh logs of one world.

    Args:
        world: Where they come from.
        truth: The value of each policy judged.
    """

    def __init__(self, world: StudyWorld, truth: dict[str, float]) -> None:
        self.world, self.truth = world, truth
        place = STRUCTURES.index(world.structure)
        self.valid = [name for name, (_, assumed) in ESTIMATORS.items() if STRUCTURES.index(assumed) >= place]
        self.tallies = {(policy, name): Tally() for policy in JUDGED for name in self.valid}
        self.tests = {policy: TestTally() for policy in ("near", "far")}

    def log(self, pages: Pages) -> None:
        """Judge one log."""
        users = np.asarray(np.unique(pages.user, return_inverse=True)[1])
        logged = self.world.propensity("logged", pages)
        for policy in JUDGED:
            found = estimates(pages, logged, self.world.propensity(policy, pages))
            for name in self.valid:
                self._one(policy, name, found[name], users)
            if policy in self.tests:
                self._test(policy, found, users)

    def _one(self, policy: str, name: str, estimate: Estimate, users: NDArray[np.intp]) -> None:
        tally, truth = self.tallies[policy, name], self.truth[policy]
        tally.n_logs += 1
        for config in self._methods(policy, name):
            method = config.method
            if np.isfinite(estimate.value):
                interval = make_interval(estimate, clusters=users, config=config)
                holds, half = interval.low <= truth <= interval.high, interval.half_width
            else:
                holds, half = False, float("inf")
            tally.held[method] = tally.held.get(method, 0) + bool(holds)
            tally.width[method] = tally.width.get(method, 0.0) + half
            if method == "student":
                misses = not holds
        trust = diagnose(estimate, clusters=users).trust
        tally.flagged += trust != "sound"
        tally.no_support += trust == "no support"
        tally.missed += misses
        tally.missed_flagged += misses and trust != "sound"
        if np.isfinite(estimate.value):
            tally.error += estimate.value - truth
            tally.square += (estimate.value - truth) ** 2

    def _methods(self, policy: str, name: str) -> list[IntervalConfig]:
        found = [IntervalConfig(method="student"), IntervalConfig(method="normal")]
        if policy == "farther":
            return found
        found.append(IntervalConfig(method="bootstrap", n_resamples=N_RESAMPLES))
        if not name.startswith("SN"):
            found.append(IntervalConfig(method="cressie-read"))
            if policy == "near":
                largest = float(self.world.K) if name == "SIPS" else 1.0
                found.append(IntervalConfig(method="sequence", reward_max=largest))
        if name == "IIPS":
            bound = TermRange(low=0.0, high=self.world.largest_terms(policy))
            found.append(IntervalConfig(method="bernstein", bound=bound))
        return found

    def _test(self, policy: str, found: dict[str, Estimate], users: NDArray[np.intp]) -> None:
        forms: dict[Structure, Estimate] = {
            "independent": found["SNIIPS"],
            "cascade": found["SNRIPS"],
            "whole slate": found["SNSIPS"],
        }
        if not all(np.isfinite(form.value) for form in forms.values()):
            return
        seen: Disagreement = disagreement_test(forms, clusters=users)
        tally = self.tests[policy]
        tally.n_logs += 1
        tally.rejected += seen.rejected
        tally.named += seen.supported == self.world.structure
        for number, step in enumerate(seen.steps):
            tally.steps[number] += step.p_value < 0.05
            tally.power[number] += step.power


def skewness(estimate: Estimate, users: NDArray[np.intp]) -> tuple[float, float]:
    """Skewness of the users' terms, and the largest tail index of the users' weights, on a long log."""
    terms = np.asarray(estimate.terms)
    u = np.bincount(users, weights=terms - terms.mean())
    weights = np.asarray(estimate.weights)
    sums = cluster_sums(weights, users, int(users.max()) + 1)
    tails = [tail_index(column) for column in sums.T]
    return float(abs((u**3).mean()) / (u**2).mean() ** 1.5), float(np.nanmax(tails))
