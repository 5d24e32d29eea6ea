"""Estimators of sessions: the contract, hand-worked values, one page a session, and enumeration of two-page shops."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from behavior.errors import InputError
from evaluation.contract_sessions import SESSION_CASES, SessionCase, check_session_estimator
from evaluation.estimators import (
    Estimate,
    iips,
    pdis,
    ratio_estimate,
    rips,
    session_cascade_dr,
    session_dr,
    session_mis,
    session_wdr,
    sips,
    sniips,
    snrips,
    snsips,
    tis,
    wpdis,
    wtis,
)


@pytest.mark.parametrize("name", SESSION_CASES)
def test_contract(name: str) -> None:
    check_session_estimator(SESSION_CASES[name])


def test_contract_catches_one_that_forgets_ended_sessions() -> None:
    def forgetful(reward: Any, logging: Any, evaluation: Any, *, session: Any, step: Any) -> Estimate:
        whole = pdis(reward, logging, evaluation, session=session, step=step)
        alive = np.bincount(session, minlength=whole.terms.size)[:, None] > np.arange(whole.weights.shape[1])
        return ratio_estimate(
            "forgetful",
            weights=whole.weights,
            numerator=whole.numerator,
            denominator=whole.weights * alive,
        )

    with pytest.raises(AssertionError, match="worth the log's mean"):
        check_session_estimator(SessionCase(forgetful, "page", True))


def test_by_hand() -> None:
    # Session a: ratios 2 then 1/2, rewards 1 then 3. Session b: ratio 1/2, reward 1, and it is over.
    log: dict[str, Any] = {"session": ["a", "b", "a"], "step": [0, 0, 1]}
    arrays = [1.0, 1.0, 3.0], [0.25, 0.5, 0.5], [0.5, 0.25, 0.25]
    assert pdis(*arrays, **log).value == pytest.approx((2 * 1 + 1 * 3 + 0.5) / 2, abs=1e-15)
    assert pdis(*arrays, **log, gamma=0.5).value == pytest.approx((2 + 1.5 + 0.5) / 2, abs=1e-15)
    assert tis(*arrays, **log).value == pytest.approx((1 * 4 + 0.5 * 1) / 2, abs=1e-15)
    assert wtis(*arrays, **log).value == pytest.approx((1 * 4 + 0.5 * 1) / 1.5, abs=1e-15)
    # b keeps its weight of 1/2 at step 1
    assert wpdis(*arrays, **log).value == pytest.approx((2 + 0.5) / 2.5 + 3 / 1.5, abs=1e-15)
    np.testing.assert_allclose(pdis(*arrays, **log).weights, [[2, 1], [0.5, 0.5]])
    q, v = [1.0, 2.0, 1.0], [0.5, 1.0, 2.0]
    by_session = [2 * (1 - 1) + 0.5 + 1 * (3 - 1) + 2 * 2.0, 0.5 * (1 - 2) + 1.0]
    assert session_dr(*arrays, q, v, **log).value == pytest.approx(sum(by_session) / 2, abs=1e-15)
    # step 0 over sums 2.5 and 2 (both weights 1), step 1 over 1.5 and 2.5
    wanted = -0.5 / 2.5 + 1.5 / 2 + 1 * 2 / 1.5 + 2 * 2 / 2.5
    assert session_wdr(*arrays, q, v, **log).value == pytest.approx(wanted, abs=1e-15)


def test_one_page_a_session_is_the_slate_estimator() -> None:
    rng = np.random.default_rng(3)
    n, K = 50, 3
    r = rng.random((n, K))
    choice = rng.uniform(0.2, 1, (2, n, K))
    b, e = np.cumprod(choice, axis=2)
    item_b, item_e = rng.uniform(0.1, 1, (2, n, K))
    at: dict[str, Any] = {"session": rng.permutation(n), "step": np.zeros(n, np.int64)}
    page, whole = (b[:, -1], e[:, -1]), {"carry": (b[:, -1], e[:, -1])}
    pairs = [
        (pdis(r, *page, **at), sips(r, *page)),
        (tis(r, *page, **at), sips(r, *page)),
        (wpdis(r, *page, **at), snsips(r, *page)),
        (wtis(r, *page, **at), snsips(r, *page)),
        (pdis(r, b, e, **at), rips(r, b, e)),
        (wpdis(r, b, e, **at), snrips(r, b, e)),
        (pdis(r, item_b, item_e, **at, **whole), iips(r, item_b, item_e)),
        (wpdis(r, item_b, item_e, **at, **whole), sniips(r, item_b, item_e)),
        (session_mis(r, *page, **at, state=np.zeros(n)), sips(r, *page)),
        (session_mis(r, *page, **at, state=np.zeros(n), self_normalised=True), snsips(r, *page)),
    ]
    for ours, theirs in pairs:
        assert ours.value == pytest.approx(theirs.value, abs=1e-12), ours.name
        assert ours.standard_error == pytest.approx(theirs.standard_error, abs=1e-12), ours.name
    q, v = rng.normal(size=(2, n, K))
    above = np.concatenate([np.ones((n, 1)), (e / b)[:, :-1]], axis=1)
    wanted = ((e / b) * (r - q) + above * v).sum(axis=1).mean()
    assert session_cascade_dr(r, b, e, q, v, **at).value == pytest.approx(wanted, abs=1e-12)


@dataclass(frozen=True)
class _TwoPages:
    """Every history of a two-page shop as a session of its own, with its probability under the logging policy."""

    reward: np.ndarray  # (M, 2)
    cascade: np.ndarray  # (2, M, 2) logging and evaluation
    session: np.ndarray  # (M,)
    step: np.ndarray  # (M,)
    chance: np.ndarray  # (S,) of each history under the logging policy
    page: np.ndarray  # (M,) which slate
    state: np.ndarray  # (M,) 0 at first, then 1 + number of the history's first half
    truth: float


def _two_pages(seed: int, gamma: float) -> _TwoPages:
    """Slates of 2 of 3 items; a position's click depends on the items down to it and on all that came before."""
    rng = np.random.default_rng(seed)
    slates = list(itertools.permutations(range(3), 2))
    n_before = 1 + len(slates) * 4

    def policy() -> Any:
        """First item, then the second given the first; different after every history."""
        first = rng.dirichlet(np.full(3, 2.0), n_before)  # (Z, 3)
        second = rng.uniform(0.1, 0.9, (n_before, 3))  # of the smaller of the two items left
        joint = np.empty((n_before, len(slates), 2))
        for a, (i, j) in enumerate(slates):
            left = sorted({0, 1, 2} - {i})
            joint[:, a, 0] = first[:, i]
            joint[:, a, 1] = first[:, i] * np.where(j == left[0], second[:, i], 1 - second[:, i])
        return joint

    b, e = policy(), policy()
    np.testing.assert_allclose(b[:, :, 1].sum(axis=1), 1.0)
    appeal = rng.uniform(0.2, 0.8, (n_before, 3)), rng.uniform(0.2, 0.8, (n_before, 3, 3))
    leave = rng.uniform(0.2, 0.6, n_before)
    clicks = list(itertools.product((0, 1), repeat=2))
    rows: list[tuple[Any, ...]] = []
    chance, truth = [], 0.0

    def answers(z: int, a: int) -> Any:
        i, j = slates[a]
        p = appeal[0][z, i], appeal[1][z, i, j]
        for c in clicks:
            yield c, np.prod([p[k] if c[k] else 1 - p[k] for k in range(2)])

    for a, _ in enumerate(slates):
        for n, (c, p) in enumerate(answers(0, a)):
            z = 1 + a * 4 + n
            s = len(chance)
            rows.append((c, b[0, a], e[0, a], s, 0, a, 0))
            chance.append(b[0, a, 1] * p * leave[z])
            truth += e[0, a, 1] * p * sum(c)
            for a2, _ in enumerate(slates):
                for c2, p2 in answers(z, a2):
                    s = len(chance)
                    rows.append((c, b[0, a], e[0, a], s, 0, a, 0))
                    rows.append((c2, b[z, a2], e[z, a2], s, 1, a2, z))
                    chance.append(b[0, a, 1] * p * (1 - leave[z]) * b[z, a2, 1] * p2)
                    truth += gamma * e[0, a, 1] * p * (1 - leave[z]) * e[z, a2, 1] * p2 * sum(c2)
    reward, lb, le, session, step, page, state = (np.array(column) for column in zip(*rows, strict=True))
    return _TwoPages(
        reward.astype(float), np.stack([lb, le]), session, step, np.array(chance), page, state, float(truth)
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("gamma", [1.0, 0.7])
def test_unbiased_by_enumeration_of_every_history(seed: int, gamma: float) -> None:
    log = _two_pages(seed, gamma)
    assert log.chance.sum() == pytest.approx(1.0, abs=1e-12)
    b, e = log.cascade
    at: dict[str, Any] = {"session": log.session, "step": log.step, "gamma": gamma}
    rng = np.random.default_rng(seed + 10)
    # Any q: of the whole page in its state; v is its expectation under the policy judged.
    n_states, n_slates = int(log.state.max()) + 1, 6
    any_q = rng.normal(size=(n_states, n_slates))
    judged = np.zeros((n_states, n_slates))
    judged[log.state, log.page] = e[:, 1]
    q, v = any_q[log.state, log.page], (judged * any_q).sum(axis=1)[log.state]
    # The same of every position: of the first item, and of the second given the first.
    slates = np.array(list(itertools.permutations(range(3), 2)))
    first_q, second_q = rng.normal(size=(n_states, 3)), rng.normal(size=(n_states, 3, 3))
    first_e = np.zeros((n_states, 3))
    first_e[log.state, slates[log.page, 0]] = e[:, 0]
    second_e = np.zeros((n_states, 3, 3))
    second_e[log.state, slates[log.page, 0], slates[log.page, 1]] = e[:, 1] / e[:, 0]
    i, j = slates[log.page].T
    wide_q = np.stack([first_q[log.state, i], second_q[log.state, i, j]], axis=1)
    wide_v = np.stack(
        [(first_e * first_q).sum(1)[log.state], (second_e * second_q).sum(2)[log.state, i]], axis=1
    )
    page = b[:, 1], e[:, 1]
    found = {
        "tis": tis(log.reward, *page, **at),
        "pdis": pdis(log.reward, *page, **at),
        "pdis of cascades": pdis(log.reward, b, e, **at),
        "dr": session_dr(log.reward, *page, q, v, **at),
        "cascade dr": session_cascade_dr(log.reward, b, e, wide_q, wide_v, **at),
    }
    for name, estimate in found.items():
        # A plain estimator's term of a session does not depend on the other sessions.
        assert log.chance @ estimate.terms == pytest.approx(log.truth, abs=1e-12), name
    wrong = pdis(log.reward, *page, session=log.session, step=log.step, gamma=gamma * 0.9)
    assert abs(log.chance @ wrong.terms - log.truth) > 1e-3


def _counted(seed: int) -> dict[str, Any]:
    """A log in exact proportion: two states, two pages, three steps; the next state depends on state and page."""
    rng = np.random.default_rng(seed)
    b = np.array([[0.5, 0.5], [0.25, 0.75]])
    e = np.array([[0.75, 0.25], [0.5, 0.5]])
    pay = rng.normal(size=(2, 2))
    move = np.array(
        [[[0.5, 0.25], [0.25, 0.75]], [[0.25, 0.25], [0.5, 0.25]]]
    )  # (z, a) -> 0, 1; the rest leave
    rows: list[tuple[Any, ...]] = []
    session = 0

    def grow(z: int, weight: float, path: list[tuple[int, int]]) -> None:
        nonlocal session
        for a in range(2):
            here = [*path, (z, a)]
            chance = weight * b[z, a]
            last = len(here) == 3
            ends = 1.0 if last else 1.0 - move[z, a].sum()
            for _ in range(round(chance * ends * 4**6)):
                rows.extend((session, t, zz, aa) for t, (zz, aa) in enumerate(here))
                session += 1
            if not last:
                for after in range(2):
                    if move[z, a, after]:
                        grow(after, chance * move[z, a, after], here)

    grow(0, 0.5, [])
    grow(1, 0.5, [])
    value = np.zeros(2)
    for _ in range(3):
        value = (e * (pay + 0.9 * move @ value)).sum(axis=1)
    s, t, z, a = (np.array(column) for column in zip(*rows, strict=True))
    assert np.unique(s).size == 4**6
    return {
        "arrays": (pay[z, a], b[z, a], e[z, a]),
        "at": {"session": s, "step": t, "gamma": 0.9},
        "state": z,
        "action": a,
        "truth": float(value.mean()),
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_marginalised_is_exact_in_exact_proportion(seed: int) -> None:
    log = _counted(seed)
    for extra in ({}, {"action": log["action"]}, {"self_normalised": True}):
        found = session_mis(*log["arrays"], **log["at"], state=log["state"], **extra)
        assert found.value == pytest.approx(log["truth"], abs=1e-12), extra
    for estimator in (pdis, wpdis, tis, wtis):
        assert estimator(*log["arrays"], **log["at"]).value == pytest.approx(log["truth"], abs=1e-12)
    blind = session_mis(*log["arrays"], **log["at"], state=np.zeros(log["state"].size))
    assert abs(blind.value - log["truth"]) > 1e-3, "a state that forgets what matters is wrong"


def _short_shop(rng: np.random.Generator, n: int, T: int) -> dict[str, Any]:
    """Two states and two pages; the page leads to the state of its number with chance 3/4."""
    b, e = np.array([[0.6, 0.4], [0.5, 0.5]]), np.array([[0.3, 0.7], [0.3, 0.7]])
    z = rng.integers(0, 2, n)
    columns = []
    for t in range(T):
        a = (rng.random(n) > b[z, 0]).astype(np.int64)
        r = (rng.random(n) < 0.2 + 0.5 * z).astype(np.float64)
        columns.append((np.arange(n), np.full(n, t), z, a, r, b[z, a], e[z, a]))
        z = np.where(rng.random(n) < 0.75, a, 1 - a)
    s, t, z, a, r, lb, le = (np.concatenate(c) for c in zip(*columns, strict=True))
    return {"arrays": (r, lb, le), "at": {"session": s, "step": t}, "state": z, "action": a}


def test_marginalised_has_the_spread_that_it_states_and_less_than_pdis() -> None:
    rng = np.random.default_rng(5)
    kinds: dict[str, list[float]] = {"mis": [], "samis": [], "pdis": []}
    errors: dict[str, list[float]] = {"mis": [], "samis": []}
    for _ in range(150):
        log = _short_shop(rng, 200, 20)
        found = {
            "mis": session_mis(*log["arrays"], **log["at"], state=log["state"]),
            "samis": session_mis(*log["arrays"], **log["at"], state=log["state"], action=log["action"]),
        }
        for name, estimate in found.items():
            kinds[name].append(estimate.value)
            errors[name].append(estimate.standard_error)
        kinds["pdis"].append(pdis(*log["arrays"], **log["at"]).value)
    # first page 0.45; then the share of state 1 is .7 * .75 + .3 * .25 = .6
    truth = 0.45 + 19 * (0.2 + 0.5 * 0.6)
    for name, stated in errors.items():
        spread = float(np.std(kinds[name]))
        assert abs(np.mean(kinds[name]) - truth) < 4 * spread / np.sqrt(150) + 0.01, name
        assert np.mean(stated) == pytest.approx(spread, rel=0.25), name
        assert spread < 0.6 * np.std(kinds["pdis"]), name


def test_what_is_refused_says_what_to_do() -> None:
    def refused(match: str, call: Any) -> None:
        with pytest.raises(InputError, match=match):
            call()

    log: dict[str, Any] = {"session": ["a", "a", "b"], "step": [0, 1, 0]}
    one = np.array([0.5, 0.5, 0.5])
    rising = np.array([[0.2, 0.4], [0.2, 0.4], [0.2, 0.4]])
    r = np.ones((3, 2))
    refused(
        r"step 1 is missing\n.*session a", lambda: pdis(one, one, one, session=log["session"], step=[0, 2, 0])
    )
    refused("step 0 occurs twice", lambda: pdis(one, one, one, session=log["session"], step=[0, 0, 0]))
    refused("the first step is 1", lambda: pdis(one, one, one, session=log["session"], step=[1, 2, 0]))
    refused("below 0", lambda: pdis(one, one, one, session=log["session"], step=[-1, 0, 0]))
    refused("no cascade propensities", lambda: pdis(r, rising, rising, **log))
    refused("Pass joint propensities", lambda: tis(r, rising, rising, **log))
    refused("cascade ones of positions", lambda: session_dr(r, rising, rising, r, r, **log))
    refused("gamma is 1.5", lambda: pdis(one, one, one, **log, gamma=1.5))
    refused("not finite", lambda: session_dr(one, one, one, [1, np.nan, 1], one, **log))
    refused("`state` is missing", lambda: session_mis(one, one, one, **log, state=[0.0, np.nan, 1.0]))
    refused("`state` has shape", lambda: session_mis(one, one, one, **log, state=[0, 1]))
    refused("reward of each position", lambda: pdis(one, rising, rising, **log))
    many = {"session": np.repeat([0, 1], 40), "step": np.tile(np.arange(40), 2)}
    tiny, sure = np.full(80, 1e-9), np.ones(80)
    refused("beyond the range of numbers", lambda: pdis(sure, tiny, sure, **many))


def test_no_overlap_is_no_value() -> None:
    log: dict[str, Any] = {"session": ["a", "a", "b"], "step": [0, 1, 0]}
    one = np.array([0.5, 0.5, 0.5])
    assert np.isnan(wpdis(one, one, 0 * one, **log).value)
    assert pdis(one, one, 0 * one, **log).value == 0
