"""Adversarial training: the loss is taken a second time where a small step of the embeddings hurts it most.

    FGM:  delta = epsilon |x| g / |g|,  g = grad_x loss(x)
    PGD:  delta <- project(delta + a epsilon |x| g / |g|, radius epsilon |x|), several times, g anew at x + delta

Sources: Miyato, Dai, Goodfellow, "Adversarial training methods for semi-supervised text classification", ICLR 2017
(FGM on word embeddings); Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards deep learning models resistant to
adversarial attacks", ICLR 2018 (PGD).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch

from behavior.errors import InputError

__all__ = ["AdversaryConfig", "adversarial_loss", "adversarial_token_loss", "against", "worst_steps"]


@dataclass(frozen=True, kw_only=True)
class AdversaryConfig:
    """How embeddings are perturbed in training. The first axis of an embedding counts examples."""

    kind: Literal["none", "fgm", "pgd"] = "none"
    """'fgm' costs two further passes of the network forward and back, 'pgd' as many as it has steps, and one."""
    epsilon: float = 0.1
    """Length of the step, as a share of the length of the example's own embedding."""
    steps: int = 3
    """Steps of PGD."""
    step_size: float = 0.5
    """Of each step of PGD, as a share of epsilon."""
    weight: float = 1.0
    """Weight of the loss at the perturbed embedding, beside 1 at the embedding itself."""

    def __post_init__(self) -> None:
        if not (self.epsilon >= 0 and self.steps >= 1 and self.step_size > 0 and self.weight >= 0):
            raise InputError(
                f"epsilon {self.epsilon}, steps {self.steps}, step_size {self.step_size}, weight {self.weight}",
                where="AdversaryConfig",
                mend="epsilon and weight from 0, at least one step, a step size above 0",
            )


def worst_steps(
    loss_at: Callable[[Sequence[torch.Tensor]], torch.Tensor],
    embeddings: Sequence[torch.Tensor],
    config: AdversaryConfig,
) -> list[torch.Tensor]:
    """The steps away from `embeddings` that the adversary takes, same shapes, without gradient.

    Args:
        loss_at: Embeddings -> loss; its other parameters get no gradient from here.
        embeddings: Each (n, ...); a step's length is counted over all axes but the first.
        config: The adversary; not 'none'.
    """
    clean = [x.detach() for x in embeddings]
    radius = [config.epsilon * _length(x) for x in clean]
    steps = [torch.zeros_like(x) for x in clean]
    rounds, share = (1, 1.0) if config.kind == "fgm" else (config.steps, config.step_size)
    for _ in range(rounds):
        moved = [(x + d).requires_grad_() for x, d in zip(clean, steps, strict=True)]
        with torch.enable_grad():
            gradients = torch.autograd.grad(loss_at(moved), moved)
        for n, g in enumerate(gradients):
            step = steps[n] + share * radius[n] * g / _length(g).clamp(min=1e-12)
            steps[n] = step * (radius[n] / _length(step).clamp(min=1e-12)).clamp(max=1.0)
    return steps


def adversarial_loss(
    loss_at: Callable[[Sequence[torch.Tensor]], torch.Tensor],
    embeddings: Sequence[torch.Tensor],
    config: AdversaryConfig,
) -> torch.Tensor:
    """`loss(x) + weight * loss(x + delta)` for a loss that is a function of its embeddings."""
    loss = loss_at(embeddings)
    if config.kind == "none":
        return loss
    steps = worst_steps(loss_at, embeddings, config)
    return loss + config.weight * loss_at([x + d for x, d in zip(embeddings, steps, strict=True)])


def adversarial_token_loss(
    embedding: torch.nn.Module, loss: Callable[[], torch.Tensor], config: AdversaryConfig
) -> torch.Tensor:
    """The same for a network whose token embeddings are computed inside it.

    Args:
        embedding: The module that gives token embeddings (n, L, D): `bert.get_input_embeddings()`.
        loss: Runs the network and returns the loss; it must call `embedding` equally often each time.
        config: The adversary.
    """
    seen: list[torch.Tensor] = []

    def note(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> None:
        seen.append(output.detach())

    handle = embedding.register_forward_hook(note)
    try:
        clean = loss()
    finally:
        handle.remove()
    if config.kind == "none":
        return clean

    def replaced(given: Sequence[torch.Tensor], *, add: bool) -> torch.Tensor:
        queue = list(given)

        def put(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            moved = queue.pop(0)
            return output + moved if add else moved

        hook = embedding.register_forward_hook(put)
        try:
            return loss()
        finally:
            hook.remove()

    steps = worst_steps(lambda moved: replaced(moved, add=False), seen, config)
    # Added to the embeddings rather than put in their place, so that the table of words learns too.
    return clean + config.weight * replaced(steps, add=True)


def against(
    config: AdversaryConfig,
) -> Callable[[torch.nn.Module, Callable[[], torch.Tensor]], torch.Tensor] | None:
    """What training takes as its `wrap_loss`, so that it meets this adversary; None without one."""
    return None if config.kind == "none" else partial(adversarial_token_loss, config=config)


def _length(x: torch.Tensor) -> torch.Tensor:
    """Length of every example's block, shape (n, 1, ..., 1)."""
    length: torch.Tensor = x.flatten(1).norm(dim=1)
    return length.reshape(-1, *[1] * (x.dim() - 1))
