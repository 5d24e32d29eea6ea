"""Which measures are taken of which answers: pages, foretold chances, whole visits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps
from simulators.base import UserSimulator
from simulators.trust.cells import (
    Answers,
    Cells,
    bins_of,
    by_position,
    calibration,
    click_rates_by,
    clicks_per_page,
    leaving,
    near_clicks,
    per_session,
    skips,
)
from simulators.trust.compare import Pair
from simulators.trust.groups import item_groups, query_groups
from simulators.trust.redraw import Redrawn
from simulators.trust.report import LeftOut

__all__ = ["calibration_pairs", "page_pairs", "visit_pairs", "with_events"]

_MANY_CLICKS = 2_000
_MOST_SKIPS = 4
_MOST_CLICKS = 5


def page_pairs(pages: Answers, logged: Answers, train: LoggedSteps, simulator: UserSimulator) -> list[Pair]:
    """Rates and counts of single pages."""
    held = logged.steps
    n_groups = 10 if int((held.click * logged.shown).sum()) >= _MANY_CLICKS else 3
    items = item_groups(train, held, simulator.n_items, n_groups)
    queries = query_groups(train, held, simulator.n_queries, n_groups)
    counted: dict[str, Callable[[Answers], Cells]] = {
        "clicks by position": lambda a: by_position(a, "click"),
        "clicks by query group": lambda a: click_rates_by(a, queries, "query"),
        "clicks by item popularity": lambda a: click_rates_by(a, items, "item"),
        "clicks per page": lambda a: clicks_per_page(a, min(held.slate_size, _MOST_CLICKS)),
        "clicks near clicks": near_clicks,
        "items passed over between clicks": lambda a: skips(a, min(held.slate_size - 1, _MOST_SKIPS)),
        "purchases by position": lambda a: by_position(a, "purchase"),
        "leaving": leaving,
    }
    if held.single_impressions:  # one known position a row: nothing stands beside anything, and all leave
        for name in ("clicks per page", "clicks near clicks", "items passed over between clicks", "leaving"):
            del counted[name]
    elif held.slate_size < 2:
        for name in ("clicks near clicks", "items passed over between clicks"):
            del counted[name]
    return [Pair(name=n, simulated=f(pages), logged=f(logged)) for n, f in counted.items()]


def calibration_pairs(redrawn: Redrawn | None, logged: Answers) -> list[Pair]:
    """What was foretold of clicks and purchases, beside what happened."""
    if redrawn is None:
        return []
    steps, shown = logged.steps, logged.shown
    click = (steps.click > 0) & shown
    pairs = []
    for name, chance, happened, among in (
        ("calibration of clicks", redrawn.before, click, shown),
        ("calibration of purchases", redrawn.purchase, steps.purchase > 0, click),
    ):
        row = np.nonzero(among)[0]
        n_bins = 10 if int(happened[among].sum()) >= _MANY_CLICKS // 4 else 5
        foretold, found = calibration(logged, chance[among], happened[among], row, n_bins)
        pairs.append(Pair(name=name, simulated=foretold, logged=found))
    return pairs


def visit_pairs(visits: Answers | None, logged: Answers) -> list[Pair]:
    """Lengths and totals of visits."""
    if visits is None:
        return []

    def counts(a: Answers) -> tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]:
        _, first, session = np.unique(a.steps.session, return_index=True, return_inverse=True)
        events = {
            "pages per session": np.ones(len(session)),
            "clicks per session": (a.steps.click * a.shown).sum(axis=1),
            "purchases per session": (a.steps.purchase * a.shown).sum(axis=1),
        }
        return a.unit[first], {
            name: np.bincount(session, weights=value).astype(np.int64) for name, value in events.items()
        }

    our_unit, ours = counts(visits)
    their_unit, theirs = counts(logged)
    pairs = []
    for name, values in theirs.items():
        bins = bins_of(values)
        pairs.append(
            Pair(
                name=name,
                simulated=per_session(visits, ours[name], our_unit, bins),
                logged=per_session(logged, values, their_unit, bins),
            )
        )
    return pairs


def with_events(pairs: list[Pair], fewest: int, replicates: int, left_out: list[LeftOut]) -> list[Pair]:
    """Pairs that rest on enough events on either side; the others go to `left_out`."""
    kept = []
    for pair in pairs:
        n = max(_events(pair.logged), _events(pair.simulated) / replicates)
        both = (pair.logged.occasions.sum(axis=0) > 0) & (pair.simulated.occasions.sum(axis=0) > 0)
        if not both.any():
            side = "simulated" if pair.logged.occasions.any() else "held-out"
            left_out.append(LeftOut(what=pair.name, why=f"the {side} users give no occasion for it"))
        elif n < fewest:
            why = f"about {n:.0f} events in the held-out sessions, fewer than {fewest}"
            left_out.append(LeftOut(what=pair.name, why=why))
        else:
            kept.append(pair)
    return kept


def _events(cells: Cells) -> float:
    """Events of rates; of shares, all that lies outside the commonest value, which may be 'none'."""
    total = cells.events.sum(axis=0)
    if cells.kind == "rates":
        return float(total.sum())
    return float(total.sum() if cells.labels[0] != "0" else total[1:].sum())
