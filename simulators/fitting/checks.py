"""Logs that no simulator can be fitted to, each refused with its reason."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import FeatureTables
from simulators.fitting.caution import check_display

__all__ = ["FAMILIES", "check_fit_input", "check_shown_and_clicked", "check_train"]

FAMILIES = ("pbm", "cascade", "skimming", "dcm", "ccm", "dbn", "sdbn", "mnl")
_JUDGED_ONLY = ("ubm", "neural")


def check_fit_input(
    name: str, train: LoggedSteps, valid: LoggedSteps, features: FeatureTables, *, stops_at_click: bool
) -> None:
    """Raise `InputError` where a fit of the click model `name` would be meaningless."""
    if name in _JUDGED_ONLY:
        raise InputError(
            f"{name} is fitted and judged by `python -m simulators fit-clicks`, but no kernel draws from it, so no "
            "simulator is made of it",
            where="simulator",
            mend=f"choose one of {', '.join(FAMILIES)}",
        )
    if name not in FAMILIES:
        raise InputError(
            f"unknown click model {name!r}",
            where="simulator",
            mend=f"choose one of {', '.join(FAMILIES)}, or name a plug-in as module:Class",
        )
    for part, steps in (("train", train), ("held-out", valid)):
        if len(steps.queries) != features.n_queries:
            raise InputError(
                f"the {part} part of the log knows {len(steps.queries)} queries, "
                f"the feature tables {features.n_queries}",
                where="queries",
                mend="build the feature tables from the same log",
            )
        if steps.item.size and steps.item.max() >= features.n_items:
            raise InputError(
                f"item row {steps.item.max()} in the {part} part of the log, but only {features.n_items} items known",
                where="item_id",
                mend="build the feature tables from the catalogue that the log was read with",
            )
    check_train(name, train)
    if name != "pbm":
        _check_whole_pages(name, train, one_click=name == "mnl" or (name == "cascade" and stops_at_click))


def check_train(name: str, train: LoggedSteps) -> None:
    """Raise `InputError` where no simulator `name` can be learned from `train`, whatever is known of its items."""
    check_shown_and_clicked(train.item, train.click, train.n_sessions)
    check_display(name, train)


def check_shown_and_clicked(item: NDArray[Any], click: NDArray[Any], n_sessions: int) -> None:
    """Raise `InputError` where items (M, K) and clicks (M, K) of the training part hold nothing to learn from."""
    shown = item >= 0
    n_shown = int(shown.sum())
    if n_shown == 0:
        raise InputError(
            "the training part of the log shows no item at all",
            where="item_id",
            mend="check the split: are there enough sessions?",
        )
    clicks = int(click[shown].sum())
    where = f"column click, {n_shown} shown items in {n_sessions} training sessions"
    if clicks == 0:
        raise InputError(
            "the training part of the log holds no click: nothing can be learned of what is appealing",
            where=where,
            mend="bring a longer log, or check the mapping of the click column",
        )
    if clicks == n_shown:
        raise InputError(
            "every shown item of the log was clicked: there is nothing to tell appealing items by",
            where=where,
            mend="the log must hold the items that were shown and not clicked, too",
        )
    if len(np.unique(item[shown])) < 2:
        raise InputError(
            "the log shows one item only: appeal cannot be told from habit",
            where="column item_id",
            mend="bring a log with several items",
        )
    if int(shown.any(axis=0).sum()) < 2:
        raise InputError(
            "the log shows items at one position only: how far users look cannot be told from appeal",
            where="column position",
            mend="bring a log of slates with at least two positions",
        )


def _check_whole_pages(name: str, train: LoggedSteps, *, one_click: bool) -> None:
    if train.single_impressions:
        raise InputError(
            f"a model of whole pages ({name}) cannot be fitted to single impressions: each row is one item whose "
            "neighbours on the page are unknown, so nothing says what was passed over before it",
            where="a log that cannot be regrouped into slates",
            mend="use the position-based model: --simulator pbm",
        )
    several = np.flatnonzero(train.click.sum(axis=1) > 1)
    if one_click and len(several):
        raise InputError(
            f"{len(several)} pages have several clicks, which a model of one click a page cannot make",
            where=f"step row {several[0]} of the training part",
            mend="use pbm, or leave stops_at_click off (the cascade that goes on after a click)",
        )
