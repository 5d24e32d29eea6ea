"""Sixth and seventh stage: the policies side by side, in the true store, in the fitted simulator, and by the log."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from envs.world import TaskConfig, World
from evaluation.off_policy import OffPolicyConfig, OffPolicyResult, evaluate_off_policy
from evaluation.online import evaluate_online, evaluate_policy
from evaluation.outcomes import OnlineResult
from pipeline.config import TrainConfig
from pipeline.data import ShopData
from simulators.base import InspectableSimulator

if TYPE_CHECKING:
    from agents.base import Policy
    from envs.observation import Observation

_T = TypeVar("_T")

__all__ = [
    "BEHAVIOR",
    "HELD_OUT",
    "Judgement",
    "judge_from_log",
    "judge_online",
    "oracles",
]

HELD_OUT = 10_000_000
"""First user of the final judgement; no log, training or model choice has seen these users."""
BEHAVIOR = "behavior"
"""Name of the policy that made the log."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the judgement found."""

    online: OnlineResult  # in the true store, or in the fitted simulator where no truth is known
    fitted: OnlineResult | None  # in the fitted simulator, where that is another world
    world: str  # where `online` was measured


def oracles(config: TrainConfig, world: World, task: TaskConfig) -> dict[str, Policy]:
    """The policies that see the hidden state of `world`'s users; none where its simulator cannot be looked into."""
    from agents.oracles import MyopicOracle, PlanningConfig, PlanningOracle

    simulator = world.simulator
    if not isinstance(simulator, InspectableSimulator):
        return {}
    planning = PlanningConfig(
        rollouts=config.judge.planner_rollouts, seed=config.run.seed, progress=not config.run.quiet
    )
    return {
        "myopic": MyopicOracle(simulator, purchase_weight=task.purchase_weight),
        "planning": PlanningOracle.for_world(world, task, planning),
    }


def judge_online(
    config: TrainConfig,
    shop: ShopData,
    task: TaskConfig,
    fitted: World,
    policies: Mapping[str, Policy],
) -> Judgement:
    """Every policy on the same held-out users.

    Args:
        config: Numbers of users, seed.
        shop: With the truth, where it is known.
        task: The task.
        fitted: The world that the policy was trained in.
        policies: All but the oracles and the policy that made the log, which belong to a world.
    """
    if shop.truth is None:
        return Judgement(
            online=_serve(config, fitted, task, {**policies, **oracles(config, fitted, task)}, None),
            fitted=None,
            world="the fitted simulator",
        )
    true = dataclasses.replace(fitted, simulator=shop.truth.true_simulator)
    truth = shop.truth.relevance
    online = _serve(config, true, task, {**policies, **oracles(config, true, task)}, truth)
    # The policy of the log ranks the candidates that its shop gave it, as it did when it made the log.
    own = dataclasses.replace(true, candidates=shop.truth.candidates)
    behavior = evaluate_policy(
        shop.truth.behavior_policy,
        own,
        task,
        n_users=config.judge.eval_users,
        seed=config.run.seed,
        first_user=HELD_OUT,
        relevance=truth,
        name=BEHAVIOR,
        progress=not config.run.quiet,
    )
    online = dataclasses.replace(online, outcomes=_ordered({**online.outcomes, BEHAVIOR: behavior}))
    inside = {
        **policies,
        **{name: p for name, p in oracles(config, fitted, task).items() if name == "myopic"},
    }
    return Judgement(online=online, fitted=_serve(config, fitted, task, inside, None), world="the true store")


def judge_from_log(
    config: TrainConfig, shop: ShopData, observation: Observation | None, policies: Mapping[str, Policy]
) -> dict[str, OffPolicyResult]:
    """What the held-out part of the log says of `policies`; oracles cannot be judged by a log.

    Args:
        config: Purchase weight.
        shop: The test part of the log.
        observation: What a policy would have seen at its steps; None where the log has no candidates.
        policies: By name.
    """
    if observation is None or np.isnan(shop.test.propensity[shop.test.item >= 0]).all():
        return {}
    settings = OffPolicyConfig(purchase_weight=config.task.purchase_weight)
    candidates: dict[str, Policy] = dict(policies)
    if shop.truth is not None:
        candidates[BEHAVIOR] = shop.truth.behavior_policy
    return {
        name: evaluate_off_policy(
            policy, shop.test, observation, config=settings, name=name, progress=not config.run.quiet
        )
        for name, policy in candidates.items()
    }


def _serve(
    config: TrainConfig,
    world: World,
    task: TaskConfig,
    policies: Mapping[str, Policy],
    relevance: np.ndarray[tuple[int, int], np.dtype[np.float32]] | None,
) -> OnlineResult:
    limits = {"planning": min(config.judge.planner_users, config.judge.eval_users)}
    return evaluate_online(
        _ordered(policies),
        world,
        task,
        n_users=config.judge.eval_users,
        seed=config.run.seed,
        first_user=HELD_OUT,
        limits={name: limit for name, limit in limits.items() if name in policies},
        relevance=relevance,
        progress=not config.run.quiet,
    )


def _ordered(policies: Mapping[str, _T]) -> dict[str, _T]:
    """Baselines, then the policy of the log, then what was trained, then the oracles."""
    first = ["random", "popularity", "relevance", "mmr", "click-greedy", BEHAVIOR]
    last = ["myopic", "planning"]
    middle = [name for name in policies if name not in first and name not in last]
    return {name: policies[name] for name in (*first, *middle, *last) if name in policies}
