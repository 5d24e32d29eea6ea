"""What every valid log and its arrays keep; called by tests of whatever writes logs (recorder, store, readers)."""

from __future__ import annotations

import numpy as np

from behavior.catalog import Catalog
from behavior.errors import InputError
from behavior.log import InteractionLog
from behavior.steps import LoggedSteps, SessionEnd

__all__ = ["check_log", "check_steps"]


def check_log(log: InteractionLog, catalog: Catalog) -> LoggedSteps:
    """Assert that the log would pass validation as it is, and that it regroups into valid arrays.

    Returns:
        The log as arrays.

    Raises:
        AssertionError: What is wrong, and how to mend it.
    """
    try:
        again = InteractionLog.from_frame(
            log.rows,
            log.candidates,
            source=log.source,
            catalog=catalog,
            single_impressions=log.single_impressions,
        )
    except InputError as error:
        raise AssertionError(f"the log does not pass validation:\n{error}") from error
    assert list(again.rows.columns) == list(log.rows.columns), (
        f"the log's columns are {list(log.rows.columns)}, expected {list(again.rows.columns)}: write canonical "
        "columns in canonical order (`InteractionLog.from_frame` does)"
    )
    steps = log.to_steps(catalog)
    check_steps(steps, catalog.n_items)
    shown = int((steps.item >= 0).sum())
    assert shown == len(log.rows), (
        f"{len(log.rows)} rows became {shown} shown items: rows were lost or doubled"
    )
    assert int(steps.click.sum()) == int(log.rows["click"].sum()), "clicks were lost in regrouping"
    return steps


def check_steps(steps: LoggedSteps, n_items: int) -> None:
    """Assert that the arrays keep what `LoggedSteps` promises.

    Raises:
        AssertionError: The promise that is broken.
    """
    m, k = steps.item.shape
    assert m > 0, "there are no steps"
    for name in ("session", "user", "step", "query", "timestamp", "slate_propensity", "session_end"):
        array = getattr(steps, name)
        assert array.shape == (m,), f"{name} has shape {array.shape}, expected ({m},)"
    for name in ("click", "purchase", "propensity", "cascade_propensity"):
        array = getattr(steps, name)
        assert array.shape == (m, k), f"{name} has shape {array.shape}, expected ({m}, {k})"
    if steps.dwell is not None:
        assert steps.dwell.shape == (m, k), f"dwell has shape {steps.dwell.shape}, expected ({m}, {k})"
        assert not (steps.dwell < 0).any(), "a dwell below 0"
    assert steps.context.shape == (m, len(steps.context_names)), "context and context_names disagree"
    assert np.isfinite(steps.context).all(), "context holds values that are not finite"
    for name in ("item", "candidates"):
        array = getattr(steps, name)
        assert ((array >= -1) & (array < n_items)).all(), f"{name} holds rows outside -1 .. {n_items - 1}"
    assert ((steps.query >= 0) & (steps.query < len(steps.queries))).all(), "query rows outside `queries`"

    assert (np.isin(steps.click, (0, 1)) & np.isin(steps.purchase, (0, 1))).all(), "feedback is not 0 or 1"
    assert (steps.purchase <= steps.click).all(), "a purchase without a click"
    assert (steps.click[steps.item < 0] == 0).all(), "a click where no item was shown"

    begins = np.append(True, steps.session[1:] != steps.session[:-1])
    jump = np.diff(steps.session)
    assert steps.session[0] == 0, "sessions are not numbered densely from 0"
    assert np.isin(jump, (0, 1)).all(), "sessions are not numbered densely in order"
    assert (steps.step[begins] == 0).all(), "a session does not begin with step 0"
    assert (np.diff(steps.step)[jump == 0] == 1).all(), "steps of a session do not follow each other"
    assert (np.diff(steps.timestamp[begins]) >= 0).all(), "sessions are not in order of time"
    assert (np.diff(steps.timestamp)[jump == 0] >= 0).all(), "time goes back within a session"
    ends = np.append(begins[1:], True)
    assert ((steps.session_end == SessionEnd.NO) == ~ends).all(), "session_end is set within a session"

    for name in ("propensity", "cascade_propensity", "slate_propensity"):
        array = getattr(steps, name)
        known = array[np.isfinite(array)]
        assert ((known > 0) & (known <= 1)).all(), f"{name} lies outside (0, 1]"
    for name in ("item", "candidates"):
        _check_distinct(getattr(steps, name), name)
    if steps.single_impressions:
        assert ((steps.item >= 0).sum(axis=1) == 1).all(), (
            "a single impression shows more or less than one item"
        )
    else:
        _check_packed(steps.item, "item")
        if steps.candidates.shape[1]:
            shown = (steps.item[:, :, None] == steps.candidates[:, None, :]).any(axis=2)
            assert (shown | (steps.item < 0)).all(), (
                "an item was shown that is not among its step's candidates"
            )
    _check_packed(steps.candidates, "candidates")


def _check_distinct(rows: np.ndarray, name: str) -> None:
    ordered = np.sort(rows, axis=1)
    repeats = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    assert not repeats.any(), f"{name}: the same item twice in step {int(repeats.any(axis=1).argmax())}"


def _check_packed(rows: np.ndarray, name: str) -> None:
    gaps = (rows[:, 1:] >= 0) & (rows[:, :-1] < 0)
    assert not gaps.any(), f"{name}: padding before an item in step {int(gaps.any(axis=1).argmax())}"
