"""Credit by position against sums worked by hand, and against the usual GAE."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.ppo import buffer


def slot_advantages(rewards, values, last_value, dones, **rates):
    """The tensors' answer to arrays, as arrays."""
    tensors = (torch.from_numpy(array) for array in (rewards, values, last_value, dones))
    return [tensor.numpy() for tensor in buffer.slot_advantages(*tensors, **rates)]


def test_two_pages_by_hand() -> None:
    """K = 2, one user, two pages, the session ends with the second."""
    rewards = np.array([[[1.0, 0.0, 0.5]], [[0.0, 6.0, 0.0]]], np.float32)
    values = np.array([[[0.4, 0.2, 2.0]], [[0.3, 0.1, 1.0]]], np.float32)
    dones = np.array([[False], [True]])
    advantages, targets = slot_advantages(
        rewards, values, np.array([9.0], np.float32), dones, gamma=0.9, gae_lambda=0.5, slot_lambda=0.5
    )
    # Second page: nothing follows; future = 0 - 1.0; slots: 5.9, then -0.3 + 0.5 x 5.9.
    np.testing.assert_allclose(advantages[1, 0], [-0.3 + 0.5 * 5.9 - 1.0, 5.9 - 1.0], rtol=1e-6)
    gae = (-0.3 + 5.9) - 1.0
    # First page: V(s') = 1.4; future = 0.5 + 0.9 (1.4 + 0.5 gae) - 2.0.
    tail = 0.9 * (1.4 + 0.5 * gae)
    future = 0.5 + tail - 2.0
    np.testing.assert_allclose(advantages[0, 0], [0.6 + 0.5 * -0.2 + future, -0.2 + future], rtol=1e-6)
    np.testing.assert_allclose(targets[0, 0], [1.0, 0.0, 0.5 + tail], rtol=1e-6)
    np.testing.assert_allclose(targets[1, 0], [0.0, 6.0, 0.0], rtol=1e-6)


def test_one_position_is_generalised_advantage_estimation() -> None:
    """With K = 1 the advantage is GAE of page rewards, here as an explicit double sum."""
    rng = np.random.default_rng(5)
    T, B, gamma, lam = 6, 3, 0.93, 0.7
    rewards, values = rng.normal(size=(2, T, B, 2)).astype(np.float32)
    last = rng.normal(size=B).astype(np.float32)
    dones = rng.random((T, B)) < 0.3
    advantages, _ = slot_advantages(
        rewards, values, last, dones, gamma=gamma, gae_lambda=lam, slot_lambda=1.0
    )
    reward, value = rewards.sum(2, dtype=np.float64), values.sum(2, dtype=np.float64)
    following = np.vstack([value[1:], last[None]])
    delta = reward + gamma * following * ~dones - value
    for b in range(B):
        for t in range(T):
            expected, weight = 0.0, 1.0
            for u in range(t, T):
                expected += weight * delta[u, b]
                if dones[u, b]:
                    break
                weight *= gamma * lam
            assert advantages[t, b, 0] == pytest.approx(expected, abs=1e-5)


def test_full_credit_sees_every_later_position() -> None:
    rewards = np.array([[[1.0, 2.0, 4.0, 8.0]]], np.float32)
    values = np.zeros_like(rewards)
    done = np.array([[True]])
    last = np.zeros(1, np.float32)
    full, _ = slot_advantages(rewards, values, last, done, gamma=1.0, gae_lambda=1.0, slot_lambda=1.0)
    own, _ = slot_advantages(rewards, values, last, done, gamma=1.0, gae_lambda=1.0, slot_lambda=0.0)
    np.testing.assert_allclose(full[0, 0], [15.0, 14.0, 12.0])
    np.testing.assert_allclose(own[0, 0], [9.0, 10.0, 12.0])
