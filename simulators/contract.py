"""The contract suite of a `UserSimulator`; a plug-in's author runs the same suite on their own class."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.base import InspectableSimulator, SessionState, UserSimulator

__all__ = ["ContractError", "check_simulator"]

_USERS = 200
_STEPS = 4


class ContractError(AssertionError):
    """A simulator breaks the contract; the message says what to mend."""


def check_simulator(simulator: UserSimulator, *, seed: int = 0) -> list[str]:
    """Run the suite.

    Args:
        simulator: What to check.
        seed: Key of the users and slates of the check.

    Returns:
        One line for each check passed.

    Raises:
        ContractError: The first check failed, with what to mend.
    """
    suite = _Suite(simulator, seed)
    checks: tuple[tuple[str, Callable[[], None]], ...] = (
        ("sizes are whole numbers", suite.sizes),
        ("users arrive in order, with valid queries and contexts", suite.arrivals),
        ("answers have the right shapes, types and ranges; no purchase without a click", suite.answers),
        ("slates of any allowed length are answered", suite.lengths),
        ("the same seed gives the same sessions", suite.determinism),
        ("a user's session is the same alone, among seven and among two hundred", suite.batches),
        ("copies of a state live independent lives", suite.copies),
        ("nothing is remembered outside the state", suite.interleaving),
        ("global random generators are left alone", suite.globals_untouched),
        ("appeal and examination are probabilities, and looking changes nothing", suite.appeal),
    )
    passed = []
    for name, check in checks:
        if name.startswith("appeal") and not isinstance(simulator, InspectableSimulator):
            continue
        try:
            check()
        except ContractError:
            raise
        except Exception as error:
            raise ContractError(
                f"while checking that {name}: {type(simulator).__name__} raised {type(error).__name__}: {error}"
            ) from error
        passed.append(name)
    return passed


def _require(condition: object, message: str) -> None:
    if not condition:
        raise ContractError(message)


class _Suite:
    def __init__(self, simulator: UserSimulator, seed: int) -> None:
        self.simulator = simulator
        self.seed = seed
        self.name = type(simulator).__name__
        limit = getattr(simulator, "slate_size", None)
        self.length = min(limit if isinstance(limit, int) else 5, int(getattr(simulator, "n_items", 5)), 10)

    def slates(self, users: NDArray[np.int64], step: int, length: int | None = None) -> NDArray[np.int32]:
        """Distinct items (B, K) that depend on the user and the step only."""
        length = self.length if length is None else length
        rows = [
            np.random.default_rng([self.seed, int(user), step]).permutation(self.simulator.n_items)[:length]
            for user in users
        ]
        return np.array(rows, np.int32).reshape(len(users), length)

    def run(self, users: NDArray[np.int64], steps: int = _STEPS) -> list[dict[str, NDArray[Any]]]:
        """All that can be seen of `users` over some steps; those who left go on, which is allowed."""
        state = self.simulator.begin(users, seed=self.seed)
        seen = [self.look(state)]
        for step in range(steps):
            feedback = self.simulator.respond(state, self.slates(users, step), seed=self.seed)
            stay = ~feedback.left
            record = self.look(state)
            record["query"] = np.where(stay, record["query"], -1)
            record["hidden"] = np.where(stay[:, None], record["hidden"], 0)
            record |= {"click": feedback.click, "purchase": feedback.purchase, "left": feedback.left}
            seen.append(record if feedback.dwell is None else record | {"dwell": feedback.dwell})
        return seen

    @staticmethod
    def look(state: SessionState) -> dict[str, NDArray[Any]]:
        return {name: getattr(state, name).copy() for name in ("user", "step", "query", "context", "hidden")}

    def same(self, a: list[dict[str, NDArray[Any]]], b: list[dict[str, NDArray[Any]]], message: str) -> None:
        for step, (one, other) in enumerate(zip(a, b, strict=True)):
            for field in one:
                _require(
                    np.array_equal(one[field], other[field]),
                    f"{message} ({field!r} differs after {step} steps)",
                )

    def sizes(self) -> None:
        for field in ("n_items", "n_queries", "context_size"):
            value = getattr(self.simulator, field, None)
            _require(
                isinstance(value, int | np.integer) and value >= (0 if field == "context_size" else 1),
                f"{self.name}.{field} must be a whole number, found {value!r}: set it in __init__",
            )
        limit = getattr(self.simulator, "slate_size", "missing")
        _require(
            limit is None or (isinstance(limit, int | np.integer) and limit >= 1),
            f"{self.name}.slate_size must be None (any length) or at least 1, found {limit!r}",
        )
        for method in ("begin", "respond"):
            _require(callable(getattr(self.simulator, method, None)), f"{self.name} has no method {method}")

    def arrivals(self) -> None:
        users = np.arange(_USERS, dtype=np.int64) * 3 + 1
        state = self.simulator.begin(users, seed=self.seed)
        _require(isinstance(state, SessionState), f"{self.name}.begin must return a SessionState")
        self.state_is_valid(state, users, 0, "begin")
        _require((state.step == 0).all(), f"{self.name}.begin must set step to 0")
        empty = self.simulator.begin(users[:1], seed=self.seed)
        self.state_is_valid(empty, users[:1], 0, "begin with one user")

    def state_is_valid(self, state: SessionState, users: NDArray[np.int64], step: int, when: str) -> None:
        n = len(users)
        kinds = {
            "user": (np.int64, (n,)),
            "step": (np.int32, (n,)),
            "query": (np.int32, (n,)),
            "context": (np.float32, (n, self.simulator.context_size)),
        }
        for field, (kind, shape) in kinds.items():
            array = getattr(state, field)
            _require(
                isinstance(array, np.ndarray) and array.dtype == kind and array.shape == shape,
                f"{self.name}.{when}: state.{field} must be {np.dtype(kind)} of shape {shape}, found "
                f"{getattr(array, 'dtype', type(array).__name__)} of shape {getattr(array, 'shape', None)}",
            )
        hidden = state.hidden
        _require(
            isinstance(hidden, np.ndarray)
            and hidden.dtype == np.float32
            and hidden.ndim == 2
            and len(hidden) == n,
            f"{self.name}.{when}: state.hidden must be float32 of shape ({n}, L); L may be 0",
        )
        _require(
            np.array_equal(state.user, users),
            f"{self.name}.{when}: state.user must stay the users that were asked for, in order",
        )
        _require(np.isfinite(state.context).all(), f"{self.name}.{when}: state.context holds nan or infinity")
        if step == 0:
            self.queries_are_valid(state.query, when)

    def queries_are_valid(self, query: NDArray[np.int32], when: str) -> None:
        bad = query[(query < 0) | (query >= self.simulator.n_queries)]
        _require(
            not len(bad),
            f"{self.name}.{when}: queries of users who go on must lie in 0 .. {self.simulator.n_queries - 1}, "
            f"found {bad[:1].tolist()}",
        )

    def answers(self) -> None:
        users = np.arange(_USERS, dtype=np.int64)
        state = self.simulator.begin(users, seed=self.seed)
        for step in range(_STEPS):
            slates = self.slates(users, step)
            given = slates.copy()
            feedback = self.simulator.respond(state, slates, seed=self.seed)
            self.answer_is_valid(feedback, slates.shape)
            _require(np.array_equal(slates, given), f"{self.name}.respond must not change the slates")
            self.state_is_valid(state, users, step + 1, "respond")
            _require(
                (state.step == step + 1).all(),
                f"{self.name}.respond must add 1 to state.step, for every user, found {state.step[:3].tolist()} "
                f"after {step + 1} pages",
            )
            self.queries_are_valid(state.query[~feedback.left], "respond")

    def answer_is_valid(self, feedback: Any, shape: tuple[int, ...]) -> None:
        for field in ("click", "purchase"):
            array = getattr(feedback, field, None)
            _require(
                isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.shape == shape,
                f"{self.name}.respond: {field} must be uint8 of shape {shape}, found "
                f"{getattr(array, 'dtype', type(array).__name__)} of shape {getattr(array, 'shape', None)}",
            )
            _require(
                np.asarray(array).max(initial=0) <= 1,
                f"{self.name}.respond: {field} must hold 0 and 1 only",
            )
        _require(
            not (feedback.purchase > feedback.click).any(),
            f"{self.name}.respond: a purchase without a click; multiply purchases by clicks",
        )
        dwell = getattr(feedback, "dwell", None)
        if dwell is not None:
            _require(
                isinstance(dwell, np.ndarray) and dwell.dtype == np.float32 and dwell.shape == shape,
                f"{self.name}.respond: dwell must be None, or float32 of shape {shape}, found "
                f"{getattr(dwell, 'dtype', type(dwell).__name__)} of shape {getattr(dwell, 'shape', None)}",
            )
            _require(
                np.isfinite(dwell).all() and (dwell >= 0).all() and not dwell[feedback.click == 0].any(),
                f"{self.name}.respond: dwell must be 0 where there is no click, and seconds of 0 or more elsewhere",
            )
        left = getattr(feedback, "left", None)
        _require(
            isinstance(left, np.ndarray) and left.dtype == np.bool_ and left.shape == shape[:1],
            f"{self.name}.respond: left must be bool of shape {shape[:1]}",
        )

    def lengths(self) -> None:
        limit = self.simulator.slate_size or 10
        users = np.arange(8, dtype=np.int64)
        for length in sorted({1, min(2, limit), min(limit, self.simulator.n_items)}):
            if length > self.simulator.n_items:
                continue
            state = self.simulator.begin(users, seed=self.seed)
            feedback = self.simulator.respond(state, self.slates(users, 0, length), seed=self.seed)
            self.answer_is_valid(feedback, (len(users), length))

    def determinism(self) -> None:
        users = np.arange(_USERS, dtype=np.int64)
        self.same(
            self.run(users),
            self.run(users),
            f"{self.name} gives other sessions the second time: draw from simulators.kernels.rng, keyed by "
            "(seed, user, step), and keep nothing on the object",
        )

    def batches(self) -> None:
        users = np.arange(_USERS, dtype=np.int64)
        whole = self.run(users)
        some = np.random.default_rng(self.seed).permutation(_USERS)[:7]
        groups = (some, some[:1], np.arange(_USERS)[::-1])
        for rows in groups:
            part = self.run(users[rows])
            expected = [{field: array[rows] for field, array in record.items()} for record in whole]
            self.same(
                expected,
                part,
                f"{self.name}: users' sessions depend on who else is in the batch ({len(rows)} against {_USERS}): "
                "key chance by the user, not the row, and compute each user on its own (a matrix product rounds "
                "differently for each batch size)",
            )

    def copies(self) -> None:
        users = np.arange(20, dtype=np.int64)
        state = self.simulator.begin(users, seed=self.seed)
        self.simulator.respond(state, self.slates(users, 0), seed=self.seed)
        before = self.look(state)
        copy = state.copy()
        for step in range(1, _STEPS):
            self.simulator.respond(copy, self.slates(users, step + 10), seed=self.seed)
        self.same(
            [before],
            [self.look(state)],
            f"{self.name}: advancing a copy of a state changed the original; keep all that changes in the state's "
            "own arrays",
        )

    def interleaving(self) -> None:
        one, two = np.arange(10, dtype=np.int64), np.arange(10, 20, dtype=np.int64)
        alone = self.run(one)
        state, other = (self.simulator.begin(u, seed=self.seed) for u in (one, two))
        for step in range(_STEPS):
            feedback = self.simulator.respond(state, self.slates(one, step), seed=self.seed)
            self.simulator.respond(other, self.slates(two, step), seed=self.seed)
            _require(
                np.array_equal(feedback.click, alone[step + 1]["click"])
                and np.array_equal(feedback.purchase, alone[step + 1]["purchase"])
                and np.array_equal(feedback.left, alone[step + 1]["left"]),
                f"{self.name} remembers something between calls outside the state: two groups of users served in "
                "turn disturb each other; move it into state.hidden",
            )

    def globals_untouched(self) -> None:
        ours = random.getstate()
        theirs = np.random.get_state()  # noqa: NPY002  (the global generator is what is guarded)
        torch = sys.modules.get("torch")  # a simulator that uses it has imported it
        torchs = np.empty(0) if torch is None else torch.get_rng_state().numpy()
        self.run(np.arange(5, dtype=np.int64), 2)
        after = np.random.get_state()  # noqa: NPY002
        _require(
            random.getstate() == ours
            and all(np.array_equal(a, b) for a, b in zip(theirs, after, strict=True))
            and (torch is None or np.array_equal(torchs, torch.get_rng_state().numpy())),
            f"{self.name} draws from a global random generator: use simulators.kernels.rng",
        )

    def appeal(self) -> None:
        simulator = self.simulator
        assert isinstance(simulator, InspectableSimulator)
        users = np.arange(70, dtype=np.int64)
        state = simulator.begin(users, seed=self.seed)
        simulator.respond(state, self.slates(users, 0), seed=self.seed)
        items = self.slates(users, 1, min(simulator.n_items, 12))
        items[:, -1] = -1
        before = self.look(state)
        whole = simulator.appeal(state, items)
        self.same([before], [self.look(state)], f"{self.name}.appeal must not change the state")
        for field in ("click", "purchase"):
            array = getattr(whole, field)
            _require(
                array.dtype == np.float32 and array.shape == items.shape,
                f"{self.name}.appeal: {field} must be float32 of shape {items.shape}, found {array.dtype} of shape "
                f"{array.shape}",
            )
            _require(((array >= 0) & (array <= 1)).all(), f"{self.name}.appeal: {field} must lie in [0, 1]")
            _require((array[:, -1] == 0).all(), f"{self.name}.appeal: {field} of item -1 must be 0")
        alone = simulator.appeal(state.take(np.array([3])), items[3:4])
        _require(
            np.array_equal(alone.click[0], whole.click[3])
            and np.array_equal(alone.purchase[0], whole.purchase[3]),
            f"{self.name}.appeal depends on who else is in the batch: compute each user on its own",
        )
        weights = simulator.examination_weights(self.length)
        _require(
            weights.shape == (self.length,) and ((weights >= 0) & (weights <= 1)).all(),
            f"{self.name}.examination_weights must be {self.length} probabilities, found {weights!r}",
        )
