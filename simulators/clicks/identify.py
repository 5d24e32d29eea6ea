"""Logs from which a click model cannot be told, each refused or remarked on with its reason."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from simulators.clicks.config import AppealKind
from simulators.clicks.pages import ClickPages
from simulators.clicks.registry import NEURAL, law_named
from simulators.fitting.caution import groups_of_positions
from simulators.fitting.checks import check_shown_and_clicked

__all__ = ["check_identified", "tied_positions"]

_FEW_CLICKS = 200


def check_identified(name: str, train: ClickPages, appeal: AppealKind) -> tuple[str, ...]:
    """What to know before trusting a fit of the click model `name` to `train`.

    Raises:
        InputError: The log cannot tell this model's parameters, or the model cannot make the log.
    """
    law = law_named(name)
    check_shown_and_clicked(train.item, train.click, len(np.unique(train.session)))
    if train.single_impressions and (law.needs_page or name == NEURAL):
        raise InputError(
            f"{name} cannot be fitted to single impressions: each row is one item whose neighbours on the page are "
            "unknown, so nothing says what was clicked or passed over before it",
            where="a log that cannot be regrouped into slates",
            mend="use the position-based model, pbm",
        )
    clicks = train.click.sum(axis=1)
    several = np.flatnonzero(clicks > 1)
    if law.one_click and len(several):
        raise InputError(
            f"{len(several):,} of {train.n_pages:,} pages have several clicks, which {name} ({law.title}) cannot make",
            where=f"page {several[0]} of the training part",
            mend="a model of several clicks (dcm, dbn, ubm, pbm), or one click a page in the log",
        )
    notes = []
    n_clicks = int(clicks.sum())
    if n_clicks < _FEW_CLICKS:
        notes.append(f"only {n_clicks} clicks: little more than the overall rate can be learned")
    if law.splits_position_from_appeal and name != NEURAL:
        notes += _positions(name, train, appeal)
    elif law.stops_unseen and (label := tied_positions(train)).max() + 1 == (label >= 0).sum():
        notes += _never_moved(name, appeal)
    if not law.splits_position_from_appeal and name != NEURAL and not law.one_click and not len(several):
        notes.append(
            "no page has two clicks: that readers never go on after a click is all the log says of going on"
        )
    silent = np.flatnonzero(train.shown.any(axis=0) & ~train.click.any(axis=0))
    if len(silent):
        notes.append(
            f"no click at position {', '.join(str(k + 1) for k in silent)}: only the prior speaks there"
        )
    return tuple(notes)


def tied_positions(pages: ClickPages) -> NDArray[np.int64]:
    """A label (K,) for each position: alike where items shown at both (or at ones between) tie them together.

    The examination of two positions can be compared where the same query and item was shown at both: in a table, an
    item at one position only has a number of its own to explain its rate with. Labels count from 0; -1 where nothing
    was ever shown.
    """
    shown = pages.shown
    return groups_of_positions(np.nonzero(shown)[1], pages.pair[shown], pages.n_positions)


def _never_moved(name: str, appeal: AppealKind) -> list[str]:
    what = (
        f"no query and item was ever shown at two positions: that readers ({name}) stop early and that the items below "
        "appeal little look the same"
    )
    if appeal == "tables":
        raise InputError(
            what,
            where="columns query, item_id and position",
            mend="attractiveness from features, a log in which items change their positions, or dcm or sdbn, which "
            "take it that everything above the last click was looked at",
        )
    return [f"WARNING: {what}. They are told apart by the features alone, and only as far as they hold"]


def _positions(name: str, train: ClickPages, appeal: AppealKind) -> list[str]:
    label = tied_positions(train)
    if label.max() == 0:
        return []
    groups = [" ".join(str(k + 1) for k in np.flatnonzero(label == g)) for g in range(int(label.max()) + 1)]
    what = (
        "no query and item was ever shown in two of these groups of positions: " + " | ".join(groups) + ". "
    )
    if appeal == "tables":
        raise InputError(
            what + f"How far users look ({name}) cannot be told from how appealing the items are",
            where="columns query, item_id and position",
            mend="attractiveness from features, or a log in which items change their positions",
        )
    return [
        "WARNING: "
        + what
        + "Position is told from appeal by the features alone, and only as far as they hold"
    ]
