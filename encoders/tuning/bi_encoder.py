"""Fine-tuning a bi-encoder: queries and items are encoded apart, and meet in a dot product.

With `q` and `i` unit vectors, as in `encoders.relevance`,

    click_logit    = (q * w_click) @ i + b_click
    purchase_logit = (q * w_purchase) @ i + b_purchase
    ranking        = q @ i / temperature

The ranking loss has a temperature of its own, because the scale that calibrates clicks is far too flat to rank a
catalogue by. Its contrast is the catalogue: items beyond the batch stand by with stored vectors
(`encoders.tuning.stored`).
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.bert import BertEncoder, pool
from encoders.groups import QueryGroup, draw_groups
from encoders.relevance import Heads
from encoders.tuning.batches import PairLookup, draw_batches
from encoders.tuning.config import TuningConfig
from encoders.tuning.examples import Examples
from encoders.tuning.negatives import hard_negatives
from encoders.tuning.objective import N_TASKS, Scores, Targets, batch_loss
from encoders.tuning.processes import encode_together
from encoders.tuning.stored import stored_items
from encoders.tuning.trainer import History, WrapLoss, run_trainer
from encoders.tuning.ways import merged, prepared

__all__ = ["TunedEncoder", "digest_of", "positive_weight_of", "tune_bi_encoder"]

Floats = NDArray[np.float32]
_JUDGED_ITEMS = 12  # of a held-out query


@dataclass(frozen=True, kw_only=True)
class TunedEncoder:
    """What fine-tuning leaves behind."""

    encoder: BertEncoder
    heads: Heads
    history: History


class _BiEncoder(torch.nn.Module):
    """The network and the layers on top, giving the loss of a batch."""

    stored: torch.Tensor  # (B, D) vectors of the items that stand by, as last read

    def __init__(
        self,
        bert: Any,
        heads: Heads,
        config: TuningConfig,
        stored: Floats,  # (B, D)
        *,
        positive_weight: float,
        distil: bool,
    ) -> None:
        super().__init__()
        self.bert = bert
        # Part of the state, so that a run that goes on from a checkpoint has the vectors it had.
        self.register_buffer("stored", torch.from_numpy(stored.copy()))
        self.weight = torch.nn.Parameter(
            torch.from_numpy(np.stack([heads.click_weight, heads.purchase_weight]))
        )
        self.bias = torch.nn.Parameter(torch.tensor(heads.bias, dtype=torch.float32))
        self.projection = torch.nn.Parameter(
            torch.from_numpy(heads.projection.copy()), requires_grad=config.way == "head"
        )
        uncertain = config.task_weights == "uncertainty"
        self.log_variance = torch.nn.Parameter(torch.zeros(N_TASKS)) if uncertain else None
        # Not named `config`: the Trainer takes that for a Hugging Face model's and writes to it.
        self.settings, self.positive_weight, self.distil = config, positive_weight, distil

    def vectors(self, tokens: dict[str, torch.Tensor]) -> torch.Tensor:
        """Unit vectors (n, D), not yet projected."""
        return encode_together(lambda part: pool(self.bert, part), tokens).float()

    def projected(self, vectors: torch.Tensor) -> torch.Tensor:
        """Unit vectors (n, D), projected."""
        return torch.nn.functional.normalize(vectors @ self.projection, dim=1)

    def forward(
        self,
        query_tokens: dict[str, torch.Tensor],  # (G, L)
        item_tokens: dict[str, torch.Tensor],  # (U', L')
        place: torch.Tensor,  # (U',) row of each of these items in `stored`, -1 for none
        others: torch.Tensor,  # (U - U',) rows of `stored`: further items
        targets: dict[str, torch.Tensor],  # each (G, U)
        query_before: torch.Tensor | None = None,  # (G, D) vectors before training, where they pull
        item_before: torch.Tensor | None = None,  # (U', D)
    ) -> dict[str, torch.Tensor]:
        asked, read = self.vectors(query_tokens), self.vectors(item_tokens)
        q = self.projected(asked)  # (G, D)
        i = self.projected(torch.cat([read, self.stored[others]]))  # (U, D)
        if self.training:
            self.stored[place[place >= 0]] = read.detach()[place >= 0]
        scores = Scores(
            click=(q * self.weight[0]) @ i.T + self.bias[0],
            purchase=(q * self.weight[1]) @ i.T + self.bias[1],
            ranking=q @ i.T / self.settings.temperature,
        )
        known = Targets(**targets, present=torch.ones_like(targets["shown"]))
        loss = batch_loss(
            scores,
            known,
            self.settings,
            positive_weight=self.positive_weight,
            distil=self.distil,
            log_variance=self.log_variance,
        )
        if query_before is not None and item_before is not None:
            moved = (1.0 - (asked * query_before).sum(1)).mean() + (1.0 - (read * item_before).sum(1)).mean()
            loss = loss + self.settings.anchor * moved
        return {"loss": loss}


class _Collate:
    """Groups to the arguments of `_BiEncoder.forward`: the union of their items, then those that stand by.

    Args:
        encoder: Has the tokeniser.
        examples: What is known.
        stored: Rows (B,) of the items that stand by.
        before: Vectors of queries and of items, by row, that pull; None for none.
    """

    def __init__(
        self,
        encoder: BertEncoder,
        examples: Examples,
        stored: NDArray[np.int64],
        before: tuple[dict[int, Floats], dict[int, Floats]] | None = None,
    ) -> None:
        self.encoder, self.examples, self.lookup = encoder, examples, PairLookup(examples)
        self.stored, self.before = stored, before
        self._place = np.full(len(examples.items), -1, np.int64)
        self._place[stored] = np.arange(len(stored))

    def __call__(self, groups: Sequence[QueryGroup]) -> dict[str, Any]:
        own = list(dict.fromkeys(item for group in groups for item in group.items))
        others = np.flatnonzero(~np.isin(self.stored, own))
        lists = self.lookup.lists(groups, self.stored[others].tolist())
        names = ("hits", "misses", "purchases", "gain", "teacher", "shown")
        batch: dict[str, Any] = {
            "query_tokens": self.encoder.tokenize([self.examples.queries[q] for q in lists.query]),
            "item_tokens": self.encoder.tokenize([self.examples.items[i] for i in own]),
            "place": torch.from_numpy(self._place[own]),
            "others": torch.from_numpy(others),
            "targets": {name: getattr(lists, name) for name in names},
        }
        if self.before is not None:
            rows = zip(("query_before", "item_before"), self.before, (lists.query, own), strict=True)
            batch |= {name: torch.from_numpy(np.stack([known[r] for r in at])) for name, known, at in rows}
        return batch


def _before(
    encoder: BertEncoder,
    examples: Examples,
    groups: Sequence[QueryGroup],
    item: dict[int, Floats],
    *,
    progress: bool,
) -> tuple[dict[int, Floats], dict[int, Floats]]:
    """Vectors of what `groups` will read, by row; those of `item` are known already."""

    def encoded(rows: list[int], texts: Sequence[str]) -> dict[int, Floats]:
        return dict(zip(rows, encoder.encode([texts[r] for r in rows], progress=progress), strict=True))

    queries = sorted({group.query for group in groups})
    others = sorted({i for group in groups for i in group.items} - item.keys())
    return encoded(queries, examples.queries), item | encoded(others, examples.items)


def tune_bi_encoder(
    encoder: BertEncoder,
    examples: Examples,
    config: TuningConfig | None = None,
    *,
    heads: Heads | None = None,
    valid: Examples | None = None,
    wrap_loss: WrapLoss | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> TunedEncoder:
    """Fine-tune a copy of `encoder`.

    Args:
        encoder: Where to start from; it stays as it is.
        examples: What to learn from; with `examples.teacher`, the ranking loss is replaced by the divergence from the
            teacher's softmax over the known items of a query (distillation).
        config: How.
        heads: Layers on top to start from; by default the plain cosine, scaled by 10.
        valid: Held-out examples; with them training stops early, and the best weights are kept.
        wrap_loss: Takes the loss in its own hands, for adversarial training; see `encoders.tuning.trainer.WrapLoss`.
        folder: For TensorBoard and checkpoints, to be resumed from; None writes nothing.
        progress: Show a bar.

    Raises:
        InputError: Labels of one class, a missing library, a folder of another run, or too little memory.
    """
    config = (config or TuningConfig()).sized(items_per_query=1, queries_per_batch=32)
    examples.check()
    heads = heads or _plain(encoder.width, examples)
    tuned = copy.copy(encoder)
    tuned.model = copy.deepcopy(encoder.model)
    weights = {name: tensor.detach().cpu().clone() for name, tensor in tuned.model.state_dict().items()}
    negatives = hard_negatives(encoder, examples, config, progress=progress)
    groups = draw_batches(examples, config, negatives)
    stored = stored_items(examples, config)
    judged: list[QueryGroup] = []
    beside = stored
    if valid is not None:
        valid.check()
        # Each query about once, and with as many of its items as tell something.
        most = min(config.max_pairs, _JUDGED_ITEMS * len(np.unique(valid.pairs.query)))
        judged = draw_groups(valid.pairs, max_pairs=most, items_per_query=_JUDGED_ITEMS, seed=config.seed)
        # Held-out examples that number other items are contrasted within their batches.
        beside = stored if valid.items == examples.items else stored[:0]
    pulls = config.anchor > 0.0 and config.way != "head" and examples.teacher is None
    vectors = encoder.encode([examples.items[i] for i in stored], progress=progress)
    before = None
    if pulls:
        known = dict(zip(stored.tolist(), vectors, strict=True))
        before = _before(encoder, examples, groups, known, progress=progress)
    bert = prepared(tuned.model, config)
    module = _BiEncoder(
        bert,
        heads,
        config,
        vectors,
        positive_weight=positive_weight_of(examples, config),
        distil=examples.teacher is not None,
    )
    history = run_trainer(
        module,
        bert,
        groups,
        _Collate(encoder, examples, stored, before),
        config,
        device=encoder.device,
        valid=judged,
        valid_collate=None if valid is None else _Collate(encoder, valid, beside),
        wrap_loss=wrap_loss,
        folder=folder,
        fingerprint=digest_of(encoder.fingerprint, examples),
        progress=progress,
    )
    tuned.model = merged(module.bert, config).to(encoder.device).eval()
    if config.way in ("all", "last") and config.keep > 0.0:
        with torch.no_grad():
            for name, tensor in tuned.model.state_dict().items():
                if tensor.is_floating_point():
                    tensor.lerp_(weights[name].to(tensor.device), config.keep)
    tuned.weights_changed()
    weight = module.weight.detach().cpu().numpy()
    learned = replace(
        heads,
        projection=module.projection.detach().cpu().numpy().copy(),
        click_weight=weight[0].copy(),
        purchase_weight=weight[1].copy(),
        bias=module.bias.detach().cpu().numpy().astype(np.float64),
    )
    return TunedEncoder(encoder=tuned, heads=learned, history=history)


def positive_weight_of(examples: Examples, config: TuningConfig) -> float:
    """What a hit counts against a miss."""
    if config.positive_weight is not None:
        return config.positive_weight
    return float(examples.pairs.misses.sum() / max(examples.pairs.clicks.sum(), 1e-12))


def digest_of(fingerprint: str, examples: Examples) -> str:
    """Digest of model and examples: which run a folder belongs to."""
    digest = hashlib.sha256(fingerprint.encode())
    for texts in (examples.queries, examples.items):
        digest.update("\0".join(texts).encode("utf-8", "surrogatepass"))
    pairs = examples.pairs
    for array in (pairs.query, pairs.item, pairs.exposure, pairs.clicks, pairs.purchases, examples.gain):
        digest.update(np.ascontiguousarray(array).tobytes())
    if examples.teacher is not None:
        digest.update(np.ascontiguousarray(examples.teacher).tobytes())
    return digest.hexdigest()


def _plain(width: int, examples: Examples) -> Heads:
    def logit(hits: float, misses: float) -> float:
        return float(np.log((hits + 0.5) / (misses + 0.5)))

    pairs = examples.pairs
    clicks, bought = float(pairs.clicks.sum()), float(pairs.purchases.sum())
    bias = logit(clicks, float(pairs.misses.sum())), logit(bought, clicks - bought)
    return Heads.plain(width, click_scale=10.0, purchase_scale=0.0, bias=bias)
