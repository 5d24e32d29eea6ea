"""`python -m simulators`: list simulators, fit one to a log, compare click models, measure fidelity, check plug-ins."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from behavior.errors import InputError
from behavior.files import atomic_path, refuse_existing
from pipeline.config import LearnerOptions, SourceOptions, TaskOptions
from pipeline.data import read_source
from simulators.clicks.config import ClickFitConfig
from simulators.clicks.registry import CLICK_MODELS
from simulators.fitting.config import FitConfig
from simulators.position_bias.__main__ import PositionBias, show_position_bias
from simulators.trust.config import TrustConfig

if TYPE_CHECKING:
    from pipeline.data import ShopData
    from simulators.base import UserSimulator
    from simulators.ensemble import EnsembleSimulator
    from simulators.fitted import FittedSimulator
    from simulators.registry import SimulatorInputs


@dataclass(frozen=True, kw_only=True)
class List:
    """Print the names that --simulator takes."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Fit a click model with its other parts to a log, and print the held-out scores."""

    out: Path
    """Folder to write the simulator to; it must not exist."""
    simulator: str = "pbm"
    """'pbm' (position-based), 'cascade', 'dcm' (dependent), 'ccm' (click chain), 'dbn' or 'sdbn' (dynamic Bayesian), or
    'mnl' (multinomial choice: one click a page); or 'ensemble': fits to resampled sessions, whose spread says what the
    log could not tell (docs/ensembles.md)."""
    members: int = 8
    """Fits of an ensemble."""
    families: tuple[str, ...] = ()
    """Click models that take turns in an ensemble. None given: all that the latest training sessions cannot tell from
    the best."""
    seed: int = 0
    """Of an ensemble's resampling."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour; its sessions are split 70 / 15 / 15 by time, as in the main job."""
    features: Path | None = None
    """Feature tables of a run or of `python -m encoders export` (features.npz). Without them a quick relevance
    model is learned from word hashes (or, without texts, from the catalogue's columns)."""
    config: Annotated[FitConfig, tyro.conf.arg(name="")] = field(default_factory=FitConfig)
    """How to fit."""
    quiet: bool = False
    """No progress bars."""


@dataclass(frozen=True, kw_only=True)
class FitClicks:
    """Fit all click models to a log, and print what each foretells of held-out sessions: which ones fit these users?"""

    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour; its sessions are split 70 / 15 / 15 by time, and the middle part judges."""
    features: Path | None = None
    """Feature tables (features.npz), as for `fit`; read only where attractiveness comes from features."""
    models: tuple[str, ...] = CLICK_MODELS
    """Which models."""
    bootstrap: int = 1_000
    """Resamples of held-out sessions behind the intervals."""
    json: Path | None = None
    """Write the figures and the fitted parameters to this file as well; it must not exist."""
    config: Annotated[ClickFitConfig, tyro.conf.arg(name="")] = field(default_factory=ClickFitConfig)
    """How to fit."""
    quiet: bool = False
    """No progress bars."""


@dataclass(frozen=True, kw_only=True)
class Validate:
    """Set simulated users beside the held-out sessions of a log, and say what the simulator may be used for."""

    simulator: str
    """Folder that `fit` (or a run) wrote; or a name from `list` or module:Class, made from the training part."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour; the last 15 % of its sessions are compared with."""
    features: Path | None = None
    """Feature tables (features.npz), as for `fit`; read only where a module:Class is to be made."""
    json: Path | None = None
    """Write all figures to this file as well; it must not exist."""
    plots: Path | None = None
    """Write pictures (PNG) of calibration, rates and distributions to this folder; it must be new or empty."""
    config: Annotated[TrustConfig, tyro.conf.arg(name="")] = field(default_factory=TrustConfig)
    """Sizes and thresholds (docs/trust.md)."""
    quiet: bool = False
    """No progress bars."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """Run the contract suite on a simulator, made from a small example world or from a log, and measure its speed."""

    simulator: tyro.conf.Positional[str]
    """A name from `list`, a folder that `fit` wrote, or module:Class; the class is called with
    inputs=SimulatorInputs(...)."""
    simulator_options: tuple[str, ...] = ()
    """Settings of the simulator, NAME=VALUE: keyword arguments of its class; lists as in JSON."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(
        default_factory=lambda: SourceOptions(data="example")
    )
    """The log to make it from; 'example' is a small world of 200 items and 20 queries with known users."""
    features: Path | None = None
    """Feature tables (features.npz), as for `fit`; only with a log."""
    seed: int = 0
    """Of the users and slates of the check."""
    quiet: bool = False
    """No progress bars."""


Command = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Fit, tyro.conf.subcommand("fit")]
    | Annotated[FitClicks, tyro.conf.subcommand("fit-clicks")]
    | Annotated[PositionBias, tyro.conf.subcommand("position-bias")]
    | Annotated[Validate, tyro.conf.subcommand("validate")]
    | Annotated[Check, tyro.conf.subcommand("check")]
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it went well, 2 where the user has something to mend."""
    try:
        command = tyro.cli(Command, prog="python -m simulators", description=__doc__, args=arguments)
        if isinstance(command, List):
            _list()
        elif isinstance(command, Fit):
            _fit(command)
        elif isinstance(command, FitClicks):
            _fit_clicks(command)
        elif isinstance(command, PositionBias):
            show_position_bias(command, _features)
        elif isinstance(command, Validate):
            _validate(command)
        else:
            _check(command)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _list() -> None:
    from simulators.registry import simulator_names

    for name in simulator_names():
        print(name)
    print("or module:Class for one of your own: docs/your-own-simulator.md", file=sys.stderr)


def _fit(command: Fit) -> None:
    from rich.console import Console

    from simulators.ensemble import EnsembleConfig, fit_ensemble
    from simulators.fitting.fit import fit_simulator
    from simulators.registry import ENSEMBLE
    from simulators.storage import save_simulator

    refuse_existing(command.out)
    ensemble = None
    if command.simulator == ENSEMBLE:
        ensemble = EnsembleConfig(members=command.members, families=command.families, fit=command.config)
    shop = read_source(command.source, progress=not command.quiet)
    features = _features(command, shop.catalog, shop.train, shop.valid)
    simulator: FittedSimulator | EnsembleSimulator
    if ensemble is not None:
        simulator = fit_ensemble(
            (), shop.train, shop.valid, features, ensemble, seed=command.seed, progress=not command.quiet
        )
    else:
        simulator = fit_simulator(
            command.simulator, shop.train, shop.valid, features, command.config, progress=not command.quiet
        )
    save_simulator(simulator, command.out)
    Console().print(simulator.report.table())
    for note in simulator.notes:
        print(f"note: {note}")
    print(f"simulator: {command.out}")


def _fit_clicks(command: FitClicks) -> None:
    from rich.console import Console

    from simulators.clicks import compare_click_models, pages_of
    from simulators.fitting.replay import latest_sessions

    if command.json is not None:
        refuse_existing(command.json)
    shop = read_source(command.source, progress=not command.quiet)
    tables = None
    if command.config.appeal == "features":
        tables = _features(command, shop.catalog, shop.train, shop.valid)
    used = latest_sessions(shop.train, FitConfig().max_impressions)
    if used.n_steps < shop.train.n_steps:
        print(f"fitted to the latest {used.n_sessions:,} of {shop.train.n_sessions:,} training sessions")
    train, held = (pages_of(part, n_items=shop.catalog.n_items, tables=tables) for part in (used, shop.valid))
    found = compare_click_models(
        train,
        held,
        command.config,
        models=command.models,
        n_bootstrap=command.bootstrap,
        progress=not command.quiet,
    )
    console = Console()
    console.width = max(console.width, 100)  # a narrower terminal wraps the lines, and loses no figure
    console.print(found.table(), crop=False)
    print(found.verdict())
    for row in found.rows:
        if row.refused:
            print(f"{row.name} refused: {row.refused}")
        for note in () if row.model is None else row.model.notes:
            print(f"{row.name}: {note}", file=sys.stderr if note.startswith("WARNING") else sys.stdout)
    if command.json is not None:
        with atomic_path(command.json) as temporary:
            temporary.write_text(json.dumps(found.to_json(), indent=2) + "\n", encoding="utf-8")


def _validate(command: Validate) -> None:
    from rich.console import Console

    from simulators.registry import check_name
    from simulators.trust import measure_trust
    from simulators.trust.plots import plot_trust, refuse_full
    from simulators.trust.tables import show_report

    if command.json is not None:
        refuse_existing(command.json)
    if command.plots is not None:
        refuse_full(command.plots)
    check_name(command.simulator)
    shop = read_source(command.source, progress=not command.quiet)
    report = measure_trust(
        _to_validate(command, shop),
        shop.train,
        shop.test,
        command.config,
        name=Path(command.simulator).name,
        progress=not command.quiet,
    )
    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    console.print(show_report(report))
    if command.json is not None:
        with atomic_path(command.json) as temporary:
            temporary.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    for path in () if command.plots is None else plot_trust(report, command.plots):
        print(path)


def _to_validate(command: Validate, shop: ShopData) -> UserSimulator:
    """The simulator, read or made; refused where it is not of this log."""
    from simulators.registry import SimulatorInputs, make_simulator, saved_folder
    from simulators.storage import load_simulator

    folder = saved_folder(command.simulator)
    if folder is None:
        return make_simulator(
            command.simulator,
            SimulatorInputs(
                features=_features(command, shop.catalog, shop.train, shop.valid),
                train=shop.train,
                valid=shop.valid,
                slate_size=shop.train.slate_size,
                item_ids=shop.catalog.item_ids,
                seed=command.config.seed,
                progress=not command.quiet,
            ),
        )
    simulator = load_simulator(folder).one_visit()  # a logged session is one visit
    mend = "compare with the log that the simulator was fitted to"
    if (simulator.n_items, simulator.n_queries) != (shop.catalog.n_items, len(shop.queries)):
        raise InputError(
            f"the simulator knows {simulator.n_items} items and {simulator.n_queries} queries, the log "
            f"{shop.catalog.n_items} and {len(shop.queries)}",
            where=command.simulator,
            mend=mend,
        )
    known = getattr(simulator, "context_names", shop.train.context_names)
    if known != shop.train.context_names:
        raise InputError(
            f"the simulator knows the context columns {list(known)}, the log has {list(shop.train.context_names)}",
            where=command.simulator,
            mend=mend,
        )
    return simulator


def _check(command: Check) -> None:
    from simulators.contract import ContractError, check_simulator
    from simulators.options import read_options
    from simulators.registry import check_name, make_simulator

    options = read_options(command.simulator_options)
    check_name(command.simulator)
    inputs = _inputs(command)
    simulator = make_simulator(command.simulator, inputs, options)
    try:
        passed = check_simulator(simulator, seed=command.seed)
    except ContractError as error:
        raise InputError(
            str(error), where=command.simulator, mend="see docs/your-own-simulator.md"
        ) from error
    for line in passed:
        print(f"ok  {line}")
    for note in getattr(simulator, "notes", ()):
        print(f"note: {note}")
    _print_speed(simulator, inputs)


def _inputs(command: Check) -> SimulatorInputs:
    from simulators.registry import SimulatorInputs

    if command.source.data == "example":
        from simulators.example import example_features, example_log

        features = example_features()
        return SimulatorInputs(
            features=features,
            train=example_log(n_sessions=800),
            valid=example_log(n_sessions=200, first_user=800),
            slate_size=5,
            item_ids=tuple(f"item {row}" for row in range(features.n_items)),
            seed=command.seed,
            progress=not command.quiet,
        )
    shop = read_source(command.source, progress=not command.quiet)
    return SimulatorInputs(
        features=_features(command, shop.catalog, shop.train, shop.valid),
        train=shop.train,
        valid=shop.valid,
        slate_size=min(TaskOptions().slate_size, shop.train.slate_size),
        item_ids=shop.catalog.item_ids,
        seed=command.seed,
        progress=not command.quiet,
    )


def _print_speed(simulator: UserSimulator, inputs: SimulatorInputs) -> None:
    """User-steps a second beside the built-in users of the example world, and what that means for a training."""
    from simulators.example import example_simulator
    from simulators.speed import measure_speed, speed_in_words

    mine, built_in = (
        measure_speed(which, slate_size=inputs.slate_size) for which in (simulator, example_simulator())
    )
    line, warning = speed_in_words(mine, built_in, training_steps=LearnerOptions().steps)
    print(line)
    if warning:
        print(warning, file=sys.stderr)


def _features(
    command: Fit | FitClicks | PositionBias | Validate | Check, catalog: Any, train: Any, valid: Any
) -> Any:
    from encoders import load_features
    from pipeline.quick_tables import quick_tables
    from simulators.fitting.checks import check_train
    from simulators.registry import BUILT_IN

    if not isinstance(command, FitClicks | PositionBias) and command.simulator in BUILT_IN:
        check_train(command.simulator, train)  # before the relevance model takes its time
    if command.features is not None:
        return load_features(command.features)
    return quick_tables(catalog, train, valid, progress=not command.quiet)


if __name__ == "__main__":
    sys.exit(main())
