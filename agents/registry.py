"""Agents by name: what `--agent` understands."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from agents.base import Policy
from agents.dqn.config import DQNConfig
from agents.ppo.config import PPOConfig
from behavior.errors import InputError
from encoders.features import FeatureTables

if TYPE_CHECKING:
    from agents.offline.transitions import LogTransitions
    from behavior.steps import LoggedSteps
    from envs.world import TaskConfig, World

__all__ = [
    "AgentInputs",
    "agent_names",
    "learner_config",
    "learner_names",
    "log_agent_names",
    "make_agent",
    "pages_of",
    "train_in_world",
    "world_agent_names",
]


@dataclass(frozen=True, kw_only=True)
class AgentInputs:
    """What agents that do not learn in the simulator are made of."""

    features: FeatureTables
    """The public tables."""
    train: LoggedSteps | None = None
    """The training part of the log, for those that are fitted to it."""
    world: World | None = None
    """Where policies will serve: sizes and tables, for those whose network needs them; nobody is served in it."""
    task: TaskConfig | None = None
    """The task they will serve in; as the log is, where None."""
    hide_scores: Callable[[NDArray[np.int32]], NDArray[np.float32]] | None = None
    """Candidates (M, N) -> the scores that agents see in place of the relevance model's; None: they see those."""
    seed: int = 0
    """Of networks, and of the order in which pages are gone over."""
    device: str = "cpu"
    """Where networks are trained."""
    progress: bool = False
    """Whether to show bars while fitting."""


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

    steps = _log(inputs, "click-greedy")
    if inputs.world is None or inputs.task is None or not steps.candidates.shape[1]:
        return ClickGreedyPolicy.fit(steps, inputs.features, task=inputs.task)
    pages, _, task = pages_of(inputs, "click-greedy")
    return ClickGreedyPolicy.fit_transitions([pages], inputs.features, task)


def _bandit(kind: Literal["linucb", "lints"]) -> Callable[[AgentInputs], Policy]:
    def make(inputs: AgentInputs) -> Policy:
        from agents.bandits import BanditConfig, learn_from_log

        pages, _, task = pages_of(inputs, kind)
        return learn_from_log(BanditConfig(kind=kind), pages, inputs.features, task)

    return make


def _cloning(inputs: AgentInputs) -> Policy:
    from agents.offline.cloning import CloningConfig, clone_behaviour

    pages, world, task = pages_of(inputs, "cloning")
    clone = clone_behaviour(
        CloningConfig(), pages, world, task, seed=inputs.seed, device=inputs.device, progress=inputs.progress
    )
    return clone.policy(temperature=1.0)  # its law is the behaviour's; its greedy slates are another policy


def _reinforce(inputs: AgentInputs) -> Policy:
    from agents.offline.reinforce import ReinforceConfig, train_reinforce

    pages, world, task = pages_of(inputs, "reinforce")
    return train_reinforce(
        ReinforceConfig(),
        pages,
        world,
        task,
        seed=inputs.seed,
        device=inputs.device,
        progress=inputs.progress,
    ).policy()


def _log(inputs: AgentInputs, name: str) -> LoggedSteps:
    if inputs.train is None:
        raise InputError(
            f"{name} is fitted to a log, and there is none",
            where=f"agent {name}",
            mend="give the log"
            + (
                f", or let it learn in a world with train_in_world({name!r}, ...)"
                if name in _IN_WORLD
                else ""
            ),
        )
    return inputs.train


def pages_of(inputs: AgentInputs, name: str) -> tuple[LogTransitions, World, TaskConfig]:
    """The log as agent `name` learns from it, with the world and the task of `inputs`.

    Raises:
        InputError: No log, world or task; or no pages that can be learned from.
    """
    from agents.offline.transitions import log_transitions

    steps = _log(inputs, name)
    if inputs.world is None or inputs.task is None:
        raise InputError(
            f"{name} learns for a task in a world, and none is given",
            where=f"agent {name}",
            mend="give AgentInputs world= and task=",
        )
    table = inputs.world.candidates if steps.candidates.shape[1] == 0 and steps.single_impressions else None
    pages = log_transitions(steps, inputs.features, inputs.task, candidates=table)
    if inputs.world.simulator.context_size == 0:
        # Of the users it will serve nothing is known: what the log knows of its users is passed over.
        before, after = (
            replace(seen, context=seen.context[:, :0]) for seen in (pages.observation, pages.next_observation)
        )
        pages = replace(pages, observation=before, next_observation=after)
    if inputs.hide_scores is not None:
        before, after = (
            replace(seen, scores=inputs.hide_scores(seen.candidates))
            for seen in (pages.observation, pages.next_observation)
        )
        pages = replace(pages, observation=before, next_observation=after)
    return pages, inputs.world, inputs.task


_BASELINES: dict[str, Callable[[AgentInputs], Policy]] = {
    "random": _random,
    "popularity": _popularity,
    "relevance": _relevance,
    "mmr": _mmr,
    "click-greedy": _click_greedy,
    "linucb": _bandit("linucb"),
    "lints": _bandit("lints"),
    "cloning": _cloning,
    "reinforce": _reinforce,
}
_FROM_LOG = ("click-greedy", "linucb", "lints", "cloning", "reinforce")
_IN_WORLD = ("click-greedy", "linucb", "lints", "sac", "td3")


def agent_names() -> tuple[str, ...]:
    """All names, learners first."""
    return (*_LEARNERS, *_BASELINES)


def learner_names() -> tuple[str, ...]:
    """The agents that are trained in the simulator."""
    return tuple(_LEARNERS)


def log_agent_names() -> tuple[str, ...]:
    """The agents that learn from a log alone."""
    return _FROM_LOG


def world_agent_names() -> tuple[str, ...]:
    """The agents, beside the learners, that `train_in_world` trains by serving users."""
    return _IN_WORLD


def train_in_world(
    name: str,
    world: World,
    task: TaskConfig,
    *,
    total_steps: int,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> Policy:
    """A policy that learned by serving about `total_steps` pages, with its default settings.

    `click-greedy` is fitted to what was served at random and then by itself; the bandits learn after every step; `sac`
    and `td3` learn a direction in the space of items. PPO and DQN are trained by `agents.train_agent`.

    Args:
        name: One of `world_agent_names()`.
        world: Where it serves.
        task: The task.
        total_steps: Pages.
        seed: Of users, networks and exploration.
        device: Where networks are trained.
        progress: Whether to show a bar.

    Raises:
        InputError: Unknown name.
    """
    if name not in _IN_WORLD:
        raise _unknown(name, _IN_WORLD)
    if name == "click-greedy":
        from agents.baselines import RandomPolicy
        from agents.click_greedy import ClickGreedyPolicy

        return ClickGreedyPolicy.fit_in_world(
            world, task, n_steps=total_steps, behaviour=RandomPolicy(), seed=seed, progress=progress
        )
    if name in ("sac", "td3"):
        from agents.directions import DirectionConfig, train_direction

        algorithm: Literal["sac", "td3"] = "sac" if name == "sac" else "td3"
        return train_direction(
            DirectionConfig(algorithm=algorithm),
            world,
            task,
            total_steps=total_steps,
            seed=seed,
            device=device,
            progress=progress,
        )
    from agents.bandits import BanditConfig, learn_bandit

    kind: Literal["linucb", "lints"] = "linucb" if name == "linucb" else "lints"
    return learn_bandit(
        BanditConfig(kind=kind), world, task, total_steps=total_steps, seed=seed, progress=progress
    )


def learner_config(name: str, /, **overrides: Any) -> PPOConfig | DQNConfig:
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
        InputError: Unknown name, the name of a learner, or a log, world or task is missing that the agent needs.
    """
    if name in _LEARNERS:
        raise InputError(
            f"{name} has to be trained first",
            where="make_agent",
            mend="train it with agents.train_agent, or load a checkpoint with agents.load_policy",
        )
    if name in _IN_WORLD and name not in _BASELINES:
        raise InputError(
            f"{name} has to be trained first",
            where="make_agent",
            mend=f"train it with agents.train_in_world({name!r}, world, task, total_steps=...)",
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
