"""All that a log says of examination, side by side: swaps, regression EM, what ties positions together, warnings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.steps import LoggedSteps
from simulators.clicks.scores import Figure
from simulators.fitting.checks import check_shown_and_clicked
from simulators.position_bias.harvest import harvest
from simulators.position_bias.identify import Identification, identify
from simulators.position_bias.intervals import Agreement, SwapEstimate, estimate_from_swaps
from simulators.position_bias.regression_em import (
    MOST_IMPRESSIONS,
    RegressionEm,
    Regressor,
    fit_regression_em,
)
from simulators.position_bias.stability import Stability, measure_stability

if TYPE_CHECKING:
    from rich.table import Table

    from encoders.features import FeatureTables

__all__ = ["PositionBiasReport", "examine_position_bias"]

_LATE = 0.15


@dataclass(frozen=True, kw_only=True)
class PositionBiasReport:
    """Examination relative to one position, by every way that this log allows."""

    known: Identification
    rates: NDArray[np.float64]  # (K,) clicks per impression
    swaps: dict[str, tuple[Figure, ...]]
    """By estimator, K figures; "pooled, by propensities" where propensities are logged. Empty without swaps."""
    agreement: Agreement
    stability: Stability
    regression: dict[str, RegressionEm]
    """By regressor; empty without features."""

    def verdict(self) -> tuple[str, ...]:
        """What to make of it, in words."""
        out = list(self.known.sentences())
        if not out:
            out.append("items that were swapped settle the examination of every position that was shown")
        if self.agreement.disagree:
            out.append(
                "WARNING: swaps with the reference and swaps of neighbours disagree "
                f"(p = {self.agreement.p_value:.1g}): no one number for each position explains these clicks; "
                "readers may look from the top, or relevance "
                "changed with the position"
            )
        if self.swaps and not self.stability.tested:
            out.append(
                "too few items stood at the same position early and late to test whether relevance stayed"
            )
        if self.stability.moves_follow_relevance:
            out.append(
                "WARNING: items that later pages show further up are clicked "
                f"{self.stability.by_direction.value:.2f} times as often at the same position, compared with items "
                "moved down: rank followed relevance as it changed, and what swaps say of examination is mixed with it"
            )
        n_shown = sum(p.shown for p in self.known.positions)
        if self.regression and n_shown > MOST_IMPRESSIONS:
            out.append(
                f"regression EM was fitted to the latest {MOST_IMPRESSIONS:,} of {n_shown:,} impressions"
            )
        for name, em in self.regression.items():
            if not em.converged:
                out.append(f"regression EM ({name}) has not arrived: its figures are provisional")
        return tuple(out)

    def tables(self) -> tuple[Table, Table]:
        """What stands where, and examination by every way; pivot and chain ratios are in `to_json` alone."""
        from rich.table import Table

        at = self.known.reference
        facts = Table(title="position bias: what the log holds", title_justify="left")
        for column in ("position", "shown", "clicks", "rate", "swapped", "told by"):
            facts.add_column(column, justify="left" if column == "told by" else "right")
        ways = Table(title=f"examination relative to position {at + 1}", title_justify="left")
        swaps = {name: figures for name, figures in self.swaps.items() if name not in ("pivot", "chain")}
        names = [f"swaps, {name}" for name in swaps] + [f"EM, {name}" for name in self.regression]
        for column in ("position", *names):
            ways.add_column(column, justify="right")
        for k, position in enumerate(self.known.positions):
            facts.add_row(
                str(k + 1),
                f"{position.shown:,}",
                f"{position.clicks:,}",
                _number(float(self.rates[k])),
                f"{position.swapped_share:.0%}",
                position.source if position.shown else "",
            )
            ways.add_row(
                str(k + 1),
                *(_figure(figures[k]) for figures in swaps.values()),
                *(_number(float(em.examination[k] / em.examination[at])) for em in self.regression.values()),
            )
        return facts, ways

    def to_json(self) -> dict[str, Any]:
        """Plain data; nan and infinity become None."""
        at = self.known.reference
        return {
            "reference": at + 1,
            "positions": [
                {
                    "position": k + 1,
                    "shown": p.shown,
                    "clicks": p.clicks,
                    "rate": _plain(self.rates[k]),
                    "swapped_share": p.swapped_share,
                    "standard_error_of_log": _plain(p.standard_error),
                    "told_by": p.source,
                    "swaps": {name: _interval(figures[k]) for name, figures in self.swaps.items()},
                    "regression_em": {
                        name: _plain(em.examination[k] / em.examination[at])
                        for name, em in self.regression.items()
                    },
                }
                for k, p in enumerate(self.known.positions)
            ],
            "groups": [[k + 1 for k in group] for group in self.known.groups()],
            "effective_clicks_between": np.maximum(-np.triu(self.known.information, 1), 0.0).tolist(),
            "deterministic": self.known.deterministic,
            "same_page": _plain(self.known.same_page),
            "certain_propensities": _plain(self.known.certain),
            "shares": {s: self.known.share(s) for s in ("swaps", "features", "nothing")},
            "agreement": {"p_value": _plain(self.agreement.p_value), "contrasts": self.agreement.contrasts},
            "stability": {
                "drift": _interval(self.stability.drift),
                "by_direction": _interval(self.stability.by_direction),
            },
            "verdict": list(self.verdict()),
        }

    def plot(self, folder: Path) -> list[Path]:
        """Draw examination by position, and the swap graph, as PNG files into `folder` (new or empty)."""
        from simulators.position_bias.plots import plot_report

        return plot_report(self, folder)


def examine_position_bias(
    steps: LoggedSteps,
    features: FeatureTables | None = None,
    *,
    regressors: tuple[Regressor, ...] = ("line", "trees"),
    n_bootstrap: int = 200,
    seed: int = 0,
    ring: int = 64,
    progress: bool = True,
) -> PositionBiasReport:
    """Everything at once.

    Args:
        steps: The log.
        features: Public tables; without them swaps alone are asked.
        regressors: Of regression EM.
        n_bootstrap: Resamples of sessions behind the intervals.
        seed: Of the resamples.
        ring: How many shown items a user remembers one by one.
        progress: Whether to show a bar.

    Raises:
        InputError: The log holds nothing to learn from.
    """
    shown = steps.item >= 0
    check_shown_and_clicked(steps.item, steps.click, steps.n_sessions)
    found = harvest(steps)
    regression: dict[str, RegressionEm] = {}
    with tqdm(total=None, desc="position bias", disable=None if progress else True, leave=False) as bar:

        def tick() -> None:
            bar.update()

        if features is None:
            known = identify(steps, found=found)
        else:
            from simulators.fitting.replay import replay
            from simulators.position_bias.for_fit import identification_of

            seen = replay(features, steps, ring=ring)
            known = identification_of(steps, features, seen, found)
            last = slice(max(len(seen.rows) - MOST_IMPRESSIONS, 0), None)
            page = seen.page[last]
            for regressor in regressors:
                regression[regressor] = fit_regression_em(
                    seen.rows[last],
                    seen.position[last],
                    seen.click[last],
                    n_positions=steps.slate_size,
                    regressor=regressor,
                    judge=page >= page[0] + (1.0 - _LATE) * (page[-1] + 1 - page[0]),
                    tick=tick,
                )
        tied = known.tied()
        swaps: dict[str, tuple[Figure, ...]] = {}
        agreement = Agreement(p_value=math.nan, contrasts=0)
        if tied.sum() > 1:

            def estimate(weighting: Any) -> SwapEstimate:
                return estimate_from_swaps(
                    found if weighting == "counts" else harvest(steps, weighting=weighting),
                    reference=known.reference,
                    tied=tied,
                    n_bootstrap=n_bootstrap,
                    seed=seed,
                    tick=tick,
                )

            plain = estimate("counts")
            swaps, agreement = dict(plain.by), plain.agreement
            chance = steps.propensity[shown]
            if np.isfinite(chance).all() and (chance > 0).all() and (chance < 1).any():
                swaps["pooled, by propensities"] = estimate("propensities").by["pooled"]
        stability = measure_stability(found, n_bootstrap=n_bootstrap, seed=seed)
    return PositionBiasReport(
        known=known,
        rates=np.where(
            shown.any(axis=0), (steps.click * shown).sum(axis=0) / np.maximum(shown.sum(axis=0), 1), np.nan
        ),
        swaps=swaps,
        agreement=agreement,
        stability=stability,
        regression=regression,
    )


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"


def _figure(figure: Figure) -> str:
    if not math.isfinite(figure.value):
        return "–"
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _interval(figure: Figure) -> dict[str, float | None]:
    return {"value": _plain(figure.value), "low": _plain(figure.low), "high": _plain(figure.high)}
