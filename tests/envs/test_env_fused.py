"""The same session to the bit: fused or part by part, alone or in a batch, on any threads, after a checkpoint."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from behavior.errors import InputError
from envs.contract_tools import random_actions, step_arrays
from envs.core import SlateCore
from envs.engines import ComposedEngine
from envs.fused import FusedEngine
from envs.generated import ShopSpec, generate_world
from envs.history import History
from envs.single import SlateEnv
from envs.toy import toy_world
from envs.world import RewardMix, TaskConfig
from simulators.shopper import Shopper

MODELS = ("position", "cascade", "dependent", "dynamic-bayesian", "multinomial")
SEEDS = st.integers(0, 2**64 - 1)
USERS = st.integers(0, 2**40)


@st.composite
def worlds(draw):
    """Small shops of every kind: click models, carts, drift, coming back, weeks, odd widths, short candidate lists."""
    weeks = draw(st.sampled_from([1, 2]))
    shopper = Shopper(
        click_model=draw(st.sampled_from(MODELS)),
        taste_mix=draw(st.sampled_from([0.0, 1.0])),
        boredom=draw(st.sampled_from([0.0, 0.7])),
        drift=draw(st.sampled_from([0.0, 0.3])),
        checkout_bias=draw(st.sampled_from([float("inf"), 0.5])),
        intent_click=0.4,
        return_bias=draw(st.sampled_from([float("-inf"), 0.0])),
        leave_bias=draw(st.sampled_from([-3.0, -1.0, 1.0])),
        new_query=draw(st.sampled_from([0.0, 0.5, 1.0])),
        n_weeks=weeks,
        users_per_week=3,
    )
    spec = ShopSpec(
        n_items=draw(st.integers(40, 90)),
        n_queries=weeks * draw(st.integers(1, 5)),
        n_candidates=draw(st.integers(6, 20)),
        width=2 * draw(st.integers(1, 11)),
        shopper=shopper,
        seed=draw(st.integers(0, 99)),
    )
    return generate_world(spec)


@st.composite
def tasks(draw):
    size = draw(st.integers(1, 6))
    return TaskConfig(
        slate_size=size,
        n_candidates=draw(st.integers(size, 25)),  # up to 19 of them padding
        max_steps=draw(st.integers(1, 7)),
        history=draw(st.integers(0, 4)),
        memory=draw(st.sampled_from([0, 0, 1, 3])),
        revenue_weight=draw(st.sampled_from([0.0, 0.1])),
        reward=RewardMix(cart=0.5, revenue=0.01, margin=0.1, diversity=1.0, stay=0.2),
    )


def begun(world, task, n_users, *, seed=0, users=None, **options):
    core = SlateCore(world, task, n_users=n_users, seed=seed, **options)
    core.reset(users=users)
    return core


def walk(core, n_steps):
    """The pages of `n_steps` steps, as dicts of arrays (B, ...); actions depend on (user, step) only."""
    return [
        step_arrays(core.step(random_actions(core.task, core.state.user, core.state.step)))
        for _ in range(n_steps)
    ]


def session(core, row, n_steps):
    """One user's pages until the end of their session, at most `n_steps`."""
    pages = []
    for page in walk(core, n_steps):
        pages.append({name: array[row] for name, array in page.items()})
        if pages[-1]["terminated"] or pages[-1]["truncated"]:
            break
    return pages


def assert_same(first, second):
    assert len(first) == len(second)
    for step, (a, b) in enumerate(zip(first, second, strict=True)):
        assert a.keys() == b.keys()
        for name, value in a.items():
            assert np.array_equal(value, b[name]), f"step {step}: {name}: {value!r} and {b[name]!r}"


def test_the_built_in_shopper_is_fused():
    world, task = toy_world(), TaskConfig()
    assert isinstance(SlateCore(world, task, n_users=2)._engine, FusedEngine)
    assert isinstance(SlateCore(world, task, n_users=2, fused=False)._engine, ComposedEngine)


@settings(max_examples=40, deadline=None)
@given(worlds(), tasks(), SEEDS, st.sampled_from([1, 7, 70]), st.sampled_from(["same_step", "next_step"]))
def test_fused_and_part_by_part(world, task, seed, size, autoreset):
    fused, parts = (
        begun(world, task, size, seed=seed, fused=way, autoreset=autoreset) for way in (True, False)
    )
    assert_same(walk(fused, 10), walk(parts, 10))
    assert_same([fused.save_state()], [parts.save_state()])


@settings(max_examples=40, deadline=None)
@given(
    worlds(),
    tasks(),
    SEEDS,
    USERS,
    st.sampled_from([7, 65, 130]),
    st.booleans(),
    st.integers(1, 2),
    st.randoms(use_true_random=False),
)
def test_a_user_lives_the_same_session_anywhere(world, task, seed, user, size, fused, threads, random):
    alone = session(begun(world, task, 1, seed=seed, users=np.array([user])), 0, 8)
    place = random.randrange(size)
    users = np.array([random.randrange(2**40) for _ in range(size)])
    users[place] = user
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        among = session(begun(world, task, size, seed=seed, users=users, fused=fused), place, 8)
    finally:
        numba.set_num_threads(before)
    assert_same(alone, among)


@settings(max_examples=25, deadline=None)
@given(worlds(), tasks(), SEEDS, st.integers(0, 6), st.booleans(), st.sampled_from([1, 7, 66]))
def test_a_checkpoint_goes_on_to_the_bit(world, task, seed, pause, fused, size):
    core = begun(world, task, size, seed=seed)
    walk(core, pause)
    saved = core.save_state()
    observation = core.observe()
    copies = [copy.deepcopy(core), pickle.loads(pickle.dumps(core))]
    expected = walk(core, 6)
    fresh = SlateCore(world, task, n_users=size, fused=fused)
    assert_same([fresh.restore_state(saved).as_dict()], [observation.as_dict()])
    assert_same(walk(fresh, 6), expected)
    core.restore_state(saved)
    assert_same(walk(core, 6), expected)
    for twin in copies:
        assert_same(walk(twin, 6), expected)


@settings(max_examples=20, deadline=None)
@given(worlds(), tasks(), SEEDS, st.integers(1, 5))
def test_slot_b_goes_on_to_user_b_plus_batch(world, task, seed, size):
    core = begun(world, task, size, seed=seed)
    singles = [SlateEnv(world, task, seed=seed, first_user=b, stride=size) for b in range(size)]
    for env in singles:
        env.reset()
    episodes = np.zeros(size, np.int64)
    for _ in range(8):
        users = core.state.user.copy()
        assert (users == np.arange(size) + episodes * size).all()
        actions = random_actions(task, users, core.state.step)
        result = core.step(actions)
        for b, env in enumerate(singles):
            observation, reward, terminated, truncated, info = env.step(actions[b])
            assert (reward, terminated, truncated) == (
                result.reward[b],
                result.terminated[b],
                result.truncated[b],
            )
            assert info["user"] == users[b]
            if terminated or truncated:
                f = int(np.flatnonzero(result.finished == b)[0])
                for name, array in result.final_observation.as_dict().items():
                    assert np.array_equal(observation[name], array[f]), name
                assert info["session"] == result.episodes.row(f)
                observation, _ = env.reset()
            for name, array in result.observation.as_dict().items():
                assert np.array_equal(observation[name], array[b]), name
        episodes[result.finished] += 1


def test_a_batch_of_4096():
    world = toy_world(300, 20, 30)
    task = TaskConfig(slate_size=4, n_candidates=30, max_steps=6)
    core = begun(world, task, 4096, seed=9)
    pages = walk(core, 6)
    for row in (0, 63, 64, 1000, 4095):
        alone = session(begun(world, task, 1, seed=9, users=np.array([row])), 0, 6)
        for step, page in enumerate(alone):
            for name, value in page.items():
                assert np.array_equal(value, pages[step][name][row]), (row, step, name)


@settings(max_examples=20, deadline=None)
@given(worlds(), tasks(), SEEDS, st.booleans())
def test_users_live_the_same_in_every_autoreset_mode(world, task, seed, fused):
    size, lived = 5, {}
    for mode in ("same_step", "next_step", "disabled"):
        core = begun(world, task, size, seed=seed, fused=fused, autoreset=mode)
        found = {}
        for _ in range(24):
            if mode == "disabled" and core.over.any():
                core.reset(mask=core.over)
            users, over = core.state.user.copy(), core.over
            page = step_arrays(core.step(random_actions(task, users, core.state.step)))
            for b in np.flatnonzero(~over):
                found.setdefault(int(users[b]), []).append({name: array[b] for name, array in page.items()})
            if mode == "next_step" and over.any():
                assert (page["reward"][over] == 0).all()
                assert (page["slates"][over] == -1).all()
        lived[mode] = found
    for mode in ("next_step", "disabled"):
        shared = lived["same_step"].keys() & lived[mode].keys()
        assert set(range(size)) <= shared
        for user in shared:
            a, b = lived["same_step"][user], lived[mode][user]
            assert_same(a[: len(b)], b[: len(a)])


@settings(max_examples=15, deadline=None)
@given(worlds(), tasks(), SEEDS, st.booleans())
def test_seen_counts_are_exact(world, task, seed, fused):
    core = begun(world, task, 3, seed=seed, fused=fused)
    shown = np.zeros((3, world.features.n_items), np.int64)
    for _ in range(12):
        result = core.step(random_actions(task, core.state.user, core.state.step))
        np.add.at(shown, (np.arange(3)[:, None], result.slates), 1)
        last = result.final_observation
        for f, b in enumerate(result.finished):
            items = last.candidates[f]
            assert (last.seen[f] == np.where(items >= 0, shown[b, items], 0)).all()
        shown[result.finished] = 0
        items = result.observation.candidates
        counts = np.take_along_axis(shown, np.maximum(items, 0), axis=1)
        assert (result.observation.seen == np.where(items >= 0, counts, 0)).all()


@pytest.mark.parametrize("fused", [True, False])
def test_counts_stop_at_255(fused):
    user = Shopper(leave_bias=-1000.0, boredom=0.0, new_query=0.0)  # nobody leaves, nobody asks anew
    world = toy_world(40, 2, 6, user=user)
    core = begun(world, TaskConfig(slate_size=3, n_candidates=3, max_steps=300), 2, fused=fused)
    for page in range(299):
        seen = core.step(np.tile([2, 0, 1], (2, 1))).observation.seen
        assert (seen == min(page + 1, 255)).all()
    assert (core.observe().seen == 255).all()  # looked up in the table, not by position


@settings(max_examples=40, deadline=None)
@given(worlds(), tasks(), st.integers(0, 2**32 - 1), st.booleans())
def test_repairs_against_plain_python(world, task, seed, fused):
    core = begun(world, task, 9, fused=fused)
    actions = np.random.default_rng(seed).integers(0, task.n_candidates, (9, task.slate_size))
    lengths = core.candidates.lengths[core.state.query]
    result = core.step(actions)
    for b, n in enumerate(lengths.tolist()):
        used, mended = [], 0
        for choice in actions[b].tolist():
            wrong = choice >= n or choice in used
            choice = 0 if choice >= n else choice
            while choice in used:
                choice = (choice + 1) % n
            used.append(choice)
            mended += wrong
        assert result.positions[b].tolist() == used
        assert result.repairs[b] == mended


@settings(max_examples=15, deadline=None)
@given(worlds(), tasks(), SEEDS, st.booleans())
def test_refused_actions_change_nothing(world, task, seed, fused):
    task = dataclasses.replace(task, slate_size=max(2, task.slate_size), n_candidates=25, duplicates="error")
    core = begun(world, task, 6, seed=seed, fused=fused)
    good = np.tile(np.arange(task.slate_size), (6, 1))
    core.step(good)
    before = core.save_state()
    twice, padded, outside = good.copy(), good.copy(), good.copy()
    twice[4, 1] = twice[4, 0]
    padded[4, 1] = 24
    outside[4, 1] = -1
    for wrong, why in ((twice, "in the slate already"), (padded, "a padded candidate"), (outside, "0 .. 24")):
        with pytest.raises(
            InputError, match=f"action {wrong[4, 1]} of user {core.state.user[4]} at position 1"
        ):
            core.step(wrong)
        with pytest.raises(InputError, match=why):
            core.step(wrong)
    assert_same([core.save_state()], [before])


def test_results_are_fresh_and_may_be_written_to():
    world, task = toy_world(200, 10, 20), TaskConfig(slate_size=4, n_candidates=20)
    core, twin = begun(world, task, 70), begun(world, task, 70)
    kept = []
    for _ in range(4):
        actions = random_actions(task, core.state.user, core.state.step)
        mine, its = core.step(actions), twin.step(actions)
        kept.append((step_arrays(mine), mine))
        for array in its.observation.arrays():
            array[...] = 0
        its.slates[...] = 0
        its.terminated[...] = False
    assert_same([frozen for frozen, _ in kept], [step_arrays(result) for _, result in kept])
    assert_same([core.save_state()], [twin.save_state()])


def test_reset_of_some_slots():
    world, task = toy_world(200, 10, 20), TaskConfig(slate_size=4, n_candidates=20)
    core, twin = begun(world, task, 4), begun(world, task, 4)
    walk(core, 1), walk(twin, 1)
    kept = core.observe()
    users = core.state.user.copy()
    observation = core.reset(mask=np.array([False, True, False, True]))
    assert core.state.user.tolist() == [users[0], users[1] + 4, users[2], users[3] + 4]
    assert_same([observation.take(np.array([0, 2])).as_dict()], [kept.take(np.array([0, 2])).as_dict()])
    assert observation.progress[1].tolist() == [0, 1, 0, 0]
    a, b = walk(core, 3), walk(twin, 3)
    for page, other in zip(a, b, strict=True):
        assert np.array_equal(page["click"][0], other["click"][0])
    for wrong in (np.zeros(4, bool), np.ones(3, bool), np.ones(4)):
        with pytest.raises(InputError, match="mask"):
            core.reset(mask=wrong)
    with pytest.raises(InputError, match="seed"):
        core.reset(3, mask=np.ones(4, bool))


def test_impossible_checkpoints_change_nothing():
    world, task = toy_world(200, 10, 20), TaskConfig(slate_size=4, n_candidates=20)
    core = begun(world, task, 4)
    walk(core, 2)
    before = core.save_state()
    other = begun(world, task, 5).save_state()
    with pytest.raises(InputError, match=r"'user' is int64 of shape \(5,\)"):
        core.restore_state(other)
    with pytest.raises(InputError, match="'table'"):
        core.restore_state({name: array for name, array in before.items() if name != "table"})
    assert_same([core.save_state()], [before])
    with pytest.raises(InputError, match="no session"):
        SlateCore(world, task, n_users=4).save_state()


def test_too_many_items_for_packed_ids():
    with pytest.raises(InputError, match="16777217 items"):
        History(1, TaskConfig(), 2**24 + 1)
    assert History(1, TaskConfig(), 2**24).table.shape[0] == 1
