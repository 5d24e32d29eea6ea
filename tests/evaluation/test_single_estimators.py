"""Single-impression estimators: exact properties, a problem small enough to enumerate, and what they refuse."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.contract import EstimatorCase, check_estimator
from evaluation.estimators import (
    Estimate,
    bips,
    clipped_dr,
    clipped_ips,
    dm,
    dr,
    dros,
    ips,
    model_values,
    sgdr,
    sgips,
    sndr,
    snips,
    switch_dr,
)
from evaluation.estimators.shrinkage import clip, optimistic, subgaussian, switch
from evaluation.intervals import estimate_interval

Array = NDArray[np.float64]


def without_model(estimator: Callable[..., Estimate], **parameter: float) -> Callable[..., Estimate]:
    """The estimator with a model that predicts nothing: a function of rewards and propensities alone."""
    return lambda r, b, e: estimator(r, b, e, q_logged=0 * e, q_policy=0 * e, **parameter)


def plain_ratio(r: Array, b: Array, e: Array) -> Estimate:
    """B-IPS with the known ratio for a learned one; the ratio's own checks are those of IPS."""
    return bips(r, ips(r, b, e).weights[:, 0])


CASES = {
    "dr": EstimatorCase(without_model(dr), "impression", False),
    "sndr": EstimatorCase(without_model(sndr), "impression", True),
    "bips": EstimatorCase(plain_ratio, "impression", True),
    "clipped_ips": EstimatorCase(lambda r, b, e: clipped_ips(r, b, e, parameter=3.0), "impression", False),
    "clipped_dr": EstimatorCase(without_model(clipped_dr, parameter=3.0), "impression", False),
    "sgips": EstimatorCase(lambda r, b, e: sgips(r, b, e, parameter=0.1), "impression", False),
    "sgdr": EstimatorCase(without_model(sgdr, parameter=0.1), "impression", False),
    "switch_dr": EstimatorCase(without_model(switch_dr, parameter=3.0), "impression", False),
    "dros": EstimatorCase(without_model(dros, parameter=math.inf), "impression", False),
}


@pytest.mark.parametrize("name", CASES)
def test_contract(name: str) -> None:
    check_estimator(CASES[name])


@dataclasses.dataclass(frozen=True)
class Log:
    reward: Array
    logging: Array
    evaluation: Array
    q_logged: Array
    q_policy: Array

    @property
    def rows(self) -> tuple[Array, Array, Array]:
        return self.reward, self.logging, self.evaluation

    @property
    def model(self) -> dict[str, Array]:
        return {"q_logged": self.q_logged, "q_policy": self.q_policy}


def some_log(n: int = 300, seed: int = 3) -> Log:
    rng = np.random.default_rng(seed)
    return Log(
        rng.normal(size=n),
        rng.uniform(0.02, 1.0, n),
        rng.uniform(0.0, 1.0, n) * (rng.random(n) < 0.9),
        rng.normal(size=n),
        rng.normal(size=n),
    )


def exact(found: float, wanted: float) -> None:
    assert found == pytest.approx(wanted, rel=1e-13, abs=1e-13)


def test_by_hand() -> None:
    reward, logging, evaluation = [1.0, 0.0, 2.0], [0.5, 0.25, 0.1], [0.25, 0.5, 0.4]  # w = 0.5, 2, 4
    q, m = [0.5, 1.0, 1.0], [0.7, 0.6, 0.2]  # w (r - q) = 0.25, -2, 4
    model = {"q_logged": q, "q_policy": m}
    exact(ips(reward, logging, evaluation).value, 8.5 / 3)
    exact(snips(reward, logging, evaluation).value, 8.5 / 6.5)
    exact(dm(m).value, 0.5)
    exact(dr(reward, logging, evaluation, **model).value, 0.5 + 2.25 / 3)
    exact(sndr(reward, logging, evaluation, **model).value, 0.5 + 2.25 / 6.5)
    exact(clipped_ips(reward, logging, evaluation, parameter=3).value, 6.5 / 3)
    exact(clipped_dr(reward, logging, evaluation, **model, parameter=3).value, 0.5 + 1.25 / 3)
    exact(switch_dr(reward, logging, evaluation, **model, parameter=2).value, 0.5 - 1.75 / 3)
    # 2 w / (w^2 + 2): 4/9, 2/3, 4/9
    exact(dros(reward, logging, evaluation, **model, parameter=2).value, 0.5 + (2 / 9 - 2 / 3 + 4 / 9) / 3)
    # w / (0.5 + 0.5 w): 2/3, 4/3, 8/5
    exact(sgips(reward, logging, evaluation, parameter=0.5).value, (2 / 3 + 16 / 5) / 3)
    exact(sgdr(reward, logging, evaluation, **model, parameter=0.5).value, 0.5 + (1 / 3 - 4 / 3 + 8 / 5) / 3)
    exact(bips(reward, [0.5, 2.0, 4.0]).value, 8.5 / 6.5)
    exact(bips(reward, [0.5, 2.0, 4.0], self_normalised=False).value, 8.5 / 3)


def test_limits() -> None:
    x = some_log()
    doubly, direct, plain = dr(*x.rows, **x.model).value, dm(x.q_policy).value, ips(*x.rows).value
    for estimator in (switch_dr, dros, clipped_dr):
        exact(estimator(*x.rows, **x.model, parameter=math.inf).value, doubly)
        exact(estimator(*x.rows, **x.model, parameter=0.0).value, direct)
    exact(sgdr(*x.rows, **x.model, parameter=0.0).value, doubly)
    exact(sgips(*x.rows, parameter=0.0).value, plain)
    exact(clipped_ips(*x.rows, parameter=math.inf).value, plain)
    exact(clipped_ips(*x.rows, parameter=0.0).value, 0.0)
    seen = x.evaluation > 0
    exact(sgips(*x.rows, parameter=1.0).value, float((x.reward * seen).mean()))
    nothing = {"q_logged": 0 * x.reward, "q_policy": 0 * x.reward}
    exact(dr(*x.rows, **nothing).value, plain)
    exact(sndr(*x.rows, **nothing).value, snips(*x.rows).value)
    never = (x.reward, x.logging, 0 * x.evaluation)
    exact(dr(*never, **x.model).value, direct)
    assert np.isnan(sndr(*never, **x.model).value)


def test_shrinkage_approaches_its_limits() -> None:
    w = np.array([0.0, 1e-3, 1.0, 40.0])
    assert optimistic(w, 1e15) == pytest.approx(w, rel=1e-11)
    assert optimistic(w, 1e-15) == pytest.approx(np.zeros(4), abs=1e-11)
    assert optimistic(w, 1.0) == pytest.approx(optimistic(w, 1.0 + 1e-15))  # both forms of the formula
    assert optimistic(np.array([3.0]), 9.0) == pytest.approx([1.5])  # its peak: sqrt(l) / 2 at sqrt(l)
    assert subgaussian(w, 1e-15) == pytest.approx(w, rel=1e-11)
    assert subgaussian(w, 0.25).max() < 4
    for shrink, parameter in ((clip, 2.0), (switch, 2.0), (optimistic, 2.0)):
        shrunk = shrink(w, parameter)
        assert np.all(shrunk >= 0)
        assert np.all(shrunk <= w)


def test_constant_reward() -> None:
    x = some_log()
    constant = np.full_like(x.reward, 0.7)
    right = {"q_logged": constant, "q_policy": constant}
    weights = x.rows[1:]
    for found in (
        snips(constant, *weights),
        dr(constant, *weights, **right),
        sndr(constant, *weights, **right),
        dros(constant, *weights, **right, parameter=5.0),
        bips(constant, x.evaluation / x.logging),
    ):
        exact(found.value, 0.7)
        assert found.standard_error < 1e-12


def test_a_shift_of_reward_and_model_shifts_the_value() -> None:
    x = some_log()
    up = dataclasses.replace(x, reward=x.reward + 3, q_logged=x.q_logged + 3, q_policy=x.q_policy + 3)
    for estimator in (dr, sndr):
        exact(estimator(*up.rows, **up.model).value, estimator(*x.rows, **x.model).value + 3)


def test_rows_shuffled() -> None:
    x = some_log()
    order = np.random.default_rng(0).permutation(x.reward.size)
    y = Log(*(getattr(x, field.name)[order] for field in dataclasses.fields(x)))
    for estimator in (dr, sndr):
        one, two = estimator(*x.rows, **x.model), estimator(*y.rows, **y.model)
        exact(two.value, one.value)
        assert two.standard_error == pytest.approx(one.standard_error, rel=1e-12)
        assert two.terms == pytest.approx(one.terms[order], rel=1e-10)


class Enumerated:
    """Every (context, item, click) of a tiny problem, once for each of its chances: no sampling noise is left."""

    def __init__(self, seed: int = 5) -> None:
        rng = np.random.default_rng(seed)
        n_contexts, n_items = 3, 4
        # Integer counts over a common denominator, so that rows can stand for exact proportions.
        counts = rng.integers(1, 5, (n_contexts, n_items))
        counts[:, 0] += 12 - counts.sum(axis=1) + 8
        self.logging = counts / counts.sum(axis=1, keepdims=True)  # (X, A), each row of 20ths
        raw = rng.uniform(0.0, 1.0, (n_contexts, n_items))
        self.evaluation = raw / raw.sum(axis=1, keepdims=True)
        clicks = rng.integers(1, 10, (n_contexts, n_items))  # of 10
        self.q = clicks / 10
        rows = [
            (x, a, r)
            for x in range(n_contexts)
            for a in range(n_items)
            for r, times in ((1.0, clicks[x, a]), (0.0, 10 - clicks[x, a]))
            for _ in range(int(counts[x, a]) * int(times))
        ]
        context, item, reward = zip(*rows, strict=True)
        self.context, self.item = np.array(context), np.array(item)
        self.reward = np.array(reward, np.float64)
        self.truth = float((self.evaluation * self.q).sum() / n_contexts)

    @property
    def rows(self) -> tuple[Array, Array, Array]:
        return (
            self.reward,
            self.logging[self.context, self.item],
            self.evaluation[self.context, self.item],
        )

    def model(self, q: Array) -> dict[str, Array]:
        logged, policy = model_values(
            q[self.context], action=self.item, distribution=self.evaluation[self.context]
        )
        return {"q_logged": logged, "q_policy": policy}


@pytest.mark.parametrize("seed", range(4))
def test_unbiased_for_any_model(seed: int) -> None:
    problem = Enumerated()
    assert problem.reward.size == 600
    exact(ips(*problem.rows).value, problem.truth)
    exact(snips(*problem.rows).value, problem.truth)  # the weights' mean is exactly 1 here
    q = np.random.default_rng(seed).normal(size=problem.q.shape)
    exact(dr(*problem.rows, **problem.model(q)).value, problem.truth)
    exact(sndr(*problem.rows, **problem.model(q)).value, problem.truth)
    assert abs(dm(problem.model(q)["q_policy"]).value - problem.truth) > 0.05  # only the model speaks there


def test_a_right_model_needs_no_right_weights() -> None:
    problem = Enumerated()
    reward, logging, evaluation = problem.rows
    right = problem.model(problem.q)
    exact(dm(right["q_policy"]).value, problem.truth)
    wrong = np.clip(logging * 0.7 + 0.1, 0, 1)
    exact(dr(reward, wrong, evaluation, **right).value, problem.truth)
    for estimator, parameter in ((switch_dr, 1.2), (dros, 0.5), (sgdr, 0.6), (clipped_dr, 0.8)):
        exact(estimator(*problem.rows, **right, parameter=parameter).value, problem.truth)
    assert abs(ips(reward, wrong, evaluation).value - problem.truth) > 0.01


def test_shrinkage_has_the_bias_that_is_stated() -> None:
    problem = Enumerated()
    q = np.full_like(problem.q, 0.3)
    w = problem.evaluation / problem.logging  # (X, A)
    for estimator, shrink, parameter in (
        (switch_dr, switch, 1.2),
        (dros, optimistic, 2.0),
        (sgdr, subgaussian, 0.3),
        (clipped_dr, clip, 1.1),
    ):
        bias = (problem.logging * (shrink(w, parameter) - w) * (problem.q - q)).sum() / 3
        assert abs(bias) > 1e-3
        found = estimator(*problem.rows, **problem.model(q), parameter=parameter)
        exact(found.value, problem.truth + bias)


def test_many_logs() -> None:
    """On average the truth, and Student's 95 % intervals that hold it: four standard errors of 400 logs allowed."""
    problem = Enumerated()
    q = np.clip(problem.q + np.array([0.2, -0.1, 0.1, -0.2]), 0, 1)  # a middling model
    logs, n = 400, 400
    estimators: dict[str, Callable[[Array, Array, Array, dict[str, Array]], Estimate]] = {
        "ips": lambda r, b, e, model: ips(r, b, e),
        "snips": lambda r, b, e, model: snips(r, b, e),
        "dr": lambda r, b, e, model: dr(r, b, e, **model),
        "sndr": lambda r, b, e, model: sndr(r, b, e, **model),
        "sgdr": lambda r, b, e, model: sgdr(r, b, e, **model, parameter=1e-3),
    }
    error, error_of_error, covered = (np.zeros((logs, len(estimators))) for _ in range(3))
    for log in range(logs):
        rows = np.random.default_rng(log).integers(0, problem.reward.size, n)  # every row is equally likely
        x = problem.model(q)
        model = {name: values[rows] for name, values in x.items()}
        r, b, e = (values[rows] for values in problem.rows)
        for j, estimator in enumerate(estimators.values()):
            found = estimator(r, b, e, model)
            interval = estimate_interval(found)
            error[log, j], error_of_error[log, j] = found.value - problem.truth, found.standard_error
            covered[log, j] = interval.low <= problem.truth <= interval.high
    spread = error.std(axis=0)
    assert np.all(np.abs(error.mean(axis=0)) < 4 * spread / np.sqrt(logs))
    assert error_of_error.mean(axis=0) == pytest.approx(spread, rel=0.15)
    assert np.all(np.abs(covered.mean(axis=0) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / logs))


def test_a_good_model_takes_variance_away() -> None:
    problem = Enumerated()
    assert (
        dr(*problem.rows, **problem.model(problem.q)).standard_error
        < 0.95 * ips(*problem.rows).standard_error
    )


def test_model_values_of_one_distribution_for_all_pages() -> None:
    rng = np.random.default_rng(2)
    q, share = rng.random((50, 5)), rng.dirichlet(np.ones(5))
    action = rng.integers(0, 5, 50)
    one = model_values(q, action=action, distribution=share)
    two = model_values(q, action=action, distribution=np.tile(share, (50, 1)))
    assert np.array_equal(one[0], q[np.arange(50), action])
    assert one[1] == pytest.approx(q @ share, rel=1e-14)
    assert two[1] == pytest.approx(one[1], rel=1e-14)


def test_bad_model_values() -> None:
    x = some_log(20)
    for spoil, what in (
        (lambda q: np.where(np.arange(20) == 7, np.nan, q), "row 7"),
        (lambda q: np.where(np.arange(20) == 4, np.inf, q), "row 4"),
        (lambda q: q[:-1], "different shapes"),
        (lambda q: q[:, None], "shape"),
        (lambda q: np.array(["a"] * 20), "not an array of numbers"),
    ):
        for which in ("q_logged", "q_policy"):
            model = {**x.model, which: spoil(x.model[which])}
            for estimator in (dr, sndr):
                with pytest.raises(InputError, match=what):
                    estimator(*x.rows, **model)
            with pytest.raises(InputError, match=what):
                switch_dr(*x.rows, **model, parameter=2.0)
    with pytest.raises(InputError, match="at least 2"):
        dm([0.5])
    with pytest.raises(InputError, match="row 1"):
        dm([0.5, np.nan])


def test_bad_tables_of_a_model() -> None:
    rng = np.random.default_rng(2)
    q, share, action = rng.random((6, 4)), np.full(4, 0.25), np.array([0, 1, 2, 3, 0, 1])
    good = {"action": action, "distribution": share}
    model_values(q, **good)
    for bad, what in (
        ({"action": action[:-1]}, "shape"),
        ({"action": action.astype(float)}, "whole numbers"),
        ({"action": action + 1}, "row 3"),
        ({"action": action - 1}, "row 0"),
        ({"action": np.full(6, 2)}, "every row shows item 2"),
        ({"distribution": share[:-1]}, "expected"),
        ({"distribution": np.full(4, 0.2)}, "sums to 0.8"),
        ({"distribution": np.tile(share, (5, 1))}, "expected"),
        ({"distribution": np.array([0.5, 0.7, -0.2, 0.0])}, "probability"),
    ):
        with pytest.raises(InputError, match=what):
            model_values(q, **{**good, **bad})
    with pytest.raises(InputError, match="shape"):
        model_values(q[0], **good)


@pytest.mark.parametrize("bad", [-0.1, math.nan])
def test_bad_parameters(bad: float) -> None:
    x = some_log(20)
    with pytest.raises(InputError, match="parameter"):
        clipped_ips(*x.rows, parameter=bad)
    for estimator in (switch_dr, dros, sgdr, clipped_dr):
        with pytest.raises(InputError, match="parameter"):
            estimator(*x.rows, **x.model, parameter=bad)
    with pytest.raises(InputError, match="expected 0 to 1"):
        sgips(*x.rows, parameter=1.5)


def test_bad_weights() -> None:
    for weights, what in (([1.0, -1.0, 2.0], "row 1"), ([1.0, 2.0], "shapes"), ([1.0, np.nan, 0.0], "row 1")):
        with pytest.raises(InputError, match=what):
            bips([1.0, 0.0, 1.0], weights)
    with pytest.raises(InputError, match="infinite weight"):
        ips([1.0, 0.0], [1e-310, 0.5], [1.0, 0.5])
