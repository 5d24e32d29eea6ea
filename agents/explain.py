"""What a trained network expects of every candidate on a page: now, later, and of the session as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.dqn.policy import SlateQPolicy
from agents.dqn.values import ChoiceValues
from agents.learned_policy import LearnedPolicy
from agents.page_features import purchase_worth
from agents.plackett_luce import top_k
from agents.ppo.policy import PlackettLucePolicy
from encoders.features import FeatureTables
from envs.observation import Observation
from envs.world import RewardMix

__all__ = ["Explanation", "explain", "greedy_slates", "page_values"]

_ROWS = 256  # pages asked about at once


@dataclass(frozen=True)
class Explanation:
    """What a network says of `B` pages; nan at padding. Worths are in units of the training reward."""

    click: NDArray[
        np.float64
    ]  # (B, N) chance of a click, averaged over positions (one choice a page: see `_picked`)
    purchase: NDArray[np.float64]  # (B, N) chance of a purchase once clicked
    now: NDArray[np.float64]  # (B, N) expected reward of clicks and purchases on this page, averaged likewise
    later: NDArray[np.float64]  # (B, N) what showing it is expected to add beyond these, averaged likewise
    score: NDArray[np.float64]  # (B, N) by which it ranks; a unit of reward for DQN, and none at all for PPO
    value: NDArray[np.float64]  # (B,) discounted return expected from this page on


def explain(
    policy: LearnedPolicy, observation: Observation, features: FeatureTables, reward: RewardMix
) -> Explanation:
    """Take the networks apart on `B` pages.

    *Now* is what the response model foretells: P(click) (reward of a click + P(purchase | click) x what buying the
    item is worth), apart from rewards for relevance, diversity and the like.

    *Later* is what showing the item is expected to add beyond the clicks and purchases of this page: to later pages,
    and in those other rewards, for no network tells the two apart. For DQN it is the item-wise value less *now*; for
    PPO it is the outlook (`agents.outlook`), by which the actor starts to rank and which learns from the same returns
    as the critic. PPO's scores themselves are logits of a law over slates, known up to any factor and constant, and
    must not be read as reward. What is really worth more later is measured by playing on: see `agents.counterfactual`.

    *Value* is PPO's critic (of the policy as it explores), and for DQN the value of the greedy slate.

    Args:
        policy: A trained policy.
        observation: `B` pages.
        features: Prices and margins, where they are rewarded.
        reward: Rewards in training.
    """
    parts = []
    with torch.no_grad():
        for tensors in _chunks(policy, observation):
            parts.append(_of_network(policy.network, tensors))
    items = observation.candidates
    valid = items >= 0
    click, purchase, score, value, beyond = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    buying = purchase_worth(features, reward)[items].astype(np.float64)
    now = click * (reward.click + purchase * buying)
    later = beyond - now if isinstance(policy.network, SlateQPolicy) else beyond
    click, purchase, now, score, later = (
        np.where(valid, array, np.nan) for array in (click, purchase, now, score, later)
    )
    return Explanation(click=click, purchase=purchase, now=now, later=later, score=score, value=value)


def greedy_slates(
    policy: LearnedPolicy, observation: Observation, slate_size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Greedy slates (B, K) and values (B,) of the pages, for DQN in one pass of the network."""
    network = policy.network
    if not isinstance(network, SlateQPolicy):
        slates = top_k(policy.masked_scores(observation), slate_size)
        return slates, page_values(policy, observation)
    found = []
    with torch.no_grad():
        for tensors in _chunks(policy, observation):
            page = network.q_net(tensors)
            best = page.best_slates(network.q_net.optimiser)
            found.append((best.cpu().numpy(), _numbers(page.slate_value(best))))
    return np.concatenate([slates for slates, _ in found]), np.concatenate([values for _, values in found])


def page_values(policy: LearnedPolicy, observation: Observation) -> NDArray[np.float64]:
    """(B,) the discounted return that the network expects from each page on."""
    if isinstance(policy.network, SlateQPolicy):
        return greedy_slates(policy, observation, 0)[1]
    network = policy.network
    with torch.no_grad():
        values = [network.predict_values(tensors).flatten() for tensors in _chunks(policy, observation)]
    return network.unit * np.concatenate([_numbers(value) for value in values])


def _of_network(
    network: PlackettLucePolicy | SlateQPolicy, tensors: dict[str, Tensor]
) -> tuple[NDArray[np.float64], ...]:
    """Chances of click and purchase, scores, values, and what items are worth in all (DQN), or later (PPO)."""
    if isinstance(network, SlateQPolicy):
        page = network.q_net(tensors)
        slates = page.best_slates(network.q_net.optimiser)
        score, value = network.scores(tensors), page.slate_value(slates)
        if isinstance(page, ChoiceValues):
            click = _picked(page, slates)
            worth = click * page.gain()
        else:
            click, worth = page.response.click_probability(), page.item_values()
        response = page.response
    else:
        inputs = network.page(tensors)
        response, score = network.response(inputs), network.scores(tensors)
        value = network.unit * network.predict_values(tensors).flatten()
        click, worth = response.click_probability(), network.unit * network.outlook(inputs, response)
    parts = (click, torch.sigmoid(response.conversion), score, value, worth)
    return tuple(_numbers(part) for part in parts)


def _picked(page: ChoiceValues, slates: Tensor) -> Tensor:
    """Chance (B, N) that a candidate is picked: in its own place on the slates (B, K), or else in the last one's."""
    attraction, position = page.response.attraction, page.response.position
    odds = torch.exp(attraction.gather(1, slates) + position)  # (B, K)
    others = 1.0 + odds[:, :-1].sum(1, keepdim=True)  # (B, 1) all but the last place
    instead = torch.exp(attraction + position[-1])  # (B, N)
    shown = odds / (others + odds[:, -1:])
    return (instead / (others + instead)).scatter(1, slates, shown)


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
