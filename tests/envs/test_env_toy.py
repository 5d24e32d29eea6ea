"""The built-in shopper obeys the laws it states; checked by counting over many users."""

from __future__ import annotations

import math

import numpy as np
import pytest

from behavior.errors import InputError
from envs.toy import toy_world
from simulators.base import TransparentSimulator
from simulators.contract import check_simulator
from simulators.shopper import ItemTraits, Shopper, ShopperSimulator

B = 20_000


@pytest.fixture(scope="module")
def world():
    return toy_world(300, 12, 20)


@pytest.fixture(scope="module")
def arrivals(world):
    return world.simulator.begin(np.arange(B), seed=3)


def first_page(world, state):
    return np.ascontiguousarray(world.candidates.items[state.query][:, :5])


def test_contract(world):
    assert isinstance(world.simulator, TransparentSimulator)
    check_simulator(world.simulator)


def test_clicks_are_appeal_times_examination(world, arrivals):
    slates = first_page(world, arrivals)
    appeal = world.simulator.appeal(arrivals, slates)
    feedback = world.simulator.respond(arrivals.copy(), slates, seed=3)
    expected = appeal.click * world.simulator.examination_weights(5)
    error = (feedback.click.mean(axis=0) - expected.mean(axis=0)) * math.sqrt(B) / 0.5
    assert np.abs(error).max() < 4
    bought = feedback.purchase.sum(axis=0)
    promised = (feedback.click * appeal.purchase).sum(axis=0)
    assert np.abs(bought - promised).max() < 4 * np.sqrt(promised).max()
    assert (feedback.purchase <= feedback.click).all()


def test_appeal_of_one_user_by_hand(world, arrivals):
    simulator, features, user = world.simulator, world.features, Shopper()
    one = arrivals.take(np.array([17]))
    item, query = 42, int(one.query[0])
    taste = one.hidden[0, :16].astype(np.float64)
    vector = features.item_vectors[item].astype(np.float64)
    assert np.linalg.norm(taste) == pytest.approx(1, abs=1e-6)
    logit = user.click_bias + user.query_fit * vector @ features.query_vectors[query]
    logit += user.taste_fit * vector @ taste
    price = float(features.item_numeric[item, 0])
    purchase = user.purchase_bias + user.purchase_taste * vector @ taste - float(one.hidden[0, 16]) * price
    appeal = simulator.appeal(one, np.array([[item, -1]], np.int32))
    assert appeal.click[0, 0] == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-5)
    assert appeal.purchase[0, 0] == pytest.approx(1 / (1 + math.exp(-purchase)), rel=1e-5)
    assert appeal.click[0, 1] == appeal.purchase[0, 1] == 0


def test_repeats_bore(world, arrivals):
    slates = first_page(world, arrivals)
    state = arrivals.copy()
    fresh = world.simulator.appeal(state, slates).click
    world.simulator.respond(state, slates, seed=3)
    same = state.query == arrivals.query
    assert 0.4 < same.mean() < 0.7
    assert (world.simulator.appeal(state, slates).click[same] < fresh[same]).all()


def test_satisfied_users_stay(world, arrivals):
    state = arrivals.copy()
    feedback = world.simulator.respond(state, first_page(world, arrivals), seed=3)
    clicks = feedback.click.sum(axis=1)
    assert feedback.left[clicks == 0].mean() > feedback.left[clicks >= 2].mean() + 0.05


def test_dear_items_are_bought_less(world, arrivals):
    order = np.argsort(world.features.price)
    everyone = np.tile(order.astype(np.int32), (200, 1))
    appeal = world.simulator.appeal(arrivals.take(np.arange(200)), everyone).purchase.mean(axis=0)
    assert appeal[:100].mean() > 1.5 * appeal[-100:].mean()


def test_the_world_is_the_same_for_the_same_seed():
    a, b, c = toy_world(100, 5, 10), toy_world(100, 5, 10), toy_world(100, 5, 10, seed=1)
    np.testing.assert_array_equal(a.candidates.items, b.candidates.items)
    np.testing.assert_array_equal(a.features.item_vectors, b.features.item_vectors)
    assert (a.candidates.items != c.candidates.items).any()
    assert (np.diff(a.candidates.scores, axis=1) <= 0).all()


def test_tables_that_do_not_belong_together():
    with pytest.raises(InputError, match=r"\(3, 2\)"):
        ShopperSimulator(
            item_vectors=np.zeros((3, 2), np.float32),
            query_vectors=np.zeros((1, 2), np.float32),
            personas=np.zeros((1, 2), np.float32),
            traits=ItemTraits(price=np.zeros(4, np.float32), group=np.zeros(3, np.int32)),
        )
