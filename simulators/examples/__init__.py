"""Three simulators made with nothing but the contract: to use as they are, to derive from, or to copy.

See docs/your-own-simulator.md. Public names load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulators.examples.classifier import ClassifierSimulator
    from simulators.examples.replay import ReplaySimulator
    from simulators.examples.table import TableSimulator

__all__ = ["ClassifierSimulator", "ReplaySimulator", "TableSimulator"]

_HOME = {"ClassifierSimulator": "classifier", "ReplaySimulator": "replay", "TableSimulator": "table"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"simulators.examples.{_HOME[name]}"), name)
    raise AttributeError(f"module 'simulators.examples' has no attribute {name!r}")
