"""How far the slates that were shown are from those the learner thinks best."""

from __future__ import annotations

import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor

from agents.ppo.distribution import PlackettLuceDistribution

__all__ = ["exploration", "off_greedy"]


def off_greedy(slates: Tensor, greedy: Tensor) -> tuple[float, float]:
    """Share of slots that hold another candidate than the greedy slate's, and share of items not on it at all.

    Args:
        slates: (B, K) candidate positions shown.
        greedy: (B, K) candidate positions by the greedy rule.
    """
    slots = (slates != greedy).float().mean()
    missing = ~(slates.unsqueeze(2) == greedy.unsqueeze(1)).any(2)  # (B, K)
    return float(slots), float(missing.float().mean())


@torch.no_grad()
def exploration(policy: BasePolicy, pages: dict[str, Tensor], slates: Tensor) -> dict[str, float]:
    """Tag to value: how a learner explored on some pages.

    `slate/explored_slots` and `slate/explored_items` as `off_greedy` has them. For a Plackett-Luce policy also
    `slate/effective_slates`, exp of the entropy of the ordered slate (the number of equally probable slates that
    would be as uncertain), and `slate/effective_choices`, its K-th root: the same per slot.

    Args:
        policy: Of the learner; draws nothing, so watching does not change what is learned.
        pages: Observation tensors of `B` pages.
        slates: (B, K) candidate positions shown on them.
    """
    found: dict[str, float] = {}
    if isinstance(policy, ActorCriticPolicy):
        law = policy.get_distribution(pages)
        greedy = law.mode()
        if isinstance(law, PlackettLuceDistribution):
            law.log_prob(slates)  # the entropy is estimated along these slates
            entropy = law.entropy().double().mean()
            found["slate/effective_slates"] = float(
                entropy.clamp(max=80.0).exp()
            )  # single precision ends at e^88
            found["slate/effective_choices"] = float((entropy / slates.shape[1]).exp())
    else:
        greedy = policy._predict(pages, deterministic=True)
    found["slate/explored_slots"], found["slate/explored_items"] = off_greedy(slates, greedy)
    return found
