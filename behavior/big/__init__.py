"""Logs larger than memory: read, checked, split in time and served as arrays, a part at a time."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from behavior.big.config import BigLogConfig
    from behavior.big.prepare import prepare_log
    from behavior.big.prepared import PreparedLog, PreparedPart, open_prepared
    from behavior.big.workers import RayWorkers, SerialWorkers, Workers

__all__ = [
    "BigLogConfig",
    "PreparedLog",
    "PreparedPart",
    "RayWorkers",
    "SerialWorkers",
    "Workers",
    "open_prepared",
    "prepare_log",
]

_HOME = {
    "BigLogConfig": "config",
    "PreparedLog": "prepared",
    "PreparedPart": "prepared",
    "RayWorkers": "workers",
    "SerialWorkers": "workers",
    "Workers": "workers",
    "open_prepared": "prepared",
    "prepare_log": "prepare",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'behavior.big' has no attribute {name!r}")
    return getattr(import_module(f"behavior.big.{_HOME[name]}"), name)
