"""Linear bandits over slates: LinUCB and linear Thompson sampling, item by item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.bandits.config import BanditConfig
    from agents.bandits.learning import learn_bandit, learn_from_log
    from agents.bandits.policies import LinearThompsonPolicy, LinUCBPolicy
    from agents.bandits.statistics import LinearFit, LinearStatistics

__all__ = [
    "BanditConfig",
    "LinUCBPolicy",
    "LinearFit",
    "LinearStatistics",
    "LinearThompsonPolicy",
    "learn_bandit",
    "learn_from_log",
]

_HOME = {
    "BanditConfig": "agents.bandits.config",
    "LinUCBPolicy": "agents.bandits.policies",
    "LinearFit": "agents.bandits.statistics",
    "LinearStatistics": "agents.bandits.statistics",
    "LinearThompsonPolicy": "agents.bandits.policies",
    "learn_bandit": "agents.bandits.learning",
    "learn_from_log": "agents.bandits.learning",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
