"""Score directions: SAC and TD3 that point into the space of items, for catalogues of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.directions.config import DirectionConfig
    from agents.directions.learning import train_direction
    from agents.directions.policy import DirectionPolicy
    from agents.directions.saving import load_direction, save_direction

__all__ = ["DirectionConfig", "DirectionPolicy", "load_direction", "save_direction", "train_direction"]

_HOME = {
    "DirectionConfig": "agents.directions.config",
    "DirectionPolicy": "agents.directions.policy",
    "load_direction": "agents.directions.saving",
    "save_direction": "agents.directions.saving",
    "train_direction": "agents.directions.learning",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
