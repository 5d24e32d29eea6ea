"""Distributions, parts and constraints: hand-worked values, coverage where the truth is known, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from behavior.errors import InputError
from evaluation.estimators import iips, sips, sniips, wpdis, wtis
from evaluation.estimators.constraints import constraint_probability
from evaluation.estimators.distribution import RewardDistribution, reward_distribution, session_distribution
from evaluation.estimators.distribution_bands import bootstrap_band, bounded_band, distribution_figures
from evaluation.estimators.groups import column_values, group_values


def test_distribution_by_hand() -> None:
    found = reward_distribution([1.0, 3.0, 1.0, 2.0], [1.0, 2.0, 0.0, 1.0])  # weight 1 on 1, 1 on 2, 2 on 3
    np.testing.assert_allclose(found.support, [1, 2, 3])
    np.testing.assert_allclose(found.cdf, [0.25, 0.5, 1])
    assert found.mean() == pytest.approx(2.25)
    assert found.variance() == pytest.approx(0.25 * 1.25**2 + 0.25 * 0.25**2 + 0.5 * 0.75**2)
    assert [found.quantile(q) for q in (0.2, 0.25, 0.26, 0.5, 0.51)] == [1, 1, 2, 2, 3]
    assert found.cvar(0.25) == pytest.approx(1)
    assert found.cvar(0.5) == pytest.approx(1.5)
    assert found.cvar(0.75) == pytest.approx((0.25 * 1 + 0.25 * 2 + 0.25 * 3) / 0.75)
    assert found.probability(2.5) == 0.5
    assert found.probability(0.9) == 0
    assert found.ess == pytest.approx(16 / 6)
    assert "effective number of 2.7" in found.warnings[0]
    plain = reward_distribution([1.0, 3.0, 1.0, 2.0], [1.0, 2.0, 0.0, 1.0], self_normalised=False)
    np.testing.assert_allclose(plain.cdf, [0.25, 0.5, 1])
    np.testing.assert_allclose(
        reward_distribution([1.0, 2.0], [3.0, 1.0], self_normalised=False).cdf, [1.0, 1.0]
    )


def test_session_distribution_is_of_whole_sessions() -> None:
    log: dict[str, Any] = {"session": ["a", "b", "a"], "step": [0, 0, 1]}
    arrays = [1.0, 1.0, 3.0], [0.25, 0.5, 0.5], [0.5, 0.25, 0.25]  # weights 1 and 1/2, totals 4 and 1
    found = session_distribution(*arrays, **log)
    np.testing.assert_allclose(found.support, [1, 4])
    np.testing.assert_allclose(found.cdf, [1 / 3, 1])
    assert found.mean() == pytest.approx(wtis(*arrays, **log).value, abs=1e-15)
    assert session_distribution(*arrays, **log, gamma=0.5).mean() == pytest.approx((2.5 + 0.5) / 1.5)


def _drawn(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    """Two arms, logged half and half, judged 0.8 and 0.2; arm 0 pays 0..4 alike, arm 1 always 10."""
    arm = rng.integers(0, 2, n)
    values = np.where(arm == 0, rng.integers(0, 5, n), 10).astype(np.float64)
    return values, np.where(arm == 0, 1.6, 0.4)


_TRUTH = {"mean": 0.8 * 2 + 0.2 * 10, "cvar 0.32": 0.5, "variance": 0.8 * 6 + 0.2 * 100 - 3.6**2}
_TRUE_CDF = {0: 0.16, 1: 0.32, 2: 0.48, 3: 0.64, 4: 0.8, 10: 1.0}


def test_intervals_and_bands_cover() -> None:
    rng = np.random.default_rng(2)
    inside = dict.fromkeys(_TRUTH, 0)
    bands = {"bootstrap": 0, "bounded": 0}
    rounds = 60
    for seed in range(rounds):
        values, weights = _drawn(rng, 300)
        found = reward_distribution(values, weights)
        figures = distribution_figures(found, quantiles=(0.5,), cvar=(0.32,), n_resamples=120, seed=seed)
        for name, truth in _TRUTH.items():
            inside[name] += figures[name].low <= truth <= figures[name].high
        true = np.array([_TRUE_CDF[int(v)] for v in found.support])
        plain = reward_distribution(values, weights, self_normalised=False)
        for name, band in (
            ("bootstrap", bootstrap_band(found, n_resamples=120, seed=seed)),
            ("bounded", bounded_band(plain, weight_bound=1.6)),
        ):
            bands[name] += bool(((band.low <= true + 1e-12) & (true <= band.high + 1e-12)).all())
    for name, hits in inside.items():
        assert 0.86 < hits / rounds <= 1, name
    assert 0.86 < bands["bootstrap"] / rounds <= 1
    assert bands["bounded"] == rounds  # it holds for any size, and is wide


def test_the_logs_own_distribution_has_the_classical_band() -> None:
    values = np.arange(200.0)
    found = reward_distribution(values, np.ones(200), self_normalised=False)
    band = bounded_band(found, weight_bound=1.0)
    reach = np.sqrt(np.log(40) / 400)
    np.testing.assert_allclose(band.high, np.minimum(found.cdf + reach, 1))
    assert bounded_band(found, weight_bound=3.0).high[0] - found.cdf[0] > reach
    twice = reward_distribution(values, np.ones(200), self_normalised=False, clusters=np.arange(200) // 2)
    for wrong, match in (
        (reward_distribution(values, np.ones(200)), "self-normalised"),
        (twice, "depend on each other"),
    ):
        with pytest.raises(InputError, match=match):
            bounded_band(wrong, weight_bound=1.0)
    with pytest.raises(InputError, match="but a weight of 1 occurs"):
        bounded_band(found, weight_bound=0.5)


def test_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    values, weights = _drawn(rng, 100)
    user = rng.integers(0, 30, 100)
    order = rng.permutation(100)
    one = reward_distribution(values, weights, clusters=user)
    two = reward_distribution(values[order], weights[order], clusters=user[order])
    assert one.ess == pytest.approx(two.ess, abs=1e-12)
    first, second = (distribution_figures(d, n_resamples=50) for d in (one, two))
    for name in first:
        assert first[name].low == pytest.approx(second[name].low, abs=1e-12)
        assert first[name].high == pytest.approx(second[name].high, abs=1e-12)


def test_distribution_refuses() -> None:
    for values, weights, match in (
        ([1.0, np.nan], [1, 1], "finite reward"),
        ([1.0, 2.0], [1, -1], "`weights` holds -1"),
        ([1.0, 2.0], [1, np.nan], "`weights` holds nan"),
        ([1.0, 2.0], [0, 0], "all weights are 0"),
        ([1.0, 2.0], [1, 1, 1], "different shapes"),
        ([1.0], [1], "at least 2"),
    ):
        with pytest.raises(InputError, match=match):
            reward_distribution(values, weights)
    found: RewardDistribution = reward_distribution([1.0, 2.0], [1, 1])
    for call in (
        lambda: found.quantile(0.0),
        lambda: found.cvar(1.5),
        lambda: distribution_figures(found, cvar=(2,)),
    ):
        with pytest.raises(InputError, match="a share of"):
            call()


def test_a_group_is_the_estimator_on_its_rows() -> None:
    rng = np.random.default_rng(4)
    r, b, e = rng.random((90, 2)), rng.uniform(0.1, 1, (90, 2)), rng.uniform(0, 1, (90, 2))
    group = np.array(["new", "old", "old"] * 30)
    session = np.arange(90) // 6
    for estimator in (sniips, iips):
        parts = group_values(estimator(r, b, e), group, clusters=session, min_ess=3.0)
        assert [part.label for part in parts] == ["new", "old"]
        for part in parts:
            rows = group == part.label
            alone = estimator(r[rows], b[rows], e[rows])
            assert part.estimate.value == pytest.approx(alone.value, abs=1e-12)
            assert part.interval.n_clusters == 15
            assert part.n_rows == rows.sum()
            assert part.warning == ""
    # Plain averages of groups add up to the whole, by their shares of the rows.
    parts = group_values(iips(r, b, e), group)
    assert sum(p.estimate.value * p.n_rows / 90 for p in parts) == pytest.approx(
        iips(r, b, e).value, abs=1e-12
    )
    wide = group_values(iips(r, b, e), group, simultaneous=True)
    assert all(w.interval.half_width > p.interval.half_width for w, p in zip(wide, parts, strict=True))
    lonely = group_values(iips(r, b, e), np.arange(90) == 0, clusters=session)
    assert lonely[1].interval.low == -np.inf
    assert "effective number of clusters 1.0" in lonely[1].warning
    nothing = group_values(sniips(r, b, np.where(group[:, None] == "old", e, 0.0)), group)
    assert np.isnan(nothing[0].estimate.value)
    assert "never shows" in nothing[0].warning
    with pytest.raises(InputError, match="group labels for 90 rows"):
        group_values(iips(r, b, e), group[:5])
    with pytest.raises(InputError, match="a missing label"):
        group_values(iips(r, b, e), np.where(np.arange(90) == 3, np.nan, 1.0))


def test_positions_and_steps_add_up() -> None:
    rng = np.random.default_rng(5)
    choice = rng.uniform(0.3, 1, (2, 120, 3))
    b, e = np.cumprod(choice, axis=2)
    r = rng.random((120, 3))
    parts = column_values(sniips(r, b, e))
    for k, part in enumerate(parts):
        w = e[:, k] / b[:, k]
        assert part.estimate.value == pytest.approx((w * r[:, k]).sum() / w.sum(), abs=1e-12)
        assert part.label == k
    at: dict[str, Any] = {"session": np.repeat(np.arange(40), 3), "step": np.tile(np.arange(3), 40)}
    whole = wpdis(r, b, e, **at)
    for labels in (np.repeat(np.arange(3), 3), np.tile(np.arange(3), 3)):  # by step, by position
        parts = column_values(whole, labels, min_ess=0.0)
        assert sum(part.estimate.value for part in parts) == pytest.approx(whole.value, abs=1e-12)
    with pytest.raises(InputError, match="labels for 9 columns"):
        column_values(whole, [0, 1])


def test_constraint_by_hand_and_its_verdicts() -> None:
    n = 400
    metric = np.tile([0.2, 0.4, 0.6, 0.8], n // 4)
    even = constraint_probability(metric, np.ones(n), at_least=0.4, at_most=0.6, required=0.4)
    assert even.interval.value == pytest.approx(0.5)
    # weights of one: the classical interval of Clopper and Pearson for 200 of 400
    assert even.interval.low == pytest.approx(0.4499, abs=3e-4)
    assert even.interval.high == pytest.approx(0.5501, abs=3e-4)
    assert even.verdict == "kept"
    for required, verdict in ((0.5, "open"), (0.6, "broken"), (None, "")):
        found = constraint_probability(metric, np.ones(n), at_least=0.4, at_most=0.6, required=required)
        assert found.verdict == verdict
    weighed = constraint_probability(metric, np.tile([0.0, 1.0, 1.0, 2.0], n // 4), at_most=0.5)
    assert weighed.interval.value == pytest.approx(0.25)
    always = constraint_probability(metric, np.ones(n), at_least=0.0)
    assert always.interval.value == 1.0
    assert always.interval.high == 1.0
    assert always.interval.low == pytest.approx(0.025 ** (1 / n), abs=1e-6)  # it has a width all the same
    few = constraint_probability(metric, np.where(np.arange(n) < 4, 1.0, 1e-6), at_least=0.0)
    assert few.interval.low < 0.6
    assert few.warnings


def test_constraint_covers_with_weights_and_clusters() -> None:
    rng = np.random.default_rng(6)
    hits, rounds = 0, 300
    for _ in range(rounds):
        arm = np.repeat(rng.integers(0, 2, 80), 3)  # all pages of a session alike
        weights = np.where(arm == 0, 1.8, 0.2)
        metric = rng.random(240) + 0.8 * arm
        found = constraint_probability(metric, weights, at_most=0.9, clusters=np.arange(240) // 3)
        hits += found.interval.low <= 0.9 * 0.9 + 0.1 * 0.1 <= found.interval.high
    assert 0.92 < hits / rounds <= 1


def test_constraint_refuses() -> None:
    one = np.ones(4)
    for extra, match in (
        ({}, "no bound"),
        ({"at_least": 2.0, "at_most": 1.0}, "Swap the bounds"),
        ({"at_least": 0.5, "required": 1.5}, "required share"),
    ):
        with pytest.raises(InputError, match=match):
            constraint_probability(one, one, **extra)
    page = sips(np.ones((4, 2)), one, one)
    assert page.value == 2
