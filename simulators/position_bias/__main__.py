"""`python -m simulators position-bias`: what a log says of examination, apart from relevance."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from behavior.files import atomic_path, refuse_existing
from pipeline.config import SourceOptions
from simulators.position_bias.regression_em import Regressor

__all__ = ["PositionBias", "show_position_bias"]


@dataclass(frozen=True, kw_only=True)
class PositionBias:
    """Tell how far users look from what appeals to them: by items that moved, by features, and what is left open."""

    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour; the first 70 % of its sessions are examined, which simulators are fitted to."""
    features: Path | None = None
    """Feature tables (features.npz), as for `fit`; read only where there are regressors."""
    regressors: tuple[Regressor, ...] = ("line", "trees")
    """Of regression EM; none: swaps alone are asked, and no features are made."""
    bootstrap: int = 200
    """Resamples of sessions behind the intervals."""
    json: Path | None = None
    """Write the figures to this file as well; it must not exist."""
    plots: Path | None = None
    """A new or empty folder for pictures of the same (PNG)."""
    quiet: bool = False
    """No progress bars."""


def show_position_bias(command: PositionBias, make_features: Callable[..., Any]) -> None:
    """Run the command; `make_features(command, catalog, train, valid)` gives the feature tables."""
    from rich.console import Console

    from pipeline.data import read_source
    from simulators.position_bias.report import examine_position_bias

    if command.json is not None:
        refuse_existing(command.json)
    shop = read_source(command.source, progress=not command.quiet)
    features = make_features(command, shop.catalog, shop.train, shop.valid) if command.regressors else None
    report = examine_position_bias(
        shop.train,
        features,
        regressors=command.regressors,
        n_bootstrap=command.bootstrap,
        progress=not command.quiet,
    )
    console = Console()
    for table in report.tables():
        if len(table.columns) > 1:
            console.print(table)
    for line in report.verdict():
        print(line)
    if command.json is not None:
        with atomic_path(command.json) as temporary:
            temporary.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    if command.plots is not None:
        print("drawn: " + ", ".join(str(file) for file in report.plot(command.plots)))


if __name__ == "__main__":
    from simulators.__main__ import main

    sys.exit(main(["position-bias", *sys.argv[1:]]))
