"""The shipped examples: hand-worked chances, what they say of themselves, and the contract."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from behavior.errors import InputError
from behavior.steps import LoggedSteps, SessionEnd
from simulators.base import SessionState, UserSimulator
from simulators.contract import check_simulator
from simulators.example import example_features, example_log
from simulators.examples import ClassifierSimulator, ReplaySimulator, TableSimulator
from simulators.examples.logged import LoggedSessions
from simulators.fitting.config import FitConfig
from simulators.fitting.replay import replay
from simulators.registry import SimulatorInputs, make_simulator
from simulators.speed import measure_speed

FEATURES = example_features()
MANY = 40_000  # draws: three standard errors of a rate are below 0.0075


def inputs(train: LoggedSteps | None = None, valid: LoggedSteps | None = None) -> SimulatorInputs:
    return SimulatorInputs(
        features=FEATURES,
        train=train if train is not None else example_log(n_sessions=300),
        valid=valid if valid is not None else example_log(n_sessions=60, first_user=300),
        slate_size=5,
        item_ids=tuple(f"item {row}" for row in range(FEATURES.n_items)),
        fit=FitConfig(strengths=(300.0,)),
        progress=False,
    )


def log_of(pages: list[tuple[int, list[int], list[int], list[int]]]) -> LoggedSteps:
    """Pages (query, items, clicks, purchases), two a session."""
    base = example_log(n_sessions=len(pages))
    log = base.take(np.arange(len(pages)))
    for row, (query, items, click, purchase) in enumerate(pages):
        log.query[row], log.session[row], log.step[row] = query, row // 2, row % 2
        log.session_end[row] = SessionEnd.LEFT if row % 2 or row == len(pages) - 1 else SessionEnd.NO
        log.item[row], log.click[row], log.purchase[row] = items, click, purchase
    return log


def users_asking(simulator: UserSimulator, query: int, n: int = MANY) -> SessionState:
    state = simulator.begin(np.arange(n), seed=3)
    state.query[:] = query
    return state


KNOWN_PAGES = [
    # item 7 stands first for query 4 on four pages: passed over, clicked, clicked, bought
    (4, [7, 1, 2, 3, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
    (4, [7, 1, 2, 3, 5], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
    (4, [7, 1, 2, 3, 5], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]),
    (4, [7, 1, 2, 3, 5], [1, 0, 1, 0, 0], [1, 0, 0, 0, 0]),
    (9, [8, 7, 2, 3, 5], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]),
    (9, [8, 7, 2, 3, 5], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1]),
]


def test_replay_draws_logged_outcomes() -> None:
    users = ReplaySimulator(inputs(log_of(KNOWN_PAGES)))
    slates = np.tile(np.array([7, 2, 1, 60, 61], np.int32), (MANY, 1))
    state = users_asking(users, 4)
    feedback = users.respond(state, slates, seed=11)
    rate = users.sessions.rates
    # clicks by position: 3, 2, 1, 0, 1 of 6, with half an event each way
    np.testing.assert_allclose(rate, (np.array([3, 2, 1, 0, 1]) + 0.5) / 7)
    expected = [
        3 / 4,  # as logged for query 4, item 7, position 1
        rate[1] * 1 / (4 * rate[2]),  # item 2 stood third four times, clicked once
        rate[2] * 1 / (4 * rate[1]),  # item 1 stood second four times, clicked once
        rate[3],
        rate[4],
    ]
    np.testing.assert_allclose(feedback.click.mean(axis=0), expected, atol=0.0075)
    assert feedback.purchase[:, 0].mean() == pytest.approx(1 / 4, abs=0.0075)
    assert not feedback.purchase[:, 1:3].any()  # these items were never bought
    assert users.sources(state) == {
        "query, item and position": pytest.approx(0.2),
        "query and item": pytest.approx(0.4),
        "position": pytest.approx(0.4),
    }


def test_replay_with_too_few_outcomes_goes_to_the_next_source() -> None:
    users = ReplaySimulator(inputs(log_of(KNOWN_PAGES)), at_least=5)
    state = users_asking(users, 4, 10)
    users.respond(state, np.tile(np.array([7, 2, 1, 60, 61], np.int32), (10, 1)), seed=0)
    assert users.sources(state)["position"] == 1.0
    with pytest.raises(InputError, match="at_least is 0"):
        ReplaySimulator(inputs(), at_least=0)


def test_replay_says_how_much_of_the_held_out_part_the_log_knows() -> None:
    known, unknown = log_of(KNOWN_PAGES[:4]), log_of([(4, [70, 71, 72, 73, 74], [0] * 5, [0] * 5)])
    assert "100% are answered from" in ReplaySimulator(inputs(known, known)).notes[0]
    assert "100% by the rate of the position alone" in ReplaySimulator(inputs(known, unknown)).notes[0]


def test_sessions_come_from_the_log() -> None:
    log = log_of(KNOWN_PAGES)
    sessions = LoggedSessions(log)
    state = sessions.begin(np.arange(MANY), np.zeros((MANY, 0), np.float32), seed=0)
    assert set(np.unique(state.query)) == {4, 9}  # two sessions of three begin with query 4
    assert (state.query == 4).mean() == pytest.approx(2 / 3, abs=0.0075)
    assert (sessions.next_query(state, seed=0)[state.query == 4] == 4).all()  # 4 -> 4 twice, 9 -> 9 once
    state.query[:] = 0  # never asked: any logged query
    assert (sessions.next_query(state, seed=0) == 4).mean() == pytest.approx(4 / 6, abs=0.0075)
    # Of six pages one was not clicked, and the session went on; of the five clicked ones three were left after.
    overall = np.array([0.5 / 2, 3.5 / 6])
    chance = sessions.leave_chance(np.array([0, 1, 9], np.int32), np.array([True, True, True]))
    first, second = 10 * overall[1] / (2 + 10), (3 + 10 * overall[1]) / (3 + 10)
    np.testing.assert_allclose(chance, [first, second, second])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "chances.csv"
    path.write_text(
        "query,item_id,click,purchase,leave\nquery 4,item 7,0.5,0.25,1\nquery 4,item 2,0.2,0,0\n"
        "elsewhere,item 7,1,1,1\n"
    )
    return path


def test_table_is_taken_at_its_word(table: Path) -> None:
    users = TableSimulator(inputs(), table, otherwise=0.1, decay=0.5, leave_unclicked=0.0)
    assert users.notes[0].startswith(
        "table: 1 of its 3 rows name queries or items that the shop does not know"
    )
    state = users_asking(users, 4)
    feedback = users.respond(state, np.tile(np.array([2, 7, 60], np.int32), (MANY, 1)), seed=2)
    np.testing.assert_allclose(feedback.click.mean(axis=0), [0.2, 0.25, 0.025], atol=0.0075)
    clicked = feedback.click > 0
    assert feedback.purchase[:, 1][clicked[:, 1]].mean() == pytest.approx(0.25, abs=0.015)
    assert not feedback.purchase[:, 0].any()
    # The last item clicked decides: item 7 makes them leave, item 2 makes them stay, no click too.
    known = ~clicked[:, 2]
    np.testing.assert_array_equal(feedback.left[known], clicked[known, 1])


def test_table_by_position(tmp_path: Path) -> None:
    path = tmp_path / "chances.parquet"
    frame = pd.DataFrame(
        {"query": ["query 1", "query 1"], "item_id": ["item 3", "item 3"], "position": [1, 2]}
    )
    frame.assign(click=[0.75, 0.25]).to_parquet(path)
    users = TableSimulator(inputs(), path, otherwise=0.0)
    np.testing.assert_allclose(users.examination_weights(3), [1.0, 1 / 3, 1 / 3], rtol=1e-6)
    state = users_asking(users, 1)
    for slate, expected in (([3, 9, 8], [0.75, 0, 0]), ([9, 3, 8], [0, 0.25, 0]), ([9, 8, 3], [0, 0, 0])):
        click = users.respond(state.copy(), np.tile(np.array(slate, np.int32), (MANY, 1)), seed=2).click
        np.testing.assert_allclose(click.mean(axis=0), expected, atol=0.0075)
    with pytest.raises(InputError, match="differ by position already"):
        TableSimulator(inputs(), path, decay=0.9)


def test_ids_that_are_numbers_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "chances.parquet"
    pd.DataFrame({"query": ["query 1"], "item_id": [12], "click": [0.5]}).to_parquet(path)
    own = inputs()
    shop = SimulatorInputs(
        features=own.features,
        train=own.train,
        valid=own.valid,
        slate_size=5,
        item_ids=tuple(map(str, range(200))),
    )
    assert TableSimulator(shop, path).table.find(np.array([1]), np.array([12]), np.array([0])).tolist() == [0]


@pytest.mark.parametrize(
    ("text", "says", "where"),
    [
        ("query,item_id\nquery 4,item 7\n", "no column click; its columns are query, item_id", ""),
        ("query,item_id,click\nquery 4,item 7,1.5\n", "click is 1.5, expected a chance from 0 to 1", "row 1"),
        ("query,item_id,click\nquery 4,item 1,0\nquery 4,item 7,\n", "click is None", "row 2"),
        ("query,item_id,click\nquery 4,item 7,often\n", "often", ""),
        ("query,item_id,click\nq,i,0\nquery 4,item 7,0\nquery 4,item 7,1\n", "1 rows repeat", "rows 2 and 3"),
        ("query,item_id,position,click\nquery 4,item 7,0,.5\n", "position is 0, expected a whole", "row 1"),
        (
            "query,item_id,position,click\nquery 4,item 7,1.5,.5\n",
            "position is 1.5, expected a whole",
            "row 1",
        ),
        ("query,item_id,click\n4,7,0.5\n", "none of its 1 rows names a query and an item of this shop", ""),
        ("", "unreadable table", ""),
    ],
)
def test_faults_of_a_table_are_named(text: str, says: str, where: str, tmp_path: Path) -> None:
    path = tmp_path / "chances.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(says)) as error:
        TableSimulator(inputs(), path)
    assert str(path) in error.value.where
    assert where in error.value.where
    assert error.value.mend


def test_faults_of_options_are_named(table: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such table"):
        TableSimulator(inputs(), tmp_path / "none.csv")
    name = "simulators.examples:TableSimulator"
    for options, says in (
        ({"table": str(table), "decay": "much"}, "decay=much: input should be a valid number"),
        ({"table": str(table), "decai": "1"}, "no option 'decai'; did you mean 'decay'"),
        ({"table": str(table), "decay": "2"}, "decay is 2.0, expected 0 to 1"),
        ({}, "missing 1 required positional argument: 'table'"),
    ):
        with pytest.raises(InputError, match=re.escape(says)):
            make_simulator(name, inputs(), options)
    assert isinstance(make_simulator(name, inputs(), {"table": str(table), "decay": ".5"}), TableSimulator)


LOGISTIC = {"classifier": "sklearn.linear_model:LogisticRegression", "settings": '{"C": 0.1}'}


@pytest.fixture(scope="module")
def logistic() -> ClassifierSimulator:
    made = make_simulator("simulators.examples:ClassifierSimulator", inputs(), LOGISTIC)
    assert isinstance(made, ClassifierSimulator)
    return made


def test_classifier_draws_its_own_chances(logistic: ClassifierSimulator) -> None:
    log = inputs().train
    seen = replay(FEATURES, log, ring=64)
    rows = np.column_stack([seen.rows, seen.position])
    model: Any = logistic.click.source
    assert model[-1].C == 0.1
    np.testing.assert_allclose(logistic.click(rows), model.predict_proba(rows.astype(np.float64))[:, 1])
    # Of users as they arrive, shown one page: the rate of clicks is the mean of the chances.
    state = logistic.begin(np.arange(4_000), seed=1)
    slates = np.tile(np.arange(5, dtype=np.int32), (4_000, 1))
    chance = logistic.click(logistic._rows(state, slates, np.arange(5)).reshape(-1, rows.shape[1]))
    click = logistic.respond(state, slates, seed=1).click
    assert click.mean() == pytest.approx(chance.mean(), abs=4 * np.sqrt(0.25 / click.size))


def test_products_of_matrices_do_not_see_the_batch(logistic: ClassifierSimulator) -> None:
    rows = np.random.default_rng(0).normal(size=(700, logistic.widths[0] + 1)).astype(np.float32)
    whole = logistic.click(rows)
    order = np.random.default_rng(1).permutation(700)
    np.testing.assert_array_equal(logistic.click(rows[order]), whole[order])
    np.testing.assert_array_equal(logistic.click(rows[5:6]), whole[5:6])
    np.testing.assert_array_equal(logistic.click(rows[:301]), whole[:301])


def test_classifiers_that_cannot_serve_are_refused() -> None:
    name = "simulators.examples:ClassifierSimulator"
    for options, says in (
        ({"classifier": "sklearn.svm:LinearSVC"}, "LinearSVC gives no chances"),
        ({"classifier": "sklearn.tree:DecisionTreeClassifier", "settings": '{"depth": 3}'}, "depth"),
        ({"classifier": "sklearn.trees:Tree"}, "no module 'sklearn.trees'"),
    ):
        with pytest.raises(InputError, match=says):
            make_simulator(name, inputs(), options)


def test_an_event_the_log_never_shows_is_taken_at_its_rate() -> None:
    train = inputs().train
    train.purchase[:] = 0
    users = ClassifierSimulator(inputs(train), LOGISTIC["classifier"])
    n = int(train.click.sum())
    assert users.purchase.source == pytest.approx(0.5 / (n + 1))


def test_examples_keep_the_contract(logistic: ClassifierSimulator, table: Path) -> None:
    from sklearn.tree import DecisionTreeClassifier

    tree = ClassifierSimulator(inputs(), DecisionTreeClassifier(max_depth=3, random_state=0))
    for users in (ReplaySimulator(inputs()), TableSimulator(inputs(), table), logistic, tree):
        assert len(check_simulator(users)) == 10  # with appeal
        assert measure_speed(users, users=8, seconds=0.0).user_steps == 48
