"""What all click models are computed with: chances as pairs of logarithms, and the walk down a page.

A chance p is held as the pair (log p, log (1 - p)), both computed without a subtraction from 1, so that neither a
sure thing nor an impossible one loses its digits. Impossible is `NEVER`, a number so low that no sum of possible
logarithms reaches it and that still has a gradient; `finish` turns it into -inf.

Pages are `M` rows of `K` positions; the walk goes over positions and takes all pages at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

__all__ = [
    "NEVER",
    "Chance",
    "coin",
    "finish",
    "mixture",
    "never",
    "sure",
    "walk_given_clicks",
    "walk_marginal",
]

NEVER = -1e30
"""The logarithm of an impossible event."""


@dataclass(frozen=True)
class Chance:
    """A chance, twice."""

    yes: Tensor
    """Its logarithm."""
    no: Tensor
    """The logarithm of what is left to 1."""

    def __getitem__(self, key: object) -> Chance:
        return Chance(self.yes[key], self.no[key])  # type: ignore[index]

    def and_(self, other: Chance) -> Chance:
        """Both of two independent events: 1 - pq = (1 - p) + p (1 - q)."""
        return Chance(self.yes + other.yes, torch.logaddexp(self.no, self.yes + other.no))

    def expand_to(self, other: Chance) -> Chance:
        """The same chance in each place of a row as wide as `other` (M, K): (1, K)."""
        shape = (1, other.yes.shape[1])
        return Chance(self.yes.expand(shape), self.no.expand(shape))

    def negated(self) -> Chance:
        """The event does not happen."""
        return Chance(self.no, self.yes)


def coin(logit: Tensor) -> Chance:
    """The chance with this logit, any shape."""
    return Chance(logsigmoid(logit), logsigmoid(-logit))


def sure(like: Tensor) -> Chance:
    """Chance 1, in the shape of `like`."""
    return Chance(torch.zeros_like(like), torch.full_like(like, NEVER))


def never(like: Tensor) -> Chance:
    """Chance 0, in the shape of `like`."""
    return sure(like).negated()


def mixture(which: Chance, if_yes: Chance, if_no: Chance) -> Chance:
    """`if_yes` where the event `which` happens, `if_no` where it does not."""
    return Chance(
        torch.logaddexp(which.yes + if_yes.yes, which.no + if_no.yes),
        torch.logaddexp(which.yes + if_yes.no, which.no + if_no.no),
    )


def finish(log: Tensor) -> Tensor:
    """Logarithms with -inf for what cannot be."""
    return torch.where(log < NEVER / 2, -torch.inf, log)


def walk_given_clicks(
    appeal: Chance, click: Tensor, after_click: Chance, after_skip: Chance
) -> tuple[Tensor, Chance]:
    """A reader who looks from the top: the likelihood of the clicks, and of each given those above it.

    Two numbers go down the page, the joint logarithms of the clicks above with looking at this position and with
    having stopped before it. A click is made by a reader who looks, so it clears the second.

    Args:
        appeal: (M, K) chance of a click on the item where it is looked at.
        click: (M, K) bool.
        after_click: (M, K) or (1, K) chance to look at k + 1 after a click at k; the last does not matter.
        after_skip: (M, K) or (1, K) chance to look at k + 1 after looking at k without a click.

    Returns:
        Log-probability (M,) of the clicks, and the chance (M, K) of a click at each position given the clicks above.
    """
    looking = torch.zeros_like(appeal.yes[:, 0])
    stopped = torch.full_like(looking, NEVER)
    yes, no = [], []
    for k in range(click.shape[1]):
        known = torch.logaddexp(looking, stopped)
        hit, miss = looking + appeal.yes[:, k], looking + appeal.no[:, k]
        yes.append(hit - known)
        no.append(torch.logaddexp(stopped, miss) - known)
        clicked = click[:, k]
        looking = torch.where(clicked, hit + after_click.yes[:, k], miss + after_skip.yes[:, k])
        stopped = torch.where(
            clicked, hit + after_click.no[:, k], torch.logaddexp(stopped, miss + after_skip.no[:, k])
        )
    return torch.logaddexp(looking, stopped), Chance(torch.stack(yes, 1), torch.stack(no, 1))


def walk_marginal(appeal: Chance, after_click: Chance, after_skip: Chance) -> Chance:
    """Chance (M, K) of a click at each position before anything of the page is known; arguments as above."""
    looking = torch.zeros_like(appeal.yes[:, 0])
    stopped = torch.full_like(looking, NEVER)
    yes, no = [], []
    go_on = mixture(appeal, after_click, after_skip)
    for k in range(appeal.yes.shape[1]):
        yes.append(looking + appeal.yes[:, k])
        no.append(torch.logaddexp(stopped, looking + appeal.no[:, k]))
        stopped = torch.logaddexp(stopped, looking + go_on.no[:, k])
        looking = looking + go_on.yes[:, k]
    return Chance(torch.stack(yes, 1), torch.stack(no, 1))
