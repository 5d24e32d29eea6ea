"""The built-in shopper answers a page as the closed form of its click model says, whichever it is.

Fresh seeds; a right sampler is refused once in FALSE_ALARM runs of a test, so this file once in a million.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.stats import chi2

from simulators import click_models
from simulators.base import Feedback
from simulators.click_models import ClickModel
from simulators.shopper import ItemTraits, Shopper, ShopperSimulator

FALSE_ALARM = 1e-7  # ten tests
USER = Shopper(
    examination_decay=0.8,
    click_bias=-0.4,
    lure_fit=0.6,
    price_dislike=0.3,
    boredom=0.5,
    after_click=0.4,
    after_skip=0.85,
    content_bias=0.2,
    content_quality=1.3,
    purchase_quality=0.5,
)
MODELS = {
    "position": ClickModel.POSITION,
    "cascade": ClickModel.CASCADE,
    "dependent": ClickModel.DEPENDENT,
    "dynamic-bayesian": ClickModel.DYNAMIC_BAYESIAN,
    "multinomial": ClickModel.MULTINOMIAL,
}
models = pytest.mark.parametrize("name", MODELS)


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def shop(name):
    rng = np.random.default_rng(4)
    traits = ItemTraits(
        price=rng.normal(size=20).astype(np.float32),
        group=(np.arange(20) % 3).astype(np.int32),
        lure=rng.normal(size=20).astype(np.float32),
        quality=rng.normal(size=20).astype(np.float32),
        worth=rng.normal(size=20).astype(np.float32),
    )
    return (
        ShopperSimulator(
            item_vectors=unit(rng.normal(size=(20, 6))),
            query_vectors=unit(rng.normal(size=(4, 6))),
            personas=unit(rng.normal(size=(3, 6))),
            traits=traits,
            shopper=dataclasses.replace(USER, click_model=name),
        ),
        traits,
        rng,
    )


def one_user(simulator, n, first_user=0):
    """`n` copies of one bored user in the midst of a session, with keys of their own."""
    state = simulator.begin(np.array([5]), seed=11)
    for first in (0, 3, 6):
        slate = np.arange(first, first + 3, dtype=np.int32)[None]
        simulator.respond(state, slate, seed=11)
    state = state.take(np.zeros(n, np.int64))
    state.user[:] = np.arange(first_user, first_user + n)
    return state


def closed_form(simulator, traits, name, slate):
    """Probability of every click vector, from the tables and the hidden row, in plain NumPy."""
    state = one_user(simulator, 1)
    hidden, query = state.hidden[0].astype(np.float64), int(state.query[0])
    items, u = simulator._items.astype(np.float64), simulator.shopper
    sensitivity, bored = hidden[6], hidden[12:]
    assert (bored > 0).all()
    logits = (
        u.click_bias
        + items[slate] @ (u.query_fit * simulator._queries[query] + u.taste_fit * hidden[:6])
        + u.lure_fit * traits.lure[slate]
        - u.price_dislike * sensitivity * traits.price[slate]
        - u.boredom * bored[traits.group[slate]]
    )
    k = np.arange(len(slate))
    satisfied = 1 / (1 + np.exp(-(u.content_bias + u.content_quality * traits.quality[slate])))
    rows = {
        "position": {"examination": (k + 1.0) ** -u.examination_decay},
        "cascade": {},
        "dependent": {"after_click": np.full(len(k), u.after_click)},
        "dynamic-bayesian": {
            "after_click": u.after_skip * (1 - satisfied),
            "after_skip": np.full(len(k), u.after_skip),
        },
        "multinomial": {"examination": (k + 1.0) ** -u.examination_decay},
    }[name]
    vectors = click_models.click_vectors(len(slate))
    return vectors, click_models.vector_probability(MODELS[name], logits[None], vectors, **rows)


@models
@pytest.mark.parametrize("k", [3, 4])
def test_clicks_follow_the_closed_form(name, k):
    simulator, traits, rng = shop(name)
    slate = rng.permutation(20)[:k].astype(np.int32)
    _, truth = closed_form(simulator, traits, name, slate)
    assert truth.sum() == pytest.approx(1.0, abs=1e-12)
    n, seed = 200_000, int(np.random.default_rng().integers(2**63))
    feedback = simulator.respond(one_user(simulator, n), np.tile(slate, (n, 1)), seed=seed)
    count = np.bincount((feedback.click * 2 ** np.arange(k)[::-1]).sum(axis=1), minlength=2**k)
    expected = n * truth
    possible = truth > 0
    assert count[~possible].sum() == 0
    statistic = (((count - expected) ** 2)[possible] / expected[possible]).sum()
    assert statistic < chi2.isf(FALSE_ALARM, possible.sum() - 1), f"seed {seed}"


@models
def test_what_is_absorbed_sums_to_one(name):
    # All that can happen on a page of three: clicks, purchases among them, leaving or not.
    simulator, traits, rng = shop(name)
    slate = rng.permutation(20)[:3].astype(np.int32)
    outcomes = [
        (click, purchase, left)
        for click in itertools.product((0, 1), repeat=3)
        for purchase in itertools.product((0, 1), repeat=3)
        for left in (False, True)
        if all(p <= c for p, c in zip(purchase, click, strict=True))
    ]
    assert len(outcomes) == 2 * 27
    click, purchase = (np.array([o[i] for o in outcomes], np.uint8) for i in (0, 1))
    state = one_user(simulator, len(outcomes))
    chance = np.exp(
        simulator.absorb(
            state,
            np.tile(slate, (len(outcomes), 1)),
            Feedback(click=click, purchase=purchase, left=np.array([o[2] for o in outcomes])),
            query=state.query.copy(),
            context=state.context.copy(),
        )
    )
    assert chance.sum() == pytest.approx(1.0, abs=1e-9)
    vectors, truth = closed_form(simulator, traits, name, slate)
    clicks = [chance[(click == vector).all(axis=1)].sum() for vector in vectors]
    np.testing.assert_allclose(clicks, truth, atol=1e-6)
