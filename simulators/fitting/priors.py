"""How tightly the columns of a feature row are held to nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.features import FeatureTables
from simulators.parts.rows import impression_names

__all__ = ["NAMED_PENALTY", "row_penalty"]

NAMED_PENALTY = 0.1
"""Of a column with a name."""
_MATCH_PENALTY = 0.3


def row_penalty(features: FeatureTables, context_names: tuple[str, ...]) -> NDArray[np.float32]:
    """Relative tightness (P,) of the prior on standardised columns: none for the constant, most for products."""
    names = impression_names(features, context_names)
    penalty = np.full(len(names), NAMED_PENALTY, np.float32)
    penalty[0] = 0.0
    penalty[len(names) - features.item_vectors.shape[1] :] = _MATCH_PENALTY
    return penalty
