"""The agreement of a simulator's policy values with the true ones: the figures, as data, table and one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from evaluation.formatting import number, percent
from evaluation.intervals import Interval
from simulators.agreement_summary import AgreementSummary, Measured

__all__ = ["FIGURES", "Agreement"]

FIGURES = {
    "spearman": "rank correlation (Spearman)",
    "kendall": "rank correlation (Kendall's tau-b)",
    "sign_agreement": "pairs in the true order",
    "sure_sign_agreement": "the same, pairs whose true order is sure",
    "regret": "true value lost by taking the simulator's best",
    "regret_share": "the same, as a share of best minus reference",
    "bias": "bias (simulated minus true)",
    "rmse": "root mean square error, noise taken off",
    "relative_error": "the same over the mean true value",
    "coverage": "true values inside the simulator's intervals",
}
"""Figures of an `Agreement`, in the order of its table."""

_SHARES = ("sign_agreement", "sure_sign_agreement", "regret_share", "relative_error", "coverage")


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """One simulator against the truth, over `P` policies; made by `evaluation.agreement.measure_agreement`."""

    names: tuple[str, ...]
    """P policies."""
    simulated: NDArray[np.float64]
    """(P,) value in the simulator."""
    simulated_low: NDArray[np.float64]
    """(P,) lower ends of the simulator's intervals; nan where it gives none."""
    simulated_high: NDArray[np.float64]
    """(P,) upper ends."""
    interval_kind: str
    """What these intervals hold: the ensemble's spread, finite users alone, or nothing."""
    true: NDArray[np.float64]
    """(P,) true value."""
    true_error: NDArray[np.float64]
    """(P,) its standard error."""
    truth: str
    """Where the true values come from."""
    reference: str | None
    """Policy at 0 % of what there is to gain."""
    n_sure_pairs: int
    """Pairs of policies whose true order is known beyond its error."""
    level: float
    """Confidence level of all intervals."""
    bias: Interval
    """Mean of simulated minus true."""
    rmse: Interval
    """Root mean square error, the noise of both sides taken off."""
    relative_error: Interval
    """The same over the mean absolute true value."""
    spearman: Interval
    """Rank correlation."""
    kendall: Interval
    """Kendall's tau-b."""
    regret: Interval
    """True value of the best policy minus that of the one that the simulator calls best."""
    regret_share: Interval
    """Regret over (best - reference)."""
    coverage: Interval
    """Share of true values inside the simulator's intervals."""
    sign_agreement: Interval
    """Share of pairs in the true order; a tie counts one half."""
    sure_sign_agreement: Interval
    """The same over the sure pairs."""
    notes: tuple[str, ...] = ()
    """What a reader must know beside the figures."""

    @property
    def chosen(self) -> str:
        """The policy that the simulator calls best."""
        return self.names[int(self.simulated.argmax())]

    @property
    def best(self) -> str:
        """The policy with the highest true value."""
        return self.names[int(self.true.argmax())]

    def summary(self) -> AgreementSummary:
        """The figures as plain numbers."""
        return AgreementSummary(
            truth=self.truth,
            n_policies=len(self.names),
            level=self.level,
            **{
                name: Measured(value=found.value, low=found.low, high=found.high)
                for name in FIGURES
                for found in [self.figure(name)]
            },
        )

    def figure(self, name: str) -> Interval:
        """One of `FIGURES`."""
        found = getattr(self, name)
        assert isinstance(found, Interval)
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain data; None where there is no number."""
        return {
            "truth": self.truth,
            "reference": self.reference,
            "level": self.level,
            "interval_kind": self.interval_kind,
            "chosen": self.chosen,
            "best": self.best,
            "n_policies": len(self.names),
            "n_sure_pairs": self.n_sure_pairs,
            "figures": {
                name: {key: _finite(getattr(self.figure(name), key)) for key in ("value", "low", "high")}
                for name in FIGURES
            },
            "policies": [
                {
                    "policy": name,
                    "simulated": _finite(self.simulated[p]),
                    "simulated_low": _finite(self.simulated_low[p]),
                    "simulated_high": _finite(self.simulated_high[p]),
                    "true": _finite(self.true[p]),
                    "true_error": _finite(self.true_error[p]),
                }
                for p, name in enumerate(self.names)
            ],
            "notes": list(self.notes),
        }

    def text(self, name: str) -> tuple[str, str]:
        """A figure and its interval as people read them; empty where there is none."""
        found = self.figure(name)
        if math.isnan(found.value):
            return "", ""
        show = percent if name in _SHARES else number
        ends = [show(end) if math.isfinite(end) else "no bound" for end in (found.low, found.high)]
        return show(found.value), f"{ends[0]} to {ends[1]}"

    def sentence(self) -> str:
        """What the figures amount to, in one plain sentence."""
        n, regret = len(self.names), self.regret
        order = (
            f"Of {n} policies judged in the simulator, {percent(self.sure_sign_agreement.value)} of the "
            f"{self.n_sure_pairs} pairs whose true order is sure stand in that order"
            if self.n_sure_pairs
            else f"The truth about these {n} policies is too uncertain to put any two in order"
        )
        if self.chosen == self.best:
            lost = f"the one it calls best, {self.chosen}, is the best in truth as well"
        else:
            share = self.regret_share.value
            of = (
                f", {percent(share)} of what the best gains over {self.reference}"
                if math.isfinite(share)
                else ""
            )
            lost = f"taking the one it calls best, {self.chosen}, loses {number(regret.value)} a session{of}"
        return f"{order}; {lost} (Spearman {number(self.spearman.value)})."

    def table(self) -> Group:
        """The figures, and the policies by true value, for the terminal."""
        figures = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        figures.add_column(f"against {self.truth}, {len(self.names)} policies", no_wrap=True)
        figures.add_column("value", justify="right", no_wrap=True)
        figures.add_column(f"{self.level:.0%} interval", justify="right", no_wrap=True)
        for name, words in FIGURES.items():
            figures.add_row(words, *self.text(name))
        policies = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        policies.add_column("policy", no_wrap=True)
        for heading in ("simulated", "its interval", "true", "standard error"):
            policies.add_column(heading, justify="right", no_wrap=True)
        for row in self.rows():
            policies.add_row(*row)
        return Group(policies, Text(), figures, *(Text(note, style="dim") for note in self.notes))

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Policy, simulated value, its interval, true value and its standard error; best in truth first."""
        rows = []
        for p in np.argsort(-self.true, kind="stable"):
            low, high = float(self.simulated_low[p]), float(self.simulated_high[p])
            rows.append(
                (
                    self.names[p],
                    number(float(self.simulated[p])),
                    "" if math.isnan(low) else f"{number(low)} to {number(high)}",
                    number(float(self.true[p])),
                    number(float(self.true_error[p])),
                )
            )
        return rows


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
