"""Penalised maximum likelihood by gradients: L-BFGS, watched on sessions held out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from behavior.errors import InputError
from simulators.clicks.appeal import Design, Numbers
from simulators.clicks.config import ClickFitConfig
from simulators.clicks.contract import ClickLaw

__all__ = ["Ascent", "Problem", "State", "climb", "one_thread"]

_STALLED = 1e-9  # relative change of the loss in one stretch below which a fit has arrived


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Pages to explain by a law."""

    law: ClickLaw
    design: Design
    click: Tensor  # (M, K) bool


@dataclass(frozen=True, kw_only=True)
class State:
    """All parameters of a click model."""

    appeal: Numbers
    satisfaction: Numbers | None
    globals: dict[str, Tensor]

    def copy(self) -> State:
        """The same in memory of its own."""
        return State(
            appeal=self.appeal.copy(),
            satisfaction=None if self.satisfaction is None else self.satisfaction.copy(),
            globals={name: value.detach().clone() for name, value in self.globals.items()},
        )

    def likelihood(self, problem: Problem) -> Tensor:
        """Log-probability (M,) of each page's clicks."""
        with torch.no_grad():
            design = problem.design
            z = design.dense(design.logits(self.appeal))
            s = None if self.satisfaction is None else design.dense(design.logits(self.satisfaction))
            return problem.law.given_clicks(z, problem.click, self.globals, s)[0]


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """How a fit went."""

    state: State
    iterations: int
    converged: bool
    stopped_early: bool
    slope: float
    held: float  # log-likelihood per held-out page at the best look; nan without any


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread, and no denormal numbers.

    Sums over members of a group add up in any order on two threads: on one, the same log gives the same fit to the
    bit. Far down a page gradients fade into denormal numbers, which are three times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


def climb(
    problem: Problem,
    start: State,
    config: ClickFitConfig,
    *,
    strength: float,
    max_iterations: int,
    held: Problem | None = None,
) -> Ascent:
    """The most probable parameters under a prior of `strength`, or the best ones on `held` on the way there.

    Args:
        problem: What to explain.
        start: Where to begin.
        config: How often to look at `held`, and how many looks without a gain to bear.
        strength: Of the prior; 0 is maximum likelihood (the weak prior of the global parameters goes, too).
        max_iterations: Most iterations.
        held: Sessions held out; with them the best state seen is returned.

    Raises:
        InputError: The likelihood is not a number any more.
    """
    state = start.copy()
    leaves = [*state.appeal.leaves()]
    if state.satisfaction is not None:
        leaves += state.satisfaction.leaves()
    n_items = len(leaves)
    leaves += state.globals.values()
    for leaf in leaves:
        leaf.requires_grad_()
    n = max(len(problem.design.page), 1)
    optimiser = torch.optim.LBFGS(
        leaves,
        max_iter=config.check_every,
        history_size=20,
        tolerance_grad=1e-9,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        return _loss(problem, state, leaves[:n_items], strength, n)

    best, best_held, looks, iterations = None, -math.inf, 0, 0
    converged = stopped = False
    loss = math.inf
    while iterations < max_iterations and not stopped and not converged:
        group = optimiser.param_groups[0]
        group["max_iter"] = min(config.check_every, max_iterations - iterations)
        group["max_eval"] = 30 * group["max_iter"]  # only iterations and tolerances end a stretch
        before, loss = loss, float(optimiser.step(closure))  # type: ignore[no-untyped-call]
        # `step` tells the loss at its beginning: two of them frame the stretch before.
        done = int(optimiser.state[leaves[0]]["n_iter"]) - iterations
        iterations += done
        if not math.isfinite(loss) or not all(bool(leaf.isfinite().all()) for leaf in leaves):
            raise InputError(
                f"the fit of {problem.law.name} diverged after {iterations} iterations",
                where="click model",
                mend="a stronger prior (strengths), or a longer log",
            )
        converged = done < group["max_iter"] or abs(before - loss) <= _STALLED * abs(loss)
        if held is not None:
            score = float(state.likelihood(held).mean())
            if score > best_held:
                best, best_held, looks = state.copy(), score, 0
            else:
                looks += 1
                stopped = looks >= config.patience
    closure()
    slope = max(float(leaf.grad.abs().max()) for leaf in leaves if leaf.grad is not None and leaf.numel())
    return Ascent(
        state=best if best is not None else state.copy(),
        iterations=iterations,
        converged=converged,
        stopped_early=stopped,
        slope=slope,
        held=best_held if held is not None else math.nan,
    )


def _loss(problem: Problem, state: State, leaves: list[Tensor], strength: float, n: int) -> Tensor:
    """The penalised loss per shown item, and its gradient, left in the leaves.

    Autograd goes through the law only: the step from logits to parameters is written out, because autograd's gather
    would cost more than all the rest.
    """
    design = problem.design
    z = design.logits(state.appeal).requires_grad_()
    s = None if state.satisfaction is None else design.logits(state.satisfaction).requires_grad_()
    for value in state.globals.values():
        value.grad = torch.zeros_like(value)
    dense_s = None if s is None else design.dense(s)
    likelihood, _ = problem.law.given_clicks(design.dense(z), problem.click, state.globals, dense_s)
    loss = -likelihood.sum() / n
    if strength > 0:
        loss = loss + problem.law.prior(state.globals) / n
    torch.autograd.backward(loss)
    total = loss.detach()
    slopes = []
    for logits in (z,) if s is None else (z, s):
        assert logits.grad is not None
        slopes += design.gradient(logits.grad)
    firm = design.tightness(strength) * (1 if s is None else 2)
    with torch.no_grad():
        for leaf, slope, tight in zip(leaves, slopes, firm, strict=True):
            leaf.grad = slope + tight * leaf / n
            total = total + 0.5 * (tight * leaf * leaf).sum() / n
    return total
