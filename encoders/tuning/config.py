"""How an encoder is fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from behavior.errors import InputError

__all__ = ["Precision", "Ranking", "TuningConfig", "Way"]

Way = Literal["all", "head", "lora", "last"]
Ranking = Literal["none", "pairwise", "softmax", "lambda", "contrastive"]
Precision = Literal["auto", "float32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class TuningConfig:
    """Fine-tuning of a bi-encoder or cross-encoder.

    Loss of a batch: `pointwise_weight` times the binary cross-entropy of clicks, plus `ranking_weight` times the
    ranking loss over the items of the batch, plus the purchase loss.
    """

    way: Way = "all"
    """What learns: 'all' weights, the 'head' alone, 'lora' (low-rank adapters, merged in the end), or the 'last'
    layers and the head."""
    last_layers: int = 2
    """Layers that learn in way 'last'."""
    lora_rank: int = 8
    """Rank of the adapters."""
    ranking: Ranking = "softmax"
    """Loss over the items of a batch; see docs/fine-tuning.md."""
    pointwise_weight: float = 1.0
    """Weight of the cross-entropy of clicks."""
    ranking_weight: float = 1.0
    """Weight of the ranking loss."""
    temperature: float = 0.1
    """Cosines are divided by it before the ranking loss of a bi-encoder."""
    positive_weight: float | None = 1.0
    """What a click counts against a miss in the cross-entropy; None balances the two classes."""
    purchase: Literal["none", "given_click", "entire_space"] = "given_click"
    """How purchases are learned: not at all, on clicked items alone, or over all impressions (ESMM)."""
    task_weights: Literal["fixed", "uncertainty"] = "fixed"
    """Fixed weights of click, ranking and purchase losses, or learned ones (Kendall et al. 2018)."""
    purchase_weight: float = 0.1
    """Weight of the purchase loss, where weights are fixed."""
    max_pairs: int = 6_500
    """Pairs seen in all; the one number that decides how long it takes (about 45 a second on 2 cores)."""
    items_per_query: int = 0
    """Items that a batch reads for a query, of those that the log tells something of. 0: 1 for a bi-encoder, whose
    contrast is the catalogue, so that every query comes often; 12 for a cross-encoder, whose contrast they are."""
    queries_per_batch: int = 0
    """Queries in a batch, over all processes; a bi-encoder contrasts each with the items of the others. 0: 32 for a
    bi-encoder, 8 for a cross-encoder."""
    contrast: int = 4_096
    """Items whose vectors, as last read, are further contrast in a bi-encoder's ranking loss 'softmax' or 'contrastive'
    (`encoders.tuning.stored`); 0 leaves the items of the batch."""
    anchor: float = 1.0
    """Pull of a bi-encoder's vectors towards what they were before training: this times 1 minus the mean cosine of
    both, over the queries and over the items of a batch. Not taken with a teacher, nor where no weight of the network
    learns."""
    accumulate: int = 1
    """Batches whose gradients are added before a step."""
    unshown_weight: float = 0.5
    """Weight in the ranking loss of an item that was not shown for the query."""
    bm25_negatives: int = 0
    """Hard negatives a query by shared words (extra `negatives`)."""
    mined_negatives: int = 0
    """Hard negatives a query that the encoder itself finds close."""
    learning_rate: float = 5e-5
    """Of the encoder's weights (AdamW); adapters want about ten times as much."""
    head_learning_rate: float = 5e-4
    """Of the layers on top."""
    layer_decay: float = 1.0
    """Each layer's rate is this times that of the layer above it."""
    warm_up: float = 0.1
    """Share of the steps over which the learning rate rises; then it falls linearly to zero."""
    weight_decay: float = 0.01
    """AdamW's, on matrices alone."""
    dropout: float | None = None
    """Dropout while training; None leaves what the model was made with."""
    keep: float = 0.0
    """Share of the weights before training in the average at the end, for ways 'all' and 'last' (Wortsman et al., CVPR
    2022): a second guard of what the model knew, beside `anchor`."""
    precision: Precision = "auto"
    """'auto' is bf16 where the GPU has it or the CPU multiplies it in hardware, else float32."""
    stop_early: float = 0.0
    """Share of the queries learned from that are kept back: where their loss no longer falls, training stops, and the
    best weights are kept. 0 learns from all of them to the end."""
    checks: int = 8
    """How often that loss is taken."""
    patience: int = 3
    """Checks without a better loss before training stops; the best weights are kept."""
    seed: int = 0
    """Seed of sampling, order and dropout; `finetune` puts its own here."""

    def sized(self, *, items_per_query: int, queries_per_batch: int) -> TuningConfig:
        """These settings, with the sizes of batches given where they are 0."""
        return replace(
            self,
            items_per_query=self.items_per_query or items_per_query,
            queries_per_batch=self.queries_per_batch or queries_per_batch,
        )

    def __post_init__(self) -> None:
        for name in ("max_pairs", "accumulate", "checks", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}", where="TuningConfig", mend="at least 1")
        for name in ("items_per_query", "queries_per_batch", "contrast", "anchor"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}", where="TuningConfig", mend="0 or more")
        for name in ("learning_rate", "head_learning_rate", "temperature", "layer_decay"):
            if not getattr(self, name) > 0.0:
                raise InputError(f"{name} is {getattr(self, name)}", where="TuningConfig", mend="above 0")
        if not 0.0 <= self.stop_early < 1.0:
            raise InputError(
                f"stop_early is {self.stop_early}", where="TuningConfig", mend="a share from 0, below 1"
            )
        if not 0.0 <= self.keep <= 1.0:
            raise InputError(f"keep is {self.keep}", where="TuningConfig", mend="a share from 0 to 1")
