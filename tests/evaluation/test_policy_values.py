"""Values with their covariances, from paired users and from a log."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.outcomes import OnlineResult, PolicyOutcome
from evaluation.policy_values import online_values, page_values


def _outcome(name: str, score: NDArray[np.float64], length: NDArray[np.float64]) -> PolicyOutcome:
    nothing = np.zeros_like(score)
    return PolicyOutcome(
        name=name,
        score=score,
        reward=score,
        clicks=score,
        purchases=nothing,
        revenue=nothing,
        length=length,
        left=nothing.astype(bool),
        ndcg=nothing,
        diversity=nothing,
        click_by_position=np.zeros(1),
        purchase_by_position=np.zeros(1),
        coverage=0.0,
        seconds=0.0,
    )


def _result(**scores: NDArray[np.float64]) -> OnlineResult:
    outcomes = {name: _outcome(name, score, np.full(score.size, 2.0)) for name, score in scores.items()}
    return OnlineResult(outcomes=outcomes, seed=0, first_user=0, purchase_weight=5.0)


def test_covariance_of_paired_users() -> None:
    result = _result(a=np.array([0.0, 2.0, 4.0]), b=np.array([0.0, 2.0, 1.0]))
    found = online_values(result)
    assert found.value == pytest.approx([2.0, 1.0])
    # Variances 4 and 1, covariance ((-2)(-1) + 0 + 2 * 0) / 2 = 1, each over three users.
    assert found.covariance == pytest.approx(np.array([[4.0, 1.0], [1.0, 1.0]]) / 3)
    # The error of the difference is that of the paired comparison.
    difference = found.covariance[0, 0] + found.covariance[1, 1] - 2 * found.covariance[0, 1]
    assert difference == pytest.approx(result.difference("a", "b").standard_error ** 2)
    assert found.take(["b"]).value == pytest.approx([1.0])
    with pytest.raises(InputError, match="no value of c"):
        found.take(["c"])


def test_a_policy_with_fewer_users() -> None:
    """Means of the first n and of all m users: covariance cov / m, as enumeration over many samples shows."""
    rng = np.random.default_rng(0)
    both = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=(20_000, 6))  # (R, users, policies)
    means = np.stack([both[:, :, 0].mean(axis=1), both[:, :3, 1].mean(axis=1)])
    assert np.cov(means)[0, 1] == pytest.approx(0.8 / 6, abs=0.01)
    long, short = both[0, :, 0].copy(), both[0, :3, 1].copy()
    found = online_values(_result(a=long, b=short)).covariance[0, 1]
    assert found == pytest.approx(np.cov(long[:3], short)[0, 1] / 6)


def test_score_of_a_page() -> None:
    score, length = np.array([1.0, 3.0, 2.0]), np.array([1.0, 2.0, 3.0])
    outcomes = {"a": _outcome("a", score, length)}
    found = page_values(OnlineResult(outcomes=outcomes, seed=0, first_user=0, purchase_weight=5.0))
    assert found.value == pytest.approx([1.0])
    # Residuals 0, 1, -1 over mean length 2: variance 1/4, of three users.
    assert found.covariance == pytest.approx(np.array([[1 / 12]]))
