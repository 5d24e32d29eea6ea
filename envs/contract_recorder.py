"""The contract of the recorder: what is written can be read back and replayed, to the bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.contract_tools import SEED, MakeWorld
from envs.core import SlateCore
from envs.observation import Observation
from envs.recorder import SessionRecorder
from envs.world import TaskConfig
from simulators.base import SessionState
from simulators.kernels.rng import Purpose, uniform_table

__all__ = ["check_recorder"]


@dataclass(frozen=True)
class _Uniform:
    """Propensities of slates drawn uniformly."""

    item: NDArray[np.float64]
    cascade: NDArray[np.float64]
    slate: NDArray[np.float64]


class _UniformRanker:
    """Shows K of the candidates, every ordered slate with the same probability."""

    name = "uniform"

    def rank(
        self, observation: Observation, draw: Any, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Candidate positions (B, K)."""
        N = observation.candidates.shape[1]
        table = uniform_table(draw.seed, draw.user, draw.step, Purpose.POLICY, N)
        return np.argsort(np.where(observation.candidates >= 0, table, 2.0), axis=1)[:, :slate_size]

    def propensity(self, observation: Observation, actions: NDArray[np.int64]) -> _Uniform:
        """1/n for the item at its position, 1/(n (n-1) ...) for the slate down to it."""
        n = (observation.candidates >= 0).sum(axis=1)[:, None].astype(np.float64)  # (B, 1)
        cascade = np.cumprod(1.0 / (n - np.arange(actions.shape[1])), axis=1)
        return _Uniform(np.repeat(1.0 / n, actions.shape[1], axis=1), cascade, cascade[:, -1])


def check_recorder(make_world: MakeWorld, task: TaskConfig, *, n_sessions: int = 20) -> None:
    """A recorded log is valid, carries the policy's propensities, and replayed gives the same feedback."""
    import pandas as pd

    from behavior import Catalog, SessionEnd
    from behavior.contract import check_log

    world = make_world()
    recorder = SessionRecorder(world, task).record(
        _UniformRanker(), n_sessions=n_sessions, seed=SEED, progress=False
    )
    log = recorder.log()
    n_items = world.features.n_items
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": [str(i) for i in range(n_items)]}))
    check_log(log, catalog)
    steps = log.to_steps(catalog, queries=world.queries or None)

    n = (steps.candidates >= 0).sum(axis=1)[:, None].astype(np.float64)
    K = task.slate_size
    expected = np.cumprod(1.0 / (n - np.arange(K)), axis=1)
    clean = ~np.isnan(steps.slate_propensity)  # the task's rules may have repaired a page
    assert clean.any(), "no page has a propensity"
    for found, truth in (
        (steps.cascade_propensity, expected),
        (steps.slate_propensity, expected[:, -1]),
        (steps.propensity, np.repeat(1.0 / n, K, axis=1)),
    ):
        np.testing.assert_allclose(found[clean], truth[clean], rtol=1e-9)

    users = np.array([int(name[1:]) for name in log.rows["user_id"].iloc[::K]])
    core = SlateCore(make_world(), task, n_users=1, seed=SEED, autoreset="disabled")
    for user in range(n_sessions):
        observation = core.reset(users=np.array([user]))
        for row in np.flatnonzero(users == user):
            where = f"user {user}, page {steps.step[row]}"
            match = observation.candidates[0][None, :] == steps.item[row][:, None]  # (K, N)
            assert match.any(axis=1).all(), f"{where}: a shown item is not among the candidates"
            result = core.step(match.argmax(axis=1)[None])
            assert np.array_equal(result.slates[0], steps.item[row]), f"{where}: another slate"
            assert np.array_equal(result.feedback.click[0], steps.click[row]), f"{where}: other clicks"
            assert np.array_equal(result.feedback.purchase[0], steps.purchase[row]), (
                f"{where}: other purchases"
            )
            left, limit = (steps.session_end[row] == end for end in (SessionEnd.LEFT, SessionEnd.LIMIT))
            assert result.terminated[0] == left, f"{where}: terminated and the log's end differ"
            assert result.truncated[0] == limit, f"{where}: truncated and the log's end differ"
            observation = result.observation
        assert result.terminated[0] or result.truncated[0], f"user {user}: the log ends before the session"
