"""Learning to rank out of clicks, on vectors that are there already, beside all else that draws clicks.

People click what is relevant, and also what is cheap, well rated or known. What a query's page shows differs in all of
these, so a model that is to explain the clicks by relevance alone learns the others in its place. Here an item `i` has
an appeal of its own that is the same for every query, explained by its columns `x_i` and by an intercept `u_i`:

    clicks_qi ~ NegBin(mean = exposure_qi exp(a_q + c s_qi + x_i b + u_i), shape = k)
    u_i ~ Normal(0, 1 / item_ridge)

with `exposure` the examined impressions of `encoders.pairs`, `a_q` a level of the query, and `s_qi` the score of
`encoders.tuning.vector_ranker`, which alone ranks in the end; `c` says how steeply clicks follow it. The negative
binomial (Poisson with a Gamma effect of the pair; Lawless, "Negative binomial and mixed Poisson regression", Canadian
Journal of Statistics 1987) keeps what was shown thousands of times from drowning the rest: the more a pair was shown,
the more its own effect and the less its noise decides. A pair shown once and never clicked says little, rather than
"not relevant".

The appeal is learned first, beside the score as it is at the start, or else the score would learn it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.pairs import PairCounts
from encoders.tuning.vector_ranker import PairScores, VectorRanker

__all__ = ["ClickRanker", "ClickRankerConfig", "fit_click_ranker"]

Floats = NDArray[np.float32]
_STRENGTH = 2.0
"""Expected clicks' worth of caution about the level of a query."""


@dataclass(frozen=True, kw_only=True)
class ClickRankerConfig:
    """How relevance is learned beside appeal."""

    rank: int = 16
    """Rank of the change of the metric; 0 learns the weights alone."""
    ridge: float = 0.03
    """Pull of the score towards the start, against the mean log-likelihood of a pair."""
    item_ridge: float = 2.0
    """Prior precision of an item's intercept."""
    shape: float = 2.0
    """Shape `k`: a pair's own effect, which the score does not tell, has mean 1 and variance 1 / k. Not learned: beside
    an intercept of each item it would come out far too sure of the score."""
    appeal: bool = True
    """Items have an appeal of their own; without it clicks are explained by the score alone."""
    appeal_steps: int = 40
    """Full-batch Adam steps for everything but the score."""
    steps: int = 60
    """Full-batch Adam steps for everything."""
    learning_rate: float = 0.015
    """Adam's, of the score."""
    appeal_learning_rate: float = 0.1
    """Adam's, of everything else."""
    scale: float = 10.0
    """Of the change in cosine beside the standardised scores."""
    seed: int = 0
    """Of the first U."""

    def __post_init__(self) -> None:
        for name in ("item_ridge", "shape"):
            if not getattr(self, name) > 0.0:
                raise InputError(
                    f"{name} is {getattr(self, name)}", where="ClickRankerConfig", mend="above 0"
                )


@dataclass(frozen=True, kw_only=True)
class ClickRanker:
    """A ranker learned out of clicks, and what else drew them."""

    ranker: VectorRanker
    """Relevance alone."""
    appeal: NDArray[np.float64]  # (I,)
    """Logarithm of what an item draws for any query; by its traits alone where it was never shown."""
    shape: float
    """`k`, as configured."""
    steepness: float
    """`c`."""
    level: float
    """Mean logarithm of the click rate, of the queries learned from."""

    def log_likelihood(self, score: NDArray[np.floating], counts: PairCounts) -> NDArray[np.float64]:
        """Log-likelihood of the clicks of each pair (P,), given the level of its query that fits them best.

        By its mean over held-out queries, settings are chosen without any rating. `score` (P,) is that of `ranker`.
        """
        _, place = np.unique(counts.query, return_inverse=True)
        n = int(place.max(initial=-1)) + 1
        k, clicks = self.shape, counts.clicks
        base = np.log(np.maximum(counts.exposure, 1e-6)) + self.steepness * score + self.appeal[counts.item]
        level = np.full(n, self.level)
        for _ in range(25):  # Newton: the log-likelihood is concave in the level
            mean = np.exp(base + level[place])
            slope = np.bincount(place, weights=k * (clicks - mean) / (mean + k), minlength=n)
            bend = np.bincount(place, weights=(clicks + k) * k * mean / (mean + k) ** 2, minlength=n)
            # The prior keeps the level finite where nothing was clicked.
            step = (slope - _STRENGTH * (level - self.level)) / (bend + _STRENGTH)
            level = level + np.clip(step, -1.0, 1.0)
        eta = torch.from_numpy(base + level[place])
        found = _log_likelihood(eta, torch.from_numpy(clicks), torch.tensor(np.log(k), dtype=torch.float64))
        return np.asarray(found.numpy(), np.float64)


def fit_click_ranker(
    query: Floats,
    views: Sequence[Floats],
    scores: Floats,
    counts: PairCounts,
    config: ClickRankerConfig | None = None,
    *,
    start: Floats,
    traits: Floats | None = None,
) -> ClickRanker:
    """Learn relevance from the clicks of pairs.

    Args:
        query: (Q, D) unit vectors.
        views: Each (I, D), unit vectors of the items, of one text each.
        scores: (P, F) ready-made scores of the pairs, standardised within the query.
        counts: Clicks and examined impressions of the pairs; its rows are those of `query` and of the views.
        config: How.
        start: (F,) weights to start from and to be pulled to.
        traits: (I, C) columns that tell of an item's appeal for any query (price, stars, votes), standardised; see
            `encoders.fusion.modalities.read_modalities`. Nothing that tells what an item is: that is relevance.

    Raises:
        InputError: Nothing was clicked.
    """
    config = config or ClickRankerConfig()
    total = float(counts.clicks.sum())
    if total <= 0.0:
        raise InputError(
            "nothing was clicked", where="fit_click_ranker(counts=...)", mend="a log with clicks"
        )
    pairs = PairScores(
        query,
        views,
        scores,
        counts.query,
        counts.item,
        start=start,
        rank=config.rank,
        scale=config.scale,
        seed=config.seed,
    )
    log_exposure = torch.from_numpy(np.log(np.maximum(counts.exposure, 1e-6)).astype(np.float32))
    clicks = torch.from_numpy(counts.clicks.astype(np.float32))
    mean = float(np.log(total / counts.exposure.sum()))
    level = torch.full((len(pairs.used_query),), mean, requires_grad=True)
    steepness = torch.full((), 0.3, requires_grad=True)
    log_shape = torch.tensor(float(np.log(config.shape)))
    x = np.zeros((views[0].shape[0], 0), np.float32) if traits is None or not config.appeal else traits
    trait = torch.from_numpy(np.asarray(x[pairs.used_item], np.float32))
    trait_weight = torch.zeros(trait.shape[1], requires_grad=True)
    intercept = torch.zeros(len(pairs.used_item), requires_grad=config.appeal)
    beside = [part for part in (steepness, level, trait_weight, intercept) if part.requires_grad]

    def loss_of(score: torch.Tensor) -> torch.Tensor:
        appeal = trait @ trait_weight + intercept
        eta = log_exposure + level[pairs.query_at] + score + appeal[pairs.item_at]
        prior = config.item_ridge * intercept.square().sum() + _STRENGTH * (level - mean).square().sum()
        fitted = _log_likelihood(eta, clicks, log_shape).sum() - 0.5 * prior
        return -fitted / len(counts.clicks)

    first = torch.optim.Adam(beside, lr=config.appeal_learning_rate)
    plain = pairs.scores @ pairs.start
    for _ in range(config.appeal_steps):
        _step(first, loss_of(steepness * plain))
    # From here on the score alone may grow or shrink, or its pull to the start would hold nothing.
    steepness.requires_grad_(False)
    beside = [part for part in beside if part is not steepness]
    then = torch.optim.Adam(
        [
            {"params": pairs.learned, "lr": config.learning_rate},
            {"params": beside, "lr": config.appeal_learning_rate},
        ]
    )
    for _ in range(config.steps):
        _step(then, loss_of(steepness * pairs()) + config.ridge * pairs.pull())
    drawn = np.asarray(x, np.float64) @ trait_weight.detach().numpy().astype(np.float64)
    drawn[pairs.used_item] += intercept.detach().numpy()
    return ClickRanker(
        ranker=pairs.ranker(),
        appeal=drawn,
        shape=config.shape,
        steepness=float(steepness.detach()),
        level=float(level.detach().mean()),
    )


def _log_likelihood(eta: torch.Tensor, clicks: torch.Tensor, log_shape: torch.Tensor) -> torch.Tensor:
    """Of the negative binomial with mean exp(eta), without log(clicks!), which nothing learned changes."""
    k = log_shape.exp()
    constant = torch.lgamma(clicks + k) - torch.lgamma(k) + k * log_shape
    return clicks * eta - (clicks + k) * torch.logaddexp(eta, log_shape) + constant


def _step(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
