"""What a fit could not do, in words for its notes; and logs whose one fixed display tells nothing of position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps

if TYPE_CHECKING:
    from simulators.fitting.likelihood import Parameters

__all__ = ["cautions", "check_display", "groups_of_positions"]

_READS_ALL = ("dcm", "sdbn")
"""Models that take it that all above the last click was looked at: nothing is left to tell."""
_FEW_ITEMS = 20
"""With fewer different items than this at a position, features cannot compare it with another one either."""


def groups_of_positions(
    position: NDArray[np.int64], unit: NDArray[np.int64], n_positions: int
) -> NDArray[np.int64]:
    """A label (K,) for each position: alike where a unit shown at both, or units shown in between, tie them together.

    Args:
        position: (n,) where each item was shown, 0-based.
        unit: (n,) what was shown there: an item, or a query and item.
        n_positions: Positions K.

    Returns:
        Labels from 0; -1 where nothing was ever shown.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, dense = np.unique(unit, return_inverse=True)
    n = n_positions + int(dense.max(initial=-1)) + 1
    # A graph of positions and units; the two are joined where the unit was shown there.
    graph = coo_array((np.ones(len(dense)), (position, n_positions + dense)), shape=(n, n))
    label = connected_components(graph, directed=False)[1][:n_positions]
    used = np.isin(np.arange(n_positions), position)
    out = np.full(n_positions, -1)
    _, out[used] = np.unique(label[used], return_inverse=True)
    return out


def check_display(name: str, train: LoggedSteps) -> None:
    """Raise `InputError` where the few items of a log never change their positions.

    Then each item has one rate, at one position, and any share of it may be the item's or the position's; items are too
    few for their features to tell either. A simulator fitted to such a log would make up what other orders bring.
    """
    if name in _READS_ALL:
        return
    position = np.nonzero(train.item >= 0)[1]
    item = train.item[train.item >= 0].astype(np.int64)
    cells = np.unique(position * (int(item.max(initial=0)) + 1) + item)
    items_at = np.bincount(cells // (int(item.max(initial=0)) + 1), minlength=train.slate_size)
    if items_at.max(initial=0) >= _FEW_ITEMS:
        return
    label = groups_of_positions(position, item, train.slate_size)
    used = label >= 0
    if label.max() + 1 < used.sum():
        return
    raise InputError(
        f"no item was ever shown at two positions: how far users look ({name}) cannot be told from how appealing the "
        "items are, and what another order would bring is not in this log",
        where=f"columns position and item_id, {len(cells)} items at {int(used.sum())} positions",
        mend="bring a log in which items change their positions (some pages shuffled are enough), or choose "
        f"{' or '.join(_READS_ALL)}, which take it that everything above the last click was looked at",
    )


def cautions(
    train: LoggedSteps, *, ring: int, parameters: Mapping[str, Parameters], max_iterations: int
) -> list[str]:
    """Notes on sessions that the memory of users cannot hold, and on parts whose fit did not arrive.

    Args:
        train: What was fitted to.
        ring: How many of the last shown items a user remembers one by one.
        parameters: By part, as fitted.
        max_iterations: Most iterations of a fit.
    """
    notes = []
    shown = np.bincount(train.session, (train.item >= 0).sum(axis=1))
    shown = shown[shown > 0]
    longer = float((shown > ring).mean()) if len(shown) else 0.0
    if longer >= 0.01:
        notes.append(
            f"{longer:.0%} of the sessions show more than the {ring} items that a user remembers one by one (the "
            f"longest {int(shown.max()):,}): what was shown before these counts as new; a larger ring remembers it"
        )
    unfinished = [part for part, p in parameters.items() if not p.converged]
    if unfinished:
        notes.append(
            f"WARNING: the fit of {', '.join(unfinished)} did not converge in {max_iterations} iterations: its figures "
            "are provisional; raise max_iterations"
        )
    return notes
