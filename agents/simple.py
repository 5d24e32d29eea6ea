"""Simple rules of ranking: by price, by what is new in the session, turned around, and mixtures of two policies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.base import Draw, Policy, SlatePropensity
from agents.score_policy import ScorePolicy
from behavior.errors import InputError
from encoders.features import FeatureTables
from envs.observation import Observation
from simulators.base import SessionState
from simulators.kernels.rng import Purpose, uniform_table

__all__ = ["FreshPolicy", "MixturePolicy", "PricePolicy", "ReversedPolicy"]

_SEEDS_APART = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


class PricePolicy(ScorePolicy):
    """Ranks by price, each item's against the mean of its category.

    Without the category, a page of mixed kinds would be ranked by kind: cables before cameras.

    Args:
        features: Item tables; an item of unknown price counts as average.
        descending: The dear ones first.
        temperature: See `ScorePolicy`; scores are log price ratios.

    Raises:
        InputError: No price is known.
    """

    name = "price"

    def __init__(
        self, features: FeatureTables, *, descending: bool = False, temperature: float = 0.0
    ) -> None:
        super().__init__(temperature=temperature)
        price = np.asarray(features.price, np.float64)
        known = np.isfinite(price) & (price > 0)
        if not known.any():
            raise InputError(
                "no item has a known price", where="agent price", mend="give prices in the catalogue"
            )
        log = np.where(known, np.log(np.where(known, price, 1.0)), 0.0)
        category, count = features.item_category, features.n_categories
        sums = np.bincount(category[known], weights=log[known], minlength=count)
        mean = sums / np.maximum(np.bincount(category[known], minlength=count), 1)
        ratio = np.where(known, log - mean[category], 0.0)
        self._scores = np.append(ratio if descending else -ratio, 0.0)  # (I + 1,) with a row for -1

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """Log price ratios (B, N), negative for the cheap ones first."""
        return self._scores[observation.candidates]


class FreshPolicy(ScorePolicy):
    """Ranks as another policy scores, less a penalty for each earlier showing in the session.

    Args:
        base: Whose scores.
        penalty: Taken off the score for each earlier showing; the base's temperature counts.
    """

    name = "fresh"

    def __init__(self, base: ScorePolicy, *, penalty: float) -> None:
        super().__init__(temperature=base.temperature)
        if not (np.isfinite(penalty) and penalty >= 0):
            raise ValueError(f"the penalty must be 0 or a positive number, found {penalty}")
        self.base, self.penalty = base, penalty

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """The base's scores (B, N), lower where a candidate was seen."""
        return self.base.scores(observation) - self.penalty * observation.seen.astype(np.float64)


class ReversedPolicy(ScorePolicy):
    """Ranks the other way round: a floor, and a page that a log hardly ever holds.

    Args:
        base: Whose scores.
    """

    name = "reversed"

    def __init__(self, base: ScorePolicy) -> None:
        super().__init__(temperature=base.temperature)
        self.base = base

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """The base's scores (B, N) with the opposite sign."""
        return -self.base.scores(observation)


class MixturePolicy(Policy):
    """Tosses a coin for every page and lets one of two policies rank it; its propensities are the mixture's.

    Args:
        first: Ranks a page with probability `share`.
        second: Ranks the others.
        share: Between 0 and 1.
        name: For tables.
    """

    name = "mixture"

    def __init__(self, first: Policy, second: Policy, *, share: float, name: str = "mixture") -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share must lie in [0, 1], found {share}")
        if first.privileged or second.privileged:
            raise ValueError("a mixture shows its policies no hidden state; choose policies that need none")
        self.first, self.second, self.share, self.name = first, second, share, name

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Slates (B, K); see `Policy.rank`."""
        # Seeds of their own, so that the coin says nothing about what the policies draw.
        seeds = [(draw.seed + i * _SEEDS_APART) & _MASK for i in range(3)]
        coin = uniform_table(seeds[0], draw.user, draw.step, Purpose.POLICY, 1)[:, 0]  # (B,)
        slates = [
            policy.rank(observation, Draw(seed=seed, user=draw.user, step=draw.step), slate_size=slate_size)
            for policy, seed in zip((self.first, self.second), seeds[1:], strict=True)
        ]
        return np.where((coin < self.share)[:, None], *slates)

    def propensity(self, observation: Observation, actions: NDArray[np.int64]) -> SlatePropensity | None:
        """Exact propensities of `actions` (B, K); None where one of the two states none."""
        first = self.first.propensity(observation, actions)
        second = self.second.propensity(observation, actions)
        if first is None or second is None:
            return None
        mix = self.share
        return SlatePropensity(
            item=mix * first.item + (1 - mix) * second.item,
            cascade=mix * first.cascade + (1 - mix) * second.cascade,
            slate=mix * first.slate + (1 - mix) * second.slate,
        )
