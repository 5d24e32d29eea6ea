"""What a log can say of examination at all: by swaps, by features alone, or not.

Cheap (counts, and a few small trees only where swaps do not settle it), so that every fit can say it in its notes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps
from simulators.position_bias.harvest import Harvest, harvest
from simulators.position_bias.overlap import Overlap
from simulators.position_bias.swaps import pooled, swap_information

__all__ = ["Identification", "PositionFacts", "identify", "same_page_share"]

Floats = NDArray[np.float64]
Source = Literal["swaps", "features", "nothing"]
FIRM = 0.25
"""Largest standard error of the logarithm of an examination that swaps are said to settle."""
LEAST_OVERLAP = 0.1
"""Least overlap of features at which neighbouring positions are said to be comparable by features."""
FEWEST_COMPARABLE = 20.0
"""Likewise the fewest items of queries."""
_DETERMINISTIC = 0.99


@dataclass(frozen=True, kw_only=True)
class PositionFacts:
    """What is known of one position."""

    shown: int
    """Impressions."""
    clicks: int
    """Clicks."""
    swapped_share: float
    """Share of the impressions whose query and item also stood elsewhere."""
    standard_error: float
    """Of log examination relative to the reference, from swaps; inf where no path of swaps joins the two."""
    source: Source
    """What its examination is told by."""


@dataclass(frozen=True, kw_only=True)
class Identification:
    """What ties the positions of a log together."""

    reference: int
    """0-based position that the others are compared with."""
    positions: tuple[PositionFacts, ...]
    information: Floats  # (K, K) Laplacian of the swap graph in effective clicks
    same_page: float
    """Share of pages that repeat the last page shown for their query; nan where no query comes twice."""
    certain: float
    """Share of the known propensities that are one; nan where none is known."""
    overlap: Overlap | None
    """Of features; None where it was not needed or there are none."""

    @property
    def deterministic(self) -> bool:
        """Whether the same query got the same page, or propensities say that nothing was left to chance."""
        return bool(self.same_page >= _DETERMINISTIC or self.certain >= _DETERMINISTIC)

    def share(self, source: Source) -> float:
        """Share of the impressions that stand at positions told by `source`."""
        total = sum(p.shown for p in self.positions)
        return sum(p.shown for p in self.positions if p.source == source) / max(total, 1)

    def tied(self) -> NDArray[np.bool_]:
        """(K,) positions that a path of swaps joins to the reference, however weak."""
        return np.array([np.isfinite(p.standard_error) for p in self.positions])

    def groups(self) -> tuple[tuple[int, ...], ...]:
        """0-based positions that swaps join, by group; positions that show nothing are in none."""
        label = _components(self.information)
        used = [k for k, p in enumerate(self.positions) if p.shown]
        return tuple(tuple(k for k in used if label[k] == g) for g in dict.fromkeys(label[k] for k in used))

    def sentences(self) -> tuple[str, ...]:
        """What a user should know, in words; empty where swaps settle every position."""
        by = {s: [k for k, p in enumerate(self.positions) if p.shown and p.source == s] for s in _SOURCES}
        if not by["features"] and not by["nothing"]:
            return ()
        how = ""
        if self.certain >= _DETERMINISTIC:
            how = "The log's policy left nothing to chance (propensities are 1). "
        elif self.same_page >= _DETERMINISTIC:
            how = (
                f"The log's policy was deterministic: {self.same_page:.0%} of the pages repeat the last page of their "
                "query. "
            )
        parts = [
            f"position bias: {how}"
            + (
                f"Items that were swapped settle the examination of {_named(by['swaps'])} relative to each "
                f"other ({self.share('swaps'):.0%} of the impressions)"
                if by["swaps"]
                else "No position is settled by items that were swapped"
            )
        ]
        if by["features"]:
            parts.append(
                f"at {_named(by['features'])} ({self.share('features'):.0%}) examination is told from relevance "
                "by the features alone, and only as far as relevance has the form that the model gives it"
            )
        if by["nothing"]:
            parts.append(
                f"at {_named(by['nothing'])} ({self.share('nothing'):.0%}) nothing in this log tells it "
                "from relevance: policies that move items there are judged by an assumption"
            )
        out = ["; ".join(parts)]
        if self.overlap is not None and self.overlap.ordered_by:
            out.append(
                f"position bias: nearly all pages are ordered by {', '.join(self.overlap.ordered_by)}, which is "
                "among the features: within a page, position and this column cannot be told apart"
            )
        return tuple(out)


_SOURCES: tuple[Source, ...] = ("swaps", "features", "nothing")


def identify(
    steps: LoggedSteps,
    *,
    found: Harvest | None = None,
    overlap: Callable[[], Overlap] | None = None,
) -> Identification:
    """What ties the positions of `steps` together.

    Args:
        steps: The log.
        found: Its moved impressions, where they are at hand.
        overlap: Called where swaps leave a position open; None where there are no features.
    """
    found = found or harvest(steps)
    k = steps.slate_size
    shown = steps.item >= 0
    n_shown = shown.sum(axis=0)
    counts = found.counts()
    information = swap_information(*counts, pooled(*counts)) if found.n_strata else np.zeros((k, k))
    label = _components(information)
    group = max(set(label.tolist()), key=lambda g: (int(n_shown[label == g].sum()), -g))
    reference = int(np.flatnonzero((label == group) & (n_shown > 0))[0])
    error = _standard_errors(information, label, reference)
    firm = error <= FIRM
    if firm.sum() == 1:  # the reference, with nothing to compare it with
        firm[:] = False
    known: Overlap | None = None
    source: list[Source] = ["swaps" if f else "nothing" for f in firm]
    if overlap is not None and not firm[n_shown > 0].all():
        known = overlap()
        joined = _components(_with_features(information, firm, reference, known))
        alone = (joined == joined[reference]).sum() == 1
        for at in range(k):
            if not firm[at] and joined[at] == joined[reference] and not alone:
                source[at] = "features"
    moved = np.bincount(found.position, minlength=k)
    clicks = ((steps.click > 0) & shown).sum(axis=0)
    propensity = steps.propensity[shown]
    propensity = propensity[np.isfinite(propensity)]
    return Identification(
        reference=reference,
        positions=tuple(
            PositionFacts(
                shown=int(n_shown[at]),
                clicks=int(clicks[at]),
                swapped_share=float(moved[at] / max(int(n_shown[at]), 1)),
                standard_error=float(error[at]),
                source=source[at],
            )
            for at in range(k)
        ),
        information=information,
        same_page=same_page_share(steps),
        certain=float((propensity >= 1.0).mean()) if len(propensity) else float("nan"),
        overlap=known,
    )


def same_page_share(steps: LoggedSteps) -> float:
    """Share of pages, of those whose query was shown a page before, that repeat that page exactly; nan of none."""
    if steps.single_impressions or steps.n_steps < 2:
        return float("nan")
    order = np.argsort(steps.query, kind="stable")  # steps stand in the order of time
    query, item = steps.query[order], steps.item[order]
    again = query[1:] == query[:-1]
    if not again.any():
        return float("nan")
    return float((item[1:][again] == item[:-1][again]).all(axis=1).mean())


def _components(information: Floats) -> NDArray[np.int64]:
    from scipy.sparse.csgraph import connected_components

    tie = -information
    np.fill_diagonal(tie, 0.0)
    return np.asarray(connected_components(tie > 1e-9, directed=False)[1], np.int64)


def _standard_errors(information: Floats, label: NDArray[Any], reference: int) -> Floats:
    """(K,) root of the effective resistance to the reference."""
    inverse = np.linalg.pinv(information, hermitian=True)
    d = np.diag(inverse)
    resistance = d + d[reference] - 2.0 * inverse[:, reference]
    return np.where(label == label[reference], np.sqrt(np.maximum(resistance, 0.0)), np.inf)


def _with_features(information: Floats, firm: NDArray[np.bool_], reference: int, known: Overlap) -> Floats:
    """A graph of what swaps settle (joined to the reference) and of neighbours that features can compare."""
    graph = np.zeros_like(information)
    graph[firm, reference] = graph[reference, firm] = -1.0
    comparable = (known.with_next >= LEAST_OVERLAP) & (known.effective >= FEWEST_COMPARABLE)
    for at in np.flatnonzero(comparable):
        graph[at, at + 1] = graph[at + 1, at] = -1.0
    return graph


def _named(positions: list[int]) -> str:
    if not positions:
        return "no position"
    numbers = ", ".join(str(k + 1) for k in positions)
    return f"position{'s' if len(positions) > 1 else ''} {numbers}"
