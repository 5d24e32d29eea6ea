"""Who comes back for another visit, and when: a discrete-time hazard, visits censored where the log ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps
from simulators.fitting.likelihood import Problem, logits_of
from simulators.fitting.priors import NAMED_PENALTY
from simulators.fitting.replay import Replay
from simulators.fitting.report import PartScore
from simulators.fitting.scores import log_loss
from simulators.parts.returns import HazardReturns

if TYPE_CHECKING:
    from simulators.fitting.fit import PartFitter

__all__ = ["AtRisk", "Visits", "at_risk", "fit_returns", "spans", "visits_of"]

_GRID = (
    *(0.0, 1 / 24, 0.25, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 14.0),
    *(21.0, 28.0, 42.0, 60.0, 90.0, 120.0, 180.0, 270.0, 365.0, 730.0),
)
"""Days; spans end at some of these."""
_FEWEST_RETURNS = 20
"""In the log, and in each span."""
_NANOSECONDS_A_DAY = 86_400e9

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Visits:
    """The sessions of a log as visits of its users."""

    last_page: NDArray[np.int64]  # (S,) row of the log
    session: NDArray[np.int64]  # (S,)
    gap: Floats  # (S,) days from its last page to the user's next visit, infinite where the log has none
    watched: Floats  # (S,) days from its last page to the log's last beginning of a session
    purchases: NDArray[np.int64]  # (S,)

    @property
    def n_returns(self) -> int:
        """Visits that another one follows."""
        return int(np.isfinite(self.gap).sum())


def visits_of(steps: LoggedSteps) -> Visits:
    """The sessions with what follows them in this log; a visit that overlaps the next is followed at once."""
    session, first, n_pages = np.unique(steps.session, return_index=True, return_counts=True)
    last = first + n_pages - 1
    begins, ends = steps.timestamp[first], steps.timestamp[last]
    user = steps.user[first]
    order = np.lexsort((first, begins, user))
    following = np.full(len(session), -1)
    same = user[order][1:] == user[order][:-1]
    following[order[:-1][same]] = order[1:][same]
    days = (begins[following] - ends) / _NANOSECONDS_A_DAY
    bought = steps.purchase.sum(axis=1, dtype=np.int64)
    return Visits(
        last_page=last,
        session=session,
        gap=np.where(following >= 0, np.maximum(days, 0.0), np.inf),
        watched=(begins.max() - ends) / _NANOSECONDS_A_DAY,
        purchases=np.add.reduceat(bought, first),
    )


def spans(visits: Visits) -> Floats:
    """Edges (J+1,) in days, so that each span holds some returns of visits that were watched to its end.

    One edge, 0, where no span does.
    """
    edges = [0.0]
    for edge in _GRID[1:]:
        watched = visits.watched >= edge
        within = watched & (visits.gap <= edge) & ((visits.gap > edges[-1]) | (edges[-1] == 0.0))
        if within.sum() >= _FEWEST_RETURNS:
            edges.append(edge)
    return np.array(edges)


@dataclass(frozen=True, kw_only=True)
class AtRisk:
    """One row a visit and span in which its user might have come back: watched to the span's end, not back before."""

    visit: NDArray[np.int64]  # (n,) row of `Visits`, rising
    span: NDArray[np.int64]  # (n,)
    came: NDArray[np.uint8]  # (n,)
    days: Floats  # (n,) days of the span that passed before the user came, or all of it


def at_risk(visits: Visits, edges: Floats) -> AtRisk:
    """What is known of each span; one that the log does not show to its end is known neither way and left out.

    (To keep the returns of such a span and leave out the rest would overstate the rate.)
    """
    start, stop = edges[:-1], edges[1:]
    # The first span has its beginning: a gap of 0 days lies in it.
    before = np.where(start > 0.0, start, -1.0)
    risk = (visits.watched[:, None] >= stop) & (visits.gap[:, None] > before)
    visit, span = np.nonzero(risk)
    gap = visits.gap[visit]
    return AtRisk(
        visit=visit,
        span=span,
        came=(gap <= stop[span]).astype(np.uint8),
        days=np.minimum(gap, stop[span]) - start[span],
    )


def fit_returns(
    fitter: PartFitter, valid: LoggedSteps, notes: list[str]
) -> tuple[HazardReturns | None, tuple[PartScore, ...]]:
    """The part and its held-out scores; None, with a note, where the log tells too little."""
    train = fitter.train
    if train.single_impressions or (
        fitter.resample is not None and "return" not in fitter.resample.strengths
    ):
        return None, ()
    visits = visits_of(train)
    if not visits.n_returns:
        notes.append("no user of the log comes a second time: nothing is known of returns")
        return None, ()
    edges = spans(visits)
    if len(edges) == 1:
        notes.append(
            f"{visits.n_returns} visits of the log are followed by another, too few of them watched for as long as a "
            "return takes: nothing is known of returns"
        )
        return None, ()
    risk, n_spans = at_risk(visits, edges), len(edges) - 1
    problem = _problem(visits, risk, fitter.seen, n_spans)
    early = visits.last_page[risk.visit] < fitter.cut_page
    p = fitter.tuned("return", problem, visits.session[risk.visit], early)
    later = visits_of(valid)
    held = at_risk(later, edges)
    if not len(held.span):
        notes.append(
            "the held-out sessions end too soon after they begin for any return to be judged by them"
        )
    held_problem = _problem(later, held, fitter.held, n_spans)
    chance = 1.0 / (1.0 + np.exp(-logits_of(held_problem, p)))
    value = log_loss(chance, held.came)
    came = np.bincount(risk.span, risk.came, minlength=n_spans)
    by_span = (came + 0.5) / (np.bincount(risk.span, minlength=n_spans) + 1.0)
    rate = (came.sum() + 0.5) / risk.days.sum()  # a day
    constant = 1.0 - np.exp(-rate * np.diff(edges))
    scores = tuple(
        PartScore(
            part="return",
            metric="log-loss per visit and span",
            value=value,
            baseline=log_loss(other[held.span], held.came),
            baseline_name=name,
            n=len(held.span),
        )
        for name, other in (
            ("constant rate a day", constant),
            ("rate by days away, the same for all", by_span),
        )
    )
    part = HazardReturns(
        weights=p.weights[n_spans:].astype(np.float32), base=p.weights[:n_spans], edges=edges
    )
    return part, scores


def _problem(visits: Visits, risk: AtRisk, seen: Replay, n_spans: int) -> Problem:
    """Rows: one column a span, then the columns of `visit_names`."""
    own = seen.page_rows[visits.last_page].copy()
    own[:, 0] = np.log1p(visits.purchases)
    rows = np.zeros((len(risk.visit), n_spans + own.shape[1]), np.float32)
    rows[np.arange(len(rows)), risk.span] = 1.0
    rows[:, n_spans:] = own[risk.visit]
    penalty = np.full(rows.shape[1], NAMED_PENALTY, np.float32)
    penalty[:n_spans] = 0.0  # every row has just one of these: together they are the constant
    return Problem(
        rows=rows,
        outcome=risk.came,
        penalty=penalty,
        page=risk.visit,
        position=risk.span,
        shape=(len(own), n_spans),
    )
