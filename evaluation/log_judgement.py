"""What was found of policies on one log: figures by estimator, simulated values, differences, and a ranking.

A figure that cannot be believed keeps its number and its reason, and stands behind all others in every ranking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.intervals import Interval, paired_difference

if TYPE_CHECKING:
    from evaluation.diagnostics import Diagnostics, Overlap
    from evaluation.disagreement import Disagreement
    from evaluation.outcomes import OnlineResult
    from evaluation.selection import Selection

__all__ = ["Figure", "JudgedPolicy", "LogJudgement"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One policy by one estimator."""

    estimator: str
    """Its name in the registry."""
    per: str
    """What the value is per: page, impression or session."""
    interval: Interval
    """The value; whether it may be believed is said by `diagnostics`."""
    lift: Interval
    """The value minus that of the logging policy on the same rows."""
    diagnostics: Diagnostics
    """Whether it may be believed, and what its weights are like."""
    terms: NDArray[np.float64]
    """(n,) one term a row (page or session) with mean `value`."""
    users: NDArray[np.int64]
    """(n,) user of each row."""

    @property
    def value(self) -> float:
        """The estimate, believed or not."""
        return self.interval.value

    @property
    def believed(self) -> bool:
        """Whether the figure may be read with its interval."""
        return self.diagnostics.sound

    @property
    def supported(self) -> bool:
        """Whether the log can say anything: the figure may still be doubtful."""
        return self.diagnostics.trust != "no support" and bool(np.isfinite(self.value))

    @property
    def reason(self) -> str:
        """Why the figure cannot be believed; empty where it can."""
        return "; ".join(self.diagnostics.reasons)


@dataclass(frozen=True, kw_only=True)
class JudgedPolicy:
    """One policy."""

    name: str
    """For tables."""
    source: str
    """Where it came from: a run, a table, a function, a Policy."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """By estimator; empty where the log can say nothing at all."""
    overlap: Overlap | None = None
    """Of the weights that its figures are made with; None where there are none."""
    disagreement: Disagreement | None = None
    """Do estimators under different assumptions on users agree? None where there are no two to compare."""
    reason: str = ""
    """Why there are no figures; empty where there are."""
    warnings: tuple[str, ...] = ()
    """What a reader must know beside the figures."""


@dataclass(frozen=True, kw_only=True)
class LogJudgement:
    """Several policies on one log."""

    policies: Mapping[str, JudgedPolicy]
    """By name, in the order given."""
    chosen: str
    """The estimator that policies are ranked by; empty where there are no figures at all."""
    why_chosen: str
    """Why this one, in words."""
    logged: Interval
    """The logging policy's own value on the same pages."""
    per: str
    """What the values are per: page or impression."""
    n_pages: int
    """Logged pages (impressions) judged on."""
    n_users: int
    """Users behind them."""
    purchase_weight: float
    """The reward is clicks + this x purchases."""
    level: float
    """Of all intervals."""
    simulated: Mapping[str, OnlineResult] = field(default_factory=dict)
    """What simulated users did with the policies, by simulator."""
    truth: OnlineResult | None = None
    """The same in the true store, where it is known."""
    spread: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    """By ensemble, then by policy: the value with an interval for what the log could not tell."""
    notes: tuple[str, ...] = ()
    """What concerns all policies; warnings."""
    remarks: tuple[str, ...] = ()
    """What was done while the log was read."""

    def __getitem__(self, name: str) -> JudgedPolicy:
        """One policy."""
        if name not in self.policies:
            raise InputError(
                f"no policy named {name!r} was judged",
                where="off-policy judgement",
                mend=f"choose one of: {', '.join(self.policies)}",
            )
        return self.policies[name]

    def figure(self, name: str, estimator: str = "") -> Figure | None:
        """The figure of a policy by an estimator (the chosen one if none is named); None where there is none."""
        return self[name].figures.get(estimator or self.chosen)

    def believed(self, estimator: str = "") -> tuple[str, ...]:
        """Policies whose figure can be believed, the best first."""
        found = {name: self.figure(name, estimator) for name in self.policies}
        return _by_value({name: one for name, one in found.items() if one is not None and one.believed})

    def doubtful(self, estimator: str = "") -> tuple[str, ...]:
        """Policies that the log says something of, with an interval that may be too narrow; the best first."""
        found = {name: self.figure(name, estimator) for name in self.policies}
        return _by_value(
            {
                name: one
                for name, one in found.items()
                if one is not None and one.supported and not one.believed
            }
        )

    def ranking(self, estimator: str = "") -> tuple[str, ...]:
        """All policies: those to be believed, best first; behind them the doubtful; then those without support."""
        first = (*self.believed(estimator), *self.doubtful(estimator))
        return (*first, *(name for name in self.policies if name not in first))

    def difference(self, first: str, second: str, estimator: str = "") -> Interval:
        """Paired difference `first - second` on the same rows of the log, over users.

        Raises:
            InputError: One of the two has no figure by this estimator.
        """
        name = estimator or self.chosen
        found = [self.figure(policy, name) for policy in (first, second)]
        for policy, one in zip((first, second), found, strict=True):
            if one is None:
                raise InputError(
                    f"there is no figure of {policy!r} by {name or 'any estimator'}",
                    where="off-policy difference",
                    mend=f"choose from: {', '.join(self.believed()) or 'no policy has one'}",
                )
        a, b = found
        assert a is not None
        assert b is not None
        return paired_difference(a.terms, b.terms, clusters=a.users, level=self.level)

    def select(self, *, seed: int = 0) -> Selection | None:
        """The choice among the policies that can be believed, with the risk of choosing wrong; None below two."""
        from evaluation.selection import select_policy

        names = self.believed()
        figures = [self.figure(name) for name in names]
        whole = [(name, one) for name, one in zip(names, figures, strict=True) if one is not None]
        if len(whole) < 2:
            return None
        terms = np.stack([one.terms for _, one in whole], axis=1)  # (n, P)
        return select_policy(
            terms,
            names=tuple(name for name, _ in whole),
            users=whole[0][1].users,
            level=self.level,
            seed=seed,
        )


def _by_value(figures: Mapping[str, Figure]) -> tuple[str, ...]:
    return tuple(sorted(figures, key=lambda name: -figures[name].value))
