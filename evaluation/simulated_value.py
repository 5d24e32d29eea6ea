"""What a policy is worth in an ensemble of fitted simulators, with an interval for what the log could not tell.

Every member serves the same users with the same chance, so y[m, u], the score of user u in member m, is a two-way
table: mean + member + user + rest. The members differ in what they think of users at large (variance `between`, what
the log could not tell); the users and the rest are the noise of simulating N users only. With member means y[m], user
means y[u] and the grand mean y,

    s2_members = sum_m (y[m] - y)^2 / (M - 1)
    s2_users   = sum_u (y[u] - y)^2 / (N - 1)
    s2_rest    = sum_mu (y[m, u] - y[m] - y[u] + y)^2 / ((M - 1) (N - 1))
    between    = max(0, s2_members - s2_rest / N)

because N users leave s2_rest / N of noise in the difference of two members' means. The shop's true value is one more
draw from what the members are draws of, and y the mean of M, so

    variance of (truth - y) = (1 + 1 / M) between + s2_users / N

where s2_users / N already holds the rest averaged over the members. The interval is y -+ t sqrt(variance) with
s2_members in place of `between`: that is too much by s2_rest / N, so the interval is a little wide where users are few.
With `between` itself, Student's t would have to pay for the uncertainty of what is taken off, and for the cut at zero:
with 8 members, a spread of 0.3 and 60 users of noise 3 the interval was 40 % wider and yet held only 92 %. The degrees
of freedom are Satterthwaite's: M - 1 where the members' spread is all there is, more where the users' noise is.

All this says how far members of a fitted family differ, which is what the log could not tell *if* users are of that
family. Real users are of none. `structure` is the standard deviation of what that costs, as a share of the value; it
joins the variance as (structure y)^2. No log tells it; its default was measured in a store whose users lie outside all
families (docs/fit-quality.md, on logs that no figure there is reported on). 0 leaves it out.

A difference of two policies is the same with y[m, u] the difference of the two scores, user by user in each member:
what all members misjudge alike for both policies cancels.

Source: Searle, Casella, McCulloch, "Variance Components", 1992, chapter 4; Satterthwaite, "An approximate distribution
of estimates of variance components", Biometrics Bulletin 2, 1946.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from tqdm import tqdm

from behavior.errors import InputError
from envs.world import TaskConfig, World
from evaluation.intervals import Interval
from evaluation.online import evaluate_policy
from simulators.ensemble import EnsembleSimulator

if TYPE_CHECKING:
    from agents.base import Policy
    from simulators.base import UserSimulator

__all__ = [
    "STRUCTURE",
    "SimulatedValue",
    "SimulatedValues",
    "interval_of_members",
    "simulate_values",
    "value_in_members",
]

STRUCTURE = 0.1
"""Standard error of simulated values for being simulated by users of a family, as a share of the value."""


@dataclass(frozen=True, kw_only=True)
class SimulatedValue:
    """A mean score per session over the members of an ensemble, or a mean difference of two."""

    interval: Interval
    """Of the value in the shop, as far as the ensemble can say; see the module."""
    members: NDArray[np.float64]
    """(M,) value in each member."""
    between: float
    """Standard deviation between members, the users' noise taken off: what the log could not tell."""
    noise: float
    """Standard error of the mean over the members for the number of users: more users make it smaller."""


@dataclass(frozen=True, kw_only=True)
class SimulatedValues:
    """Policies in the members of an ensemble, all on the same users."""

    scores: Mapping[str, NDArray[np.float64]]
    """(M, N) score of each user in each member, by policy."""
    level: float = 0.95
    """Of the intervals."""
    structure: float = 0.0
    """Share of a value that users outside all families may add to its standard error; see the module."""

    def __getitem__(self, name: str) -> SimulatedValue:
        """The value of one policy."""
        return value_in_members(self._of(name), level=self.level, structure=self.structure)

    def difference(self, first: str, second: str) -> SimulatedValue:
        """`first - second`, paired by member and user."""
        table = self._of(first) - self._of(second)
        return value_in_members(table, level=self.level, structure=self.structure)

    def _of(self, name: str) -> NDArray[np.float64]:
        if name not in self.scores:
            raise InputError(
                f"no policy named '{name}' was simulated",
                where="simulated value",
                mend=f"choose one of: {', '.join(self.scores)}",
            )
        return self.scores[name]


def value_in_members(
    scores: NDArray[np.float64], *, level: float = 0.95, structure: float = 0.0
) -> SimulatedValue:
    """Value and interval from the scores (M, N) of N users in M members; the module has the formula.

    Raises:
        InputError: Fewer than two members or users, or a level or a structural share that is none.
    """
    m, n = scores.shape
    if m < 2 or n < 2:
        raise InputError(
            f"{n} users in {m} members",
            where="simulated value",
            mend="an interval needs two members and two users, better eight and some hundred",
        )
    if not 0 < level < 1:
        raise InputError(f"confidence level {level}", where="level", mend="pass a level between 0 and 1")
    if not 0 <= structure < np.inf:
        raise InputError(
            f"a structural share of {structure}", where="structure", mend="0 or more, such as 0.15"
        )
    of_member, of_user, value = scores.mean(axis=1), scores.mean(axis=0), float(scores.mean())
    if not 0 <= structure < np.inf:
        raise InputError(
            f"a structural share of {structure}", where="structure", mend="0 or more, such as 0.15"
        )
    rest = scores - of_member[:, None] - of_user + value
    s2_members = float(of_member.var(ddof=1))
    s2_rest = float(np.square(rest).sum()) / ((m - 1) * (n - 1))
    noise = float(of_user.var(ddof=1)) / n
    between = max(0.0, s2_members - s2_rest / n)
    return SimulatedValue(
        interval=interval_of_members(of_member, noise, n, level=level, structure=structure),
        members=of_member,
        between=float(np.sqrt(between)),
        noise=float(np.sqrt(noise)),
    )


def interval_of_members(
    of_member: NDArray[np.float64], noise: float, n_users: int, *, level: float, structure: float
) -> Interval:
    """The interval of the module's formula.

    Args:
        of_member: (M,) value in each member.
        noise: Variance that `n_users` users leave in the mean over the members.
        n_users: Users N.
        level: Of the interval.
        structure: Share of the value that joins its standard error.
    """
    m, value, s2_members = len(of_member), float(of_member.mean()), float(of_member.var(ddof=1))
    widen = 1.0 + 1.0 / m
    variance = widen * s2_members + noise + (structure * value) ** 2
    spread = (widen * s2_members) ** 2 / (m - 1) + noise**2 / (n_users - 1)
    freedom = variance**2 / spread if spread > 0.0 else float(m - 1)
    error = float(np.sqrt(variance))
    reach = float(stdtrit(freedom, 0.5 + level / 2)) * error
    return Interval(
        value=value,
        low=value - reach,
        high=value + reach,
        standard_error=error,
        level=level,
        n_clusters=m,
        method=f"t over {m} members and {n_users} users",
    )


def simulate_values(
    policies: Mapping[str, Policy],
    world: World,
    task: TaskConfig | None = None,
    *,
    n_users: int = 500,
    seed: int = 0,
    first_user: int = 0,
    batch: int = 256,
    level: float = 0.95,
    structure: float = STRUCTURE,
    progress: bool = True,
) -> SimulatedValues:
    """Serves the same users with each policy in each member of the world's ensemble, one session each.

    Args:
        policies: Policies by name. One that sees hidden state is refused: it knows one simulator's users.
        world: Its simulator is an `EnsembleSimulator`.
        task: Sizes, horizon and score.
        n_users: Users of each policy in each member.
        seed: Key of the users' chance, the same in all members.
        first_user: The first user; choose users that no training has seen.
        batch: Users served side by side; results do not depend on it.
        level: Of the intervals.
        structure: Share of a value that users outside all families may add to its standard error.
        progress: Whether to show a bar.

    Raises:
        InputError: The simulator has no members, or a policy that sees hidden state.
    """
    members = _members(world.simulator)
    task = task or TaskConfig()
    inside = [name for name, policy in policies.items() if policy.privileged]
    if inside:
        raise InputError(
            f"{inside[0]} sees the users' hidden state",
            where="simulated value",
            mend="simulate policies that see what a shop sees; an oracle is one of each member's own",
        )
    scores: dict[str, NDArray[np.float64]] = {}
    total = len(policies) * len(members)
    with tqdm(total=total, desc="in members", leave=False, disable=None if progress else True) as bar:
        for name, policy in policies.items():
            rows = []
            for member in members:
                outcome = evaluate_policy(
                    policy,
                    dataclasses.replace(world, simulator=member),
                    task,
                    n_users=n_users,
                    seed=seed,
                    first_user=first_user,
                    batch=batch,
                    name=name,
                    progress=False,
                )
                rows.append(outcome.score)
                bar.update()
            scores[name] = np.stack(rows)
    return SimulatedValues(scores=scores, level=level, structure=structure)


def _members(simulator: UserSimulator) -> Sequence[UserSimulator]:
    if not isinstance(simulator, EnsembleSimulator):
        raise InputError(
            f"a {type(simulator).__name__} has no members: one fit says nothing of what the log could not tell",
            where="simulated value",
            mend="fit an ensemble: `python -m simulators fit --simulator ensemble`, or simulators.fit_ensemble",
        )
    return simulator.members
