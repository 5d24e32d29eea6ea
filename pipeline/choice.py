"""Which simulator a run trains in, where its user leaves the choice to the log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from behavior.errors import InputError
from behavior.files import atomic_path
from pipeline.config import AUTO, TrainConfig

if TYPE_CHECKING:
    from simulators.fitting.report import FitReport

__all__ = ["AUTO_FAMILIES", "choose", "with_choice"]

AUTO_FAMILIES = ("skimming", "pbm", "cascade")
"""The click models that `--simulator auto` fits."""


def choose(reports: Mapping[str, FitReport], folder: Path) -> str:
    """The click model under which held-out pages are likeliest; kept in `folder`/simulators/chosen.json.

    All models are scored on the same pages, and the first score of a fit is the log-likelihood per page of all its
    clicks together. The pages that choose are those that priors are chosen by, never those that judge.

    Args:
        reports: The fits to choose from, by name.
        folder: The run's.
    """
    found = {name: reports[name].scores[0].value for name in AUTO_FAMILIES if name in reports}
    name = max(found, key=found.__getitem__)
    data = {"simulator": name, "log-likelihood per page": found}
    with atomic_path(folder / "simulators" / "chosen.json") as temporary:
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return name


def with_choice(config: TrainConfig, folder: Path) -> TrainConfig:
    """`config` with the simulator that the run in `folder` has chosen, where it was to choose.

    Raises:
        InputError: The choice has been damaged.
    """
    path = folder / "simulators" / "chosen.json"
    if config.user.simulator != AUTO or not path.is_file():
        return config
    try:
        name = json.loads(path.read_text(encoding="utf-8"))["simulator"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            "the simulator that this run chose cannot be read",
            where=str(path),
            mend="delete the file: the choice is made anew from the fits beside it",
        ) from error
    return replace(config, user=replace(config.user, simulator=str(name)))
