"""Fine-tuning the BERT itself with the Hugging Face Trainer, on groups of one query and its items."""

from __future__ import annotations

import contextlib
import importlib.util
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from behavior.errors import InputError
from encoders.bert import BertEncoder, pool
from encoders.groups import QueryGroup, draw_groups
from encoders.pairs import PairCounts
from encoders.relevance import Heads

__all__ = ["TowerConfig", "train_tower"]


@dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """How the weights of the encoder are trained.

    Loss per batch: the pointwise logistic loss of both heads on examined impressions, plus `ranking_weight` times
    the cross-entropy between a query's debiased click rates and the softmax of `cosine / temperature` over all items
    of the batch; items of other queries count `unshown_weight` each. The listwise term has a temperature of its own
    because the scale that calibrates clicks is far too flat to rank a catalogue by.

    In the end the weights are averaged with those before training: that keeps what the pretrained model knows of
    queries the log says little about (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
    """

    max_pairs: int = 6_500
    """Pairs seen in all; the one number that decides how long it takes."""
    items_per_query: int = 12
    """Items that share one encoding of their query."""
    queries_per_batch: int = 8
    """Queries in a batch."""
    learning_rate: float = 5e-5
    """AdamW's, after a warm-up over a tenth of the steps, falling linearly to zero."""
    ranking_weight: float = 1.0
    """Weight of the listwise term."""
    temperature: float = 0.05
    """Of the softmax over cosines, as sentence encoders are trained with."""
    keep: float = 0.6
    """Share of the weights before training in the average at the end."""
    unshown_weight: float = 0.5
    """Weight of an item of the batch that was not shown for the query, in the softmax."""
    seed: int = 0
    """Seed of sampling, order and dropout."""


class _Tower(torch.nn.Module):
    """The encoder and the two heads, giving the loss of a batch."""

    def __init__(self, bert: Any, heads: Heads, config: TowerConfig) -> None:
        super().__init__()
        self.bert = bert
        self.weight = torch.nn.Parameter(
            torch.from_numpy(np.stack([heads.click_weight, heads.purchase_weight]))
        )
        self.bias = torch.nn.Parameter(torch.tensor(heads.bias, dtype=torch.float32))
        self.ranking_weight, self.temperature = config.ranking_weight, config.temperature
        self.log_unshown = float(np.log(max(config.unshown_weight, 1e-6)))

    def forward(
        self,
        query_tokens: dict[str, torch.Tensor],  # (G, L)
        item_tokens: dict[str, torch.Tensor],  # (U, L')
        counts: torch.Tensor,  # (3, G, U) hits, misses, purchases
        target: torch.Tensor,  # (G, U) share of the query's debiased clicks
    ) -> dict[str, torch.Tensor]:
        q, i = pool(self.bert, query_tokens), pool(self.bert, item_tokens)  # (G, D), (U, D)
        hits, misses, bought = counts
        click = (q * self.weight[0]) @ i.T  # (G, U)
        buy = (q * self.weight[1]) @ i.T + self.bias[1]
        softplus = torch.nn.functional.softplus
        observed = click + self.bias[0]
        pointwise = (hits * softplus(-observed) + misses * softplus(observed)).sum() / (hits + misses).sum()
        purchase = (bought * softplus(-buy) + (hits - bought) * softplus(buy)).sum() / hits.sum().clamp(
            min=1.0
        )
        shown = (hits + misses) > 0
        offset = torch.where(shown, 0.0, self.log_unshown)
        log_share = torch.log_softmax(q @ i.T / self.temperature + offset, dim=1)  # (G, U)
        ranking = -(target * log_share).sum(1).mean()
        return {"loss": pointwise + 0.1 * purchase + self.ranking_weight * ranking}


class _Collate:
    """Groups to one batch: the union of their items, and every count the log has between these queries and items."""

    def __init__(
        self, encoder: BertEncoder, queries: Sequence[str], items: Sequence[str], pairs: PairCounts
    ) -> None:
        self.encoder, self.queries, self.items = encoder, queries, items
        values = np.stack([pairs.clicks, pairs.misses, pairs.purchases, pairs.click_rate()], axis=1)
        self.known = {
            (int(q), int(i)): row
            for q, i, row in zip(pairs.query, pairs.item, values.astype(np.float32), strict=True)
        }

    def __call__(self, groups: Sequence[QueryGroup]) -> dict[str, Any]:
        queries = list(dict.fromkeys(group.query for group in groups))
        items = list(dict.fromkeys(item for group in groups for item in group.items))
        table = np.zeros((4, len(queries), len(items)), np.float32)
        for g, query in enumerate(queries):
            for u, item in enumerate(items):
                row = self.known.get((query, item))
                if row is not None:
                    table[:, g, u] = row
        rate = table[3] * (table[0] > 0)
        target = rate / np.maximum(rate.sum(axis=1, keepdims=True), 1e-12)
        return {
            "query_tokens": self.encoder.tokenize([self.queries[q] for q in queries]),
            "item_tokens": self.encoder.tokenize([self.items[i] for i in items]),
            "counts": torch.from_numpy(table[:3]),
            "target": torch.from_numpy(target),
        }


def train_tower(
    encoder: BertEncoder,
    heads: Heads,
    queries: Sequence[str],
    items: Sequence[str],
    pairs: PairCounts,
    config: TowerConfig,
    *,
    progress: bool = True,
) -> Heads:
    """Train the weights of `encoder` in place, and return the heads learned with them.

    Args:
        encoder: A BERT.
        heads: Calibrated heads to start from; their projection must be the identity.
        queries: Query texts (Q).
        items: Item texts (I).
        pairs: Training pairs; none of an empty query.
        config: Sampling, loss and optimiser.
        progress: Show a bar.
    """
    if importlib.util.find_spec("accelerate") is None:
        raise InputError("fine-tuning BERT needs the library accelerate", mend="pip install -e '.[bert]'")
    groups: list[QueryGroup] = draw_groups(
        pairs, max_pairs=config.max_pairs, items_per_query=config.items_per_query, seed=config.seed
    )
    if not groups:
        return heads
    from transformers import Trainer, TrainingArguments

    before = {name: tensor.detach().cpu().clone() for name, tensor in encoder.model.state_dict().items()}
    tower = _Tower(encoder.model, heads, config)
    with _global_randomness_kept(), tempfile.TemporaryDirectory() as folder:
        n_steps = -(-len(groups) // config.queries_per_batch)
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=config.queries_per_batch,
            num_train_epochs=1,
            learning_rate=config.learning_rate,
            warmup_steps=n_steps // 10,
            lr_scheduler_type="linear",
            weight_decay=0.01,
            seed=config.seed % 2**32,
            data_seed=config.seed % 2**32,
            use_cpu=encoder.device.type == "cpu",
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            disable_tqdm=True,
        )
        bar = _bar(n_steps, progress)
        trainer = Trainer(
            model=tower,
            args=arguments,
            train_dataset=groups,
            data_collator=_Collate(encoder, queries, items, pairs),
            callbacks=[bar],
        )
        trainer.remove_callback(_printer())
        trainer.train()
    encoder.model.to(encoder.device).eval()
    with torch.no_grad():
        for name, tensor in encoder.model.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(before[name].to(tensor.device), config.keep)
    encoder.weights_changed()
    weight = tower.weight.detach().cpu().numpy()
    return replace(
        heads,
        click_weight=weight[0].copy(),
        purchase_weight=weight[1].copy(),
        bias=tower.bias.detach().cpu().numpy().astype(np.float64),
    )


def _printer() -> Any:
    """The callback that prints a line of metrics at the end; what we report, we report ourselves."""
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


def _bar(n_steps: int, progress: bool) -> Any:
    from tqdm import tqdm
    from transformers import TrainerCallback

    class _Bar(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar = tqdm(total=n_steps, desc="fine-tune", leave=False, disable=None if progress else True)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.update()

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.close()

    return _Bar()


@contextlib.contextmanager
def _global_randomness_kept() -> Iterator[None]:
    """The Trainer seeds the global generators; afterwards they are as they were."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
