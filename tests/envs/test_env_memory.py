"""The pages an observation keeps: against histories written down page by page, in every face, and in logs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from agents.baselines import RandomPolicy
from behavior import Catalog
from envs import SessionRecorder, SlateEnv, SlateVecEnv, SlateVectorEnv, observe_log
from envs.contract import check_env_suite
from envs.contract_tools import random_actions
from envs.core import SlateCore
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import TaskConfig
from envs.wrappers import flatten_observation
from simulators.shopper import Shopper

WORLD = toy_world(80, 6, 14, user=Shopper(leave_bias=-2.0))
TASK = TaskConfig(slate_size=4, n_candidates=14, max_steps=6, history=3, memory=3)


class Book:
    """Pages of one session, written down as they come."""

    def __init__(self, width):
        self.width, self.pages = width, []

    def add(self, slate, click, purchase):
        marks = [2 if bought else int(clicked) for clicked, bought in zip(click, purchase, strict=True)]
        self.pages.insert(0, list(zip(slate, marks, strict=True)))

    def read(self):
        flat = [entry for page in self.pages for entry in page][: self.width]
        flat += [(-1, 0)] * (self.width - len(flat))
        return [item for item, _ in flat], [mark for _, mark in flat]


def assert_reads(observation, row, book, where):
    items, marks = book.read()
    assert observation.recent_items[row].tolist() == items, where
    assert observation.recent_feedback[row].tolist() == marks, where


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("memory", [1, 2, 3, 9])
def test_the_pages_are_those_that_were_shown(fused, memory):
    task = dataclasses.replace(TASK, memory=memory)
    core = SlateCore(WORLD, task, n_users=70, seed=5, fused=fused)
    first = core.reset()
    width = memory * task.slate_size
    assert first.recent_items.shape == first.recent_feedback.shape == (70, width)
    assert (first.recent_items == -1).all()
    assert (first.recent_feedback == 0).all()
    books = [Book(width) for _ in range(70)]
    marks, full = set(), False
    for page in range(14):
        result = core.step(random_actions(task, core.state.user, core.state.step))
        for b in range(70):
            books[b].add(
                result.slates[b].tolist(),
                result.feedback.click[b].tolist(),
                result.feedback.purchase[b].tolist(),
            )
        for f, b in enumerate(result.finished.tolist()):
            assert_reads(result.final_observation, f, books[b], (page, b, "final"))
            books[b] = Book(width)
        for b in range(70):
            assert_reads(result.observation, b, books[b], (page, b))
        marks |= set(np.unique(result.observation.recent_feedback).tolist())
        full |= bool((result.observation.recent_items >= 0).all(axis=1).any())
        live = result.observation
        np.testing.assert_array_equal(live.recent_items[:, :4], live.last_slate)
        np.testing.assert_array_equal(
            live.recent_feedback[:, :4], np.maximum(live.last_click, 2 * live.last_purchase)
        )
    assert marks == {0.0, 1.0, 2.0}
    assert full == (memory < task.max_steps)  # as many pages as that are never behind one


@pytest.mark.parametrize("fused", [True, False])
def test_pages_kept_change_nothing_else(fused):
    def walk(memory):
        task = dataclasses.replace(TASK, memory=memory)
        core = SlateCore(WORLD, task, n_users=9, seed=2, fused=fused)
        core.reset()
        pages = []
        for _ in range(12):
            result = core.step(random_actions(task, core.state.user, core.state.step))
            seen = result.observation.as_dict() | {"reward": result.reward, "left": result.terminated}
            pages.append({name: array for name, array in seen.items() if not name.startswith("recent_")})
        return pages

    for kept, without in zip(walk(4), walk(0), strict=True):
        for name, array in without.items():
            np.testing.assert_array_equal(array, kept[name], err_msg=name)


def test_no_pages_are_kept_unless_asked_for():
    task = dataclasses.replace(TASK, memory=0)
    env = SlateEnv(WORLD, task)
    observation, _ = env.reset(seed=0)
    for named in (observation, env.observation_space.spaces):  # SB3's predict() cannot read empty entries
        assert not {"recent_items", "recent_feedback"} & set(named)
    read = Observation.from_dict(observation)
    assert read.recent_items.shape == read.recent_feedback.shape == (1, 0)
    assert read.recent_items.dtype == np.int32
    assert env.core.observe().recent_items.shape == (1, 0)
    assert SlateCore(WORLD, task, n_users=1)._history.head.shape[1] < 64  # the record is no longer for it


def test_a_saved_session_keeps_its_pages():
    core = SlateCore(WORLD, TASK, n_users=5, seed=1)
    core.reset()
    for _ in range(3):
        result = core.step(random_actions(TASK, core.state.user, core.state.step))
    fresh = SlateCore(WORLD, TASK, n_users=5, fused=False)
    restored = fresh.restore_state(core.save_state())
    np.testing.assert_array_equal(restored.recent_items, result.observation.recent_items)
    np.testing.assert_array_equal(restored.recent_feedback, result.observation.recent_feedback)
    assert (restored.recent_items >= 0).any()


def test_all_faces_keep_the_same_pages():
    core = SlateCore(WORLD, TASK, n_users=3, seed=7)
    vector, sb3 = SlateVectorEnv(3, WORLD, TASK, seed=7), SlateVecEnv(3, WORLD, TASK, seed=7)
    core.reset(), vector.reset(), sb3.reset()
    ended = 0
    for _ in range(10):
        actions = random_actions(TASK, core.state.user, core.state.step)
        result = core.step(actions)
        gym, _, _, _, told = vector.step(actions)
        observed, _, done, infos = sb3.step(actions)
        for name in ("recent_items", "recent_feedback"):
            expected = getattr(result.observation, name)
            np.testing.assert_array_equal(gym[name], expected)
            np.testing.assert_array_equal(observed[name], expected)
            for f, b in enumerate(result.finished.tolist()):
                last = getattr(result.final_observation, name)[f]
                np.testing.assert_array_equal(infos[b]["terminal_observation"][name], last)
                np.testing.assert_array_equal(told["final_obs"][b][name], last)
        ended += int(done.sum())
    assert ended > 0


def test_the_contract_holds_with_pages_kept():
    check_env_suite(lambda: WORLD, TASK)


@pytest.mark.parametrize("size", [4, 2, 6])
def test_a_log_is_observed_as_it_was_seen(size):
    """Pages of 4 read as pages of 4; by a task with shorter or longer pages, cut or padded page by page."""
    recorder = SessionRecorder(WORLD, TASK)
    recorder.record(RandomPolicy(), n_sessions=15, seed=3, progress=False)
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": [str(i) for i in range(80)]}))
    steps = recorder.log().to_steps(catalog, queries=WORLD.queries or None)
    seen = observe_log(steps, WORLD.features, dataclasses.replace(TASK, slate_size=size))
    core = SlateCore(WORLD, TASK, n_users=1, seed=3, autoreset="disabled")
    user_of = {}
    for row in range(steps.n_steps):
        user_of.setdefault(int(steps.session[row]), len(user_of))
    compared = 0
    for session, user in user_of.items():
        observation = core.reset(users=np.array([user]))
        for row in np.flatnonzero(steps.session == session):
            for name, fill in (("recent_items", -1), ("recent_feedback", 0)):
                pages = getattr(observation, name).reshape(3, 4)
                expected = np.full((3, size), fill, pages.dtype)
                expected[:, : min(size, 4)] = pages[:, :size]
                np.testing.assert_array_equal(getattr(seen, name)[row], expected.reshape(-1))
            compared += int((observation.recent_items >= 0).any())
            positions = (observation.candidates[0][None] == steps.item[row][:, None]).argmax(axis=1)
            observation = core.step(positions[None]).observation
    assert compared > 15


def test_the_flat_observation_ends_with_what_was_passed_over():
    core = SlateCore(WORLD, TASK, n_users=20, seed=4)
    core.reset()
    seen = core.step(random_actions(TASK, core.state.user, core.state.step)).observation
    flat = flatten_observation(seen, WORLD.features)
    bare = {name: array for name, array in seen.as_dict().items() if not name.startswith("recent_")}
    none = Observation.from_dict(bare)
    width = WORLD.features.item_vectors.shape[1]
    np.testing.assert_array_equal(flat[:, :-width], flatten_observation(none, WORLD.features))
    for b in range(20):
        skipped = [
            item
            for item, mark in zip(seen.recent_items[b], seen.recent_feedback[b], strict=True)
            if item >= 0 and mark == 0
        ]
        expected = WORLD.features.item_vectors[skipped].mean(axis=0) if skipped else np.zeros(width)
        np.testing.assert_allclose(flat[b, -width:], expected, atol=1e-6)
