"""Guards against tasks that can be cheated, a fault of known peers: no policy that ignores the user, and none that only
keeps users, closes most of the gap from random to the planning oracle; and leaving responds to what is shown."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.base import Policy
from agents.baselines import RandomPolicy
from agents.oracles import MyopicOracle, PlanningConfig, PlanningOracle
from agents.planning import Tuning
from agents.search import SearchConfig, best_constant_slate, best_score_direction, longest_session
from envs.tasks import SUITE, make_task
from envs.world import TaskConfig, World
from evaluation.online import evaluate_policy

MOST = 0.60
"""Share of the gap that no guard may close."""
SEARCH = SearchConfig(rounds=8, population=20, elite=5, users=64, final_users=256, progress=False)
PLANNING = PlanningConfig(
    rollouts=0, tuning=Tuning(rounds=10, population=20, elite=5, users=96), progress=False
)
FAST = ("SlateRank-Satisfaction-v0", "SlateRank-Funnel-v0", "SlateRank-Return-v0")
EXCEPTED = ("SlateRank-Static-v0",)  # nothing carries over there, and nobody leaves for what was shown
TASKS = [
    pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
    for name in SUITE
    if name not in EXCEPTED
]


def judged(policy: Policy, world: World, task: TaskConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score and length of 400 users whom no search has seen, in blocks a week apart."""
    found = [
        evaluate_policy(
            policy, world, task, n_users=100, seed=11, first_user=70_000_000 + 1_117 * block, progress=False
        )
        for block in range(4)
    ]
    score, length = ([getattr(one, name) for one in found] for name in ("score", "length"))
    return np.concatenate(score), np.concatenate(length)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_cannot_be_cheated(name: str) -> None:
    world, task = make_task(name)
    policies: dict[str, Policy] = {
        "random": RandomPolicy(),
        "constant slate": best_constant_slate(world, task, SEARCH),
        "score direction": best_score_direction(world, task, SEARCH),
        "longest session": longest_session(world, task, SEARCH),
        "myopic": MyopicOracle.for_world(world, task),
        "planning": PlanningOracle.for_world(world, task, PLANNING),
    }
    score, length = {}, {}
    for who, policy in policies.items():
        score[who], length[who] = judged(policy, world, task)
    floor, gap = score["random"].mean(), score["planning"].mean() - score["random"].mean()
    gain = score["planning"] - score["random"]
    assert gain.mean() > 4 * gain.std() / np.sqrt(gain.shape[0])  # there is a gap to be closed
    for who in ("constant slate", "score direction", "longest session"):
        share = (score[who].mean() - floor) / gap
        assert share <= MOST, f"{who} closes {share:.0%} of the gap from random to planning in {name}"

    # Leaving responds to what was shown: some policy's sessions differ in length from random's, paired by user.
    # Three comparisons at p = 1e-3 / 3: |t| above 3.6.
    tests = []
    for who in ("longest session", "myopic", "planning"):
        longer = length[who] - length["random"]
        error = longer.std(ddof=1) / np.sqrt(longer.shape[0])
        tests.append(abs(longer.mean()) / error if error > 0 else 0.0)
    assert max(tests) > 3.6, f"session length does not respond to the policy in {name}: t = {tests}"
