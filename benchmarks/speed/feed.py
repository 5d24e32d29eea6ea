"""`DeviceFeed`: a batched core whose observations arrive on a device while the next step is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs.core import SlateCore
from envs.fused import FusedEngine
from envs.observation import Observation
from envs.results import StepResult

__all__ = ["DeviceFeed"]

_ALIGN = 64  # bytes
_SLABS = 3  # one being written, one being copied, one to spare


class DeviceFeed:
    """Steps a core and sends its observations to `device`, one block of memory a step.

    The core writes straight into page-locked memory, of which there are three blocks in turn; a stream of its own
    copies a block to the device while the cores compute the next step. Nothing is copied on the processor.

    Args:
        core: Freshly made, of a world and task that the one-pass engine takes.
        device: Where observations go; a processor works too, without any overlap (a dry run).

    Raises:
        TypeError: The core does not use the one-pass engine, whose outputs can be redirected.
    """

    def __init__(self, core: SlateCore, device: torch.device) -> None:
        engine = core._engine
        if not isinstance(engine, FusedEngine):
            raise TypeError(f"the feed needs a core on FusedEngine, found {type(engine).__name__}")
        self.core, self.device = core, device
        task = core.task
        shape = (
            core.n_users,
            core.world.simulator.context_size,
            task.n_candidates,
            task.slate_size,
            task.history,
            task.memory,
        )
        self._fields = [
            (name, array.shape, array.dtype) for name, array in Observation.empty(*shape).as_dict().items()
        ]
        sizes = [int(np.prod(kept)) * kind.itemsize for _, kept, kind in self._fields]
        self._offsets = np.cumsum([0, *(-(-size // _ALIGN) * _ALIGN for size in sizes)]).tolist()
        self.bytes = self._offsets[-1]
        cuda = device.type == "cuda"
        self._slabs = [torch.empty(self.bytes, dtype=torch.uint8, pin_memory=cuda) for _ in range(_SLABS)]
        self._there = [torch.empty(self.bytes, dtype=torch.uint8, device=device) for _ in range(_SLABS)]
        self._stream = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]
        event: Any = torch.cuda.Event
        self._copied: list[Any] = [event() if cuda else None for _ in range(_SLABS)]
        self._at = 0
        self._used = [False] * _SLABS
        engine.new_observation = self._next

    def _next(
        self, n_users: int, context: int, n_candidates: int, slate_size: int, history: int, memory: int = 0
    ) -> Observation:
        """The arrays of the next block, once its last copy has left it."""
        self._at = (self._at + 1) % _SLABS
        if self._stream is not None and self._used[self._at]:
            self._copied[self._at].synchronize()
        return self._view(self._slabs[self._at].numpy())

    def _view(self, slab: NDArray[np.uint8]) -> Observation:
        arrays = {}
        for (name, shape, kind), start in zip(self._fields, self._offsets, strict=False):
            size = int(np.prod(shape)) * kind.itemsize
            arrays[name] = slab[start : start + size].view(kind).reshape(shape)
        return Observation.from_dict(arrays)

    def step(self, actions: NDArray[np.int64]) -> StepResult:
        """Advance all users and begin to send what they see."""
        found = self.core.step(actions)
        at = self._at
        if self._stream is None:
            self._there[at].copy_(self._slabs[at])
        else:
            with torch.cuda.stream(self._stream):
                self._there[at].copy_(self._slabs[at], non_blocking=True)
                self._copied[at].record(self._stream)
        self._used[at] = True
        return found

    def wait(self) -> None:
        """Until everything has arrived."""
        if self._stream is not None:
            self._stream.synchronize()

    def arrived(self) -> Observation:
        """What lies on the device of the last step, fetched back: for checks."""
        self.wait()
        return self._view(self._there[self._at].cpu().numpy())
