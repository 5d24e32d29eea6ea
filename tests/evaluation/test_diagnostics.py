"""Diagnostics of off-policy figures: hand-worked values, tails of known laws, verdicts on logs made to earn them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import genpareto

from behavior.errors import InputError
from evaluation.diagnostics import TrustLimits, diagnose, measure_overlap
from evaluation.estimators import ips, sniips, snips
from evaluation.overlap_picture import draw_overlap
from evaluation.support import SupportLimits
from evaluation.tail_index import fit_tail, tail_index


def _item_log(
    logging: NDArray[np.float64], evaluation: NDArray[np.float64], n: int, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    item = rng.choice(logging.size, size=n, p=logging)
    return (rng.random(n) < 0.3).astype(np.float64), logging[item], evaluation[item]


def test_figures_by_hand() -> None:
    b = np.array([0.5, 0.5, 0.5, 0.5])
    e = np.array([0.0, 0.5, 0.5, 1.0])  # weights 0, 1, 1, 2
    found = diagnose(
        ips(np.array([3.0, 1.0, 0.0, 0.0]), b, e),
        clusters=np.array([1, 1, 2, 2]),
        reward=np.array([3.0, 1.0, 0.0, 0.0]),
    )
    assert found.n_clusters == 2
    assert found.ess == pytest.approx(16 / 6)
    assert found.ess_clusters == pytest.approx(16 / 10)  # sums 1 and 3
    assert found.max_weight == 2.0
    assert found.top_share == pytest.approx(0.5)  # one row of four is "the largest 1 %"
    assert found.mean_weight.value == 1.0
    assert found.unused_reward == pytest.approx(0.75)
    assert np.isnan(found.tail)
    assert found.trust == "no support"


def test_skewness_by_hand() -> None:
    # Terms 0 (nine times) and 10: u = -1 nine times and 9; m3 = (729 - 9) / 10 = 72, m2 = 9, 72 / 27 / sqrt(10).
    b, e, reward = np.ones(10), np.ones(10), np.r_[np.zeros(9), 10.0]
    assert diagnose(ips(reward, b, e)).skew == pytest.approx(72 / 27 / np.sqrt(10))
    # Copies of every row in its cluster change nothing.
    tripled = diagnose(
        ips(np.repeat(reward, 3), np.ones(30), np.ones(30)), clusters=np.repeat(np.arange(10), 3)
    )
    assert tripled.skew == pytest.approx(72 / 27 / np.sqrt(10))


@pytest.mark.parametrize("index", [-0.5, 0.0, 0.3, 0.7, 1.2])
def test_tails_of_known_laws(index: float) -> None:
    """The mean of 40 fits to 300 exceedances; its standard error is below 0.025, the prior's pull below 0.04."""
    rng = np.random.default_rng(3)
    found = [fit_tail(np.sort(genpareto.rvs(index, size=300, random_state=rng))) for _ in range(40)]
    assert np.mean(found) == pytest.approx(index, abs=0.12)
    assert np.std(found) < 0.25


def test_the_tail_of_pareto_weights() -> None:
    weights = (np.random.default_rng(0).pareto(1 / 0.8, 20_000) + 1.0) * 0.2
    assert tail_index(weights) == pytest.approx(0.8, abs=0.15)  # three standard errors
    assert tail_index(7.0 * weights) == pytest.approx(tail_index(weights), abs=1e-9)
    assert np.isnan(tail_index(np.ones(5000)))
    assert np.isnan(tail_index(weights[:50]))


def test_near_policies_are_sound() -> None:
    """Fifty logs between near policies: at most five flagged, where each is with a chance below 2 % (below 1e-3)."""
    logging, evaluation = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.3, 0.3, 0.2, 0.2])
    flagged = [not diagnose(snips(*_item_log(logging, evaluation, 2000, seed))).sound for seed in range(50)]
    assert sum(flagged) <= 5


def test_a_policy_outside_the_log_has_no_support() -> None:
    logging, evaluation = np.array([0.7, 0.3, 0.0]), np.array([0.3, 0.3, 0.4])
    found = diagnose(snips(*_item_log(logging, evaluation, 3000)))
    assert found.trust == "no support"
    assert "never shown" in found.reasons[0]
    assert found.outside == pytest.approx(0.4, abs=0.05)


def test_a_known_share_outside_is_believed() -> None:
    log = _item_log(np.array([0.5, 0.5]), np.array([0.5, 0.5]), 500)
    assert diagnose(snips(*log), outside=np.full(500, 0.05)).trust == "sound"
    assert diagnose(snips(*log), outside=np.full(500, 0.5)).trust == "no support"
    with pytest.raises(InputError, match="one number per row"):
        diagnose(snips(*log), outside=np.zeros(3))


def test_wrong_propensities_show_in_the_mean_weight() -> None:
    reward, b, e = _item_log(np.array([0.5, 0.5]), np.array([0.4, 0.6]), 4000)
    found = diagnose(snips(reward, np.minimum(1.0, 1.06 * b), e))
    assert found.trust == "doubtful"
    assert "surely not 1" in found.reasons[0]
    assert diagnose(snips(reward, np.minimum(1.0, 1.06 * b), e), has_mean_one=False).sound


@pytest.mark.parametrize("off", [0.0, 1e-9, 3e-4])
def test_rounding_of_nearly_constant_weights_is_no_wrong_propensity(off: float) -> None:
    """The policy that made the log, stated with a few digits: its weights hardly vary, and nothing is wrong."""
    rng = np.random.default_rng(0)
    logged = np.full(2000, 1 / 80)
    judged = logged * (1 + off + 1e-12 * rng.standard_normal(2000))
    reward = rng.binomial(1, 0.3, 2000).astype(float)
    assert diagnose(snips(reward, logged, judged)).trust == "sound"
    assert diagnose(snips(reward, logged, judged * 1.01)).trust == "doubtful"


def test_one_user_who_decides_makes_it_doubtful() -> None:
    reward, b, e = _item_log(np.array([0.5, 0.5]), np.array([0.5, 0.5]), 300)
    reward[:] = 0.1
    reward[7] = 400.0
    found = diagnose(ips(reward, b, e))
    assert found.trust == "doubtful"
    assert "a few users decide" in found.reasons[0]


def test_a_log_without_reward_is_doubtful_and_a_constant_reward_is_not() -> None:
    _, b, e = _item_log(np.array([0.5, 0.5]), np.array([0.45, 0.55]), 300)
    found = diagnose(snips(np.zeros(300), b, e))
    assert found.trust == "doubtful"
    assert "no reward at all" in found.reasons[0]
    assert diagnose(snips(np.full(300, 0.2), b, e)).sound


def test_heavy_tails_are_flagged() -> None:
    """Propensities of a uniform to the 1.6th power, judged by a flat policy: weights with index 0.8 or more."""
    rng = np.random.default_rng(1)
    b = np.maximum(rng.random(20_000) ** 1.6, 1e-7)
    e = np.full(20_000, 1e-2)
    limits = TrustLimits(support=SupportLimits(min_ess=1.0, max_unsupported=0.999))
    found = diagnose(snips((rng.random(20_000) < 0.5).astype(float), b, e), limits=limits)
    assert found.trust == "doubtful"
    assert found.tail > 0.7


def test_no_weight_at_all() -> None:
    found = diagnose(snips(np.ones(40), np.full(40, 0.5), np.zeros(40)))
    assert found.trust == "no support"
    assert found.top_share == 0.0
    empty = measure_overlap(snips(np.ones(40), np.full(40, 0.5), np.zeros(40)))
    assert empty.zero == 1.0


def test_a_share_of_the_weight_lies_where_the_weights_are() -> None:
    b, e = np.full((100, 2), 0.5), np.full((100, 2), 0.5)
    e[:50, 0] = 0.0
    e[0, 1] = 1.0
    found = measure_overlap(sniips(np.ones((100, 2)), b, e))
    assert found.zero == pytest.approx(0.25)
    assert found.rows.sum() == pytest.approx(0.75)
    assert found.weight.sum() == pytest.approx(1.0)
    assert found.weight[-1] == pytest.approx(2 / 151)
    picture = draw_overlap(found, "SNIIPS")
    assert picture.startswith("<svg")
    assert "25%" in picture
