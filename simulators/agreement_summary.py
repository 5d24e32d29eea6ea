"""How far simulated values of policies agree with true ones, as plain numbers: what a verdict on a simulator reads.

Measured by `evaluation.agreement`, which knows policies; kept here, where verdicts on simulators are made.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AgreementSummary", "Measured"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A figure with its interval; nan where there is none, infinite ends where the data bound nothing."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class AgreementSummary:
    """The agreement of one simulator with the truth about a set of policies."""

    truth: str
    """Where the true values come from, such as 'the true store' or 'off-policy estimates from the log'."""
    n_policies: int
    """Policies compared."""
    level: float
    """Confidence level of all intervals."""
    bias: Measured
    """Mean of simulated minus true value, in the score's units."""
    rmse: Measured
    """Root mean square of the same, the noise of both sides taken off."""
    relative_error: Measured
    """The same over the mean true value."""
    spearman: Measured
    """Rank correlation over the policies."""
    kendall: Measured
    """Kendall's tau-b over the policies."""
    regret: Measured
    """True value lost by taking the policy that the simulator calls best."""
    regret_share: Measured
    """The same over (best true value - that of the reference policy); nan without a reference."""
    coverage: Measured
    """Share of true values inside the simulator's intervals; nan where it gives none."""
    sign_agreement: Measured
    """Share of pairs of policies that the simulator puts in the true order."""
    sure_sign_agreement: Measured
    """The same among pairs whose true order is known beyond its own error."""
