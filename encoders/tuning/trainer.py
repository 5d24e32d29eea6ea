"""The training loop of every way of fine-tuning: the Hugging Face Trainer, told what we need of it.

Under `torchrun` or `accelerate launch` every process walks the same batches, encodes its share of their texts and
exchanges the vectors, so that many processes learn what one would (`encoders.tuning.processes`).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from behavior.errors import InputError
from behavior.files import atomic_path
from encoders.groups import QueryGroup
from encoders.tuning.config import Precision, TuningConfig
from encoders.tuning.memory import is_out_of_memory, refuse_batch
from encoders.tuning.processes import share_weights, warn_if_alone
from encoders.tuning.ways import parameter_groups

__all__ = ["Collate", "History", "WrapLoss", "has_fast_bf16", "run_trainer"]

Collate = Callable[[Sequence[QueryGroup]], dict[str, Any]]
"""Groups -> the arguments of the module's `forward`."""

WrapLoss = Callable[[torch.nn.Module, Callable[[], torch.Tensor]], torch.Tensor]
"""(token embeddings of the network, the loss to be run) -> the loss to be minimised. It may run the loss again at other
embeddings: adversarial training hooks in here."""

_RUN = "tuning.json"


@dataclass(frozen=True, kw_only=True)
class History:
    """What happened in training."""

    steps: int
    """Steps of the optimiser that were taken."""
    planned: int
    """Steps that there would have been without early stopping."""
    train_loss: tuple[tuple[int, float], ...]
    """(step, loss) of training batches."""
    held_out_loss: tuple[tuple[int, float], ...]
    """(step, loss) on the held-out examples; empty where none were given."""


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bf16 products are done in hardware: on the GPU, or by the CPU's AMX or AVX-512 units."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = torch.cpu.get_capabilities()
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))


def run_trainer(
    module: torch.nn.Module,
    bert: Any,
    groups: Sequence[QueryGroup],
    collate: Collate,
    config: TuningConfig,
    *,
    device: torch.device,
    valid: Sequence[QueryGroup] = (),
    valid_collate: Collate | None = None,
    wrap_loss: WrapLoss | None = None,
    folder: Path | None = None,
    fingerprint: str = "",
    progress: bool = True,
) -> History:
    """Train `module` in place, one pass over `groups` in their order.

    Args:
        module: `forward(**collate(groups))` gives {"loss": ...}.
        bert: The network inside it, as `encoders.tuning.ways.prepared` gave it.
        groups: Training groups, `config.queries_per_batch` a batch.
        collate: Makes a batch.
        config: Rates, steps, precision, early stopping.
        device: Where to train.
        valid: Held-out groups; with them, training stops early and the best weights are kept.
        valid_collate: Makes a batch of those.
        wrap_loss: See `WrapLoss`.
        folder: For TensorBoard and checkpoints; a stopped run that is started again with the same folder, data and
            settings goes on from its last checkpoint. None writes nothing.
        fingerprint: Of model and data: a folder of another run is refused.
        progress: Show a bar.

    Raises:
        InputError: A library is missing, the folder belongs to another run, or memory does not suffice (the message
            says which batch size would do).
    """
    if importlib.util.find_spec("accelerate") is None:
        raise InputError("fine-tuning BERT needs the library accelerate", mend="pip install -e '.[bert]'")
    from encoders.tuning.callbacks import progress_bar, record, tensorboard
    from encoders.tuning.hugging_face import make_trainer

    warn_if_alone()
    n_batches = -(-len(groups) // config.queries_per_batch)
    n_steps = -(-n_batches // config.accumulate)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_global_randomness_kept())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory())) if folder is None else folder
        start = None if folder is None else _claim(folder, config, fingerprint)
        seen, callback = record()
        callbacks = [callback, progress_bar(n_steps, progress)]
        if folder is not None:
            callbacks.append(tensorboard(folder))
        trainer = make_trainer(
            module,
            embedding=bert.get_input_embeddings(),
            optimiser_groups=parameter_groups(module, bert, config),
            groups=groups,
            collate=collate,
            valid=valid,
            valid_collate=valid_collate or collate,
            wrap_loss=wrap_loss,
            config=config,
            n_steps=n_steps,
            home=home,
            checkpoints=folder is not None,
            on_cpu=device.type == "cpu",
            bf16=_bf16(config.precision, device),
            callbacks=callbacks,
        )
        try:
            trainer.train(resume_from_checkpoint=start)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            refuse_batch(module, collate, groups, config, trainer.args.device, error)
        if valid:
            share_weights(module)
    return History(
        steps=int(trainer.state.global_step),
        planned=n_steps,
        train_loss=tuple(seen["loss"]),
        held_out_loss=tuple(seen["eval_loss"]),
    )


def _bf16(precision: Precision, device: torch.device) -> bool:
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise InputError("this GPU has no bf16", where="TuningConfig.precision", mend="auto or float32")
    return precision == "bf16" or (precision == "auto" and has_fast_bf16(device))


def _claim(folder: Path, config: TuningConfig, fingerprint: str) -> str | None:
    """Mark the folder as this run's, and give the checkpoint to go on from, if there is one."""
    from transformers.trainer_utils import get_last_checkpoint

    folder.mkdir(parents=True, exist_ok=True)
    run = {
        "config": asdict(config),
        "model and data": hashlib.sha256(fingerprint.encode()).hexdigest(),
    }
    mark = folder / _RUN
    if mark.is_file():
        try:
            known = json.loads(mark.read_text(encoding="utf-8"))
        except ValueError:
            known = None
        if known != json.loads(json.dumps(run)):
            raise InputError(
                "the folder holds a fine-tuning of other settings, data or model",
                where=str(folder),
                mend="give another folder, or the same settings to go on with that one",
            )
    else:
        with atomic_path(mark) as temporary:
            temporary.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    found: str | None = get_last_checkpoint(str(folder))
    return found


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
