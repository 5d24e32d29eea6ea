"""Rules of a shop at work on a page: what is in stock, who may stand where, and what a page asked for would break."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.rng import Purpose, uniform4
from simulators.kernels.twins import Twin

__all__ = ["N_COSTS", "hide", "legal_choices", "place"]

_STOCK = int(Purpose.STOCK)

STOCK, BRAND, SPONSORED = range(3)
N_COSTS = 3
"""Costs of a page: struck-out items asked for, items beyond the brand's limit, sold positions not kept."""


@njit(cache=True)
def _in_stock(seed: Any, user: Any, step: Any, item: Any, sold_out: Any, selling_out: Any, pages: Any) -> Any:
    """Whether this user finds `item` in stock on page `step`: sold out from the first, or from some page on."""
    u0, u1, u2, _ = uniform4(seed, user, item, _STOCK, 0)
    if u0 < sold_out:
        return False
    return u1 >= selling_out or step <= np.int64(u2 * pages)


@njit(cache=True)
def _stock(
    seed: Any,
    user: Any,
    step: Any,
    candidates: Any,  # (N,)
    least: Any,
    sold_out: Any,
    selling_out: Any,
    pages: Any,
    out: Any,  # (N,) bool
) -> None:
    """What can be chosen; where fewer than `least` items are left, the first of the others count as in stock."""
    left = 0
    for n in range(candidates.shape[0]):
        item = candidates[n]
        out[n] = item >= 0 and _in_stock(seed, user, step, item, sold_out, selling_out, pages)
        left += out[n]
    for n in range(candidates.shape[0]):
        if left >= least:
            break
        if candidates[n] >= 0 and not out[n]:
            out[n] = True
            left += 1


@njit(cache=True)
def _legal(
    a: Any,
    k: Any,
    candidates: Any,
    stock: Any,
    positions: Any,  # (K,) the first k are taken
    brand: Any,
    sponsored: Any,
    most: Any,
    sold: Any,  # (K,) whether position k is sold
) -> Any:
    """0: may stand at k; 1: taken or not in stock; 2: too many of its brand; 3: not sponsored, and k is sold."""
    if not stock[a]:
        return 1
    same = 0
    for j in range(k):
        if positions[j] == a:
            return 1
        if brand[candidates[positions[j]]] == brand[candidates[a]]:
            same += 1
    if same >= most:
        return 2
    if sold[k] and not sponsored[candidates[a]]:
        return 3
    return 0


@njit(cache=True)
def _choose(
    wanted: Any,
    k: Any,
    candidates: Any,
    stock: Any,
    positions: Any,
    brand: Any,
    sponsored: Any,
    most: Any,
    sold: Any,
    enforce: Any,
) -> Any:
    """The choice nearest after `wanted`, cyclically, that may stand at k; rules that cannot be kept give way."""
    N = candidates.shape[0]
    if enforce:
        for gives_way in range(1, 3):  # first nothing; then the sold position, which some page cannot keep
            for offset in range(N):
                a = (wanted + offset) % N
                fault = _legal(a, k, candidates, stock, positions, brand, sponsored, most, sold)
                if fault == 0 or (gives_way == 2 and fault == 3):
                    return a
    for offset in range(N):
        a = (wanted + offset) % N
        if _legal(a, k, candidates, stock, positions, brand, sponsored, most, sold) != 1:
            return a
    return wanted


@Twin
def place(
    rows: Any,  # (R,)
    actions: Any,  # (B, K)
    query: Any,  # (B,)
    user: Any,
    step: Any,
    items: Any,  # (Q, N)
    brand: Any,  # (I,)
    sponsored: Any,  # (I,)
    most: Any,
    sold: Any,  # (K,)
    enforce: Any,
    seed: Any,
    sold_out: Any,
    selling_out: Any,
    pages: Any,
    positions: Any,  # out (B, K)
    slates: Any,  # out (B, K)
    repairs: Any,  # out (B,)
    costs: Any,  # out (B, 3)
) -> None:
    """Actions to slates that keep the rules, and what the actions themselves would have broken."""
    for r in prange(rows.shape[0]):
        b = rows[r]
        candidates = items[query[b]]
        stock = np.empty(candidates.shape[0], np.bool_)
        K = actions.shape[1]
        _stock(seed, user[b], step[b], candidates, K, sold_out, selling_out, pages, stock)
        repairs[b] = 0
        costs[b, :] = 0.0
        for k in range(K):
            wanted = actions[b, k]
            if not stock[wanted]:
                costs[b, STOCK] += 1.0
            else:
                fault = _legal(wanted, k, candidates, stock, positions[b], brand, sponsored, most, sold)
                if fault == 2:
                    costs[b, BRAND] += 1.0
                elif fault == 3:
                    costs[b, SPONSORED] += 1.0
            a = _choose(wanted, k, candidates, stock, positions[b], brand, sponsored, most, sold, enforce)
            positions[b, k] = a
            slates[b, k] = candidates[a]
            if a != wanted:
                repairs[b] += 1


@Twin
def hide(
    rows: Any,  # (R,)
    user: Any,  # (B,)
    step: Any,
    seed: Any,
    least: Any,
    sold_out: Any,
    selling_out: Any,
    pages: Any,
    candidates: Any,  # (B, N) struck out in place
    scores: Any,  # (B, N)
    seen: Any,  # (B, N)
) -> None:
    """Strike out of the observations at `rows` what is not in stock."""
    for r in prange(rows.shape[0]):
        b = rows[r]
        stock = np.empty(candidates.shape[1], np.bool_)
        _stock(seed, user[b], step[b], candidates[b], least, sold_out, selling_out, pages, stock)
        for n in range(candidates.shape[1]):
            if not stock[n]:
                candidates[b, n] = -1
                scores[b, n] = 0.0
                seen[b, n] = 0.0


@njit(cache=True)
def legal_choices(
    page: Any,  # (K,) positions chosen so far
    chosen: Any,  # how many
    candidates: Any,  # (N,) with what is out of stock struck out
    brand: Any,
    sponsored: Any,
    most: Any,
    sold: Any,
    enforce: Any,
    out: Any,  # (N,) bool
) -> None:
    """What may stand at the next position of a page; rules that cannot be kept give way, as in `place`."""
    N = candidates.shape[0]
    stock = candidates >= 0
    for allowed in range(0, 3):  # nothing gives way; the sold position; every rule but stock and repeats
        if not enforce and allowed < 2:
            continue
        found = False
        for n in range(N):
            fault = _legal(n, chosen, candidates, stock, page, brand, sponsored, most, sold)
            out[n] = fault == 0 or (allowed >= 1 and fault == 3) or (allowed == 2 and fault == 2)
            found = found or out[n]
        if found:
            return
