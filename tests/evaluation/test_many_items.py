"""Weights of groups of items: by hand, by enumeration, and what MIPS and OffCEM become at their ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.contract import EstimatorCase, check_estimator
from evaluation.estimators import Estimate, dr, ips, mips, model_values, offcem
from evaluation.estimators.many_items import category_weights, cluster_weights, posterior_weights

Array = NDArray[np.float64]


def with_ratio(estimator: str, *, self_normalised: bool = False) -> Callable[[Array, Array, Array], Estimate]:
    def call(r: Array, b: Array, e: Array) -> Estimate:
        w = ips(r, b, e).weights[:, 0]  # an embedding of one item each
        if estimator == "mips":
            return mips(r, w, self_normalised=self_normalised)
        return offcem(r, w, q_logged=0 * r, q_policy=0 * r)

    return call


@pytest.mark.parametrize(
    "case",
    [
        EstimatorCase(with_ratio("mips"), "impression", False),
        EstimatorCase(with_ratio("mips", self_normalised=True), "impression", True),
        EstimatorCase(with_ratio("offcem"), "impression", False),
    ],
    ids=["mips", "snmips", "offcem"],
)
def test_contract(case: EstimatorCase) -> None:
    check_estimator(case)


class Shop:
    """Two contexts, six items in three clusters; every (context, item, click) in exact proportion."""

    clusters = np.array([7, 7, 3, 3, 3, 1])

    def __init__(self, *, direct_effect: bool) -> None:
        rng = np.random.default_rng(4)
        self.logging = np.array([[1, 2, 3, 1, 2, 1], [2, 1, 1, 4, 1, 1]]) / 10
        raw = rng.uniform(0, 1, (2, 6)) ** 3
        self.evaluation = raw / raw.sum(axis=1, keepdims=True)
        _, group = np.unique(self.clusters, return_inverse=True)
        by_cluster = np.array([[2, 5, 8], [6, 3, 1]])[:, group]
        effect = np.array([0, 1, 0, 1, 0, 0]) if direct_effect else np.zeros(6, int)
        clicks = by_cluster + effect
        self.q = clicks / 10
        rows = [
            (x, a, r)
            for x in range(2)
            for a in range(6)
            for r, times in ((1.0, clicks[x, a]), (0.0, 10 - clicks[x, a]))
            for _ in range(round(10 * self.logging[x, a]) * int(times))
        ]
        context, item, reward = zip(*rows, strict=True)
        self.context, self.item, self.reward = np.array(context), np.array(item), np.array(reward)
        self.truth = float((self.evaluation * self.q).sum() / 2)

    @property
    def policies(self) -> dict[str, Array]:
        return {"logging": self.logging[self.context], "evaluation": self.evaluation[self.context]}

    def plain(self) -> Estimate:
        rows = (self.context, self.item)
        return ips(self.reward, self.logging[rows], self.evaluation[rows])

    def model(self, q: Array) -> dict[str, Array]:
        logged, policy = model_values(
            q[self.context], action=self.item, distribution=self.evaluation[self.context]
        )
        return {"q_logged": logged, "q_policy": policy}


def test_one_item_a_cluster_is_ips_and_dr() -> None:
    shop = Shop(direct_effect=True)
    w = cluster_weights(shop.item, **shop.policies, clusters=np.arange(6))
    assert w == pytest.approx(shop.plain().weights[:, 0], rel=1e-14)
    assert mips(shop.reward, w).value == pytest.approx(shop.plain().value, rel=1e-14)
    model = shop.model(np.random.default_rng(0).random((2, 6)))
    rows = (shop.context, shop.item)
    wanted = dr(shop.reward, shop.logging[rows], shop.evaluation[rows], **model).value
    assert offcem(shop.reward, w, **model).value == pytest.approx(wanted, rel=1e-14)


def test_mips_without_direct_effect() -> None:
    shop = Shop(direct_effect=False)
    w = cluster_weights(shop.item, **shop.policies, clusters=shop.clusters)
    found = mips(shop.reward, w)
    assert found.value == pytest.approx(shop.truth, rel=1e-13)
    assert found.standard_error < shop.plain().standard_error
    assert mips(shop.reward, w, self_normalised=True).value == pytest.approx(shop.truth, rel=1e-13)


def test_direct_effects_bias_mips_and_not_offcem() -> None:
    shop = Shop(direct_effect=True)
    w = cluster_weights(shop.item, **shop.policies, clusters=shop.clusters)
    # What MIPS finds instead: items of a cluster as often as the log showed them.
    _, group = np.unique(shop.clusters, return_inverse=True)
    same = (group[:, None] == group).astype(float)  # (A, A)
    mixed = shop.logging * (shop.evaluation @ same) / (shop.logging @ same)
    wrong = float((mixed * shop.q).sum() / 2)
    assert abs(wrong - shop.truth) > 0.005
    assert mips(shop.reward, w).value == pytest.approx(wrong, rel=1e-13)
    # A model that is wrong of every cluster, and right of differences within each.
    offset = np.array([[0.3, -0.5, 0.2], [0.9, 0.1, -0.4]])[:, group]
    assert offcem(shop.reward, w, **shop.model(shop.q + offset)).value == pytest.approx(shop.truth, rel=1e-13)


def test_one_cluster_in_all() -> None:
    shop = Shop(direct_effect=True)
    w = cluster_weights(shop.item, **shop.policies, clusters=np.zeros(6))
    assert w == pytest.approx(np.ones(w.size), rel=1e-14)
    assert mips(shop.reward, w).value == pytest.approx(shop.reward.mean(), rel=1e-14)


def test_the_ways_to_the_weights_agree() -> None:
    shop = Shop(direct_effect=False)
    _, group = np.unique(shop.clusters, return_inverse=True)
    wears = np.eye(3)[group]  # (A, Z)
    wanted = cluster_weights(shop.item, **shop.policies, clusters=shop.clusters)
    assert category_weights(group[shop.item], **shop.policies, probability=wears) == pytest.approx(wanted)
    joint = shop.policies["logging"] * (group == group[shop.item][:, None])
    posterior = joint / joint.sum(axis=1, keepdims=True)
    assert posterior_weights(posterior, **shop.policies) == pytest.approx(wanted)
    # Policies that do not look at the page
    b, e = shop.logging[0], shop.evaluation[0]
    tiled = np.tile(b, (shop.item.size, 1))
    for function, what in (
        (cluster_weights, {"clusters": shop.clusters}),
        (category_weights, {"probability": wears}),
    ):
        first = shop.item if function is cluster_weights else group[shop.item]
        one = function(first, logging=b, evaluation=e, **what)
        two = function(first, logging=tiled, evaluation=e, **what)
        assert one == pytest.approx(two, rel=1e-13)


def test_categories_by_chance() -> None:
    """Two items, each of two categories by chance: by hand, and MIPS over all outcomes is the truth."""
    wears = np.array([[0.75, 0.25], [0.5, 0.5]])
    b, e = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    pays = np.array([0.2, 0.6])  # by category alone
    found = category_weights([0, 1], logging=b, evaluation=e, probability=wears)
    assert found == pytest.approx([0.725 / 0.625, 0.275 / 0.375], rel=1e-14)
    truth = float(e @ wears @ pays)
    assert float((b @ wears) @ (found * pays)) == pytest.approx(truth, rel=1e-14)


def test_bad_input() -> None:
    share, item = np.full(3, 1 / 3), np.array([0, 1, 2, 1])
    good = {"logging": share, "evaluation": share, "clusters": np.array([0, 0, 1])}
    cluster_weights(item, **good)
    for bad, what in (
        ({"clusters": np.array([0, 1])}, "expected 0 to 1"),
        ({"clusters": np.zeros((3, 1))}, r"expected \(items,\)"),
        ({"logging": np.array([0.5, 0.5, 0.0])}, "no chance of what was shown"),
        ({"evaluation": np.array([0.5, 0.4, 0.0])}, "sums to 0.9"),
        ({"evaluation": np.array([np.nan, 0.5, 0.5])}, "probability"),
        ({"evaluation": np.full((3, 3), 1 / 3)}, "shape"),
    ):
        with pytest.raises(InputError, match=what):
            cluster_weights(item, **{**good, **bad})
    with pytest.raises(InputError, match="every row shows item 1"):
        cluster_weights([1, 1, 1], **good)
    with pytest.raises(InputError, match="shape"):
        cluster_weights([[0, 1]], **good)
    with pytest.raises(InputError, match=r"expected \(items, categories\)"):
        category_weights([0, 1], logging=share, evaluation=share, probability=share)
    with pytest.raises(InputError, match="`category` is 2"):
        category_weights([0, 2], logging=share, evaluation=share, probability=np.full((3, 2), 0.5))
    with pytest.raises(InputError, match=r"expected \(rows, items\)"):
        posterior_weights(share, logging=share, evaluation=share)
    with pytest.raises(InputError, match="item 2 is possible"):
        posterior_weights(np.tile(share, (2, 1)), logging=np.array([0.5, 0.5, 0.0]), evaluation=share)
    with pytest.raises(InputError, match="row 1"):
        mips([1.0, 0.0], [1.0, -2.0])
