"""Other shapes of action, observation and reward; each wraps a single `SlateEnv`, alone or inside other wrappers."""

from __future__ import annotations

from envs.wrappers.flat import FlatObservation, flatten_observation
from envs.wrappers.history import HistoryLength
from envs.wrappers.memory import MemoryLength
from envs.wrappers.record import RecordSessions
from envs.wrappers.reward import MixReward
from envs.wrappers.score import ScoreAction
from envs.wrappers.slots import SlotBySlot

__all__ = [
    "FlatObservation",
    "HistoryLength",
    "MemoryLength",
    "MixReward",
    "RecordSessions",
    "ScoreAction",
    "SlotBySlot",
    "flatten_observation",
]
