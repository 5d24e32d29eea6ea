"""Estimators: hand-worked values, exhaustive enumeration, reference numbers."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from behavior.errors import InputError
from evaluation.contract import CASES, EstimatorCase, check_estimator
from evaluation.estimators import (
    Estimate,
    iips,
    ips,
    pbm_ips,
    ratio_estimate,
    rips,
    sips,
    sniips,
    snips,
    snrips,
    snsips,
)

FIXTURES = Path(__file__).resolve().parents[2].parent / "shared" / "fixtures" / "ope"
needs_fixtures = pytest.mark.skipif(not FIXTURES.is_dir(), reason="optional reference numbers are not there")


@pytest.mark.parametrize("name", CASES)
def test_contract(name: str) -> None:
    check_estimator(CASES[name])


def test_contract_catches_a_biased_estimator() -> None:
    def clipped(r: Any, b: Any, e: Any) -> Estimate:
        w = np.minimum(e / b, 0.5)[:, None]
        return ratio_estimate("clipped", weights=w, numerator=w * r[:, None], denominator=np.ones_like(w))

    with pytest.raises(AssertionError, match="worth the log's mean"):
        check_estimator(EstimatorCase(clipped, "impression", False))


def test_contract_catches_an_estimator_that_takes_anything() -> None:
    def trusting(r: Any, b: Any, e: Any) -> Estimate:
        with np.errstate(all="ignore"):
            w = (e / b if e.shape == b.shape else e)[:, None]
            numerator = w * r[: w.shape[0], None]
            return ratio_estimate("trusting", weights=w, numerator=numerator, denominator=np.ones_like(w))

    with pytest.raises((AssertionError, ValueError)):
        check_estimator(EstimatorCase(trusting, "impression", False))


def test_single_impression_by_hand() -> None:
    # weights 2, 0.5, 1, 0; rewards 1, 1, 0, 1
    args = [1, 1, 0, 1], [0.25, 0.5, 0.5, 0.5], [0.5, 0.25, 0.5, 0.0]
    one, two = ips(*args), snips(*args)
    assert one.value == pytest.approx(2.5 / 4, abs=1e-15)
    assert two.value == pytest.approx(2.5 / 3.5, abs=1e-15)
    assert one.ess == pytest.approx(3.5**2 / (4 + 0.25 + 1), abs=1e-12)
    assert one.max_weight == 2.0
    assert one.mean_weight == pytest.approx(0.875)
    np.testing.assert_allclose(one.terms, [2, 0.5, 0, 0])
    # delta method: v + w (r - v) / mean(w)
    v = 2.5 / 3.5
    np.testing.assert_allclose(
        two.terms, [v + 2 * (1 - v) / 0.875, v + 0.5 * (1 - v) / 0.875, v - v / 0.875, v]
    )


def test_slates_by_hand() -> None:
    reward = np.array([[1.0, 0.0], [0.0, 2.0]])
    b, e = np.array([[0.5, 0.25], [0.5, 0.5]]), np.array([[1.0, 0.5], [0.25, 0.5]])  # w = [[2, 2], [.5, 1]]
    assert iips(reward, b, e).value == pytest.approx((2 + 2) / 2)
    assert sniips(reward, b, e).value == pytest.approx(2 / 2.5 + 2 / 3)
    assert rips(reward, b, e).value == pytest.approx(2.0)
    assert snrips(reward, b, e).value == pytest.approx(2 / 2.5 + 2 / 3)
    assert sips(reward, [0.5, 0.5], [0.25, 1.0]).value == pytest.approx((0.5 * 1 + 2 * 2) / 2)
    assert snsips(reward, [0.5, 0.5], [0.25, 1.0]).value == pytest.approx((0.5 * 1 + 2 * 2) / 2.5)
    assert iips(reward, b, e).ess == pytest.approx(min(2.5**2 / 4.25, 9 / 5))


def test_impressions_in_a_slate_estimator_are_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        sips(np.ones(5), np.full(5, 0.5), np.full(5, 0.5))
    with pytest.raises(InputError, match="not an array of numbers"):
        ips(["a", "b"], [0.5, 0.5], [0.5, 0.5])


def test_error_names_the_row() -> None:
    b = np.full((4, 2), 0.5)
    b[2, 1] = 0
    with pytest.raises(InputError) as caught:
        iips(np.ones((4, 2)), b, np.full((4, 2), 0.5))
    assert "row 2, position 1" in str(caught.value)
    assert "logging" in str(caught.value)


def _all_slates(n_items: int, k: int) -> list[tuple[int, ...]]:
    return list(itertools.permutations(range(n_items), k))


def _log_in_exact_proportion(seed: int) -> dict[str, Any]:
    """Every slate of 2 out of 4 items as a row, repeated in proportion to an integer logging distribution."""
    rng = np.random.default_rng(seed)
    slates = _all_slates(4, 2)
    counts = rng.integers(1, 6, len(slates))
    logging, evaluation = counts / counts.sum(), rng.dirichlet(np.ones(len(slates)))
    return {
        "slates": np.repeat(np.array(slates), counts, axis=0),
        "index": np.repeat(np.arange(len(slates)), counts),
        "logging": logging,
        "evaluation": evaluation,
        "all": np.array(slates),
    }


def _prefix(log: dict[str, Any], which: str, depth: int) -> Any:
    """Probability that the first `depth` items are those of each logged row."""
    same = (log["all"][None, :, :depth] == log["slates"][:, None, :depth]).all(axis=2)
    return same @ log[which]


def _marginal(log: dict[str, Any], which: str, item_at: int, position: int) -> Any:
    """Probability that the item logged at `item_at` stands at `position`."""
    return (log["all"][None, :, position] == log["slates"][:, item_at, None]) @ log[which]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_unbiased_where_the_assumption_holds_by_enumeration(seed: int) -> None:
    log, rng = _log_in_exact_proportion(seed), np.random.default_rng(seed + 10)
    slates = log["slates"]
    b_slate, e_slate = log["logging"][log["index"]], log["evaluation"][log["index"]]

    any_reward = rng.random((len(log["all"]), 2))
    truth = float(log["evaluation"] @ any_reward.sum(axis=1))
    assert sips(any_reward[log["index"]], b_slate, e_slate).value == pytest.approx(truth, abs=1e-12)

    by_item = rng.random((2, 4))  # reward of item i at position k
    r = np.stack([by_item[k, slates[:, k]] for k in range(2)], axis=1)
    truth = float(log["evaluation"] @ np.stack([by_item[k, log["all"][:, k]] for k in range(2)], 1).sum(1))
    b = np.stack([_marginal(log, "logging", k, k) for k in range(2)], axis=1)
    e = np.stack([_marginal(log, "evaluation", k, k) for k in range(2)], axis=1)
    assert iips(r, b, e).value == pytest.approx(truth, abs=1e-12)
    assert sniips(r, b, e).value == pytest.approx(truth, abs=1e-12)

    cascade = [rng.random(4), rng.random((4, 4))]  # the second reward depends on the first item too

    def reward(s: Any) -> Any:
        return np.stack([cascade[0][s[:, 0]], cascade[1][s[:, 0], s[:, 1]]], axis=1)

    truth = float(log["evaluation"] @ reward(log["all"]).sum(axis=1))
    b = np.stack([_prefix(log, "logging", k + 1) for k in range(2)], axis=1)
    e = np.stack([_prefix(log, "evaluation", k + 1) for k in range(2)], axis=1)
    assert rips(reward(slates), b, e).value == pytest.approx(truth, abs=1e-12)
    assert snrips(reward(slates), b, e).value == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_click_model_ips_is_exact_for_position_based_users(seed: int) -> None:
    log, rng = _log_in_exact_proportion(seed), np.random.default_rng(seed + 20)
    theta, appeal = np.array([0.9, 0.4]), rng.random(4)
    r = theta * appeal[log["slates"]]
    truth = float(log["evaluation"] @ (theta * appeal[log["all"]]).sum(axis=1))
    b, e = (
        np.stack(
            [np.stack([_marginal(log, which, i, j) for j in range(2)], axis=1) for i in range(2)], axis=1
        )
        for which in ("logging", "evaluation")
    )
    assert pbm_ips(r, b, e, examination=theta).value == pytest.approx(truth, abs=1e-12)
    assert pbm_ips(r, b, b, examination=theta).value == pytest.approx(float(r.sum(axis=1).mean()), abs=1e-12)
    with pytest.raises(InputError, match="do not go together"):
        pbm_ips(r, b, e, examination=[0.5])
    with pytest.raises(InputError, match="no chance"):
        pbm_ips(r, b, e, examination=[0.0, 0.0])


@needs_fixtures
@pytest.mark.parametrize("design", ["independent", "cascade", "standard"])
def test_exact_designs(design: str) -> None:
    z = np.load(FIXTURES / f"exact_{design}.npz")
    expected = json.loads((FIXTURES / "exact_expected.json").read_text())[design]
    r = z["reward"]
    found = {
        "sips": sips(r, z["pscore"], z["eval_pscore"]),
        "snsips": snsips(r, z["pscore"], z["eval_pscore"]),
        "iips": iips(r, z["pscore_item_position"], z["eval_pscore_item_position"]),
        "rips": rips(r, z["pscore_cascade"], z["eval_pscore_cascade"]),
    }
    for name, estimate in found.items():
        assert estimate.value == pytest.approx(expected["estimates"][name], abs=1e-12), name
        if name in expected["must_equal_truth"]:
            assert estimate.value == pytest.approx(expected["truth"], abs=1e-12), name
        else:
            assert abs(estimate.value - expected["truth"]) > 1e-3, f"{name} is biased here, and must be"


@needs_fixtures
@pytest.mark.parametrize("structure", ["independent", "cascade_additive", "standard_additive"])
@pytest.mark.parametrize("policy", ["optimal", "anti-optimal", "softmax5"])
def test_synthetic_slates(structure: str, policy: str) -> None:
    p = np.load(FIXTURES / "slate_uniform_policies.npz")
    r = np.load(FIXTURES / f"slate_uniform_{structure}.npz")["reward"]
    expected = json.loads((FIXTURES / "slate_expected.json").read_text())[f"uniform/{structure}"][policy]
    slate = p["pscore"], p[f"{policy}__pscore"]
    item = p["pscore_item_position"], p[f"{policy}__pscore_item_position"]
    cascade = p["pscore_cascade"], p[f"{policy}__pscore_cascade"]
    found = {
        "sips": sips(r, *slate),
        "snsips": snsips(r, *slate),
        "iips": iips(r, *item),
        "sniips": sniips(r, *item),
        "rips": rips(r, *cascade),
        "snrips": snrips(r, *cascade),
    }
    for name, estimate in found.items():
        assert estimate.value == pytest.approx(expected[name]["estimate"], rel=1e-9), name
        if "std_error" in expected[name]:
            assert estimate.standard_error == pytest.approx(expected[name]["std_error"], rel=1e-9), name
    assert found["sips"].ess == pytest.approx(expected["ess"]["slate"], rel=1e-9)
    assert found["iips"].ess == pytest.approx(min(expected["ess"]["item_position"]), rel=1e-9)
    assert found["rips"].ess == pytest.approx(min(expected["ess"]["cascade"]), rel=1e-9)


@needs_fixtures
@pytest.mark.parametrize(
    "log", [f"{who}_{how}" for who in ("all", "men", "women") for how in ("random", "bts")]
)
def test_open_bandit_impressions(log: str) -> None:
    z = np.load(FIXTURES / f"obd_{log}.npz")
    expected = json.loads((FIXTURES / "obd_expected.json").read_text())[log]["evaluation_policies"]
    for policy, numbers in expected.items():
        evaluation = z[f"action_dist_{policy}"][z["action"], z["position"]]
        one, two = ips(z["reward"], z["pscore"], evaluation), snips(z["reward"], z["pscore"], evaluation)
        assert one.value == pytest.approx(numbers["fold1"]["ipw"]["estimate"], rel=1e-9), policy
        assert two.value == pytest.approx(numbers["fold1"]["snipw"]["estimate"], rel=1e-9), policy
        assert one.ess == pytest.approx(numbers["iw"]["ess"], rel=1e-9)
        assert one.max_weight == pytest.approx(numbers["iw"]["max"], rel=1e-9)
        assert one.terms.std() == pytest.approx(
            numbers["fold1"]["ipw"]["round_rewards"]["std_ddof0"], rel=1e-9
        )
