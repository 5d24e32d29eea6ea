"""PPO's network, as what learns from a log uses it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.building import Learner
from agents.offline.transitions import LogTransitions
from agents.page_features import PageInputs
from agents.ppo.config import PPOConfig
from agents.ppo.learner import SlatePPO
from agents.ppo.policy import PlackettLucePolicy
from envs.observation import Observation

__all__ = ["actor_of", "response_losses", "slot_returns", "surprises"]


_MANY = 2048


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


def surprises(
    policy: PlackettLucePolicy, log: LogTransitions, learner: PPOConfig, own: NDArray[np.float32]
) -> NDArray[np.float32]:
    """By how much what followed each page (M,) was better than the critic thought, in the policy's units.

    The errors that `slot_advantages` credits to a page's choices beside their own positions': discounted sums of the
    critic's errors on later pages, which are far less noisy than returns.

    Args:
        policy: With a critic that has learned.
        log: The pages.
        learner: Discount, decay, and whether what lies beyond a cut counts.
        own: Of `slot_returns`.
    """
    values = _values(policy, log.observation)  # (M, K + 1)
    gamma, decay = learner.gamma, learner.gamma * learner.gae_lambda
    whole = values.sum(axis=1)
    following = np.append(whole[1:], np.float32(0))
    following[log.ends] = 0.0
    cut = np.flatnonzero(log.truncated)
    if learner.bootstrap_at_limit and cut.size:
        following[cut] = _values(policy, log.next_observation.take(cut)).sum(axis=1)
    rest = log.reward / np.float32(policy.unit) - own.sum(axis=1)
    future = rest + gamma * following - values[:, -1]
    errors = (own - values[:, :-1]).sum(axis=1) + future
    later = log.returns(errors.astype(np.float32), decay) - errors
    result: NDArray[np.float32] = (future + later).astype(np.float32)
    return result


def _values(policy: PlackettLucePolicy, seen: Observation) -> NDArray[np.float32]:
    """The critic (M, K + 1)."""
    found, n_pages = [], seen.candidates.shape[0]
    for at in np.array_split(np.arange(n_pages), -(-n_pages // _MANY)):
        page = {name: torch.as_tensor(a, device=policy.device) for name, a in seen.take(at).as_dict().items()}
        with torch.no_grad():
            found.append(policy.slot_values(policy.page(page)).cpu().numpy())
    return np.concatenate(found)
