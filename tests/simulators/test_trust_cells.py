"""What is counted, on a log small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from behavior.steps import LoggedSteps, SessionEnd
from simulators.resampling import resampled_sums
from simulators.trust.cells import (
    Answers,
    Bins,
    Cells,
    answers_of,
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
from simulators.trust.groups import Groups, equal_groups, item_groups, query_groups
from simulators.trust.predictions import score_predictions
from simulators.trust.redraw import Redrawn

E = SessionEnd


def small_log() -> LoggedSteps:
    """Two sessions of two pages and one page; four positions, one of them empty."""
    item = np.array([[0, 1, 2, 3], [4, 5, 0, -1], [3, 2, 1, 0]], np.int32)
    click = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]], np.uint8)
    purchase = np.array([[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]], np.uint8)
    unknown = np.full(item.shape, np.nan)
    return LoggedSteps(
        session=np.array([0, 0, 1]),
        user=np.array([0, 0, 1]),
        step=np.array([0, 1, 0], np.int32),
        query=np.array([1, 0, 1], np.int32),
        timestamp=np.arange(3, dtype=np.int64),
        item=item,
        click=click,
        purchase=purchase,
        candidates=np.empty((3, 0), np.int32),
        propensity=unknown,
        cascade_propensity=unknown,
        slate_propensity=np.full(3, np.nan),
        session_end=np.array([E.NO, E.LEFT, E.UNKNOWN], np.int8),
        context=np.zeros((3, 0), np.float32),
        context_names=(),
        queries=("a", "b"),
        single_impressions=False,
    )


def answers(log: LoggedSteps | None = None, **more: bool) -> Answers:
    log = log or small_log()
    return answers_of(log, log.session, 2, **more)


def rates(cells: Cells) -> list[tuple[float, float]]:
    return list(zip(cells.events.sum(axis=0).tolist(), cells.occasions.sum(axis=0).tolist(), strict=True))


def test_positions_and_sessions() -> None:
    found = by_position(answers(), "click")
    assert rates(found) == [(1, 3), (1, 3), (1, 3), (1, 2)]
    assert found.events.tolist() == [[1, 1, 1, 1], [0, 0, 0, 0]]
    assert found.occasions.tolist() == [[2, 2, 2, 1], [1, 1, 1, 1]]
    assert rates(by_position(answers(), "purchase")) == [(0, 3), (0, 3), (0, 3), (1, 2)]


def test_groups_of_items_and_queries() -> None:
    items = Groups(of=np.array([0, 1, 1, 0, 1, 0]), labels=("few", "many"))
    # items 0, 3, 5: shown 3 + 2 + 1 times, clicked 2 + 1 + 1 times; items 1, 2, 4 five times, never clicked
    assert rates(click_rates_by(answers(), items, "item")) == [(4, 6), (0, 5)]
    queries = Groups(of=np.array([0, 1]), labels=("a", "b"))
    assert rates(click_rates_by(answers(), queries, "query")) == [(2, 3), (2, 8)]


def test_clicks_of_a_page_hang_together() -> None:
    # right below a click: page 1 position 2 (no), page 2 position 3 (yes); below one passed over: positions 3, 4 (yes)
    # of page 1, position 2 (yes) of page 2, three of page 3
    # below any click: positions 2, 3, 4 (yes) of page 1, position 3 (yes) of page 2
    # above any click: positions 1 (yes), 2, 3 of page 1, positions 1, 2 (yes) of page 2
    assert rates(near_clicks(answers())) == [(1, 2), (2, 6), (2, 4), (2, 5)]
    assert rates(clicks_per_page(answers(), 2)) == [(1, 3), (0, 3), (2, 3)]
    assert clicks_per_page(answers(), 2).labels == ("0", "1", "2 or more")
    assert rates(skips(answers(), 2)) == [(1, 2), (0, 2), (1, 2)]


def test_leaving_by_page_and_by_what_happened() -> None:
    # page 1 of session 0 goes on, with a purchase; page 2 is left, with a click; session 1 is not known
    found = dict(zip(leaving(answers()).labels, rates(leaving(answers())), strict=True))
    assert found["after page 1"] == (0, 1)
    assert found["after page 2"] == (1, 1)
    assert found["after a page with a purchase"] == (0, 1)
    assert found["after a page with a click"] == (1, 1)
    assert found["after a page without a click"] == (0, 0)
    told = leaving(answers(unknown_is_leaving=True))
    assert rates(told)[0] == (1, 2)


def test_nothing_is_taken_from_pages_at_the_one_limit_of_a_log() -> None:
    log = small_log()
    end = np.array([E.NO, E.LEFT, E.LIMIT], np.int8)
    cut = LoggedSteps(**{**vars(log), "session_end": end, "step": np.array([0, 1, 1], np.int32)})
    assert np.isnan(answers(cut).left).tolist() == [False, True, True]
    two = LoggedSteps(
        **{**vars(log), "session_end": np.array([E.LIMIT, E.LIMIT, E.NO], np.int8), "step": log.step}
    )
    assert np.isnan(answers(two).left).tolist() == [True, True, False]


def test_counts_of_sessions_in_bins() -> None:
    assert bins_of(np.array([1, 1, 2, 5])).labels == ["1", "2 to 4", "5 or more"]
    many = bins_of(np.arange(100), 4)
    assert many.edges.tolist() == [0, 24, 49, 74]
    assert many.of(np.array([-1, 0, 23, 24, 1000])).tolist() == [0, 0, 0, 1, 3]
    cells = per_session(answers(), np.array([2, 1, 7]), np.array([0, 1, 0]), Bins(edges=np.array([1, 2, 5])))
    assert cells.events.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert cells.occasions.tolist() == [[2, 2, 2], [1, 1, 1]]
    assert cells.widths is not None
    assert cells.widths.tolist() == [1, 3]


def test_reliability_bins() -> None:
    chance = np.array([0.1, 0.2, 0.8, 0.9])
    foretold, found = calibration(
        answers(), chance, np.array([False, True, True, True]), np.array([0, 1, 1, 2]), 2
    )
    assert foretold.events.sum(axis=0) == pytest.approx([0.3, 1.7])
    assert found.events.sum(axis=0).tolist() == [1, 2]
    assert foretold.occasions.tolist() == found.occasions.tolist() == [[2, 1], [0, 1]]


def test_groups_have_about_equal_mass_and_equal_scores_share_one() -> None:
    score, mass = np.array([5.0, 0.0, 0.0, 1.0, 9.0]), np.array([2.0, 1.0, 1.0, 2.0, 2.0])
    assert equal_groups(score, mass, 4).tolist() == [2, 0, 0, 1, 3]
    assert equal_groups(np.zeros(3), np.ones(3), 4).tolist() == [0, 0, 0]
    log = small_log()
    items = item_groups(log, log, 6, 2)
    # clicks in training: item 0 twice, items 3 and 5 once, items 1, 2, 4 never
    assert items.of.tolist() == [1, 0, 0, 1, 0, 1]
    assert items.labels == ("clicks in training: 0", "clicks in training: 1 to 2")
    assert query_groups(log, log, 2, 2).labels == ("pages in training: 1", "pages in training: 2")


def test_scores_by_hand() -> None:
    log = small_log()
    chance = np.full(log.item.shape, 0.5)
    redrawn = Redrawn(answers=log, before=chance, given_above=chance, purchase=chance)
    scores = score_predictions(redrawn, log, answers(), n_bootstrap=50, confidence=0.9, seed=0)
    by_name = {score.measure: score for score in scores}
    page = by_name["click log-likelihood per page"]
    assert page.value == pytest.approx(11 * np.log(0.5) / 3)
    assert by_name["click perplexity, position 1"].value == pytest.approx(2.0)
    # positions were shown 3, 3, 3, 2 times and clicked once each; half an event is added each way
    rate = np.array([1.5 / 4, 1.5 / 4, 1.5 / 4, 1.5 / 3])
    shown = np.array([3, 3, 3, 2])
    constant = (np.log(rate) + (shown - 1) * np.log(1 - rate)).sum() / 3
    assert page.baseline == pytest.approx(constant)
    assert page.gain == pytest.approx(page.value - constant)
    first = by_name["click perplexity, position 1"]
    assert first.baseline == pytest.approx(2 ** (-(np.log2(rate[0]) + 2 * np.log2(1 - rate[0])) / 3))
    assert first.gain == pytest.approx(first.baseline - first.value)
    bought = by_name["purchase log-likelihood per click"]
    assert bought.n == 4
    assert bought.baseline == pytest.approx((np.log(1.5 / 5) + 3 * np.log(3.5 / 5)) / 4)
    draws = resampled_sums(np.array([[2.0, 8.0], [1.0, 4.0]]), 50, 0)
    assert page.low <= np.log(0.5) * draws[:, 1].sum() / draws[:, 0].sum() <= page.high
