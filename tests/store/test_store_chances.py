"""What the true user says of its own chances: against frequencies, against the drawn state, and as a posterior."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.belief_filter import Belief, BeliefFilter, FilterConfig, SeenPage
from simulators.base import Feedback, SessionState, TransparentSimulator
from store.config import StoreConfig
from store.kernels.layout import Hidden
from store.shop import Store, open_store
from store.true_user import TrueUser

FAR = 10_000_000


@pytest.fixture(scope="module")
def store() -> Store:
    return open_store(StoreConfig.tiny(), cache=False)


@pytest.fixture(scope="module")
def lively(store: Store) -> TrueUser:
    """Users who click, buy, skip and stop often, so that small pages have many answers."""
    config = replace(
        store.true_simulator.config,
        click_base=-1.8,
        purchase_base=-0.5,
        look_base=0.9,
        skip_dull=6.0,
        contrast_dearer=2.0,
        page_speed=1.5,
        fatigue_look=0.4,
    )
    return TrueUser(store.true_simulator.shop, config)


def copies(state: SessionState, n: int, first: int) -> SessionState:
    """`n` copies of the one user in `state`, whose chance alone differs."""
    many = state.take(np.zeros(n, np.int64))
    many.user = first + np.arange(n)
    return many


def estimates(
    user: TrueUser, state: SessionState, slate: NDArray[np.int32], outcome: tuple[bytes, bytes, int], n: int
) -> NDArray[np.float64]:
    """`n` estimates of the probability of an outcome (clicks, purchases, next query or -1: left)."""
    click, purchase, query = outcome
    many = copies(state, n, 2**40)
    feedback = Feedback(
        click=np.tile(np.frombuffer(click, np.uint8), (n, 1)),
        purchase=np.tile(np.frombuffer(purchase, np.uint8), (n, 1)),
        left=np.full(n, query < 0),
    )
    after = np.full(n, max(query, 0), np.int32)
    return np.exp(
        user.absorb(many, np.tile(slate, (n, 1)), feedback, query=after, context=many.context.copy())
    )


@pytest.mark.parametrize("person", [3, 8])
def test_outcomes_come_as_often_as_absorb_says(store: Store, lively: TrueUser, person: int) -> None:
    """On a second page of four, two of one kind; false alarms under 1 in 1,000 (34 comparisons at 4.5 errors)."""
    state = lively.begin(FAR + np.array([person]), seed=2)
    lively.respond(state, store.candidates.items[state.query][:, 10:14], seed=2)
    slate = store.candidates.items[state.query][:, :4]
    n, m = 150_000, 3_000
    drawn = copies(state, n, FAR)
    answer = lively.respond(drawn, np.tile(slate, (n, 1)), seed=11)
    after = np.where(answer.left, -1, drawn.query).tolist()
    found = Counter(
        (c.tobytes(), p.tobytes(), q) for c, p, q in zip(answer.click, answer.purchase, after, strict=True)
    )
    assert len(found) > 100
    common = found.most_common(34)
    assert any(any(clicks) for (clicks, _, _), _ in common)
    assert any(query < 0 for (_, _, query), _ in common)
    for outcome, times in common:
        guess = estimates(lively, state, slate, outcome, m)
        error = np.hypot(guess.std() / np.sqrt(m), np.sqrt(guess.mean() / n))
        assert abs(times / n - guess.mean()) < 4.5 * error, (outcome, times / n, guess.mean())


def test_where_every_look_is_a_click_the_state_is_the_drawn_one(store: Store) -> None:
    user = TrueUser(store.true_simulator.shop, replace(store.config.user, click_base=60.0))
    assert isinstance(user, TransparentSimulator)
    state = user.begin(FAR + np.arange(150), seed=4)
    for _ in range(4):
        follower = state.copy()
        slates = store.candidates.items[state.query][:, :6]
        feedback = user.respond(state, slates, seed=4)
        log = user.absorb(follower, slates, feedback, query=state.query, context=state.context)
        for name in ("hidden", "query", "context", "step", "user"):
            np.testing.assert_array_equal(getattr(follower, name), getattr(state, name), err_msg=name)
        assert np.isfinite(log).all()
        assert (log < 0).all()


def test_a_guess_depends_on_its_own_number_alone(store: Store, lively: TrueUser) -> None:
    state = lively.begin(FAR + np.arange(100), seed=1)
    slates = store.candidates.items[state.query][:, :8]
    before = state.copy()
    feedback = lively.respond(state, slates, seed=1)
    whole, again, some = before.copy(), before.copy(), before.take(np.array([70, 3]))
    log = lively.absorb(whole, slates, feedback, query=state.query, context=state.context)
    np.testing.assert_array_equal(
        log, lively.absorb(again, slates, feedback, query=state.query, context=state.context)
    )
    rows = np.array([70, 3])
    answer = Feedback(click=feedback.click[rows], purchase=feedback.purchase[rows], left=feedback.left[rows])
    alone = lively.absorb(some, slates[rows], answer, query=state.query[rows], context=state.context[rows])
    np.testing.assert_array_equal(alone, log[rows])
    np.testing.assert_array_equal(some.hidden, whole.hidden[rows])
    other = before.copy()
    other.user += 1
    lively.absorb(other, slates, feedback, query=state.query, context=state.context)
    moved = (other.hidden != whole.hidden).any(axis=1)
    assert 0.2 < moved.mean() < 1.0  # other guesses of what was looked at


def follow(store: Store, user: TrueUser, n: int, pages: int) -> tuple[SessionState, Belief]:
    """Users who stayed for `pages` random pages: their true state, and what a filter believes of them."""
    beliefs = BeliefFilter(user, FilterConfig(guesses=400, pool=4096, least=0.0), seed=5)
    state = user.begin(FAR + 31 * np.arange(n), seed=77)
    belief = beliefs.begin(state.user, state.query, state.context)
    rng = np.random.default_rng(0)
    for _ in range(pages):
        chosen = np.argsort(rng.random((state.user.size, 30)), axis=1)[:, :8]
        slates = np.take_along_axis(store.candidates.items[state.query][:, :30], chosen, axis=1)
        answer = user.respond(state, slates, seed=77)
        stay = np.flatnonzero(~answer.left)
        state, belief = state.take(stay), belief.take(stay)
        page = SeenPage(slates, answer.click, answer.purchase, state.query, state.context)
        page = SeenPage(slates[stay], answer.click[stay], answer.purchase[stay], state.query, state.context)
        beliefs.follow(belief, page)
    return state, belief


@pytest.mark.parametrize("pages", [0, 2])
def test_the_truth_ranks_anywhere_among_the_guesses(store: Store, lively: TrueUser, pages: int) -> None:
    """Simulation-based calibration (Talts et al. 2018): ranks of the truth are uniform (Kolmogorov-Smirnov, 1 in
    10,000 each), and the department is as often right as it is believed."""
    user = TrueUser(lively.shop, replace(lively.config, leave_base=-4.0))
    state, belief = follow(store, user, 300, pages)
    n, S = belief.log_weight.shape
    assert n > 100
    chances = belief.chances()
    hidden = belief.state.hidden.reshape(n, S, -1)
    columns = [Hidden.REFERENCE, Hidden.PATIENCE] + ([Hidden.SATISFACTION, Hidden.FATIGUE] if pages else [])
    for column in columns:
        ranks = np.sort((chances * (hidden[:, :, column] < state.hidden[:, None, column])).sum(axis=1))
        steps = np.arange(n + 1) / n
        off = max(np.abs(ranks - steps[1:]).max(), np.abs(ranks - steps[:-1]).max())
        assert off < 2.23 / np.sqrt(n) + 0.02, (Hidden(column).name, off)  # 0.02: one pool serves all users
    right = (chances * (hidden[:, :, Hidden.DEPARTMENT] == state.hidden[:, None, Hidden.DEPARTMENT])).sum(
        axis=1
    )
    share = np.stack(
        [(chances * (hidden[:, :, Hidden.DEPARTMENT] == d)).sum(axis=1) for d in range(8)], axis=1
    )
    expected = (share**2).sum(axis=1)  # what a belief expects to give to the truth
    assert abs(right.mean() - expected.mean()) < 4.0 * (right - expected).std() / np.sqrt(n)
    assert right.mean() > (0.6 if pages else 0.4)  # and it does tell something
