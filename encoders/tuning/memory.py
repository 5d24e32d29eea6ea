"""When memory does not suffice: find out which batch would fit, and say so."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch

from behavior.errors import InputError
from encoders.groups import QueryGroup
from encoders.tuning.config import TuningConfig

__all__ = ["batch_that_fits", "is_out_of_memory", "refuse_batch"]

_SAID = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, on the CPU or the GPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _SAID)


def batch_that_fits(attempt: Callable[[int], None], size: int) -> int:
    """The largest of size/2, size/4, ... 1 for which `attempt` does not run out of memory; 0 if none does.

    Args:
        attempt: Tries a batch of so many queries.
        size: What did not fit.
    """
    gc.collect()
    while size > 1:
        size //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            attempt(size)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            continue
        return size
    return 0


def refuse_batch(
    module: torch.nn.Module,
    collate: Callable[[Sequence[QueryGroup]], dict[str, Any]],
    groups: Sequence[QueryGroup],
    config: TuningConfig,
    device: torch.device,
    error: BaseException,
) -> NoReturn:
    """Raise an error that says which batch size would do, found by trying."""
    # The frames that ran out of memory still hold all that filled it: smaller batches would not fit either.
    traceback.clear_frames(error.__traceback__)

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: moved(entry) for name, entry in value.items()}
        return value.to(device) if isinstance(value, torch.Tensor) else value

    # The longest texts and most items decide.
    largest = sorted(groups, key=lambda group: -len(group.items))

    def attempt(size: int) -> None:
        module.zero_grad(set_to_none=True)
        module(**moved(collate(largest[:size])))["loss"].backward()

    asked = min(config.queries_per_batch, len(groups))
    fits = batch_that_fits(attempt, asked)
    if fits:
        mend = (
            f"queries_per_batch {fits} fits; with accumulate {-(-asked // fits)} a step sees as many queries"
        )
    else:
        mend = "not even one query fits: fewer items_per_query, a shorter max_length, way 'head', or a smaller model"
    raise InputError(
        f"memory does not suffice for {asked} queries of up to {config.items_per_query} items a batch",
        where="TuningConfig.queries_per_batch",
        mend=mend,
    ) from error
