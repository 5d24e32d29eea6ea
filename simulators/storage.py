"""Simulators on disk: `simulator.json` (what they are), `parts.npz` and `features.npz` (their numbers)."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.files import atomic_folder, refuse_existing
from encoders.features import FeatureTables
from encoders.storage import load_features, save_features
from simulators.composed import ComposedSimulator
from simulators.ensemble.simulator import EnsembleSimulator
from simulators.fitted import FittedSimulator
from simulators.fitting.report import FitReport
from simulators.parts.attractiveness import LinearAttractiveness, LinearConversion
from simulators.parts.dwell import LinearDwell
from simulators.parts.dynamics import FittedDynamics, OnePage
from simulators.parts.examination import (
    CascadeExamination,
    ClickChainExamination,
    DynamicBayesianExamination,
    MultinomialExamination,
    PositionExamination,
    SkimmingExamination,
)
from simulators.parts.population import EmpiricalPopulation
from simulators.parts.returns import HazardReturns
from simulators.parts.rows import impression_names, page_names

__all__ = ["load_simulator", "save_simulator"]

_FORMAT = 2
_MEND = "fit it again with `python -m simulators fit`"
_KINDS: dict[str, tuple[type[Any], ...]] = {
    "population": (EmpiricalPopulation,),
    "attractiveness": (LinearAttractiveness,),
    "examination": (
        PositionExamination,
        SkimmingExamination,
        CascadeExamination,
        ClickChainExamination,
        DynamicBayesianExamination,
        MultinomialExamination,
    ),
    "conversion": (LinearConversion,),
    "dynamics": (FittedDynamics, OnePage),
    "dwell": (LinearDwell,),
    "returns": (HazardReturns,),
}
_OPTIONAL = ("dwell", "returns")


def save_simulator(simulator: ComposedSimulator | EnsembleSimulator, folder: Path | str) -> None:
    """Write a simulator made of built-in parts, or an ensemble, to a new folder; the folder is whole or not there.

    Raises:
        InputError: The folder is there already, or a part is not built in (keep such a simulator as code).
    """
    folder = Path(folder)
    refuse_existing(folder)
    if isinstance(simulator, EnsembleSimulator):
        packed = [_packed(member) for member in simulator.members]
        about = {
            "format": _FORMAT,
            "name": simulator.name,
            "report": simulator.report.to_json(),
            "members": [member for member, _ in packed],
        }
        arrays = {f"{m}/{name}": array for m, (_, own) in enumerate(packed) for name, array in own.items()}
    else:
        about, arrays = _packed(simulator)
    with atomic_folder(folder) as temporary:
        save_features(temporary / "features.npz", simulator.features)
        np.savez(temporary / "parts.npz", **arrays)  # type: ignore[arg-type]
        (temporary / "simulator.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _packed(simulator: ComposedSimulator) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What a simulator is, and its numbers."""
    arrays: dict[str, NDArray[Any]] = {}
    parts: dict[str, dict[str, Any]] = {}
    for role, kinds in _KINDS.items():
        part = getattr(simulator, role)
        if part is None and role in _OPTIONAL:
            continue
        if type(part) not in kinds:
            raise InputError(
                f"the {role} part is a {type(part).__name__}, which is not built in",
                where="save_simulator",
                mend="a simulator with parts of your own is kept as code: name it as module:Class",
            )
        parts[role] = {"kind": part.kind}
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"{role}.{field.name}"] = value
            else:
                parts[role][field.name] = value
    about: dict[str, Any] = {
        "format": _FORMAT,
        "parts": parts,
        "slate_size": simulator.slate_size,
        "ring": simulator.ring,
        "several_visits": simulator.visits is not None,
    }
    if isinstance(simulator, FittedSimulator):
        about |= {
            "name": simulator.name,
            "context_names": list(simulator.context_names),
            "report": simulator.report.to_json(),
        }
    return about, arrays


def load_simulator(folder: Path | str) -> ComposedSimulator | EnsembleSimulator:
    """Read what `save_simulator` wrote; a fitted simulator comes back as a `FittedSimulator`, an ensemble as one.

    Raises:
        InputError: Missing, damaged, or of another version.
    """
    folder = Path(folder)
    try:
        about = json.loads((folder / "simulator.json").read_text(encoding="utf-8"))
        with np.load(folder / "parts.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise InputError("no simulator here", where=str(error.filename or folder), mend=_MEND) from error
    except NotADirectoryError as error:
        raise InputError("a simulator is a folder, not a file", where=str(folder), mend=_MEND) from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"unreadable simulator: {error}", where=str(folder), mend=_MEND) from error
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        found = about.get("format") if isinstance(about, dict) else type(about).__name__
        raise InputError(
            f"a simulator of format {found!r}, expected {_FORMAT}", where=str(folder), mend=_MEND
        )
    try:
        features = load_features(folder / "features.npz")
        if "members" not in about:
            return _unpacked(about, arrays, features)
        members = [
            _unpacked(
                member,
                {k.split("/", 1)[1]: v for k, v in arrays.items() if k.startswith(f"{m}/")},
                features,
            )
            for m, member in enumerate(about["members"])
        ]
        fitted = [member for member in members if isinstance(member, FittedSimulator)]
        return EnsembleSimulator(fitted, FitReport.from_json(about["report"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"an incomplete simulator: {error}", where=str(folder), mend=_MEND) from error


def _unpacked(
    about: dict[str, Any], arrays: dict[str, NDArray[Any]], features: FeatureTables
) -> ComposedSimulator:
    """The inverse of `_packed`."""
    composed: dict[str, Any] = {
        role: _part(role, about["parts"][role], arrays)
        for role in _KINDS
        if role in about["parts"] or role not in _OPTIONAL
    }
    _check_columns(composed, features)
    composed["several_visits"] = about.get("several_visits", False)
    composed |= {"slate_size": about["slate_size"], "ring": about["ring"], "features": features}
    if "report" not in about:
        return ComposedSimulator(**composed)
    return FittedSimulator(
        name=about["name"],
        report=FitReport.from_json(about["report"]),
        context_names=tuple(about["context_names"]),
        **composed,
    )


def _check_columns(parts: dict[str, Any], features: FeatureTables) -> None:
    """Refuse weights of other columns than this version writes: kernels would read and write beyond their arrays."""
    context = tuple(str(column) for column in range(parts["population"].context.shape[1]))
    n_impression, n_page = len(impression_names(features, context)), len(page_names(features, context))
    for role, name, expected in (
        ("attractiveness", "weights", n_impression),
        ("conversion", "weights", n_impression),
        ("dwell", "weights", n_impression),
        ("dynamics", "leave_weights", n_page),
        ("returns", "weights", n_page),
    ):
        weights = getattr(parts.get(role), name, None)
        if weights is not None and len(weights) != expected:
            raise InputError(
                f"its {role} has {len(weights)} weights, and rows have {expected} columns: it was written by another "
                "version",
                where="load_simulator",
                mend=_MEND,
            )


def _part(role: str, about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Any:
    kind = next((k for k in _KINDS[role] if k.kind == about["kind"]), None)
    if kind is None:
        raise KeyError(f"{role} of kind {about['kind']!r}")
    values = {name: value for name, value in about.items() if name != "kind"}
    values |= {key.split(".", 1)[1]: array for key, array in arrays.items() if key.startswith(f"{role}.")}
    return kind(**values)
