"""What is compared, as sums by held-out session: rates of an event over occasions, and shares of a count's values.

Every function takes the answers to pages, simulated or logged, and counts in each cell (a position, a group, a value)
the events and the occasions, by the held-out session that a page belongs to or stands beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps, SessionEnd
from simulators.trust.groups import Groups

__all__ = [
    "Answers",
    "Bins",
    "Cells",
    "answers_of",
    "bins_of",
    "by_position",
    "calibration",
    "click_rates_by",
    "clicks_per_page",
    "leaving",
    "near_clicks",
    "per_session",
    "skips",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Pages and what users did with them; `S` is the number of held-out sessions."""

    steps: LoggedSteps
    """(M,) pages."""
    unit: NDArray[np.int64]
    """(M,) held-out session, 0 .. S-1, that a page is of or stands beside: what is resampled as a whole."""
    n_units: int
    """S."""
    left: Floats
    """(M,) 1 where the user left after the page, 0 where not, nan where the log does not say."""

    @property
    def shown(self) -> NDArray[np.bool_]:
        """(M, K) whether there is an item."""
        return self.steps.item >= 0

    def sums(self, values: Floats, unit: NDArray[np.int64] | None = None) -> Floats:
        """Sums (S, J) of (M, J), by held-out session."""
        by = self.unit if unit is None else unit
        columns = [np.bincount(by, weights=column, minlength=self.n_units) for column in values.T]
        return np.stack(columns, axis=1) if columns else np.zeros((self.n_units, 0))


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Events and occasions of one measure."""

    labels: tuple[str, ...]
    """(J,) names of the cells."""
    events: Floats
    """(S, J)"""
    occasions: Floats
    """(S, J)"""
    kind: Literal["rates", "shares"] = "rates"
    """Rates stand for themselves; shares add up to 1 over the cells."""
    widths: Floats | None = None
    """(J-1,) of shares of an ordered count: how far the next cell begins."""


def answers_of(
    steps: LoggedSteps, unit: NDArray[np.int64], n_units: int, *, unknown_is_leaving: bool = False
) -> Answers:
    """The pages of `steps`; sessions cut off by a limit, and ends that the log does not explain, count as unknown.

    Where one limit cuts all sessions off, nothing is taken from the pages at it: of those, a log may know only that
    somebody left, and then they would all seem to leave.

    Args:
        steps: Pages.
        unit: (M,) see `Answers`.
        n_units: S.
        unknown_is_leaving: For logs that never say why sessions end, as the fit takes them.
    """
    end = steps.session_end
    left = np.where(end == SessionEnd.NO, 0.0, np.where(end == SessionEnd.LEFT, 1.0, np.nan))
    if unknown_is_leaving:
        left[end == SessionEnd.UNKNOWN] = 1.0
    limits = np.unique(steps.step[end == SessionEnd.LIMIT])
    if len(limits) == 1:
        left[steps.step >= limits[0]] = np.nan
    return Answers(steps=steps, unit=unit, n_units=n_units, left=left)


def by_position(answers: Answers, event: Literal["click", "purchase"]) -> Cells:
    """Events per shown item at each position."""
    shown = answers.shown.astype(np.float64)
    happened = getattr(answers.steps, event) * shown
    return Cells(
        labels=tuple(f"position {k + 1}" for k in range(shown.shape[1])),
        events=answers.sums(happened),
        occasions=answers.sums(shown),
    )


def click_rates_by(answers: Answers, groups: Groups, of: Literal["item", "query"]) -> Cells:
    """Clicks per shown item in groups of items, or of the queries of the pages."""
    shown = answers.shown
    row = answers.steps.item if of == "item" else np.where(shown, answers.steps.query[:, None], -1)
    known = shown & (row >= 0)
    group = np.where(known, groups.of[np.maximum(row, 0)], -1)
    click = answers.steps.click > 0
    n = len(groups.labels)
    return Cells(
        labels=groups.labels,
        events=answers.sums(np.stack([((group == g) & click).sum(axis=1) for g in range(n)], 1) * 1.0),
        occasions=answers.sums(np.stack([(group == g).sum(axis=1) for g in range(n)], 1) * 1.0),
    )


def clicks_per_page(answers: Answers, most: int) -> Cells:
    """Shares of pages with 0, 1, ... clicks; `most` and more are one cell."""
    clicks = np.minimum((answers.steps.click * answers.shown).sum(axis=1), most)
    return _shares(answers, clicks, [*(str(c) for c in range(most)), f"{most} or more"], np.ones(most))


def near_clicks(answers: Answers) -> Cells:
    """Click rates right below a click and right below an item passed over, and of pages' items below and above clicks.

    If a click made no difference to the rest of its page beyond what the items are, these four would follow from the
    rates alone; reading from the top, stopping and competition move them apart.
    """
    shown, click = answers.shown, (answers.steps.click > 0) & answers.shown
    below, after, before = shown[:, 1:] & shown[:, :-1], click[:, :-1], click[:, 1:]
    above = np.cumsum(click, axis=1) - click > 0  # a click further up
    later = np.cumsum(click[:, ::-1], axis=1)[:, ::-1] - click > 0  # a click further down
    occasions = [(below & after), (below & ~after), shown & above, shown & later]
    events = [(below & after & before), (below & ~after & before), click & above, click & later]
    return Cells(
        labels=(
            "right below a click",
            "right below an item passed over",
            "anywhere below a click",
            "anywhere above a click",
        ),
        events=answers.sums(np.stack([e.sum(axis=1) for e in events], axis=1) * 1.0),
        occasions=answers.sums(np.stack([o.sum(axis=1) for o in occasions], axis=1) * 1.0),
    )


def skips(answers: Answers, most: int) -> Cells:
    """Shares of neighbouring clicks of a page with 0, 1, ... items passed over between them."""
    click = (answers.steps.click > 0) & answers.shown
    page, position = np.nonzero(click)
    next_on_page = page[1:] == page[:-1]
    gap = np.minimum(position[1:] - position[:-1] - 1, most)[next_on_page]
    labels = [*(str(c) for c in range(most)), f"{most} or more"]
    return _shares(answers, gap, labels, np.ones(most), unit=answers.unit[page[:-1][next_on_page]])


def leaving(answers: Answers) -> Cells:
    """Share of pages after which the user left: by number of the page, and by what the user did on it."""
    known = ~np.isnan(answers.left)
    step = answers.steps.step
    bought = answers.steps.purchase.any(axis=1)
    clicked = answers.steps.click.any(axis=1) & ~bought
    sets = [step == 0, step == 1, step == 2, step > 2, ~clicked & ~bought, clicked, bought]
    occasions = np.stack([known & s for s in sets], axis=1) * 1.0
    events = occasions * np.where(known, answers.left, 0.0)[:, None]
    return Cells(
        labels=(
            "after page 1",
            "after page 2",
            "after page 3",
            "after later pages",
            "after a page without a click",
            "after a page with a click",
            "after a page with a purchase",
        ),
        events=answers.sums(events),
        occasions=answers.sums(occasions),
    )


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Whole numbers, put into bins."""

    edges: NDArray[np.int64]
    """(J,) where each bin begins; the last has no end."""

    @property
    def labels(self) -> list[str]:
        """Such as '2', '3 to 5', '6 or more'."""
        pairs = zip(self.edges[:-1], self.edges[1:], strict=True)
        return [str(a) if b == a + 1 else f"{a} to {b - 1}" for a, b in pairs] + [f"{self.edges[-1]} or more"]

    def of(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bin of each value; those below the first edge go to the first bin."""
        return np.maximum(np.searchsorted(self.edges, values, side="right") - 1, 0)


def bins_of(values: NDArray[np.int64], n_bins: int = 8) -> Bins:
    """One bin a value where there are at most `n_bins`, else bins of about equally many."""
    distinct = np.unique(values)
    if len(distinct) > n_bins:
        at = np.linspace(0.0, 1.0, n_bins + 1)[:-1]
        distinct = np.unique(np.quantile(values, at, method="inverted_cdf"))
    return Bins(edges=distinct.astype(np.int64))


def per_session(answers: Answers, count: NDArray[np.int64], session: NDArray[np.int64], bins: Bins) -> Cells:
    """Shares of sessions by a count.

    Args:
        answers: For the held-out sessions that simulated ones stand beside.
        count: (Z,) of each session.
        session: (Z,) the held-out session it is or stands beside.
        bins: Made from the held-out sessions.
    """
    widths = np.diff(bins.edges).astype(np.float64)
    return _shares(answers, bins.of(count), bins.labels, widths, unit=session)


def calibration(
    answers: Answers,
    chance: Floats,
    happened: NDArray[np.bool_],
    row: NDArray[np.int64],
    n_bins: int,
) -> tuple[Cells, Cells]:
    """Reliability: foretold chances in bins of equally many, beside how often it happened.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017 (their bins are equally wide).

    Args:
        answers: Held-out pages.
        chance: (Z,) foretold.
        happened: (Z,)
        row: (Z,) page of each.
        n_bins: How many bins at most.

    Returns:
        Foretold and happened: events are summed chances and counts, occasions the same in both.
    """
    edges = np.unique(np.quantile(chance, np.linspace(0.0, 1.0, n_bins + 1)[1:-1]))
    inside = np.searchsorted(edges, chance, side="right")[:, None] == np.arange(len(edges) + 1)
    unit = answers.unit[row]
    occasions = answers.sums(inside * 1.0, unit)
    labels = tuple(f"bin {b + 1}" for b in range(inside.shape[1]))
    return (
        Cells(labels=labels, events=answers.sums(inside * chance[:, None], unit), occasions=occasions),
        Cells(labels=labels, events=answers.sums(inside * happened[:, None], unit), occasions=occasions),
    )


def _shares(
    answers: Answers,
    bin_of: NDArray[np.integer],
    labels: Sequence[str],
    widths: Floats,
    unit: NDArray[np.int64] | None = None,
) -> Cells:
    one_hot = (bin_of[:, None] == np.arange(len(labels))) * 1.0
    events = answers.sums(one_hot, unit)
    occasions = np.repeat(events.sum(axis=1, keepdims=True), len(labels), axis=1)
    return Cells(labels=tuple(labels), events=events, occasions=occasions, kind="shares", widths=widths)
