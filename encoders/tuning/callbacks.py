"""Callbacks of the Hugging Face Trainer: a progress bar, the losses kept, TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

__all__ = ["progress_bar", "record", "tensorboard"]


class _Bar(TrainerCallback):  # type: ignore[misc]
    def __init__(self, n_steps: int, progress: bool) -> None:
        self.n_steps, self.progress = n_steps, progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        off = None if self.progress and state.is_world_process_zero else True
        self.bar = tqdm(
            total=self.n_steps, initial=state.global_step, desc="fine-tune", leave=False, disable=off
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.update()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.close()


class _Record(TrainerCallback):  # type: ignore[misc]
    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[int, float]]] = {"loss": [], "eval_loss": []}

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        for name, found in self.seen.items():
            if logs and name in logs:
                found.append((int(state.global_step), float(logs[name])))


def progress_bar(n_steps: int, progress: bool) -> TrainerCallback:
    """A bar over the steps, in the first process, on a terminal."""
    return _Bar(n_steps, progress)


def record() -> tuple[dict[str, list[tuple[int, float]]], TrainerCallback]:
    """A table of (step, value) for `loss` and `eval_loss`, and the callback that fills it."""
    callback = _Record()
    return callback.seen, callback


def tensorboard(folder: Path) -> TrainerCallback:
    """Loss, held-out loss, learning rate and size of the gradient, into `folder`."""
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    class _Lazy(TensorBoardCallback):  # type: ignore[misc]
        # Only the first process writes; the writer opens its file when it is made.
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                self.tb_writer = SummaryWriter(str(folder))
            # The base class would write all of its own settings as text.

        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
        ) -> None:
            if self.tb_writer is None or not logs:
                return
            for name, value in logs.items():
                place = f"finetune/{'held_out_loss' if name == 'eval_loss' else name}"
                if isinstance(value, (int, float)) and name != "epoch":
                    self.tb_writer.add_scalar(place, value, state.global_step)
            self.tb_writer.flush()

    return _Lazy()
