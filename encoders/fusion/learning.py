"""A small gated network over modalities, learned on top of a text model, and exported as dot products.

Every modality `m` of an item becomes `h_m = tanh(W_m x_m)` (H,), and a gate `g_m = sigmoid(G [h_1 .. h_M])_m` that sees
all of them, after the gated multimodal unit (Arevalo, Solorio, Montes-y-Gomez, Gonzalez, "Gated multimodal units for
information fusion", arXiv 1702.01992); a missing modality has `h_m = 0` and `g_m = 0`. The fused vector
`f = sum_m g_m h_m` meets a query through a linear map of its text vector `q`:

    click_logit = text_click_logit + (A q + a) . f + b

and likewise for purchases with a map of their own. A log has few queries, and maps from their vectors would learn each
by heart: how freely the maps may differ from query to query, and how long they learn, is chosen on queries left out,
and where nothing helps those the text model stays alone. What is learned tells apart the items that a shop shows for a
query; of the others only the text speaks, so candidates come from the text model and the sum orders them.

The text model stays as it is; with `f` appended to its item vectors and `A q + a` to its query vectors the sum is one
dot product again (`RelevanceTables`).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import RelevanceTables
from encoders.fusion.modalities import Modalities, behaviour
from encoders.heads import listwise_targets
from encoders.pairs import PairCounts, count_pairs

__all__ = ["Fold", "FusionConfig", "FusionModel", "GatedUnit", "fit_fusion", "folds_of"]


@dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """The network, and how it learns."""

    width: int = 24
    """Width `H` of the fused vector."""
    steps: int = 120
    """Full-batch steps of AdamW at most; no more are taken than queries left out profit from."""
    learning_rate: float = 0.01
    """AdamW's."""
    pulls: tuple[float, ...] = (3.0, 30.0, 300.0)
    """Weight decays of the maps from queries, to choose from: the greater, the more alike all queries."""
    validation: float = 0.25
    """Share of the queries that chooses pull and steps; nought takes the first pull and all steps."""
    ranking_weight: float = 1.0
    """Weight of the listwise term beside the logistic ones."""
    unshown_weight: float = 0.0
    """Weight of an item not shown for the query, in the softmax. Above nought, numbers and behaviour learn what the
    shop chose to show rather than what was clicked of it: the text model needs such items, these do not."""
    drop: float = 0.25
    """Share of an item's modalities hidden in a step, so that missing ones are nothing new."""
    folds: int = 4
    """Parts of the log; the clicks of each are explained by behaviour in the others."""
    seed: int = 0
    """Seed of the weights, of what is hidden, and of the folds."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Clicks to be explained, and modalities that do not know them."""

    pairs: PairCounts
    modalities: Modalities


class GatedUnit(torch.nn.Module):
    """Modalities to fused vectors.

    Args:
        widths: Columns `F` of each modality, by name.
        query_width: Width `D` of the query vectors.
        width: `H`.
    """

    def __init__(self, widths: Mapping[str, int], query_width: int, width: int) -> None:
        super().__init__()
        self.names = tuple(widths)
        self.inner = torch.nn.ModuleDict({n: torch.nn.Linear(f, width, bias=True) for n, f in widths.items()})
        self.gate = torch.nn.Linear(width * len(widths), len(widths))
        self.click = torch.nn.Linear(query_width, width)
        self.buy = torch.nn.Linear(query_width, width)
        self.level = torch.nn.Parameter(torch.zeros(2))
        for layer in (self.click, self.buy):  # at first the text model speaks alone
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)

    def forward(
        self, values: Mapping[str, torch.Tensor], known: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Fused vectors (I, H) and gates (I, M), of modalities (I, F) and which are known (I, M)."""
        inner = torch.stack([torch.tanh(self.inner[n](values[n])) for n in self.names], dim=1)  # (I, M, H)
        inner = inner * known[:, :, None]
        gates = torch.sigmoid(self.gate(inner.flatten(1))) * known  # (I, M)
        return (gates[:, :, None] * inner).sum(1), gates


@dataclass(frozen=True, kw_only=True)
class FusionModel:
    """A learned unit."""

    unit: GatedUnit
    pull: float
    """Weight decay of the maps from queries, as chosen."""
    steps: int
    """Steps, as chosen; 0: nothing that beats the text model on queries left out was found."""

    def gates(self, modalities: Modalities) -> NDArray[np.float32]:
        """How far each modality of each item is let through (I, M), 0 where it is missing."""
        with torch.no_grad():
            gates: NDArray[np.float32] = self.unit(*_tensors(modalities, self.unit.names))[1].numpy()
        return gates

    def tables(
        self, base: RelevanceTables, query: NDArray[np.float32], modalities: Modalities
    ) -> RelevanceTables:
        """The text model's tables with the fused vectors appended.

        Args:
            base: The text model's dot products.
            query: Raw query vectors (Q, D), zeros for the empty one: it gets what all queries like.
            modalities: Of the items; those that the unit knows.
        """
        with torch.no_grad():
            fused = self.unit(*_tensors(modalities, self.unit.names))[0].numpy()
            q = torch.from_numpy(query)
            click, buy = self.unit.click(q).numpy(), self.unit.buy(q).numpy()
            level = self.unit.level.tolist()
        return RelevanceTables(
            item=np.concatenate([base.item, fused], axis=1),
            click_query=np.concatenate([base.click_query, click], axis=1),
            purchase_query=np.concatenate([base.purchase_query, buy], axis=1),
            click_bias=base.click_bias + level[0],
            purchase_bias=base.purchase_bias + level[1],
        )


def folds_of(
    steps: LoggedSteps,
    examination: NDArray[np.float64],
    modalities: Modalities,
    *,
    queries: NDArray[np.bool_],
    folds: int,
    seed: int,
) -> list[Fold]:
    """The log by parts of its sessions, each with the behaviour of the others.

    An item's own click rate contains the clicks it is to explain: a model that sees it learns to trust it far too much.

    Args:
        steps: The log.
        examination: Relative examination of each position (K,).
        modalities: What does not come from the log.
        queries: Which queries (Q,) to learn from; all count for behaviour.
        folds: Number of parts, two or more.
        seed: Which session goes where.
    """
    if folds < 2:
        raise InputError(f"folds must be at least 2, found {folds}", where="folds_of(folds=...)")
    sessions, number = np.unique(steps.session, return_inverse=True)
    part = np.random.default_rng(seed).integers(folds, size=len(sessions))[number]
    n_items = (
        next(iter(modalities.known.values())).shape[0] if modalities.known else int(steps.item.max()) + 1
    )
    found = []
    for f in range(folds):
        others = behaviour(count_pairs(steps.take(part != f), examination), n_items)
        own = count_pairs(steps.take(part == f), examination)
        found.append(
            Fold(
                pairs=own.take(np.flatnonzero(queries[own.query])),
                modalities=modalities.with_behaviour(*others),
            )
        )
    return found


def fit_fusion(
    base: RelevanceTables,
    query: NDArray[np.float32],
    folds: Sequence[Fold],
    config: FusionConfig | None = None,
    *,
    progress: bool = True,
) -> FusionModel:
    """Learn a unit on top of `base`.

    Args:
        base: The text model's dot products.
        query: Raw query vectors (Q, D).
        folds: Clicks and what explains them, one or more; all with the same modalities.
        config: The network, and how it learns.
        progress: Show a bar.

    Raises:
        InputError: No modality, or no click.
    """
    config = config or FusionConfig()
    names = folds[0].modalities.names if folds else ()
    if not names or not any(fold.pairs.clicks.sum() > 0 for fold in folds):
        raise InputError("nothing to learn: no modality, or no click", where="fit_fusion(folds=...)")
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        unit = GatedUnit(
            {n: folds[0].modalities.values[n].shape[1] for n in names}, query.shape[1], config.width
        )
    generator = torch.Generator().manual_seed(config.seed)

    def losses(pairs: Sequence[PairCounts]) -> list[_FoldLoss]:
        return [
            _FoldLoss(base, query, Fold(pairs=part, modalities=fold.modalities), names, config)
            for part, fold in zip(pairs, folds, strict=True)
            if part.clicks.sum() > 0
        ]

    asked = np.unique(np.concatenate([fold.pairs.query[fold.pairs.clicks > 0] for fold in folds]))
    away = np.random.default_rng(config.seed).permutation(asked)[: round(config.validation * len(asked))]
    pull, steps = config.pulls[0], config.steps
    runs = 1 + (len(config.pulls) if len(away) else 0)
    with tqdm(total=runs * steps, desc="fusion", leave=False, disable=None if progress else True) as bar:
        if len(away):
            is_away = [np.isin(fold.pairs.query, away) for fold in folds]
            learn, watch = (
                losses(
                    [
                        f.pairs.take(np.flatnonzero(rows == side))
                        for f, rows in zip(folds, is_away, strict=True)
                    ]
                )
                for side in (False, True)
            )
            curves = {
                p: list(_train(copy.deepcopy(unit), learn, config, p, generator, bar, watch))
                for p in config.pulls
            }
            pull = min(curves, key=lambda p: min(curves[p]))
            steps = int(np.argmin(curves[pull]))  # nought of them is the text model alone
        everything = losses([fold.pairs for fold in folds])
        for _ in itertools.islice(_train(unit, everything, config, pull, generator, bar), steps + 1):
            pass
    unit.eval()
    return FusionModel(unit=unit, pull=pull, steps=steps)


def _train(
    unit: GatedUnit,
    losses: Sequence[_FoldLoss],
    config: FusionConfig,
    pull: float,
    generator: torch.Generator,
    bar: tqdm[Any],
    watch: Sequence[_FoldLoss] = (),
) -> Iterator[float]:
    """Train `unit` in place; before every step and after the last, the mean loss of `watch` (0 without any)."""
    groups: list[dict[str, Any]] = [
        {"params": [unit.click.weight, unit.buy.weight], "weight_decay": pull},
        {"params": [w for w in unit.parameters() if w is not unit.click.weight and w is not unit.buy.weight]},
    ]
    optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=0.0)
    for step in range(config.steps + 1):
        with torch.no_grad():
            yield float(np.mean([float(loss(unit)) for loss in watch])) if watch else 0.0
        if step == config.steps:
            return
        unit.train()
        loss = losses[step % len(losses)](unit, generator)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        bar.update()


def _tensors(modalities: Modalities, names: Sequence[str]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    absent = [name for name in names if name not in modalities.values]
    if absent:
        raise InputError(
            f"the fusion was learned with the modality {absent[0]!r}, which is not here",
            where="Modalities",
            mend="give it, with items that lack it marked as not known",
        )
    known = np.stack([modalities.known[n] for n in names], axis=1).astype(np.float32)  # (I, M)
    return {n: torch.from_numpy(modalities.values[n]) for n in names}, torch.from_numpy(known)


class _FoldLoss:
    """The loss of one fold, as a function of the unit."""

    def __init__(
        self,
        base: RelevanceTables,
        query: NDArray[np.float32],
        fold: Fold,
        names: Sequence[str],
        config: FusionConfig,
    ) -> None:
        self.config, pairs = config, fold.pairs
        self.values, self.known = _tensors(fold.modalities, names)
        asked, place = np.unique(pairs.query, return_inverse=True)
        self.row, self.column = torch.from_numpy(place), torch.from_numpy(pairs.item.astype(np.int64))
        self.query = torch.from_numpy(query[asked])  # (S, D)
        self.text = torch.from_numpy(base.click_query[asked] @ base.item.T)  # (S, I)
        bought = np.einsum("pr,pr->p", base.purchase_query[pairs.query], base.item[pairs.item])
        self.text_buy = torch.from_numpy(bought) + base.purchase_bias  # (P,)
        self.bias = base.click_bias
        target, share = listwise_targets(pairs, place, len(asked))
        self.weight = torch.from_numpy(target * share[place]).float()  # (P,)
        self.offset = torch.full(self.text.shape, float(np.log(max(config.unshown_weight, 1e-6))))
        self.offset[self.row, self.column] = 0.0
        self.hits, self.misses, self.bought = (
            torch.from_numpy(v).float() for v in (pairs.clicks, pairs.misses, pairs.purchases)
        )

    def __call__(self, unit: GatedUnit, generator: torch.Generator | None = None) -> torch.Tensor:
        """The loss; with a generator, some modalities are hidden."""
        known = self.known
        if generator is not None:
            known = known * (torch.rand(known.shape, generator=generator) >= self.config.drop)
        fused, _ = unit(self.values, known)  # (I, H)
        click = self.text + unit.click(self.query) @ fused.T  # (S, I)
        logit = click[self.row, self.column] + self.bias + unit.level[0]  # (P,)
        buy = self.text_buy + (unit.buy(self.query)[self.row] * fused[self.column]).sum(1) + unit.level[1]
        softplus = torch.nn.functional.softplus
        pointwise = (self.hits * softplus(-logit) + self.misses * softplus(logit)).sum()
        refused = (self.hits - self.bought).clamp(min=0.0)
        purchase = (self.bought * softplus(-buy) + refused * softplus(buy)).sum()
        surprise = torch.logsumexp(click + self.offset, dim=1)[self.row] - click[self.row, self.column]
        total = (self.hits + self.misses).sum().clamp(min=1.0)
        loss: torch.Tensor = (
            pointwise / total
            + 0.3 * purchase / self.hits.sum().clamp(min=1.0)
            + self.config.ranking_weight * (self.weight * surprise).sum()
        )
        return loss
