"""Simulated users: the contract, five replaceable parts, click models fitted to logs, fidelity, plug-ins.

Public names load on first use, so that `import simulators` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulators.base import (
        Feedback,
        InspectableSimulator,
        ItemAppeal,
        SessionState,
        TransparentSimulator,
        UncertainSimulator,
        UserSimulator,
    )
    from simulators.composed import ComposedSimulator
    from simulators.contract import ContractError, check_simulator
    from simulators.ensemble import EnsembleConfig, EnsembleSimulator, fit_ensemble
    from simulators.fidelity import FidelityReport, measure_fidelity
    from simulators.fitted import FittedSimulator
    from simulators.fitting.config import FitConfig
    from simulators.fitting.fit import fit_simulator
    from simulators.fitting.report import FitReport, PartScore
    from simulators.registry import SimulatorInputs, make_simulator, simulator_names
    from simulators.rollout import LoggedPages, RandomPages, simulate_steps
    from simulators.shopper import ItemTraits, Shopper, ShopperSimulator
    from simulators.storage import load_simulator, save_simulator

__all__ = [
    "ComposedSimulator",
    "ContractError",
    "EnsembleConfig",
    "EnsembleSimulator",
    "Feedback",
    "FidelityReport",
    "FitConfig",
    "FitReport",
    "FittedSimulator",
    "InspectableSimulator",
    "ItemAppeal",
    "ItemTraits",
    "LoggedPages",
    "PartScore",
    "RandomPages",
    "SessionState",
    "Shopper",
    "ShopperSimulator",
    "SimulatorInputs",
    "TransparentSimulator",
    "UncertainSimulator",
    "UserSimulator",
    "check_simulator",
    "fit_ensemble",
    "fit_simulator",
    "load_simulator",
    "make_simulator",
    "measure_fidelity",
    "save_simulator",
    "simulate_steps",
    "simulator_names",
]

_HOME = {
    "Feedback": "base",
    "InspectableSimulator": "base",
    "ItemAppeal": "base",
    "SessionState": "base",
    "TransparentSimulator": "base",
    "UncertainSimulator": "base",
    "UserSimulator": "base",
    "ComposedSimulator": "composed",
    "ContractError": "contract",
    "check_simulator": "contract",
    "EnsembleConfig": "ensemble.config",
    "EnsembleSimulator": "ensemble.simulator",
    "fit_ensemble": "ensemble.fit",
    "FidelityReport": "fidelity",
    "measure_fidelity": "fidelity",
    "FittedSimulator": "fitted",
    "FitConfig": "fitting.config",
    "fit_simulator": "fitting.fit",
    "FitReport": "fitting.report",
    "PartScore": "fitting.report",
    "SimulatorInputs": "registry",
    "make_simulator": "registry",
    "simulator_names": "registry",
    "LoggedPages": "rollout",
    "RandomPages": "rollout",
    "simulate_steps": "rollout",
    "ItemTraits": "shopper",
    "Shopper": "shopper",
    "ShopperSimulator": "shopper",
    "load_simulator": "storage",
    "save_simulator": "storage",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"simulators.{_HOME[name]}"), name)
    raise AttributeError(f"module 'simulators' has no attribute {name!r}")
