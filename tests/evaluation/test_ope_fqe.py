"""Fitted Q evaluation: exact dynamic programming, endings kept apart, convergence told, intervals that cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from behavior.errors import InputError
from evaluation.estimators import pdis, session_dr, session_wdr
from evaluation.fqe import FqeConfig, FqeData, FqeNotConverged, fitted_q
from evaluation.fqe.folds import session_folds

N_STATES, N_PAGES = 3, 2


class _Shop:
    """Three states, two pages; what a page pays and where it leads are random. State `N_STATES` is having left."""

    def __init__(self, seed: int, *, leave: float = 0.2) -> None:
        rng = np.random.default_rng(seed)
        self.pay = rng.normal(size=(N_STATES, N_PAGES))
        going_on = rng.dirichlet(np.ones(N_STATES), (N_STATES, N_PAGES)) * (1 - leave)
        self.move = np.concatenate([going_on, np.full((N_STATES, N_PAGES, 1), leave)], axis=2)
        self.judged = rng.dirichlet(np.full(N_PAGES, 2.0), N_STATES)
        self.logged = rng.dirichlet(np.full(N_PAGES, 5.0), N_STATES)

    def values(self, gamma: float) -> Any:
        """Exact (Z, A) and (Z,): the linear equations of Bellman, solved."""
        move = self.move[:, :, :N_STATES]
        through = np.einsum("za,zan->zn", self.judged, move)
        v = np.linalg.solve(np.eye(N_STATES) - gamma * through, (self.judged * self.pay).sum(axis=1))
        return self.pay + gamma * move @ v, v

    def log(self, rng: np.random.Generator, n: int, *, limit: int = 50) -> dict[str, Any]:
        """`n` sessions from uniform states, cut off after `limit` pages."""
        rows: list[tuple[Any, ...]] = []
        for s in range(n):
            z = int(rng.integers(N_STATES))
            for t in range(limit):
                a = int(rng.random() > self.logged[z, 0])
                after = int((rng.random() > np.cumsum(self.move[z, a])).sum())
                rows.append((s, t, z, a, self.pay[z, a] + 0.1 * rng.normal(), min(after, N_STATES)))
                z = after
                if z >= N_STATES:
                    break
        s, t, z, a, r, after = (np.array(column) for column in zip(*rows, strict=True))
        return {"session": s, "step": t, "z": z, "a": a, "r": r, "after": after}

    def data(self, log: dict[str, Any], *, merged: bool = False) -> FqeData:
        """One observation a state; `merged` takes a cut for an end."""
        then = np.where(log["after"] < N_STATES, log["after"], -1)
        if merged:
            last = np.append(log["session"][1:] != log["session"][:-1], True)
            then = np.where(last, -1, then)
        return FqeData(
            features=_one_hot(log["z"], log["a"]),
            reward=log["r"],
            at=log["z"],
            then=then,
            policy_features=np.stack(
                [[_one_hot(np.array([z]), np.array([a]))[0] for a in range(N_PAGES)] for z in range(N_STATES)]
            ),
            policy_weights=self.judged,
            session=log["session"],
            step=log["step"],
        )


def _one_hot(z: Any, a: Any) -> Any:
    return np.eye(N_STATES * N_PAGES)[z * N_PAGES + a]


class _Table:
    """The weighted mean of the target for each one-hot row: a regressor of one's own."""

    def fit(self, features: Any, target: Any, sample_weight: Any = None) -> None:
        w = np.ones(len(target)) if sample_weight is None else sample_weight
        self.mean = (features.T @ (w * target)) / np.maximum(features.T @ w, 1e-12)

    def predict(self, features: Any) -> Any:
        return features @ self.mean


EXACT: list[Any] = ["linear", _Table]


def _every_step(shop: _Shop) -> dict[str, Any]:
    """Every state, page and next state in proportion to round chances, each row a session that was cut off or left."""
    counts = np.array([3, 2, 1, 2])  # next states 0, 1, 2, and leaving
    shop.move = np.broadcast_to(counts / 8, shop.move.shape).copy()
    shop.move[:, 1] = counts[[2, 0, 1, 3]] / 8
    rows = [
        (z, a, after)
        for z in range(N_STATES)
        for a in range(N_PAGES)
        for after in range(N_STATES + 1)
        for _ in range(round(shop.move[z, a, after] * 8))
    ]
    z, a, after = (np.array(column) for column in zip(*rows, strict=True))
    M = z.size
    return {
        "session": np.arange(M),
        "step": np.zeros(M, np.int64),
        "z": z,
        "a": a,
        "after": after,
        "r": shop.pay[z, a],
    }


@pytest.mark.parametrize("gamma", [1.0, 0.8])
@pytest.mark.parametrize("regressor", EXACT)
def test_is_exact_dynamic_programming_in_exact_proportion(regressor: Any, gamma: float) -> None:
    shop = _Shop(1)
    log = _every_step(shop)
    config = FqeConfig(
        gamma=gamma, regressor=regressor, ridge=0.0, n_folds=1, iterations=500, tolerance=1e-12
    )
    found = fitted_q(shop.data(log), config)
    left_out = any("leaves out the error of the fit" in note for note in found.warnings)
    assert left_out == (regressor != "linear")
    q, v = shop.values(gamma)
    np.testing.assert_allclose(found.q, q[log["z"], log["a"]], atol=1e-9)
    np.testing.assert_allclose(found.v, v[log["z"]], atol=1e-9)
    assert found.value == pytest.approx(float(v.mean()), abs=1e-9)
    assert found.converged
    assert found.changes[-1] < 1e-12
    assert found.terms.mean() == pytest.approx(found.value, abs=1e-12)


@pytest.mark.parametrize("regressor", EXACT)
def test_a_cut_is_no_end(regressor: Any) -> None:
    shop = _Shop(2)
    log = _every_step(shop)  # sessions of one page, most of them cut off there
    _, v = shop.values(1.0)
    config = FqeConfig(regressor=regressor, n_folds=1, ridge=0.0, tolerance=1e-12, iterations=500)
    right, merged = fitted_q(shop.data(log), config), fitted_q(shop.data(log, merged=True), config)
    one_page = float((shop.judged * shop.pay).sum(axis=1).mean())
    assert right.value == pytest.approx(float(v.mean()), abs=1e-9)
    assert merged.value == pytest.approx(one_page, abs=1e-9)
    assert abs(one_page - v.mean()) > 0.5


@pytest.mark.parametrize("regressor", EXACT)
def test_says_loudly_that_it_has_not_converged(regressor: Any) -> None:
    shop = _Shop(3, leave=0.0)  # nobody ever leaves, nothing is discounted
    shop.pay += 2.0
    data = shop.data(shop.log(np.random.default_rng(1), 30, limit=10))
    with pytest.warns(FqeNotConverged, match="has not converged"):
        found = fitted_q(data, FqeConfig(regressor=regressor, iterations=50))
    assert not found.converged
    assert found.rounds == 50
    assert "has not converged" in found.warnings[0]
    fine = fitted_q(data, FqeConfig(regressor=regressor, gamma=0.9, iterations=500, tolerance=1e-6))
    assert fine.converged
    assert not any("converged" in note for note in fine.warnings)


@pytest.mark.parametrize("n_folds", [1, 2])
def test_the_interval_covers(n_folds: int) -> None:
    shop = _Shop(4)
    truth, rng = float(shop.values(0.9)[1].mean()), np.random.default_rng(7)
    inside, values, errors = 0, [], []
    rounds = 100
    for _ in range(rounds):
        found = fitted_q(shop.data(shop.log(rng, 60)), FqeConfig(gamma=0.9, n_folds=n_folds, ridge=1e-6))
        inside += found.interval.low <= truth <= found.interval.high
        values.append(found.value)
        errors.append(found.interval.standard_error)
    assert 0.88 <= inside / rounds <= 1.0
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.25)


def test_refits_state_the_same_error_as_the_delta_method() -> None:
    shop = _Shop(5)
    data = shop.data(shop.log(np.random.default_rng(2), 150))
    exact = fitted_q(data, FqeConfig(gamma=0.9, n_folds=1, ridge=1e-9))
    refits = FqeConfig(gamma=0.9, n_folds=1, regressor=_Table, n_refits=60, iterations=300, tolerance=1e-6)
    found = fitted_q(data, refits)
    assert found.value == pytest.approx(exact.value, abs=1e-3)
    assert found.interval.standard_error == pytest.approx(exact.interval.standard_error, rel=0.35)
    assert "60 refits" in found.interval.method
    assert found.warnings == ()


def test_its_values_make_doubly_robust_estimates_steadier_than_weights() -> None:
    shop = _Shop(6, leave=0.15)
    truth, rng = float(shop.values(1.0)[1].mean()), np.random.default_rng(3)
    kinds: dict[str, list[float]] = {"dr": [], "wdr": [], "pdis": []}
    for _ in range(40):
        log = shop.log(rng, 80)
        model = fitted_q(shop.data(log), FqeConfig(ridge=1e-6))
        arrays = log["r"], shop.logged[log["z"], log["a"]], shop.judged[log["z"], log["a"]]
        at: dict[str, Any] = {"session": log["session"], "step": log["step"]}
        kinds["dr"].append(session_dr(*arrays, model.q, model.v, **at).value)
        kinds["wdr"].append(session_wdr(*arrays, model.q, model.v, **at).value)
        kinds["pdis"].append(pdis(*arrays, **at).value)
    error = {name: float(np.sqrt(np.mean(np.square(np.array(v) - truth)))) for name, v in kinds.items()}
    assert error["dr"] < 0.7 * error["pdis"]
    assert error["wdr"] < 0.7 * error["pdis"]


def test_rows_in_another_order_and_folds_by_name() -> None:
    shop = _Shop(8)
    log = shop.log(np.random.default_rng(4), 40)
    log["session"] = np.array([f"s{n}" for n in log["session"]])
    order = np.random.default_rng(5).permutation(log["z"].size)
    one = fitted_q(shop.data(log), FqeConfig(gamma=0.9))
    two = fitted_q(shop.data({name: array[order] for name, array in log.items()}), FqeConfig(gamma=0.9))
    assert two.value == pytest.approx(one.value, abs=1e-10)
    assert two.interval.standard_error == pytest.approx(one.interval.standard_error, abs=1e-10)
    np.testing.assert_allclose(two.q, one.q[order], atol=1e-9)
    labels = np.array([f"s{n}" for n in range(1000)])
    folds = session_folds(labels, 4)
    assert (np.bincount(folds, minlength=4) > 200).all()
    np.testing.assert_array_equal(session_folds(labels[::-1], 4), folds[::-1])


@pytest.mark.parametrize("regressor", ["boosted", "network"])
def test_fitted_forms_come_close(regressor: Any) -> None:
    shop = _Shop(9)
    shop.pay += 1.0
    data = shop.data(shop.log(np.random.default_rng(6), 150))
    found = fitted_q(data, FqeConfig(gamma=0.5, regressor=regressor, tolerance=0.05))
    assert found.converged
    assert found.value == pytest.approx(float(shop.values(0.5)[1].mean()), rel=0.1)
    again = fitted_q(data, FqeConfig(gamma=0.5, regressor=regressor, tolerance=0.05))
    assert again.value == found.value


def test_what_is_refused() -> None:
    shop = _Shop(10)
    log = shop.log(np.random.default_rng(8), 10)
    good = shop.data(log)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"reward": good.reward[:-1]}, "`reward` has shape"),
        ({"reward": np.where(np.arange(good.n_rows) == 2, np.nan, good.reward)}, "row 2"),
        ({"then": good.then + 5}, "not there"),
        ({"at": good.at - 1}, "not there"),
        ({"policy_weights": shop.judged * 2}, "do not sum to 1"),
        ({"step": good.step + 1}, "the first step is 1"),
        ({"session": np.zeros(good.n_rows), "step": np.arange(good.n_rows)}, "1 session"),
    ]
    for changed, match in wrong:
        with pytest.raises(InputError, match=match):
            fitted_q(FqeData(**{**good.__dict__, **changed}))
    for settings in (
        {"gamma": 1.1},
        {"regressor": "quadratic"},
        {"n_folds": 0},
        {"n_refits": 1},
        {"level": 0.0},
    ):
        with pytest.raises(InputError):
            FqeConfig(**settings)  # type: ignore[arg-type]
