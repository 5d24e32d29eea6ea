"""Learning the heads on cached embeddings, with every pair of the log and the whole catalogue as contrast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from encoders.logistic import fit_cautiously, fit_logistic
from encoders.pairs import PairCounts
from encoders.relevance import Heads, project
from encoders.robustness.adversary import AdversaryConfig, adversarial_loss

__all__ = ["HeadConfig", "calibrate", "fit_empty_query", "fit_projection", "zero_shot_heads"]


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """How the projection and the two heads are learned.

    Loss: `pointwise + ranking_weight * listwise + prior / clicks * |P - 1|^2`, with the pointwise logistic loss on
    examined impressions, and listwise the cross-entropy between the debiased click rates of a query's items and the
    softmax of its scores over the whole catalogue, where items never shown for the query count `unshown_weight`
    each (they were not refused, only not shown).
    """

    steps: int = 150
    """Full-batch Adam steps."""
    learning_rate: float = 2e-3
    """Adam's."""
    ranking_weight: float = 1.0
    """Weight of the listwise term."""
    unshown_weight: float = 0.3
    """Weight of an item not shown for the query, in the softmax."""
    prior: float = 150.0
    """Pull of the projection towards where it starts, against the clicks of the log: what keeps the pretrained
    geometry, the more so the less the log tells."""


def zero_shot_heads(item: NDArray[np.float32], query: NDArray[np.float32], pairs: PairCounts) -> Heads:
    """Heads that only scale the cosine, with scale and bias fitted to the counts of `pairs`."""
    plain = Heads.plain(item.shape[1], click_scale=10.0, purchase_scale=0.0, bias=(0.0, 0.0))
    return calibrate(plain, item, query, pairs, rescale=True)


def calibrate(
    heads: Heads,
    item: NDArray[np.float32],
    query: NDArray[np.float32],
    pairs: PairCounts,
    *,
    rescale: bool = False,
) -> Heads:
    """Fit one scale and one bias per head on `pairs` (raw vectors of items (I, D) and queries (Q, D)).

    The log shows only what its policy found relevant, so the fitted scale can be too small or even negative; it is
    kept at 2 or more, which never changes the order, only how sure the model is.
    """
    q, i = project(query, heads.projection), project(item, heads.projection)
    keep = np.flatnonzero(q[pairs.query].any(axis=1))
    pairs = pairs.take(keep)
    if pairs.n_pairs == 0:
        return heads
    left, right = q[pairs.query], i[pairs.item]
    if rescale:
        cosine = np.einsum("pd,pd->p", left, right).astype(np.float64)[:, None]
        click_scale, _ = fit_logistic(cosine, pairs.clicks, pairs.misses, ridge=0.1)
        buy_scale, _ = fit_logistic(cosine, pairs.purchases, pairs.clicks - pairs.purchases, ridge=0.1)
        ones = np.ones(item.shape[1], np.float32)
        heads = replace(
            heads,
            click_weight=ones * np.float32(max(2.0, click_scale[0])),
            purchase_weight=ones * np.float32(max(0.0, buy_scale[0])),
        )
    bias = []
    for weight, hits, misses in (
        (heads.click_weight, pairs.clicks, pairs.misses),
        (heads.purchase_weight, pairs.purchases, pairs.clicks - pairs.purchases),
    ):
        logit = np.einsum("pd,pd->p", left * weight, right).astype(np.float64)[:, None]
        # A stiff prior at slope 1 leaves only the bias to be fitted.
        _, b = fit_logistic(logit, hits, misses, ridge=1e9, centre=np.ones(1))
        bias.append(b)
    return replace(heads, bias=np.array(bias))


def fit_empty_query(heads: Heads, item: NDArray[np.float32], pairs: PairCounts, *, seed: int) -> Heads:
    """Learn what the empty query prefers from `pairs` of that query alone; without any, every item is average."""
    x = project(item, heads.projection)[pairs.item].astype(np.float64)
    found = []
    for hits, misses, bias in (
        (pairs.clicks, pairs.misses, heads.bias[0]),
        (pairs.purchases, pairs.clicks - pairs.purchases, heads.bias[1]),
    ):
        if hits.sum() == 0.0:
            found.append(np.zeros(item.shape[1] + 1, np.float32))
            continue
        w, b = fit_cautiously(x, hits, misses, seed=seed)
        found.append(np.append(w, b - bias).astype(np.float32))
    return replace(heads, empty_click=found[0], empty_purchase=found[1])


def fit_projection(
    heads: Heads,
    item: NDArray[np.float32],
    query: NDArray[np.float32],
    pairs: PairCounts,
    config: HeadConfig,
    *,
    adversary: AdversaryConfig | None = None,
    penalty: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    progress: bool = True,
) -> Heads:
    """Learn the projection and the weights of both heads from all `pairs` at once.

    Args:
        heads: Where to start from.
        item: Raw item vectors (I, D).
        query: Raw query vectors (Q, D).
        pairs: Counts of pairs whose query has a text.
        config: Loss and optimiser.
        adversary: Steps away from the query vectors at which the loss is taken once more; none by default.
        penalty: A further term of the loss, of projection (D, D), weights (2, D) and biases (2,).
        progress: Show a bar.
    """
    if pairs.n_pairs == 0 or pairs.clicks.sum() == 0.0:
        return heads
    shown, place = np.unique(pairs.query, return_inverse=True)
    q_raw = torch.from_numpy(query[shown])  # (S, D)
    i_raw = torch.from_numpy(item)  # (I, D)
    row, column = torch.from_numpy(place.astype(np.int64)), torch.from_numpy(pairs.item.astype(np.int64))
    target, share = listwise_targets(pairs, place, len(shown))
    log_weight = torch.full((len(shown), item.shape[0]), float(np.log(max(config.unshown_weight, 1e-6))))
    log_weight[row, column] = 0.0  # (S, I)
    t, query_share = torch.from_numpy(target).float(), torch.from_numpy(share).float()
    hits, misses = torch.from_numpy(pairs.clicks).float(), torch.from_numpy(pairs.misses).float()
    bought = torch.from_numpy(pairs.purchases).float()
    scale = float(pairs.exposure.sum())

    projection = torch.from_numpy(heads.projection.copy()).requires_grad_()
    start = projection.detach().clone()
    weights = torch.from_numpy(
        np.stack([heads.click_weight, heads.purchase_weight])
    ).requires_grad_()  # (2, D)
    bias = torch.tensor(heads.bias, dtype=torch.float32).requires_grad_()
    optimiser = torch.optim.Adam(
        [{"params": [projection], "lr": config.learning_rate}, {"params": [weights, bias], "lr": 0.02}]
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)

    def data_loss(vectors: Sequence[torch.Tensor]) -> torch.Tensor:
        q = torch.nn.functional.normalize(vectors[0] @ projection, dim=1)
        i = torch.nn.functional.normalize(i_raw @ projection, dim=1)
        click = (q * weights[0]) @ i.T  # (S, I)
        observed = click[row, column] + bias[0]  # (P,)
        left, right = q[row], i[column]
        buy = ((left * weights[1]) * right).sum(1) + bias[1]
        pointwise = _logistic(observed, hits, misses) / scale
        purchase = _logistic(buy, bought, hits - bought) / max(float(pairs.clicks.sum()), 1.0)
        normaliser = torch.logsumexp(click + log_weight, dim=1)  # (S,)
        surprise = t * (normaliser[row] - click[row, column])  # (P,)
        ranking = (surprise * query_share[row]).sum()
        return pointwise + 0.1 * purchase + config.ranking_weight * ranking

    pull = config.prior / float(pairs.clicks.sum())
    for _ in tqdm(range(config.steps), desc="heads", leave=False, disable=None if progress else True):
        loss = adversarial_loss(data_loss, [q_raw], adversary or AdversaryConfig())
        loss = loss + pull * (projection - start).square().sum()
        if penalty is not None:
            loss = loss + penalty(projection, weights, bias)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    learned = weights.detach().numpy()
    return replace(
        heads,
        projection=projection.detach().numpy().copy(),
        click_weight=learned[0].copy(),
        purchase_weight=learned[1].copy(),
        bias=bias.detach().numpy().astype(np.float64),
    )


def _logistic(logit: torch.Tensor, hits: torch.Tensor, misses: torch.Tensor) -> torch.Tensor:
    softplus = torch.nn.functional.softplus
    return (hits * softplus(-logit) + misses * softplus(logit)).sum()


def listwise_targets(
    pairs: PairCounts, place: NDArray[np.int64], n_queries: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per pair its share of its query's debiased clicks (P,); per query its share of the loss (S,).

    Queries weigh by the square root of their clicks: heads of the traffic count more, but do not drown the tail.
    """
    rate = pairs.click_rate() * (pairs.clicks > 0)
    total = np.bincount(place, weights=rate, minlength=n_queries)
    clicks = np.bincount(place, weights=pairs.clicks, minlength=n_queries)
    target = rate / np.maximum(total[place], 1e-12)
    share = np.sqrt(clicks)
    return target, share / max(share.sum(), 1e-12)
