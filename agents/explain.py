"""What a trained network expects of every candidate on a page: now, later, and of the session as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.dqn.policy import SlateQPolicy
from agents.learned_policy import LearnedPolicy
from agents.response import Response
from envs.observation import Observation
from envs.world import RewardMix

__all__ = ["Explanation", "explain", "page_values"]

_ROWS = 256  # pages asked about at once


@dataclass(frozen=True)
class Explanation:
    """What a network says of `B` pages; nan at padding. Worths are in units of the training reward."""

    click: NDArray[np.float64]  # (B, N) chance of a click, averaged over the positions of a page
    purchase: NDArray[np.float64]  # (B, N) chance of a purchase once clicked
    now: NDArray[np.float64]  # (B, N) expected reward of clicks and purchases on this page, averaged likewise
    later: (
        NDArray[np.float64] | None
    )  # (B, N) the rest of the item-wise value; None where there is no such value
    score: NDArray[np.float64]  # (B, N) by which it ranks; a unit of reward for DQN, and none at all for PPO
    value: NDArray[np.float64]  # (B,) discounted return expected from this page on


def explain(policy: LearnedPolicy, observation: Observation, reward: RewardMix) -> Explanation:
    """Take the networks apart on `B` pages.

    *Now* is what the response model foretells: P(click) (reward of a click + P(purchase | click) x reward of a
    purchase), apart from rewards for revenue, relevance and the like.

    *Later* is for DQN its item-wise value less *now*: what showing the item is worth beyond the clicks and purchases
    of this page (those other rewards included, for the network does not tell them apart). PPO's actor has no such
    number: its scores are logits of a law over slates, known up to any factor and constant, and must not be read as
    reward. What an item is worth later under PPO's policy is measured by playing on: see `agents.counterfactual`.

    *Value* is PPO's critic (of the policy as it explores), and for DQN the value of the greedy slate.

    Args:
        policy: A trained policy.
        observation: `B` pages.
        reward: Rewards of clicks and purchases in training.
    """
    parts = [_explain(policy, tensors, reward) for tensors in _chunks(policy, observation)]
    laters = [part.later for part in parts if part.later is not None]
    valid = observation.candidates >= 0

    def joined(name: str) -> NDArray[np.float64]:
        array = np.concatenate([getattr(part, name) for part in parts])
        return np.where(valid, array, np.nan) if array.ndim == 2 else array

    return Explanation(
        click=joined("click"),
        purchase=joined("purchase"),
        now=joined("now"),
        later=joined("later") if laters else None,
        score=joined("score"),
        value=joined("value"),
    )


def page_values(policy: LearnedPolicy, observation: Observation) -> NDArray[np.float64]:
    """(B,) the discounted return that the network expects from each page on."""
    values = []
    with torch.no_grad():
        for tensors in _chunks(policy, observation):
            if isinstance(policy.network, SlateQPolicy):
                page = policy.network.q_net(tensors)
                value = page.slate_value(page.best_slates())
            else:
                value = policy.network.predict_values(tensors).flatten()
            values.append(_numbers(value))
    return np.concatenate(values)


def _explain(policy: LearnedPolicy, tensors: dict[str, Tensor], reward: RewardMix) -> Explanation:
    network = policy.network
    later: Tensor | None = None
    response: Response
    with torch.no_grad():
        if isinstance(network, SlateQPolicy):
            page = network.q_net(tensors)
            response, score = page.response, page.item_values()
            value = page.slate_value(page.best_slates())
        else:
            response, score = network.response(network.page(tensors)), network.scores(tensors)
            value = network.predict_values(tensors).flatten()
        click, purchase = response.click_probability(), torch.sigmoid(response.conversion)
        now = click * (reward.click + reward.purchase * purchase)
        if isinstance(network, SlateQPolicy):
            later = score - now
    return Explanation(
        click=_numbers(click),
        purchase=_numbers(purchase),
        now=_numbers(now),
        later=None if later is None else _numbers(later),
        score=_numbers(score),
        value=_numbers(value),
    )


def _chunks(policy: LearnedPolicy, observation: Observation) -> Iterator[dict[str, Tensor]]:
    if policy.network.observation_space["context"].shape == (0,):  # type: ignore[index]
        observation = replace(observation, context=observation.context[:, :0])
    n_users = observation.candidates.shape[0]
    for start in range(0, n_users, _ROWS):
        rows = np.arange(start, min(start + _ROWS, n_users))
        arrays = observation.take(rows).as_dict()
        yield {name: torch.as_tensor(array, device=policy.network.device) for name, array in arrays.items()}


def _numbers(values: Tensor) -> NDArray[np.float64]:
    return values.double().cpu().numpy()
