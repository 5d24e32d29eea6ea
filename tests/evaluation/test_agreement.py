"""Agreement of simulated with true values: hand-worked figures, SciPy's, and how often intervals hold the truth."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from behavior.errors import InputError
from evaluation.agreement import kendall, measure_agreement, member_intervals, spearman
from evaluation.agreement_draws import draw_values

TRUE = np.array([1.0, 2.0, 3.0, 4.0])
SIMULATED = np.array([1.5, 1.4, 3.5, 3.0])


def test_hand_worked_figures() -> None:
    found = measure_agreement(SIMULATED, TRUE, names="abcd", reference="a")
    off = [0.5, -0.6, 0.5, -1.0]
    assert found.bias.value == pytest.approx(sum(off) / 4)
    assert found.rmse.value == pytest.approx(np.sqrt((0.25 + 0.36 + 0.25 + 1.0) / 4))
    assert found.relative_error.value == pytest.approx(found.rmse.value / 2.5)
    # Ranks 2 1 4 3 against 1 2 3 4: sum of squared differences 4, 1 - 6 * 4 / (4 * 15).
    assert found.spearman.value == pytest.approx(0.6)
    assert found.kendall.value == pytest.approx((4 - 2) / 6)  # two of six pairs are turned
    assert found.sign_agreement.value == pytest.approx(4 / 6)
    assert (found.chosen, found.best) == ("c", "d")
    assert found.regret.value == pytest.approx(1.0)
    assert found.regret_share.value == pytest.approx(1.0 / 3.0)
    # Nothing was measured with error: the intervals are the figures.
    assert (found.spearman.low, found.spearman.high) == pytest.approx((0.6, 0.6))
    assert np.isnan(found.coverage.value)


def test_perfect_simulator() -> None:
    found = measure_agreement(TRUE, TRUE, names="abcd", reference="a", intervals=(TRUE - 0.1, TRUE + 0.1))
    assert found.spearman.value == found.kendall.value == found.sign_agreement.value == pytest.approx(1.0)
    assert found.regret.value == found.regret_share.value == found.rmse.value == 0.0
    assert found.coverage.value == 1.0
    assert "is the best in truth as well" in found.sentence()


def test_rank_correlations_are_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, (20, 9)).astype(float), rng.integers(0, 6, (20, 9)).astype(float)  # with ties
    assert spearman(a, b) == pytest.approx(
        [stats.spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    )
    assert kendall(a, b) == pytest.approx(
        [stats.kendalltau(x, y).statistic for x, y in zip(a, b, strict=True)]
    )
    assert np.isnan(spearman(np.ones((1, 4)), TRUE[None])[0])


def test_sure_pairs_use_the_covariance() -> None:
    """Errors of 1 hide differences of 1, unless the policies err together."""
    alone = measure_agreement(SIMULATED, TRUE, true_error=np.ones(4))
    together = measure_agreement(SIMULATED, TRUE, true_error=np.full((4, 4), 0.999) + 0.001 * np.eye(4))
    assert alone.n_sure_pairs == 1  # only 4 - 1 > 1.96 sqrt(2)
    assert alone.sure_sign_agreement.value == 1.0
    assert together.n_sure_pairs == 6
    assert together.sure_sign_agreement.value == pytest.approx(4 / 6)


def test_coverage_counts_truths_inside_intervals() -> None:
    members = SIMULATED + np.array([[-0.1], [0.0], [0.1]])
    low, high = member_intervals(members)
    reach = stats.t.ppf(0.975, 2) * np.sqrt(0.01 * 4 / 3)  # variance .01, M = 3
    assert high - low == pytest.approx(np.full(4, 2 * reach))
    found = measure_agreement(None, TRUE, members=members)
    assert found.simulated == pytest.approx(SIMULATED)
    # Distances .5, .6, .5 and 1 against .497.
    assert found.coverage.value == 0.0
    wide = measure_agreement(None, TRUE, members=members, simulated_error=np.full(4, 0.1))
    reach = stats.t.ppf(0.975, 2) * np.sqrt(0.01 * 4 / 3 + 0.01)
    assert wide.simulated_high == pytest.approx(SIMULATED + reach)
    assert wide.coverage.value == 0.75


@pytest.mark.parametrize("correlation", [1.0, 0.9, 0.0])
@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_intervals_hold_the_truth(correlation: float, noise: float) -> None:
    """Over 60 fresh sets of 12 policies with spread 1; at 95 % the chance of fewer than 50 hits is below 1 in 1,000."""
    rng = np.random.default_rng(3)
    hits = {"spearman": 0, "kendall": 0, "regret": 0, "bias": 0}
    error = np.full(12, noise)
    for seed in range(60):
        true = rng.normal(size=12)
        simulated = correlation * true + np.sqrt(1 - correlation**2) * rng.normal(size=12)
        exact = measure_agreement(simulated, true, n_draws=1)
        found = measure_agreement(
            simulated + noise * rng.normal(size=12),
            true + noise * rng.normal(size=12),
            simulated_error=error,
            true_error=error,
            n_draws=400,
            seed=seed,
        )
        for name in hits:
            interval = found.figure(name)
            hits[name] += interval.low - 1e-12 <= exact.figure(name).value <= interval.high + 1e-12
    assert min(hits.values()) >= 50, hits


def test_noise_is_taken_off_the_error() -> None:
    """A perfect simulator whose values are measured with error .5: the plain error would be .7."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=150)
    error = np.full(150, 0.5)
    found = measure_agreement(
        true + 0.5 * rng.normal(size=150),
        true + 0.5 * rng.normal(size=150),
        simulated_error=error,
        true_error=error,
        n_draws=8,
    )
    assert found.rmse.value < 0.3


def test_draws_are_the_posterior() -> None:
    """With independent normal values of spread 2 and errors 1, draws have mean 0.8 y and variance 0.8 (P large)."""
    rng = np.random.default_rng(1)
    real = 2 * rng.normal(size=(2, 60))
    seen = real + rng.normal(size=(2, 60))
    drawn, _ = draw_values(seen[0], seen[1], np.eye(60), np.eye(60), n=300, seed=0)
    slope = np.polyfit(seen[0], drawn.mean(axis=0), 1)[0]
    assert slope == pytest.approx(0.8, abs=0.08)
    assert drawn.var(axis=0).mean() == pytest.approx(0.8, abs=0.1)
    # Without errors there is nothing to draw.
    same, _ = draw_values(seen[0], seen[1], np.zeros((60, 60)), np.zeros((60, 60)), n=3, seed=0)
    assert np.array_equal(same, np.broadcast_to(seen[0], (3, 60)))


def test_policies_that_err_together_and_a_side_without_spread() -> None:
    """Covariances that cannot be inverted, values of a thousandth, and a simulator that calls all policies equal."""
    tied = np.full((4, 4), 1e-8)  # four policies whose errors are one and the same
    found = measure_agreement(SIMULATED / 1000, TRUE / 1000, simulated_error=tied, true_error=tied)
    assert found.spearman.value == pytest.approx(0.6)
    assert (found.spearman.low, found.spearman.high) == pytest.approx((0.6, 0.6))  # all move together
    assert found.bias.low < found.bias.value < found.bias.high
    flat = measure_agreement(np.zeros(4), TRUE, true_error=np.full(4, 0.1), simulated_error=np.zeros(4))
    assert np.isnan(flat.spearman.value)
    assert np.isnan(flat.spearman.low)
    assert flat.sign_agreement.value == 0.5


def test_as_data_and_table() -> None:
    found = measure_agreement(
        SIMULATED,
        TRUE,
        names="abcd",
        simulated_error=np.full(4, 0.1),
        true_error=np.full(4, 0.2),
        reference="a",
    )
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["figures"]["spearman"]["value"] == pytest.approx(0.6)
    assert [row["policy"] for row in data["policies"]] == list("abcd")
    summary = found.summary()
    assert summary.n_policies == 4
    assert (summary.spearman.low, summary.spearman.high) == (found.spearman.low, found.spearman.high)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(found.table())
    text = console.export_text()
    assert "rank correlation (Spearman)" in text
    assert text.index("\nd ") < text.index("\na ")  # best in truth first
    assert any("finitely many users only" in note for note in found.notes)


def test_mistakes_are_named() -> None:
    with pytest.raises(InputError, match="two or more policies"):
        measure_agreement(TRUE[:1], TRUE[:1])
    with pytest.raises(InputError, match="policy b"):
        measure_agreement(np.array([1.0, np.nan, 2.0]), TRUE[:3], names="abc")
    with pytest.raises(InputError, match="no policy named 'z'"):
        measure_agreement(TRUE, TRUE, names="abcd", reference="z")
    with pytest.raises(InputError, match="two members"):
        measure_agreement(None, TRUE, members=TRUE[None])
    with pytest.raises(InputError, match="standard error"):
        measure_agreement(TRUE, TRUE, true_error=np.ones(3))
