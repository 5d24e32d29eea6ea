"""Rollouts on the learner's device: features of pages, and rewards, values and probabilities by slate position."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from torch import Tensor

from agents.page_features import PageInputs

__all__ = ["Page", "SlotBatch", "SlotRolloutBuffer", "slot_advantages"]

_LOOKED_UP = {"vectors", "recent_vectors"}
"""Fields of `PageInputs` that are rows of the tables: looked up again, not kept."""


class Page(NamedTuple):
    """One step of all users, as it is put into the rollouts."""

    inputs: PageInputs
    slates: Tensor  # (B, K) chosen
    shown: Tensor  # (B, K) those, or what was shown in their places
    click: Tensor  # (B, K)
    purchase: Tensor  # (B, K)
    rewards: Tensor  # (B, K + 1) of each position, and the rest
    dones: Tensor  # (B,) bool
    values: Tensor  # (B, K + 1)
    log_probs: Tensor  # (B, K)
    gain: Tensor  # (B, N)


class SlotBatch(NamedTuple):
    """A minibatch of pages."""

    inputs: PageInputs
    slates: Tensor  # (B, K) chosen
    shown: Tensor  # (B, K) those, or what was shown in their places
    click: Tensor  # (B, K)
    purchase: Tensor  # (B, K)
    log_prob: Tensor  # (B, K) of each choice when it was made
    gain: Tensor  # (B, N) expected gains by which they were made
    advantages: Tensor  # (B, K)
    returns: Tensor  # (B, K + 1) targets of the critic


def slot_advantages(
    rewards: Tensor,
    values: Tensor,
    last_value: Tensor,
    dones: Tensor,
    *,
    gamma: float,
    gae_lambda: float,
    slot_lambda: float,
) -> tuple[Tensor, Tensor]:
    """Advantages of every choice on every page, and the critic's targets.

    Within a page nothing is discounted. With `r_k` the reward of position k and `b_k` its expectation, `r_K` and
    `b_K` those of all that follows the page (further reward parts, and later pages):

        future_t = r_K + gamma V(s') - b_K + gamma gae_lambda GAE_{t+1}
        A_k = sum_{j >= k} slot_lambda^(j - k) (r_j - b_j) + future_t
        GAE_t = sum_j (r_j - b_j) + future_t,    V(s) = sum_j b_j

    A choice is thus credited with its own position, with later positions as far as `slot_lambda` says (1: all of
    them, unbiased; 0: none, exact where positions do not influence each other but for the choice of items), and
    with what follows the page. `GAE_t` is the usual one (Schulman et al. 2016) of the page as a whole.

    Args:
        rewards: (T, B, K + 1).
        values: (T, B, K + 1).
        last_value: (B,) value of the state after the last step.
        dones: (T, B) whether the session ended with that page.
        gamma: Discount per page.
        gae_lambda: Decay over pages.
        slot_lambda: Decay over positions.

    Returns:
        (T, B, K) advantages and (T, B, K + 1) targets.
    """
    errors = (rewards - values)[:, :, :-1]  # (T, B, K)
    slots = torch.arange(errors.shape[2], device=errors.device)
    ahead = slots.unsqueeze(1) - slots  # (K, K): by how much j lies below k, at [j, k]
    credit = torch.where(ahead >= 0, slot_lambda ** ahead.clamp_min(0).to(errors.dtype), 0.0)
    advantages = errors @ credit
    targets = rewards.clone()
    next_value, next_gae = last_value, torch.zeros_like(last_value)
    for t in range(rewards.shape[0] - 1, -1, -1):
        tail = gamma * (next_value + gae_lambda * next_gae) * ~dones[t]  # (B,)
        future = rewards[t, :, -1] + tail - values[t, :, -1]
        targets[t, :, -1] += tail
        advantages[t] += future.unsqueeze(1)
        next_gae = errors[t].sum(1) + future
        next_value = values[t].sum(1)
    return advantages, targets


class SlotRolloutBuffer(RolloutBuffer):
    """SB3's rollouts with `K` (or `K + 1`) numbers where SB3 has one, as tensors on the learner's device.

    Pages are kept as the features that networks read, computed once when the page is served; vectors are looked up
    again.

    Args:
        *args: As SB3.
        slot_lambda: See `slot_advantages`.
        **kwargs: As SB3.
    """

    def __init__(self, *args: Any, slot_lambda: float = 0.0, **kwargs: Any) -> None:
        self.slot_lambda = slot_lambda
        self._steps: Page | None = None  # every field (T, B, ...)
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        """Empty the buffer; its memory stays."""
        self.pos, self.full, self.generator_ready = 0, False, False

    def put(self, page: Page) -> None:
        """Add one step of all users."""
        if self._steps is None:
            self._steps = self._room(page)
        for name, kept in self._steps.inputs._asdict().items():
            if name not in _LOOKED_UP:
                kept[self.pos] = getattr(page.inputs, name)
        for name, kept in self._steps._asdict().items():
            if name != "inputs":
                kept[self.pos] = getattr(page, name)
        self.pos += 1
        self.full = self.pos == self.buffer_size

    def _room(self, page: Page) -> Page:
        def like(tensor: Tensor) -> Tensor:
            return tensor.new_empty((self.buffer_size, *tensor.shape))

        inputs = page.inputs
        kept = {
            name: like(tensor) if name not in _LOOKED_UP else tensor[:0]
            for name, tensor in inputs._asdict().items()
        }
        rest = {name: like(tensor) for name, tensor in page._asdict().items() if name != "inputs"}
        return Page(inputs=PageInputs(**kept), **rest)

    @property
    def steps(self) -> Page:
        """All that was put in, every field (T, B, ...)."""
        assert self._steps is not None
        return self._steps

    def finish(self, last_value: Tensor, *, unit: float = 1.0) -> None:
        """Compute advantages and targets; `last_value` (B,) is that of the state after the last step.

        `rewards`, `values` and `returns` (T, B) are those of whole pages, `unit` times as large, for who reads SB3's.
        """
        steps = self.steps
        self.slot_advantages, self.slot_returns = slot_advantages(
            steps.rewards,
            steps.values,
            last_value,
            steps.dones,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            slot_lambda=self.slot_lambda,
        )
        self.rewards, self.values, self.returns = (
            (unit * tensor.sum(2)).cpu().numpy()
            for tensor in (steps.rewards, steps.values, self.slot_returns)
        )

    def batches(self, batch_size: int, rng: np.random.Generator) -> Generator[SlotBatch, None, None]:
        """All pages once, in random order; `inputs` without their vectors."""
        steps = self.steps
        inputs = {
            name: tensor.flatten(0, 1)
            for name, tensor in steps.inputs._asdict().items()
            if name not in _LOOKED_UP
        }
        flat = {
            "slates": steps.slates,
            "shown": steps.shown,
            "click": steps.click,
            "purchase": steps.purchase,
            "log_prob": steps.log_probs,
            "gain": steps.gain,
            "advantages": self.slot_advantages,
            "returns": self.slot_returns,
        }
        flat = {name: tensor.flatten(0, 1) for name, tensor in flat.items()}
        nothing = steps.rewards.new_empty(0)
        order = torch.from_numpy(rng.permutation(self.buffer_size * self.n_envs)).to(steps.rewards.device)
        for at in torch.split(order, batch_size):
            taken = {name: tensor.index_select(0, at) for name, tensor in inputs.items()}
            yield SlotBatch(
                inputs=PageInputs(**taken, vectors=nothing, recent_vectors=nothing),
                **{name: tensor.index_select(0, at) for name, tensor in flat.items()},
            )
