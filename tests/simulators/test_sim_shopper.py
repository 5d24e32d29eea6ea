"""Laws of the built-in shopper: arriving, wanting, and what a page does to them, against hand-worked values.

Statistical tests refuse a right sampler with probability FALSE_ALARM each: this file, once in a million runs.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy import stats

from behavior.errors import InputError
from simulators.base import Feedback, TransparentSimulator
from simulators.contract import check_simulator
from simulators.kernels.shopper_layout import CONSTANTS, N_SCALARS, SCALARS
from simulators.shopper import ItemTraits, Shopper, ShopperSimulator

FALSE_ALARM = 2e-8  # about forty of them
D = 4
ITEMS = np.array(
    [[0.6, 0.8, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0.6, 0.8]], np.float32
)
QUERIES = np.eye(D, dtype=np.float32)
PERSONAS = np.eye(D, dtype=np.float32)
TRAITS = ItemTraits(
    price=np.array([-1.2, 0.5, 0.0, 1.0, 2.0, -0.3], np.float32),
    group=np.array([0, 1, 1, 2, 0, 2], np.int32),
    lure=np.array([0.5, -1.0, 0.3, 0.0, 1.0, 2.0], np.float32),
    quality=np.array([1.5, -0.5, 0.25, 1.0, -2.0, 0.5], np.float32),
    worth=np.array([-0.7, 0.4, 1.0, 0.0, 0.2, 0.9], np.float32),
)
MODELS = ("position", "cascade", "dependent", "dynamic-bayesian", "multinomial")
ALL_ZERO = Shopper(
    **dict.fromkeys(set(CONSTANTS) - {"checkout_bias", "return_bias", "mean_days"}, 0.0),
)
"""Everything switched off: a click and a purchase are fair coins."""


def shop(shopper=ALL_ZERO, *, traits=TRAITS, queries=QUERIES, **constants):
    return ShopperSimulator(
        item_vectors=ITEMS,
        query_vectors=queries,
        personas=PERSONAS,
        traits=traits,
        shopper=dataclasses.replace(shopper, **constants),
    )


def column(name):
    return D + SCALARS.index(name)


def user_of(simulator, n=1, *, query=0, taste=(0, 1, 0, 0), bored=(0, 0, 0), **scalars):
    """`n` copies of one user, each with chance of its own."""
    state = simulator.begin(np.arange(n), seed=0)
    state.query[:] = query
    state.hidden[:] = 0.0
    state.hidden[:, :D] = taste
    state.hidden[:, D + N_SCALARS :] = bored
    state.hidden[:, column("sensitivity")] = 1.0
    for name, value in scalars.items():
        state.hidden[:, column(name)] = value
    return state


def answered(simulator, state, slate, *, click=(), purchase=(), left=False):
    """`state` after the given answer to a page (positions clicked, positions bought)."""
    n, K = state.user.shape[0], len(slate)
    feedback = Feedback(
        click=np.tile(np.isin(np.arange(K), click).astype(np.uint8), (n, 1)),
        purchase=np.tile(np.isin(np.arange(K), purchase).astype(np.uint8), (n, 1)),
        left=np.full(n, left),
    )
    slates = np.tile(np.array(slate, np.int32), (n, 1))
    simulator.absorb(state, slates, feedback, query=state.query.copy(), context=state.context.copy())
    return state


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


def fits(count, chance):
    """Whether counts are what `chance` says, by chi-square."""
    count, expected = np.asarray(count, float), np.asarray(chance) * np.sum(count)
    assert expected.min() > 5
    return ((count - expected) ** 2 / expected).sum() < stats.chi2.isf(FALSE_ALARM, len(count) - 1)


def follows(sample, law):
    return stats.kstest(sample, law).pvalue > FALSE_ALARM


# --- arriving


def test_every_taste_has_unit_length():
    state = shop(taste_mix=0.7).begin(np.arange(3000), seed=1)
    np.testing.assert_allclose(np.linalg.norm(state.hidden[:, :D], axis=1), 1.0, atol=1e-6)


def test_without_a_mixture_a_taste_is_one_persona_each_as_likely():
    taste = shop(taste_mix=0.0).begin(np.arange(8000), seed=2).hidden[:, :D]
    assert set(np.unique(taste)) == {0.0, 1.0}
    assert fits(taste.sum(axis=0), np.full(D, 1 / D))


@pytest.mark.parametrize("mix", [0.4, 1.0])
def test_the_second_persona_weighs_up_to_half_the_mix(mix):
    taste = shop(taste_mix=mix).begin(np.arange(8000), seed=3).hidden[:, :D].astype(float)
    two = taste[(taste > 0).sum(axis=1) == 2]  # drawn twice the same persona: one in D
    assert abs(len(two) / 8000 - (1 - 1 / D)) < 6 * math.sqrt(0.25 * 0.75 / 8000)
    first, second = two.max(axis=1), np.where(two > 0, two, 9).min(axis=1)
    share = second / (first + second)  # personas are orthogonal, so the weights can be read off
    assert follows(share, stats.uniform(0, mix / 2).cdf)


def test_sensitivity_patience_and_their_reading_are_normal_and_independent():
    simulator = shop(sensitivity_spread=0.5, patience_spread=0.8, context_noise=0.3)
    state = simulator.begin(np.arange(20_000), seed=4)
    log_p = np.log(state.hidden[:, column("sensitivity")].astype(float))
    patience = state.hidden[:, column("patience")]
    noise = state.context[:, 0] - log_p
    for sample, spread in ((log_p, 0.5), (patience, 0.8), (noise, 0.3)):
        assert follows(sample / spread, "norm")
    for a, b in itertools.combinations((log_p, patience, noise), 2):
        assert abs(np.corrcoef(a, b)[0, 1]) < 6 / math.sqrt(20_000)


def test_spreads_of_zero_make_all_users_alike():
    state = shop(sensitivity_spread=0.0, patience_spread=0.0, context_noise=0.0).begin(np.arange(50), seed=5)
    assert (state.hidden[:, column("sensitivity")] == 1.0).all()
    assert (state.hidden[:, column("patience")] == 0.0).all()
    assert (state.context == 0.0).all()


def test_without_noise_the_shop_reads_the_sensitivity():
    state = shop(sensitivity_spread=0.5, context_noise=0.0).begin(np.arange(50), seed=5)
    np.testing.assert_allclose(state.context[:, 0], np.log(state.hidden[:, column("sensitivity")]), atol=1e-6)


def test_need_is_a_persona_drawn_apart_from_taste():
    hidden = shop().begin(np.arange(16_000), seed=6).hidden
    taste, need = hidden[:, :D].argmax(axis=1), hidden[:, column("need")].astype(int)
    table = np.zeros((D, D))
    np.add.at(table, (taste, need), 1)
    assert fits(table.ravel(), np.full(D * D, 1 / D**2))


def test_users_arrive_fresh_and_ask_for_any_query():
    state = shop().begin(np.arange(8000), seed=7)
    for name in ("satisfaction", "intent", "visits"):
        assert (state.hidden[:, column(name)] == 0).all()
    assert (state.hidden[:, D + N_SCALARS :] == 0).all()
    assert (state.context[:, 1:] == 0).all()
    assert fits(np.bincount(state.query, minlength=4), np.full(4, 0.25))


def test_weeks_follow_each_other_and_ask_for_their_own_queries():
    simulator = shop(n_weeks=2, users_per_week=10, new_query=1.0)
    users = np.arange(40)
    state = simulator.begin(users, seed=8)
    week = (users // 10) % 2
    np.testing.assert_array_equal(state.context[:, 3], (week / 2).astype(np.float32))
    for _ in range(20):
        np.testing.assert_array_equal(state.query // 2, week)
        simulator.respond(state, np.tile(np.array([[0, 1]], np.int32), (40, 1)), seed=8)


# --- wanting: item 0 is (0.6, 0.8, 0, 0), price -1.2, lure 0.5, quality 1.5, worth -0.7, group 0

CLICK_LOGIT = {
    "click_bias": 1.0,
    "query_fit": 0.6,
    "taste_fit": 0.8,
    "lure_fit": 0.5,
    "price_dislike": 2.4,
    "boredom": -1.5,
}
CART_LOGIT = {
    "purchase_bias": 1.0,
    "purchase_taste": 0.8,
    "purchase_need": 0.6,
    "purchase_worth": -0.7,
    "purchase_quality": 1.5,
    "purchase_price": 2.4,
}
"""What each constant adds to a logit, per unit, for the user below; worked by hand."""


def wanting(simulator):
    user = user_of(simulator, bored=(1.5, 9, 9), sensitivity=2.0, intent=0.75, need=0)
    appeal = simulator.appeal(user, np.array([[0, -1]], np.int32))
    assert appeal.click[0, 1] == appeal.purchase[0, 1] == 0
    return float(appeal.click[0, 0]), float(appeal.purchase[0, 0])


@pytest.mark.parametrize("name", [*CLICK_LOGIT, *CART_LOGIT])
def test_each_constant_moves_its_logit_by_hand(name):
    click, purchase = wanting(shop(**{name: 0.3}))
    assert click == pytest.approx(sigmoid(0.3 * CLICK_LOGIT.get(name, 0.0)), abs=1e-6)
    assert purchase == pytest.approx(sigmoid(0.3 * CART_LOGIT.get(name, 0.0)), abs=1e-6)


def test_all_constants_together():
    step = {name: 0.1 * (i + 1) for i, name in enumerate((*CLICK_LOGIT, *CART_LOGIT))}
    click, purchase = wanting(shop(**step, checkout_bias=-0.5, checkout_intent=2.0))
    assert click == pytest.approx(sigmoid(sum(step[c] * x for c, x in CLICK_LOGIT.items())), abs=1e-6)
    cart = sigmoid(sum(step[c] * x for c, x in CART_LOGIT.items()))
    assert purchase == pytest.approx(cart * sigmoid(-0.5 + 2.0 * 0.75), abs=1e-6)


def test_constants_of_other_matters_leave_wishes_alone():
    others = set(CONSTANTS) - set(CLICK_LOGIT) - set(CART_LOGIT) - {"checkout_bias", "return_bias"}
    moved = shop(**dict.fromkeys(others, 0.5))
    assert wanting(moved) == wanting(shop())


# --- what a page does; the third position is looked at with 1/sqrt(3) where the decay is 0.5


def test_boredom_grows_with_the_groups_shown_and_fades():
    simulator = shop(boredom_memory=0.8, examination_decay=0.5)
    user = answered(simulator, user_of(simulator, bored=(1, 2, 0)), [1, 0, 2])
    expected = [0.8 + 1 / math.sqrt(2), 1.6 + 1 + 1 / math.sqrt(3), 0.0]
    np.testing.assert_allclose(user.hidden[0, D + N_SCALARS :], expected, atol=1e-6)


def test_boredom_without_memory_is_the_last_page():
    simulator = shop(boredom_memory=0.0, examination_decay=0.0)
    user = answered(simulator, user_of(simulator, bored=(5, 5, 5)), [1, 2, 3])
    np.testing.assert_array_equal(user.hidden[0, D + N_SCALARS :], [0, 2, 1])


def satisfaction_after(simulator, slate=(0, 1, -1), click=(0, 1), purchase=(1,), **user):
    state = answered(simulator, user_of(simulator, **user), slate, click=click, purchase=purchase)
    return float(state.hidden[0, column("satisfaction")])


def test_satisfaction_by_hand():
    # Clicks on items 0 and 1 (quality 1.5 and -0.5), item 1 bought; looked at 1 and 2 ** -0.5.
    each = {
        "click_joy": 2.0,
        "quality_joy": 1.0,
        "purchase_joy": 1.0,
        "page_cost": -1.0,
        "satisfaction_memory": 0.7,
        "annoyance": -(3.0 + 2**-0.5) / (1 + 2**-0.5),
    }
    user = {"satisfaction": 0.7, "bored": (3, 1, 8)}
    total = 0.0
    constants = {"examination_decay": 0.5}
    for i, (name, effect) in enumerate(each.items()):
        weight = 0.1 * (i + 1)
        found = satisfaction_after(shop(examination_decay=0.5, **{name: weight}), **user)
        assert found == pytest.approx(weight * effect, abs=1e-6), name
        total += weight * effect
        constants[name] = weight
    assert satisfaction_after(shop(**constants), **user) == pytest.approx(total, abs=1e-6)
    assert satisfaction_after(shop(), **user) == 0.0


def test_an_empty_page_annoys_nobody():
    assert satisfaction_after(shop(annoyance=1.0), (-1, -1, -1), (), (), bored=(3, 3, 3)) == 0.0


def test_intent_by_hand():
    def after(**constants):
        simulator = shop(**constants)
        state = answered(simulator, user_of(simulator, intent=2.0), [0, 1], click=(0, 1), purchase=(0,))
        return float(state.hidden[0, column("intent")])

    assert after() == 0.0
    assert after(intent_memory=0.5) == 1.0
    assert after(intent_click=0.25) == 0.5
    assert after(intent_quality=0.5) == 0.5  # qualities 1.5 and -0.5
    assert after(intent_purchase=0.75) == -0.75


def test_drift_moves_the_taste_to_what_was_clicked():
    simulator = shop(drift=0.5)
    taste = answered(simulator, user_of(simulator), [1, 3, 4], click=(0, 2)).hidden[0, :D]
    expected = np.array([0.5, 1, 0, 0.5])
    np.testing.assert_allclose(taste, expected / math.sqrt(1.5), atol=1e-6)


@pytest.mark.parametrize(("drift", "click"), [(0.0, (0, 2)), (0.5, ())])
def test_no_drift_no_click_no_move(drift, click):
    simulator = shop(drift=drift)
    before = user_of(simulator, taste=(0.6, 0.8, 0, 0))
    after = answered(simulator, before.copy(), [1, 3, 4], click=click)
    np.testing.assert_array_equal(after.hidden[:, :D], before.hidden[:, :D])


def test_leaving_depends_on_satisfaction_and_patience():
    n = 100_000
    simulator = shop(leave_bias=-0.4, leave_satisfaction=1.5, satisfaction_memory=0.5)
    user = user_of(simulator, n, satisfaction=0.6, patience=0.2)
    left = simulator.respond(user, np.full((n, 2), -1, np.int32), seed=9).left.sum()
    chance = sigmoid(-0.4 - 1.5 * 0.5 * 0.6 - 0.2)
    assert fits([left, n - left], [chance, 1 - chance])


def test_coming_back_begins_another_visit():
    n = 100_000
    simulator = shop(
        leave_bias=60.0, return_bias=0.3, return_satisfaction=2.0, return_memory=0.25, satisfaction_memory=1.0,
        boredom_memory=1.0, intent_memory=1.0, new_query=0.0, mean_days=3.0, after_click=0.0,
    )  # fmt: skip
    user = user_of(simulator, n, query=2, satisfaction=0.4, intent=3.0, visits=1.0, bored=(4, 2, 0))
    user.context[:, 1] = math.log1p(1)
    left = simulator.respond(user, np.full((n, 2), -1, np.int32), seed=10).left
    chance = sigmoid(0.3 + 2.0 * 0.4)
    assert fits([n - left.sum(), left.sum()], [chance, 1 - chance])
    back = user.hidden[~left]
    np.testing.assert_array_equal(back[:, column("visits")], 2)
    np.testing.assert_array_equal(back[:, column("intent")], 0)
    np.testing.assert_allclose(back[:, column("satisfaction")], 0.1, atol=1e-7)
    np.testing.assert_array_equal(back[:, D + N_SCALARS :], np.tile([1, 0.5, 0], (len(back), 1)))
    np.testing.assert_allclose(user.context[~left, 1], math.log1p(2), atol=1e-6)
    assert fits(np.bincount(user.query[~left], minlength=4), np.full(4, 0.25))  # a new query all the same
    days = np.round(np.expm1(user.context[~left, 2].astype(float))).astype(int)
    stay = math.exp(-1 / 2.5)  # days - 1 is geometric: an exponential time of mean 2.5, rounded down
    law = [(1 - stay) * stay**d for d in range(8)] + [stay**8]
    assert fits(np.bincount(np.minimum(days - 1, 8), minlength=9), law)
    assert abs(days.mean() - 3.0) < 0.1  # what the constant promises
    gone = user.hidden[left]
    np.testing.assert_array_equal(gone[:, column("visits")], 1)
    np.testing.assert_array_equal(gone[:, column("intent")], 3)


def test_who_never_returns_leaves_for_good():
    simulator = shop(leave_bias=60.0)
    user = user_of(simulator, 500)
    assert simulator.respond(user, np.full((500, 2), -1, np.int32), seed=1).left.all()
    assert (user.context[:, 1:] == 0).all()


@pytest.mark.parametrize("anew", [0.0, 0.3, 1.0])
def test_a_new_query_comes_as_often_as_said(anew):
    n = 40_000
    simulator = shop(new_query=anew, leave_bias=-60.0)
    user = user_of(simulator, n, query=1)
    simulator.respond(user, np.full((n, 2), -1, np.int32), seed=11)
    law = np.full(4, anew / 4)
    law[1] += 1 - anew
    if anew:
        assert fits(np.bincount(user.query, minlength=4), law)
    else:
        assert (user.query == 1).all()


def test_carts_are_checked_out_by_intent():
    n = 60_000
    simulator = shop(purchase_bias=0.5, checkout_bias=-1.0, checkout_intent=0.5, examination_decay=0.0)
    user = user_of(simulator, n, intent=1.2)
    feedback = simulator.respond(user, np.tile(np.array([[0, 3]], np.int32), (n, 1)), seed=12)
    assert (feedback.cart <= feedback.click).all()
    assert (feedback.purchase <= feedback.cart).all()
    clicks, carts, bought = (int(a.sum()) for a in (feedback.click, feedback.cart, feedback.purchase))
    assert fits([carts, clicks - carts], [sigmoid(0.5), 1 - sigmoid(0.5)])
    assert fits([bought, carts - bought], [sigmoid(-0.4), 1 - sigmoid(-0.4)])


def test_without_a_checkout_what_is_carted_is_bought():
    feedback = shop().respond(user_of(shop(), 2000), np.tile(np.array([[0, 3]], np.int32), (2000, 1)), seed=3)
    np.testing.assert_array_equal(feedback.cart, feedback.purchase)
    assert feedback.cart.any()


def session(simulator, n=60):
    state, out = simulator.begin(np.arange(n), seed=13), []
    for page in range(4):
        slates = np.tile(np.roll(np.arange(6, dtype=np.int32), page)[:3], (n, 1))
        feedback = simulator.respond(state, slates, seed=13)
        out += [feedback.click.copy(), feedback.purchase.copy(), feedback.left.copy(), state.query.copy()]
    return out


MIND = {
    "lure": ("lure_fit",),
    "worth": ("purchase_worth",),
    "quality": ("purchase_quality", "quality_joy", "intent_quality", "content_quality"),
    "price": ("price_dislike", "purchase_price"),
    "group": ("boredom", "annoyance"),
}


@pytest.mark.parametrize("trait", MIND)
@pytest.mark.parametrize("on", [False, True])
def test_zero_switches_off_what_hangs_on_a_trait(trait, on):
    # With the constants at zero, shuffled traits give the same sessions to the bit; with them they do not.
    constants = dict.fromkeys(MIND[trait], 1.5 if on else 0.0)
    live = Shopper(
        click_model="dynamic-bayesian", leave_bias=-1.0, checkout_bias=0.0, checkout_intent=1.0, intent_memory=0.5,
        lure_fit=0.0, price_dislike=0.0, boredom=0.0, content_quality=0.0, purchase_worth=0.0,
        purchase_quality=0.0, purchase_price=0.0, quality_joy=0.0, annoyance=0.0, intent_quality=0.0,
    )  # fmt: skip
    shuffled = dataclasses.replace(TRAITS, **{trait: getattr(TRAITS, trait)[::-1].copy()})
    pages = [session(shop(live, traits=traits, **constants)) for traits in (TRAITS, shuffled)]
    same = all(np.array_equal(a, b) for a, b in zip(*pages, strict=True))
    assert same == (not on)


# --- chances computed and drawn: every outcome of a page of two

BUSY = Shopper(
    click_bias=0.3, query_fit=0.5, taste_fit=0.6, lure_fit=0.2, price_dislike=0.2, boredom=0.2, purchase_bias=0.4,
    purchase_need=0.5, purchase_worth=0.3, purchase_quality=0.2, purchase_price=0.3, checkout_bias=0.5,
    checkout_intent=0.4, annoyance=0.1, quality_joy=0.3, drift=0.4, intent_memory=0.6, intent_click=0.3,
    intent_quality=0.1, intent_purchase=0.2, leave_bias=0.2, leave_satisfaction=0.6, return_bias=0.3,
    return_satisfaction=0.5, patience_spread=0.2, taste_mix=1.0, n_weeks=2, users_per_week=5,
)  # fmt: skip
SLATE = np.array([0, 5], np.int32)
LEFT, STAYED, RETURNED = range(3)
OUTCOMES = [
    (click, purchase, end)
    for click in itertools.product((0, 1), repeat=2)
    for purchase in itertools.product((0, 1), repeat=2)
    for end in (LEFT, STAYED, RETURNED)
    if purchase[0] <= click[0] and purchase[1] <= click[1]
]


def busy_user(simulator, n, first_user=0):
    state = simulator.begin(np.array([3]), seed=21)
    simulator.respond(state, np.array([[1, 2]], np.int32), seed=21)
    state = state.take(np.zeros(n, np.int64))
    state.user[:] = np.arange(first_user, first_user + n)
    return state


def chances(simulator):
    """Probability of each outcome, and its logarithm's user."""
    n = len(OUTCOMES)
    state = busy_user(simulator, n)
    context = state.context.copy()
    context[[end == RETURNED for _, _, end in OUTCOMES], 1] += 0.5
    feedback = Feedback(
        click=np.array([o[0] for o in OUTCOMES], np.uint8),
        purchase=np.array([o[1] for o in OUTCOMES], np.uint8),
        left=np.array([o[2] == LEFT for o in OUTCOMES]),
    )
    return np.exp(
        simulator.absorb(state, np.tile(SLATE, (n, 1)), feedback, query=state.query.copy(), context=context)
    )


@pytest.mark.parametrize("model", MODELS)
def test_chances_of_all_outcomes_sum_to_one(model):
    assert len(OUTCOMES) == 27
    assert chances(shop(BUSY, click_model=model)).sum() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_outcomes_come_as_often_as_absorb_says(model):
    n, seed = 200_000, int(np.random.default_rng().integers(2**63))
    simulator = shop(BUSY, click_model=model)
    state = busy_user(simulator, n)
    before = state.context[:, 1].copy()
    feedback = simulator.respond(state, np.tile(SLATE, (n, 1)), seed=seed)
    end = np.where(feedback.left, LEFT, np.where(state.context[:, 1] > before, RETURNED, STAYED))
    found = [
        (
            (feedback.click == click).all(axis=1) & (feedback.purchase == purchase).all(axis=1) & (end == e)
        ).sum()
        for click, purchase, e in OUTCOMES
    ]
    truth = chances(simulator)
    possible = truth > 1e-200  # cascade and multinomial choice never give two clicks
    assert np.array(found)[~possible].sum() == 0
    assert sum(found) == n
    assert fits(np.array(found)[possible], truth[possible]), f"seed {seed}"


@pytest.mark.parametrize("model", MODELS)
def test_absorbing_what_was_drawn_gives_the_next_state_to_the_bit(model):
    simulator = shop(BUSY, click_model=model)
    assert isinstance(simulator, TransparentSimulator)
    state = simulator.begin(np.arange(150), seed=22)
    total = np.zeros(150)
    for page in range(5):
        follower = state.copy()
        slates = np.tile(np.roll(np.arange(6, dtype=np.int32), page)[:3], (150, 1))
        feedback = simulator.respond(state, slates, seed=22)
        log = simulator.absorb(follower, slates, feedback, query=state.query, context=state.context)
        for name in ("hidden", "query", "context", "step", "user"):
            np.testing.assert_array_equal(getattr(follower, name), getattr(state, name), err_msg=name)
        assert (log < 0).all()
        total += log
    assert np.isfinite(total).all()


def test_the_context_tells_of_the_sensitivity_as_it_is_drawn():
    simulator = shop(sensitivity_spread=0.5, context_noise=0.4)
    state = simulator.begin(np.arange(3), seed=23)
    log_p = np.log(state.hidden[:, column("sensitivity")].astype(float))
    context = state.context.copy()
    context[:, 0] = log_p + np.array([0.0, 0.4, -0.8])
    density = simulator.context_log_density(state, context)
    np.testing.assert_allclose(density, [0.0, -0.5, -2.0], atol=1e-5)


# --- the contract, and mistakes


@pytest.mark.parametrize("model", MODELS)
def test_keeps_the_contract(model):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 6))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    columns = {c: rng.normal(size=40).astype(np.float32) for c in ("price", "lure", "quality", "worth")}
    simulator = ShopperSimulator(
        item_vectors=vectors[:40],
        query_vectors=vectors[40:50],
        personas=vectors[50:],
        traits=ItemTraits(group=rng.integers(0, 5, 40).astype(np.int32), **columns),
        shopper=dataclasses.replace(BUSY, click_model=model),
    )
    assert len(check_simulator(simulator)) == 10


def test_examination_weights_fall_by_hand():
    decay = shop(examination_decay=0.5).examination_weights(4)
    np.testing.assert_allclose(decay, [1, 2**-0.5, 3**-0.5, 0.5], atol=1e-6)
    # From the top, a reader clicks 15 % of what they look at and then stops.
    cascade = shop(click_model="cascade", after_click=0.5).examination_weights(3)
    np.testing.assert_allclose(cascade, [1, 0.85, 0.85**2], atol=1e-6)
    dependent = shop(click_model="dependent", after_click=0.4).examination_weights(3)
    np.testing.assert_allclose(dependent, [1, 0.91, 0.91**2], atol=1e-6)
    bayesian = shop(click_model="dynamic-bayesian", after_skip=0.8).examination_weights(3)
    np.testing.assert_allclose(bayesian, [1, 0.8 * 0.925, (0.8 * 0.925) ** 2], atol=1e-6)


@pytest.mark.parametrize(
    ("constants", "named"),
    [
        ({"click_model": "oracle"}, "click_model"),
        ({"taste_mix": 1.5}, "taste_mix"),
        ({"new_query": -0.1}, "new_query"),
        ({"boredom_memory": float("nan")}, "boredom_memory"),
        ({"satisfaction_memory": 1.1}, "satisfaction_memory"),
        ({"intent_memory": -0.5}, "intent_memory"),
        ({"examination_decay": -1.0}, "examination_decay"),
        ({"sensitivity_spread": -0.1}, "sensitivity_spread"),
        ({"patience_spread": -0.1}, "patience_spread"),
        ({"context_noise": -0.1}, "context_noise"),
        ({"drift": -1.0}, "drift"),
        ({"mean_days": -1.0}, "mean_days"),
        ({"click_bias": float("nan")}, "click_bias"),
        ({"leave_bias": float("inf")}, "leave_bias"),
        ({"checkout_bias": float("nan")}, "checkout_bias"),
        ({"return_bias": float("inf")}, "return_bias"),
        ({"n_weeks": 3}, "n_weeks"),
        ({"n_weeks": 0}, "n_weeks"),
        ({"users_per_week": 0}, "users_per_week"),
        ({"users_per_week": float("nan")}, "users_per_week"),  # rows beside the table of queries otherwise
        ({"users_per_week": 2.5}, "users_per_week"),
        ({"n_weeks": 1.0}, "n_weeks"),
        ({"n_weeks": None}, "n_weeks"),
        ({"click_model": 3}, "click_model"),
        ({"taste_fit": "much"}, "taste_fit"),
        ({"boredom": None}, "boredom"),
        ({"drift": [0.1]}, "drift"),
        ({"query_fit": 1e308}, "query_fit"),  # not finite in single precision
        ({"new_query": True}, "new_query"),
    ],
)
def test_impossible_constants_are_named(constants, named):
    with pytest.raises(InputError) as caught:
        shop(**constants)
    assert named in caught.value.where


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"item_vectors": ITEMS[:5]}, "belong together"),
        ({"item_vectors": ITEMS[:0]}, "belong together"),
        ({"query_vectors": np.eye(3, dtype=np.float32)}, "belong together"),
        ({"personas": PERSONAS[:0]}, "persona"),
        ({"personas": np.eye(3, dtype=np.float32)}, "belong together"),
        ({"traits": dataclasses.replace(TRAITS, group=TRAITS.group - 1)}, "group"),
        ({"traits": dataclasses.replace(TRAITS, lure=TRAITS.lure[:3])}, "belong together"),
        ({"traits": dataclasses.replace(TRAITS, price=TRAITS.price * np.float32("nan"))}, "price"),
        ({"item_vectors": ITEMS + np.float32("inf")}, "item_vectors"),
    ],
)
def test_tables_that_cannot_be_used_are_named(change, named):
    tables = {
        "item_vectors": ITEMS,
        "query_vectors": QUERIES,
        "personas": PERSONAS,
        "traits": TRAITS,
    } | change
    with pytest.raises(InputError, match=named):
        ShopperSimulator(**tables)
