"""Simulators by name: the fitted ones, those of installed plug-ins, and any `module:Class`."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import FeatureTables
from simulators.base import UserSimulator
from simulators.fitting.checks import FAMILIES
from simulators.fitting.config import FitConfig

__all__ = ["ENTRY_POINTS", "SimulatorInputs", "load_class", "make_simulator", "simulator_names"]

ENTRY_POINTS = "slategym.simulators"
"""Entry point group in which other packages register simulators."""


@dataclass(frozen=True, kw_only=True)
class SimulatorInputs:
    """What a simulator is made from; a plug-in class is called with `inputs=` this."""

    features: FeatureTables
    """Public tables of items and queries."""
    train: LoggedSteps
    """Sessions to learn from."""
    valid: LoggedSteps
    """Later sessions, for held-out scores."""
    slate_size: int
    """Positions of the pages it will be shown."""
    seed: int = 0
    """For anything random in making it."""
    fit: FitConfig = field(default_factory=FitConfig)
    """How built-in simulators are fitted."""
    progress: bool = True
    """Whether to show bars."""


def simulator_names() -> tuple[str, ...]:
    """Names that `make_simulator` knows; besides, it takes any `module:Class`."""
    plugins = sorted({point.name for point in entry_points(group=ENTRY_POINTS)} - set(FAMILIES))
    return (*FAMILIES, *plugins)


def make_simulator(name: str, inputs: SimulatorInputs) -> UserSimulator:
    """The simulator called `name`, fitted or built from `inputs`.

    A plug-in is put through the contract suite before it is returned.

    Raises:
        InputError: An unknown name; a module that does not import; no such class; a class that breaks the contract;
            a log that cannot carry the fit.
    """
    if name in FAMILIES:
        from simulators.fitting.fit import fit_simulator

        return fit_simulator(
            name, inputs.train, inputs.valid, inputs.features, inputs.fit, progress=inputs.progress
        )
    factory = load_class(name)
    try:
        simulator = factory(inputs=inputs)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"making the simulator raised {type(error).__name__}: {error}",
            where=name,
            mend="it is called with one keyword argument, inputs=SimulatorInputs(...)",
        ) from error
    _check_plugin(name, simulator, inputs)
    return simulator  # type: ignore[no-any-return]


def load_class(name: str) -> Callable[..., Any]:
    """The class that a name (of an entry point) or `module:Class` stands for.

    Raises:
        InputError: There is none, or its module does not import.
    """
    if ":" not in name:
        for point in entry_points(group=ENTRY_POINTS):
            if point.name == name:
                return load_class(point.value)
        near = difflib.get_close_matches(name, simulator_names(), 1)
        raise InputError(
            f"unknown simulator {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            where="simulator",
            mend=f"one of {', '.join(simulator_names())}, or module:Class for one of your own",
        )
    module_name, _, class_name = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        own = module_name == missing or module_name.startswith(f"{missing}.")
        raise InputError(
            f"there is no module {missing!r}"
            if own
            else f"{module_name} imports {missing!r}, which is missing",
            where=name,
            mend=f"run from the folder that holds it, or install it (looked in {here} and the environment)",
        ) from error
    except Exception as error:
        raise InputError(
            f"importing {module_name} raised {type(error).__name__}: {error}",
            where=name,
            mend=f"`python -c 'import {module_name}'` shows the whole error",
        ) from error
    finally:
        if added:
            sys.path.remove(here)
    found = getattr(module, class_name, None)
    if not callable(found):
        public = [
            n
            for n, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == module.__name__ and not n.startswith("_")
        ]
        raise InputError(
            f"{module_name} has no class {class_name!r}",
            where=name,
            mend=f"its classes are: {', '.join(public) or 'none'}",
        )
    return found  # type: ignore[no-any-return]


def _check_plugin(name: str, simulator: Any, inputs: SimulatorInputs) -> None:
    from simulators.contract import ContractError, check_simulator

    try:
        check_simulator(simulator, seed=inputs.seed)
    except ContractError as error:
        raise InputError(
            f"the simulator breaks the contract: {error}",
            where=name,
            mend=f"`python -m simulators check {name}` runs the suite; see docs/your-own-simulator.md",
        ) from error
    known = inputs.features.n_items, inputs.features.n_queries
    found = int(simulator.n_items), int(simulator.n_queries)
    if found != known:
        raise InputError(
            f"the simulator knows {found[0]} items and {found[1]} queries, the shop {known[0]} and {known[1]}",
            where=name,
            mend="set n_items and n_queries from inputs.features",
        )
    width = inputs.train.context.shape[1]
    if int(simulator.context_size) not in (0, width):
        raise InputError(
            f"the simulator tells {simulator.context_size} numbers of each user, the log {width}",
            where=name,
            mend="set context_size to inputs.train.context.shape[1], or to 0 where nothing is told",
        )
    if simulator.slate_size is not None and simulator.slate_size < inputs.slate_size:
        raise InputError(
            f"the simulator answers slates of at most {simulator.slate_size} items, the task shows {inputs.slate_size}",
            where=name,
            mend="raise slate_size in the class, or lower it in the task",
        )
