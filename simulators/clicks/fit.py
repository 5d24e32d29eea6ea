"""Fit one click model to pages: the prior's strength by sessions held out, then all sessions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from simulators.clicks.appeal import Basis
from simulators.clicks.ascent import Ascent, Problem, State, climb, one_thread
from simulators.clicks.config import ClickFitConfig
from simulators.clicks.contract import ClickLaw
from simulators.clicks.fitted import FittedClickModel, FittedLaw
from simulators.clicks.identify import check_identified
from simulators.clicks.pages import ClickPages
from simulators.clicks.registry import NEURAL, law_named

__all__ = ["fit_click_model", "start_of"]


def fit_click_model(
    name: str,
    train: ClickPages,
    config: ClickFitConfig | None = None,
    *,
    held: ClickPages | None = None,
    progress: bool = False,
) -> FittedClickModel:
    """Fit the click model `name`.

    Args:
        name: One of `simulators.clicks.CLICK_MODELS`.
        train: Sessions to learn from.
        config: Appeal, prior, iterations.
        held: Sessions to choose strength and stopping on; by default the latest training sessions
            (`config.tuning_share`), and then a last fit to all.
        progress: Whether to show a bar.

    Raises:
        InputError: An unknown name, or a log from which this model cannot be told; the message says why.
    """
    config = config or ClickFitConfig()
    law = law_named(name)
    notes = list(check_identified(name, train, config.appeal))
    early, late = train, held
    if held is None:
        early, late = train.part(config.tuning_share)
        if not early.n_pages or not early.click.any() or not late.n_pages:
            early, late = train, None
            notes.append("too few sessions to hold any out: the strongest prior is taken")
    if name == NEURAL:
        from simulators.clicks.neural import fit_neural

        return fit_neural(
            train, early, late, config, notes, refit=held is None and config.refit, progress=progress
        )
    with one_thread():
        return _fit_law(
            law, train, early, late, config, notes, refit=held is None and config.refit, progress=progress
        )


def _fit_law(
    law: ClickLaw,
    train: ClickPages,
    early: ClickPages,
    late: ClickPages | None,
    config: ClickFitConfig,
    notes: list[str],
    *,
    refit: bool,
    progress: bool,
) -> FittedLaw:
    basis = Basis(train, config.appeal, items=config.grid != (0.0,))
    problem = _problem(law, basis, early)
    watched = None if late is None else _problem(law, basis, late)
    start = start_of(law, basis, problem)
    best: Ascent | None = None
    chosen = config.grid[0]
    for strength in tqdm(
        config.grid if watched is not None else config.grid[:1],
        desc=f"fit {law.name}",
        disable=None if progress else True,
        leave=False,
    ):
        found = climb(
            problem,
            best.state if best is not None else start,
            config,
            strength=strength,
            max_iterations=config.max_iterations,
            held=watched,
        )
        if best is not None and watched is not None and late is not None:
            gain = found.state.likelihood(watched) - best.state.likelihood(watched)
            if not _is_gain(gain.numpy(), late.session, sure=config.appeal == "features"):
                break
        best, chosen = found, strength
    assert best is not None
    last = best
    if refit and late is not None:
        last = climb(
            _problem(law, basis, train),
            best.state,
            config,
            strength=chosen,
            max_iterations=best.iterations if best.stopped_early else config.max_iterations,
        )
    arrived = last.converged or best.stopped_early
    if not arrived:
        notes.append(
            f"WARNING: the fit did not converge in {config.max_iterations} iterations (largest slope "
            f"{last.slope:.1e}): its figures are provisional; raise max_iterations"
        )
    return FittedLaw(
        name=law.name,
        strength=chosen,
        iterations=last.iterations,
        converged=arrived,
        notes=tuple(notes),
        law=law,
        basis=basis,
        state=last.state,
    )


def _is_gain(gain: NDArray[np.float64], session: NDArray[np.int64], *, sure: bool) -> bool:
    """Whether a weaker prior foretells the held-out pages better; `gain` (M,) in log-likelihood.

    A step of the grid for features is tenfold, and frees hundreds of columns at once: there the gain has to be `sure`,
    more than one standard error over sessions, as in the simulators' fit. The steps for tables are small ones.
    """
    _, dense = np.unique(session, return_inverse=True)
    by_session = np.bincount(dense, gain)
    if not sure:
        return bool(by_session.mean() > 0)
    error = by_session.std(ddof=1) / np.sqrt(len(by_session)) if len(by_session) > 1 else np.inf
    return bool(by_session.mean() > error)


def start_of(law: ClickLaw, basis: Basis, problem: Problem) -> State:
    """Every item alike, at the overall rate of clicks; the law's own beginning."""
    clicks, shown = float(problem.click.sum()), float(len(problem.design.page))
    return State(
        appeal=basis.start(problem.design, (clicks + 0.5) / (shown + 1.0)),
        satisfaction=basis.start(problem.design, 0.5) if law.satisfies else None,
        globals=law.start(problem.click.shape[1]),
    )


def _problem(law: ClickLaw, basis: Basis, pages: ClickPages) -> Problem:
    return Problem(law=law, design=basis.design(pages), click=torch.from_numpy(pages.click))
