"""Rollouts whose rewards, values and probabilities are kept by slate position."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.buffers import DictRolloutBuffer
from torch import Tensor

__all__ = ["SlotBatch", "SlotRolloutBuffer", "slot_advantages"]


class SlotBatch(NamedTuple):
    """A minibatch of pages."""

    observations: dict[str, Tensor]
    slates: Tensor  # (B, K)
    click: Tensor  # (B, K)
    purchase: Tensor  # (B, K)
    log_prob: Tensor  # (B, K) of each choice when it was made
    gain: Tensor  # (B, N) expected gains by which they were made
    advantages: Tensor  # (B, K)
    returns: Tensor  # (B, K + 1) targets of the critic


def slot_advantages(
    rewards: NDArray[np.float32],
    values: NDArray[np.float32],
    last_value: NDArray[np.float32],
    dones: NDArray[np.bool_],
    *,
    gamma: float,
    gae_lambda: float,
    slot_lambda: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
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
    advantages = np.empty_like(errors)
    targets = rewards.copy()
    next_value, next_gae = last_value, np.zeros_like(last_value)
    for t in range(rewards.shape[0] - 1, -1, -1):
        going_on = 1.0 - dones[t]
        tail = gamma * going_on * (next_value + gae_lambda * next_gae)  # (B,)
        future = rewards[t, :, -1] + tail - values[t, :, -1]
        targets[t, :, -1] += tail
        credit = np.zeros_like(future)
        for k in range(errors.shape[2] - 1, -1, -1):
            credit = errors[t, :, k] + slot_lambda * credit
            advantages[t, :, k] = credit + future
        next_gae = errors[t].sum(1) + future
        next_value = values[t].sum(1)
    return advantages, targets


class SlotRolloutBuffer(DictRolloutBuffer):
    """SB3's dictionary rollouts with `K` (or `K + 1`) numbers where SB3 has one.

    Args:
        *args: As SB3.
        slot_lambda: See `slot_advantages`.
        **kwargs: As SB3.
    """

    def __init__(self, *args: Any, slot_lambda: float = 0.0, **kwargs: Any) -> None:
        self.slot_lambda = slot_lambda
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        """Empty the buffer."""
        super().reset()
        shape = (self.buffer_size, self.n_envs, self.action_dim)
        wide = (*shape[:2], self.action_dim + 1)
        self.slates = np.zeros(shape, np.int64)
        self.click = np.zeros(shape, np.float32)
        self.purchase = np.zeros(shape, np.float32)
        self.slot_log_probs = np.zeros(shape, np.float32)
        self.slot_rewards = np.zeros(wide, np.float32)
        self.slot_values = np.zeros(wide, np.float32)
        self.gain = np.zeros(self.observations["scores"].shape, np.float32)
        self.dones = np.zeros(shape[:2], np.bool_)

    def put(
        self,
        observation: dict[str, NDArray[Any]],
        slates: NDArray[np.int64],
        click: NDArray[np.float32],
        purchase: NDArray[np.float32],
        rewards: NDArray[np.float32],
        dones: NDArray[np.bool_],
        values: NDArray[np.float32],
        log_probs: NDArray[np.float32],
        gain: NDArray[np.float32],
    ) -> None:
        """Add one step of all users.

        Rewards and values are (B, K + 1), `dones` (B,), `gain` (B, N), all else (B, K).
        """
        at = self.pos
        for name, array in observation.items():
            self.observations[name][at] = array
        self.gain[at] = gain
        self.click[at], self.purchase[at] = click, purchase
        self.slates[at], self.slot_log_probs[at] = slates, log_probs
        self.slot_rewards[at], self.slot_values[at], self.dones[at] = rewards, values, dones
        self.rewards[at], self.values[at] = rewards.sum(1), values.sum(1)
        self.pos += 1
        self.full = self.pos == self.buffer_size

    def finish(self, last_value: NDArray[np.float32]) -> None:
        """Compute advantages and targets; `last_value` (B,) is that of the state after the last step."""
        self.slot_advantages, self.slot_returns = slot_advantages(
            self.slot_rewards,
            self.slot_values,
            last_value,
            self.dones,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            slot_lambda=self.slot_lambda,
        )
        self.returns = self.slot_returns.sum(2)

    def batches(self, batch_size: int, rng: np.random.Generator) -> Generator[SlotBatch, None, None]:
        """All pages once, in random order."""
        pages = self.buffer_size * self.n_envs
        order = rng.permutation(pages)
        for start in range(0, pages, batch_size):
            rows = order[start : start + batch_size]
            at = np.unravel_index(rows, (self.buffer_size, self.n_envs))
            yield SlotBatch(
                observations={name: self.to_torch(array[at]) for name, array in self.observations.items()},
                slates=self.to_torch(self.slates[at]),
                click=self.to_torch(self.click[at]),
                purchase=self.to_torch(self.purchase[at]),
                log_prob=self.to_torch(self.slot_log_probs[at]),
                gain=self.to_torch(self.gain[at]),
                advantages=self.to_torch(self.slot_advantages[at]),
                returns=self.to_torch(self.slot_returns[at]),
            )
