"""Sharing the encoding of a batch among processes, so that several learn exactly what one would.

Every process holds the whole batch and encodes a share of its texts; the vectors are exchanged, with gradients, and
each process takes the loss of the whole batch. The backward pass of the exchange adds what all processes sent, once for
each of them, and `DistributedDataParallel` takes the mean over processes: together, the gradient of one process.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["encode_together", "share_weights", "warn_if_alone"]


def encode_together(
    encode: Callable[[dict[str, torch.Tensor]], torch.Tensor], tokens: dict[str, torch.Tensor]
) -> torch.Tensor:
    """`encode(tokens)`, shape (n, ...), the rows shared out among processes where there are several.

    Args:
        encode: Token tensors (n, L) -> (n, ...).
        tokens: The same in every process.
    """
    world = _world()
    if world == 1:
        return encode(tokens)
    from torch.distributed.nn.functional import all_gather

    n = next(iter(tokens.values())).shape[0]
    each = -(-n // world)
    first = torch.distributed.get_rank() * each
    # Everybody must send equally many: the last shares begin again at the first text, and are cut off below.
    rows = torch.arange(first, first + each) % n
    part = encode({name: value[rows.to(value.device)] for name, value in tokens.items()})
    gather: Any = all_gather
    with warnings.catch_warnings():
        # Its successor is not public yet.
        warnings.filterwarnings("ignore", message=".*all_gather is deprecated.*", category=FutureWarning)
        return torch.cat(list(gather(part)))[:n]


def share_weights(module: torch.nn.Module) -> None:
    """Give every process the weights of the first: it alone read the best checkpoint, if it alone has the folder."""
    if _world() > 1:
        for tensor in module.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)


def warn_if_alone() -> None:
    """Say so where `accelerate launch` was asked for several processes and started one.

    Without a GPU it starts one, unless it has MPI, and says nothing.
    """
    known = os.environ
    launched = "ACCELERATE_USE_CPU" in known and "MASTER_ADDR" in known  # the address of several processes
    if launched and not any(name.endswith("RANK") for name in known):
        warnings.warn(
            "accelerate launch was asked for several processes and started one; without a GPU, several are started by "
            "torchrun --nproc-per-node 2 -m encoders ..., or by accelerate launch --multi_gpu --num_processes 2 ...",
            UserWarning,
            stacklevel=2,
        )


def _world() -> int:
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if distributed else 1
