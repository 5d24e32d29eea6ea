"""Examination from swaps: pure functions of impressions and clicks by stratum and position.

In a stratum i the chance of a click at position k is gamma_k a_i. With n_ik impressions and c_ik clicks:

- `pooled`: given the stratum's clicks, each fell on k with chance gamma_k n_ik / sum_j gamma_j n_ij, whatever a_i is;
  gamma maximises the sum of c_ik log of that. Its score has mean zero wherever E[c_ik] = gamma_k a_i n_ik, for any
  number of strata however small. It is the fixed-effects Poisson regression of counts (Hausman, Hall, Griliches,
  Econometrica 1984; Wooldridge, Journal of Econometrics 1999, on needing the mean alone). Its information is the
  Laplacian of the swap graph: effective clicks that tie each two positions together.
- `all_pairs`: the AllPairs estimator of Agarwal et al., WSDM 2019, eq. (5): over all interventional sets (k, j), with
  relevance r_kj of its own for each, maximise c log(gamma_k r_kj) + (u - c) log(1 - gamma_k r_kj).
- `pivot` and `chain`: ratios against one position, and products of neighbours' ratios (section 4.1 there).

Rates at a position are taken over how often the stratum was shown there, the paper's importance weight. The
strata of a set are then weighed by n_ik n_ij / (n_ik + n_ij), which makes a ratio that of Mantel and Haenszel (JNCI
1959): a stratum seen once at either position counts little, one seen often counts as its data allow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PairSums", "all_pairs", "chain", "pair_sums", "pivot", "pooled", "swap_information"]

Floats = NDArray[np.float64]
_RIDGE = 1e-6  # keeps a position without clicks, and one that nothing ties to the rest, finite
_ROUNDS = 100


@dataclass(frozen=True, kw_only=True)
class PairSums:
    """Sums over the interventional set of each two positions."""

    clicks: Floats  # (K, K) at [k, j]: weighted clicks at k of the strata shown at both k and j
    size: Floats  # (K, K) symmetric: their weight

    def log_ratio(self) -> Floats:
        """(K, K) logarithm of gamma_k / gamma_j; nan where either has no clicks."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log(self.clicks) - np.log(self.clicks.T)
        return np.asarray(np.where(np.isfinite(ratio), ratio, np.nan))


def pair_sums(shown: Floats, clicked: Floats) -> PairSums:
    """Sums of the interventional sets, for impressions and clicks (S, K)."""
    k = shown.shape[1]
    clicks, size = np.zeros((k, k)), np.zeros((k, k))
    # Strata by strata and position by position would be slow: one column against all the others at a time.
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(shown > 0, clicked / shown, 0.0)
        for j in range(k - 1):
            here = shown[:, j] > 0
            n, m = shown[here, j, None], shown[here, j + 1 :]
            weight = n * m / (n + m)  # 0 where the stratum was never at the other position
            size[j, j + 1 :] = weight.sum(axis=0)
            clicks[j, j + 1 :] = rate[here, j] @ weight
            clicks[j + 1 :, j] = (weight * rate[here, j + 1 :]).sum(axis=0)
    return PairSums(clicks=clicks, size=size + size.T)


def swap_information(shown: Floats, clicked: Floats, log_gamma: Floats) -> Floats:
    """(K, K) information that swaps hold on log gamma: the Laplacian of the swap graph, in effective clicks.

    Off the diagonal stands minus what ties two positions together. The variance of log gamma_k - log gamma_j is the
    effective resistance between k and j, and infinite where no path joins them.
    """
    share = _shares(shown, log_gamma)
    total = clicked.sum(axis=1)
    return np.asarray(np.diag(total @ share) - (share * total[:, None]).T @ share)


def pooled(shown: Floats, clicked: Floats, *, start: Floats | None = None) -> Floats:
    """Log gamma (K,) from all swaps at once, mean zero; arbitrary between positions that no swap joins.

    Args:
        shown: (S, K) impressions.
        clicked: (S, K) clicks.
        start: (K,) where Newton's method begins.
    """
    k = shown.shape[1]
    hits = clicked.sum(axis=0)
    total = clicked.sum(axis=1)
    keep = total > 0  # a stratum without a click says nothing of ratios
    shown, clicked, total = shown[keep], clicked[keep], total[keep]
    scale = max(float(total.sum()), 1.0)
    x = np.zeros(k) if start is None else np.nan_to_num(start)

    def value(at: Floats) -> float:
        # Relative to each stratum's own impressions, so that no logarithm of zero is taken.
        inside = np.log(shown @ np.exp(at)) if len(shown) else np.zeros(0)
        return float(hits @ at - total @ inside - 0.5 * _RIDGE * scale * at @ at)

    best = value(x)
    for _ in range(_ROUNDS):
        share = _shares(shown, x)
        slope = hits - total @ share - _RIDGE * scale * x
        bend = np.diag(total @ share + _RIDGE * scale) - (share * total[:, None]).T @ share
        step = np.linalg.solve(bend, slope)
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        while (found := value(x + step)) < best - 1e-9 * abs(best) and np.abs(step).max() > 1e-12:
            step /= 2.0
        x, best = x + step, found
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(x - x.mean())


def all_pairs(sums: PairSums) -> Floats:
    """Log gamma (K,) by the AllPairs estimator, the largest being 0; nan where a position is in no set.

    In logarithms of gamma and r the likelihood is concave (log(1 - e^x) is), so Newton's method finds its top; each set
    has two terms, so its r is eliminated, and a system of K equations is left.
    """
    k = len(sums.size)
    row, column = np.nonzero(sums.size > 0)
    if not len(row):
        return np.full(k, np.nan)
    edge = np.minimum(row, column) * k + np.maximum(row, column)
    of_edge: NDArray[np.int64] = np.unique(edge, return_inverse=True)[1]
    hits = sums.clicks[row, column]
    misses = np.maximum(sums.size[row, column] - hits, 0.0)
    firm = _RIDGE * max(float(hits.sum()), 1.0)
    rate = np.bincount(of_edge, hits) / np.bincount(of_edge, hits + misses)
    look, appeal = np.zeros(k), np.log(np.clip(rate, 1e-9, 0.99))

    def value(look: Floats, appeal: Floats) -> float:
        log_p = look[row] + appeal[of_edge]
        if log_p.max() >= -1e-12:
            return -np.inf
        return float(hits @ log_p + misses @ np.log1p(-np.exp(log_p)) - 0.5 * firm * look @ look)

    best = value(look, appeal)
    for _ in range(_ROUNDS):
        odds = np.exp(look[row] + appeal[of_edge])
        odds /= 1.0 - odds
        slope, bend = hits - misses * odds, misses * odds * (1.0 + odds) + 1e-9
        of_appeal, stiff = np.bincount(of_edge, slope), np.bincount(of_edge, bend)
        right = np.bincount(row, slope - bend * (of_appeal / stiff)[of_edge], k) - firm * look
        left = np.diag(np.bincount(row, bend, k) + firm)
        np.add.at(left, (row, row), -(bend**2) / stiff[of_edge])
        left[row, column] -= bend * (stiff[of_edge] - bend) / stiff[of_edge]  # the set's other term
        step = np.linalg.solve(left, right)
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        more = (of_appeal - np.bincount(of_edge, bend * step[row])) / stiff
        size = 1.0
        while (found := value(look + size * step, appeal + size * more)) < best - 1e-9 * abs(best):
            size /= 2.0
            if size < 1e-6:
                break
        if size < 1e-6:
            break
        look, appeal, best = look + size * step, appeal + size * more, found
        if size * max(np.abs(step).max(), np.abs(more).max()) < 1e-9:
            break
    look[~(sums.size > 0).any(axis=1)] = np.nan
    return np.asarray(look - np.nanmax(look))


def pivot(sums: PairSums, reference: int) -> Floats:
    """Log gamma (K,) relative to the position `reference`, from swaps with that position alone."""
    out = sums.log_ratio()[:, reference]
    out[reference] = 0.0
    return out


def chain(sums: PairSums, reference: int) -> Floats:
    """Log gamma (K,) relative to the position `reference`, from swaps of neighbours alone."""
    ratio = sums.log_ratio()
    step = np.array([ratio[k + 1, k] for k in range(len(ratio) - 1)])
    out = np.zeros(len(ratio))
    out[reference + 1 :] = np.cumsum(step[reference:])
    out[:reference] = -np.cumsum(step[:reference][::-1])[::-1]
    return out


def _shares(shown: Floats, log_gamma: Floats) -> Floats:
    """(S, K) share of each stratum's clicks that position k is to have."""
    weight = shown * np.exp(log_gamma - log_gamma.max())
    return np.asarray(weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300))
