"""PPO over ordered slates with a Plackett-Luce policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.ppo.config import PPOConfig
    from agents.ppo.distribution import PlackettLuceDistribution, slate_entropy, slate_log_prob
    from agents.ppo.learner import SlatePPO
    from agents.ppo.policy import PlackettLucePolicy

__all__ = [
    "PPOConfig",
    "PlackettLuceDistribution",
    "PlackettLucePolicy",
    "SlatePPO",
    "slate_entropy",
    "slate_log_prob",
]

_HOME = {
    "PPOConfig": "agents.ppo.config",
    "PlackettLuceDistribution": "agents.ppo.distribution",
    "PlackettLucePolicy": "agents.ppo.policy",
    "SlatePPO": "agents.ppo.learner",
    "slate_entropy": "agents.ppo.distribution",
    "slate_log_prob": "agents.ppo.distribution",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
