"""How tightly the columns of a feature row are held to nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.features import FeatureTables
from simulators.kernels.session import N_FIXED
from simulators.parts.rows import impression_names, page_names, pair_names

__all__ = ["NAMED_PENALTY", "page_penalty", "row_penalty"]

NAMED_PENALTY = 0.1
"""Of a column of a page row, and of the context."""
_OWN_PENALTY = 0.3  # of a column with a name of its own
_CROSS_PENALTY = 3.0  # of a product of context and item: there are many, and hardly any matters
_MATCH_PENALTY = 0.1  # of a product of query and item vector
_LEAKING_PENALTY = 10.0  # of an item's click rate, which knows the very clicks that are to be explained
_DOUBLED_PENALTY = 10.0  # of a column that another one says better
_PAIR_PENALTY = 0.03  # of what is known of query and item together


def row_penalty(features: FeatureTables, context_names: tuple[str, ...]) -> NDArray[np.float32]:
    """Relative tightness (P,) of the prior on standardised columns: none for the constant, most for products.

    The ratios were chosen on logs of the demo store that no figure is reported on.
    """
    n_pair, width = len(pair_names(features)), features.item_vectors.shape[1]
    n_numeric, n_context = len(features.numeric_names), len(context_names)
    names = impression_names(features, context_names)
    penalty = np.full(len(names), _CROSS_PENALTY, np.float32)
    at = N_FIXED + n_numeric
    penalty[:at] = _OWN_PENALTY
    penalty[at : at + n_context] = NAMED_PENALTY
    end = len(names) - n_pair
    penalty[end - width : end] = _MATCH_PENALTY
    penalty[end:] = _PAIR_PENALTY
    if "popularity" in features.numeric_names:
        penalty[N_FIXED + features.numeric_names.index("popularity")] = _LEAKING_PENALTY
    penalty[0] = 0.0
    return penalty


def page_penalty(features: FeatureTables, context_names: tuple[str, ...]) -> NDArray[np.float32]:
    """Relative tightness (PP,) of the prior on standardised columns of a page row: none for the constant.

    The page's relevance is held tight: its appeal, by the click model just fitted, says the same and more, and two
    columns that share a weight reach half as far beyond the pages of the log as one.
    """
    names = page_names(features, context_names)
    penalty = np.full(len(names), NAMED_PENALTY, np.float32)
    penalty[0] = 0.0
    for name in ("mean relevance of the page", "best relevance of the page"):
        penalty[names.index(name)] = _DOUBLED_PENALTY
    return penalty
