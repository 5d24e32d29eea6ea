"""A set of varied policies for any shop, none of which needs training in a simulator: what simulators are judged by.

A simulator that ranks these as the truth does has shown something, because they differ in what they get right:
relevance, popularity, novelty within the session, diversity, price; and they reach from turned-around orders, worse
than random, to click models with exploration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from agents.baselines import MMRPolicy, PopularityPolicy, RandomPolicy, RelevancePolicy
from agents.registry import AgentInputs, make_agent
from agents.score_policy import ScorePolicy
from agents.simple import FreshPolicy, MixturePolicy, PricePolicy, ReversedPolicy
from behavior.errors import InputError

if TYPE_CHECKING:
    from agents.base import Policy

__all__ = ["BEHAVIOUR", "policy_set"]

BEHAVIOUR = "behavior"
"""Name of the logging policy."""
_LEARNED = ("click-greedy", "linucb")


def policy_set(
    inputs: AgentInputs,
    *,
    behaviour: Policy | None = None,
    learned: Mapping[str, Policy] | None = None,
) -> dict[str, Policy]:
    """Policies by name: 13 rules, two that learn from the log, and what one of these learned ranked in two other ways.

    The same inputs, seed included, give the same policies. Those that the shop has no data for (no prices; no log, or
    one with too few clicks or without whole pages) are left out.

    Args:
        inputs: Tables, log, world and task, as `agents.registry.make_agent` takes them.
        behaviour: The policy that made the log, where it is known.
        learned: Policies that have learned from the log already, by the names of their agents; not fitted anew.
    """
    features = inputs.features
    relevance, popularity = RelevancePolicy(), PopularityPolicy(features)
    found: dict[str, Policy] = {
        "random": RandomPolicy(),
        "popularity": popularity,
        "relevance": relevance,
        "mmr 0.9": MMRPolicy(features, trade_off=0.9),
        "mmr 0.5": MMRPolicy(features, trade_off=0.5),
        "relevance, softened": RelevancePolicy(temperature=0.5),
        "relevance, nearly random": RelevancePolicy(temperature=2.0),
        "relevance or random": MixturePolicy(
            RandomPolicy(), relevance, share=0.5, name="relevance or random"
        ),
        "relevance, fresh": FreshPolicy(relevance, penalty=1.0),
        "relevance reversed": ReversedPolicy(relevance),
        "popularity reversed": ReversedPolicy(popularity),
    }
    if bool(np.isfinite(features.price).any()):
        found["cheap first"] = PricePolicy(features)
        found["dear first"] = PricePolicy(features, descending=True)
    for name in _LEARNED:
        policy = (learned or {}).get(name) or _from_log(name, inputs)
        if policy is None:
            continue
        found[name] = policy
        if isinstance(policy, ScorePolicy) and name == "click-greedy":
            # Its scores are logarithms of worth, as those of relevance are of a click's probability.
            found["click-greedy, fresh"] = FreshPolicy(policy, penalty=1.0)
            found["click-greedy reversed"] = ReversedPolicy(policy)
    if behaviour is not None:
        found[BEHAVIOUR] = behaviour
    return found


def _from_log(name: str, inputs: AgentInputs) -> Policy | None:
    if inputs.train is None or inputs.train.single_impressions:
        return None
    try:
        return make_agent(name, inputs)
    except InputError:
        return None
