"""Learning from a log alone: behaviour cloning, off-policy REINFORCE, and the warm start of PPO and DQN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.offline.cloning import CloningConfig, clone_behaviour
    from agents.offline.reinforce import ReinforceConfig, train_reinforce
    from agents.offline.served import served_transitions
    from agents.offline.transitions import LogTransitions, log_transitions
    from agents.offline.warm_start import WarmStartConfig, warm_start

__all__ = [
    "CloningConfig",
    "LogTransitions",
    "ReinforceConfig",
    "WarmStartConfig",
    "clone_behaviour",
    "log_transitions",
    "served_transitions",
    "train_reinforce",
    "warm_start",
]

_HOME = {
    "CloningConfig": "agents.offline.cloning",
    "LogTransitions": "agents.offline.transitions",
    "ReinforceConfig": "agents.offline.reinforce",
    "WarmStartConfig": "agents.offline.warm_start",
    "clone_behaviour": "agents.offline.cloning",
    "log_transitions": "agents.offline.transitions",
    "served_transitions": "agents.offline.served",
    "train_reinforce": "agents.offline.reinforce",
    "warm_start": "agents.offline.warm_start",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
