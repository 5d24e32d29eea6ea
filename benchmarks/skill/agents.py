"""Who is trained: a table of functions from a course to a trained policy, and how a variant of one is written.

A new agent is one line in `AGENTS`: a function from a course to what comes out. With `ppo[gamma=0.9,n_epochs=4]`, PPO
with two settings changed is asked for; an ablation is thus a name, and stands in the tables under it. Settings of the
networks are written `network.state_width=128`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import yaml

from agents.base import Policy
from behavior.errors import InputError
from benchmarks.skill.places import Place
from benchmarks.skill.watch import Budget, Point, Watch

Config = TypeVar("Config", bound=Any)

if TYPE_CHECKING:
    from agents.bandits import BanditConfig
    from agents.checkpoint import LearnerConfig
    from agents.click_greedy import ClickGreedyConfig
    from agents.directions import DirectionConfig

__all__ = ["AGENTS", "Agent", "Course", "Trained", "agent_names", "agent_place", "changed_config", "train"]


@dataclass(frozen=True, kw_only=True)
class Course:
    """What an agent is trained on."""

    place: Place
    budget: Budget
    seed: int
    folder: Path
    """Checkpoints, the best policy and the curve."""
    watch: Watch
    """Its clock and its validation users."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What comes out."""

    policy: Policy
    """The one with the best validation score, where there is a choice."""
    steps: int
    """User-steps made."""
    seconds: float
    """Seconds of training."""
    points: tuple[Point, ...]
    """The curve."""
    settings: Mapping[str, Any]
    """By which it was trained."""


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A line of the table."""

    train: Callable[..., Trained]
    """Course and settings -> what comes out."""
    config: Callable[[Mapping[str, Any]], Any]
    """Settings -> its configuration with them; refuses what cannot be."""
    sees_all: bool = False
    """Whether it is shown the hidden state of its users, in training and when it is judged."""


def train(name: str, course: Course) -> Trained:
    """Train the agent of that name, or go on where an earlier sitting stopped.

    Raises:
        InputError: No such agent or setting, or a checkpoint of another configuration.
    """
    kind, settings = _parse(name)
    return AGENTS[kind].train(course, **settings)


def agent_place(name: str, place: Place) -> Place:
    """The place as this agent sees it: its users are the same, and do the same on the same pages.

    Raises:
        InputError: There is nothing hidden to show.
    """
    if not AGENTS[_parse(name)[0]].sees_all:
        return place
    from agents.privileged import privileged_world

    return dataclasses.replace(place, world=privileged_world(place.world))


def agent_names(asked: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The agents asked for, all of the table where there are none.

    Raises:
        InputError: There is no such agent or setting, or a setting has a value that cannot be.
    """
    for name in asked:
        kind, settings = _parse(name)
        AGENTS[kind].config(settings)
    return tuple(dict.fromkeys(asked)) or tuple(AGENTS)


def _parse(name: str) -> tuple[str, dict[str, Any]]:
    """'ppo[gamma=0.9]' -> 'ppo', {'gamma': 0.9}."""
    form = re.fullmatch(r"(?P<kind>[\w-]+)(\[(?P<settings>[^\]]*)\])?", name)
    if form is None or form["kind"] not in AGENTS:
        raise InputError(
            f"no agent named {name!r}",
            where="--agent",
            mend=f"choose among {', '.join(AGENTS)}; settings stand in brackets: 'ppo[gamma=0.9]'",
        )
    settings = {}
    for part in (form["settings"] or "").split(","):
        if part:
            field, sign, value = part.partition("=")
            if not sign:
                raise InputError(
                    f"{part!r} in {name!r} sets nothing", where="--agent", mend="write field=value"
                )
            try:
                settings[field.strip()] = yaml.safe_load(value)
            except yaml.YAMLError:
                raise InputError(
                    f"{value!r} in {name!r} is no value",
                    where="--agent",
                    mend="write field=0.9 or field=word",
                ) from None
    return form["kind"], settings


def changed_config(agent: str, settings: Mapping[str, Any]) -> LearnerConfig:
    """The configuration of PPO or DQN with settings by their names; those of the networks begin with 'network.'.

    Raises:
        InputError: No such setting.
    """
    from agents.registry import learner_config

    inner = {name.removeprefix("network."): v for name, v in settings.items() if name.startswith("network.")}
    config = learner_config(
        agent, **{name: v for name, v in settings.items() if not name.startswith("network.")}
    )
    unknown = inner.keys() - {field.name for field in dataclasses.fields(config.network)}
    if unknown:
        raise InputError(
            f"the networks have no setting {', '.join(sorted(unknown))}",
            where=agent,
            mend="see agents.network_config.NetworkConfig",
        )
    return dataclasses.replace(config, network=dataclasses.replace(config.network, **inner))


def _learner(course: Course, /, *, agent: str, **settings: Any) -> Trained:
    """PPO or DQN by `agents.learning.train_agent`, its best checkpoint chosen by the validation users."""
    from agents.checkpoint import read_checkpoint
    from agents.learning import TrainingOptions, load_policy, train_agent
    from benchmarks.skill.deadline import Deadline

    world, task, budget, watch = course.place.world, course.place.task, course.budget, course.watch
    # As in train.py: where a session is one page, nothing lies beyond the limit.
    config = changed_config(agent, {"bootstrap_at_limit": task.max_steps > 1, **settings})
    last, best = course.folder / "last_model.zip", course.folder / "best_model.zip"
    done = read_checkpoint(last).num_timesteps if last.is_file() else 0
    deadline = Deadline(watch)
    watch.set(from_steps=done)
    model = train_agent(
        config,
        world,
        task,
        total_steps=budget.steps,
        seed=course.seed,
        options=TrainingOptions(
            folder=course.folder,
            checkpoint_every=budget.evaluate_every,
            evaluate=lambda policy: watch.judge(policy, deadline.model.num_timesteps),
            evaluate_every=budget.evaluate_every,
            progress=False,
        ),
        callbacks=(deadline,),
        resume_from=last if done else None,
    )
    watch.stop()
    policy = load_policy(best, world, task)
    last.unlink()  # a finished cell is not gone on with, and a replay is large
    return Trained(
        policy=policy,
        steps=model.num_timesteps,
        seconds=watch.seconds,
        points=tuple(watch.points),
        settings=dataclasses.asdict(config),
    )


def changed(config: Config, settings: Mapping[str, Any]) -> Config:
    """A flat configuration with some settings changed.

    Raises:
        InputError: No such setting.
    """
    known = [field.name for field in dataclasses.fields(config)]
    unknown = settings.keys() - set(known)
    if unknown:
        raise InputError(
            f"no setting {', '.join(sorted(unknown))}",
            where=type(config).__name__,
            mend=f"known: {', '.join(known)}",
        )
    return dataclasses.replace(config, **settings)


def _bandit(course: Course, /, *, kind: Literal["linucb", "lints"], **settings: Any) -> Trained:
    """A linear bandit, which learns from each step before the next; judged as it stands at the end.

    Users are served in parts, one between two looks at the validation users; what was learned goes on growing.
    """
    from agents.bandits import learn_bandit
    from agents.bandits.learning import no_statistics

    world, task, budget, watch = course.place.world, course.place.task, course.budget, course.watch
    config = _bandit_config(kind, settings)
    known = no_statistics(config, world, task)
    watch.set()
    watch.go_on()
    done = 0
    while done == 0 or (budget.steps - done >= config.n_envs and watch.share_left > 0.0):
        part = min(budget.evaluate_every, budget.steps - done)
        policy = learn_bandit(
            config,
            world,
            task,
            total_steps=part,
            seed=course.seed,
            first_user=done,
            statistics=known,
            progress=False,
        )
        done += max(1, part // config.n_envs) * config.n_envs
        watch.judge(policy, done)
        watch.go_on()
    watch.stop()
    return Trained(
        policy=policy,
        steps=done,
        seconds=watch.seconds,
        points=tuple(watch.points),
        settings=dataclasses.asdict(config),
    )


def _click_greedy(course: Course, /, **settings: Any) -> Trained:
    """The click model of usual practice, fitted to what was served at random and then by itself.

    It is fitted in one go: minutes do not end it, and its curve is one point.
    """
    from agents.baselines import RandomPolicy
    from agents.click_greedy import ClickGreedyPolicy

    place, budget, watch = course.place, course.budget, course.watch
    config = _click_greedy_config(settings)
    watch.set()
    watch.go_on()
    policy = ClickGreedyPolicy.fit_in_world(
        place.world,
        place.task,
        n_steps=budget.steps,
        behaviour=RandomPolicy(),
        seed=course.seed,
        config=config,
        progress=False,
    )
    watch.judge(policy, budget.steps)
    return Trained(
        policy=policy,
        steps=budget.steps,
        seconds=watch.seconds,
        points=tuple(watch.points),
        settings=dataclasses.asdict(config),
    )


def _direction(course: Course, /, *, algorithm: Literal["sac", "td3"], **settings: Any) -> Trained:
    """SAC or TD3 pointing into the space of items; judged as it stands at the end, so its curve is one point."""
    from agents.directions import train_direction
    from benchmarks.skill.deadline import Deadline

    place, budget, watch = course.place, course.budget, course.watch
    config = _direction_config(algorithm, settings)
    deadline = Deadline(watch)
    watch.set()
    policy = train_direction(
        config,
        place.world,
        place.task,
        total_steps=budget.steps,
        seed=course.seed,
        progress=False,
        callbacks=(deadline,),
    )
    steps = deadline.model.num_timesteps
    watch.judge(policy, steps)
    return Trained(
        policy=policy,
        steps=steps,
        seconds=watch.seconds,
        points=tuple(watch.points),
        settings=dataclasses.asdict(config),
    )


def _bandit_config(kind: Literal["linucb", "lints"], settings: Mapping[str, Any]) -> BanditConfig:
    from agents.bandits import BanditConfig

    return changed(BanditConfig(kind=kind), settings)


def _click_greedy_config(settings: Mapping[str, Any]) -> ClickGreedyConfig:
    from agents.click_greedy import ClickGreedyConfig

    return changed(ClickGreedyConfig(), settings)


def _direction_config(algorithm: Literal["sac", "td3"], settings: Mapping[str, Any]) -> DirectionConfig:
    from agents.directions import DirectionConfig

    return changed(DirectionConfig(algorithm=algorithm), settings)


_PPO, _DQN = partial(changed_config, "ppo"), partial(changed_config, "dqn")

AGENTS: dict[str, Agent] = {
    "ppo": Agent(train=partial(_learner, agent="ppo"), config=_PPO),
    "dqn": Agent(train=partial(_learner, agent="dqn"), config=_DQN),
    "ppo-gamma-0": Agent(train=partial(_learner, agent="ppo", gamma=0.0), config=_PPO),
    "dqn-gamma-0": Agent(train=partial(_learner, agent="dqn", gamma=0.0), config=_DQN),
    "click-greedy": Agent(train=_click_greedy, config=_click_greedy_config),
    "linucb": Agent(train=partial(_bandit, kind="linucb"), config=partial(_bandit_config, "linucb")),
    "lints": Agent(train=partial(_bandit, kind="lints"), config=partial(_bandit_config, "lints")),
    "sac-direction": Agent(
        train=partial(_direction, algorithm="sac"), config=partial(_direction_config, "sac")
    ),
    "td3-direction": Agent(
        train=partial(_direction, algorithm="td3"), config=partial(_direction_config, "td3")
    ),
    "ppo-sees-all": Agent(train=partial(_learner, agent="ppo"), config=_PPO, sees_all=True),
    "dqn-sees-all": Agent(train=partial(_learner, agent="dqn"), config=_DQN, sees_all=True),
}
"""Agents by name."""
