"""The contract suite of policies: what every ranker has to hold, yours included.

    check_policy(my_policy, observation, slate_size=10)

runs it on observations of your own world; each failure is a `PolicyContractError` that says what to mend.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Draw, Policy, SlatePropensity
from envs.observation import Observation
from simulators.base import SessionState

__all__ = ["PolicyContractError", "check_policy"]

_FALSE_ALARM = 1e-6
_FALSE_ALARM_SIGMA = 4.753  # a standard normal exceeds it once in a million
_SMALL = 4  # candidates where every slate is enumerated


class PolicyContractError(AssertionError):
    """A policy breaks the contract; the message says what to mend."""


def check_policy(
    policy: Policy,
    observation: Observation,
    *,
    slate_size: int,
    state: SessionState | None = None,
    seed: int = 0,
    samples: int = 4_000,
    tolerance: float = 1e-9,
) -> list[str]:
    """Run the suite.

    Args:
        policy: What to check.
        observation: Pages of at least three users, none of them with fewer than `slate_size` candidates.
        slate_size: K.
        state: The users' hidden state, for oracles.
        seed: Key of the draws.
        samples: Slates drawn to compare frequencies with propensities; a right policy fails that chi-square test with
            probability 1e-6 per check (and never with the same seed again, if it passed once).
        tolerance: By how much a propensity may depend on the batch, relatively. Slates may not at all.

    Returns:
        One line for each check passed.

    Raises:
        PolicyContractError: The first check failed, with what to mend.
    """
    if observation.query.shape[0] < 3:
        raise ValueError("the suite needs observations of at least three users")
    if policy.privileged and state is None:
        raise ValueError("a privileged policy is checked with the users' hidden state")
    suite = _Suite(policy, observation, slate_size, state, seed, samples, tolerance)
    checks: list[tuple[str, Callable[[], None]]] = [
        ("slates are distinct candidates, never padding", suite.slates),
        ("where candidates are just enough, all of them are shown", suite.just_enough),
        ("the same draw gives the same slates, and looking changes nothing", suite.determinism),
        ("a user's slate is the same alone, reordered and repeated", suite.batches),
    ]
    if suite.propensity_of(observation, suite.rank(observation)) is not None:
        checks += [
            ("what was shown had a probability; prefixes only lose", suite.propensities),
            ("propensities of a user are the same in any batch", suite.propensity_batches),
            ("over all slates of a small page, propensities are a distribution", suite.enumeration),
            ("slates come as often as propensities say", suite.frequencies),
        ]
    passed = []
    for name, check in checks:
        try:
            check()
        except PolicyContractError:
            raise
        except Exception as error:
            raise PolicyContractError(
                f"while checking that {name}: {type(policy).__name__} raised {type(error).__name__}: {error}"
            ) from error
        passed.append(name)
    return passed


def _require(condition: object, message: str) -> None:
    if not condition:
        raise PolicyContractError(message)


def _global_generator() -> tuple[bytes, int]:
    """Where NumPy's global generator stands."""
    state: Any = np.random.get_state()  # noqa: NPY002
    return state[1].tobytes(), int(state[2])


class _Suite:
    def __init__(
        self,
        policy: Policy,
        observation: Observation,
        slate_size: int,
        state: SessionState | None,
        seed: int,
        samples: int,
        tolerance: float,
    ) -> None:
        self.policy, self.observation, self.K, self.state = policy, observation, slate_size, state
        self.seed, self.samples, self.tolerance = seed, samples, tolerance
        self.B, self.N = observation.candidates.shape
        self.everyone = np.arange(self.B)
        self.users = 1_000 + 7 * np.arange(self.B, dtype=np.int64) if state is None else state.user
        self.steps = np.zeros(self.B, np.int32) if state is None else state.step

    def rank(
        self,
        observation: Observation,
        rows: NDArray[np.int64] | None = None,
        *,
        users: NDArray[np.int64] | None = None,
        seed: int | None = None,
        slate_size: int | None = None,
    ) -> NDArray[np.int64]:
        """Slates for `observation`, which belongs to the users at `rows`."""
        rows = self.everyone if rows is None else rows
        draw = Draw(
            seed=self.seed if seed is None else seed,
            user=self.users[rows] if users is None else users,
            step=self.steps[rows],
        )
        state = self.state.take(rows) if self.state is not None and self.policy.privileged else None
        return self.policy.rank(observation, draw, slate_size=slate_size or self.K, state=state)

    def propensity_of(self, observation: Observation, actions: NDArray[np.int64]) -> SlatePropensity | None:
        return self.policy.propensity(observation, actions)

    def _propensity(self, observation: Observation, actions: NDArray[np.int64]) -> SlatePropensity:
        found = self.policy.propensity(observation, actions)
        _require(
            found is not None,
            "propensity() gives None for some slates and not for others: decide for one of them",
        )
        assert found is not None
        return found

    def _narrowed(self, n: int) -> Observation:
        """The same pages with their first `n` candidates only, the rest padded."""
        observation = self.observation
        keep = np.arange(self.N) < n
        return dataclasses.replace(
            observation,
            candidates=np.where(keep, observation.candidates, -1).astype(np.int32),
            scores=np.where(keep, observation.scores, 0).astype(np.float32),
            seen=np.where(keep, observation.seen, 0).astype(np.float32),
        )

    def _check_slates(self, slates: NDArray[np.int64], observation: Observation, K: int) -> None:
        B = observation.candidates.shape[0]
        _require(
            isinstance(slates, np.ndarray)
            and slates.shape == (B, K)
            and np.issubdtype(slates.dtype, np.integer),
            f"rank() must give integers of shape ({B}, {K}), found "
            f"{getattr(slates, 'dtype', type(slates).__name__)} {getattr(slates, 'shape', '')}",
        )
        outside = np.argwhere((slates < 0) | (slates >= self.N))
        if outside.size:
            b, k = outside[0]
            _require(
                False,
                f"rank() gave {slates[b, k]} at row {b}, position {k}: give candidate positions 0 .. {self.N - 1}, "
                "not catalogue rows",
            )
        items = np.take_along_axis(observation.candidates, slates, axis=1)
        padded = np.argwhere(items < 0)
        if padded.size:
            b, k = padded[0]
            _require(
                False,
                f"row {b}, position {k} shows padded candidate {slates[b, k]}: mask candidates that are -1",
            )
        ordered = np.sort(slates, axis=1)
        twice = np.argwhere(ordered[:, 1:] == ordered[:, :-1])
        if twice.size:
            b, k = twice[0]
            _require(
                False, f"row {b} shows candidate {ordered[b, k]} twice: slates are drawn without replacement"
            )

    def slates(self) -> None:
        for seed in range(self.seed, self.seed + 5):
            self._check_slates(self.rank(self.observation, seed=seed), self.observation, self.K)

    def just_enough(self) -> None:
        narrow = self._narrowed(self.K)
        if (narrow.candidates >= 0).sum(axis=1).min() < self.K:
            return  # some page has a gap in its first candidates: the observation is not in source order
        self._check_slates(self.rank(narrow), narrow, self.K)

    def determinism(self) -> None:
        before = {name: array.copy() for name, array in self.observation.as_dict().items()}
        hidden = None if self.state is None else self.state.copy()
        drawn_before = _global_generator()
        first, second = self.rank(self.observation), self.rank(self.observation)
        _require(
            (first == second).all(),
            "two calls with the same draw gave different slates: take all chance from the draw's key "
            "(simulators.kernels.rng), and remember nothing between calls",
        )
        _require(
            _global_generator() == drawn_before,
            "rank() uses NumPy's global generator: draw from the draw's key instead",
        )
        for name, array in self.observation.as_dict().items():
            _require((array == before[name]).all(), f"rank() changed observation.{name}: copy it first")
        if hidden is not None and self.state is not None:
            for field in dataclasses.fields(hidden):
                same = np.array_equal(getattr(hidden, field.name), getattr(self.state, field.name))
                _require(same, f"rank() changed state.{field.name}: work on state.copy()")

    def batches(self) -> None:
        together = self.rank(self.observation)
        groups = [
            self.everyone[::-1].copy(),
            np.array([0]),
            np.array([self.B - 1, 1, 1]),
            np.repeat(self.everyone, 3),
        ]
        for rows in groups:
            again = self.rank(self.observation.take(rows), rows)
            differing = np.flatnonzero((again != together[rows]).any(axis=1))
            if differing.size:
                row = rows[differing[0]]
                _require(
                    False,
                    f"the slate of row {row} depends on who else is served (batch of {len(rows)} against {self.B}): "
                    "key chance by user and step, and avoid matrix products over the batch",
                )

    def propensities(self) -> None:
        slates = self.rank(self.observation)
        found = self._propensity(self.observation, slates)
        shapes = (found.item.shape, found.cascade.shape, found.slate.shape)
        _require(
            shapes == ((self.B, self.K), (self.B, self.K), (self.B,)),
            f"propensities must have shapes (B, K), (B, K), (B,), found {shapes}",
        )
        for name, values in (("item", found.item), ("cascade", found.cascade), ("slate", found.slate)):
            _require(
                (values > 0).all() and (values <= 1 + 1e-9).all(),
                f"{name} propensity of a slate that the policy itself showed is outside (0, 1]: "
                f"{float(values.min())} .. {float(values.max())}",
            )
        _require(
            (np.diff(found.cascade, axis=1) <= 1e-12).all(),
            "cascade propensity rises along the slate: a longer prefix cannot be more probable",
        )
        _require(
            np.allclose(found.slate, found.cascade[:, -1], rtol=1e-9, atol=0),
            "the slate's propensity is not the cascade's last: both are the probability of the whole slate",
        )
        _require(
            np.allclose(found.item[:, 0], found.cascade[:, 0], rtol=1e-6, atol=0),
            "item and cascade propensity differ at the first position, where they are the same event",
        )
        _require(
            (found.cascade <= found.item * (1 + 1e-6)).all(),
            "a prefix is more probable than its last item at that position, which it implies",
        )

    def propensity_batches(self) -> None:
        slates = self.rank(self.observation)
        together = self._propensity(self.observation, slates)
        for rows in (np.array([0]), np.array([self.B - 1, 1])):
            alone = self._propensity(self.observation.take(rows), slates[rows])
            for name in ("item", "cascade", "slate"):
                _require(
                    np.allclose(
                        getattr(alone, name), getattr(together, name)[rows], rtol=self.tolerance, atol=1e-300
                    ),
                    f"{name} propensity depends on who else is in the batch by more than {self.tolerance}",
                )

    def _small_page(self) -> tuple[Observation, NDArray[np.int64], SlatePropensity]:
        """One page of few candidates, every slate of it, and their propensities."""
        n, K = min(_SMALL, self.N), min(2, self.K)
        page = self._narrowed(n).take(np.zeros(1, np.int64))
        n = int((page.candidates >= 0).sum())
        every = np.array(list(itertools.permutations(range(n), K)), np.int64)
        return page, every, self._propensity(page.take(np.zeros(len(every), np.int64)), every)

    def enumeration(self) -> None:
        _, every, found = self._small_page()
        total = float(found.slate.sum())
        _require(abs(total - 1) < 1e-6, f"propensities of all {len(every)} slates add up to {total}, not 1")
        for k, n in itertools.product(range(every.shape[1]), range(int(every.max()) + 1)):
            there = every[:, k] == n
            marginal = float(found.slate[there].sum())
            _require(
                np.allclose(found.item[there, k], marginal, rtol=1e-6, atol=1e-9),
                f"candidate {n} at position {k}: item propensity {found.item[there, k].min()}, but slates that show "
                f"it there have {marginal} together",
            )

    def frequencies(self) -> None:
        page, every, found = self._small_page()
        n, K = self.samples, every.shape[1]
        users = 50_000 + np.arange(n, dtype=np.int64)
        rows = np.zeros(n, np.int64)
        drawn = self.rank(page.take(rows), rows, users=users, slate_size=K)
        count = np.array([(drawn == slate).all(axis=1).sum() for slate in every], np.float64)
        expected = n * found.slate
        never = (expected < 1e-9) & (count > 0)
        _require(not never.any(), f"slate {every[never.argmax()]} was drawn, but its propensity is 0")
        order = np.argsort(-expected, kind="stable")
        count, expected = count[order], expected[order]
        # Slates expected fewer than 5 times are counted together, as the chi-square law wants.
        rare = expected < 5
        groups = [(count[g], expected[g]) for g in np.flatnonzero(~rare)]
        if rare.any() and expected[rare].sum() > 1e-9:
            groups.append((count[rare].sum(), expected[rare].sum()))
        if len(groups) < 2:
            return
        chi_square = sum((c - e) ** 2 / max(e, 1.0) for c, e in groups)
        df = len(groups) - 1
        limit = (
            df * (1 - 2 / (9 * df) + _FALSE_ALARM_SIGMA * math.sqrt(2 / (9 * df))) ** 3
        )  # Wilson and Hilferty
        _require(
            chi_square < limit,
            f"slates do not come as often as their propensities say: chi-square {chi_square:.1f} with {df} degrees of "
            f"freedom, limit {limit:.1f} (false alarms: {_FALSE_ALARM:g})",
        )
