"""Vectors of the catalogue that stand by in training: contrast with all of it, at the price of a batch.

A batch's own items are few, and most were shown for its queries: told apart from those alone, an encoder learns which
of several fitting items people clicked, and forgets what does not fit at all. Vectors of further items, as the network
last gave them, are contrast that costs a product. They are a little out of date, which does no harm while the weights
move slowly (Wang, Zhang, Huang, Scott, "Cross-batch memory for embedding learning", CVPR 2020).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.tuning.config import TuningConfig
from encoders.tuning.examples import Examples

__all__ = ["stored_items"]


def stored_items(examples: Examples, config: TuningConfig) -> NDArray[np.int64]:
    """Rows (B,) of the items whose vectors stand by, ascending; none where the loss does not take them.

    All items where `config.contrast` allows it, else half of those most looked at and as many at random. Losses over
    pairs of items take none: they grow with the square of the items.
    """
    if config.ranking not in ("softmax", "contrastive") or examples.teacher is not None:
        return np.zeros(0, np.int64)
    n = len(examples.items)
    if n <= config.contrast:
        return np.arange(n)
    looked_at = np.bincount(examples.pairs.item, weights=examples.pairs.exposure, minlength=n)
    first = np.argsort(-looked_at, kind="stable")[: (config.contrast + 1) // 2]
    rest = np.setdiff1d(np.arange(n), first)
    drawn = np.random.default_rng(config.seed).choice(rest, config.contrast - len(first), replace=False)
    return np.sort(np.concatenate([first, drawn]))
