"""What theory says of slate estimators, checked over every slate of small shops: no sampling, no tolerance for it."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

from agents import plackett_luce
from behavior.errors import InputError
from evaluation.estimators import Estimate, ips, ratio_estimate, snips
from evaluation.estimators.adaptive import adaptive_ips, choose_behaviour, snadaptive_ips
from evaluation.estimators.cascade_dr import (
    cascade_dr,
    cascade_dr_from_values,
    sncascade_dr,
    sncascade_dr_from_values,
)
from evaluation.estimators.checks import SupportWarning
from evaluation.estimators.click_model import cm_ips, pbm_ips, sncm_ips, snpbm_ips
from evaluation.estimators.latent import latent_ips, latent_probabilities, snlatent_ips
from evaluation.estimators.pseudo_inverse import (
    pseudo_inverse,
    pseudo_inverse_independent,
    pseudo_inverse_support,
    pseudo_inverse_uniform,
)
from evaluation.estimators.second_moment import MAX_SIDE
from evaluation.estimators.slate import iips, rips, sips, sniips, snrips, snsips
from evaluation.estimators.slate_direct import slate_dm, slate_dm_from_draws

A, K = 5, 3


class Shop:
    """All 60 slates of 3 of 5 items as rows, under two Plackett-Luce policies."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.rng = rng
        self.slates = np.array(list(itertools.permutations(range(A), K)))
        S = self.slates.shape[0]
        self.logging_scores, self.evaluation_scores = 0.5 * rng.normal(size=A), rng.normal(size=A)
        every = [np.tile(scores, (S, 1)) for scores in (self.logging_scores, self.evaluation_scores)]
        self.cascade = [np.exp(plackett_luce.log_cascade(scores, self.slates)) for scores in every]
        self.sets = [plackett_luce.prefix_sets(scores, self.slates) for scores in every]
        self.item = [plackett_luce.item_position_marginals(scores, self.slates) for scores in every]
        self.slate = [cascade[:, -1].copy() for cascade in self.cascade]
        self.marginal = [plackett_luce.position_marginals(scores[:1], K)[0] for scores in every]  # (K, A)
        rates = np.exp(self.evaluation_scores)
        self.dist = np.zeros((S, K, A))  # the policy judged, given the items above
        for s, slate in enumerate(self.slates):
            for k in range(K):
                left = rates.copy()
                left[slate[:k]] = 0
                self.dist[s, k] = left / left.sum()

    def mean(self, estimate: Estimate) -> float:
        """Its expectation over the behaviour policy, each row being one slate with its expected reward."""
        return float(self.slate[0] @ estimate.terms)

    def variance(self, estimate: Estimate) -> float:
        return float(self.slate[0] @ np.square(estimate.terms)) - self.mean(estimate) ** 2

    def truth(self, reward: Any) -> float:
        return float(self.slate[1] @ reward.sum(axis=1))

    def independent(self) -> Any:
        value = self.rng.random((K, A))
        return value[np.arange(K), self.slates]

    def cascading(self) -> Any:
        """A reader stops when satisfied: the order above does not matter."""
        appeal = self.rng.uniform(0.1, 0.9, A)[self.slates]
        reached = np.cumprod(np.concatenate([np.ones((60, 1)), 1 - appeal[:, :-1]], axis=1), axis=1)
        return reached * appeal

    def ordered(self) -> Any:
        """A reward that depends on the order above."""
        worth = {s[: k + 1]: self.rng.random() for s in map(tuple, self.slates) for k in range(K)}
        return np.array([[worth[tuple(s[: k + 1])] for k in range(K)] for s in self.slates])

    def anything(self) -> Any:
        return self.rng.random((60, K))


@pytest.fixture
def shop() -> Shop:
    return Shop()


def _gamma(shop: Shop) -> Any:
    table = np.zeros((60, K, A))
    table[np.arange(60)[:, None], np.arange(K), shop.slates] = 1.0
    hot = table.reshape(60, K * A)
    return np.einsum("s,si,sj->ij", shop.slate[0], hot, hot)


def _all(shop: Shop, r: Any) -> dict[str, Estimate]:
    """Every estimator that is a plain average."""
    q = np.tile(np.random.default_rng(5).random((K, A)), (60, 1, 1))  # any, but of the items above alone
    phi = np.tile(shop.marginal[1], (60, 1, 1))
    return {
        "sips": sips(r, *shop.slate),
        "iips": iips(r, *shop.item),
        "rips": rips(r, *shop.cascade),
        "cm": cm_ips(r, *shop.sets),
        "cascade_dr": cascade_dr(r, *shop.cascade, action=shop.slates, evaluation_dist=shop.dist, q_hat=q),
        "pi": pseudo_inverse(r, shop.slates, phi, gamma=_gamma(shop)),
        "latent": latent_ips(r, shop.cascade[0][:, 1], shop.cascade[1][:, 1]),
    }


def test_unbiased_exactly_where_the_assumption_holds(shop: Shop) -> None:
    right = {
        "independent": {"sips", "iips", "rips", "cm", "cascade_dr", "pi"},
        "cascading": {"sips", "rips", "cm", "cascade_dr"},
        "ordered": {"sips", "rips", "cascade_dr"},
        "anything": {"sips"},
    }
    for users, unbiased in right.items():
        r = getattr(shop, users)()
        for name, estimate in _all(shop, r).items():
            error = abs(shop.mean(estimate) - shop.truth(r))
            assert error < 1e-9 if name in unbiased else error > 1e-5, (users, name, error)


def test_fewer_assumptions_more_variance(shop: Shop) -> None:
    # Of the weights themselves: each is a conditional mean of the next (Rao-Blackwell).
    one = np.zeros((60, K))
    one[:, -1] = 1.0
    spread = {name: shop.variance(estimate) for name, estimate in _all(shop, one).items()}
    assert spread["iips"] < spread["cm"] < spread["rips"] <= spread["sips"] * (1 + 1e-12)
    first = np.zeros((60, K))
    first[:, 0] = 1.0
    spread = {name: shop.variance(estimate) for name, estimate in _all(shop, first).items()}
    assert spread["iips"] == pytest.approx(spread["rips"], rel=1e-9)
    assert spread["rips"] < spread["sips"]


def test_the_right_model_leaves_the_doubly_robust_estimate_no_variance(shop: Shop) -> None:
    value = shop.rng.random((K, A))
    r = value[np.arange(K), shop.slates]
    # Of rewards from k down, given the items above, by the recursion from the last position up.
    q = np.zeros((60, K, A))
    places = {tuple(s): i for i, s in enumerate(shop.slates)}
    later: dict[tuple[int, ...], float] = {tuple(s): 0.0 for s in shop.slates}
    for k in range(K - 1, -1, -1):
        here: dict[tuple[int, ...], float] = {}
        for s in shop.slates:
            prefix = tuple(s[:k])
            row = places[tuple(s)]
            for item in set(range(A)) - set(prefix):
                q[row, k, item] = value[k, item] + later[(*prefix, item)]
            here[prefix] = float(shop.dist[row, k] @ q[row, k])
        later = here
    given = {"action": shop.slates, "evaluation_dist": shop.dist}
    assert shop.variance(cascade_dr(r, *shop.cascade, q_hat=q, **given)) < 1e-12
    zero = cascade_dr(r, *shop.cascade, q_hat=np.zeros_like(q), **given)
    assert zero.value == pytest.approx(rips(r, *shop.cascade).value, rel=1e-12)
    assert shop.variance(zero) > 0.01


def test_adaptive_weights_follow_the_users(shop: Shop) -> None:
    easy, hard = shop.independent(), shop.ordered()
    r = np.concatenate([easy, hard])
    forms = [(shop.item[i], shop.cascade[i], shop.slate[i]) for i in range(2)]
    twice = [[np.concatenate([array, array]) for array in form] for form in forms]
    who = np.repeat([0, 1], 60)
    found = adaptive_ips(r, *twice, behaviour=who)
    means = [float(shop.slate[0] @ found.terms[who == user]) for user in range(2)]
    np.testing.assert_allclose(means, [shop.truth(easy), shop.truth(hard)], atol=1e-9)
    richest = adaptive_ips(r, *twice, behaviour=np.full(120, 1))
    assert shop.slate[0] @ np.square(found.terms[:60]) < shop.slate[0] @ np.square(richest.terms[:60])
    # one behaviour for all is the estimator of that behaviour
    for number, (estimator, form) in enumerate([(iips, shop.item), (rips, shop.cascade)]):
        whole = adaptive_ips(easy, *forms, behaviour=np.full(60, number))
        assert whole.value == pytest.approx(estimator(easy, *form).value, rel=1e-14)
        steady = snadaptive_ips(easy, *forms, behaviour=np.full((60, K), number))
        assert steady.value == pytest.approx({0: sniips, 1: snrips}[number](easy, *form).value, rel=1e-14)


def test_choice_of_behaviour_by_group(shop: Shop) -> None:
    rng = np.random.default_rng(3)
    n = 40_000
    easy = shop.independent()
    hard = np.zeros((60, K))
    hard[:, 1] = (shop.slates[:, 0] < shop.slates[:, 1]) * 0.9  # all depends on what stands above
    rows, who = rng.choice(60, n, p=shop.slate[0] / shop.slate[0].sum()), np.repeat([0, 1], n // 2)
    reward = np.where(who[:, None] == 0, easy[rows], hard[rows])
    r = (rng.random((n, K)) < reward).astype(np.float64)
    forms = [[shop.item[i][rows], shop.cascade[i][rows], shop.slate[i][rows]] for i in range(2)]
    choice = choose_behaviour(r, *forms, groups=np.where(who == 0, "easy", "hard"))
    assert dict(zip(choice.groups, choice.chosen, strict=True)) == {"easy": 0, "hard": 1}
    np.testing.assert_array_equal(choice.behaviour, who)


def test_latent_weights(shop: Shop) -> None:
    # sufficient: the reward depends on the set of items shown alone
    sets, number = np.unique(np.sort(shop.slates, axis=1), axis=0, return_inverse=True)
    r = np.zeros((60, K))
    r[:, 0] = np.random.default_rng(1).random(len(sets))[number]
    b, e = (latent_probabilities(p[None], number)[0, number] for p in shop.slate)
    found = latent_ips(r, b, e)
    assert shop.mean(found) == pytest.approx(shop.truth(r), abs=1e-12)
    assert shop.variance(found) < shop.variance(sips(r, *shop.slate))
    # not sufficient
    assert abs(shop.mean(latent_ips(shop.ordered(), b, e)) - shop.truth(shop.ordered())) > 1e-3
    # one abstraction for all: the log's own value; a soft one by its distribution
    all_one = [latent_probabilities(p[None], np.ones((60, 1)))[0, [0] * 60] for p in shop.slate]
    assert latent_ips(r, *all_one).value == pytest.approx(r.sum() / 60)
    with pytest.raises(InputError, match="sums to"):
        latent_probabilities(shop.slate[0][None] / 2, number)


def test_direct_method(shop: Shop) -> None:
    value = shop.rng.random((K, A))
    r = value[np.arange(K), shop.slates]
    found = slate_dm(np.tile(shop.marginal[1], (4, 1, 1)), np.tile(value, (4, 1, 1)))
    assert found.value == pytest.approx(shop.truth(r), abs=1e-9)
    assert found.standard_error < 1e-12
    assert slate_dm_from_draws([[1.0, 2.0], [3.0, 5.0]]).value == 2.75
    with pytest.raises(InputError, match="sums to"):
        slate_dm(np.ones((4, K, A)), np.ones((4, K, A)))
    with pytest.raises(InputError, match="nan"):
        slate_dm(np.full((4, K, A), 1 / A), np.full((4, K, A), np.nan))


def test_second_moment_forms_agree() -> None:
    rng = np.random.default_rng(0)
    # uniform without repeats, K < A and K = A; independent positions
    for n_items in (5, 3):
        slates = np.array(list(itertools.permutations(range(n_items), K)))
        S = len(slates)
        hot = np.zeros((S, K, n_items))
        hot[np.arange(S)[:, None], np.arange(K), slates] = 1.0
        gamma = np.einsum("si,sj->ij", *2 * [hot.reshape(S, -1)]) / S
        scores = rng.normal(size=(1, n_items))
        phi = plackett_luce.position_marginals(scores, K)[0]
        r = rng.random((S, K))
        dense = pseudo_inverse(r, slates, phi[None], gamma=gamma, context=np.zeros(S, np.int64))
        closed = pseudo_inverse_uniform(
            r, phi[np.arange(K), slates], phi.sum(axis=0)[slates], n_items=np.full(S, n_items)
        )
        np.testing.assert_allclose(closed.weights, dense.weights, atol=1e-8)
        listed = pseudo_inverse_support(
            r.sum(axis=1), np.arange(S), slates, np.full(S, 1 / S), phi[np.arange(K), slates]
        )
        np.testing.assert_allclose(listed.weights, dense.weights, atol=1e-8)
    chance = rng.dirichlet(np.ones(4), size=2)  # two positions, items may repeat
    every = np.array(list(itertools.product(range(4), repeat=2)))
    gamma = np.block(
        [
            [np.diag(chance[0]), np.outer(chance[0], chance[1])],
            [np.outer(chance[1], chance[0]), np.diag(chance[1])],
        ]
    )
    phi = rng.dirichlet(np.ones(4), size=2)
    r = rng.random((16, 2))
    at = np.arange(2), every
    one = pseudo_inverse_independent(r, chance[at], phi[at], control="slots")
    two = pseudo_inverse(r, every, np.tile(phi, (16, 1, 1)), gamma=gamma, control="slots")
    np.testing.assert_allclose(one.weights, two.weights, atol=1e-9)


@pytest.mark.parametrize("control", ["none", "mean", "single", "slots"])
def test_control_variates_of_equal_policies_and_constant_rewards(control: Any) -> None:
    rng = np.random.default_rng(0)
    b, e = rng.uniform(0.1, 1, (200, K)), rng.uniform(0, 1, (200, K))
    r = rng.random((200, K))
    same = pseudo_inverse_independent(r, b, b, control=control)
    assert same.value == pytest.approx(r.sum(axis=1).mean(), rel=1e-12)
    flat = pseudo_inverse_independent(np.full(200, 2.0), b, e, control=control)
    if control != "none":
        assert flat.value == pytest.approx(2.0, rel=1e-12)
        assert flat.standard_error < 1e-12


@cache
def _forms(n: int = 3000, positions: int = K) -> dict[str, tuple[Callable[..., Estimate], list[Any], bool]]:
    """Every estimator with drawn arguments whose rows can be shuffled; whether it is self-normalised."""
    rng = np.random.default_rng(7)
    r = rng.pareto(1.5, (n, positions))
    b, e = (np.cumprod(rng.uniform(0.05, 1, (n, positions)), axis=1) for _ in range(2))
    dist = rng.dirichlet(np.ones(A), size=(n, positions))
    action = np.argsort(rng.random((n, A)), axis=1)[:, :positions]
    reached = np.cumprod(np.take_along_axis(dist, action[:, :, None], axis=2)[:, :, 0], axis=1)
    q = rng.normal(size=(n, positions, A))
    who = rng.integers(0, 2, n)
    anywhere = rng.uniform(0, 1, (n, positions, positions))
    theta = rng.uniform(0.2, 1, positions)

    def tables(estimator: Any) -> Any:
        return lambda r, b, e, a, d, q: estimator(r, b, e, action=a, evaluation_dist=d, q_hat=q)

    def values(estimator: Any) -> Any:
        return lambda r, b, e, p, x: estimator(r, b, e, predicted=p, expected=x)

    def adaptive(estimator: Any) -> Any:
        return lambda r, b, e, b1, e1, c: estimator(r, [b, b1], [e, e1], behaviour=c)

    def uniform(control: Any) -> Any:
        return lambda r, e, x: pseudo_inverse_uniform(r, e, x, n_items=A, control=control)

    whole = b[:, -1].copy(), e[:, -1].copy()
    forms: dict[str, tuple[Callable[..., Estimate], list[Any], bool]] = {
        "sips": (sips, [r, *whole], False),
        "snsips": (snsips, [r, *whole], True),
        "iips": (iips, [r, b, e], False),
        "sniips": (sniips, [r, b, e], True),
        "rips": (rips, [r, b, e], False),
        "snrips": (snrips, [r, b, e], True),
        "cm": (cm_ips, [r, b, e], False),
        "sncm": (sncm_ips, [r, b, e], True),
        "pbm": (partial(pbm_ips, examination=theta), [r, anywhere, anywhere[::-1].copy()], False),
        "snpbm": (partial(snpbm_ips, examination=theta), [r, anywhere, anywhere[::-1].copy()], False),
        "latent": (latent_ips, [r.sum(axis=1), *whole], False),
        "snlatent": (snlatent_ips, [r, *whole], True),
        "adaptive": (adaptive(adaptive_ips), [r, b, e, *whole, who], False),
        "snadaptive": (adaptive(snadaptive_ips), [r, b, e, *whole, who], True),
        "cascade_dr": (tables(cascade_dr), [r, b, reached, action, dist, q], False),
        "sncascade_dr": (tables(sncascade_dr), [r, b, reached, action, dist, q], False),
        "cascade_dr values": (values(cascade_dr_from_values), [r, b, e, q[:, :, 0], q[:, :, 1]], False),
        "sncascade_dr values": (values(sncascade_dr_from_values), [r, b, e, q[:, :, 0], q[:, :, 1]], False),
        "dm": (slate_dm, [dist, q], False),
        "dm draws": (slate_dm_from_draws, [q[:, :, 0]], False),
    }
    near = rng.uniform(0.2, 1, (n, positions))
    for control in ("none", "mean", "single", "slots"):
        forms[f"pi {control}"] = uniform(control), [r, near / positions, near], control != "none"
    return forms


@pytest.mark.parametrize("name", _forms(2))
def test_rows_in_any_order_give_the_same_figure(name: str) -> None:
    # A heavy tail, and more rows than fit into one block.
    estimator, arrays, _ = _forms(12_000)[name]
    order = np.random.default_rng(1).permutation(12_000)
    one, two = estimator(*arrays), estimator(*(array[order] for array in arrays))
    # Relative to what is summed: a small difference of large terms has no more digits than they have.
    scale = max(abs(one.value), float(np.abs(one.numerator).sum(axis=1).mean()))
    assert abs(two.value - one.value) <= 1e-12 * scale
    assert two.standard_error == pytest.approx(one.standard_error, rel=1e-10)
    assert two.ess == pytest.approx(one.ess, rel=1e-11)
    assert (two.max_weight, one.terms.shape) == (one.max_weight, (12_000,))


@pytest.mark.parametrize("name", _forms(2))
def test_named_result(name: str) -> None:
    estimator, arrays, normalised = _forms()[name]
    before = [array.copy() for array in arrays]
    found = estimator(*arrays)
    for array, copy in zip(arrays, before, strict=True):
        assert np.array_equal(array, copy)
    assert float(found.terms.mean()) == pytest.approx(found.value, rel=1e-10)
    assert found.standard_error == pytest.approx(found.terms.std(ddof=1) / np.sqrt(3000), rel=1e-9)
    assert (found.numerator.sum(0) / found.denominator.sum(0)).sum() == pytest.approx(found.value, rel=1e-10)
    assert found.max_weight == found.weights.max()
    assert found.mean_weight == pytest.approx(found.weights.mean(axis=0).min(), rel=1e-12)
    if normalised:
        flat = estimator(np.ones_like(arrays[0]), *arrays[1:])
        assert flat.value == pytest.approx(K, rel=1e-12)
        assert flat.standard_error < 1e-12


@pytest.mark.parametrize("name", _forms(2))
def test_nan_anywhere_is_refused(name: str) -> None:
    estimator, arrays, _ = _forms(50)[name]
    for number, array in enumerate(arrays):
        if array.dtype.kind == "f":
            spoiled = [other.copy() for other in arrays]
            spoiled[number].reshape(50, -1)[:, 0] = np.nan
            with pytest.raises(InputError):
                estimator(*spoiled)
        with pytest.raises(InputError):
            estimator(
                *(
                    other[:49] if i == number and len(arrays) > 1 else other[:1]
                    for i, other in enumerate(arrays)
                )
            )


def test_a_slate_of_one_is_one_impression() -> None:
    rng = np.random.default_rng(2)
    n = 500
    r, e = rng.random(n), rng.dirichlet(np.ones(A), size=n)
    action = rng.integers(0, A, n)
    b, chosen = np.full(n, 1 / A), e[np.arange(n), action]
    wide = r[:, None], b[:, None], chosen[:, None]
    single = ips(r, b, chosen)
    same: dict[str, Estimate] = {
        "sips": sips(wide[0], b, chosen),
        "iips": iips(*wide),
        "rips": rips(*wide),
        "cm": cm_ips(*wide),
        "pbm": pbm_ips(wide[0], b[:, None, None], chosen[:, None, None], examination=[0.5]),
        "latent": latent_ips(wide[0], b, chosen),
        "adaptive": adaptive_ips(wide[0], [wide[1]], [wide[2]], behaviour=np.zeros(n, np.int64)),
        "cascade_dr": cascade_dr(
            *wide, action=action[:, None], evaluation_dist=e[:, None], q_hat=np.zeros((n, 1, A))
        ),
        "pi": pseudo_inverse_uniform(wide[0], wide[2], wide[2], n_items=A),
        "pi, positions on their own": pseudo_inverse_independent(*wide),
        "pi, by gamma": pseudo_inverse(r, action[:, None], e[:, None], gamma=np.eye(A) / A),
    }
    for name, found in same.items():
        assert found.value == pytest.approx(single.value, rel=1e-11), name
        assert found.standard_error == pytest.approx(single.standard_error, rel=1e-9), name
    steady = snips(r, b, chosen).value
    for normalised in (snsips(wide[0], b, chosen), sniips(*wide), snrips(*wide), sncm_ips(*wide)):
        assert normalised.value == pytest.approx(steady, rel=1e-12)


def test_short_pages() -> None:
    rng = np.random.default_rng(4)
    n = 300
    shown = np.arange(K) < rng.integers(1, K + 1, n)[:, None]
    r = np.where(shown, rng.random((n, K)), np.nan)
    b, e = (np.where(shown, np.cumprod(rng.uniform(0.2, 1, (n, K)), axis=1), np.nan) for _ in range(2))
    filled = [np.where(shown, array, fill) for array, fill in ((r, 0.0), (b, 1.0), (e, 1.0))]
    for estimator in (iips, sniips, rips, snrips, cm_ips):
        with pytest.raises(InputError):
            estimator(r, b, e)
        assert estimator(r, b, e, shown=shown).value == estimator(*filled).value
    whole = rng.uniform(0.2, 1, n)
    assert sips(r, whole, whole, shown=shown).value == pytest.approx(np.nansum(r) / n)
    found = cascade_dr_from_values(r, b, e, predicted=r, expected=r, shown=shown)
    plain = cascade_dr_from_values(r, b, e, predicted=0 * r, expected=0 * r, shown=shown)
    assert plain.value == pytest.approx(rips(r, b, e, shown=shown).value, rel=1e-12)
    by_hand = np.where(shown, np.concatenate([np.ones((n, 1)), (e / b)[:, :-1]], axis=1) * r, 0.0)
    assert found.value == pytest.approx(by_hand.sum() / n, rel=1e-12)
    with pytest.raises(InputError, match="without items"):
        iips(r, b, e, shown=np.zeros((n, K), np.bool_))
    with pytest.raises(InputError, match="array of numbers"):
        iips([[1.0, 0.0], [1.0]], [[0.5, 0.5], [0.5]], [[0.5, 0.5], [0.5]])


def test_refusals_say_what_to_mend(shop: Shop) -> None:
    r = shop.anything()
    q = np.zeros((60, K, A))
    tables = {"action": shop.slates, "evaluation_dist": shop.dist, "q_hat": q}
    twice = shop.slates.copy()
    twice[9, 1] = twice[9, 0]
    phi = np.tile(shop.marginal[1], (60, 1, 1))
    calls: list[tuple[str, Callable[[], object]]] = [
        ("twice", lambda: cascade_dr(r, *shop.cascade, **{**tables, "action": twice})),
        ("sums to", lambda: cascade_dr(r, *shop.cascade, **{**tables, "evaluation_dist": shop.dist / 2})),
        ("makes it", lambda: cascade_dr(r, shop.cascade[0], shop.cascade[0], **tables)),
        ("rises", lambda: cascade_dr(r, shop.cascade[0][:, ::-1], shop.cascade[1], **tables)),
        ("item in", lambda: cascade_dr(r, *shop.cascade, **{**tables, "action": shop.slates + 1})),
        ("predicted", lambda: cascade_dr(r, *shop.cascade, **{**tables, "q_hat": q + np.nan})),
        ("`gamma`", lambda: pseudo_inverse(r, shop.slates, phi, gamma=np.eye(K * A - 1) / A)),
        (
            "do not sum to the chance of one",
            lambda: pseudo_inverse(r, shop.slates, phi, gamma=_gamma(shop) + 1e-4 * (1 - np.eye(K * A))),
        ),
        ("not symmetric", lambda: pseudo_inverse(r, shop.slates, phi, gamma=np.triu(_gamma(shop)))),
        ("do not sum to 1", lambda: pseudo_inverse(r, shop.slates, phi, gamma=_gamma(shop) / 2)),
        (
            "to invert",
            lambda: pseudo_inverse(r, shop.slates, phi, gamma=np.broadcast_to(0.0, 2 * (MAX_SIDE + 1,))),
        ),
        ("sums to", lambda: pseudo_inverse(r, shop.slates, phi / 2, gamma=_gamma(shop))),
        ("likelier", lambda: pseudo_inverse_uniform(r, shop.item[1], shop.item[1] / 2, n_items=A)),
        ("n_items", lambda: pseudo_inverse_uniform(r, shop.item[1], shop.item[1], n_items=K - 1)),
        ("control", lambda: pseudo_inverse_independent(r, *shop.item, control="some")),  # type: ignore[arg-type]
        (
            "behaviour",
            lambda: adaptive_ips(r, [shop.item[0]], [shop.item[1]], behaviour=np.ones(60, np.int64)),
        ),
        ("behaviour", lambda: adaptive_ips(r, [shop.item[0]], [shop.item[1]], behaviour=np.zeros(60))),
        ("same order", lambda: adaptive_ips(r, [shop.item[0]], [], behaviour=np.zeros(60, np.int64))),
    ]
    for words, call in calls:
        with pytest.raises(InputError, match=words):
            call()


def test_a_policy_outside_the_support_is_announced(shop: Shop) -> None:
    seen = shop.slates[(shop.slates != 4).all(axis=1)]  # the log never shows item 4
    S = len(seen)
    hot = np.zeros((S, K, A))
    hot[np.arange(S)[:, None], np.arange(K), seen] = 1.0
    gamma = np.einsum("si,sj->ij", *2 * [hot.reshape(S, -1)]) / S
    phi = np.tile(shop.marginal[1], (S, 1, 1))
    with pytest.warns(SupportWarning, match="never does"):
        found = pseudo_inverse(np.ones((S, K)), seen, phi, gamma=gamma)
    assert found.mean_weight < 0.99


def test_arrays_are_made_when_asked_for_and_stay(shop: Shop) -> None:
    r = shop.anything()
    lazy = sniips(r, *shop.item)
    assert "weights" not in vars(lazy)
    again = pickle.loads(pickle.dumps(lazy))
    renamed = dataclasses.replace(lazy, name="other")
    w = shop.item[1] / shop.item[0]
    eager = ratio_estimate("SNIIPS", weights=w, numerator=w * r, denominator=w)
    for found in (lazy, again, renamed, eager):
        np.testing.assert_array_equal(found.weights, w)
        np.testing.assert_allclose(found.terms, eager.terms, rtol=1e-13)
        assert found.value == eager.value
    assert lazy.weights is lazy.weights
    assert renamed.name == "other"
    with pytest.raises(AttributeError, match="weight"):
        lazy.weight  # type: ignore[attr-defined]  # noqa: B018
