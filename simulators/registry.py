"""Simulators by name: the fitted ones, those of installed plug-ins, any `module:Class`, and any saved folder."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import FeatureTables
from simulators.base import UserSimulator
from simulators.fitting.checks import FAMILIES
from simulators.fitting.config import FitConfig
from simulators.options import typed_options

__all__ = [
    "BUILT_IN",
    "ENSEMBLE",
    "ENTRY_POINTS",
    "SimulatorInputs",
    "check_name",
    "load_class",
    "make_simulator",
    "saved_folder",
    "simulator_names",
]

ENTRY_POINTS = "slategym.simulators"
"""Entry point group in which other packages register simulators."""
ENSEMBLE = "ensemble"
"""Name of the ensemble of fits to resampled sessions."""
BUILT_IN = (*FAMILIES, ENSEMBLE)
"""Names of what is fitted without any plug-in."""


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
    item_ids: tuple[str, ...] = ()
    """The shop's own ids by item row, for tables and models that know items by these; query texts are in
    `train.queries`."""
    seed: int = 0
    """For anything random in making it."""
    fit: FitConfig = field(default_factory=FitConfig)
    """How built-in simulators are fitted."""
    progress: bool = True
    """Whether to show bars."""


def simulator_names() -> tuple[str, ...]:
    """Names that `make_simulator` knows; besides, it takes any `module:Class` and any saved folder."""
    plugins = sorted({point.name for point in entry_points(group=ENTRY_POINTS)} - set(BUILT_IN))
    return (*BUILT_IN, *plugins)


def make_simulator(
    name: str, inputs: SimulatorInputs, options: Mapping[str, Any] | None = None
) -> UserSimulator:
    """The simulator called `name`, fitted, built or read.

    A plug-in is put through the contract suite before it is returned.

    Args:
        name: One of `simulator_names()`, `module:Class`, or a folder that `save_simulator` wrote.
        inputs: What to fit or build it from.
        options: Settings of its own: fields of `FitConfig` for the fitted ones (of `EnsembleConfig`, too, for the
            ensemble), keyword arguments for a plug-in's class. A text is read as the type that the parameter is
            annotated with.

    Raises:
        InputError: An unknown name or option; a module that does not import; no such class; a class that breaks the
            contract; a log that cannot carry the fit; a saved simulator of another shop.
    """
    options = options or {}
    if name in FAMILIES:
        from simulators.fitting.fit import fit_simulator

        config = replace(inputs.fit, **typed_options(FitConfig, options, where=name))
        return fit_simulator(
            name, inputs.train, inputs.valid, inputs.features, config, progress=inputs.progress
        )
    if name == ENSEMBLE:
        return _fit_ensemble(inputs, options)
    folder = saved_folder(name)
    if folder is not None:
        return _read(folder, inputs, options)
    factory = load_class(name)
    arguments = typed_options(factory, options, where=name)
    try:
        simulator = factory(inputs=inputs, **arguments)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"making the simulator raised {type(error).__name__}: {error}",
            where=name,
            mend="it is called with one keyword argument, inputs=SimulatorInputs(...), and with the options given",
        ) from error
    _check_contract(name, simulator, inputs)
    _check_fits_shop(name, simulator, inputs)
    return simulator  # type: ignore[no-any-return]


def _fit_ensemble(inputs: SimulatorInputs, options: Mapping[str, Any]) -> UserSimulator:
    from simulators.ensemble import EnsembleConfig, fit_ensemble

    of_fit = {field.name for field in fields(FitConfig)}
    how = {key: value for key, value in options.items() if key in of_fit}
    fit = replace(inputs.fit, **typed_options(FitConfig, how, where=ENSEMBLE))
    rest = {key: value for key, value in options.items() if key not in of_fit}
    config = replace(EnsembleConfig(fit=fit), **typed_options(EnsembleConfig, rest, where=ENSEMBLE))
    return fit_ensemble(
        (), inputs.train, inputs.valid, inputs.features, config, seed=inputs.seed, progress=inputs.progress
    )


def check_name(name: str) -> None:
    """Raise `InputError` where no simulator can be made of `name`; nothing is fitted or built."""
    if name in BUILT_IN:
        return
    folder = saved_folder(name)
    if folder is None:
        load_class(name)
    elif not (folder / "simulator.json").is_file():
        raise InputError(
            "no simulator here: the folder holds no simulator.json"
            if folder.is_dir()
            else "there is no such folder",
            where=name,
            mend="name a folder that `python -m simulators fit --out` wrote, or one under a run's simulators/",
        )


def saved_folder(name: str) -> Path | None:
    """The folder that `name` means, whether or not it is there; None where it is the name of a simulator.

    A folder beside the caller that is called like a simulator is written with its path: `./pbm`.
    """
    if name in BUILT_IN or ":" in name:
        return None
    if "/" in name or "\\" in name:
        return Path(name)
    known = any(point.name == name for point in entry_points(group=ENTRY_POINTS))
    return None if known or not Path(name).is_dir() else Path(name)


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


def _read(folder: Path, inputs: SimulatorInputs, options: Mapping[str, Any]) -> UserSimulator:
    from simulators.storage import load_simulator

    name = str(folder)
    if options:
        raise InputError(
            f"a saved simulator takes no options, found {', '.join(options)}",
            where=name,
            mend="give them where it is fitted: `python -m simulators fit --help`",
        )
    simulator = load_simulator(folder)
    _check_fits_shop(name, simulator, inputs)
    # Row numbers are all that ties a saved simulator to a catalogue: prices tell when it is another one.
    theirs, ours = simulator.features.price, inputs.features.price
    other = np.flatnonzero(~np.isclose(theirs, ours, rtol=1e-4, equal_nan=True))
    if len(other):
        raise InputError(
            f"the simulator knows other items than the catalogue: {len(other):,} of {len(ours):,} have another price, "
            f"the first {theirs[other[0]]:g} instead of {ours[other[0]]:g}",
            where=f"{name}, item row {other[0]}",
            mend="use the log and the catalogue that the simulator was fitted to, or fit it again",
        )
    names = getattr(simulator, "context_names", inputs.train.context_names)
    if names != inputs.train.context_names:
        raise InputError(
            f"the simulator knows the context columns {list(names)}, the log has {list(inputs.train.context_names)}",
            where=name,
            mend="use the log that the simulator was fitted to",
        )
    return simulator


def _check_contract(name: str, simulator: Any, inputs: SimulatorInputs) -> None:
    from simulators.contract import ContractError, check_simulator

    try:
        check_simulator(simulator, seed=inputs.seed)
    except ContractError as error:
        raise InputError(
            f"the simulator breaks the contract: {error}",
            where=name,
            mend=f"`python -m simulators check {name}` runs the suite; see docs/your-own-simulator.md",
        ) from error


def _check_fits_shop(name: str, simulator: Any, inputs: SimulatorInputs) -> None:
    known = inputs.features.n_items, inputs.features.n_queries
    found = int(simulator.n_items), int(simulator.n_queries)
    if found != known:
        raise InputError(
            f"the simulator knows {found[0]} items and {found[1]} queries, the shop {known[0]} and {known[1]}",
            where=name,
            mend="set n_items and n_queries from inputs.features; a saved simulator goes with the log it was fitted to",
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
