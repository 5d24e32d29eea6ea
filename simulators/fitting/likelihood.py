"""Penalised maximum likelihood of logits under a click model, by L-BFGS in torch.

The prior is Gaussian on standardised columns: weights of products of query and item vectors are held tighter than
named features, item biases tighter still, so that an item the log hardly shows is judged by its features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from simulators.fitting.centres import (
    CATEGORY_PENALTY,
    EFFECT_PENALTY,
    ITEM_PENALTY,
    LEAST_SCALE,
    Learned,
    drawn_centre,
)
from simulators.fitting.page_laws import OWN, PageLaw, law_prior, law_start

if TYPE_CHECKING:
    import torch

__all__ = [
    "Effect",
    "Parameters",
    "Problem",
    "conditional_log_likelihood",
    "constant_rate",
    "logits_of",
    "maximise",
]

_CONSTANT_PENALTY = 1e-3  # keeps the constant finite where all outcomes are alike
_SMOOTHNESS = 1.0
_EDGE = 1e-6
_READERS = ("cascade", "skimming")  # who read from the top


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A number for each of many groups of rows, held to zero by the prior unless the rows say otherwise."""

    name: str
    """What the groups are."""
    index: NDArray[np.int64]
    """(n,) group of each row; -1: of none that was there when it was fitted."""
    size: int
    """Number of groups."""
    amount: NDArray[np.float64] | None = None
    """(n,) how much of its group's number each row gets; None: all of it."""
    tightness: float = 1.0
    """Of the prior, relative to other effects'."""

    def take(self, rows: slice | NDArray[np.bool_]) -> Effect:
        """The effect on some of the rows."""
        return replace(
            self, index=self.index[rows], amount=None if self.amount is None else self.amount[rows]
        )

    def of(self, bias: NDArray[np.float64]) -> NDArray[np.float64]:
        """What `bias` (size,) adds to each row (n,)."""
        added = np.append(bias, 0.0)[self.index]
        return added if self.amount is None else added * self.amount


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Rows to explain, and how the outcome comes about.

    `family` is "plain" (the outcome is a coin with the logit's chance), "pbm", "cascade", or the name of another law
    of `simulators.clicks`.
    """

    rows: NDArray[np.float32]  # (n, P) raw feature rows
    outcome: NDArray[np.uint8]  # (n,)
    penalty: NDArray[np.float32]  # (P,) relative tightness of the prior, 0 for the constant
    category: NDArray[np.int64] | None = None  # (n,)
    item: NDArray[np.int64] | None = None  # (n,)
    n_categories: int = 0
    n_items: int = 0
    more: tuple[Effect, ...] = ()  # further groups of rows
    page: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))  # (n,)
    position: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))  # (n,)
    shape: tuple[int, int] = (0, 0)  # (M, K)
    family: str = "plain"
    stops_at_click: bool = False
    weight: NDArray[np.float32] | None = None  # (n,) how much each row counts, equal on a page; None: 1
    log_gamma: NDArray[np.float64] | None = None  # (K,) pbm: held, the largest 0; None: fitted


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What is fitted, in raw (not standardised) units."""

    weights: NDArray[np.float64]  # (P,)
    category_bias: NDArray[np.float64]  # (C,)
    item_bias: NDArray[np.float64]  # (I,)
    # pbm: log gamma (K,); cascade: logit of going on after a click (K-1,), and skimming's of skipping; see `PageLaw`
    first: NDArray[np.float64]
    second: NDArray[np.float64]  # cascade: logit of going on after a pass-over (K-1,)
    converged: bool = True  # whether the fit ended at its tolerances, not at its limit of iterations
    more: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)  # by name of the effect


def logits_of(problem: Problem, p: Parameters) -> NDArray[np.float64]:
    """Logits (n,) of the problem's rows."""
    z: NDArray[np.float64] = problem.rows.astype(np.float64) @ p.weights
    if problem.category is not None:
        z = z + p.category_bias[problem.category]
    if problem.item is not None:
        z = z + p.item_bias[problem.item]
    for effect in problem.more:
        z = z + effect.of(p.more[effect.name])
    return z


def conditional_log_likelihood(problem: Problem, p: Parameters) -> NDArray[np.float64]:
    """Log-likelihood (n,) of each row's outcome given those above it on the page."""
    import torch

    with torch.no_grad():
        z = torch.from_numpy(logits_of(problem, p))
        first, second = torch.from_numpy(p.first), torch.from_numpy(p.second)
        return np.asarray(_log_likelihood(_Tensors(problem), z, first, second).numpy())


class _Tensors:
    """The problem's arrays as torch tensors."""

    def __init__(self, problem: Problem) -> None:
        import torch

        self.family = problem.family
        self.shape = problem.shape
        self.stops_at_click = problem.stops_at_click
        self.hit = torch.from_numpy(problem.outcome.astype(bool))
        self.position = torch.from_numpy(problem.position)
        # Positions first, so that the walk down the pages reads whole rows.
        self.flat = torch.from_numpy(problem.position * problem.shape[0] + problem.page)
        if problem.family in _READERS:
            hits = torch.zeros(problem.shape[0] * problem.shape[1], dtype=torch.bool)
            hits[self.flat] = self.hit
            self.hits = hits.view(problem.shape[1], problem.shape[0])  # (K, M)
        self.law = None if problem.family in OWN else PageLaw(problem)


def _log_likelihood(t: _Tensors, z: Any, first: Any, second: Any) -> Any:
    import torch
    from torch.nn.functional import logsigmoid

    if t.law is not None:
        return t.law.log_likelihood(z, first)
    if t.family == "plain":
        return logsigmoid(torch.where(t.hit, z, -z))
    if t.family == "pbm":
        log_click = (first - first.max())[t.position] + logsigmoid(z)
    else:
        log_click = _cascade(t, z, first, second)
    return torch.where(t.hit, log_click, torch.log1p(-torch.exp(log_click).clamp(max=1 - _EDGE)))


def _cascade(t: _Tensors, z: Any, first: Any, second: Any) -> Any:
    """Log-probability (n,) of a click given the clicks above; see `CascadeExamination` and `SkimmingExamination`."""
    import torch

    n_pages, n_positions = t.shape
    empty = torch.zeros(n_pages * n_positions, dtype=z.dtype)
    appeal = list(empty.index_copy(0, t.flat, torch.sigmoid(z)).view(n_positions, n_pages).unbind())
    if t.family == "skimming":
        read = torch.sigmoid(-first[-1])
        appeal[1:] = [read * a for a in appeal[1:]]
    after_click = torch.zeros_like(second) if t.stops_at_click else torch.sigmoid(first)
    after_skip = torch.sigmoid(second)
    looked = torch.ones(n_pages, dtype=z.dtype)
    rows = []
    for k in range(n_positions):
        chance = looked * appeal[k]
        rows.append(chance)
        if k < n_positions - 1:
            passed = (looked - chance) / (1 - chance).clamp(min=_EDGE)
            looked = torch.where(t.hits[k], after_click[k], passed * after_skip[k])
    return torch.log(torch.cat(rows).index_select(0, t.flat).clamp(min=1e-9))


def maximise(
    problem: Problem,
    *,
    strength: float,
    max_iterations: int,
    start: Parameters | None = None,
    rng: np.random.Generator | None = None,
) -> Parameters:
    """The most probable parameters under the prior of `strength`.

    Args:
        problem: What to explain.
        strength: Multiplies the penalties (half a penalty times the squared standardised weight).
        max_iterations: Most L-BFGS iterations.
        start: Where to begin; by default at the overall rate.
        rng: Draws the centre of the prior from the prior, for a member of an ensemble; None: zero.
    """
    import torch

    rows = problem.rows
    n = max(len(rows), 1)
    mean = rows.mean(axis=0, dtype=np.float64)
    # A column that hardly ever moves must not be blown up: its weight would escape the prior.
    spread = rows.std(axis=0, dtype=np.float64)
    scale = np.maximum(spread, LEAST_SCALE)
    if not np.isfinite(spread).all():
        raise InputError(
            f"{int((~np.isfinite(spread)).sum())} columns of what is known of shown items and pages hold numbers that "
            "are not finite, or too large to square",
            where="feature tables and context",
            mend="look for absurd numbers in the catalogue's numeric columns and in the context columns of the log",
        )
    mean[problem.penalty == 0], scale[problem.penalty == 0] = 0.0, 1.0
    x = torch.from_numpy(((rows - mean.astype(np.float32)) / scale.astype(np.float32)).astype(np.float32))
    penalty = torch.from_numpy(problem.penalty * np.float32(strength)) + _CONSTANT_PENALTY
    tightness = (strength * CATEGORY_PENALTY / n, strength * ITEM_PENALTY / n)
    category = None if problem.category is None else torch.from_numpy(problem.category)
    item = None if problem.item is None else torch.from_numpy(problem.item)
    effects = [_groups(effect) for effect in problem.more]
    tightness_more = [strength * EFFECT_PENALTY * effect.tightness / n for effect in problem.more]
    tensors = _Tensors(problem)

    begin = start or constant_rate(problem)
    weights = begin.weights * scale
    weights[problem.penalty == 0] += (begin.weights * mean).sum()

    def leaf(values: NDArray[np.float64]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, requires_grad=True)

    start_values = Learned(
        weights=weights,
        category=begin.category_bias,
        item=begin.item_bias,
        more=tuple(begin.more.get(effect.name, np.zeros(effect.size)) for effect in problem.more),
    )
    centre, warm = drawn_centre(problem, strength, spread, start_values, rng)
    w0, c0, i0, *m0 = (
        torch.from_numpy(v.astype(np.float32))
        for v in (centre.weights, centre.category, centre.item, *centre.more)
    )
    look = begin.first if problem.log_gamma is None else problem.log_gamma
    leaves = [leaf(v) for v in (warm.weights, warm.category, warm.item, look, begin.second)]
    more = [leaf(bias) for bias in warm.more]
    w, c, i, first, second = leaves
    counts = None if problem.weight is None else torch.from_numpy(problem.weight)
    optimiser = torch.optim.LBFGS(
        [*leaves, *more],
        max_iter=max_iterations,
        history_size=10,
        tolerance_grad=1e-6,
        tolerance_change=1e-6,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        with torch.no_grad():
            z = x @ w
            if category is not None:
                z += c[category]
            if item is not None:
                z += i[item]
            for bias, (index, known) in zip(more, effects, strict=True):
                z += bias[index] if known is None else bias[index] * known
        # Autograd goes through the likelihood only: the step from logits to parameters is written out, because
        # autograd's gather would cost more than all the rest.
        z.requires_grad_()
        for tensor in (first, second):
            tensor.grad = torch.zeros_like(tensor)
        loss = 0.5 * _examination_prior(problem.family, first, second)
        fits = _log_likelihood(tensors, z, first, second)
        loss = (loss - (fits if counts is None else counts * fits).sum()) / n
        torch.autograd.backward(loss)
        if problem.log_gamma is not None:
            first.grad.zero_()  # type: ignore[union-attr]
        slope = z.grad
        assert slope is not None
        w.grad = slope @ x + penalty * (w.detach() - w0) / n
        c.grad, i.grad = torch.zeros_like(c), torch.zeros_like(i)
        if category is not None:
            c.grad = torch.bincount(category, slope, minlength=len(c)) + tightness[0] * (c.detach() - c0)
        if item is not None:
            i.grad = torch.bincount(item, slope, minlength=len(i)) + tightness[1] * (i.detach() - i0)
        with torch.no_grad():
            dw, dc, di = w - w0, c - c0, i - i0
            prior = (
                (penalty * dw * dw).sum() / n
                + tightness[0] * (dc * dc).sum()
                + tightness[1] * (di * di).sum()
            )
            for bias, (index, known), b0, tight in zip(more, effects, m0, tightness_more, strict=True):
                db = bias - b0
                own = slope if known is None else slope * known
                bias.grad = torch.bincount(index, own, minlength=len(bias)) + tight * db
                prior = prior + tight * (db * db).sum()
            total: torch.Tensor = loss.detach() + 0.5 * prior
            return total

    # Far down a page the cascade's gradients fade into denormal numbers, which make it three times slower.
    torch.set_flush_denormal(True)
    # The gradients of items and categories are sums that two threads add up in any order: one thread, and the same
    # log gives the same simulator to the bit, in the same time.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
    values = [tensor.detach().numpy().astype(np.float64) for tensor in leaves]
    if not all(np.isfinite(value).all() for value in values):
        raise InputError(
            "the fit diverged: its parameters are not numbers any more",
            where=f"click model {problem.family}" if problem.family != "plain" else "a part after the clicks",
            mend="a stronger prior (strengths), and a look at the numeric columns of the catalogue and the context",
        )
    raw = values[0] / scale
    raw[problem.penalty == 0] -= (raw * mean).sum()
    return Parameters(
        weights=raw,
        category_bias=values[1],
        item_bias=values[2],
        first=values[3] - (values[3].max() if problem.family == "pbm" else 0.0),
        second=values[4],
        converged=_arrived(optimiser),
        more={
            effect.name: bias.detach().numpy().astype(np.float64)
            for effect, bias in zip(problem.more, more, strict=True)
        },
    )


def _arrived(optimiser: torch.optim.LBFGS) -> bool:
    group = optimiser.param_groups[0]
    done = optimiser.state[group["params"][0]]
    return bool(done["n_iter"] < group["max_iter"] and done["func_evals"] < group["max_eval"])


def _groups(effect: Effect) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Group of each row, and how much of its number each gets, 0 where it has none; None where all get all of it."""
    import torch

    index = torch.from_numpy(effect.index)
    if effect.amount is not None:
        amount = np.where(effect.index >= 0, effect.amount, 0.0).astype(np.float32)
        return index.clamp(min=0), torch.from_numpy(amount)
    if bool((index >= 0).all()):
        return index, None
    return index.clamp(min=0), (index >= 0).float()


def _examination_prior(family: str, first: Any, second: Any) -> Any:
    """Neighbouring positions are alike; chances of going on are not near 0 or 1 without evidence."""
    if family not in OWN:
        return law_prior(family, first)
    if family == "skimming":
        first, skip = first[:-1], first[-1]
        prior = 0.25 * (skip + 2.0) ** 2
    else:
        prior = 0.0
    prior = prior + _SMOOTHNESS * ((first[1:] - first[:-1]) ** 2).sum()
    if family in _READERS:
        prior = prior + _SMOOTHNESS * ((second[1:] - second[:-1]) ** 2).sum()
        prior = prior + 0.25 * (first**2).sum() + 0.25 * ((second - 2.0) ** 2).sum()
    return prior


def constant_rate(problem: Problem) -> Parameters:
    """The overall rate for every row, half an outcome added each way; everything is looked at alike."""
    rate = (problem.outcome.sum() + 0.5) / (len(problem.outcome) + 1.0)
    weights = np.zeros(problem.rows.shape[1])
    weights[problem.penalty == 0] = np.log(rate / (1.0 - rate))
    k = problem.shape[1]
    sizes = {"plain": (0, 0), "pbm": (k, 0), "cascade": (k - 1, k - 1), "skimming": (k, k - 1)}
    first = np.zeros(sizes[problem.family][0]) if problem.family in OWN else law_start(problem.family, k)
    if problem.family == "skimming":
        first[-1] = -2.0  # of skipping
    return Parameters(
        weights=weights,
        category_bias=np.zeros(problem.n_categories),
        item_bias=np.zeros(problem.n_items),
        first=first,
        second=np.full(sizes.get(problem.family, (0, 0))[1], 2.0),
    )
