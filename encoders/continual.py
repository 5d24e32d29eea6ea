"""Continual learning of the heads: next week's log is learned from without forgetting what earlier weeks taught.

Four ways to go on from last week's heads:

- `naive`: train on the new week alone; what it does not speak of drifts away.
- `l2sp`: the same, with a pull of the projection towards last week's (Li, Grandvalet, Davoine, "Explicit inductive bias
  for transfer learning with convolutional networks", ICML 2018).
- `ewc`: the same, every weight pulled as strongly as earlier weeks' rankings hung on it, `s/2 sum F (theta - theta')^2`
  with `F` the mean square of their queries' gradients, averaged to 1 (Kirkpatrick et al., "Overcoming catastrophic
  forgetting in neural networks", PNAS 2017).
- `replay`: train on the new week and a memory of earlier pairs, drawn evenly from all that came before (reservoir
  sampling, Vitter 1985), so that it stays small however many weeks go by. From last week's heads, or from new ones.

`encoders.heads.fit_projection` does the training in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.heads import HeadConfig, calibrate, fit_projection, listwise_targets
from encoders.pairs import PairCounts, concatenate
from encoders.relevance import Heads
from encoders.storage import write_npz

__all__ = [
    "ContinualConfig",
    "ContinualState",
    "importance",
    "load_state",
    "save_state",
    "start_state",
    "update",
]

_KIND = "slategym-continual-1"


@dataclass(frozen=True, kw_only=True)
class ContinualConfig:
    """How heads go on from week to week."""

    way: Literal["naive", "l2sp", "ewc", "replay"] = "replay"
    """See the module."""
    strength: float = 0.02
    """Of the pull, for 'l2sp' and 'ewc'."""
    memory: int = 20_000
    """Pairs remembered, for 'replay'."""
    heads: HeadConfig = field(default_factory=lambda: HeadConfig(steps=60))
    """Training in one week."""
    seed: int = 0
    """Seed of what is remembered."""


@dataclass(frozen=True, kw_only=True)
class ContinualState:
    """What goes from week to week. Pairs keep their query and item numbers: number new queries after the old ones."""

    heads: Heads
    memory: PairCounts
    priority: NDArray[np.float64]  # (P,) draw of each remembered pair: the smallest stay
    projection_weight: NDArray[np.float32]  # (D, D) importance of each entry, for 'ewc'
    head_weight: NDArray[np.float32]  # (2, D)
    weeks: int
    """Weeks learned from."""


def start_state(
    heads: Heads,
    item: NDArray[np.float32],
    query: NDArray[np.float32],
    pairs: PairCounts,
    config: ContinualConfig,
) -> ContinualState:
    """The state after a first week, from which `heads` were learned already.

    Args:
        heads: Heads as fitted to `pairs`.
        item: Raw item vectors (I, D).
        query: Raw query vectors (Q, D).
        pairs: The first week's pairs, of queries with a text.
        config: As for the weeks to come.
    """
    width = heads.projection.shape[1]
    empty = ContinualState(
        heads=heads,
        memory=pairs.take(np.zeros(0, np.int64)),
        priority=np.zeros(0),
        projection_weight=np.zeros_like(heads.projection),
        head_weight=np.zeros((2, width), np.float32),
        weeks=0,
    )
    return _remembered(empty, heads, item, query, pairs, config)


def update(
    state: ContinualState,
    item: NDArray[np.float32],
    query: NDArray[np.float32],
    pairs: PairCounts,
    config: ContinualConfig,
    *,
    progress: bool = True,
) -> ContinualState:
    """Go on with a new week.

    Args:
        state: Of last week.
        item: Raw item vectors (I, D); new items at the end.
        query: Raw query vectors (Q, D); new queries at the end.
        pairs: The new week's pairs, of queries with a text.
        config: How.
        progress: Show a bar.

    Raises:
        InputError: Pairs remembered are of queries or items that are no longer numbered.
    """
    known = state.memory
    if known.n_pairs and (known.query.max() >= query.shape[0] or known.item.max() >= item.shape[0]):
        raise InputError(
            f"the memory speaks of query {known.query.max()} and item {known.item.max()}, but there are "
            f"{query.shape[0]} queries and {item.shape[0]} items",
            where="continual.update(item=..., query=...)",
            mend="keep the numbers of earlier weeks and put new queries and items at the end",
        )
    learned_from, penalty = pairs, None
    # fit_projection pulls towards where it starts: last week's heads.
    pull = config.strength * float(pairs.clicks.sum()) if config.way == "l2sp" else 0.0
    settings = replace(config.heads, prior=pull)
    if config.way == "replay":
        learned_from = concatenate([known, pairs])
        settings = config.heads
    elif config.way == "ewc":
        penalty = _Elastic(state, config.strength)
    heads = fit_projection(
        state.heads, item, query, learned_from, settings, penalty=penalty, progress=progress
    )
    heads = calibrate(heads, item, query, pairs)
    return _remembered(state, heads, item, query, pairs, config)


class _Elastic:
    """The pull of `ewc`, towards the heads of a state."""

    def __init__(self, state: ContinualState, strength: float) -> None:
        heads = state.heads
        self.centre = (
            torch.from_numpy(heads.projection.copy()),
            torch.from_numpy(np.stack([heads.click_weight, heads.purchase_weight])),
        )
        self.weight = (torch.from_numpy(state.projection_weight), torch.from_numpy(state.head_weight))
        self.strength = strength

    def __call__(self, projection: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(())
        for now, then, weight in zip((projection, weights), self.centre, self.weight, strict=True):
            total = total + (weight * (now - then).square()).sum()
        return 0.5 * self.strength * total


def importance(
    heads: Heads,
    item: NDArray[np.float32],
    query: NDArray[np.float32],
    pairs: PairCounts,
    *,
    unshown_weight: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean square over queries of the gradient of their listwise loss, by projection (D, D) and weights (2, D)."""
    projection = torch.from_numpy(heads.projection.copy()).requires_grad_()
    weights = torch.from_numpy(np.stack([heads.click_weight, heads.purchase_weight])).requires_grad_()
    asked, place = np.unique(pairs.query, return_inverse=True)
    target, _ = listwise_targets(pairs, place, len(asked))
    raw_items, log_unshown = torch.from_numpy(item), float(np.log(max(unshown_weight, 1e-6)))
    squares = [torch.zeros_like(projection), torch.zeros_like(weights)]
    n = 0
    for number, row in enumerate(asked):
        own = np.flatnonzero(place == number)
        if target[own].sum() <= 0.0:
            continue
        q = torch.nn.functional.normalize(torch.from_numpy(query[row]) @ projection, dim=0)
        i = torch.nn.functional.normalize(raw_items @ projection, dim=1)
        click = i @ (q * weights[0])  # (I,)
        offset = torch.full_like(click, log_unshown)
        offset[pairs.item[own].astype(np.int64)] = 0.0
        chosen = click[pairs.item[own].astype(np.int64)]
        loss = (torch.from_numpy(target[own]).float() * (torch.logsumexp(click + offset, 0) - chosen)).sum()
        gradients = torch.autograd.grad(loss, (projection, weights), allow_unused=True)
        for total, gradient in zip(squares, gradients, strict=True):
            if gradient is not None:
                total += gradient.square()
        n += 1
    projected, weighted = (np.asarray(total.numpy() / max(n, 1), np.float32) for total in squares)
    return projected, weighted


def _remembered(
    state: ContinualState,
    heads: Heads,
    item: NDArray[np.float32],
    query: NDArray[np.float32],
    pairs: PairCounts,
    config: ContinualConfig,
) -> ContinualState:
    """The state one week on: what `config.way` needs of the week is taken along."""
    memory, priority = state.memory, state.priority
    projection, weights = state.projection_weight, state.head_weight
    if config.way == "replay":
        draw = np.random.default_rng([config.seed, state.weeks]).random(pairs.n_pairs)
        memory, priority = concatenate([memory, pairs]), np.concatenate([priority, draw])
        kept = np.sort(np.argsort(priority, kind="stable")[: config.memory])
        memory, priority = memory.take(kept), priority[kept]
    elif config.way == "ewc":
        new = importance(heads, item, query, pairs, unshown_weight=config.heads.unshown_weight)
        # Each week counts alike, and the mean over the projection is 1, so that strengths mean the same everywhere.
        scale = max(float(new[0].mean()), 1e-12)
        projection, weights = (
            np.asarray((state.weeks * old + fresh / scale) / (state.weeks + 1), np.float32)
            for old, fresh in zip((projection, weights), new, strict=True)
        )
    return ContinualState(
        heads=heads,
        memory=memory,
        priority=priority,
        projection_weight=projection,
        head_weight=weights,
        weeks=state.weeks + 1,
    )


def save_state(path: Path | str, state: ContinualState) -> None:
    """Write `state` to `path` (`.npz`), for next week."""
    write_npz(
        Path(path),
        {
            "kind": np.array(_KIND),
            **{f"heads_{f.name}": getattr(state.heads, f.name) for f in fields(Heads)},
            **{f"memory_{f.name}": getattr(state.memory, f.name) for f in fields(PairCounts)},
            "priority": state.priority,
            "projection_weight": state.projection_weight,
            "head_weight": state.head_weight,
            "weeks": np.array(state.weeks),
        },
    )


def load_state(path: Path | str) -> ContinualState:
    """Read what `save_state` wrote.

    Raises:
        InputError: Missing, damaged, or another kind of file.
    """
    from encoders.storage import read_npz

    data = read_npz(Path(path), _KIND)
    return ContinualState(
        heads=Heads(**{f.name: data[f"heads_{f.name}"] for f in fields(Heads)}),
        memory=PairCounts(**{f.name: data[f"memory_{f.name}"] for f in fields(PairCounts)}),
        priority=data["priority"],
        projection_weight=data["projection_weight"],
        head_weight=data["head_weight"],
        weeks=int(data["weeks"]),
    )
