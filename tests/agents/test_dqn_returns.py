"""Returns over several pages, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.dqn.returns import block_returns

GAMMA = 0.9


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


def returns(n_steps: int, trace_decay: float, **changes: Tensor) -> list[float]:
    """Four pages of one user, rewards 1, 2, 3, 4, values of what follows 10, 20, 30, 40."""
    given = {
        "reward": column(1, 2, 3, 4),
        "value_after": column(10, 20, 30, 40),
        "going_on": column(1, 1, 1, 1),
        "ended": column(0, 0, 0, 0).bool(),
    } | changes
    found = block_returns(**given, gamma=GAMMA, n_steps=n_steps, trace_decay=trace_decay)
    return found.flatten().tolist()


def test_one_step() -> None:
    assert returns(1, 1.0) == pytest.approx([1 + 9, 2 + 18, 3 + 27, 4 + 36])


def test_two_steps_bootstrap_earlier_at_the_block_s_end() -> None:
    expected = [1 + 0.9 * 2 + 0.81 * 20, 2 + 0.9 * 3 + 0.81 * 30, 3 + 0.9 * 4 + 0.81 * 40, 4 + 0.9 * 40]
    assert returns(2, 1.0) == pytest.approx(expected)


def test_lambda_return_is_the_mixture_of_n_step_returns() -> None:
    n_step = [returns(n, 1.0)[0] for n in (1, 2, 3, 4)]
    decay = 0.6
    weights = [(1 - decay) * decay**n for n in range(3)] + [decay**3]
    assert returns(4, decay)[0] == pytest.approx(float(np.dot(weights, n_step)))
    # Cut short at n = 2 the last return takes the rest of the weight.
    assert returns(2, decay)[0] == pytest.approx((1 - decay) * n_step[0] + decay * n_step[1])


def test_a_user_who_leaves_has_no_value_beyond() -> None:
    left = {"going_on": column(1, 0, 1, 1), "ended": column(0, 1, 0, 0).bool()}
    # Page 2 ends the session: nothing of the next session's pages 3 and 4 reaches pages 1 and 2.
    assert returns(4, 1.0, **left)[:2] == pytest.approx([1 + 0.9 * 2, 2])
    assert returns(4, 1.0, **left)[2:] == pytest.approx([3 + 0.9 * 4 + 0.81 * 40, 4 + 0.9 * 40])


def test_a_session_cut_by_the_limit_keeps_the_value_beyond() -> None:
    cut = {"ended": column(0, 1, 0, 0).bool()}
    assert returns(4, 1.0, **cut)[:2] == pytest.approx([1 + 0.9 * 2 + 0.81 * 20, 2 + 0.9 * 20])


def test_traces_stop_before_explored_pages() -> None:
    explored = column(1, 0, 1, 0).bool()  # what was done on page 1 itself is what its value is about
    found = returns(4, 1.0, cut=explored)
    assert found == pytest.approx(
        [1 + 0.9 * 2 + 0.81 * 20, 2 + 0.9 * 20, 3 + 0.9 * 4 + 0.81 * 40, 4 + 0.9 * 40]
    )
