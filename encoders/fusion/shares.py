"""How much of a fusion to take: as much as later sessions bear out, and none where they speak against it.

A fusion is learned beside the words of queries, and stands in the end beside all that the text model knows, vectors of
single queries among it. Some of what it learned is known there already, and in a small log some of it is chance. With
`t` the text model's logit and `f` what the fusion adds, a share `s` out of five is chosen by the logistic loss of later
clicks at `t + s f + b`, with `b` fitted to them; and likewise for purchases given a click.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.features import RelevanceTables
from encoders.fusion.learning import FusionModel
from encoders.fusion.modalities import Modalities
from encoders.logistic import fit_logistic
from encoders.pairs import PairCounts

__all__ = ["Shares", "take_shares"]

_GRID = (0.0, 0.25, 0.5, 0.75, 1.0)
_FEWEST = 20.0  # clicks, or purchases: fewer say nothing


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Of what the fusion adds to each logit, how much is taken."""

    click: float = 1.0
    """Of clicks; 0: the text model stands alone."""
    purchase: float = 1.0
    """Of purchases given a click."""


def take_shares(
    fusion: FusionModel,
    base: RelevanceTables,
    query: NDArray[np.float32],
    modalities: Modalities,
    later: PairCounts,
) -> Shares:
    """Choose the shares by `later`, and scale the fusion's maps from queries by them, in place.

    Args:
        fusion: As it was learned.
        base: The text model that it will stand beside.
        query: Query vectors (Q, D), as in `fit_fusion`.
        modalities: Of the items (I).
        later: Pairs of sessions that nothing was learned from; with fewer than 20 clicks, or purchases, all is taken.
    """
    whole, width = fusion.tables(base, query, modalities), base.item.shape[1]
    found = []
    for text_query, text_bias, fused_query, hits, misses in (
        (base.click_query, base.click_bias, whole.click_query, later.clicks, later.misses),
        (
            base.purchase_query,
            base.purchase_bias,
            whole.purchase_query,
            later.purchases,
            later.clicks - later.purchases,
        ),
    ):
        text = _dots(text_query, base.item, later) + text_bias
        added = _dots(fused_query[:, width:], whole.item[:, width:], later)
        found.append(_chosen(text, added, hits, misses))
    unit = fusion.unit
    with torch.no_grad():
        for number, (layer, choice) in enumerate(zip((unit.click, unit.buy), found, strict=True)):
            if choice is not None:
                layer.weight.mul_(choice[0])
                layer.bias.mul_(choice[0])
                unit.level[number] = choice[1]
    click, purchase = (1.0 if choice is None else choice[0] for choice in found)
    return Shares(click=click, purchase=purchase)


def _dots(query: NDArray[np.float32], item: NDArray[np.float32], pairs: PairCounts) -> NDArray[np.float64]:
    dots: NDArray[np.float64] = np.einsum("pr,pr->p", query[pairs.query], item[pairs.item]).astype(np.float64)
    return dots


def _chosen(
    text: NDArray[np.float64],
    added: NDArray[np.float64],
    hits: NDArray[np.float64],
    misses: NDArray[np.float64],
) -> tuple[float, float] | None:
    """Share and level of the least loss; None where there is too little to tell."""
    if hits.sum() < _FEWEST or misses.sum() <= 0.0:
        return None
    tried = []
    for share in _GRID:
        logit = text + share * added
        # A stiff prior at slope 1 leaves only the level to be fitted.
        _, level = fit_logistic(logit[:, None], hits, misses, ridge=1e9, centre=np.ones(1))
        loss = float(hits @ np.logaddexp(0.0, -logit - level) + misses @ np.logaddexp(0.0, logit + level))
        tried.append((loss, share, level))
    _, share, level = min(tried)
    return share, level if share else 0.0
