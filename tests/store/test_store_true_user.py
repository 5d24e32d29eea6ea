from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from simulators.base import InspectableSimulator, SessionState
from store.config import StoreConfig
from store.kernels.layout import Hidden
from store.shop import Store, open_store
from store.true_user import TrueUser, TrueUserConfig

FAR = 10_000_000


@pytest.fixture(scope="module")
def store() -> Store:
    return open_store(StoreConfig.tiny(), cache=False)


def slates_for(store: Store, state: SessionState, K: int = 10) -> NDArray[np.int32]:
    return store.candidates.items[state.query][:, :K]


def test_it_is_an_inspectable_simulator(store: Store) -> None:
    assert isinstance(store.true_simulator, InspectableSimulator)
    assert store.true_simulator.context_size == len(store.context_names)
    assert store.context_names == tuple(sorted(store.context_names))


def test_sessions_do_not_depend_on_the_batch(store: Store) -> None:
    user = store.true_simulator
    everyone = FAR + np.arange(100)  # parallel kernels
    together = user.begin(everyone, seed=5)
    alone = [user.begin(everyone[b : b + 1], seed=5) for b in (0, 3, 99)]  # serial kernels
    for _ in range(4):
        all_feedback = user.respond(together, slates_for(store, together), seed=5)
        for b, state in zip((0, 3, 99), alone, strict=True):
            feedback = user.respond(state, slates_for(store, state), seed=5)
            np.testing.assert_array_equal(feedback.click[0], all_feedback.click[b])
            np.testing.assert_array_equal(feedback.purchase[0], all_feedback.purchase[b])
            assert feedback.left[0] == all_feedback.left[b]
            np.testing.assert_array_equal(state.hidden[0], together.hidden[b])
            assert state.query[0] == together.query[b]
            assert state.step[0] == together.step[b]


def test_purchases_imply_clicks_and_seeds_matter(store: Store) -> None:
    user = store.true_simulator
    first, second = (user.begin(FAR + np.arange(500), seed=5) for _ in range(2))
    slates = slates_for(store, first)
    a, b = user.respond(first, slates, seed=5), user.respond(second, slates, seed=6)
    assert (a.purchase <= a.click).all()
    assert a.click.sum() > 50
    assert (a.click != b.click).any()


def test_visits_of_one_person_share_tastes_but_not_the_visit(store: Store) -> None:
    people = np.arange(300)
    first = store.true_simulator.begin(people, seed=0)
    second = store.true_simulator.begin(people + 250_000, seed=0)
    taste = slice(Hidden.TASTE, Hidden.TASTE + 8)
    np.testing.assert_array_equal(first.hidden[:, taste], second.hidden[:, taste])
    assert (first.query != second.query).mean() > 0.5
    other = store.true_simulator.begin(FAR + people, seed=0)
    assert (first.hidden[:, taste] != other.hidden[:, taste]).all()


def test_appeal_is_exact_at_the_top_of_the_page(store: Store) -> None:
    """The first position is always looked at: click frequencies must match `appeal` (false alarms 1 in 10,000)."""
    user = store.true_simulator
    state = user.begin(FAR + np.array([1]), seed=2)
    copies = state.take(np.zeros(40_000, np.int64))
    copies.user = FAR + np.arange(40_000)  # chance differs, hidden state does not
    slates = np.tile(slates_for(store, state), (40_000, 1))
    appeal = user.appeal(state, slates[:1])
    feedback = user.respond(copies, slates, seed=2)
    click, expected = feedback.click[:, 0].mean(), float(appeal.click[0, 0])
    assert abs(click - expected) < 3.9 * np.sqrt(expected * (1 - expected) / 40_000)
    clicked = feedback.click[:, 0] > 0
    bought, chance = feedback.purchase[clicked, 0].mean(), float(appeal.purchase[0, 0])
    assert abs(bought - chance) < 3.9 * np.sqrt(chance * (1 - chance) / clicked.sum())


def test_appeal_of_no_item_is_zero_and_state_is_untouched(store: Store) -> None:
    user = store.true_simulator
    state = user.begin(FAR + np.arange(3), seed=2)
    before = state.copy()
    found = user.appeal(state, np.array([[0, -1], [1, -1], [-1, 2]], np.int32))
    np.testing.assert_array_equal(found.click == 0, [[False, True], [False, True], [True, False]])
    np.testing.assert_array_equal(found.purchase == 0, [[False, True], [False, True], [True, False]])
    np.testing.assert_array_equal(state.hidden, before.hidden)
    np.testing.assert_array_equal(state.query, before.query)


def test_what_was_shown_is_less_welcome(store: Store) -> None:
    user = store.true_simulator
    state = user.begin(FAR + np.arange(200), seed=2)
    slates = slates_for(store, state)
    fresh = user.appeal(state, slates)
    after = state.copy()
    user.respond(after, slates, seed=2)
    after.query[:] = state.query
    bored = user.appeal(after, slates)
    assert (bored.click < fresh.click).all()


def looked_deep(store: Store, config: TrueUserConfig, **hidden: float) -> float:
    """Clicks on the lower half of the page when every look is a click, so clicks are looks."""
    user = TrueUser(store.true_simulator.shop, replace(config, click_base=60.0))
    state = user.begin(FAR + np.arange(4000), seed=2)
    for name, value in hidden.items():
        state.hidden[:, Hidden[name]] = value
    return float(user.respond(state, slates_for(store, state), seed=2).click[:, 5:].mean())


def test_attention_depends_on_satisfaction_patience_and_fatigue(store: Store) -> None:
    config = TrueUserConfig(look_interest=0.0)
    usual = looked_deep(store, config)
    assert looked_deep(store, config, SATISFACTION=2.0) > usual + 0.05
    assert looked_deep(store, config, PATIENCE=-2.0) < usual - 0.05
    assert looked_deep(store, config, FATIGUE=5.0) < usual - 0.05


def test_examination_depends_on_what_was_seen_above(store: Store) -> None:
    """The same item at position 2 is clicked more often under an appealing item than under a dull one."""
    user = store.true_simulator
    state = user.begin(FAR + np.array([7]), seed=2)
    items = store.candidates.items[state.query[0]][:20][None, :]
    order = np.argsort(-user.appeal(state, items).click[0])
    kind = user.shop.item_kind[items[0]]
    best, worst = items[0, order[0]], items[0, order[-1]]
    # The target is of another kind than both, so that no comparison of prices comes in.
    target = next(int(i) for i in range(user.n_items) if user.shop.item_kind[i] not in kind)
    rates = []
    for top in (best, worst):
        copies = state.take(np.zeros(60_000, np.int64))
        copies.user = FAR + np.arange(60_000)
        lively = TrueUser(user.shop, replace(user.config, look_base=0.0, look_interest=6.0))
        copies.hidden[:, Hidden.SATISFACTION] = 0.0
        slate = np.tile(np.array([top, target], np.int32), (60_000, 1))
        rates.append(float(lively.respond(copies, slate, seed=2).click[:, 1].mean()))
    assert rates[0] > rates[1]


def test_a_dearer_neighbour_is_punished(store: Store) -> None:
    user = store.true_simulator
    shop = user.shop
    kind = int(np.bincount(shop.item_kind).argmax())
    own = np.flatnonzero(shop.item_kind == kind)
    cheap, dear = own[shop.item_price[own].argmin()], own[shop.item_price[own].argmax()]
    other = int(np.flatnonzero(shop.item_kind != kind)[0])
    keen = TrueUser(shop, replace(user.config, click_base=-1.0, look_interest=0.0, contrast_dearer=3.0))
    rates = []
    for top in (cheap, other):
        state = keen.begin(FAR + np.arange(30_000), seed=2)
        slate = np.tile(np.array([top, dear], np.int32), (30_000, 1))
        rates.append(float(keen.respond(state, slate, seed=2).click[:, 1].mean()))
    assert rates[0] < rates[1] - 0.01


def test_hollow_hype_makes_users_leave(store: Store) -> None:
    shop = store.true_simulator.shop
    left = []
    for hype in (0.0, 2.0):
        hyped = shop._replace(item_hype=np.full_like(shop.item_hype, hype))
        user = TrueUser(hyped, replace(store.config.user, click_hype=0.0, purchase_hype=0.0, click_base=0.0))
        state = user.begin(FAR + np.arange(5000), seed=2)
        left.append(float(user.respond(state, slates_for(store, state), seed=2).left.mean()))
    assert left[1] > left[0] + 0.2


def test_a_purchase_leads_to_what_goes_with_it(store: Store) -> None:
    user = TrueUser(
        store.true_simulator.shop, replace(store.config.user, click_base=50.0, purchase_base=50.0)
    )
    complement = user.shop.complement
    state = user.begin(FAR + np.arange(5000), seed=2)
    asked = state.query.copy()
    user.respond(state, slates_for(store, state), seed=2)
    has = complement[asked, 0] >= 0
    went = (complement[asked] == state.query[:, None]).any(axis=1)
    assert went[has].mean() > 0.55


def test_context_is_public_and_weakly_tells_tastes(store: Store) -> None:
    user = store.true_simulator
    state = user.begin(FAR + np.arange(5000), seed=2)
    G = user.n_departments
    history = state.context[:, :G]
    np.testing.assert_array_equal(history.sum(axis=1), 1.0)
    right = history.argmax(axis=1) == state.hidden[:, Hidden.DEPARTMENT]
    assert 0.5 < right.mean() < 0.9
    spend = np.corrcoef(state.context[:, -1], state.hidden[:, Hidden.REFERENCE])[0, 1]
    assert 0.4 < spend < 0.9


def test_examination_weights_fall(store: Store) -> None:
    weights = store.true_simulator.examination_weights(10)
    assert weights[0] == 1.0
    assert (np.diff(weights) < 0).all()
    assert weights[-1] > 0.05
