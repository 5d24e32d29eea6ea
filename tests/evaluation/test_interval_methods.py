"""Bounds, Cressie-Read intervals and confidence sequences: hand-worked values, published numbers, statistical laws.

Laws are tested at chances of a false alarm that each test names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from behavior.errors import InputError
from evaluation.estimators import iips, ips, sips, sniips, snips
from evaluation.estimators.result import Estimate
from evaluation.intervals import (
    METHODS,
    BootstrapSums,
    IntervalConfig,
    TermRange,
    bernstein_interval,
    bootstrap_difference,
    bootstrap_ratio,
    confidence_sequence,
    cressie_read_interval,
    difference_interval,
    hoeffding_interval,
    make_interval,
    mean_interval,
    one_sided_bound,
)

FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "ope"
needs_fixtures = pytest.mark.skipif(
    not FIXTURES.is_dir(), reason="the shared reference numbers are not beside this checkout"
)


def _log(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Clicks (n, 3) and item propensities (n, 3), logged and judged, with weights from 0.4 to 2.5; value 0.9."""
    rng = np.random.default_rng(seed)
    logging, evaluation = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    item = np.stack([rng.choice(3, size=n, p=logging) for _ in range(3)], axis=1)
    appeal = np.array([0.1, 0.3, 0.38])  # 0.02 + 0.09 + 0.19 = 0.3 a position
    return (rng.random((n, 3)) < appeal[item]).astype(np.float64), logging[item], evaluation[item]


def test_hoeffding_by_hand() -> None:
    terms = np.array([0.0, 1.0, 1.0, 2.0])
    # 2 * sqrt(log(20) / 8)
    assert one_sided_bound(terms, method="hoeffding") == pytest.approx(
        1 - 2 * np.sqrt(np.log(20) / 8), abs=1e-12
    )
    found = hoeffding_interval(terms, bound=TermRange(low=0, high=4))
    assert found.high == pytest.approx(1 + 4 * np.sqrt(np.log(40) / 8), abs=1e-12)
    assert found.low == 0.0  # clipped to what is possible
    assert "no guarantee" in hoeffding_interval(terms, bound=TermRange()).method


def test_hoeffding_of_clusters_by_hand() -> None:
    terms, clusters = np.array([0.0, 1.0, 1.0]), np.array([5, 5, 2])
    # clusters of 2 and 1 rows: sqrt(log(20) (4 + 1) / 2) / 3
    found = one_sided_bound(
        terms, method="hoeffding", side="upper", bound=TermRange(low=0, high=1), clusters=clusters
    )
    assert found == pytest.approx(2 / 3 + np.sqrt(np.log(20) * 5 / 2) / 3, abs=1e-12)


def test_bernstein_by_hand() -> None:
    terms = np.array([0.0, 1.0, 1.0, 2.0])  # variance 2/3
    log = np.log(2 / 0.05)
    expected = 1 - np.sqrt(2 * (2 / 3) * log / 4) - 7 * 2 * log / (3 * 3)
    assert one_sided_bound(terms, method="bernstein") == pytest.approx(expected, abs=1e-12)


def test_clusters_of_one_row_and_of_copies_change_what_they_must() -> None:
    terms = np.random.default_rng(0).random(60)
    bound = TermRange(low=0, high=1)
    for make in (hoeffding_interval, bernstein_interval):
        alone = make(terms, bound=bound)
        assert make(terms, bound=bound, clusters=np.arange(60)).high == pytest.approx(alone.high, abs=1e-12)
        # A cluster of three copies says no more than one of its rows.
        tripled = make(np.repeat(terms, 3), bound=bound, clusters=np.repeat(np.arange(60), 3))
        assert tripled.high == pytest.approx(alone.high, abs=1e-12)


def test_a_term_outside_its_range_is_refused() -> None:
    with pytest.raises(InputError, match="outside the range"):
        bernstein_interval(np.array([0.0, 3.0]), bound=TermRange(low=0, high=2))


@needs_fixtures
@pytest.mark.parametrize("log", ["all_random", "men_bts", "women_random"])
def test_lower_bounds_are_those_of_the_open_bandit_pipeline(log: str) -> None:
    """Its formulas, on terms that are not negative: elsewhere its range, the greatest term, is none."""
    expected = json.loads((FIXTURES / "obd_expected.json").read_text())[log]["evaluation_policies"]
    arrays = np.load(FIXTURES / f"obd_{log}.npz")
    checked = 0
    for policy, found in expected.items():
        evaluation = arrays[f"action_dist_{policy}"][arrays["action"], arrays["position"]]
        reward, logging = arrays["reward"].astype(np.float64), arrays["pscore"]
        weight = evaluation / logging
        for name, terms in {"ipw": weight * reward, "snipw": weight * reward / weight.mean()}.items():
            known: dict[str, Any] = found["fold1"][name]
            bounds = known["lower_bounds_delta0.05"]
            assert terms.mean() == pytest.approx(known["estimate"], abs=1e-9)
            for method, key in (("hoeffding", "hoeffding"), ("bernstein", "bernstein"), ("student", "ttest")):
                bound = one_sided_bound(terms, method=method)  # type: ignore[arg-type]
                assert bound == pytest.approx(bounds[key], abs=1e-9), (policy, name, method)
                checked += 1
        if "bootstrap95_1000_seed12345" in found["fold1"]["ipw"]:
            low, _, high = sorted(found["fold1"]["ipw"]["bootstrap95_1000_seed12345"])
            ours = bootstrap_ratio(weight * reward, np.ones(weight.size), n_resamples=1000)
            # Two bootstraps of 1,000 resamples: percentiles differ by a tenth of the width in hardly any pair.
            assert ours.low == pytest.approx(low, abs=0.1 * (high - low))
            assert ours.high == pytest.approx(high, abs=0.1 * (high - low))
    assert checked >= 12


def test_cressie_read_is_the_regression_on_the_weights_by_hand() -> None:
    rng = np.random.default_rng(3)
    b = rng.uniform(0.2, 1, 40)
    e = np.minimum(1, b * rng.uniform(0.5, 1.5, 40))
    reward = (rng.random(40) < 0.4).astype(float)
    w, t = e / b, reward * e / b
    slope = np.cov(w, t)[0, 1] / w.var(ddof=1)
    value = t.mean() - slope * (w.mean() - 1)
    rest = t - slope * w
    error = np.sqrt(rest.var(ddof=0) * 40 / 38 / 40)
    found = cressie_read_interval(ips(reward, b, e))
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.standard_error == pytest.approx(error, abs=1e-12)
    assert found.high == pytest.approx(value + 2.0243941639 * error, abs=1e-8)  # t(38, .975)
    assert found.low == pytest.approx(value - 2.0243941639 * error, abs=1e-8)


def test_cressie_read_knows_a_constant_reward() -> None:
    """What all the weights explain is certain: a reward of 1 everywhere is worth 1, without any width."""
    _, b, e = _log(300, 0)
    found = cressie_read_interval(iips(np.ones((300, 3)), b, e), clusters=np.arange(300) // 3)
    assert found.value == pytest.approx(3.0, abs=1e-9)
    assert found.half_width < 1e-6


def test_cressie_read_of_equal_policies_is_students() -> None:
    reward, b, _ = _log(200, 1)
    found, student = cressie_read_interval(iips(reward, b, b)), mean_interval(reward.sum(axis=1))
    assert found.value == pytest.approx(student.value, abs=1e-12)
    assert found.half_width == pytest.approx(student.half_width, rel=0.01)


def test_cressie_read_says_nothing_of_what_the_log_never_shows() -> None:
    reward, b, _ = _log(100, 2)
    for nowhere in (0.0 * b, 0.5 * b):
        found = cressie_read_interval(iips(reward, b, nowhere))
        assert (found.low, found.high) == (-np.inf, np.inf)


def test_plain_intervals_refuse_ratios() -> None:
    reward, b, e = _log(50, 0)
    for method in ("cressie-read", "bernstein", "hoeffding", "sequence"):
        config = IntervalConfig(method=method, reward_max=1.0)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="ratio of sums"):
            make_interval(sniips(reward, b, e), config=config)
    with pytest.raises(InputError, match="greatest reward"):
        make_interval(iips(reward, b, e), config=IntervalConfig(method="sequence"))


def test_a_sequence_bets_as_by_hand() -> None:
    """After one row the wealth against v is 1 + l (x - v); only a weight above 1 / alpha refutes anything so soon."""
    reward, b, e = np.array([1.0, 1.0]), np.array([0.001, 1.0]), np.array([1.0, 1.0])
    found = confidence_sequence(ips(reward, b, e), reward_max=1.0, times=np.array([1, 2])).low
    rate = np.sqrt(2 * np.log(40) / (0.25 * np.log(2)))

    def wealth(v: float) -> float:
        return float(1 + min(rate, 0.5 / v) * (1000.0 - v))

    assert wealth(found[0] - 1e-9) >= 40 or found[0] == pytest.approx(1.0)
    assert found[1] >= found[0]


def test_sequences_narrow_and_never_widen() -> None:
    reward, b, e = _log(3000, 5)
    found = confidence_sequence(iips(reward, b, e), reward_max=1.0, times=np.array([10, 100, 1000, 3000]))
    assert (np.diff(found.low) >= 0).all()
    assert (np.diff(found.high) <= 0).all()
    assert found.low[-1] < 0.9 < found.high[-1]
    assert found.last().half_width < 0.25
    with pytest.raises(InputError, match="rising"):
        confidence_sequence(iips(reward, b, e), reward_max=1.0, times=np.array([10, 10]))
    with pytest.raises(InputError, match="rewards from 0"):
        confidence_sequence(iips(reward, b, e), reward_max=0.5)


def test_sequences_hold_at_all_times_at_once() -> None:
    """Looking 12 times at each of 150 logs: at most 5 % of the logs are ever wrong (false alarm below 1e-4)."""
    times = np.unique(np.geomspace(20, 800, 12).astype(np.int64))
    wrong = peeked = 0
    for seed in range(150):
        reward, b, e = _log(800, 100 + seed)
        estimate = iips(reward, b, e)
        found = confidence_sequence(estimate, reward_max=1.0, times=times)
        wrong += bool(((found.low > 0.9) | (found.high < 0.9)).any())
        looks = [mean_interval(estimate.terms[:t]) for t in times]
        peeked += any(not look.low <= 0.9 <= look.high for look in looks)
    assert wrong <= binom.ppf(1 - 1e-4, 150, 0.05)
    assert peeked > wrong  # what an ordinary interval does under peeking


def test_guaranteed_intervals_cover() -> None:
    """150 logs of sessions of 3 rows that share a mood: at least 95 % are covered (false alarm below 1e-4)."""
    config = {
        "hoeffding": IntervalConfig(method="hoeffding", bound=TermRange(low=0, high=7.5)),
        "bernstein": IntervalConfig(method="bernstein", bound=TermRange(low=0, high=7.5)),
        "sequence": IntervalConfig(method="sequence", reward_max=1.0),
        "cressie-read": IntervalConfig(method="cressie-read"),
        "student": IntervalConfig(),
    }
    held = dict.fromkeys(config, 0)
    clusters = np.repeat(np.arange(100), 3)
    for seed in range(150):
        reward, b, e = _log(100, 1000 + seed)
        estimate = iips(np.repeat(reward, 3, axis=0), np.repeat(b, 3, axis=0), np.repeat(e, 3, axis=0))
        for name, one in config.items():
            found = make_interval(estimate, clusters=clusters, config=one)
            held[name] += found.low <= 0.9 <= found.high
    for name in held:
        assert held[name] >= binom.ppf(1e-4, 150, 0.95), (name, held)


def test_streamed_sums_are_those_of_the_whole_log_in_any_order() -> None:
    reward, b, e = _log(900, 2)
    estimate = sniips(reward, b, e)
    session = np.random.default_rng(0).integers(0, 300, 900)
    whole = bootstrap_ratio(
        estimate.numerator, estimate.denominator, clusters=session, n_resamples=100, seed=9
    )
    order = np.random.default_rng(1).permutation(900)
    sums = BootstrapSums(100, seed=9)
    for rows in np.array_split(order, 4):  # sessions are torn apart
        sums.add(estimate.numerator[rows], estimate.denominator[rows], session[rows])
    streamed = sums.interval(n_clusters=np.unique(session).size)
    assert streamed.low == pytest.approx(whole.low, abs=1e-12)
    assert streamed.high == pytest.approx(whole.high, abs=1e-12)
    assert streamed.value == pytest.approx(estimate.value, abs=1e-12)


def test_nineteen_resamples_make_a_90_percent_interval() -> None:
    """One value in twenty lies below all of nineteen others, and one above: the ends are the least and the greatest."""
    reward, b, e = _log(100, 3)
    estimate = sniips(reward, b, e)
    sums = BootstrapSums(19, seed=1)
    sums.add(estimate.numerator, estimate.denominator, np.arange(100))
    found, drawn = sums.interval(n_clusters=100, level=0.9), sums.ratios()[1].sum(axis=1)
    assert drawn.shape == (19,)
    assert (found.low, found.high) == pytest.approx((drawn.min(), drawn.max()), abs=1e-12)


@pytest.mark.parametrize("clustered", [False, True])
def test_the_order_of_rows_changes_no_interval(clustered: bool) -> None:
    reward, b, e = _log(400, 4)
    sessions = np.random.default_rng(0).integers(0, 90, 400) if clustered else None
    order = np.random.default_rng(1).permutation(400)
    for method in METHODS:
        if method == "sequence":
            continue  # of time by nature
        config = IntervalConfig(method=method, n_resamples=128, bound=TermRange(low=0, high=7.5))
        one = make_interval(iips(reward, b, e), clusters=sessions, config=config)
        two = make_interval(
            iips(reward[order], b[order], e[order]),
            clusters=None if sessions is None else sessions[order],
            config=config,
        )
        assert two.low == pytest.approx(one.low, abs=1e-12)
        assert two.high == pytest.approx(one.high, abs=1e-12)


def test_labels_may_be_words() -> None:
    reward, b, e = _log(60, 4)
    users = np.array([f"user {i // 4}" for i in range(60)], dtype=object)
    found = make_interval(sniips(reward, b, e), clusters=users, config=IntervalConfig(method="bootstrap"))
    assert found.n_clusters == 15
    assert np.isfinite(found.low)


def test_weights_of_the_bootstrap_are_poisson() -> None:
    """The weights of 4,000 clusters in 64 resamples (256,000 numbers) against Poisson(1), false alarm below 1e-6."""
    from evaluation.kernels.poisson_sums import poisson_sums

    counts = np.zeros(5)
    for start in range(0, 4000, 500):
        out = np.zeros((500, 64))
        keys = np.arange(start, start + 500, dtype=np.uint64)
        poisson_sums(500, keys, np.eye(500), np.uint64(7), out)
        counts += [(out == k).sum() for k in range(5)]
    from scipy.stats import poisson

    chance = poisson.pmf(np.arange(5), 1)
    z = (counts - 256_000 * chance) / np.sqrt(256_000 * chance * (1 - chance))
    assert np.abs(z).max() < 5.3


def test_paired_differences_are_narrower_than_their_parts() -> None:
    reward, b, e = _log(800, 6)
    one, two = sniips(reward, b, e), sniips(reward, b, 0.5 * (b + e))
    for method in ("student", "bootstrap"):
        config = IntervalConfig(method=method, n_resamples=500)  # type: ignore[arg-type]
        both = difference_interval(one, two, config=config)
        assert both.value == pytest.approx(one.value - two.value, abs=1e-12)
        apart = [make_interval(x, config=config).half_width for x in (one, two)]
        assert both.half_width < np.hypot(*apart)
    assert difference_interval(one, one).half_width == 0
    nothing = bootstrap_difference(one, one, n_resamples=64)
    assert (nothing.low, nothing.high) == pytest.approx((0, 0), abs=1e-12)
    with pytest.raises(InputError, match="same rows"):
        bootstrap_difference(one, sniips(reward[:5], b[:5], e[:5]))
    with pytest.raises(InputError, match="paired form"):
        difference_interval(one, two, config=IntervalConfig(method="bernstein"))


def test_a_constant_reward_has_no_width_for_self_normalised_forms() -> None:
    _, b, e = _log(100, 0)
    estimates: tuple[Estimate, ...] = (
        sniips(np.ones((100, 3)), b, e),
        snips(np.ones(100), b[:, 0], e[:, 0]),
    )
    for estimate, value in zip(estimates, (3.0, 1.0), strict=True):
        for method in ("student", "normal", "bootstrap"):
            config = IntervalConfig(method=method, n_resamples=64)  # type: ignore[arg-type]
            found = make_interval(estimate, config=config)
            assert found.low == pytest.approx(value, abs=1e-12)
            assert found.high == pytest.approx(value, abs=1e-12)


def test_slates_judged_whole_have_sequences_too() -> None:
    reward, b, e = _log(500, 8)
    found = confidence_sequence(sips(reward, b.prod(axis=1), e.prod(axis=1)), reward_max=3.0).last()
    assert found.low <= 0.9 <= found.high
