"""Third stage: simulated users fitted to the log, and how far they can be trusted."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from behavior.errors import InputError
from behavior.files import atomic_path
from pipeline.choice import AUTO_FAMILIES, choose, with_choice
from pipeline.config import AUTO, TrainConfig
from pipeline.data import ShopData
from simulators.ensemble.simulator import EnsembleSimulator
from simulators.fitted import FittedSimulator
from simulators.registry import ENSEMBLE, saved_folder

if TYPE_CHECKING:
    from encoders.features import FeatureTables
    from simulators.base import UserSimulator
    from simulators.fidelity import FidelityReport
    from simulators.fitting.report import FitReport
    from simulators.trust.report import TrustReport

__all__ = ["Users", "fit_users", "fitted_users"]


@dataclass(frozen=True, kw_only=True)
class Users:
    """The simulated users, by name, with what the held-out sessions say of them."""

    name: str  # the one that policies are trained in
    simulator: UserSimulator
    fidelity: dict[str, FidelityReport]  # by simulator
    trust: dict[str, TrustReport]  # by simulator, of those that could be judged
    unjudged: dict[str, str]  # of the others: why not
    reports: dict[str, FitReport]  # held-out scores of the parts, of those that were fitted here
    refused: dict[str, str]  # simulators that this log cannot carry, and why
    others: dict[str, UserSimulator] = field(default_factory=dict)  # simulators that it is compared with

    def summary(self) -> str:
        """One line."""
        found = [
            f"{name}: perplexity {report.scores[1].value:.4f} (constant rate {report.scores[1].baseline:.4f})"
            for name, report in self.reports.items()
        ]
        return "; ".join([*found, *(f"{name} refused" for name in self.refused)]) or self.name


def fit_users(config: TrainConfig, shop: ShopData, features: FeatureTables, folder: Path) -> Users:
    """Fit every simulator that was asked for; what an earlier start of this run has fitted is read back.

    Raises:
        InputError: The simulator chosen for training cannot be fitted to this log, or is no simulator.
    """
    config = with_choice(config, folder)
    chosen = config.user.simulator
    tried = AUTO_FAMILIES if chosen == AUTO else (chosen,)
    fidelity: dict[str, FidelityReport] = {}
    reports: dict[str, FitReport] = {}
    trust: dict[str, TrustReport] = {}
    unjudged: dict[str, str] = {}
    refused: dict[str, str] = {}
    fitted: dict[str, UserSimulator] = {}
    for name in dict.fromkeys((*tried, *config.user.compare)):
        try:
            found = _fit(name, config, shop, features, folder)
            fidelity[name] = _judge(name, found, config, shop, folder)
        except InputError as error:
            if tried == (name,) or (name == "pbm" and name in tried):  # nothing to train in
                raise
            refused[name] = error.what
            continue
        try:
            trust[name] = _trust(name, found, config, shop, folder)
        except InputError as error:
            unjudged[name] = error.what
        if isinstance(found, FittedSimulator | EnsembleSimulator):
            reports[name] = found.report
        fitted[name] = found
    if chosen == AUTO:
        chosen = choose(reports, folder)
    return Users(
        name=chosen,
        simulator=fitted.pop(chosen),
        fidelity=fidelity,
        trust=trust,
        unjudged=unjudged,
        reports=reports,
        refused=refused,
        others=fitted,
    )


def fitted_users(config: TrainConfig, shop: ShopData, features: FeatureTables, folder: Path) -> UserSimulator:
    """The users that policies are trained in, after `fit_users` has been here; nothing is written."""
    return _fit(config.user.simulator, config, shop, features, folder)


def _fit(
    name: str, config: TrainConfig, shop: ShopData, features: FeatureTables, folder: Path
) -> UserSimulator:
    from simulators import ComposedSimulator, SimulatorInputs, load_simulator, make_simulator, save_simulator
    from simulators.options import read_options

    home = folder / "simulators" / _safe(name)
    if home.is_dir():
        return load_simulator(home)
    inputs = SimulatorInputs(
        features=features,
        train=shop.train,
        valid=shop.valid,
        slate_size=min(config.task.slate_size, shop.train.slate_size),
        item_ids=shop.catalog.item_ids,
        seed=config.run.seed,
        progress=not config.run.quiet,
    )
    mine = name == config.user.simulator
    options = read_options(config.user.simulator_options) if mine else {}
    if name == ENSEMBLE:
        options = {"members": str(config.user.members)} | options
    simulator = make_simulator(name, inputs, options)
    own = isinstance(simulator, FittedSimulator | EnsembleSimulator) or saved_folder(name) is not None
    if own and isinstance(simulator, ComposedSimulator | EnsembleSimulator):
        save_simulator(simulator, home)  # the run goes on without the folder it was read from
    return simulator


def _judge(
    name: str,
    simulator: UserSimulator,
    config: TrainConfig,
    shop: ShopData,
    folder: Path,
) -> FidelityReport:
    from simulators.fidelity import measure_fidelity

    result = measure_fidelity(
        simulator, shop.train, shop.test, seed=config.run.seed, progress=not config.run.quiet
    )
    with atomic_path(folder / "simulators" / f"{_safe(name)}.fidelity.json") as temporary:
        temporary.write_text(json.dumps(result.to_json(), indent=1) + "\n", encoding="utf-8")
    return result


def _trust(
    name: str, simulator: UserSimulator, config: TrainConfig, shop: ShopData, folder: Path
) -> TrustReport:
    from simulators.trust import TrustConfig, measure_trust

    how = TrustConfig(seed=config.run.seed)
    result = measure_trust(simulator, shop.train, shop.test, how, name=name, progress=not config.run.quiet)
    with atomic_path(folder / "simulators" / f"{_safe(name)}.trust.json") as temporary:
        temporary.write_text(json.dumps(result.to_json(), indent=1) + "\n", encoding="utf-8")
    return result


def _safe(name: str) -> str:
    """A file name for `name`; a saved folder called like a click model is kept apart from it."""
    folder = saved_folder(name)
    text = name if folder is None else f"from-{folder.resolve().as_posix().strip('/')}"
    return text.replace(":", "-").replace("/", "-")
