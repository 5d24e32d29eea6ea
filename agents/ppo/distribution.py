"""The Plackett-Luce law over ordered slates, in torch, with gradients.

A slate is drawn without replacement: position 1 by softmax over all candidates, position 2 by softmax over the
rest, and so on. Adding Gumbel noise to the scores and sorting gives the same law in one pass (Yellott 1977; Kool,
van Hoof, Welling, "Stochastic beams and where to find them", ICML 2019).
"""

from __future__ import annotations

import torch
from stable_baselines3.common.distributions import MultiCategoricalDistribution
from torch import Tensor

__all__ = ["MASKED", "PlackettLuceDistribution", "slate_entropy", "slate_log_prob", "slot_log_prob"]

MASKED = -1e9
"""Score of a padded candidate: finite, so that no gradient meets inf - inf, and of probability exactly zero."""


def _log_remaining(scores: Tensor, slates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Chosen scores (B, K), the unchosen's scores (B, N), and log Z_k (B, K) of what is left at each position."""
    chosen = scores.gather(1, slates)
    unchosen = scores.scatter(1, slates, MASKED)
    suffix = torch.logcumsumexp(chosen.flip(1), dim=1).flip(1)  # of positions k..K
    return chosen, unchosen, torch.logaddexp(suffix, unchosen.logsumexp(1, keepdim=True))


def slot_log_prob(scores: Tensor, slates: Tensor) -> Tensor:
    """Exact log-probability of every choice given the slate so far, (B, K); `slate_log_prob` is their sum."""
    chosen, _, log_z = _log_remaining(scores, slates)
    return chosen - log_z


def slate_log_prob(scores: Tensor, slates: Tensor) -> Tensor:
    """Exact log-probability of ordered slates in O(N + K).

    Args:
        scores: (B, N), `MASKED` at padding.
        slates: (B, K) candidate positions, no repeats.

    Returns:
        (B,).
    """
    return slot_log_prob(scores, slates).sum(1)


def slate_entropy(scores: Tensor, slates: Tensor) -> Tensor:
    """Entropy of every next choice given the slate so far, summed over positions.

    By the chain rule its mean over slates drawn from the law is the exact entropy of the ordered slate, so along
    sampled slates it is an unbiased estimate; its gradient is that of the conditional entropies (the share that
    flows through the choice of prefix is left out).

    Args:
        scores: (B, N), `MASKED` at padding.
        slates: (B, K) the prefixes to condition on.

    Returns:
        (B,), at least zero.
    """
    chosen, unchosen, log_z = _log_remaining(scores, slates)
    # H_k = log Z_k - E_k[score]; every exponent below is at most zero.
    log_u = unchosen.logsumexp(1, keepdim=True)
    mean_u = (torch.softmax(unchosen, dim=1) * unchosen).sum(1, keepdim=True)
    weight = torch.exp(chosen.unsqueeze(1) - log_z.unsqueeze(2)).triu()  # (B, k, j), j >= k
    mean = (weight * chosen.unsqueeze(1)).sum(2) + torch.exp(log_u - log_z) * mean_u
    return (log_z - mean).sum(1)


class PlackettLuceDistribution(MultiCategoricalDistribution):
    """Ordered slates of `K` out of `N` candidates, as SB3's on-policy learners want a distribution.

    Args:
        n_candidates: `N`.
        slate_size: `K`.
        generator: Source of the Gumbel noise; None is torch's global one.
    """

    def __init__(
        self, n_candidates: int, slate_size: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__([n_candidates] * slate_size)
        self.slate_size = slate_size
        self.generator = generator
        self.scores = torch.empty(0)
        self._slates: Tensor | None = None

    def proba_distribution(self, action_logits: Tensor) -> PlackettLuceDistribution:
        """Set the scores (B, N)."""
        self.scores, self._slates = action_logits, None
        return self

    def sample(self) -> Tensor:
        """Slates (B, K) by Gumbel top-k."""
        noise = torch.empty_like(self.scores).exponential_(generator=self.generator)
        slates = (self.scores - noise.log()).topk(self.slate_size, dim=1).indices
        self._slates = slates
        return slates

    def mode(self) -> Tensor:
        """The most probable slates (B, K): candidates by falling score, ties in source order."""
        return self.scores.argsort(dim=1, descending=True, stable=True)[:, : self.slate_size]

    def log_prob(self, actions: Tensor) -> Tensor:
        """Exact log-probabilities (B,) of slates (B, K)."""
        self._slates = actions.long()
        return slate_log_prob(self.scores, self._slates)

    def entropy(self) -> Tensor:
        """Entropy (B,), estimated along the slates last sampled or asked about; see `slate_entropy`."""
        slates = self.sample() if self._slates is None else self._slates
        return slate_entropy(self.scores, slates)
