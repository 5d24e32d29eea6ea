"""The losses of fine-tuning, as pure functions of tensors.

Rows are queries `G`, columns the items of the batch `U`. `gain` says how good an item is for the query (a debiased
click rate, a rating), `weight` how much it counts as an item of that query: 1 where it was shown or judged, less where
it only happens to be in the batch, 0 where it is to be left out.
"""

from __future__ import annotations

import torch

__all__ = [
    "contrastive",
    "distilled",
    "entire_space",
    "lambda_loss",
    "listwise_softmax",
    "pairwise_logistic",
    "pointwise",
    "uncertainty_weighted",
]

_softplus = torch.nn.functional.softplus
_NEVER = -1e9  # log of weight 0: infinities would make gradients nan


def pointwise(
    logit: torch.Tensor, hits: torch.Tensor, misses: torch.Tensor, *, positive_weight: float = 1.0
) -> torch.Tensor:
    """Binary cross-entropy of counts: mean over all hits and misses of -log p or -log(1-p).

    Args:
        logit: Any shape.
        hits: Positives of each entry, not negative; fractions are fine.
        misses: Negatives of each entry.
        positive_weight: What a hit counts against a miss: above 1 where hits are few.
    """
    loss = positive_weight * hits * _softplus(-logit) + misses * _softplus(logit)
    return loss.sum() / (positive_weight * hits + misses).sum().clamp(min=1e-12)


def pairwise_logistic(logit: torch.Tensor, gain: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """RankNet: mean over pairs of a row with gain_i > gain_j of log(1 + exp(s_j - s_i)); shapes (G, U).

    A pair counts the product of its weights. Rows without a pair are left out of the mean over rows. Source: Burges
    et al., "Learning to rank using gradient descent", ICML 2005, section 3.
    """
    pair = _ordered(gain) * weight.unsqueeze(2) * weight.unsqueeze(1)  # (G, U, U)
    gap = logit.unsqueeze(2) - logit.unsqueeze(1)  # (G, U, U) s_i - s_j
    total = pair.sum((1, 2))
    row = (pair * _softplus(-gap)).sum((1, 2)) / total.clamp(min=1e-12)
    return _mean(row, total > 0)


def lambda_loss(
    logit: torch.Tensor, gain: torch.Tensor, weight: torch.Tensor, *, sigma: float = 1.0
) -> torch.Tensor:
    """LambdaLoss, NDCG-Loss2++: pairs weigh by what swapping them changes in NDCG; shapes (G, U).

    sum over gain_i > gain_j of (mu |1/D(|i-j|) - 1/D(|i-j|+1)| + |1/D(i) - 1/D(j)|) |g_i - g_j| / maxDCG times
    log2(1 + exp(-sigma (s_i - s_j))), with D(r) = log2(1 + r), ranks r from 1 in the order of the present scores, and
    mu 10. Source: Wang, Li, Golbandi, Bendersky, Najork, "The LambdaLoss framework for ranking metric optimization",
    CIKM 2018, equations 14 to 18. `gain` is taken as it is (2^rating - 1 for ratings).
    """
    mu = 10.0
    inside = weight > 0
    order = torch.where(inside, logit.detach(), -torch.inf).argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(1, logit.shape[1] + 1, device=logit.device).expand_as(order)
    )  # (G, U) from 1
    discount = 1.0 / torch.log2(1.0 + rank.to(logit.dtype))
    apart = (rank.unsqueeze(2) - rank.unsqueeze(1)).abs().to(logit.dtype).clamp(min=1.0)
    by_distance = 1.0 / torch.log2(1.0 + apart) - 1.0 / torch.log2(2.0 + apart)
    by_place = (discount.unsqueeze(2) - discount.unsqueeze(1)).abs()
    good = torch.where(inside, gain, torch.zeros_like(gain))
    best, _ = good.sort(dim=1, descending=True)
    ideal = (best / torch.log2(2.0 + torch.arange(best.shape[1], device=best.device))).sum(1)  # (G,)
    change = (good.unsqueeze(2) - good.unsqueeze(1)).abs() / ideal.clamp(min=1e-12)[:, None, None]
    pair = _ordered(good) * weight.unsqueeze(2) * weight.unsqueeze(1) * (mu * by_distance + by_place) * change
    gap = logit.unsqueeze(2) - logit.unsqueeze(1)
    row = (pair * _softplus(-sigma * gap)).sum((1, 2)) / torch.log(torch.tensor(2.0))
    return _mean(row, ideal > 0)


def listwise_softmax(logit: torch.Tensor, gain: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Cross-entropy between a row's share of gain and the softmax of its scores; shapes (G, U).

    An item of weight w counts w in the softmax's sum, so 0 leaves it out. Rows without gain are left out. Source: Cao,
    Qin, Liu, Tsai, Li, "Learning to rank: from pairwise approach to listwise approach", ICML 2007 (ListNet, top one).
    """
    share, some = _share(gain * (weight > 0))
    log_p = torch.log_softmax(logit + _log(weight), dim=1)
    surprise = torch.where(share > 0, -share * log_p, torch.zeros_like(share))  # 0 times -inf is 0 here
    return _mean(surprise.sum(1), some)


def contrastive(
    cosine: torch.Tensor, gain: torch.Tensor, weight: torch.Tensor, *, temperature: float = 0.05
) -> torch.Tensor:
    """InfoNCE: every positive against the row's negatives; shapes (G, U).

    Mean over positives p (gain above 0) of -log(exp(c_p/t) / (exp(c_p/t) + sum over negatives n of w_n exp(c_n/t))).
    Other positives of the row are not pushed away. Source: van den Oord, Li, Vinyals, arXiv 1807.03748, equation 4.
    """
    scaled = cosine / temperature
    positive = (gain > 0) & (weight > 0)
    others = torch.where(positive, _NEVER, scaled + _log(weight))
    against = torch.logsumexp(others, dim=1, keepdim=True)  # (G, 1)
    loss = torch.logaddexp(scaled, against) - scaled
    some = positive & (against > 0.5 * _NEVER)
    return _mean(torch.where(some, loss, torch.zeros_like(loss)).flatten(), some.flatten())


def distilled(
    logit: torch.Tensor, teacher: torch.Tensor, weight: torch.Tensor, *, temperature: float = 1.0
) -> torch.Tensor:
    """Kullback-Leibler divergence of a row's softmax from the teacher's, times temperature squared; shapes (G, U).

    Source: Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", arXiv 1503.02531, section 2.
    """
    bias = _log((weight > 0).to(logit.dtype))
    log_p = torch.log_softmax(logit / temperature + bias, dim=1)
    log_t = torch.log_softmax(teacher / temperature + bias, dim=1)
    difference = torch.where(weight > 0, log_t.exp() * (log_t - log_p), torch.zeros_like(log_p))
    return temperature**2 * _mean(difference.sum(1), (weight > 0).any(1))


def entire_space(
    click: torch.Tensor,
    purchase: torch.Tensor,
    clicks: torch.Tensor,
    misses: torch.Tensor,
    purchases: torch.Tensor,
) -> torch.Tensor:
    """Purchases over all impressions: -log likelihood of p = sigmoid(click) sigmoid(purchase), mean over impressions.

    So the chance of a purchase given a click is learned on the whole space, not on clicked items alone, which are not
    like the others. Add `pointwise(click, ...)` for the clicks. Source: Ma et al., "Entire space multi-task model",
    SIGIR 2018, equation 3 (its second term).
    """
    log_p = -_softplus(-click) - _softplus(-purchase)  # log of the product
    # 1 - p = (1 - c) + c (1 - b): in logs, so that nothing is lost near 0 and 1.
    log_rest = torch.logaddexp(-_softplus(click), -_softplus(-click) - _softplus(purchase))
    none = clicks + misses - purchases
    return -(purchases * log_p + none * log_rest).sum() / (clicks + misses).sum().clamp(min=1e-12)


def uncertainty_weighted(losses: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Sum over tasks of exp(-s) L + s / 2 with s = log sigma^2 learned; both (T,).

    Source: Kendall, Gal, Cipolla, "Multi-task learning using uncertainty to weigh losses", CVPR 2018, equation 10 (for
    tasks of classification).
    """
    return (torch.exp(-log_variance) * losses + 0.5 * log_variance).sum()


def _log(weight: torch.Tensor) -> torch.Tensor:
    return torch.log(weight.clamp(min=1e-30)).masked_fill(weight <= 0, _NEVER)


def _ordered(gain: torch.Tensor) -> torch.Tensor:
    """1 where gain_i > gain_j, (G, U, U)."""
    return (gain.unsqueeze(2) > gain.unsqueeze(1)).to(gain.dtype)


def _share(gain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    total = gain.sum(1, keepdim=True)
    return gain / total.clamp(min=1e-12), total[:, 0] > 0


def _mean(values: torch.Tensor, some: torch.Tensor) -> torch.Tensor:
    """Mean of `values` where `some`; 0, with a gradient, where there is none."""
    return (values * some).sum() / some.sum().clamp(min=1)
