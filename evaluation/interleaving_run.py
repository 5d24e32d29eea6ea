"""Interleaving in simulated users, beside an A/B test of the same two policies: how many users does each need?

Users are served pages that both policies share; the preference of a user is what the first policy's items earned over
a session minus what the second's did. Both tests ask whether a mean over users is zero, so their sensitivity is the
effect over its spread: a test of level alpha and power 1 - beta needs (z_{1-alpha/2} + z_{1-beta})^2 / (mean / sd)^2
users of interleaving, and of the A/B test, both arms together, 2 (var_1 + var_2) / difference^2 times the same. The
ratio says how many times fewer users interleaving needs (Chapelle, Joachims, Radlinski and Yue, ACM TOIS 2012); its
interval resamples the users of both.

That both agree on which policy is better is no matter of course: interleaving credits single pages and no session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from tqdm import tqdm

from agents.base import Draw
from behavior.errors import InputError
from envs.core import SlateCore
from evaluation.interleaving import SharedPage, probabilistic, team_draft
from evaluation.intervals import Interval, mean_interval, paired_difference
from evaluation.online import evaluate_policy, policy_seed
from simulators.kernels.rng import Purpose, uniform_table

if TYPE_CHECKING:
    from agents.base import Policy
    from envs.world import TaskConfig, World

__all__ = ["Interleaved", "Method", "compare_by_interleaving", "interleave"]

Method = Literal["team-draft", "probabilistic"]
_COIN = 0x5851F42D4C957F2D  # sets the coins of a page apart from the policies' own chance
_MASK = 2**64 - 1


@dataclass(frozen=True, kw_only=True)
class Interleaved:
    """Two policies compared by interleaving, and by an A/B test of the same size of effect."""

    first: str
    """Name of the first policy."""
    second: str
    """Name of the second policy."""
    method: Method
    """How pages were shared."""
    preference: Interval
    """Mean over users of what the first earned minus what the second did, on shared pages."""
    difference: Interval
    """Score per user of the first minus that of the second, each alone, on the same users: an A/B test looks for it."""
    users_interleaving: float
    """Users that interleaving needs for the power."""
    users_ab: float
    """Users that an A/B test needs for the same, both arms together."""
    gain: Interval
    """How many times fewer users interleaving needs."""
    alpha: float
    """Level of both tests."""
    power: float
    """Power of both tests."""
    n_users: int
    """Simulated users."""

    @property
    def agree(self) -> bool | None:
        """Whether both call the same policy better; None where one of them cannot tell."""
        if not (self.preference.excludes_zero and self.difference.excludes_zero):
            return None
        return bool((self.preference.value > 0) == (self.difference.value > 0))

    def sentences(self) -> tuple[str, ...]:
        """The finding in plain words."""
        p, d = self.preference, self.difference
        verdict = {
            True: "Both call the same policy better.",
            False: "THEY DISAGREE: on shared pages users take the items of the policy that is worse alone. "
            "Interleaving credits single pages, and no session.",
            None: "At least one of them cannot tell which is better by these users.",
        }[self.agree]
        return (
            f"{self.method} interleaving of {self.first} and {self.second} in {self.n_users:,} users: preference "
            f"{p.value:+.4g} ({p.low:+.4g} to {p.high:+.4g}) a user.",
            f"Alone, {self.first} is worth {d.value:+.4g} ({d.low:+.4g} to {d.high:+.4g}) a user more than "
            f"{self.second}.",
            verdict,
            f"For power {self.power:.0%} at level {self.alpha:.0%}, interleaving needs some "
            f"{self.users_interleaving:,.0f} users, an A/B test {self.users_ab:,.0f}: {self.gain.value:.3g} times as "
            f"many ({self.gain.low:.3g} to {self.gain.high:.3g}).",
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""

        def ends(found: Interval) -> dict[str, float | None]:
            values = {"value": found.value, "low": found.low, "high": found.high}
            return {key: float(v) if np.isfinite(v) else None for key, v in values.items()}

        return {
            "first": self.first,
            "second": self.second,
            "method": self.method,
            "preference": ends(self.preference),
            "difference": ends(self.difference),
            "users_interleaving": self.users_interleaving if np.isfinite(self.users_interleaving) else None,
            "users_ab": self.users_ab if np.isfinite(self.users_ab) else None,
            "gain": ends(self.gain),
            "agree": self.agree,
            "alpha": self.alpha,
            "power": self.power,
            "n_users": self.n_users,
        }


def interleave(
    first: Policy,
    second: Policy,
    world: World,
    task: TaskConfig,
    *,
    method: Method = "team-draft",
    n_users: int = 1000,
    seed: int = 0,
    first_user: int = 0,
    batch: int = 256,
    progress: bool = True,
) -> NDArray[np.float64]:
    """Preferences (U,) of users who are shown shared pages, one session each: first minus second.

    The reward of a position is clicks + purchase_weight x purchases, as in the task's score.

    Raises:
        InputError: No users, or a policy that looks at hidden state.
    """
    if n_users < 1 or first.privileged or second.privileged:
        raise InputError(
            f"{n_users} users" if n_users < 1 else "one of the two looks at hidden state",
            where="interleaving",
            mend="serve one user or more with policies that a shop could run",
        )
    share: Callable[..., SharedPage] = team_draft if method == "team-draft" else probabilistic
    numbers = 1 if method == "team-draft" else 2
    core = SlateCore(world, task, n_users=min(batch, n_users), seed=seed, first_user=first_user)
    observation = core.reset(seed=seed)
    K = task.slate_size
    found = np.zeros(n_users)
    key = policy_seed(seed)
    with tqdm(
        total=n_users, desc=method, unit="user", leave=False, disable=None if progress else True
    ) as bar:
        while True:
            state = core.state
            index = state.user - first_user
            rows = np.flatnonzero(index < n_users)
            if rows.size == 0:
                return found
            users, steps = state.user.copy(), state.step.copy()
            # The two draw independently, and the coins are a third chance.
            orders = [
                policy.rank(
                    observation, Draw(seed=(key + shift) & _MASK, user=users, step=steps), slate_size=K
                )
                for policy, shift in ((first, 0), (second, 1))
            ]
            coins = uniform_table(key ^ _COIN, users, steps, Purpose.POLICY, numbers * K)
            page = share(orders[0], orders[1], np.asarray(coins, np.float64))
            result = core.step(page.actions)
            reward = result.feedback.click + task.purchase_weight * result.feedback.purchase
            found[index[rows]] += page.preference(np.asarray(reward, np.float64))[rows]
            bar.update(int((result.episodes.user - first_user < n_users).sum()))
            observation = result.observation


def compare_by_interleaving(
    first: Policy,
    second: Policy,
    world: World,
    task: TaskConfig,
    *,
    names: tuple[str, str] | None = None,
    method: Method = "team-draft",
    n_users: int = 2000,
    seed: int = 0,
    first_user: int = 0,
    alpha: float = 0.05,
    power: float = 0.8,
    n_resamples: int = 2000,
    progress: bool = True,
) -> Interleaved:
    """Interleaves two policies, serves the same users with each alone, and says what either test would need."""
    if n_users < 2 or not 0 < alpha < 1 or not 0 < power < 1:
        raise InputError(
            f"{n_users} users, alpha {alpha:g}, power {power:g}",
            where="interleaving",
            mend="two users or more; alpha and power between 0 and 1",
        )
    one, two = names or (first.name, second.name)
    how = {"n_users": n_users, "seed": seed, "first_user": first_user, "progress": progress}
    preference = interleave(first, second, world, task, method=method, **how)  # type: ignore[arg-type]
    alone = [
        evaluate_policy(policy, world, task, name=name, **how).score  # type: ignore[arg-type]
        for policy, name in ((first, one), (second, two))
    ]
    size = float((ndtri(1 - alpha / 2) + ndtri(power)) ** 2)
    needs = _needs(preference[None], alone[0][None], alone[1][None])
    return Interleaved(
        first=one,
        second=two,
        method=method,
        preference=mean_interval(preference, level=1 - alpha),
        difference=paired_difference(alone[0], alone[1], level=1 - alpha),
        users_interleaving=size * float(needs[0][0]),
        users_ab=size * float(needs[1][0]),
        gain=_gain(preference, alone[0], alone[1], n_resamples=n_resamples, seed=seed),
        alpha=alpha,
        power=power,
        n_users=n_users,
    )


def _needs(
    preference: NDArray[np.float64], one: NDArray[np.float64], two: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Users (R,) over (z + z)^2 that interleaving and an A/B test need, from (R, U) users each."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shared = preference.var(axis=1, ddof=1) / np.square(preference.mean(axis=1))
        apart = (
            2
            * (one.var(axis=1, ddof=1) + two.var(axis=1, ddof=1))
            / np.square(one.mean(axis=1) - two.mean(axis=1))
        )
    return shared, apart


def _gain(
    preference: NDArray[np.float64],
    one: NDArray[np.float64],
    two: NDArray[np.float64],
    *,
    n_resamples: int,
    seed: int,
) -> Interval:
    """A/B users over interleaving users, with a percentile bootstrap over users."""
    rng = np.random.default_rng(seed)
    n = preference.size
    ratios = np.empty(n_resamples)
    for r in range(n_resamples):
        at = rng.integers(0, n, n)
        shared, apart = _needs(preference[at][None], one[at][None], two[at][None])
        ratios[r] = apart[0] / shared[0] if shared[0] > 0 else np.nan
    shared, apart = _needs(preference[None], one[None], two[None])
    value = float(apart[0] / shared[0]) if shared[0] > 0 else float("nan")
    known = ratios[~np.isnan(ratios)]
    low, high = np.quantile(known, [0.025, 0.975]) if known.size > n_resamples / 2 else (0.0, np.inf)
    return Interval(
        value=value,
        low=float(low),
        high=float(high),
        standard_error=float("nan"),
        level=0.95,
        n_clusters=n,
        method=f"bootstrap over users ({n_resamples})",
    )
