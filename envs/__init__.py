"""Environments: one batched core of simulated user sessions; Gymnasium and SB3 faces are thin views of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import gymnasium

if TYPE_CHECKING:
    from envs.core import SlateCore
    from envs.observation import Observation
    from envs.recorder import SessionRecorder
    from envs.render import slate_picture, slate_text
    from envs.replay import observe_log
    from envs.results import EpisodeStats, RewardParts, StepResult
    from envs.sb3 import SlateVecEnv
    from envs.single import SlateEnv
    from envs.toy import toy_world
    from envs.vector import SlateVectorEnv
    from envs.world import RewardMix, TaskConfig, World
    from envs.wrappers import (
        FlatObservation,
        HistoryLength,
        MemoryLength,
        MixReward,
        RecordSessions,
        ScoreAction,
        SlotBySlot,
    )
    from envs.wrappers.proto import ProtoAction

__all__ = [
    "EpisodeStats",
    "FlatObservation",
    "HistoryLength",
    "MemoryLength",
    "MixReward",
    "Observation",
    "ProtoAction",
    "RecordSessions",
    "RewardMix",
    "RewardParts",
    "ScoreAction",
    "SessionRecorder",
    "SlateCore",
    "SlateEnv",
    "SlateVecEnv",
    "SlateVectorEnv",
    "SlotBySlot",
    "StepResult",
    "TaskConfig",
    "World",
    "observe_log",
    "slate_picture",
    "slate_text",
    "toy_world",
]

_HOME = {
    "EpisodeStats": "envs.results",
    "FlatObservation": "envs.wrappers",
    "HistoryLength": "envs.wrappers",
    "MemoryLength": "envs.wrappers",
    "MixReward": "envs.wrappers",
    "Observation": "envs.observation",
    "ProtoAction": "envs.wrappers.proto",
    "RecordSessions": "envs.wrappers",
    "RewardMix": "envs.world",
    "RewardParts": "envs.results",
    "ScoreAction": "envs.wrappers",
    "SessionRecorder": "envs.recorder",
    "SlateCore": "envs.core",
    "SlateEnv": "envs.single",
    "SlateVecEnv": "envs.sb3",
    "SlateVectorEnv": "envs.vector",
    "SlotBySlot": "envs.wrappers",
    "StepResult": "envs.results",
    "TaskConfig": "envs.world",
    "World": "envs.world",
    "observe_log": "envs.replay",
    "slate_picture": "envs.render",
    "slate_text": "envs.render",
    "toy_world": "envs.toy",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _register() -> None:
    """Make the tasks known to Gymnasium. Entry points are strings: nothing heavy loads until one is made."""
    from envs.tasks.registry import SUITE

    points = {"SlateRank-v0": ("envs.single:SlateEnv", "envs.vector:SlateVectorEnv")}
    points |= {entry.id: (entry.entry_point, entry.vector_entry_point) for entry in SUITE.values()}
    for name, (single, vector) in points.items():
        if name not in gymnasium.registry:
            gymnasium.register(id=name, entry_point=single, vector_entry_point=vector)


_register()
