"""The Trainer of Hugging Face with our batches, our groups of parameters, our evaluation and a hook at the loss."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from encoders.groups import QueryGroup
from encoders.tuning.config import TuningConfig

__all__ = ["make_trainer"]


class _Trainer(Trainer):  # type: ignore[misc]
    # The loss is a mean of the batch: the Trainer divides it by the number of batches a step.
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        *,
        embedding: torch.nn.Module,
        optimiser_groups: list[dict[str, Any]],
        valid: Sequence[QueryGroup],
        valid_collate: Callable[[Sequence[QueryGroup]], dict[str, Any]],
        wrap_loss: Any,
        queries_per_batch: int,
        **rest: Any,
    ) -> None:
        self._embedding, self._optimiser_groups = embedding, optimiser_groups
        self._valid, self._valid_collate = valid, valid_collate
        self._wrap_loss, self._queries_per_batch = wrap_loss, queries_per_batch
        super().__init__(**rest)

    def get_train_dataloader(self) -> DataLoader[Any]:
        # Not sharded: every process sees the whole batch and encodes its share of the texts. In order: groups were
        # drawn at random, and a resumed run skips those it has had.
        return DataLoader(
            self.train_dataset, batch_size=self._queries_per_batch, collate_fn=self.data_collator
        )

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(self._optimiser_groups)
        return self.optimizer

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        def run() -> torch.Tensor:
            loss: torch.Tensor = model(**inputs)["loss"]
            return loss

        return run() if self._wrap_loss is None else self._wrap_loss(self._embedding, run)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        batches: DataLoader[Any] = DataLoader(
            self._valid,  # type: ignore[arg-type]
            batch_size=self._queries_per_batch,
            collate_fn=self._valid_collate,
        )
        was_training = self.model.training
        self.model.eval()
        total = 0.0
        with torch.no_grad():
            for number, batch in enumerate(batches):
                size = min(self._queries_per_batch, len(self._valid) - number * self._queries_per_batch)
                total += size * float(self.model(**self._prepare_inputs(batch))["loss"])
        self.model.train(was_training)
        metrics = {"eval_loss": total / len(self._valid)}
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def make_trainer(
    module: torch.nn.Module,
    *,
    embedding: torch.nn.Module,
    optimiser_groups: list[dict[str, Any]],
    groups: Sequence[QueryGroup],
    collate: Callable[[Sequence[QueryGroup]], dict[str, Any]],
    valid: Sequence[QueryGroup],
    valid_collate: Callable[[Sequence[QueryGroup]], dict[str, Any]],
    wrap_loss: Any,
    config: TuningConfig,
    n_steps: int,
    home: Path,
    checkpoints: bool,
    on_cpu: bool,
    bf16: bool,
    callbacks: list[Any],
) -> Trainer:
    """The Trainer of one run; see `encoders.tuning.trainer.run_trainer` for what the arguments mean."""
    every = max(1, n_steps // config.checks)
    saves = checkpoints or bool(valid)
    arguments = TrainingArguments(
        output_dir=str(home),
        per_device_train_batch_size=config.queries_per_batch,
        gradient_accumulation_steps=config.accumulate,
        num_train_epochs=1,
        learning_rate=config.learning_rate,
        warmup_steps=round(config.warm_up * n_steps),
        lr_scheduler_type="linear",
        seed=config.seed % 2**32,
        data_seed=config.seed % 2**32,
        use_cpu=on_cpu,
        # Named only where there are several processes: it would be asked for at once.
        ddp_backend="gloo" if on_cpu and int(os.environ.get("WORLD_SIZE", "1")) > 1 else None,
        bf16=bf16,
        report_to="none",
        logging_strategy="steps",
        logging_steps=max(1, n_steps // 50),
        eval_strategy="steps" if valid else "no",
        eval_steps=every if valid else None,
        save_strategy="steps" if saves else "no",
        save_steps=every,
        save_total_limit=2 if valid else 1,
        load_best_model_at_end=bool(valid),
        metric_for_best_model="eval_loss" if valid else None,
        greater_is_better=False if valid else None,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
    )
    if valid:
        callbacks = [*callbacks, EarlyStoppingCallback(early_stopping_patience=config.patience)]
    trainer = _Trainer(
        embedding=embedding,
        optimiser_groups=optimiser_groups,
        valid=valid,
        valid_collate=valid_collate,
        wrap_loss=wrap_loss,
        queries_per_batch=config.queries_per_batch,
        model=module,
        args=arguments,
        train_dataset=groups,
        eval_dataset=valid or None,
        data_collator=collate,
        callbacks=callbacks,
    )
    # It prints a line of metrics at the end; what we report, we report ourselves.
    trainer.remove_callback(PrinterCallback)
    return trainer
