"""Sharing the encoding of a batch among processes, so that several learn exactly what one would.

Every process holds the whole batch and encodes a share of its texts; the vectors are exchanged, with gradients, and
each process takes the loss of the whole batch. The backward pass of the exchange adds what all processes sent, once for
each of them, and `DistributedDataParallel` takes the mean over processes: together, the gradient of one process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["encode_together"]


def encode_together(
    encode: Callable[[dict[str, torch.Tensor]], torch.Tensor], tokens: dict[str, torch.Tensor]
) -> torch.Tensor:
    """`encode(tokens)`, shape (n, ...), the rows shared out among processes where there are several.

    Args:
        encode: Token tensors (n, L) -> (n, ...).
        tokens: The same in every process.
    """
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    world = torch.distributed.get_world_size() if distributed else 1
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
    return torch.cat(list(gather(part)))[:n]
