"""Seconds on what was clicked go the whole way: feedback, `info`, the recorded log, the arrays that a fit is given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from agents.baselines import RandomPolicy
from behavior import Catalog, InteractionLog
from encoders.features import CandidateTable
from envs.core import SlateCore
from envs.recorder import SessionRecorder
from envs.single import SlateEnv
from envs.vector import SlateVectorEnv
from envs.world import TaskConfig, World
from envs.wrappers import RecordSessions
from simulators.composed import ComposedSimulator
from simulators.example import example_candidates, example_features, example_simulator
from simulators.parts import LinearDwell

TASK = TaskConfig(slate_size=5, n_candidates=8, max_steps=3)


@pytest.fixture(scope="module")
def world() -> World:
    features = example_features()
    base = example_simulator("pbm", features=features)
    roles = ("population", "attractiveness", "examination", "conversion", "dynamics")
    assert isinstance(base, ComposedSimulator)
    weights = np.zeros_like(base.attractiveness.weights)  # type: ignore[attr-defined]
    weights[0] = 2.0
    items = example_candidates(features, 8)
    return World(
        simulator=ComposedSimulator(
            features=features,
            **{role: getattr(base, role) for role in roles},
            slate_size=5,
            dwell=LinearDwell(law="gamma", weights=weights, bought=0.5, form=2.0, low=0.0, high=5.0),
        ),
        features=features,
        candidates=CandidateTable(items=items, scores=np.ones(items.shape, np.float32)),
    )


def test_recorded_logs_hold_it(world: World) -> None:
    recorder = SessionRecorder(world, TASK).record(RandomPolicy(), n_sessions=60, seed=1, progress=False)
    rows, _ = recorder.frames()
    assert ((rows["dwell_seconds"] > 0) == (rows["click"] == 1)).all()
    catalog = Catalog.from_frame(rows[["item_id"]].drop_duplicates())
    steps = InteractionLog.from_frame(rows).to_steps(catalog)
    assert steps.dwell is not None
    np.testing.assert_array_equal(steps.dwell > 0, steps.click > 0)


def test_logs_of_users_without_it_have_no_such_column(world: World) -> None:
    simulator = example_simulator("pbm", features=world.features)
    plain = dataclasses.replace(world, simulator=simulator)
    recorder = SessionRecorder(plain, TASK).record(RandomPolicy(), n_sessions=5, progress=False)
    assert "dwell_seconds" not in recorder.frames()[0]


def test_one_user_alone_and_in_a_batch_stays_as_long(world: World) -> None:
    env, many = SlateEnv(world, TASK), SlateVectorEnv(7, world, TASK)
    env.reset(seed=4)
    many.reset(seed=4)
    seen = 0.0
    for _ in range(2):
        info, infos = env.step(np.arange(5))[4], many.step(np.tile(np.arange(5), (7, 1)))[4]
        np.testing.assert_array_equal(info["dwell"], infos["dwell"][0])
        seen += float(infos["dwell"].sum())
        if "session" in info:
            break
    assert seen > 0


def test_record_sessions_writes_it(world: World) -> None:
    recorder = SessionRecorder(world, TASK)
    env = RecordSessions(SlateEnv(world, TASK), recorder)
    for seed in range(6):
        env.reset(seed=seed)
        env.step(np.arange(5))
    rows = recorder.frames()[0]
    assert rows["click"].any()
    assert ((rows["dwell_seconds"] > 0) == (rows["click"] == 1)).all()


def test_who_rests_has_none(world: World) -> None:
    """In `next_step`, finished users sit one step out, with nothing in their rows."""
    core = SlateCore(world, dataclasses.replace(TASK, max_steps=1), n_users=80, autoreset="next_step")
    core.reset(seed=0)
    actions = np.tile(np.arange(5), (80, 1))
    first, rest = core.step(actions).feedback, core.step(actions).feedback
    assert first.dwell is not None
    assert first.dwell.any()
    assert rest.dwell is None or not rest.dwell.any()
