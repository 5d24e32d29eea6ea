"""From a log to an ensemble: fits to resampled sessions that share one replay of the log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import FeatureTables
from simulators.ensemble.config import EnsembleConfig
from simulators.ensemble.families import undecided_families
from simulators.ensemble.report import ensemble_report
from simulators.ensemble.simulator import EnsembleSimulator
from simulators.fitted import FittedSimulator
from simulators.fitting.checks import FAMILIES, check_fit_input
from simulators.fitting.config import FitConfig
from simulators.fitting.dwell import fit_dwell
from simulators.fitting.fit import PartFitter, put_together
from simulators.fitting.replay import latest_sessions, replay
from simulators.fitting.resample import Resample, session_weights
from simulators.fitting.returns import fit_returns

__all__ = ["fit_ensemble"]


def fit_ensemble(
    names: Sequence[str],
    train: LoggedSteps,
    valid: LoggedSteps,
    features: FeatureTables,
    config: FitConfig | EnsembleConfig | None = None,
    *,
    n_members: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> EnsembleSimulator:
    """Fit an ensemble to `train` and score its members on `valid`.

    Each member is a fit under random weights of the sessions (`simulators.fitting.resample`), and under a prior whose
    centre is drawn from the prior (`simulators.fitting.centres`), of all parts: clicks, purchases, leaving, next
    queries, dwell (its weights of sessions alone), returns, and who arrives. The feature rows are computed once; the
    strengths of the priors are those chosen on the log as it is, and its parameters are where each member starts.

    Args:
        names: Click models that take turns; empty: `EnsembleConfig.families`, or a choice, see there.
        train: Sessions to learn from.
        valid: Later sessions to be judged on; they choose nothing.
        features: Public tables of the items and queries of the log.
        config: How to fit.
        n_members: In place of the configured number.
        seed: Of the members' weights and centres.
        progress: Whether to show a bar.

    Raises:
        InputError: The log cannot carry such a fit; the message says why.
    """
    settings = config if isinstance(config, EnsembleConfig) else EnsembleConfig(fit=config or FitConfig())
    settings = replace(
        settings,
        families=tuple(names) or settings.families,
        members=settings.members if n_members is None else n_members,
    )
    notes: list[str] = []
    families = _possible(settings, train, valid, features, notes)
    began = time.perf_counter()
    used = latest_sessions(train, settings.fit.max_impressions)
    if used.n_steps < train.n_steps:
        notes.append(f"fitted to the latest {used.n_sessions:,} of {train.n_sessions:,} training sessions")
    total = len(families) + 2 + settings.members
    with tqdm(total=total, desc="fit ensemble", disable=None if progress else True, leave=False) as bar:

        def tick(what: str) -> None:
            bar.set_postfix_str(what)

        seen = replay(features, used, ring=settings.fit.ring)
        held = replay(features, valid, ring=settings.fit.ring)
        bar.update()

        def fitter(resample: Resample | None = None) -> PartFitter:
            return PartFitter(used, features, seen, held, settings.fit, tick, resample)

        points = {}
        for name in families:
            bar.set_description(f"fit {name}")
            points[name] = fitter()
            points[name].clicks(name, valid)
            bar.update()
        if settings.families:
            kept = families
        else:
            kept, left_out = undecided_families({name: p.late["clicks"] for name, p in points.items()})
            notes += left_out
        bar.set_description("fit purchases and sessions")
        others = fitter()
        others.purchases()
        others.take_clicks(points[kept[0]])
        others.promise(valid)
        if not used.single_impressions:
            others.dynamics(valid, [])
        fit_dwell(others, valid, [])
        fit_returns(others, valid, [])
        bar.update()
        sessions = np.unique(used.session)
        members: list[FittedSimulator] = []
        said: list[str] = []
        for m in range(settings.members):
            name = kept[m % len(kept)]
            bar.set_description(f"fit member {m + 1}, {name}")
            resample = Resample(
                session=sessions,
                weight=session_weights(len(sessions), np.random.default_rng([seed, 0xE25E, m])),
                start=others.parameters | {"clicks": points[name].parameters["clicks"]},
                strengths=others.strengths | points[name].strengths,
                seed=(seed, 0xCE27, m),
                max_iterations=settings.member_iterations,
                draw_centres=settings.draw_centres,
            )
            said = []
            members.append(put_together(name, fitter(resample), valid, said, time.perf_counter()))
            bar.update()
    notes = [f"{settings.members} members, of the click models {', '.join(kept)}", *notes, *said]
    return EnsembleSimulator(members, ensemble_report(members, valid, notes, time.perf_counter() - began))


def _possible(
    settings: EnsembleConfig,
    train: LoggedSteps,
    valid: LoggedSteps,
    features: FeatureTables,
    notes: list[str],
) -> tuple[str, ...]:
    """The families to fit: those asked for, or those that the log can carry."""
    strict = settings.fit.stops_at_click
    if settings.families:
        for name in settings.families:
            check_fit_input(name, train, valid, features, stops_at_click=strict)
        return settings.families
    check_fit_input("pbm", train, valid, features, stops_at_click=strict)  # what refuses this one refuses all
    found = []
    for name in FAMILIES:
        try:
            check_fit_input(name, train, valid, features, stops_at_click=strict)
        except InputError as error:
            notes.append(f"{name} is left out: {error.what}")
        else:
            found.append(name)
    return tuple(found)
