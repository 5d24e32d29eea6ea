"""Expectation-maximisation for the models in which it is exact: position-based and user browsing.

In both a click at a place is attraction times a look, P = a_i gamma_c, with c the cell (the position, or the
position and that of the last click), which the log shows. Given no click, the chance that the item appealed is
a (1 - gamma) / (1 - a gamma), and that the place was looked at gamma (1 - a) / (1 - a gamma); the new a and
gamma are the averages over all occurrences. The likelihood never falls.

Source: Chuklin, Markov, de Rijke, "Click Models for Web Search", 2015, sections 4.2.1 and 4.2.2; Dempster,
Laird, Rubin, JRSS B 1977.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from behavior.errors import InputError
from simulators.clicks.appeal import Basis, Numbers
from simulators.clicks.ascent import State
from simulators.clicks.fitted import FittedLaw
from simulators.clicks.identify import check_identified
from simulators.clicks.pages import ClickPages
from simulators.clicks.positions import last_click
from simulators.clicks.registry import law_named

__all__ = ["ExpectationMaximisation", "fit_by_em", "run_em"]

Floats = NDArray[np.float64]
_REACH = 30.0  # logits of chances that EM has set to 0 or 1


@dataclass(frozen=True, kw_only=True)
class ExpectationMaximisation:
    """Where EM arrived."""

    attractiveness: Floats  # (N,) of each pair
    examination: Floats  # (C,) of each cell
    log_likelihood: Floats  # after each round; it never falls
    converged: bool


def run_em(
    pair: NDArray[np.int64],
    cell: NDArray[np.int64],
    click: NDArray[np.bool_],
    *,
    n_cells: int,
    max_rounds: int = 5_000,
    tolerance: float = 1e-9,
) -> ExpectationMaximisation:
    """EM on shown items.

    Args:
        pair: (n,) row of the table of each shown item, dense.
        cell: (n,) examination cell.
        click: (n,).
        n_cells: Number of cells C; those never seen keep their start.
        max_rounds: Most rounds.
        tolerance: Gain in log-likelihood per shown item below which EM has arrived.
    """
    n_pairs = int(pair.max()) + 1
    joint, at = np.unique(pair * n_cells + cell, return_inverse=True)  # EM needs counts only
    i, c = joint // n_cells, joint % n_cells
    hits, shown = np.bincount(at, click), np.bincount(at).astype(np.float64)
    misses = shown - hits
    of_pair, of_cell = np.bincount(i, shown, n_pairs), np.bincount(c, shown, n_cells)
    a = np.full(n_pairs, 0.5)
    gamma = np.full(n_cells, 0.5)
    seen = of_cell > 0
    trace: list[float] = []
    converged = False
    for _ in range(max_rounds):
        chance = a[i] * gamma[c]
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(hits > 0, hits * np.log(chance), 0.0)
            terms = terms + np.where(misses > 0, misses * np.log1p(-chance), 0.0)
        trace.append(float(terms.sum()))
        if len(trace) > 1 and trace[-1] - trace[-2] <= tolerance * len(pair):
            converged = True
            break
        left = np.maximum(1.0 - chance, 1e-300)
        appealed = hits + misses * a[i] * (1.0 - gamma[c]) / left
        looked = hits + misses * gamma[c] * (1.0 - a[i]) / left
        a = np.bincount(i, appealed, n_pairs) / of_pair
        gamma[seen] = np.bincount(c, looked, n_cells)[seen] / of_cell[seen]
    return ExpectationMaximisation(
        attractiveness=a, examination=gamma, log_likelihood=np.array(trace), converged=converged
    )


def fit_by_em(name: str, train: ClickPages, *, max_rounds: int = 5_000, tolerance: float = 1e-9) -> FittedLaw:
    """Fit "pbm" or "ubm", attractiveness as a table of query and item, without any prior.

    Raises:
        InputError: Another model, or a log from which it cannot be told.
    """
    if name not in ("pbm", "ubm"):
        raise InputError(
            f"EM is exact, and offered, for pbm and ubm; this is {name!r}",
            where="click model",
            mend="fit_click_model fits all models by gradients",
        )
    law, notes = law_named(name), list(check_identified(name, train, "tables"))
    basis = Basis(train, "tables", items=False)
    k, shown = train.n_positions, train.shown
    position = np.nonzero(shown)[1]
    click = torch.from_numpy(train.click)
    cell = position if name == "pbm" else position * k + last_click(click).numpy()[shown]
    pair = basis.pair_index(train)
    found = run_em(
        pair,
        cell,
        train.click[shown],
        n_cells=k if name == "pbm" else k * k,
        max_rounds=max_rounds,
        tolerance=tolerance,
    )
    if not found.converged:
        notes.append(
            f"WARNING: EM did not converge in {max_rounds:,} rounds: its figures are provisional; raise max_rounds"
        )
    counts = np.bincount(pair)
    middle = _logit(np.average(found.attractiveness, weights=counts))  # what an unseen pair is judged by
    gamma = torch.from_numpy(_logit(found.examination))
    return FittedLaw(
        name=name,
        strength=0.0,
        iterations=len(found.log_likelihood),
        converged=found.converged,
        notes=tuple(notes),
        law=law,
        basis=basis,
        state=State(
            appeal=Numbers(
                weights=torch.full((1,), float(middle), dtype=torch.float64),
                groups=(torch.from_numpy(_logit(found.attractiveness) - middle),),
            ),
            satisfaction=None,
            globals={"examination": gamma if name == "pbm" else gamma.view(k, k)},
        ),
    )


def _logit(chance: Floats | float) -> Floats:
    p = np.asarray(chance, np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray(np.clip(np.log(p) - np.log1p(-p), -_REACH, _REACH))
