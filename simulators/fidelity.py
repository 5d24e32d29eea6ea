"""How far a simulator can be trusted: its sessions beside held-out logged ones, with intervals.

Simulated users are shown logged pages of the query they issue, so both sides look at the same kind of pages; what
the log's policy knew of each user is not reproduced.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from tqdm import tqdm

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from simulators.base import SessionState, UserSimulator
from simulators.composed import ComposedSimulator
from simulators.ensemble.simulator import EnsembleSimulator
from simulators.fitting.replay import walk
from simulators.fitting.scores import log_likelihood, position_rates
from simulators.resampling import resampled_sums, sums_by_session
from simulators.rollout import LoggedPages, simulate_steps

__all__ = ["FidelityReport", "FidelityRow", "bootstrap_ratios", "measure_fidelity", "replay_logits"]


@dataclass(frozen=True, kw_only=True)
class FidelityRow:
    """One figure, simulated and logged, each with its interval."""

    measure: str
    """What is compared."""
    simulated: float
    """In simulated sessions (or under the simulator)."""
    simulated_low: float
    """Lower end of its interval."""
    simulated_high: float
    """Upper end."""
    logged: float
    """In held-out logged sessions (or under the baseline)."""
    logged_low: float
    """Lower end of its interval."""
    logged_high: float
    """Upper end."""

    @property
    def agrees(self) -> bool:
        """Whether the intervals overlap."""
        return self.simulated_low <= self.logged_high and self.logged_low <= self.simulated_high


@dataclass(frozen=True, kw_only=True)
class FidelityReport:
    """Simulated against held-out sessions."""

    n_logged_sessions: int
    """Held-out sessions."""
    n_simulated_sessions: int
    """Simulated sessions."""
    confidence: float
    """Of the intervals (bootstrap over sessions)."""
    behaviour: tuple[FidelityRow, ...]
    """Rates and lengths."""
    likelihood: tuple[FidelityRow, ...]
    """Held-out click log-likelihood and perplexity: the simulator against the constant rate by position; empty for a
    simulator that cannot tell probabilities."""

    def to_json(self) -> dict[str, Any]:
        """Plain data; nan becomes None, and each row says whether it agrees."""

        def rows(values: tuple[FidelityRow, ...]) -> list[dict[str, Any]]:
            return [
                {
                    k: None if isinstance(v, float) and math.isnan(v) else v
                    for k, v in (asdict(row) | {"agrees": row.agrees}).items()
                }
                for row in values
            ]

        return {
            "n_logged_sessions": self.n_logged_sessions,
            "n_simulated_sessions": self.n_simulated_sessions,
            "confidence": self.confidence,
            "behaviour": rows(self.behaviour),
            "likelihood": rows(self.likelihood),
        }

    def table(self) -> Table:
        """Both parts for the terminal."""
        table = Table(
            title=f"fidelity: {self.n_simulated_sessions:,} simulated against {self.n_logged_sessions:,} held-out "
            f"sessions, {self.confidence:.0%} intervals",
            title_justify="left",
        )
        for column in ("measure", "simulator", "log / baseline", "intervals overlap"):
            table.add_column(column, justify="left" if column == "measure" else "right")
        for row in self.behaviour:
            table.add_row(*_cells(row), "yes" if row.agrees else "no")
        if self.likelihood:
            table.add_section()
        for row in self.likelihood:
            table.add_row(*_cells(row), "")
        return table


def _cells(row: FidelityRow) -> tuple[str, str, str]:
    def cell(value: float, low: float, high: float) -> str:
        return "–" if math.isnan(value) else f"{value:.4f} [{low:.4f}, {high:.4f}]"

    return (
        row.measure,
        cell(row.simulated, row.simulated_low, row.simulated_high),
        cell(row.logged, row.logged_low, row.logged_high),
    )


def measure_fidelity(
    simulator: UserSimulator,
    train: LoggedSteps,
    valid: LoggedSteps,
    *,
    n_sessions: int = 4_000,
    n_bootstrap: int = 400,
    confidence: float = 0.95,
    seed: int = 0,
    progress: bool = True,
) -> FidelityReport:
    """Compare `simulator` with the held-out sessions `valid`.

    Args:
        simulator: Whose fidelity.
        train: The training part, for the baseline's rates.
        valid: Sessions the simulator was not fitted to; their pages are shown to simulated users.
        n_sessions: Simulated sessions.
        n_bootstrap: Resamples of whole sessions.
        confidence: Coverage the intervals aim at.
        seed: Key of the simulated users and of the resampling.
        progress: Whether to show a bar.
    """
    if valid.n_steps == 0:
        raise InputError(
            "there are no held-out sessions to compare with", where="validate", mend="a longer log"
        )
    one_visit = getattr(simulator, "one_visit", None)  # a logged session is one visit
    simulator = simulator if one_visit is None else one_visit()
    composed = isinstance(simulator, ComposedSimulator | EnsembleSimulator)
    pages = valid if composed else valid.take(np.flatnonzero((valid.item >= 0).all(axis=1)))
    if pages.n_steps == 0:
        raise InputError(
            "the log holds no full page, and only simulators composed of parts answer pages with gaps",
            where="validate",
            mend="compare with a log of whole slates",
        )
    with tqdm(total=4, desc="fidelity", disable=None if progress else True, leave=False) as bar:
        n_pages = int(np.bincount(valid.session - valid.session.min()).max())
        simulated = simulate_steps(
            simulator,
            LoggedPages(pages, simulator.n_queries),
            n_sessions=n_sessions,
            max_steps=n_pages,
            seed=seed,
        )
        bar.update()
        names, num, den = _behaviour(simulated)
        ours = bootstrap_ratios(num, den, n_bootstrap, confidence, seed)
        bar.update()
        _, num, den = _behaviour(valid)
        theirs = bootstrap_ratios(num, den, n_bootstrap, confidence, seed + 1)
        bar.update()
        likelihood: tuple[FidelityRow, ...] = ()
        if isinstance(simulator, ComposedSimulator):
            likelihood = _likelihood(simulator, train, valid, n_bootstrap, confidence, seed)
        bar.update()
    return FidelityReport(
        n_logged_sessions=valid.n_sessions,
        n_simulated_sessions=n_sessions,
        confidence=confidence,
        behaviour=_join(names, ours, theirs),
        likelihood=likelihood,
    )


def replay_logits(simulator: ComposedSimulator, steps: LoggedSteps) -> NDArray[np.float64]:
    """Logits (M, K) the simulator gives to the shown items of a log, each session's true past in its memory."""
    logits = np.full(steps.item.shape, -np.inf)
    batches = walk(steps)
    hidden = np.empty((0, 0), np.float32)
    for t, batch in enumerate(batches):
        state = SessionState(
            user=steps.user[batch],
            step=np.full(len(batch), t, np.int32),
            query=np.require(steps.query[batch], np.int32, ["C"]),
            context=np.require(steps.context[batch], np.float32, ["C"]),
            hidden=hidden[: len(batch)] if t else simulator.memory.begin(len(batch)),
        )
        hidden = state.hidden
        items = np.require(steps.item[batch], np.int32, ["C"])
        logits[batch] = simulator.attractiveness.logits(state, simulator.memory, items)
        simulator.memory.remember(
            state,
            items,
            np.require(steps.click[batch], np.uint8, ["C"]),
            np.require(steps.purchase[batch], np.uint8, ["C"]),
        )
    return logits


def bootstrap_ratios(
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> NDArray[np.float64]:
    """Ratios of sums over sessions with percentile intervals.

    Args:
        numerator: (S, J) per session.
        denominator: (S, J) per session.
        n_bootstrap: Resamples; sessions get independent Poisson(1) weights.
        confidence: Coverage aimed at.
        seed: Of the resampling.

    Returns:
        (3, J): value, low, high; nan where the denominator is 0.
    """
    both = np.concatenate([numerator, denominator], axis=1)
    n_columns = numerator.shape[1]
    sums = resampled_sums(both, n_bootstrap, seed)
    total = both.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = total[:n_columns] / total[n_columns:]
        draws = sums[:, :n_columns] / sums[:, n_columns:]
    tail = (1.0 - confidence) / 2.0
    out = np.full((3, n_columns), np.nan)
    known = np.flatnonzero(total[n_columns:] > 0)
    out[0] = np.where(total[n_columns:] > 0, value, np.nan)
    out[1:, known] = np.nanquantile(draws[:, known], [tail, 1.0 - tail], axis=0)
    return out


def _behaviour(steps: LoggedSteps) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Names, numerators and denominators (S, J) of the compared figures."""
    shown = (steps.item >= 0).astype(np.float64)
    k = steps.slate_size
    page = np.concatenate([steps.click * shown, steps.purchase * shown, shown], axis=1)
    sums = sums_by_session(page, steps.session)
    click, purchase, seen = sums[:, :k], sums[:, k : 2 * k], sums[:, 2 * k :]
    length = sums_by_session(np.ones((steps.n_steps, 1)), steps.session)
    one = np.ones_like(length)
    names = [
        *(f"click rate, position {p + 1}" for p in range(k)),
        *(f"purchase rate, position {p + 1}" for p in range(k)),
        "purchases per click",
        "pages per session",
        "clicks per session",
        "purchases per session",
    ]
    total_click, total_purchase = click.sum(axis=1, keepdims=True), purchase.sum(axis=1, keepdims=True)
    numerator = np.concatenate([click, purchase, total_purchase, length, total_click, total_purchase], axis=1)
    denominator = np.concatenate([seen, seen, total_click, one, one, one], axis=1)
    return names, numerator, denominator


def _likelihood(
    simulator: ComposedSimulator,
    train: LoggedSteps,
    valid: LoggedSteps,
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> tuple[FidelityRow, ...]:
    shown = valid.item >= 0
    logits = replay_logits(simulator, valid)
    given = simulator.examination.click_probability_given_above(logits, valid.click)
    before = simulator.examination.click_probability(logits)
    rates = np.broadcast_to(position_rates(train.click, train.item >= 0), shown.shape)

    def page_likelihood(chance: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(
            np.where(shown, log_likelihood(chance, valid.click), 0.0).sum(axis=1, keepdims=True)
        )

    def bits(chance: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.where(shown, -log_likelihood(chance, valid.click) / np.log(2.0), 0.0))

    pages = sums_by_session(np.ones((valid.n_steps, 1)), valid.session)
    seen = sums_by_session(shown.astype(np.float64), valid.session)

    def scores(given: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
        numerator = sums_by_session(
            np.concatenate([page_likelihood(given), bits(before)], axis=1), valid.session
        )
        denominator = np.concatenate([pages, seen], axis=1)
        # The same seed for both sides: the same sessions are drawn, so the two intervals move together.
        out = bootstrap_ratios(numerator, denominator, n_bootstrap, confidence, seed + 2)
        out[:, 1:] = 2.0 ** out[:, 1:]
        return out

    names = [
        "click log-likelihood per page",
        *(f"click perplexity, position {p + 1}" for p in range(valid.slate_size)),
    ]
    return _join(names, scores(given, before), scores(rates, rates))


def _join(
    names: list[str], ours: NDArray[np.float64], theirs: NDArray[np.float64]
) -> tuple[FidelityRow, ...]:
    return tuple(
        FidelityRow(
            measure=name,
            simulated=float(ours[0, j]),
            simulated_low=float(ours[1, j]),
            simulated_high=float(ours[2, j]),
            logged=float(theirs[0, j]),
            logged_low=float(theirs[1, j]),
            logged_high=float(theirs[2, j]),
        )
        for j, name in enumerate(names)
    )
