"""Slate estimators against reference numbers, and against exact designs whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.estimators import Estimate
from evaluation.estimators.cascade_dr import cascade_dr, cascade_dr_from_values
from evaluation.estimators.pseudo_inverse import (
    pseudo_inverse,
    pseudo_inverse_support,
    pseudo_inverse_uniform,
)
from evaluation.estimators.slate import iips, rips, sips, sniips, snrips, snsips

FIXTURES = Path(__file__).resolve().parents[2].parent / "shared" / "fixtures" / "ope"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason="optional reference numbers are not there")

STRUCTURES = ("independent", "cascade_additive", "standard_additive")
POLICIES = ("optimal", "anti-optimal", "softmax5")


@pytest.fixture(scope="module")
def policies() -> dict[str, Any]:
    return dict(np.load(FIXTURES / "slate_uniform_policies.npz"))


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return dict(json.loads((FIXTURES / "slate_expected.json").read_text()))


def _marginals(policies: dict[str, Any], policy: str) -> Any:
    """(n, 3, 10) chance of each item at each position."""
    if policy == "softmax5":
        return np.load(FIXTURES / "slate_common.npz")["eval_marginals_softmax5"]
    phi = np.full((10_000, 3, 10), 0.3 / 10)
    top = policies[f"{policy}__top_slate"]
    phi[np.arange(10_000)[:, None], np.arange(3), top] += 0.7
    return phi


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("policy", POLICIES)
def test_every_listed_slate_estimate(
    structure: str, policy: str, policies: dict[str, Any], expected: dict[str, Any]
) -> None:
    data = np.load(FIXTURES / f"slate_uniform_{structure}.npz")
    want, r = expected[f"uniform/{structure}"][policy], data["reward"]
    names = {"slate": "pscore", "item": "pscore_item_position", "cascade": "pscore_cascade"}
    b = {form: policies[name] for form, name in names.items()}
    e = {form: policies[f"{policy}__{name}"] for form, name in names.items()}
    phi = _marginals(policies, policy)
    found: dict[str, Estimate] = {
        "sips": sips(r, b["slate"], e["slate"]),
        "iips": iips(r, b["item"], e["item"]),
        "rips": rips(r, b["cascade"], e["cascade"]),
        "snsips": snsips(r, b["slate"], e["slate"]),
        "sniips": sniips(r, b["item"], e["item"]),
        "snrips": snrips(r, b["cascade"], e["cascade"]),
        "cascade_dr": cascade_dr(
            r,
            b["cascade"],
            e["cascade"],
            action=policies["action"],
            evaluation_dist=policies[f"{policy}__action_dist"],
            q_hat=data[f"{policy}__q_hat"],
        ),
        "pi": pseudo_inverse(r, policies["action"], phi, gamma=policies["gamma"]),
    }
    assert set(found) == {
        name for name, value in want.items() if isinstance(value, dict) and "estimate" in value
    }
    for name, estimate in found.items():
        tolerance = 1e-8 if name == "pi" else 1e-9
        assert estimate.value == pytest.approx(want[name]["estimate"], abs=tolerance), name
        if "std_error" in want[name]:
            assert estimate.standard_error == pytest.approx(want[name]["std_error"], abs=tolerance), name
    weights = {"slate": "sips", "item_position": "iips", "cascade": "rips"}
    for form, name in weights.items():
        assert found[name].ess == pytest.approx(np.min(want["ess"][form]), rel=1e-9)
        each = np.square(found[name].weights.sum(0)) / np.square(found[name].weights).sum(0)
        np.testing.assert_allclose(each, np.atleast_1d(want["ess"][form]), rtol=1e-9)
    chosen = np.take_along_axis(phi, policies["action"][:, :, None].astype(np.int64), axis=2)[:, :, 0]
    anywhere = np.take_along_axis(phi.sum(axis=1), policies["action"].astype(np.int64), axis=1)
    closed = pseudo_inverse_uniform(r, chosen, anywhere, n_items=10)
    assert closed.value == pytest.approx(found["pi"].value, abs=1e-8)
    assert closed.standard_error == pytest.approx(found["pi"].standard_error, abs=1e-8)


def _exact(structure: str) -> tuple[dict[str, Any], dict[str, Any]]:
    listed = json.loads((FIXTURES / "exact_expected.json").read_text())[structure]
    return dict(np.load(FIXTURES / f"exact_{structure}.npz")), listed


def _second_moments(x: dict[str, Any]) -> Any:
    """(3, 8, 8) of each context, by its definition."""
    table = np.zeros((12, 2, 4))
    table[np.arange(12)[:, None], np.arange(2), x["slates"]] = 1.0
    hot = table.reshape(12, 8)
    return np.einsum("cs,si,sj->cij", x["behaviour_joint"], hot, hot)


def _context_marginals(x: dict[str, Any]) -> Any:
    phi = np.zeros((3, 2, 4))
    for s, slate in enumerate(x["slates"]):
        for k, item in enumerate(slate):
            phi[:, k, item] += x["evaluation_joint"][:, s]
    return phi


@pytest.mark.parametrize("structure", ["independent", "cascade", "standard"])
def test_exact_designs(structure: str) -> None:
    x, listed = _exact(structure)
    r, want = x["reward"], listed["estimates"]
    at = x["context_id"], x["slate_index"]
    phi = _context_marginals(x)
    dist, q = x["eval_action_dist_table"][at], x["q_hat_table"][at]
    cascade = x["pscore_cascade"], x["eval_pscore_cascade"]
    found = {
        "sips": sips(r, x["pscore"], x["eval_pscore"]).value,
        "snsips": snsips(r, x["pscore"], x["eval_pscore"]).value,
        "iips": iips(r, x["pscore_item_position"], x["eval_pscore_item_position"]).value,
        "rips": rips(r, *cascade).value,
        "cascade_dr_arbitrary_qhat": cascade_dr(
            r, *cascade, action=x["action"], evaluation_dist=dist, q_hat=q
        ).value,
        "pi": pseudo_inverse(r, x["action"], phi, gamma=_second_moments(x), context=x["context_id"]).value,
        "mean_iw_slate": sips(r, x["pscore"], x["eval_pscore"]).mean_weight,
        "on_policy": sips(r, x["pscore"], x["pscore"]).value,
    }
    assert set(found) == set(want)
    for name, value in found.items():
        assert value == pytest.approx(want[name], abs=1e-12), name
        if name in listed["must_equal_truth"]:
            assert value == pytest.approx(listed["truth"], abs=1e-12), name
        elif name not in ("mean_iw_slate", "on_policy"):  # bias appears where the assumption is broken
            assert abs(value - listed["truth"]) > 1e-3, name
    predicted = np.take_along_axis(q, x["action"][:, :, None].astype(np.int64), axis=2)[:, :, 0]
    by_values = cascade_dr_from_values(r, *cascade, predicted=predicted, expected=(dist * q).sum(axis=2))
    assert by_values.value == pytest.approx(want["cascade_dr_arbitrary_qhat"], abs=1e-12)


def test_factored_second_moment_is_the_dense_one() -> None:
    x, listed = _exact("independent")
    phi = _context_marginals(x)
    chance = phi[:, np.arange(2), x["slates"]]  # (3, 12, 2)
    factored = pseudo_inverse_support(
        x["reward"],
        x["slate_index"],
        x["slates"],
        x["behaviour_joint"],
        chance,
        context=x["context_id"],
    )
    dense = pseudo_inverse(x["reward"], x["action"], phi, gamma=_second_moments(x), context=x["context_id"])
    np.testing.assert_allclose(factored.weights, dense.weights, atol=1e-9)
    assert factored.value == pytest.approx(listed["truth"], abs=1e-12)


@pytest.mark.parametrize("control", ["mean", "single", "slots"])
def test_control_variates_take_variance_away(control: Any, policies: dict[str, Any]) -> None:
    r = np.load(FIXTURES / "slate_uniform_independent.npz")["reward"]
    phi = _marginals(policies, "optimal")
    plain = pseudo_inverse(r, policies["action"], phi, gamma=policies["gamma"])
    steadier = pseudo_inverse(r, policies["action"], phi, gamma=policies["gamma"], control=control)
    assert steadier.standard_error < 0.8 * plain.standard_error
    assert abs(steadier.value - plain.value) < 4 * plain.standard_error
