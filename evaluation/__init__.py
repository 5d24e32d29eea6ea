"""Is it better, and how sure are we: estimators, intervals, evaluation online and from logs, tables, reports."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.estimators import Estimate
    from evaluation.intervals import Interval
    from evaluation.off_policy import OffPolicyConfig, OffPolicyResult, evaluate_off_policy
    from evaluation.online import evaluate_online
    from evaluation.outcomes import OnlineResult, PolicyOutcome

_HOME = {
    "Estimate": "evaluation.estimators",
    "Interval": "evaluation.intervals",
    "OffPolicyConfig": "evaluation.off_policy",
    "OffPolicyResult": "evaluation.off_policy",
    "OnlineResult": "evaluation.outcomes",
    "PolicyOutcome": "evaluation.outcomes",
    "evaluate_off_policy": "evaluation.off_policy",
    "evaluate_online": "evaluation.online",
}

__all__ = [
    "Estimate",
    "Interval",
    "OffPolicyConfig",
    "OffPolicyResult",
    "OnlineResult",
    "PolicyOutcome",
    "evaluate_off_policy",
    "evaluate_online",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
