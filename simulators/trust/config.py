"""How trust is measured: sizes, and the thresholds of the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from behavior.errors import InputError

__all__ = ["TrustConfig"]


@dataclass(frozen=True, kw_only=True)
class TrustConfig:
    """Sizes and thresholds; docs/trust.md says why they are what they are."""

    sessions: int = 4_000
    """Simulated sessions aimed at: every held-out session is answered as often as it takes, at most 20 times."""
    max_held_out: int = 20_000
    """Most held-out sessions that are compared with; of more, so many are taken, evenly spaced in time."""
    bootstrap: int = 1_000
    """Resamples of held-out sessions behind intervals and tests."""
    confidence: float = 0.95
    """Of the intervals; one minus it is the chance that a right simulator is called wrong, over all checks together."""
    tolerance: float = 0.05
    """Largest real difference that is let pass: of rates and calibration as a share of the mean rate, of distributions
    as total variation (the share of pages or sessions that would have to be others)."""
    resolution: float = 0.10
    """What the held-out sessions must be able to rule out: a measure agrees where no larger difference is possible at
    the given confidence, and stays open where one is."""
    auc_tolerance: float = 0.55
    """Largest area under the curve of the classifier that is let pass; 0.5 is guessing."""
    folds: int = 5
    """Folds of the classifier's cross-validation, over sessions."""
    min_events: int = 20
    """Fewest clicks, purchases or the like that a measure is taken from; with fewer, it is left out and named."""
    seed: int = 0
    """Of the simulated users, the resampling and the folds."""

    def __post_init__(self) -> None:
        fewest = round(20.0 / (1.0 - self.confidence)) if 0.0 < self.confidence < 1.0 else 0
        wrong = {
            "confidence": not 0.0 < self.confidence < 1.0,
            "sessions": self.sessions < 1,
            "max_held_out": self.max_held_out < 20,
            "bootstrap": self.bootstrap < fewest,
            "folds": self.folds < 2,
        }
        needs = {
            "confidence": "between 0 and 1",
            "sessions": "at least 1",
            "max_held_out": "at least 20",
            # All checks share one chance of a false alarm, so a single one is rejected far below 1 - confidence.
            "bootstrap": f"at least {fewest:,}: with fewer resamples, nothing could be rejected at this confidence",
            "folds": "at least 2",
        }
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise InputError(f"{name} {getattr(self, name)}", where="TrustConfig", mend=needs[name])
