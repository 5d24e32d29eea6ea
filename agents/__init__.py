"""Agents: the `Policy` contract, baselines, oracles, and the learners PPO and DQN over slates."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.base import Draw, Policy, SlatePropensity
    from agents.baselines import MMRPolicy, PopularityPolicy, RandomPolicy, RelevancePolicy
    from agents.belief import BeliefConfig, BeliefOracle
    from agents.checkpoint import Checkpoint, LearnerConfig, read_checkpoint
    from agents.click_greedy import ClickGreedyConfig, ClickGreedyPolicy
    from agents.dqn.config import DQNConfig
    from agents.learned_policy import LearnedPolicy
    from agents.learning import TrainingOptions, load_policy, policy_of, train_agent
    from agents.network_config import NetworkConfig
    from agents.oracles import MyopicOracle, PlanningConfig, PlanningOracle
    from agents.ppo.config import PPOConfig
    from agents.registry import (
        AgentInputs,
        agent_names,
        learner_config,
        learner_names,
        make_agent,
        train_in_world,
    )
    from agents.score_policy import ScorePolicy

__all__ = [
    "AgentInputs",
    "BeliefConfig",
    "BeliefOracle",
    "Checkpoint",
    "ClickGreedyConfig",
    "ClickGreedyPolicy",
    "DQNConfig",
    "Draw",
    "LearnedPolicy",
    "LearnerConfig",
    "MMRPolicy",
    "MyopicOracle",
    "NetworkConfig",
    "PPOConfig",
    "PlanningConfig",
    "PlanningOracle",
    "Policy",
    "PopularityPolicy",
    "RandomPolicy",
    "RelevancePolicy",
    "ScorePolicy",
    "SlatePropensity",
    "TrainingOptions",
    "agent_names",
    "learner_config",
    "learner_names",
    "load_policy",
    "make_agent",
    "policy_of",
    "read_checkpoint",
    "train_agent",
    "train_in_world",
]

_HOME = {
    "AgentInputs": "agents.registry",
    "BeliefConfig": "agents.belief",
    "BeliefOracle": "agents.belief",
    "Checkpoint": "agents.checkpoint",
    "ClickGreedyConfig": "agents.click_greedy",
    "ClickGreedyPolicy": "agents.click_greedy",
    "DQNConfig": "agents.dqn.config",
    "Draw": "agents.base",
    "LearnedPolicy": "agents.learned_policy",
    "LearnerConfig": "agents.checkpoint",
    "MMRPolicy": "agents.baselines",
    "MyopicOracle": "agents.oracles",
    "NetworkConfig": "agents.network_config",
    "PPOConfig": "agents.ppo.config",
    "PlanningConfig": "agents.oracles",
    "PlanningOracle": "agents.oracles",
    "Policy": "agents.base",
    "PopularityPolicy": "agents.baselines",
    "RandomPolicy": "agents.baselines",
    "RelevancePolicy": "agents.baselines",
    "ScorePolicy": "agents.score_policy",
    "SlatePropensity": "agents.base",
    "TrainingOptions": "agents.learning",
    "agent_names": "agents.registry",
    "learner_config": "agents.registry",
    "learner_names": "agents.registry",
    "load_policy": "agents.learning",
    "make_agent": "agents.registry",
    "policy_of": "agents.learning",
    "read_checkpoint": "agents.checkpoint",
    "train_agent": "agents.learning",
    "train_in_world": "agents.registry",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
