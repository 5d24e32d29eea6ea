"""The loss of a batch, from scores: clicks, ranking, purchases, a teacher; shared by bi- and cross-encoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from encoders.tuning import losses
from encoders.tuning.config import TuningConfig

__all__ = ["N_TASKS", "Scores", "Targets", "batch_loss"]

N_TASKS = 3
"""Click, ranking, purchase."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a model says of a batch, each (G, U)."""

    click: torch.Tensor  # logit of a click, the item examined
    purchase: torch.Tensor  # logit of a purchase given a click
    ranking: torch.Tensor  # what items are ordered by, on the scale of a softmax


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What is known of a batch, each (G, U)."""

    hits: torch.Tensor
    misses: torch.Tensor
    purchases: torch.Tensor
    gain: torch.Tensor
    teacher: torch.Tensor
    shown: torch.Tensor  # 1 where the pair is known
    present: torch.Tensor  # 1 where the item is part of the query's list at all


def batch_loss(
    scores: Scores,
    targets: Targets,
    config: TuningConfig,
    *,
    positive_weight: float,
    distil: bool,
    log_variance: torch.Tensor | None = None,
) -> torch.Tensor:
    """The loss of a batch.

    Args:
        scores: Of the model.
        targets: Of the log.
        config: Which losses.
        positive_weight: What a hit counts against a miss.
        distil: Whether `targets.teacher` is to be matched, in place of the ranking loss.
        log_variance: (N_TASKS,) learned, where tasks weigh by uncertainty.
    """
    weight = targets.present * torch.where(
        targets.shown > 0, torch.ones_like(targets.shown), targets.shown + config.unshown_weight
    )
    click = losses.pointwise(scores.click, targets.hits, targets.misses, positive_weight=positive_weight)
    ranking = _ranking(scores, targets, weight, config, distil=distil)
    if config.purchase == "given_click":
        bought = losses.pointwise(scores.purchase, targets.purchases, targets.hits - targets.purchases)
    elif config.purchase == "entire_space":
        bought = losses.entire_space(
            scores.click, scores.purchase, targets.hits, targets.misses, targets.purchases
        )
    else:
        bought = click.new_zeros(())
    tasks = torch.stack([config.pointwise_weight * click, config.ranking_weight * ranking, bought])
    if log_variance is None:
        return tasks[0] + tasks[1] + config.purchase_weight * tasks[2]
    on = torch.tensor(
        [
            config.pointwise_weight > 0,
            config.ranking_weight > 0 and (distil or config.ranking != "none"),
            config.purchase != "none",
        ],
        device=tasks.device,
    )
    return losses.uncertainty_weighted(tasks[on], log_variance[on])


def _ranking(
    scores: Scores, targets: Targets, weight: torch.Tensor, config: TuningConfig, *, distil: bool
) -> torch.Tensor:
    s, gain = scores.ranking, targets.gain
    if distil:
        return losses.distilled(s, targets.teacher, targets.shown * targets.present)
    if config.ranking == "softmax":
        return losses.listwise_softmax(s, gain, weight)
    if config.ranking == "pairwise":
        return losses.pairwise_logistic(s, gain, weight)
    if config.ranking == "lambda":
        return losses.lambda_loss(s, gain, weight)
    if config.ranking == "contrastive":
        return losses.contrastive(s, gain, weight, temperature=1.0)
    return s.new_zeros(())
