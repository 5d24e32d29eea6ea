"""What is recorded can be replayed, and observed again as it was seen."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from agents.base import SlatePropensity
from agents.baselines import PopularityPolicy
from behavior import Catalog, SessionEnd
from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import CandidateTable
from envs.contract import random_actions
from envs.core import SlateCore
from envs.observation import Observation
from envs.recorder import SessionRecorder
from envs.replay import observe_log
from envs.toy import toy_world
from envs.world import TaskConfig

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=6, history=5)
N_SESSIONS = 90


@pytest.fixture(scope="module")
def world():
    return toy_world(200, 10, 12)


class Watching(PopularityPolicy):
    """Popularity that keeps what it saw by (user, step)."""

    def __init__(self, features):
        super().__init__(features, temperature=0.5)
        self.seen = {}

    def rank(self, observation, draw, *, slate_size, state=None):
        for b, key in enumerate(zip(draw.user.tolist(), draw.step.tolist(), strict=True)):
            self.seen[key] = observation.take(np.array([b]))
        return super().rank(observation, draw, slate_size=slate_size, state=state)


@pytest.fixture(scope="module")
def recorded(world):
    policy = Watching(world.features)
    recorder = SessionRecorder(world, TASK).record(
        policy, n_sessions=N_SESSIONS, seed=5, batch=32, progress=False
    )
    return recorder, policy


@pytest.fixture(scope="module")
def steps(world, recorded):
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": [str(i) for i in range(200)]}))
    return recorded[0].log().to_steps(catalog, queries=world.queries)


def test_each_user_lives_one_session(steps):
    assert steps.n_sessions == N_SESSIONS
    assert steps.user.max() == N_SESSIONS - 1
    last = steps.session_end != SessionEnd.NO
    assert last.sum() == N_SESSIONS
    assert {SessionEnd.LEFT, SessionEnd.LIMIT} == set(steps.session_end[last].tolist())
    assert (steps.step[steps.session_end == SessionEnd.LIMIT] == TASK.max_steps - 1).all()


def test_replaying_the_log_gives_the_same_feedback(world, steps):
    # Session numbers are in time order, and users were recorded in that order.
    core = SlateCore(world, TASK, n_users=1, seed=5, autoreset="disabled")
    for session in range(N_SESSIONS):
        core.reset(users=np.array([session]))
        rows = np.flatnonzero(steps.session == session)
        for row in rows:
            match = steps.candidates[row][None, :] == steps.item[row][:, None]  # (K, N)
            result = core.step(match.argmax(axis=1)[None])
            assert result.slates[0].tolist() == steps.item[row].tolist()
            assert result.feedback.click[0].tolist() == steps.click[row].tolist()
            assert result.feedback.purchase[0].tolist() == steps.purchase[row].tolist()
        assert bool(result.terminated[0]) == (steps.session_end[rows[-1]] == SessionEnd.LEFT)
        assert bool(result.truncated[0]) == (steps.session_end[rows[-1]] == SessionEnd.LIMIT)


def test_propensities_are_exact(world, steps, recorded):
    # By enumeration for one page: the chance of each ordered slate of four out of twelve.
    row = int(np.flatnonzero(steps.step == 1)[0])
    weight = np.exp(np.log(world.features.popularity[steps.candidates[row]].astype(np.float64)) / 0.5)
    positions = [steps.candidates[row].tolist().index(i) for i in steps.item[row]]
    cascade, item = [], np.zeros(4)
    p, left = 1.0, weight.sum()
    for j in positions:
        p *= weight[j] / left
        left -= weight[j]
        cascade.append(p)
    for slate in itertools.permutations(range(12), 4):
        q, rest = 1.0, weight.sum()
        for j in slate:
            q *= weight[j] / rest
            rest -= weight[j]
        item += q * (np.array(slate) == positions)
    np.testing.assert_allclose(steps.cascade_propensity[row], cascade, rtol=1e-9)
    np.testing.assert_allclose(steps.slate_propensity[row], cascade[-1], rtol=1e-9)
    np.testing.assert_allclose(steps.propensity[row], item, rtol=1e-6)


def test_the_log_is_observed_as_it_was_seen(world, steps, recorded):
    observed = observe_log(steps, world.features, TASK)
    live = [recorded[1].seen[(int(u), int(t))] for u, t in zip(steps.session, steps.step, strict=True)]
    for name, array in observed.as_dict().items():
        expected = np.concatenate([getattr(o, name) for o in live])
        if name == "scores":  # recomputed from the relevance tables, not read from the candidate table
            np.testing.assert_allclose(array, expected, rtol=1e-5)
        else:
            np.testing.assert_array_equal(array, expected, err_msg=name)
    assert (observed.seen > 1).any()
    assert (observed.clicked[:, -1] >= 0).any()


def test_rows_may_come_in_any_order(world, steps):
    shuffled = np.random.default_rng(0).permutation(steps.n_steps)
    direct = observe_log(steps, world.features, TASK).take(shuffled)
    for name, array in observe_log(steps.take(shuffled), world.features, TASK).as_dict().items():
        np.testing.assert_array_equal(array, getattr(direct, name), err_msg=name)


def test_many_sessions_go_in_chunks(world, steps, monkeypatch):
    whole = observe_log(steps, world.features, TASK)
    monkeypatch.setattr("envs.replay._SESSIONS", 7)
    for name, array in observe_log(steps, world.features, TASK).as_dict().items():
        np.testing.assert_array_equal(array, getattr(whole, name), err_msg=name)


def test_another_task_than_the_logs(world, steps):
    wide = observe_log(
        steps, world.features, TaskConfig(slate_size=6, n_candidates=20, max_steps=2, history=1)
    )
    assert (wide.candidates[:, 12:] == -1).all()
    assert (wide.scores[:, 12:] == 0).all()
    assert (wide.last_slate[:, 4:] == -1).all()
    assert wide.progress[:, :2].max() == 1  # longer sessions stand at the horizon
    assert wide.progress[:, :2].min() == 0
    narrow = observe_log(steps, world.features, TaskConfig(slate_size=2, n_candidates=5, max_steps=6))
    full = observe_log(steps, world.features, TASK)
    np.testing.assert_array_equal(narrow.seen, full.seen[:, :5])  # all four shown items count
    np.testing.assert_array_equal(narrow.last_slate, full.last_slate[:, :2])


def without_candidates(steps: LoggedSteps) -> LoggedSteps:
    return dataclasses.replace(steps, candidates=np.empty((steps.n_steps, 0), np.int32))


def test_a_log_without_candidates_needs_some(world, steps):
    with pytest.raises(InputError, match="from which candidates"):
        observe_log(without_candidates(steps), world.features, TASK)
    # The live candidate source gives what the log would have said here.
    again = observe_log(without_candidates(steps), world.features, TASK, candidates=world.candidates)
    direct = observe_log(steps, world.features, TASK)
    np.testing.assert_array_equal(again.candidates, direct.candidates)
    np.testing.assert_array_equal(again.scores, world.candidates.scores[steps.query])


def test_a_step_without_a_query_has_no_relevance(world, steps):
    unasked = dataclasses.replace(steps, query=np.where(steps.step == 0, -1, steps.query).astype(np.int32))
    first = steps.step == 0
    logged = observe_log(unasked, world.features, TASK)
    assert (logged.candidates[first] == steps.candidates[first]).all()
    assert (logged.scores[first] == 0).all()
    assert (logged.scores[~first] > 0).all()
    looked_up = observe_log(unasked, world.features, TASK, candidates=world.candidates)
    assert (looked_up.candidates[first] == -1).all()
    assert (looked_up.scores[first] == 0).all()


def test_an_empty_log_gives_empty_observations(world, steps):
    none = observe_log(steps.take(np.zeros(0, np.int64)), world.features, TASK)
    assert isinstance(none, Observation)
    assert none.candidates.shape == (0, 12)


def test_repaired_slates_get_no_propensity(world):
    core = SlateCore(world, TASK, n_users=20, seed=1)
    observation = core.reset()
    recorder = SessionRecorder(world, TASK)
    user, step = core.state.user.copy(), core.state.step.copy()
    result = core.step(random_actions(TASK, user, step))
    half = np.full((20, 4), 0.5)
    recorder.add(
        observation=observation,
        user=user,
        step=step,
        result=result,
        propensity=SlatePropensity(item=half, cascade=half, slate=half[:, 0]),
    )
    rows, candidates = recorder.frames()
    known = rows["propensity"].notna().to_numpy().reshape(20, 4)
    assert (known.all(axis=1) == (result.repairs == 0)).all()
    assert (known.any(axis=1) == known.all(axis=1)).all()
    assert 0 < known.any(axis=1).sum() < 20
    for name in ("cascade_propensity", "slate_propensity"):
        assert (rows[name].notna().to_numpy().reshape(20, 4) == known).all()
    assert len(candidates) == 20 * 12


def test_batch_size_changes_nothing(world):
    logs = [
        SessionRecorder(world, TASK)
        .record(
            PopularityPolicy(world.features, temperature=1.0),
            n_sessions=25,
            seed=2,
            batch=size,
            progress=False,
        )
        .frames()
        for size in (1, 8, 25)
    ]
    for rows, candidates in logs[1:]:
        pd.testing.assert_frame_equal(rows, logs[0][0])
        pd.testing.assert_frame_equal(candidates, logs[0][1])


def test_padded_candidates_are_not_logged(world):
    items = world.candidates.items.copy()
    items[:, 9:] = -1
    short = dataclasses.replace(world, candidates=CandidateTable(items=items, scores=world.candidates.scores))
    recorder = SessionRecorder(short, TASK, item_ids=[f"p{i}" for i in range(200)])
    recorder.record(PopularityPolicy(world.features), n_sessions=3, progress=False)
    rows, candidates = recorder.frames()
    assert candidates["rank"].max() == 8
    assert rows["item_id"].str.startswith("p").all()
    assert recorder.log().candidates is not None


def test_mistakes(world):
    with pytest.raises(InputError, match="3 item ids for 200 items"):
        SessionRecorder(world, TASK, item_ids=["a", "b", "c"])
    with pytest.raises(InputError, match="nothing was recorded"):
        SessionRecorder(world, TASK).frames()
