"""Folds by a hash of the session's label: the same session falls into the same fold in any log and any order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["session_folds"]


def session_folds(labels: NDArray[Any], n_folds: int) -> NDArray[np.int64]:
    """(n,) fold 0 .. `n_folds` - 1 of each label; about as many labels in each."""
    import pandas as pd

    texts = np.asarray([str(label) for label in labels.tolist()], object)
    return (pd.util.hash_array(texts) % np.uint64(n_folds)).astype(np.int64)
