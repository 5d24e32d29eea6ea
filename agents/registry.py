"""Agents by name: what `--agent` understands."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agents.base import Policy
from agents.dqn.config import DQNConfig
from agents.ppo.config import PPOConfig
from behavior.errors import InputError
from encoders.features import FeatureTables

if TYPE_CHECKING:
    from behavior.steps import LoggedSteps

__all__ = ["AgentInputs", "agent_names", "learner_config", "learner_names", "make_agent"]


@dataclass(frozen=True, kw_only=True)
class AgentInputs:
    """What agents that do not learn in the simulator are made of."""

    features: FeatureTables
    """The public tables."""
    train: LoggedSteps | None = None
    """The training part of the log, for those that are fitted to it."""


_LEARNERS: dict[str, type[PPOConfig] | type[DQNConfig]] = {"ppo": PPOConfig, "dqn": DQNConfig}


def _random(inputs: AgentInputs) -> Policy:
    from agents.baselines import RandomPolicy

    return RandomPolicy()


def _popularity(inputs: AgentInputs) -> Policy:
    from agents.baselines import PopularityPolicy

    return PopularityPolicy(inputs.features)


def _relevance(inputs: AgentInputs) -> Policy:
    from agents.baselines import RelevancePolicy

    return RelevancePolicy()


def _mmr(inputs: AgentInputs) -> Policy:
    from agents.baselines import MMRPolicy

    return MMRPolicy(inputs.features)


def _click_greedy(inputs: AgentInputs) -> Policy:
    from agents.click_greedy import ClickGreedyPolicy

    if inputs.train is None:
        raise InputError(
            "click-greedy is fitted to a log, and there is none",
            where="agent click-greedy",
            mend="give the log",
        )
    return ClickGreedyPolicy.fit(inputs.train, inputs.features)


_BASELINES: dict[str, Callable[[AgentInputs], Policy]] = {
    "random": _random,
    "popularity": _popularity,
    "relevance": _relevance,
    "mmr": _mmr,
    "click-greedy": _click_greedy,
}


def agent_names() -> tuple[str, ...]:
    """All names, learners first."""
    return (*_LEARNERS, *_BASELINES)


def learner_names() -> tuple[str, ...]:
    """The agents that are trained in the simulator."""
    return tuple(_LEARNERS)


def learner_config(name: str, **overrides: Any) -> PPOConfig | DQNConfig:
    """The learner's settings, with `overrides` of single fields (None leaves the default).

    Raises:
        InputError: Unknown learner or field.
    """
    if name not in _LEARNERS:
        raise _unknown(name, learner_names())
    config = _LEARNERS[name]()
    given = {field: value for field, value in overrides.items() if value is not None}
    for field in given:
        if not hasattr(config, field):
            raise InputError(
                f"{name} has no setting {field!r}",
                where=type(config).__name__,
                mend=_nearest(field, tuple(vars(config))),
            )
    return replace(config, **given)


def make_agent(name: str, inputs: AgentInputs) -> Policy:
    """A policy that needs no training in the simulator.

    Raises:
        InputError: Unknown name, or the name of a learner.
    """
    if name in _LEARNERS:
        raise InputError(
            f"{name} has to be trained first",
            where="make_agent",
            mend="train it with agents.train_agent, or load a checkpoint with agents.load_policy",
        )
    if name not in _BASELINES:
        raise _unknown(name, agent_names())
    return _BASELINES[name](inputs)


def _unknown(name: str, names: tuple[str, ...]) -> InputError:
    return InputError(f"unknown agent {name!r}", where="--agent", mend=_nearest(name, names))


def _nearest(name: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    known = "known: " + ", ".join(names)
    return f"did you mean {close[0]!r}? {known}" if close else known
