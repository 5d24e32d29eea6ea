"""Fitted Q evaluation: what sessions are worth under a policy, by values fitted to single steps of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.fqe.config import FqeConfig, FqeNotConverged, FqeResult
    from evaluation.fqe.data import FqeData
    from evaluation.fqe.evaluate import fitted_q
    from evaluation.fqe.pages import fitted_q_evaluation, page_data

__all__ = [
    "FqeConfig",
    "FqeData",
    "FqeNotConverged",
    "FqeResult",
    "fitted_q",
    "fitted_q_evaluation",
    "page_data",
]

_HOME = {
    "FqeConfig": "evaluation.fqe.config",
    "FqeData": "evaluation.fqe.data",
    "FqeNotConverged": "evaluation.fqe.config",
    "FqeResult": "evaluation.fqe.config",
    "fitted_q": "evaluation.fqe.evaluate",
    "fitted_q_evaluation": "evaluation.fqe.pages",
    "page_data": "evaluation.fqe.pages",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
