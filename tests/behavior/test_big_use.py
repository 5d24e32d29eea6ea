"""A prepared log feeds what learns from logs: transitions chunk by chunk, a simulator by its last sessions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.baselines import RelevancePolicy
from agents.offline.transitions import log_transitions
from behavior import Catalog
from behavior.big import BigLogConfig, PreparedLog, prepare_log
from encoders.features import FeatureTables
from envs.recorder import SessionRecorder
from envs.toy import toy_world
from envs.world import TaskConfig
from simulators.fitting.config import FitConfig
from simulators.fitting.fit import fit_simulator

pytest.importorskip("duckdb", reason="big logs need the extra `big`")

TASK = TaskConfig(slate_size=4, n_candidates=20, max_steps=5, memory=2)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[PreparedLog, FeatureTables]:
    world = toy_world(n_items=60, n_queries=8, n_candidates=20)
    folder = tmp_path_factory.mktemp("big")
    frame, candidates = (
        SessionRecorder(world, TASK)
        .record(RelevancePolicy(temperature=0.5), n_sessions=400, seed=1, policy_seed=1, progress=False)
        .frames()
    )
    frame.to_parquet(folder / "log.parquet", index=False)
    candidates.to_parquet(folder / "log.candidates.parquet", index=False)
    log = prepare_log(
        folder / "log.parquet",
        folder / "prepared",
        catalog=Catalog.from_frame(pd.DataFrame({"item_id": [str(i) for i in range(60)], "title": "thing"})),
        config=BigLogConfig(rows_per_part=1_500, pages_per_chunk=200),
        progress=False,
    )
    known = world.features
    row = [list(world.queries).index(query) for query in log.queries]  # the log numbers queries its own way
    relevance = dataclasses.replace(
        known.relevance,
        click_query=known.relevance.click_query[row],
        purchase_query=known.relevance.purchase_query[row],
    )
    return log, dataclasses.replace(known, query_vectors=known.query_vectors[row], relevance=relevance)


def test_transitions_of_the_chunks_are_those_of_the_log(prepared: tuple[PreparedLog, FeatureTables]) -> None:
    log, features = prepared
    whole = log_transitions(log.train.load(), features, TASK)
    chunks = [log_transitions(chunk, features, TASK) for chunk in log.train.chunks()]
    assert len(chunks) > 2

    def check(wanted: Any, found: list[Any]) -> None:
        for field in dataclasses.fields(wanted):
            value = getattr(wanted, field.name)
            parts = [getattr(part, field.name) for part in found]
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(np.concatenate(parts), value, err_msg=field.name)
            elif dataclasses.is_dataclass(value):
                check(value, parts)

    check(whole, chunks)
    for batch in log.train.batches(64, np.random.default_rng(0)):
        seen = log_transitions(batch, features, TASK)
        assert seen.n_steps == batch.n_steps
        assert int(seen.ends.sum()) == batch.n_sessions


def test_a_simulator_is_fitted_to_the_last_sessions(prepared: tuple[PreparedLog, FeatureTables]) -> None:
    log, features = prepared
    train = log.train.latest(2_000)
    assert train.n_sessions < log.train.n_sessions
    fitted = fit_simulator(
        "pbm", train, log.valid.load(), features, FitConfig(strengths=(30.0,)), progress=False
    )
    assert fitted.report.n_sessions == train.n_sessions
