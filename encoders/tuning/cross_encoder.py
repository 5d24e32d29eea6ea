"""A cross-encoder: query and item are read together, so that every word of one meets every word of the other.

Finer than dot products, and far dearer: each pair is a pass through the network, so it re-orders candidates, scores
pairs for reports, or teaches a bi-encoder. Two linear heads on the mean token state give

    click_logit, purchase_logit = W mean(states([CLS] query [SEP] item [SEP])) + b
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError
from behavior.files import atomic_folder
from encoders.batching import readable
from encoders.bert import BertEncoder
from encoders.groups import QueryGroup, draw_groups
from encoders.tuning.batches import PairLookup, draw_batches
from encoders.tuning.bi_encoder import digest_of, positive_weight_of
from encoders.tuning.config import TuningConfig
from encoders.tuning.examples import Examples
from encoders.tuning.negatives import hard_negatives
from encoders.tuning.objective import N_TASKS, Scores, Targets, batch_loss
from encoders.tuning.processes import encode_together
from encoders.tuning.trainer import History, WrapLoss, run_trainer
from encoders.tuning.ways import merged, prepared

__all__ = ["CrossEncoder", "tune_cross_encoder"]

_NAMES = ("hits", "misses", "purchases", "gain", "teacher", "shown")


class CrossEncoder:
    """Scores of (query, item) pairs from their texts.

    Args:
        encoder: Its network and tokenizer are used; `max_length` counts both texts together.
        weight: (2, D) of the click and the purchase head; zeros by default.
        bias: (2,).
    """

    def __init__(
        self,
        encoder: BertEncoder,
        weight: NDArray[np.float32] | None = None,
        bias: NDArray[np.float32] | None = None,
    ) -> None:
        self.encoder = encoder
        self.weight = np.zeros((2, encoder.width), np.float32) if weight is None else weight
        self.bias = np.zeros(2, np.float32) if bias is None else bias

    def tokenize(self, queries: Sequence[str], items: Sequence[str]) -> dict[str, torch.Tensor]:
        """Token tensors of the pairs, on the CPU, each (n, L)."""
        batch = self.encoder.tokenizer(
            readable(queries, self.encoder.max_length),
            readable(items, self.encoder.max_length),
            padding=True,
            truncation=True,
            max_length=self.encoder.max_length,
            return_tensors="pt",
        )
        return dict(batch)

    def score(
        self, queries: Sequence[str], items: Sequence[str], *, progress: bool = True
    ) -> NDArray[np.float32]:
        """Logits (n, 2) of a click, and of a purchase given one, of the pairs (queries[n], items[n])."""
        model, device, size = self.encoder.model, self.encoder.device, self.encoder.batch_size
        out = np.zeros((len(queries), 2), np.float32)
        order = sorted(range(len(queries)), key=lambda row: len(queries[row]) + len(items[row]))
        model.eval()
        bar = tqdm(
            total=len(order), desc="score", unit="pair", leave=False, disable=None if progress else True
        )
        with torch.inference_mode(), bar:
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                tokens = self.tokenize([queries[row] for row in rows], [items[row] for row in rows])
                states = mean_states(model, {name: value.to(device) for name, value in tokens.items()})
                out[rows] = states.float().cpu().numpy() @ self.weight.T + self.bias
                bar.update(len(rows))
        return out

    def save(self, folder: Path | str) -> None:
        """Write the model to `folder`; it appears whole or not at all."""
        from safetensors.numpy import save_file

        with atomic_folder(Path(folder)) as target:
            self.encoder.save(target / "encoder")
            save_file({"weight": self.weight, "bias": self.bias}, target / "heads.safetensors")
            description = {"format": 1, "kind": "cross", "max_length": self.encoder.max_length}
            (target / "cross.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str, *, device: str = "auto") -> CrossEncoder:
        """Read what `save` wrote.

        Raises:
            InputError: The folder is missing, damaged or holds something else.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        try:
            description = json.loads((folder / "cross.json").read_text(encoding="utf-8"))
            max_length = int(description["max_length"])
            heads = load_file(folder / "heads.safetensors")
            weight, bias = heads["weight"], heads["bias"]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise InputError(
                f"no readable cross-encoder: {type(error).__name__}: {error}",
                where=str(folder),
                mend="give the folder that `python -m encoders finetune --kind cross` wrote",
            ) from error
        return cls(BertEncoder(folder / "encoder", device=device, max_length=max_length), weight, bias)


def mean_states(bert: Any, tokens: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean of the token states under the attention mask (n, D)."""
    states = bert(**tokens).last_hidden_state  # (n, L, D)
    mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
    mean: torch.Tensor = (states * mask).sum(1) / mask.sum(1).clamp(min=1.0)
    return mean


class _CrossModule(torch.nn.Module):
    """Network and heads, giving the loss of a batch of lists."""

    def __init__(
        self, bert: Any, cross: CrossEncoder, config: TuningConfig, *, positive_weight: float, distil: bool
    ) -> None:
        super().__init__()
        self.bert = bert
        self.weight = torch.nn.Parameter(torch.from_numpy(cross.weight.copy()))
        self.bias = torch.nn.Parameter(torch.from_numpy(cross.bias.copy()))
        uncertain = config.task_weights == "uncertainty"
        self.log_variance = torch.nn.Parameter(torch.zeros(N_TASKS)) if uncertain else None
        self.settings, self.positive_weight, self.distil = config, positive_weight, distil

    def forward(
        self,
        tokens: dict[str, torch.Tensor],  # (n, L)
        row: torch.Tensor,  # (n,) list of each pair
        column: torch.Tensor,  # (n,) its place there
        targets: dict[str, torch.Tensor],  # each (G, U)
    ) -> dict[str, torch.Tensor]:
        states = encode_together(lambda part: mean_states(self.bert, part), tokens).float()
        logit = states @ self.weight.T + self.bias  # (n, 2)
        shape = targets["shown"].shape
        click = logit.new_zeros(shape).index_put((row, column), logit[:, 0])
        purchase = logit.new_zeros(shape).index_put((row, column), logit[:, 1])
        present = logit.new_zeros(shape).index_put((row, column), torch.ones_like(logit[:, 0]))
        loss = batch_loss(
            Scores(click=click, purchase=purchase, ranking=click),
            Targets(**targets, present=present),
            self.settings,
            positive_weight=self.positive_weight,
            distil=self.distil,
            log_variance=self.log_variance,
        )
        return {"loss": loss}


class _Collate:
    """Groups to the arguments of `_CrossModule.forward`: each query with its own items only."""

    def __init__(self, cross: CrossEncoder, examples: Examples) -> None:
        self.cross, self.examples, self.lookup = cross, examples, PairLookup(examples)

    def __call__(self, groups: Sequence[QueryGroup]) -> dict[str, Any]:
        width = max(len(group.items) for group in groups)
        targets = {name: torch.zeros((len(groups), width)) for name in _NAMES}
        row, column, queries, items = [], [], [], []
        for g, group in enumerate(groups):
            known = self.lookup.lists([group])
            for name in _NAMES:
                targets[name][g, : len(known.item)] = getattr(known, name)[0]
            for u, item in enumerate(known.item):
                row.append(g)
                column.append(u)
                queries.append(self.examples.queries[group.query])
                items.append(self.examples.items[item])
        return {
            "tokens": self.cross.tokenize(queries, items),
            "row": torch.tensor(row),
            "column": torch.tensor(column),
            "targets": targets,
        }


def tune_cross_encoder(
    encoder: BertEncoder,
    examples: Examples,
    config: TuningConfig | None = None,
    *,
    valid: Examples | None = None,
    wrap_loss: WrapLoss | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> tuple[CrossEncoder, History]:
    """Fine-tune a copy of `encoder` into a cross-encoder.

    The arguments and errors are those of `encoders.tuning.bi_encoder.tune_bi_encoder`; weights are not averaged with
    those before training, since those never saw two texts at once.
    """
    config = (config or TuningConfig()).sized(items_per_query=12, queries_per_batch=8)
    examples.check()
    tuned = copy.copy(encoder)
    tuned.model = copy.deepcopy(encoder.model)
    start = CrossEncoder(tuned, bias=_base_rates(examples))
    groups = draw_batches(examples, config, hard_negatives(encoder, examples, config, progress=progress))
    judged: list[QueryGroup] = []
    if valid is not None:
        valid.check()
        judged = draw_groups(
            valid.pairs, max_pairs=config.max_pairs, items_per_query=config.items_per_query, seed=config.seed
        )
    bert = prepared(tuned.model, config)
    module = _CrossModule(
        bert,
        start,
        config,
        positive_weight=positive_weight_of(examples, config),
        distil=examples.teacher is not None,
    )
    history = run_trainer(
        module,
        bert,
        groups,
        _Collate(start, examples),
        config,
        device=encoder.device,
        valid=judged,
        valid_collate=None if valid is None else _Collate(start, valid),
        wrap_loss=wrap_loss,
        folder=folder,
        fingerprint=f"cross\0{digest_of(encoder.fingerprint, examples)}",
        progress=progress,
    )
    tuned.model = merged(module.bert, config).to(encoder.device).eval()
    tuned.weights_changed()
    weight, bias = (value.detach().cpu().numpy().copy() for value in (module.weight, module.bias))
    return CrossEncoder(tuned, weight, bias), history


def _base_rates(examples: Examples) -> NDArray[np.float32]:
    pairs = examples.pairs
    clicks, bought = pairs.clicks.sum(), pairs.purchases.sum()
    odds = (clicks + 0.5) / (pairs.misses.sum() + 0.5), (bought + 0.5) / (clicks - bought + 0.5)
    return np.array(np.log(odds), np.float32)
