"""The Plackett-Luce model, row by row: top-K, log-probabilities of prefixes, item-position marginals.

A slate is the order in which independent exponential clocks with rates `w = exp(score)` ring. The marginal
probability that item `i` takes position `k` is therefore an integral over its ringing time,

    P(i at k) = int_0^inf w_i exp(-w_i t) P(exactly k of the others have rung by t) dt,

whose last factor is a Poisson-binomial probability. In `x = log t` the integrand is analytic in a strip and decays
at both ends, so that the trapezoid rule converges geometrically.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.twins import Twin

__all__ = ["log_cascade", "marginals", "prefix_sets", "slate_marginals", "top_k"]

# Everything before exp(_START) is negligible: position 0 is exact, and for k >= 1 the integrand falls like
# exp(2x) on the left, so what is cut off is exp(2 * _START) = 5e-12 of the marginal.
_START = -13.0
# The march ends when the probability that a slate is still unfinished is below this: it bounds all that is left.
_UNFINISHED = 1e-17
_RUNG = 4.0  # a clock with rate * time = exp(4) has rung but for 2e-24
_MAX_EXP = 700.0
_OVER = 60.0  # rate * time after which a clock that has not rung adds nothing: exp(-60) = 1e-26


@njit(cache=True)
def _top_k_row(keys: Any, out: Any) -> None:
    """Positions of the largest keys in falling order; ties in source order; -inf last."""
    K = out.shape[0]
    filled = 0
    for n in range(keys.shape[0]):
        key = keys[n]
        if filled == K and not key > keys[out[K - 1]]:
            continue
        k = filled if filled < K else K - 1
        while k > 0 and key > keys[out[k - 1]]:
            out[k] = out[k - 1]
            k -= 1
        out[k] = n
        if filled < K:
            filled += 1


@njit(cache=True)
def _log_add(a: Any, b: Any) -> Any:
    high, low = max(a, b), min(a, b)
    if low == -np.inf:
        return high
    return high + math.log1p(math.exp(low - high))


@njit(cache=True)
def _log_sum(scores: Any) -> Any:
    high = -np.inf
    for n in range(scores.shape[0]):
        high = max(high, scores[n])
    if high == -np.inf:
        return high
    total = 0.0
    for n in range(scores.shape[0]):
        total += math.exp(scores[n] - high)
    return high + math.log(total)


@njit(cache=True)
def _log_cascade_row(scores: Any, slate: Any, out: Any) -> None:
    N, K = scores.shape[0], slate.shape[0]
    unchosen = scores.copy()
    for k in range(K):
        n = slate[k]
        if n < 0 or n >= N or unchosen[n] == -np.inf:  # a repeat or a masked candidate cannot be drawn
            out[k:] = -np.inf
            for m in range(k, K):  # what can no longer be shown must not weigh on the prefix before it
                if 0 <= slate[m] < N:
                    unchosen[slate[m]] = scores[slate[m]]
            for m in range(k):
                unchosen[slate[m]] = -np.inf
            K = k
            break
        unchosen[n] = -np.inf
    # The normaliser of position k is everything not chosen before it: the never chosen plus the chosen from k on.
    # Added up from the back it needs no subtraction, so nothing cancels.
    rest = _log_sum(unchosen)
    for back in range(K):
        k = K - 1 - back
        rest = _log_add(rest, scores[slate[k]])
        out[k] = scores[slate[k]] - rest
    for k in range(1, K):
        out[k] += out[k - 1]


@njit(cache=True)
def _ring(counts: Any, q: Any, p: Any) -> None:
    """Multiply the generating function of the number of rung clocks by (q + p z), in place, truncated."""
    for m in range(counts.shape[0] - 1, 0, -1):
        counts[m] = counts[m] * q + counts[m - 1] * p
    counts[0] *= q


@njit(cache=True)
def _log_weights(scores: Any) -> Any:
    """Log weights that sum to one, and the log time after which even the slowest clock has rung."""
    log_weights = scores - _log_sum(scores)
    slowest = np.inf
    for n in range(scores.shape[0]):
        if log_weights[n] > -np.inf:
            slowest = min(slowest, log_weights[n])
    return log_weights, _RUNG - slowest


@njit(cache=True)
def _slate_marginals_row(scores: Any, slate: Any, h: Any, out: Any) -> None:
    N, K = scores.shape[0], slate.shape[0]
    out[:] = 0.0
    log_w, last = _log_weights(scores)
    chosen = np.zeros(N, np.bool_)
    for k in range(K):
        n = slate[k]
        if n < 0 or n >= N or chosen[n]:
            return  # not a slate at all: a repeat has no probability anywhere
        chosen[n] = True
    out[0] = math.exp(log_w[slate[0]])
    if K == 1:
        return
    prefix = np.empty((K + 1, K))  # [k, m]: m of (the unchosen and the first k chosen) have rung
    suffix = np.empty((K + 1, K))  # [k, m]: m of the chosen from k on have rung
    v, p, q = np.empty(K), np.empty(K), np.empty(K)
    x = _START
    while x < last + h:
        prefix[0, :] = 0.0
        prefix[0, 0] = 1.0
        for n in range(N):
            if not chosen[n] and log_w[n] > -np.inf:
                rate = math.exp(min(log_w[n] + x, _MAX_EXP))
                _ring(prefix[0], math.exp(-rate), -math.expm1(-rate))
        for k in range(K):
            v[k] = math.exp(min(log_w[slate[k]] + x, _MAX_EXP))
            q[k], p[k] = math.exp(-v[k]), -math.expm1(-v[k])
            prefix[k + 1] = prefix[k]
            _ring(prefix[k + 1], q[k], p[k])
        suffix[K, :] = 0.0
        suffix[K, 0] = 1.0
        for k in range(K - 1, 1, -1):
            suffix[k] = suffix[k + 1]
            _ring(suffix[k], q[k], p[k])
        for k in range(1, K):
            exactly = 0.0  # the others of which exactly k have rung: all but slate[k], without any division
            for m in range(k + 1):
                exactly += prefix[k, m] * suffix[k + 1, k - m]
            out[k] += h * v[k] * q[k] * exactly
        if prefix[K].sum() < _UNFINISHED:
            break
        x += h


@njit(cache=True)
def _marginals_row(scores: Any, h: Any, out: Any) -> None:
    K, N = out.shape
    out[:, :] = 0.0
    log_w, last = _log_weights(scores)
    for n in range(N):
        out[0, n] = math.exp(log_w[n])
    if K == 1:
        return
    prefix, suffix = np.empty((N + 1, K)), np.empty((N + 1, K))
    v, p, q = np.empty(N), np.empty(N), np.empty(N)
    prefix[0, :] = 0.0
    prefix[0, 0] = 1.0
    suffix[N, :] = 0.0
    suffix[N, 0] = 1.0
    x = _START
    while x < last + h:
        for n in range(N):
            v[n] = math.exp(min(log_w[n] + x, _MAX_EXP)) if log_w[n] > -np.inf else 0.0
            q[n], p[n] = math.exp(-v[n]), -math.expm1(-v[n])
            prefix[n + 1] = prefix[n]
            _ring(prefix[n + 1], q[n], p[n])
        for n in range(N - 1, -1, -1):
            suffix[n] = suffix[n + 1]
            _ring(suffix[n], q[n], p[n])
        for n in range(N):
            density = h * v[n] * q[n]
            if density == 0.0:
                continue
            for k in range(1, K):
                exactly = 0.0
                for m in range(k + 1):
                    exactly += prefix[n, m] * suffix[n + 1, k - m]
                out[k, n] += density * exactly
        if prefix[N].sum() < _UNFINISHED:
            break
        x += h


@njit(cache=True)
def _prefix_sets_row(scores: Any, slate: Any, h: Any, out: Any) -> None:
    """The first k clocks to ring are the first k of the slate in any order, and the next is its next item.

    The integrand of position k is `v_k exp(-rest t) prod_{j < k} (1 - exp(-v_j))`, with `rest` the rate of all that
    has not rung, the item itself included.
    """
    N, K = scores.shape[0], slate.shape[0]
    out[:] = 0.0
    log_w, _ = _log_weights(scores)
    chosen = np.zeros(N, np.bool_)
    for k in range(K):
        n = slate[k]
        if n < 0 or n >= N or chosen[n] or log_w[n] == -np.inf:
            K = k  # a repeat or a masked candidate cannot be drawn, nor anything below it
            break
        chosen[n] = True
    if K == 0:
        return
    out[0] = math.exp(log_w[slate[0]])
    if K == 1:
        return
    log_rest = np.empty(K)
    unchosen = log_w.copy()
    for k in range(K):
        unchosen[slate[k]] = -np.inf
    rest = _log_sum(unchosen)
    for back in range(K):  # added up from the back: nothing cancels
        k = K - 1 - back
        rest = _log_add(rest, log_w[slate[k]])
        log_rest[k] = rest
    x = _START
    while True:
        rung, alive = 1.0, False
        for k in range(K):
            v = math.exp(min(log_w[slate[k]] + x, _MAX_EXP))
            if k > 0:
                left = math.exp(min(log_rest[k] + x, _MAX_EXP))
                density = h * v * math.exp(-left) * rung
                out[k] += density
                # Past its peak the integrand falls faster than exp(-left); before it, it still rises.
                alive = alive or left < _OVER
            rung *= -math.expm1(-v)
        if not alive:
            break
        x += h


@Twin
def prefix_sets(scores: Any, slates: Any, h: Any, out: Any) -> None:
    """Probability (B, K) of the items above each position of the slates in any order, then the item there."""
    for b in prange(scores.shape[0]):
        _prefix_sets_row(scores[b], slates[b], h, out[b])


@Twin
def top_k(keys: Any, out: Any) -> None:
    """Positions (B, K) of the largest keys (B, N) in falling order; ties in source order."""
    for b in prange(keys.shape[0]):
        _top_k_row(keys[b], out[b])


@Twin
def log_cascade(scores: Any, slates: Any, out: Any) -> None:
    """Log-probability (B, K) of every prefix of the slates (B, K) under scores (B, N)."""
    for b in prange(scores.shape[0]):
        _log_cascade_row(scores[b], slates[b], out[b])


@Twin
def slate_marginals(scores: Any, slates: Any, h: Any, out: Any) -> None:
    """Probability (B, K) of the item at each position of the slates (B, K) to be there; `h`: quadrature step."""
    for b in prange(scores.shape[0]):
        _slate_marginals_row(scores[b], slates[b], h, out[b])


@Twin
def marginals(scores: Any, h: Any, out: Any) -> None:
    """Probability (B, K, N) of every candidate at every position; `h`: quadrature step."""
    for b in prange(scores.shape[0]):
        _marginals_row(scores[b], h, out[b])
