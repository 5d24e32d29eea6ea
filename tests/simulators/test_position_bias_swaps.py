"""Intervention harvesting: closed forms by hand, truth found again, what cannot be told said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from simulators.position_bias.harvest import Harvest, harvest, history_kind
from simulators.position_bias.identify import identify, same_page_share
from simulators.position_bias.intervals import agreement, estimate_from_swaps
from simulators.position_bias.stability import measure_stability
from simulators.position_bias.swaps import all_pairs, chain, pair_sums, pivot, pooled, swap_information
from simulators.position_bias.worlds import make_bias_world

# Two items, two positions. Item 0: 40 times at the first with 20 clicks, 10 times at the second with 2.
# Item 1: 10 times at the first with 3 clicks, 30 times at the second with 6.
SHOWN = np.array([[40.0, 10.0], [10.0, 30.0]])
CLICKED = np.array([[20.0, 2.0], [3.0, 6.0]])
# Mantel-Haenszel: (20 * 10/50 + 3 * 30/40) / (2 * 40/50 + 6 * 10/40) = 6.25 / 3.1
RATIO = 6.25 / 3.1


def test_two_positions_and_two_items_by_hand() -> None:
    sums = pair_sums(SHOWN, CLICKED)
    np.testing.assert_allclose(sums.clicks, [[0, 6.25], [3.1, 0]])
    np.testing.assert_allclose(sums.size, [[0, 8 + 7.5], [8 + 7.5, 0]])
    for found in (pivot(sums, 0), chain(sums, 0)):
        np.testing.assert_allclose(found, [0.0, -np.log(RATIO)])
    np.testing.assert_allclose(pivot(sums, 1), [np.log(RATIO), 0.0])
    np.testing.assert_allclose(chain(sums, 1), [np.log(RATIO), 0.0])
    # One interventional set: the likelihood is at its top where both rates are met.
    np.testing.assert_allclose(all_pairs(sums), [0.0, -np.log(RATIO)], atol=1e-4)
    # Pooled, g = gamma_2 / gamma_1: as many clicks at the second position as are foretold.
    g = float(np.exp(np.diff(pooled(SHOWN, CLICKED))[0]))
    assert 22 * 10 * g / (40 + 10 * g) + 9 * 30 * g / (10 + 30 * g) == pytest.approx(8.0, abs=1e-4)


def test_the_information_of_two_positions_by_hand() -> None:
    """Clicks of a stratum times the shares of both positions, added up: the one resistance of the graph."""
    log_gamma = np.array([0.0, np.log(0.5)])
    tie = 22 * (40 / 45) * (5 / 45) + 9 * (10 / 25) * (15 / 25)
    np.testing.assert_allclose(swap_information(SHOWN, CLICKED, log_gamma), [[tie, -tie], [-tie, tie]])


def test_exact_rates_give_exact_examination() -> None:
    """Where every stratum's rates are gamma times its appeal, all estimators give gamma, whatever the counts."""
    rng = np.random.default_rng(0)
    gamma, appeal = np.array([1.0, 0.6, 0.5, 0.2]), rng.uniform(0.1, 0.9, 50)
    shown = rng.integers(0, 4, (50, 4)).astype(float) * rng.integers(1, 30, (50, 1))
    clicked = shown * gamma * appeal[:, None]
    sums = pair_sums(shown, clicked)
    for found in (pooled(shown, clicked), all_pairs(sums), pivot(sums, 0), chain(sums, 0)):
        np.testing.assert_allclose(np.exp(found - found[0]), gamma, atol=2e-3)


def test_a_position_without_clicks_and_one_without_swaps() -> None:
    shown = np.array([[10.0, 10.0, 0.0], [10.0, 10.0, 0.0]])
    clicked = np.array([[4.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    found = pooled(shown, clicked)
    assert np.isfinite(found).all()
    assert found[1] - found[0] < -4
    assert np.isnan(pivot(pair_sums(shown, clicked), 0)[1:]).all()
    assert np.isnan(all_pairs(pair_sums(shown, clicked))[2])


def test_what_the_session_did_before_is_told_apart() -> None:
    """Session 0: item 5 passed over, then clicked, then shown again; session 1 meets it anew."""
    session, item = np.array([0, 0, 0, 0, 1]), np.array([5, 7, 5, 5, 5])
    click = np.array([False, True, True, False, False])
    np.testing.assert_array_equal(history_kind(session, item, click), [0, 0, 1, 2, 0])


def _log(pages: list[list[int]], clicks: list[list[int]], **changes: object) -> LoggedSteps:
    steps, _ = make_bias_world(n_positions=2).log("random", len(pages), seed=0)
    values = {
        "item": np.array(pages, np.int32),
        "click": np.array(clicks, np.uint8),
        "query": np.zeros(len(pages), np.int32),
    }
    return dataclasses.replace(steps, **(values | changes))  # type: ignore[arg-type]


def test_only_moved_items_are_harvested() -> None:
    """Items 1 and 2 change places; 3 stands first for ever and is left out."""
    found = harvest(_log([[1, 2], [2, 1], [3, 2]], [[1, 0], [1, 0], [0, 1]]))
    assert found.n_impressions == 6
    shown, clicked = found.counts()
    np.testing.assert_array_equal(shown, [[1, 1], [1, 2]])
    np.testing.assert_array_equal(clicked, [[1, 0], [1, 1]])
    weighted, _ = found.counts(np.array([2.0, 0.0, 1.0]))  # sessions counted twice, not, once
    np.testing.assert_array_equal(weighted, [[2, 0], [0, 3]])


def test_propensities_weigh_what_counts_would_confound() -> None:
    """The policy saw a mood, liked to show the item first in good ones, and said how likely it was to.

    In good moods (half of the pages) the item is first with chance 3/4 and clicked, where looked at, always; in bad
    ones first with chance 1/4 and clicked with chance 1/2. Everyone looks at the first, half at the second.
    """
    pages, clicks, chance = [], [], []
    for good, appeal in ((True, 1.0), (False, 0.5)):
        for first in (True, False):
            p = 0.75 if first == good else 0.25
            n = round(800 * p)
            rate = appeal * (1.0 if first else 0.5)
            hit = np.arange(n) < round(n * rate)
            pages += [[1, -1] if first else [-1, 1]] * n
            clicks += [[int(h), 0] if first else [0, int(h)] for h in hit]
            chance += [p] * n
    steps = _log(pages, clicks, propensity=np.repeat(np.array(chance)[:, None], 2, axis=1))
    by_counts, by_propensity = (
        np.exp(np.diff(pooled(*harvest(steps, weighting=w).counts()))[0]) for w in ("counts", "propensities")
    )
    assert by_propensity == pytest.approx(0.5, abs=1e-4)
    assert by_counts < 0.41  # the second position gets the bad moods
    unknown = dataclasses.replace(steps, propensity=np.full_like(steps.propensity, np.nan))
    with pytest.raises(InputError, match="not known for every shown item"):
        harvest(unknown, weighting="propensities")


@pytest.mark.parametrize("ranking", ["random", "two rankers", "drifting ranker"])
@pytest.mark.parametrize("users", ["pbm", "cascade"])
def test_swaps_find_the_truth_that_features_do_not_show(ranking: str, users: str) -> None:
    """Appeal that no feature shows and the rankers know: root mean squared error below 0.06."""
    steps, truth = make_bias_world(users, hidden=1.0, seed=1).log(ranking, 4_000, seed=2)  # type: ignore[arg-type]
    log_gamma = pooled(*harvest(steps).counts())
    error = np.exp(log_gamma - log_gamma[0]) - truth
    assert np.sqrt((error**2).mean()) < 0.06
    known = identify(steps)
    assert not known.sentences()
    assert known.share("swaps") == 1.0
    assert not known.deterministic


def test_a_deterministic_log_says_what_it_cannot_tell() -> None:
    steps, _ = make_bias_world(hidden=1.0).log("one ranker", 1_000, seed=2)
    assert same_page_share(steps) == 1.0
    known = identify(steps)
    assert known.deterministic
    assert known.share("nothing") == 1.0
    assert known.groups() == tuple((k,) for k in range(6))
    (sentence,) = known.sentences()
    assert "deterministic" in sentence
    assert "at positions 1, 2, 3, 4, 5, 6 (100%) nothing in this log tells it from relevance" in sentence


def test_two_groups_that_no_item_joins() -> None:
    """Items 1 and 2 swap at the first two positions, 3 and 4 at the last two."""
    rng = np.random.default_rng(3)
    pages = np.concatenate(
        [rng.permuted(np.tile(pair, (500, 1)), axis=1) for pair in ([1, 2], [3, 4])], axis=1
    )
    steps, _ = make_bias_world(n_positions=4).log("random", 500, seed=0)
    steps = dataclasses.replace(
        steps,
        item=pages.astype(np.int32),
        query=np.zeros(500, np.int32),
        click=(rng.random((500, 4)) < 0.4).astype(np.uint8),
    )
    known = identify(steps)
    assert known.groups() == ((0, 1), (2, 3))
    assert [p.source for p in known.positions] == ["swaps", "swaps", "nothing", "nothing"]
    assert known.tied().tolist() == [True, True, False, False]
    assert "positions 1, 2 relative to each other (50% of the impressions)" in known.sentences()[0]
    figures = estimate_from_swaps(harvest(steps), reference=0, tied=known.tied(), n_bootstrap=20)
    assert np.isnan([f.value for f in figures.by["pooled"]]).tolist() == [False, False, True, True]


def test_agreement_is_hotellings_test() -> None:
    """With one contrast it is a t-test: a difference of two standard errors, 200 resamples."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(200, 3)) * [0.0, 0.0, 0.5]
    draws[:, 2] *= 0.5 / draws[:, 2].std(ddof=1)
    found = agreement(np.array([0.0, 0.0, 1.0]), draws)
    assert found.contrasts == 1
    assert found.p_value == pytest.approx(0.0468, abs=5e-4)  # two-sided t of 2.0 with 199 degrees of freedom
    assert np.isnan(agreement(np.zeros(3), np.zeros((200, 3))).p_value)


def test_rankings_that_follow_a_change_of_relevance_are_found_out() -> None:
    """Half of the items become twice as appealing; in the later half the ranker moves them up.

    Each half swaps a little by itself, so that items stand at each position in both.
    """
    rng = np.random.default_rng(5)
    n_pages, n_items = 6_000, 20
    later = np.arange(n_pages) >= n_pages / 2
    rising = np.arange(n_items) % 2 == 0
    item = np.stack([rng.permutation(n_items)[:2] for _ in range(n_pages)])
    both = rising[item].sum(axis=1) == 1
    rising_first = np.where(rng.random(n_pages) < 0.75, later, ~later)  # first later on, mostly
    wrong = both & (rising[item[:, 0]] != rising_first)
    item[wrong] = item[wrong][:, ::-1]
    for follows in (True, False):
        appeal = np.where(rising[item] & later[:, None] & follows, 0.6, 0.3)
        click = rng.random((n_pages, 2)) < appeal * [1.0, 0.5]
        steps = _log(item.tolist(), click.astype(int).tolist())
        found = measure_stability(harvest(steps), n_bootstrap=60)
        assert found.tested
        assert found.moves_follow_relevance == follows
        if follows:
            assert found.by_direction.value == pytest.approx(2.0, abs=0.4)


def test_stability_is_not_claimed_where_nothing_stayed() -> None:
    found = harvest(_log([[1, 2], [2, 1]], [[1, 0], [1, 0]]))
    assert not measure_stability(found, n_bootstrap=5).tested
    nothing = harvest(_log([[1, 2], [3, 4]], [[1, 0], [1, 0]]))
    assert isinstance(nothing, Harvest)
    assert nothing.n_strata == 0
    assert not measure_stability(nothing, n_bootstrap=5).tested


@pytest.mark.slow
@pytest.mark.parametrize("ranking", ["random", "two rankers"])
def test_intervals_cover(ranking: str) -> None:
    """Intervals of 95 % hold the truth at 90 % to 99.5 % of 40 logs x 5 places."""
    world = make_bias_world(hidden=1.0, seed=1)
    inside = {"pooled": 0, "all-pairs": 0}
    for seed in range(40):
        steps, truth = world.log(ranking, 2_000, seed=100 + seed)  # type: ignore[arg-type]
        found = harvest(steps)
        known = identify(steps, found=found)
        assert known.reference == 0
        estimate = estimate_from_swaps(found, reference=0, tied=known.tied(), n_bootstrap=100, seed=seed)
        for name in inside:
            for figure, true in zip(estimate.by[name][1:], truth[1:], strict=True):
                inside[name] += figure.low <= true <= figure.high
    for name, count in inside.items():
        assert 0.90 <= count / 200 <= 0.995, (name, count)
