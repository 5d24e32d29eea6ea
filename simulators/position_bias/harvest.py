"""Impressions whose query and item stood at several positions: the interventions that a log holds by itself.

A *stratum* is a query, an item, and what this session had done with the item before (not met it, passed it over,
clicked it). Within a stratum relevance is taken to be one number, so whatever differs between positions is
examination. Why the item moved does not matter to the counts: several rankers, one that changed with time, or
chance; it matters to whether the assumption holds (`simulators.position_bias.stability`).

Source: Agarwal, Zaitsev, Wang, Li, Najork, Joachims, "Estimating position bias without intrusive interventions",
WSDM 2019, section 4 (interventional sets). The split by what went before is an addition: readers tire of items.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps

__all__ = ["Harvest", "Weighting", "harvest", "history_kind"]

Floats = NDArray[np.float64]
Weighting = Literal["counts", "propensities"]


@dataclass(frozen=True, kw_only=True)
class Harvest:
    """The `n` impressions of the `S` strata that were shown at two positions or more."""

    stratum: NDArray[np.int64]  # (n,) dense
    position: NDArray[np.int64]  # (n,) 0-based
    click: NDArray[np.bool_]  # (n,)
    session: NDArray[np.int64]  # (n,) dense, in time order
    weight: Floats  # (n,) 1, or one over the propensity of the item at the position
    n_positions: int
    n_sessions: int
    n_impressions: int
    """Of the whole log, those that never moved included."""

    @property
    def n_strata(self) -> int:
        """Number of strata `S`."""
        return int(self.stratum.max(initial=-1)) + 1

    def counts(self, session_weight: Floats | None = None) -> tuple[Floats, Floats]:
        """Weighted impressions and clicks (S, K), with each session counted `session_weight` times."""
        weight = self.weight if session_weight is None else self.weight * session_weight[self.session]
        return self.table(self.stratum, self.position, weight, (self.n_strata, self.n_positions))

    def table(
        self, row: NDArray[np.int64], column: NDArray[np.int64], weight: Floats, shape: tuple[int, int]
    ) -> tuple[Floats, Floats]:
        """Sums of `weight` (n,) over impressions and over clicks, by `row` and `column`, each of `shape`."""
        cell = row * shape[1] + column
        size = shape[0] * shape[1]
        shown = np.bincount(cell, weight, size).astype(np.float64)
        clicked = np.bincount(cell[self.click], weight[self.click], size).astype(np.float64)
        return shown.reshape(shape), clicked.reshape(shape)

    def take(self, keep: NDArray[np.bool_]) -> Harvest:
        """The impressions where `keep` (n,), strata numbered anew."""
        _, stratum = np.unique(self.stratum[keep], return_inverse=True)
        return dataclasses.replace(
            self,
            stratum=stratum.astype(np.int64),
            position=self.position[keep],
            click=self.click[keep],
            session=self.session[keep],
            weight=self.weight[keep],
        )


def history_kind(
    session: NDArray[np.int64], item: NDArray[np.int64], click: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """What the session had done with the item before each impression: 0 not met it, 1 passed it over, 2 clicked it.

    Args:
        session: (n,) of each impression, impressions in the order of their pages.
        item: (n,).
        click: (n,).
    """
    key = session * (int(item.max(initial=0)) + 1) + item
    order = np.argsort(key, kind="stable")
    first = np.r_[True, key[order][1:] != key[order][:-1]] if len(key) else np.empty(0, bool)
    start = np.flatnonzero(first)[np.cumsum(first) - 1]  # row of the group's first impression
    clicks = np.cumsum(click[order])
    before = clicks - click[order] - (clicks[start] - click[order][start])
    kind = np.where(before > 0, 2, np.where(first, 0, 1))
    out = np.empty(len(key), np.int64)
    out[order] = kind
    return out


def harvest(steps: LoggedSteps, *, weighting: Weighting = "counts") -> Harvest:
    """The moved impressions of a log.

    Args:
        steps: The log.
        weighting: "counts": each impression counts one, and a stratum's rate at a position is taken over how often it
            was shown there. "propensities": each counts one over its logged propensity, so that relevance may also
            change with what the policy knew, as long as it gave all positions a chance.

    Raises:
        InputError: Propensities are asked for, and not known for every shown item.
    """
    shown = steps.item >= 0
    page, position = np.nonzero(shown)
    item, click = steps.item[shown].astype(np.int64), steps.click[shown] > 0
    weight = np.ones(len(page))
    if weighting == "propensities":
        chance = steps.propensity[shown]
        if not np.isfinite(chance).all() or not (chance > 0).all():
            raise InputError(
                "weights by propensity were asked for, but it is not known for every shown item",
                where="column propensity",
                mend="weigh by counts, or log the propensity of each item at its position",
            )
        weight = 1.0 / chance
    _, session = np.unique(steps.session, return_inverse=True)
    of_page = session.astype(np.int64)[page]
    kind = history_kind(of_page, item, click)
    n_items = int(item.max(initial=0)) + 1
    key = ((steps.query[page].astype(np.int64) + 1) * n_items + item) * 3 + kind
    _, stratum = np.unique(key, return_inverse=True)
    cell = np.unique(stratum * steps.slate_size + position)
    moved = np.bincount(cell // steps.slate_size, minlength=int(stratum.max(initial=-1)) + 1) > 1
    everything = Harvest(
        stratum=stratum.astype(np.int64),
        position=position.astype(np.int64),
        click=click,
        session=of_page,
        weight=weight,
        n_positions=steps.slate_size,
        n_sessions=int(session.max(initial=-1)) + 1,
        n_impressions=len(page),
    )
    return everything.take(moved[stratum])
