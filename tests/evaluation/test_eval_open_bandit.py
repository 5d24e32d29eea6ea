"""The real Open Bandit log, from its published files to SNIPS; skipped where the data is not there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.base import Draw, Policy, SlatePropensity
from agents.baselines import RandomPolicy
from behavior import load
from behavior.steps import LoggedSteps
from envs.observation import Observation
from evaluation.off_policy import evaluate_off_policy
from simulators.base import SessionState

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
FOLDER = SHARED / "data" / "obd" / "random" / "all"
FIXTURES = SHARED / "fixtures" / "ope"

pytestmark = pytest.mark.skipif(
    not (FOLDER.is_dir() and FIXTURES.is_dir()), reason="optional data is not there"
)


class SlotTable(Policy):
    """Each slot's item is drawn from that slot's own distribution, whatever the other slots show."""

    name = "Bernoulli TS"

    def __init__(self, probability: NDArray[np.float64]) -> None:
        self._probability = probability  # (I, K)

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        best = np.argsort(-self._probability[observation.candidates, 0], axis=1, kind="stable")
        return best[:, :slate_size]

    def propensity(self, observation: Observation, actions: NDArray[np.int64]) -> SlatePropensity:
        items = np.take_along_axis(observation.candidates, actions, axis=1)
        item = self._probability[items, np.arange(actions.shape[1])]
        cascade = np.cumprod(item, axis=1)
        return SlatePropensity(item=item, cascade=cascade, slate=cascade[:, -1])


@pytest.fixture(scope="module")
def log() -> tuple[LoggedSteps, Observation, NDArray[np.int64]]:
    dataset = load(FOLDER, name="open-bandit")
    steps = dataset.log.to_steps(dataset.catalog)
    m, k, n = steps.n_steps, steps.slate_size, dataset.catalog.n_items
    none = np.full((m, k), -1, np.int32)
    observation = Observation(
        query=steps.query[:, None],
        context=steps.context,
        candidates=np.tile(np.arange(n, dtype=np.int32), (m, 1)),
        scores=np.zeros((m, n), np.float32),
        seen=np.zeros((m, n), np.float32),
        last_slate=none,
        last_click=np.zeros((m, k), np.float32),
        last_purchase=np.zeros((m, k), np.float32),
        clicked=none,
        progress=np.zeros((m, 4), np.float32),
    )
    ids = np.array(
        [int(identifier) for identifier in dataset.catalog.item_ids]
    )  # published number of each row
    return steps, observation, ids


def test_reference_values(log: tuple[LoggedSteps, Observation, NDArray[np.int64]]) -> None:
    steps, observation, ids = log
    expected = json.loads((FIXTURES / "obd_expected.json").read_text())["all_random"]["evaluation_policies"]
    with np.load(FIXTURES / "obd_all_random.npz") as fixture:
        for name in ("bts_prior", "bts_empirical"):
            policy = SlotTable(fixture[f"action_dist_{name}"][ids])
            found = evaluate_off_policy(policy, steps, observation, progress=False)
            assert found.estimator == "SNIPS"
            assert found.status == "ok"
            assert found.value == pytest.approx(expected[name]["fold1"]["snipw"]["estimate"], rel=1e-9)
            assert found.ess == pytest.approx(expected[name]["iw"]["ess"], rel=1e-9)
            assert any("proves very little" in w for w in found.warnings) == (found.n_weighted_clicks < 30)
            assert found.unnormalised is not None
            assert found.unnormalised.value == pytest.approx(
                expected[name]["fold1"]["ipw"]["estimate"], rel=1e-9
            )


def test_the_random_policy_is_worth_its_own_log(
    log: tuple[LoggedSteps, Observation, NDArray[np.int64]],
) -> None:
    steps, observation, _ = log
    rows = np.arange(0, steps.n_steps, 5)
    part = steps.take(rows)
    found = evaluate_off_policy(RandomPolicy(), part, observation.take(rows), progress=False)
    assert found.value == pytest.approx(part.click.sum() / part.n_steps, rel=1e-9)
    assert found.interval is not None
    assert found.interval.low < found.value < found.interval.high
    assert found.max_weight == pytest.approx(1, rel=1e-3)
