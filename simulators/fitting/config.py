"""What a fit may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from behavior.errors import InputError

__all__ = ["ExaminationFrom", "FitConfig"]

ExaminationFrom = Literal["joint", "swaps", "auto", "regression-em"]


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How simulators are fitted to a log; the defaults suit logs from forty clicks to a million."""

    strengths: tuple[float, ...] = (30000.0, 10000.0, 3000.0, 1000.0, 300.0, 30.0, 3.0)
    """Strengths of the prior to try, strongest first. A weaker one is taken only if it foretells the last part of
    the training sessions better by more than one standard error; the search ends where it does not."""
    tuning_share: float = 0.15
    """Share of the training sessions, the latest, on which the strength is chosen."""
    max_iterations: int = 150
    """Most L-BFGS iterations of one fit."""
    max_impressions: int = 1_000_000
    """Fit to the latest sessions with at most so many shown items (memory: about 500 bytes each)."""
    ring: int = 64
    """How many of the last shown items a user remembers one by one (for repeats and category fatigue)."""
    several_visits: bool = False
    """Users who leave come back as often as the log's do: an episode is then all visits of a user, and `left` means
    for good. Otherwise it is one visit, and `simulator.returns` says what might follow."""
    stops_at_click: bool = False
    """Cascade only: the strict model, in which the first click on a page is the last."""
    examination_from: ExaminationFrom = "joint"
    """Position-based model only. 'joint': examination is fitted together with appeal. 'swaps': it is taken from items
    that the log shows at several positions, whatever features say of them, and held while appeal is fitted. 'auto':
    from swaps where they settle every position within a tenth, else joint. 'regression-em': taken from
    expectation-maximisation with boosted trees, and held (docs/position-bias.md)."""

    def __post_init__(self) -> None:
        checks = (
            (
                "strengths",
                bool(self.strengths) and all(s > 0 for s in self.strengths),
                "one or more, positive",
            ),
            ("tuning_share", 0.0 < self.tuning_share < 1.0, "between 0 and 1"),
            ("max_iterations", self.max_iterations >= 1, "at least 1"),
            ("max_impressions", self.max_impressions >= 1, "at least 1"),
            ("ring", self.ring >= 1, "at least 1"),
            (
                "examination_from",
                self.examination_from in get_args(ExaminationFrom),
                f"one of {', '.join(get_args(ExaminationFrom))}",
            ),
        )
        for name, fine, expected in checks:
            if not fine:
                raise InputError(f"{name} is {getattr(self, name)}, expected {expected}", where="FitConfig")
