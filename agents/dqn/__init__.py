"""DQN over slates by an additive SlateQ decomposition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.dqn.config import DQNConfig
    from agents.dqn.learner import SlateDQN
    from agents.dqn.network import PageValues, SlateQNetwork
    from agents.dqn.policy import SlateQPolicy

__all__ = ["DQNConfig", "PageValues", "SlateDQN", "SlateQNetwork", "SlateQPolicy"]

_HOME = {
    "DQNConfig": "agents.dqn.config",
    "PageValues": "agents.dqn.network",
    "SlateDQN": "agents.dqn.learner",
    "SlateQNetwork": "agents.dqn.network",
    "SlateQPolicy": "agents.dqn.policy",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
