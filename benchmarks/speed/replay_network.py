"""The network of a learner without the learner: its calls of a real iteration, recorded and made again, nothing else.

What a learner asks of its network in one iteration (pages to act on, minibatches to be judged) is recorded with its
tensors. Making the same calls again, with a backward pass wherever there was one, takes what the network takes: no
simulator, no buffers, no loss, no optimiser, no logging. The same batches, as often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Call", "Recorder", "replay"]


@dataclass(frozen=True)
class Call:
    """One call of a network's method."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    learns: bool
    """Whether gradients were asked for: then a backward pass belongs to it."""


class Recorder:
    """Notes the outermost calls of some methods of some objects.

    Args:
        watched: Objects and the names of their methods; of a module, 'forward' stands for calling it.
    """

    def __init__(self, watched: Sequence[tuple[Any, str]]) -> None:
        self.watched = watched
        self.calls: list[Call] = []
        self._inside = False

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what happens within."""
        for owner, name in self.watched:
            object.__setattr__(owner, name, self._noting(getattr(owner, name)))
        try:
            yield
        finally:
            for owner, name in self.watched:
                object.__delattr__(owner, name)

    def _noting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **named: Any) -> Any:
            if self._inside:
                return function(*arguments, **named)
            self._inside = True
            try:
                result = function(*arguments, **named)
            finally:
                self._inside = False
            learns = torch.is_grad_enabled() and bool(_outputs(result))
            self.calls.append(Call(function, arguments, named, learns))
            return result

        return noted


def replay(calls: Sequence[Call], parameters: Sequence[nn.Parameter]) -> None:
    """Make the calls again, each with a backward pass through all that it gives if it learned."""
    for call in calls:
        with torch.set_grad_enabled(call.learns):
            outputs = _outputs(call.function(*call.arguments, **call.named))
        if call.learns:
            torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])
            for parameter in parameters:
                parameter.grad = None


def _outputs(result: Any) -> list[Tensor]:
    """All tensors in a result that a gradient can flow from."""
    if isinstance(result, Tensor):
        return [result] if result.requires_grad else []
    if isinstance(result, dict):
        return [tensor for part in result.values() for tensor in _outputs(part)]
    if isinstance(result, (tuple, list)):
        return [tensor for part in result for tensor in _outputs(part)]
    if hasattr(result, "__dict__"):
        return [tensor for part in vars(result).values() for tensor in _outputs(part)]
    return []
