"""PPO's network, as what learns from a log uses it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.building import Learner
from agents.offline.transitions import LogTransitions
from agents.page_features import PageInputs
from agents.ppo.learner import SlatePPO
from agents.ppo.policy import PlackettLucePolicy

__all__ = ["actor_of", "response_losses", "slot_returns"]


def actor_of(model: Learner) -> PlackettLucePolicy:
    """The network of a PPO learner."""
    assert isinstance(model, SlatePPO)
    return model.policy


def response_losses(
    policy: PlackettLucePolicy, page: PageInputs, slates: Tensor, click: Tensor, purchase: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean log losses of clicks and of purchases given a click, over every position shown."""
    in_order = torch.arange(slates.shape[1], device=slates.device).expand_as(slates)
    losses: tuple[Tensor, Tensor] = policy.response(page.shown(slates)).loss(in_order, click, purchase)
    return losses


def slot_returns(
    policy: PlackettLucePolicy, log: LogTransitions, gamma: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What came of each position (M, K), and of the page otherwise and all later pages (M,), in the policy's units.

    These are the critic's targets (`SlatePPO`), with what was observed in place of estimates.
    """
    items = np.take_along_axis(log.observation.candidates, np.maximum(log.actions, 0), axis=1)
    with torch.no_grad():
        worth = policy.worth_of(torch.as_tensor(items, device=policy.device)).cpu().numpy()
    own = (policy.click_worth * log.click + worth * log.purchase).astype(np.float32)
    to_go = log.returns(log.reward / np.float32(policy.unit), gamma)
    return own, (to_go - own.sum(axis=1)).astype(np.float32)
