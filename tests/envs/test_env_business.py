"""Rules of a shop: pages keep them, costs count what was asked for, stock depends on user, page and item alone."""

from __future__ import annotations

import dataclasses

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from behavior.errors import InputError
from encoders.features import CandidateTable
from envs import SlateCore, SlateEnv, SlateVecEnv, SlateVectorEnv, SlotBySlot, TaskConfig, toy_world
from envs.business import BusinessRules
from envs.contract import check_env_suite
from envs.contract_tools import random_actions
from envs.tasks import make_task
from simulators.kernels.rng import Purpose, uniform_table

WORLD = toy_world(n_items=40, n_queries=6, n_candidates=12)
RULES = BusinessRules(max_per_brand=2, sponsored_slots=(1,), sold_out=0.15, selling_out=0.3, seed=4)


def shop(brand=None, sponsored=None, lengths=None):
    """The small world with brands, sponsors, and candidate lists cut to `lengths` (Q,)."""
    n = WORLD.features.n_items
    candidates = WORLD.candidates
    if lengths is not None:
        keep = np.arange(candidates.items.shape[1]) < np.asarray(lengths)[:, None]
        candidates = CandidateTable(
            items=np.where(keep, candidates.items, -1), scores=np.where(keep, candidates.scores, 0.0)
        )
    return dataclasses.replace(
        WORLD,
        candidates=candidates,
        brand=np.arange(n, dtype=np.int32) % 3 if brand is None else np.asarray(brand, np.int32),
        sponsored=np.arange(n) % 4 == 0 if sponsored is None else np.asarray(sponsored, bool),
    )


def task_with(rules=RULES, **sizes):
    return TaskConfig(**{"slate_size": 4, "n_candidates": 12, "max_steps": 6} | sizes, rules=rules)


def begun(world, task, n=5, **arguments):
    core = SlateCore(world, task, n_users=n, seed=2, **arguments)
    return core, core.reset()


# --- a slow re-implementation of the rules, from their documentation


def slow_stock(rules, task, user, step, items):
    """Which of `items` this user finds in stock: the first K of the others count where fewer than K are left."""
    stock = []
    for item in items:
        if item < 0:
            stock.append(False)
            continue
        key = np.array([user]), np.array([item], np.int32)
        u0, u1, u2 = uniform_table(rules.seed, *key, Purpose.STOCK, 3)[0]
        gone_from = 1 + int(u2 * task.max_steps) if u1 < rules.selling_out else task.max_steps
        stock.append(not u0 < rules.sold_out and step < gone_from)
    for n, item in enumerate(items):
        if sum(stock) < task.slate_size and item >= 0:
            stock[n] = True
    return stock


def fault(world, rules, items, stock, page, a):
    """What choosing position `a` after `page` would break: None, 'repeat', 'stock', 'brand' or 'sponsored'."""
    if not stock[a]:
        return "stock"
    if a in page:
        return "repeat"
    if sum(world.brand[items[j]] == world.brand[items[a]] for j in page) >= rules.max_per_brand:
        return "brand"
    if len(page) in rules.sponsored_slots and not world.sponsored[items[a]]:
        return "sponsored"
    return None


def slow_page(world, rules, task, user, step, items, action):
    """Positions shown and costs, choice by choice."""
    stock, page = slow_stock(rules, task, user, step, items), []
    costs = {"stock": 0, "brand": 0, "sponsored": 0}
    for wanted in action:
        broken = fault(world, rules, items, stock, page, wanted)
        if broken in costs:
            costs[broken] += 1
        order = [(wanted + offset) % len(items) for offset in range(len(items))]
        faults = {a: fault(world, rules, items, stock, page, a) for a in order}
        gives_way = ([None], [None, "sponsored"]) if rules.enforce else ()
        for allowed in (*gives_way, [None, "sponsored", "brand"]):
            fine = [a for a in order if faults[a] in allowed]
            if fine:
                page.append(fine[0])
                break
    return page, costs


BRANDS = st.lists(st.integers(0, 4), min_size=40, max_size=40)
SPONSORS = st.lists(st.booleans(), min_size=40, max_size=40)
SHOPS = st.fixed_dictionaries(
    {
        "brand": BRANDS,
        "sponsored": SPONSORS,
        "lengths": st.lists(st.integers(4, 12), min_size=6, max_size=6),
    }
)
ALL_RULES = st.builds(
    BusinessRules,
    max_per_brand=st.integers(1, 4),
    sponsored_slots=st.sets(st.integers(0, 3)).map(lambda s: tuple(sorted(s))),
    sold_out=st.sampled_from([0.0, 0.3, 0.9]),
    selling_out=st.sampled_from([0.0, 0.5, 1.0]),
    enforce=st.booleans(),
    seed=st.integers(0, 5),
)


@settings(max_examples=60, deadline=None)
@given(parts=SHOPS, rules=ALL_RULES, seed=st.integers(0, 1000))
def test_pages_and_costs_are_what_a_slow_reading_of_the_rules_gives(parts, rules, seed):
    world, task = shop(**parts), task_with(rules)
    core, observation = begun(world, task, 3)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        state = core.state.copy()
        actions = rng.integers(0, 12, (3, 4))
        result = core.step(actions)
        for b in range(3):
            items = core.candidates.items[state.query[b]]
            user, step = int(state.user[b]), int(state.step[b])
            stock = slow_stock(rules, task, user, step, items)
            np.testing.assert_array_equal(observation.candidates[b], np.where(stock, items, -1))
            page, costs = slow_page(world, rules, task, user, step, items, actions[b])
            np.testing.assert_array_equal(result.positions[b], page)
            np.testing.assert_array_equal(result.slates[b], items[page])
            assert {name: cost[b] for name, cost in result.costs.items()} == costs
            assert result.repairs[b] == (np.array(page) != actions[b]).sum()
        observation = result.observation


@settings(max_examples=40, deadline=None)
@given(parts=SHOPS, rules=ALL_RULES, seed=st.integers(0, 1000))
def test_following_the_mask_slot_by_slot_never_needs_a_repair(parts, rules, seed):
    env = SlotBySlot(SlateEnv(shop(**parts), task_with(rules), seed=3))
    rng = np.random.default_rng(seed)
    observation, _ = env.reset()
    for _ in range(12):
        legal = np.flatnonzero(observation["action_mask"])
        np.testing.assert_array_equal(legal, np.flatnonzero(env.action_masks()))
        observation, _, terminated, truncated, info = env.step(rng.choice(legal))
        assert info["repairs"] == 0
        if terminated or truncated:
            observation, _ = env.reset()


@settings(max_examples=40, deadline=None)
@given(parts=SHOPS, rules=ALL_RULES, seed=st.integers(0, 1000))
def test_the_mask_forbids_nothing_that_the_environment_would_show(parts, rules, seed):
    # What the mask strikes out, the environment repairs: the mask is as wide as it can be.
    world, task = shop(**parts), task_with(rules)
    core, observation = begun(world, task, 1)
    rng, page = np.random.default_rng(seed), []
    for k in range(4):
        mask = core.rules.legal(observation.candidates[0], np.array(page, np.int64))
        for a in range(12):
            twin, _ = begun(world, task, 1)
            asked = np.array([[*page, a, *[0] * (3 - k)]])
            assert (twin.step(asked).positions[0, k] == a) == mask[a]
        page.append(int(rng.choice(np.flatnonzero(mask))))


def shown(core, n_pages=5):
    for _ in range(n_pages):
        state = core.state.copy()
        yield state, core.step(random_actions(core.task, state.user, state.step))


def test_random_pages_keep_the_rules_where_every_page_can():
    # Five brands of two items each at least, sponsors in plenty, nothing sold out: no rule ever gives way.
    rules = BusinessRules(max_per_brand=1, sponsored_slots=(0, 2))
    world = shop(brand=np.arange(40) % 7, sponsored=np.arange(40) % 2 == 0)
    core, _ = begun(world, task_with(rules), 100)
    broken = np.zeros(3)
    for _, result in shown(core):
        brands = np.sort(world.brand[result.slates], axis=1)
        assert (brands[:, 1:] != brands[:, :-1]).all()
        assert world.sponsored[result.slates[:, [0, 2]]].all()
        broken += [cost.sum() for cost in result.costs.values()]
    assert broken[0] == 0
    assert (broken[1:] > 100).all()  # what was asked for did break them


def test_a_legal_page_costs_nothing_and_is_not_repaired():
    rules = BusinessRules(max_per_brand=1, sponsored_slots=(2,))
    world = shop(brand=np.arange(40), sponsored=np.ones(40, bool))
    core, _ = begun(world, task_with(rules), 4)
    result = core.step(np.tile([3, 1, 0, 11], (4, 1)))
    assert not result.repairs.any()
    assert not any(cost.any() for cost in result.costs.values())


# --- stock


def struck_out(world, task, users, n_pages=6, n=None):
    """{(user, step, item): in stock} over sessions under random actions."""
    found = {}
    core = SlateCore(world, task, n_users=len(users), seed=9)
    observation = core.reset(users=np.asarray(users))
    live = np.ones(len(users), bool)
    for _ in range(n_pages):
        state = core.state.copy()
        for b in np.flatnonzero(live):
            for n_, item in enumerate(core.candidates.items[state.query[b]].tolist()):
                key = int(state.user[b]), int(state.step[b]), item
                assert found.setdefault(key, observation.candidates[b, n_] >= 0) == (
                    observation.candidates[b, n_] >= 0
                )
        result = core.step(random_actions(task, state.user, state.step))
        observation = result.observation
        live[result.finished] = False
    return found


def test_stock_depends_on_user_page_and_item_alone():
    # Few are sold out here, so that the first of the sold-out need never be counted as in stock.
    rules = dataclasses.replace(RULES, sold_out=0.1, selling_out=0.1)
    world = shop()
    few = struck_out(world, task_with(rules), [7, 3])
    many = struck_out(world, task_with(dataclasses.replace(rules, max_per_brand=4)), list(range(20)))
    both = few.keys() & many.keys()
    assert len(both) > 30
    assert all(few[key] == many[key] for key in both)
    assert not all(many.values())
    other = struck_out(world, task_with(dataclasses.replace(rules, seed=5)), list(range(20)))
    assert any(other[key] != many[key] for key in other.keys() & many.keys())


def test_what_has_sold_out_stays_sold_out():
    # False alarm: none; every item has one page from which on it is gone.
    found = struck_out(
        shop(), task_with(dataclasses.replace(RULES, sold_out=0.05, selling_out=0.4)), range(30)
    )
    for (user, step, item), stocked in found.items():
        if stocked:
            assert all(found.get((user, earlier, item), True) for earlier in range(step))


def test_as_much_is_sold_out_as_said():
    # 6,000 candidates of 500 users before their first page; refused once in ten million runs where the rules are right.
    rules = BusinessRules(max_per_brand=4, sold_out=0.2, selling_out=0.5)
    _, first = begun(shop(), task_with(rules), 500)
    share = (first.candidates < 0).mean()
    assert abs(share - 0.2) < 5.4 * np.sqrt(0.16 / first.candidates.size)


def test_everything_sold_out_leaves_the_first_of_the_list():
    world, task = shop(), task_with(BusinessRules(max_per_brand=4, sold_out=1.0))
    core, observation = begun(world, task)
    assert ((observation.candidates >= 0).sum(axis=1) == 4).all()
    assert (observation.candidates[:, :4] >= 0).all()
    assert (observation.scores[:, 4:] == 0).all()
    result = core.step(np.tile([11, 10, 9, 8], (5, 1)))
    np.testing.assert_array_equal(np.sort(result.positions, axis=1), np.tile(np.arange(4), (5, 1)))
    np.testing.assert_array_equal(result.costs["stock"], 4.0)


def test_out_of_stock_is_never_shown_even_where_rules_are_not_enforced():
    world = shop()
    for enforce in (True, False):
        task = task_with(dataclasses.replace(RULES, enforce=enforce, sold_out=0.3))
        core, observation = begun(world, task, 60)
        for _, result in shown(core):
            offered = np.take_along_axis(observation.candidates, result.positions, axis=1)
            np.testing.assert_array_equal(offered, result.slates)
            observation = result.observation


# --- rules that are not enforced, or cannot be kept


def test_unenforced_rules_only_cost():
    world = shop(brand=np.zeros(40), sponsored=np.zeros(40))
    rules = BusinessRules(max_per_brand=2, sponsored_slots=(0,), enforce=False)
    core, _ = begun(world, task_with(rules))
    result = core.step(np.tile([5, 2, 7, 0], (5, 1)))
    np.testing.assert_array_equal(result.positions, np.tile([5, 2, 7, 0], (5, 1)))
    assert not result.repairs.any()
    np.testing.assert_array_equal(result.costs["sponsored"], 1.0)
    np.testing.assert_array_equal(result.costs["brand"], 2.0)  # the third and the fourth of the one brand
    np.testing.assert_array_equal(result.costs["stock"], 0.0)


def test_a_sold_position_gives_way_before_a_brand_does():
    # All sponsored items are of brand 0, of which one stands already: the sold position shows another brand.
    sponsored = np.arange(40) % 2 == 0
    world = shop(brand=np.where(sponsored, 0, np.arange(40)), sponsored=sponsored)
    rules = BusinessRules(max_per_brand=1, sponsored_slots=(0, 1))
    core, _ = begun(world, task_with(rules), 50)
    for _, result in shown(core):
        assert (world.brand[result.slates[:, 0]] == 0).all()
        assert (world.brand[result.slates[:, 1:]] != 0).all()


def test_a_brand_gives_way_where_there_is_no_other():
    world = shop(brand=np.zeros(40), sponsored=np.arange(40) % 3 == 0)
    core, _ = begun(world, task_with(BusinessRules(max_per_brand=2, sponsored_slots=(1,))))
    result = core.step(np.tile(np.arange(4), (5, 1)))
    assert (result.slates >= 0).all()
    assert (np.diff(np.sort(result.slates, axis=1), axis=1) > 0).all()


def test_strict_tasks_refuse_what_breaks_a_rule():
    world = shop(brand=np.zeros(40), sponsored=np.zeros(40))
    rules = BusinessRules(max_per_brand=1)
    core, _ = begun(world, task_with(rules, duplicates="error", slate_size=2))
    with pytest.raises(InputError, match="user"):
        core.step(np.tile([3, 4], (5, 1)) + np.array([[0, 0]] * 4 + [[0, -1]]))


def test_rules_that_make_no_sense_are_named():
    world = shop()
    for rules, named in (
        (BusinessRules(sold_out=1.5), "sold_out"),
        (BusinessRules(selling_out=float("nan")), "selling_out"),
        (BusinessRules(sponsored_slots=(4,)), "sponsored_slots"),
        (BusinessRules(sponsored_slots=(-1,)), "sponsored_slots"),
        (BusinessRules(max_per_brand=0), "max_per_brand"),
        (BusinessRules(seed=-1), "seed"),
    ):
        with pytest.raises(InputError, match=named):
            SlateCore(world, task_with(rules), n_users=1)
    with pytest.raises(InputError, match="sponsored"):
        SlateCore(dataclasses.replace(world, sponsored=None), task_with(), n_users=1)
    with pytest.raises(InputError, match="brand"):
        SlateCore(dataclasses.replace(world, brand=None), task_with(), n_users=1)
    for wrong in ({"brand": world.brand[:7]}, {"sponsored": world.sponsored[:7]}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            SlateCore(dataclasses.replace(world, **wrong), task_with(), n_users=1)


# --- the whole environment under rules


def test_the_business_task_keeps_the_contract_of_environments():
    world, task = make_task("Business")
    check_env_suite(lambda: world, task, sb3=False)


def test_each_face_tells_the_costs():
    world, task = shop(), task_with(dataclasses.replace(RULES, max_per_brand=1))
    action = np.array([0, 1, 2, 3])  # four items of three brands, or some that are sold out
    single = SlateEnv(world, task, seed=2)
    single.reset()
    truth = single.step(action)[4]["costs"]
    assert set(truth) == {"stock", "brand", "sponsored"}
    assert sum(truth.values()) > 0
    vector = SlateVectorEnv(3, world, task, seed=2)
    vector.reset()
    *_, done, cut, info = vector.step(np.tile(action, (3, 1)))
    where = info["final_info"]["costs"] if done[0] or cut[0] else info["costs"]
    assert {name: where[name][0] for name in truth} == truth
    vec = SlateVecEnv(3, world, task, seed=2)
    vec.reset()
    vec.step(np.tile(action, (3, 1)))
    assert {name: cost[0] for name, cost in vec.last_result.costs.items()} == truth


def test_masks_of_all_faces_leave_out_what_is_sold_out():
    world, task = shop(), task_with(dataclasses.replace(RULES, sold_out=0.5))
    single, vec = SlateEnv(world, task, seed=2), SlateVecEnv(3, world, task, seed=2)
    observation, _ = single.reset()
    vec.reset()
    expected = np.tile(observation["candidates"] >= 0, 4)
    assert not expected.all()
    np.testing.assert_array_equal(single.action_masks(), expected)
    np.testing.assert_array_equal(vec.action_masks()[0], expected)


def test_made_by_gymnasium_the_rules_are_at_work():
    env = gymnasium.make("envs:SlateRank-Business-v0", seed=5)
    env.reset()
    for _ in range(12):
        *_, terminated, truncated, info = env.step(np.zeros(5, np.int64))
        if terminated or truncated:
            env.reset()
        slate = info["slate"]
        brands = np.bincount(env.unwrapped.world.brand[slate])
        assert brands.max() <= 2
        assert env.unwrapped.world.sponsored[slate[1]]
