"""The test of users' structure: its level where nothing disagrees, its power where something does, by enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from behavior.errors import InputError
from evaluation.contract import CASES, EstimatorCase, check_estimator
from evaluation.disagreement import Disagreement, Structure, disagreement_test
from evaluation.estimators import iips, rips, sips
from evaluation.exact_design import STRUCTURES, exact_design


def _disagreement(structure: Structure, n: int, seed: int, sessions: int | None = None) -> Disagreement:
    """The test on `n` rows drawn from the exact design of `structure`, clicks in place of expected rewards."""
    log = exact_design(structure)
    rng = np.random.default_rng([seed, 5])
    rows = rng.integers(0, log.reward.shape[0], n)
    # Expected rewards reach from -0.4 to 1.4: two out of [-0.5, 1.5] stand for a click, in expectation.
    reward = 2.0 * (rng.random((n, 2)) < (log.reward[rows] + 0.5) / 2) - 0.5
    clusters = None if sessions is None else rng.integers(0, sessions, n)

    def of(pair: tuple[NDArray[np.float64], NDArray[np.float64]]) -> tuple[NDArray[np.float64], ...]:
        return reward, pair[0][rows], pair[1][rows]

    return disagreement_test(
        {
            "independent": iips(*of(log.item)),
            "cascade": rips(*of(log.cascade)),
            "whole slate": sips(*of(log.slate)),
        },
        clusters=clusters,
    )


@pytest.mark.parametrize("structure", STRUCTURES)
def test_it_finds_what_is_there_and_keeps_its_level(structure: Structure) -> None:
    """60 logs of 3,000 slates: rejections within 1e-4 of the level, or nearly always; the class is named."""
    found = [_disagreement(structure, 3000, seed) for seed in range(60)]
    rejected = sum(one.rejected for one in found)
    if structure == "independent":
        assert rejected <= binom.ppf(1 - 1e-4, 60, 0.05)
    else:
        assert rejected >= 55
        named = sum(one.supported == structure for one in found)
        assert named >= 45


def test_clusters_count_once() -> None:
    one = _disagreement("cascade", 2000, 1, sessions=150)
    assert one.n_clusters == 150
    assert one.steps[0].difference.n_clusters == 150


def test_power_is_stated_and_right() -> None:
    """What is detectable with a chance of 80 % is 2.80 standard errors, and its power is 0.8."""
    found = _disagreement("independent", 1000, 2)
    step = found.steps[0]
    assert step.detectable == pytest.approx((1.959964 + 0.841621) * step.difference.standard_error, rel=1e-5)
    small = _disagreement("independent", 60, 3)
    assert small.steps[0].power < 0.5
    assert "proves little" in small.words
    strong = _disagreement("cascade", 20_000, 4)
    assert "more than chance explains" in strong.words


def test_one_difference_is_the_square_of_t() -> None:
    log = exact_design("cascade")
    pair = {"independent": iips(log.reward, *log.item), "cascade": rips(log.reward, *log.cascade)}
    found = disagreement_test(pair)  # type: ignore[arg-type]
    step = found.steps[0]
    t = step.difference.value / step.difference.standard_error
    assert found.statistic == pytest.approx(t * t, rel=1e-9)
    assert found.p_value == pytest.approx(step.p_value, rel=1e-9)


def test_a_slate_of_one_cannot_disagree() -> None:
    rng = np.random.default_rng(0)
    reward, b, e = rng.random((50, 1)), rng.uniform(0.2, 1, (50, 1)), rng.uniform(0.2, 1, (50, 1))
    found = disagreement_test(
        {
            "independent": iips(reward, b, e),
            "cascade": rips(reward, b, e),
            "whole slate": sips(reward, b[:, 0], e[:, 0]),
        }
    )
    assert found.p_value == 1.0
    assert not found.rejected
    assert found.supported == "independent"


def test_bad_input() -> None:
    log = exact_design("independent")
    one = iips(log.reward, *log.item)
    with pytest.raises(InputError, match="two or three"):
        disagreement_test({"independent": one})
    with pytest.raises(InputError, match="different rows"):
        disagreement_test(
            {"independent": one, "cascade": rips(log.reward[:5], *(x[:5] for x in log.cascade))}
        )


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (EstimatorCase(iips, "item", False, "cascade"), "allows for"),
        (EstimatorCase(rips, "item", False, "independent", cascade=True), "assumes less than it says"),
    ],
)
def test_the_contract_catches_a_wrong_claim(case: EstimatorCase, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_estimator(case)


def test_the_contract_knows_what_ours_assume() -> None:
    assert {name for name, case in CASES.items() if case.assumes is None} == {"ips", "snips"}
