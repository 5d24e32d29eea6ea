"""The policy contract catches what it promises to catch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.base import Draw, SlatePropensity
from agents.baselines import RandomPolicy, RelevancePolicy
from agents.contract import PolicyContractError, check_policy
from agents.score_policy import ScorePolicy
from envs.core import SlateCore
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import TaskConfig
from simulators.base import SessionState


@pytest.fixture(scope="module")
def observation() -> Observation:
    world = toy_world(n_items=60, n_queries=5, n_candidates=12)
    return SlateCore(world, TaskConfig(slate_size=4, n_candidates=12), n_users=6, seed=2).reset()


class Soft(RelevancePolicy):
    """A right one, to be broken below."""

    def __init__(self) -> None:
        super().__init__(temperature=1.0)


def test_right_policies_pass(observation: Observation) -> None:
    assert len(check_policy(Soft(), observation, slate_size=4)) == 8
    assert len(check_policy(RandomPolicy(), observation, slate_size=4)) == 8
    assert len(check_policy(RelevancePolicy(), observation, slate_size=4)) == 8


class Repeats(Soft):
    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        slates = super().rank(observation, draw, slate_size=slate_size)
        slates[:, -1] = slates[:, 0]
        return slates


class Unmasked(ScorePolicy):
    def scores(self, observation: Observation) -> NDArray[np.float64]:
        return np.zeros(observation.candidates.shape)

    def masked_scores(self, observation: Observation) -> NDArray[np.float64]:
        return np.tile(
            np.arange(float(observation.candidates.shape[1])), (observation.candidates.shape[0], 1)
        )


class Items(Soft):
    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        slates = super().rank(observation, draw, slate_size=slate_size)
        return np.take_along_axis(observation.candidates, slates, axis=1).astype(np.int64) + 100


class Moody(Soft):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        self.calls += 1
        return super().scores(observation) * self.calls


class Global(Soft):
    def scores(self, observation: Observation) -> NDArray[np.float64]:
        np.random.random()  # noqa: NPY002
        return super().scores(observation)


class Crowd(RelevancePolicy):
    def scores(self, observation: Observation) -> NDArray[np.float64]:
        scores = super().scores(observation)
        return scores if scores.shape[0] % 2 else -scores


class Meddler(Soft):
    def scores(self, observation: Observation) -> NDArray[np.float64]:
        observation.scores[0, 0] += 0.1
        return np.zeros(observation.candidates.shape)


class Altered(Soft):
    """Says other propensities than it draws with."""

    def change(self, found: SlatePropensity) -> SlatePropensity:
        return found

    def propensity(self, observation: Observation, actions: NDArray[np.int64]) -> SlatePropensity:
        return self.change(super().propensity(observation, actions))


class JointAsMarginal(Altered):
    def change(self, found: SlatePropensity) -> SlatePropensity:
        return dataclasses.replace(found, item=found.cascade)


class Zero(Altered):
    def change(self, found: SlatePropensity) -> SlatePropensity:
        return dataclasses.replace(found, item=found.item * 0)


class Rising(Altered):
    def change(self, found: SlatePropensity) -> SlatePropensity:
        return dataclasses.replace(found, cascade=found.cascade[:, ::-1])


class Tempered(Soft):
    def propensity(self, observation: Observation, actions: NDArray[np.int64]) -> SlatePropensity:
        return RelevancePolicy(temperature=0.1).propensity(observation, actions)


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        (Repeats(), "twice"),
        (Unmasked(), "mask candidates"),
        (Items(), "not catalogue rows"),
        (Moody(), "same draw"),
        (Global(), "global generator"),
        (Crowd(), "depends on who else"),
        (Meddler(), "changed observation.scores"),
        (JointAsMarginal(), "together"),
        (Zero(), "outside"),
        (Rising(), "rises along the slate"),
        (Tempered(), "as often"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ScorePolicy) else "",
)
def test_faults_are_caught(policy: ScorePolicy, complaint: str, observation: Observation) -> None:
    fresh = Observation(**{name: array.copy() for name, array in observation.as_dict().items()})
    with pytest.raises(PolicyContractError, match=complaint):
        check_policy(policy, fresh, slate_size=4, samples=20_000)
