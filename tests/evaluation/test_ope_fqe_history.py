"""What a session has been like so far: sums by hand, nothing of the future, and a value that needs them."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from agents.baselines import RandomPolicy
from behavior import Catalog, LoggedSteps
from behavior.errors import InputError
from envs.recorder import SessionRecorder
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.fqe import FqeConfig, FqeData, fitted_q, page_data
from evaluation.fqe.history import fading_sums, page_traits, trait_names

WORLD = toy_world(n_items=30, n_queries=4, n_candidates=10, seed=2)
TASK = TaskConfig(slate_size=3, n_candidates=10, max_steps=4)


def _steps(n: int = 30) -> LoggedSteps:
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": [str(i) for i in range(30)]}))
    log = SessionRecorder(WORLD, TASK).record(RandomPolicy(), n_sessions=n, seed=1, progress=False).log()
    return log.to_steps(catalog, queries=WORLD.queries)


def test_fading_sums_by_hand() -> None:
    traits = np.array([[1.0, 10.0], [2.0, 0.0], [4.0, 20.0], [8.0, 1.0]])
    before, after = fading_sums(traits, np.array([3, 3, 3, 7]), (1.0, 0.5, 0.0))
    assert before.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [1, 10, 1, 10, 1, 10],
        [3, 10, 2.5, 5, 2, 0],
        [0, 0, 0, 0, 0, 0],  # another session
    ]
    assert after[2].tolist() == [7, 30, 5.25, 22.5, 4, 20]
    assert after[3].tolist() == [8, 1, 8, 1, 8, 1]
    none, _ = fading_sums(traits, np.array([3, 3, 3, 7]), ())
    assert none.shape == (4, 0)
    empty, _ = fading_sums(traits[:0], np.array([], np.int64))
    assert empty.shape == (0, 6)
    with pytest.raises(InputError, match=r"history fades at 1\.2"):
        fading_sums(traits, np.array([3, 3, 3, 7]), (1.2,))


def test_the_traits_of_a_page_by_hand() -> None:
    numeric = np.array([[1.0, 5.0], [2.0, -3.0], [4.0, 0.5]], np.float32)
    features = dataclasses.replace(
        WORLD.features,
        item_numeric=numeric,
        numeric_names=("price", "rating"),
        item_category=np.array([6, 6, 7], np.int32),
    )
    item = np.array([[2, 0, 1], [1, -1, -1]], np.int32)
    click, purchase = np.array([[0, 1, 1], [0, 0, 0]]), np.array([[0, 0, 1], [0, 0, 0]])
    relevance = np.array([[0.5, 0.1, 0.2], [0.25, 0.0, 0.0]])
    look = np.array([1.0, 2.0, 3.0]) ** -0.7
    found = page_traits(item, click, purchase, relevance, features)
    first = [
        2.0,
        1.0,
        2.0 - float(look @ relevance[0]),
        1.0 + 2.0,
        5.0 - 3.0,
        4.0 * look[0] + 1.0 * look[1] + 2.0 * look[2],
        0.5 * look[0] + 5.0 * look[1] - 3.0 * look[2],
        1.0,  # items 0 and 1 are of one category
    ]
    assert len(trait_names(features)) == len(first)
    np.testing.assert_allclose(found, [first, [0, 0, -0.25, 0, 0, 2.0, -3.0, 0]], atol=1e-12)


def test_features_hold_the_past_and_nothing_of_what_comes() -> None:
    """Another answer to a page changes what stands at later pages of its session, and at no other page."""
    steps = _steps()
    kinds = [
        page_data(RandomPolicy(), steps, WORLD.features, TASK, history=h, progress=False)
        for h in ((), (1.0,))
    ]
    without, with_it = kinds
    width = with_it.features.shape[1] - without.features.shape[1]
    C = len(trait_names(WORLD.features))
    assert width == 2 * C
    past = with_it.features[:, -width : -width + C]
    first = with_it.step == 0
    np.testing.assert_array_equal(past[first], 0.0)
    order = np.lexsort((steps.step, steps.session))
    clicks = steps.click[order].sum(axis=1).astype(np.float64)
    for row in np.flatnonzero(~first):
        mine = (with_it.session == with_it.session[row]) & (with_it.step < with_it.step[row])
        assert past[row, 0] == clicks[mine].sum()
    # At observations after a cut the last page is counted too.
    last = np.flatnonzero(with_it.then >= with_it.n_rows)
    assert last.size
    for row in last:
        mine = with_it.session == with_it.session[row]
        assert with_it.policy_features[with_it.then[row], 0, -width] == clicks[mine].sum()
    session = int(with_it.session[np.flatnonzero(with_it.step == 2)[0]])
    changed = (steps.session == session) & (steps.step == 1)
    other = dataclasses.replace(steps, click=np.where(changed[:, None], 1 - steps.click, steps.click))
    again = page_data(RandomPolicy(), other, WORLD.features, TASK, history=(1.0,), progress=False)
    moved = (again.features != with_it.features).any(axis=1)
    expected = (with_it.session == session) & (with_it.step > 1)
    np.testing.assert_array_equal(moved, expected)


def _delayed(history: bool) -> tuple[FqeData, NDArray[np.float64]]:
    """Three pages; the third pays 1 if the first showed a 1; the observation tells pages apart and nothing else.

    All eight sessions of a log that draws evenly, against a policy that shows nothing but ones: worth 1, the log 1/2.
    """
    shown = np.array(list(itertools.product((0.0, 1.0), repeat=3)))  # (8, 3)
    session, step = np.repeat(np.arange(8), 3), np.tile(np.arange(3), 8)
    page, action = np.eye(3)[step], shown.reshape(-1)
    past, _ = fading_sums(action[:, None] * (step == 0)[:, None], session, (1.0,))
    past = past if history else past[:, :0]

    def features(a: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate(
            [page, page * a[:, None], page @ np.diag([0.0, 1.0, 1.0]) * past.sum(1)[:, None]], axis=1
        )

    then = np.where(step < 2, np.arange(24) + 1, -1)
    data = FqeData(
        features=features(action),
        reward=np.where(step == 2, shown[session, 0], 0.0),
        at=np.arange(24),
        then=then,
        policy_features=features(np.ones(24))[:, None, :],
        session=session,
        step=step,
    )
    return data, shown


def test_what_pays_two_pages_later_is_seen_with_history_alone() -> None:
    config = FqeConfig(ridge=0.0, n_folds=1)
    with_it, _ = _delayed(history=True)
    without, shown = _delayed(history=False)
    assert fitted_q(with_it, config).value == pytest.approx(1.0, abs=1e-8)
    assert fitted_q(without, config).value == pytest.approx(float(shown[:, 0].mean()), abs=1e-8)
