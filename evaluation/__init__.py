"""Is it better, and how sure are we: estimators, intervals, evaluation online and from logs, tables, reports."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.estimators import Estimate
    from evaluation.intervals import Interval

_HOME = {
    "Estimate": "evaluation.estimators",
    "Interval": "evaluation.intervals",
}

__all__ = ["Estimate", "Interval"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
