"""Tests that may look early: group-sequential boundaries, and confidence sequences that hold at every look.

Group-sequential: at information fractions t_1 < ... < t_K = 1 the statistic B(t_k) = Z_k sqrt(t_k) is a Brownian motion
with drift theta = E[Z_K]. The boundary z_1 .. z_K spends the error alpha as a spending function says, so that

    P(|Z_j| < z_j for j < k, |Z_k| >= z_k) = alpha(t_k) - alpha(t_{k-1})       under theta = 0

(Lan and DeMets, Biometrika 1983; O'Brien and Fleming, Biometrics 1979; Pocock, Biometrika 1977). The densities of B at
each look are integrated numerically, look by look (Armitage, McPherson and Rowe, JRSS A 1969).

Confidence sequence: after n users, mean +- s sqrt((2 (n rho^2 + 1) / (n rho)^2) log(sqrt(n rho^2 + 1) / alpha)) holds
at all n at once, asymptotically (Robbins' normal mixture; Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas,
"Time-uniform central limit theory", Annals of Statistics 2024, theorem 2.2); rho says at which n it is tightest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import simpson
from scipy.optimize import brentq
from scipy.special import lambertw, ndtr, ndtri
from scipy.stats import norm

from behavior.errors import InputError

__all__ = [
    "Spending",
    "boundary",
    "crossing_probabilities",
    "drift_for_power",
    "mixture_rho",
    "sequence_half_width",
    "spent",
]

Spending = Literal["obrien-fleming", "pocock", "none"]
"""How the error is spent: little at first; evenly; or all of it at the last look, which is then the only one."""

_GRID = 401  # points of a density; odd, for Simpson's rule
_WIDE = 9.0  # a boundary that is never crossed


def spent(fraction: NDArray[np.float64], alpha: float, spending: Spending) -> NDArray[np.float64]:
    """Error spent up to each information fraction, (K,)."""
    if spending == "none":
        return np.where(fraction >= 1, alpha, 0.0)
    if spending == "obrien-fleming":  # each side spends its half in the form of Lan and DeMets
        return np.asarray(4 * ndtr(ndtri(alpha / 4) / np.sqrt(fraction)))
    return np.asarray(alpha * np.log1p((np.e - 1) * fraction))


def boundary(
    fractions: Sequence[float], *, alpha: float = 0.05, spending: Spending = "obrien-fleming"
) -> NDArray[np.float64]:
    """Critical values (K,) of |Z| at each look, for a two-sided test of level `alpha` over all of them.

    Args:
        fractions: Information at each look as a share of that at the last, rising to 1.
        alpha: Chance of crossing at any look where there is no effect.
        spending: How it is spent.

    Raises:
        InputError: Fractions that do not rise to 1, or a level that is none.
    """
    t = _fractions(fractions)
    if not 0 < alpha < 1:
        raise InputError(
            f"alpha {alpha:g}", where="sequential test", mend="a level between 0 and 1, such as 0.05"
        )
    budget = np.diff(spent(t, alpha, spending), prepend=0.0)
    walk = _Walk(t, drift=0.0)
    found = np.empty(t.size)
    for k in range(t.size):
        found[k] = _critical(walk, float(budget[k]))
        walk.go_on(float(found[k]))
    return found


def crossing_probabilities(
    fractions: Sequence[float], critical: NDArray[np.float64], *, drift: float
) -> NDArray[np.float64]:
    """Chance (K,) of crossing first at each look, where Z at the last one has mean `drift`."""
    t = _fractions(fractions)
    walk = _Walk(t, drift=drift)
    found = np.empty(t.size)
    for k in range(t.size):
        found[k] = walk.cross(float(critical[k]))
        walk.go_on(float(critical[k]))
    return found


def drift_for_power(fractions: Sequence[float], critical: NDArray[np.float64], *, power: float) -> float:
    """The mean of Z at the last look with which the boundary is crossed with probability `power`."""

    def lacking(drift: float) -> float:
        return float(crossing_probabilities(fractions, critical, drift=drift).sum()) - power

    return float(brentq(lacking, 0.0, 12.0, xtol=1e-8))


def mixture_rho(n: float, alpha: float = 0.05) -> float:
    """The rho with which the confidence sequence is tightest after `n` users: rho^2 = (-W(-alpha^2 / e) - 1) / n."""
    inside = -float(lambertw(-(alpha**2) / np.e, k=-1).real) - 1
    return float(np.sqrt(inside / n))


def sequence_half_width(
    n: NDArray[np.float64], deviation: NDArray[np.float64], *, rho: float, alpha: float = 0.05
) -> NDArray[np.float64]:
    """Half-width (...) of the confidence sequence of a mean after `n` users with standard deviation `deviation`."""
    wide = n * rho**2 + 1
    return np.asarray(deviation * np.sqrt(2 * wide / (n * rho) ** 2 * np.log(np.sqrt(wide) / alpha)))


def _fractions(fractions: Sequence[float]) -> NDArray[np.float64]:
    t = np.asarray(fractions, np.float64)
    if t.ndim != 1 or t.size == 0 or not np.isfinite(t).all() or t[0] <= 0 or bool((np.diff(t) <= 0).any()):
        raise InputError(
            f"looks at {list(fractions)}",
            where="sequential test",
            mend="give shares that rise to 1, such as 0.5 1",
        )
    if abs(t[-1] - 1) > 1e-9:
        raise InputError(
            f"the last look is at {t[-1]:g}", where="sequential test", mend="let the last be at 1"
        )
    return t


def _critical(walk: _Walk, budget: float) -> float:
    """The |Z| that is passed at this look with chance `budget`."""
    if budget <= 1e-15 or walk.cross(_WIDE) >= budget:
        return _WIDE
    return float(brentq(lambda z: walk.cross(z) - budget, 1e-6, _WIDE, xtol=1e-10))


class _Walk:
    """The density of B at the present look, on those paths that crossed nothing before."""

    def __init__(self, t: NDArray[np.float64], *, drift: float) -> None:
        self._t, self._drift, self._k = t, drift, 0
        self._grid: NDArray[np.float64] | None = None  # where B stood one look before
        self._density = np.empty(0)

    def cross(self, critical: float) -> float:
        """Chance of |Z| >= critical at this look, having crossed nothing before."""
        t, edge = self._t[self._k], critical * np.sqrt(self._t[self._k])
        before = self._t[self._k - 1] if self._k else 0.0
        step, move = np.sqrt(t - before), self._drift * (t - before)
        if self._grid is None:
            return float(ndtr((-edge - move) / step) + ndtr(-(edge - move) / step))
        above = ndtr(-(edge - self._grid - move) / step) + ndtr((-edge - self._grid - move) / step)
        return float(simpson(self._density * above, x=self._grid))

    def go_on(self, critical: float) -> None:
        """To the next look, along the paths inside the boundary."""
        t, edge = self._t[self._k], critical * np.sqrt(self._t[self._k])
        before = self._t[self._k - 1] if self._k else 0.0
        step, move = np.sqrt(t - before), self._drift * (t - before)
        # No path of weight is farther from the drift than this.
        reach = 8.5 * np.sqrt(t)
        grid = np.linspace(max(-edge, self._drift * t - reach), min(edge, self._drift * t + reach), _GRID)
        if self._grid is None:
            density = norm.pdf(grid, loc=move, scale=step)
        else:
            kernel = norm.pdf(grid[:, None] - self._grid[None, :], loc=move, scale=step)
            density = simpson(kernel * self._density, x=self._grid, axis=1)
        self._grid, self._density = grid, np.asarray(density)
        self._k += 1
