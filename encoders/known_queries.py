"""What the log taught of single queries: for each query it knows, a vector of its own beside the one of its text.

A text encoder sees a query through its words. Slang, misspellings and vague wishes ("cosy living room") mean more than
their words do, and the people who clicked knew it. So a query of the log gets an offset `d_q` in the space of items,

    click_logit = (q * w_click + d_q) @ i + b_click + c_q,

which carries over to items that look like the clicked ones, not to those alone. The offsets are held towards zero, so a
query seen rarely stays with its text; queries the log does not know have none.

It is the step from a model of features to one of features and identities, as in hybrid recommenders (Kula, "Metadata
embeddings for user and item cold-start recommendations", arXiv 1507.08439), for queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from encoders.logistic import fit_logistic
from encoders.pairs import PairCounts
from encoders.relevance import Heads, KnownQueries, project

__all__ = ["KnownQueriesConfig", "fit_known_queries", "prior_gain"]


_MOST_SCORES = 4_000_000  # in memory at a time


@dataclass(frozen=True, kw_only=True)
class KnownQueriesConfig:
    """How the offsets of known queries are learned.

    Loss of a query with `C` clicks, summed over queries:
    `pointwise + ranking_weight (C + 1) listwise + ridge / 2 |d_q|^2`, with the logistic loss of examined impressions,
    and listwise the cross-entropy between `prior_gain` of the query's items and the softmax of its scores over the
    whole catalogue, where items never shown for the query count `unshown_weight` each.
    """

    enabled: bool = True
    """Give known queries vectors of their own."""
    ridge: float = 3.0
    """Pull of the offsets towards zero."""
    ranking_weight: float = 10.0
    """Weight of the listwise term."""
    unshown_weight: float = 0.5
    """Weight of an item not shown for the query, in the softmax."""
    prior: float = 10.0
    """Examined impressions that the model's own click rate is worth, beside the log's."""
    shown_gain: float = 1.0
    """How much having been shown often adds to an item's gain: a shop shows what it has reason to show."""
    steps: int = 80
    """Full-batch Adam steps."""
    learning_rate: float = 0.02
    """Adam's, falling to zero by a cosine."""


def prior_gain(
    pairs: PairCounts, expected: NDArray[np.float64], *, prior: float, shown_gain: float
) -> NDArray[np.float64]:
    """How good each pair (P,) looks: its click rate shrunk to `expected` (P,), more where the shop showed it often.

    `(clicks + prior expected) / (exposure + prior) (1 + shown_gain log(1 + impressions))`.
    """
    rate = (pairs.clicks + prior * expected) / (pairs.exposure + prior)
    gain: NDArray[np.float64] = rate * (1.0 + shown_gain * np.log1p(pairs.impressions))
    return gain


def fit_known_queries(
    heads: Heads,
    item: NDArray[np.float32],
    query: NDArray[np.float32],
    texts: Sequence[str],
    pairs: PairCounts,
    config: KnownQueriesConfig,
    *,
    later: PairCounts | None = None,
    start: KnownQueries | None = None,
    progress: bool = True,
) -> KnownQueries:
    """Learn an offset for every query of `pairs`.

    Args:
        heads: The fitted model; it stays as it is.
        item: Raw item vectors (I, D).
        query: Raw query vectors (Q, D).
        texts: Query texts (Q).
        pairs: Counts of pairs whose query has a text, ordered by query.
        config: Loss and optimiser.
        later: Counts of a later part of the log: they set how sure the scores of known queries are, since those were
            fitted to the very clicks of `pairs`. None leaves them as they were fitted.
        start: What earlier logs taught: the offsets of these queries are held towards it in place of zero, and stay as
            they are where `pairs` does not ask for them.
        progress: Show a bar.
    """
    if pairs.n_pairs == 0 or pairs.clicks.sum() == 0.0:
        return KnownQueries.none(item.shape[1]) if start is None else start
    known, place = np.unique(pairs.query, return_inverse=True)
    S, D = len(known), item.shape[1]
    i = torch.from_numpy(project(item, heads.projection))  # (I, D)
    base = torch.from_numpy(project(query[known], heads.projection) * heads.click_weight)  # (S, D)
    row, column = torch.from_numpy(place.astype(np.int64)), torch.from_numpy(pairs.item.astype(np.int64))
    hits, misses = torch.from_numpy(pairs.clicks).float(), torch.from_numpy(pairs.misses).float()
    bias = torch.tensor(float(heads.bias[0]))
    asked = [texts[q] for q in known]
    centre, intercept = torch.zeros((S, D)), 0.0
    if start is not None:
        here, there = start.rows(asked)
        centre[torch.from_numpy(here)] = torch.from_numpy(start.click[there, :D])
        intercept = float(start.click[there, D].mean()) if there.size else 0.0
    with torch.no_grad():
        expected = (
            torch.sigmoid(((base + centre)[row] * i[column]).sum(1) + bias + intercept)
            .numpy()
            .astype(np.float64)
        )
    gain = prior_gain(pairs, expected, prior=config.prior, shown_gain=config.shown_gain)
    total = np.bincount(place, weights=gain, minlength=S)
    clicks = np.bincount(place, weights=pairs.clicks, minlength=S)
    share = torch.from_numpy(gain / np.maximum(total[place], 1e-12)).float()  # (P,)
    weight = torch.from_numpy(clicks + 1.0).float()  # (S,)
    unshown = float(np.log(max(config.unshown_weight, 1e-6)))
    # A share of the queries at a time: the table of scores (S, I) of a large shop would not fit.
    cuts = np.arange(0, S, max(1, _MOST_SCORES // max(item.shape[0], 1)))
    parts = [
        (slice(a, b), slice(*np.searchsorted(place, [a, b]).tolist()))
        for a, b in zip(cuts, [*cuts[1:], S], strict=True)
    ]

    offset = centre.clone().requires_grad_()
    shift = torch.tensor(intercept).requires_grad_()
    optimiser = torch.optim.Adam([offset, shift], lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    softplus = torch.nn.functional.softplus
    for _ in tqdm(range(config.steps), desc="queries", leave=False, disable=None if progress else True):
        optimiser.zero_grad()
        for some, pair in parts:
            score = (base[some] + offset[some]) @ i.T  # (S', I)
            at = row[pair] - some.start, column[pair]
            shown = score[at]
            logit = shown + bias + shift
            pointwise = (hits[pair] * softplus(-logit) + misses[pair] * softplus(logit)).sum()
            # Items never shown count less in the sum; those that were shown count whole.
            log_weight = torch.full_like(score, unshown).index_put(at, torch.zeros_like(shown))
            normaliser = torch.logsumexp(score + log_weight, dim=1)  # (S',)
            listwise = (share[pair] * (normaliser[at[0]] - shown) * weight[some][at[0]]).sum()
            held = 0.5 * config.ridge * (offset[some] - centre[some]).square().sum()
            (pointwise + config.ranking_weight * listwise + held).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    own = (base + offset).detach().numpy()  # (S, D)
    slope, level = 1.0, float(heads.bias[0]) + float(shift.detach())
    if later is not None:
        slope, level = _how_sure(own, i.numpy(), known, later, slope, level)
    click = np.concatenate([slope * own - base.numpy(), np.full((S, 1), level - heads.bias[0])], axis=1)
    found = KnownQueries(texts=tuple(asked), click=click.astype(np.float32))
    return found if start is None else _joined(found, start)


def _joined(new: KnownQueries, old: KnownQueries) -> KnownQueries:
    """All of `new`, and what `old` knows beside it."""
    known = set(new.texts)
    others = [row for row, text in enumerate(old.texts) if text not in known]
    return KnownQueries(
        texts=(*new.texts, *(old.texts[row] for row in others)),
        click=np.concatenate([new.click, old.click[others]]),
    )


def _how_sure(
    own: NDArray[np.float32],
    item: NDArray[np.float32],
    known: NDArray[np.int32],
    later: PairCounts,
    slope: float,
    level: float,
) -> tuple[float, float]:
    """Slope and level that fit the later clicks of known queries; one scale for all, so no order changes."""
    at = np.minimum(np.searchsorted(known, later.query), len(known) - 1)
    rows = known[at] == later.query
    if later.clicks[rows].sum() < 20.0:
        return slope, level
    later, at = later.take(rows), at[rows]
    score = np.einsum("pd,pd->p", own[at], item[later.item]).astype(np.float64)[:, None]
    w, b = fit_logistic(score, later.clicks, later.misses, ridge=1.0, centre=np.ones(1))
    return max(0.1, float(w[0])), b
