"""What a fit may be told."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FitConfig"]


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How simulators are fitted to a log; the defaults suit logs from forty clicks to a million."""

    strengths: tuple[float, ...] = (3000.0, 300.0, 30.0, 3.0)
    """Strengths of the prior to try, strongest first. A weaker one is taken only if it foretells the last part of
    the training sessions better by more than one standard error; the search ends where it does not."""
    tuning_share: float = 0.15
    """Share of the training sessions, the latest, on which the strength is chosen."""
    max_iterations: int = 60
    """Most L-BFGS iterations of one fit."""
    max_impressions: int = 1_000_000
    """Fit to the latest sessions with at most so many shown items (memory: about 500 bytes each)."""
    ring: int = 64
    """How many of the last shown items a user remembers one by one (for repeats and category fatigue)."""
    stops_at_click: bool = False
    """Cascade only: the strict model, in which the first click on a page is the last."""

    def __post_init__(self) -> None:
        if not self.strengths or any(s <= 0 for s in self.strengths):
            raise ValueError(f"strengths must be positive and at least one, not {self.strengths}")
        if not 0.0 < self.tuning_share < 1.0:
            raise ValueError(f"tuning_share must lie between 0 and 1, not {self.tuning_share}")
        if self.ring < 1:
            raise ValueError(f"ring must be at least 1, not {self.ring}")
