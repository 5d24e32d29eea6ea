"""What was measured of a simulator, and the verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from simulators.agreement_summary import AgreementSummary
from simulators.fitting.report import plain
from simulators.trust.compare import Measured
from simulators.trust.config import TrustConfig
from simulators.trust.predictions import Score
from simulators.trust.two_sample import TwoSample
from simulators.trust.verdict import TrustVerdict, judge_trust

__all__ = ["LeftOut", "TrustReport"]


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A part that could not be measured."""

    what: str
    """Which measures."""
    why: str
    """The reason."""


@dataclass(frozen=True, kw_only=True)
class TrustReport:
    """Simulated against held-out sessions."""

    name: str
    """The simulator."""
    n_held_out: int
    """Held-out sessions compared with."""
    n_simulated: int
    """Simulated sessions (whole visits)."""
    replicates: int
    """How often each logged page was answered."""
    config: TrustConfig
    """Sizes and thresholds."""
    verdict: TrustVerdict
    """In words."""
    measures: tuple[Measured, ...]
    """Rates, distributions and calibration."""
    scores: tuple[Score, ...]
    """Log-likelihoods and perplexities; empty for a simulator that tells no probabilities."""
    tests: tuple[TwoSample, ...]
    """Classifier two-sample tests, of pages and of sessions."""
    left_out: tuple[LeftOut, ...]
    """What was not measured, and why."""
    notes: tuple[str, ...]
    """What a reader must know."""
    agreement: AgreementSummary | None = None
    """Agreement on policies, where it was measured."""

    def __getitem__(self, name: str) -> Measured:
        return next(m for m in self.measures if m.name == name)

    def test(self, rows: str) -> TwoSample:
        """The classifier test of 'page' or 'session'."""
        return next(t for t in self.tests if t.rows == rows)

    def with_agreement(self, agreement: AgreementSummary) -> TrustReport:
        """The same, judged anew with what was measured of policies since."""
        verdict = judge_trust(
            self.measures,
            self.scores,
            self.tests,
            self.config,
            n_sessions=self.n_held_out,
            agreement=agreement,
        )
        return replace(self, agreement=agreement, verdict=verdict)

    def to_json(self) -> dict[str, Any]:
        """Plain data; nan becomes None."""
        found: dict[str, Any] = plain(asdict(self))
        return found
