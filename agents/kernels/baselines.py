"""Kernels of the reference policies: maximal marginal relevance, and what a session had seen before each step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.twins import Twin

__all__ = ["mmr", "session_history"]


@njit(cache=True)
def _mmr_row(relevance: Any, items: Any, vectors: Any, trade_off: Any, depth: Any, out: Any) -> None:
    N, D = items.shape[0], vectors.shape[1]
    nearest = np.full(N, -1.0)  # highest cosine to a chosen item; nothing chosen: no penalty
    chosen = np.zeros(N, np.bool_)
    for n in range(N):
        out[n] = trade_off * relevance[n] if items[n] >= 0 else -np.inf
    for _ in range(min(depth, N)):
        best = -1
        for n in range(N):
            if not chosen[n] and items[n] >= 0 and (best < 0 or out[n] > out[best]):
                best = n
        if best < 0:
            return
        chosen[best] = True
        for n in range(N):
            if chosen[n] or items[n] < 0:
                continue
            cosine = 0.0
            for d in range(D):
                cosine += vectors[items[n], d] * vectors[items[best], d]
            nearest[n] = max(nearest[n], cosine)
            out[n] = trade_off * relevance[n] - (1.0 - trade_off) * max(nearest[n], 0.0)


@Twin
def mmr(relevance: Any, items: Any, vectors: Any, trade_off: Any, depth: Any, out: Any) -> None:
    """Value (B, N) of each candidate when maximal marginal relevance chooses it; -inf at padding."""
    for b in prange(items.shape[0]):
        _mmr_row(relevance[b], items[b], vectors, trade_off, depth, out[b])


@njit(cache=True)
def session_history(session: Any, item: Any, click: Any, seen: Any, clicked: Any) -> None:
    """Fill `seen` (M, K), earlier showings of each item, and `clicked` (M, H), the last clicks, newest first."""
    M, K = item.shape
    H = clicked.shape[1]
    start = 0
    for m in range(M):
        if m > 0 and session[m] != session[m - 1]:
            start = m
        filled = 0
        for back in range(m - 1, start - 1, -1):
            for j in range(K - 1, -1, -1):
                if item[back, j] < 0:
                    continue
                if click[back, j] and filled < H:
                    clicked[m, filled] = item[back, j]
                    filled += 1
                for k in range(K):
                    if item[m, k] == item[back, j]:
                        seen[m, k] += 1.0
