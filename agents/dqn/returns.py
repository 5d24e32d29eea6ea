"""Returns over several pages, as targets of a value regression."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["block_returns"]


def block_returns(
    reward: Tensor,
    value_after: Tensor,
    going_on: Tensor,
    ended: Tensor,
    *,
    gamma: float,
    n_steps: int,
    trace_decay: float = 1.0,
    cut: Tensor | None = None,
) -> Tensor:
    """Targets of every page of a block of consecutive pages.

    With `V_t` the value of what follows page t (0 where the user left), the n-step lambda-return

        G^1_t = r_t + gamma V_t
        G^n_t = r_t + gamma [(1 - l) V_t + l G^(n-1)_{t+1}],    l = trace_decay

    where l = 0 on the last page of a block, of a session (left or cut off by the step limit: the next row is another
    session's), and where `cut` says that the next page was not chosen greedily. With l = 1 it is the n-step return
    (Sutton and Barto 2018, section 7.1), with n as long as the block the truncated lambda-return of Peng's Q(lambda),
    or of Watkins's where exploration is cut (12.10).

    Args:
        reward: (L, M).
        value_after: (L, M) value of the next state as the target network sees it.
        going_on: (L, M) 0 where the user left, else 1.
        ended: (L, M) bool, where the session ended or was cut off.
        gamma: Discount per page.
        n_steps: Pages n at most whose rewards are summed.
        trace_decay: Lambda.
        cut: (L, M) bool, pages whose slate was not the greedy one; None: traces pass through exploration.

    Returns:
        (L, M).
    """
    follows = trace_decay * (~ended).to(reward.dtype)  # (L, M) weight of the next page's own return
    follows[-1] = 0.0
    if cut is not None:
        follows[:-1] *= (~cut[1:]).to(reward.dtype)
    once = reward + gamma * going_on * value_after
    target = once
    # Beyond the block's length further rounds change nothing.
    for _ in range(min(n_steps, reward.shape[0]) - 1):
        ahead = torch.cat((target[1:], once[-1:]))  # the last row is not read: its weight is 0
        target = reward + gamma * going_on * ((1.0 - follows) * value_after + follows * ahead)
    return target
