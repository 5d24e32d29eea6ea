"""Sums over resampled sessions: what bootstrap intervals in this room are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["resampled_sums", "sums_by_session"]

_CHUNK = 4_000_000  # weights held at once


def sums_by_session(values: NDArray[np.float64], session: NDArray[Any]) -> NDArray[np.float64]:
    """Sums (S, J) of (M, J) over the pages of each session."""
    _, dense = np.unique(session, return_inverse=True)
    out = np.zeros((int(dense.max()) + 1, values.shape[1]))
    np.add.at(out, dense, values)
    return out


def resampled_sums(values: NDArray[np.float64], n_bootstrap: int, seed: int) -> NDArray[np.float64]:
    """Sums (R, J) of `values` (S, J) under independent Poisson(1) weights of the sessions; one row a resample.

    The same seed draws the same sessions, so that two models are compared on the same resamples.
    """
    rng = np.random.default_rng([seed, 0xB007])
    n = len(values)
    chunk = max(1, _CHUNK // max(n, 1))
    return np.concatenate(
        [
            rng.poisson(1.0, (min(chunk, n_bootstrap - start), n)).astype(np.float64) @ values
            for start in range(0, n_bootstrap, chunk)
        ]
    )
