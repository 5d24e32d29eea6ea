"""What tuning may change: ranges of settings, by their flat names; those of the networks begin with 'network.'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["SPACES", "Choice", "Range", "default_of", "holds"]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`."""

    low: float
    high: float
    log: bool = False
    """Whether factors count rather than differences."""
    whole: bool = False
    """Whether only whole numbers do."""


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]


SPACES: dict[str, dict[str, Range | Choice]] = {
    "ppo": {
        "learning_rate": Range(3e-4, 8e-3, log=True),
        "actor_rate": Range(0.03, 1.0, log=True),
        "gamma": Range(0.8, 0.999),
        "gae_lambda": Range(0.0, 0.99),
        "n_steps": Choice((4, 8, 16, 32)),
        "n_epochs": Range(1, 6, whole=True),
        "batch_size": Choice((512, 1024, 2048)),
        "clip_range": Range(0.1, 0.4),
        "entropy_coef": Range(0.0, 0.02),
        "critic_coef": Range(0.003, 1.0, log=True),
        "network.state_width": Choice((32, 64, 96, 128)),
        "network.candidate_width": Choice((16, 32, 48, 64)),
        "network.gain_scale": Range(0.5, 6.0, log=True),
    },
    "dqn": {
        "learning_rate": Range(2e-4, 8e-3, log=True),
        "gamma": Range(0.8, 0.999),
        "n_steps": Range(1, 8, whole=True),
        "trace_decay": Range(0.0, 1.0),
        "batch_size": Choice((512, 1024, 2048)),
        "gradient_steps": Choice((1, 2)),
        "train_freq": Choice((1, 2, 4)),
        "target_update_interval": Range(1_000, 40_000, log=True, whole=True),
        "exploration_final_eps": Range(0.01, 0.3, log=True),
        "exploration_fraction": Range(0.05, 0.6),
        "exploration_temperature": Range(0.1, 1.5, log=True),
        "value_coef": Range(0.1, 10.0, log=True),
        "network.state_width": Choice((32, 64, 96, 128)),
        "network.candidate_width": Choice((16, 32, 48, 64)),
        "network.value_scale": Range(3.0, 30.0, log=True),
    },
}
"""By learner."""


def holds(space: Range | Choice, value: Any) -> bool:
    """Whether a value is in it."""
    if isinstance(space, Choice):
        return value in space.values
    return space.low <= value <= space.high and (not space.whole or value == int(value))


def default_of(agent: str) -> Mapping[str, Any]:
    """The values of the settings in an agent's space as they are now, those out of its range left out."""
    from agents.registry import learner_config

    config = learner_config(agent)
    found = {}
    for name, space in SPACES[agent].items():
        owner, _, field = name.rpartition(".")
        value = getattr(config.network if owner else config, field)
        if holds(space, value):
            found[name] = value
    return found
