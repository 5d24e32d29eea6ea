"""Ensembles of fitted simulators: what a log could not tell, as members that disagree about it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulators.ensemble.config import EnsembleConfig
    from simulators.ensemble.fit import fit_ensemble
    from simulators.ensemble.simulator import EnsembleSimulator

__all__ = ["EnsembleConfig", "EnsembleSimulator", "fit_ensemble"]

_HOME = {"EnsembleConfig": "config", "EnsembleSimulator": "simulator", "fit_ensemble": "fit"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"simulators.ensemble.{_HOME[name]}"), name)
    raise AttributeError(f"module 'simulators.ensemble' has no attribute {name!r}")
