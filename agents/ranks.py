"""Several processes that train one policy: each has users of its own, and gradients are averaged.

`torchrun` starts the processes ("ranks") and tells each its number through environment variables. A process on its own
is a group of one, for which everything here does nothing: learners need no second way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from behavior.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Ranks"]

T = TypeVar("T")

_PATIENCE = timedelta(hours=12)
"""How long a rank waits for the others. A rank that ends, for whatever reason, is noticed at once by its closed
connections; this is for one that stands still. Rank 0 may fine-tune a text encoder while the others wait."""


@dataclass(frozen=True)
class Ranks:
    """The group of processes that train together; use `alone` or `from_environment`.

    Every method but `alone` and `from_environment` is called by all ranks, in the same order.

    Raises:
        InputError: From any method, where another rank has stopped.
    """

    rank: int = 0
    """Number of this process, from 0. Rank 0 alone writes files, evaluates and logs."""
    size: int = 1
    """Processes."""
    local: int = 0
    """Number of this process on its machine: the index of its GPU, where there are any."""

    @classmethod
    def alone(cls) -> Ranks:
        """A group of one."""
        return cls()

    @classmethod
    def from_environment(cls) -> Ranks:
        """The group that `torchrun` started; a group of one where it did not.

        Tensors in main memory go by gloo, those on a GPU by NCCL.

        Raises:
            InputError: The other processes cannot be reached, or the variables are incomplete.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls.alone()
        import torch  # not at the top: `train.py` asks for its group before it reads its options
        from torch import distributed

        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            if not distributed.is_initialized():
                distributed.init_process_group(backend, timeout=_PATIENCE)
            local = int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))
        except (RuntimeError, ValueError, KeyError) as error:
            raise InputError(
                f"the {size} processes of this run cannot be joined: {error}",
                where="RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT",
                mend="start them with torchrun, which sets these variables",
            ) from None
        return cls(rank=distributed.get_rank(), size=distributed.get_world_size(), local=local)

    @property
    def first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def device(self, kind: str) -> str:
        """The device of this rank: `kind` itself, but where there are several ranks each has a GPU of its own.

        Raises:
            InputError: This machine has fewer GPUs than ranks.
        """
        if self.size == 1 or kind != "cuda":
            return kind
        import torch

        if self.local >= torch.cuda.device_count():
            raise InputError(
                f"process {self.local} of this machine finds {torch.cuda.device_count()} GPUs, and each needs its own",
                where="--nproc-per-node",
                mend="start as many processes as there are GPUs, or train with --device cpu",
            )
        torch.cuda.set_device(self.local)
        return f"cuda:{self.local}"

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by its mean over the ranks, in one message.

        Parameters without a gradient are passed over; they have to be the same ones on every rank.
        """
        if self.size == 1:
            return
        import torch

        gradients = [p.grad for p in parameters if p.grad is not None]
        joined = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self._sum(joined)
        joined /= self.size
        parts = torch.split(joined, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def moments(self, values: Tensor, dim: int | tuple[int, ...] | None = None) -> tuple[Tensor, Tensor]:
        """Mean and (population) standard deviation over `dim` and all ranks; all dimensions where it is None.

        Each rank gives as many values.
        """
        dims = tuple(range(values.dim())) if dim is None else dim
        mean = values.mean(dims, keepdim=True)
        if self.size > 1:
            self._sum(mean)
            mean /= self.size
        square = (values - mean).square().mean(dims)
        if self.size > 1:
            self._sum(square)
            square /= self.size
        return mean.reshape(square.shape), square.sqrt()

    def weight(self, count: Tensor) -> Tensor | float:
        """This rank's count relative to the mean over the ranks (1 where both are nothing).

        A loss that is a mean over `count` things (such as purchases per click) times this, averaged over the ranks,
        is the mean over the things of all ranks.
        """
        if self.size == 1:
            return 1.0
        mine = count.detach().clamp_min(1.0)
        mean = mine.clone()
        self._sum(mean)
        return mine * self.size / mean

    def total(self, values: Tensor) -> Tensor:
        """The sum of `values` over the ranks."""
        if self.size == 1:
            return values
        total = values.clone()
        self._sum(total)
        return total

    def any(self, flag: bool) -> bool:
        """Whether it is so on any rank."""
        return self.mean(float(flag)) > 0

    def mean(self, x: float) -> float:
        """The mean of a number over the ranks."""
        if self.size == 1:
            return x
        import torch

        total = torch.tensor([x], dtype=torch.float64)
        self._sum(total)
        return float(total) / self.size

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        self.mean(0.0)

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Rank 0 goes through the block first, then the others, who stop here where it raises."""
        if not self.first:
            self.barrier()
        yield
        if self.first:
            self.barrier()

    def share(self, value: T) -> T:
        """What rank 0 gives, on every rank."""
        if self.size == 1:
            return value
        from torch import distributed

        box = [value]
        with _peers_named():
            distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: T) -> list[T]:
        """What every rank gives, in their order, on rank 0; an empty list on the others."""
        if self.size == 1:
            return [value]
        from torch import distributed

        found: list[T | None] | None = [None] * self.size if self.first else None
        with _peers_named():
            distributed.gather_object(value, found, dst=0)
        return [entry for entry in found or [] if entry is not None]

    def close(self) -> None:
        """Leave the group."""
        if self.size == 1:
            return
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()

    def _sum(self, values: Tensor) -> None:
        from torch import distributed

        with _peers_named():
            distributed.all_reduce(values)


@contextmanager
def _peers_named() -> Iterator[None]:
    """A lost connection is the trace that another rank's end leaves: that rank's own message says why."""
    try:
        yield
    except RuntimeError as error:
        # Gloo's text begins with its own file and line.
        reason = re.sub(r"^\[\S+\] ", "", str(error).splitlines()[0]).strip(" .")
        raise InputError(
            f"another process of this run has stopped, so this one stops too ({reason})",
            where=f"rank {os.environ.get('RANK', '?')}",
            mend="see the message of the process that stopped first, then go on from the last checkpoint",
        ) from error
