"""`EnsembleSimulator`: several fitted simulators that share a memory; each user belongs to one of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from simulators.base import Feedback, ItemAppeal, SessionState
from simulators.composed import ComposedSimulator
from simulators.fitted import FittedSimulator
from simulators.fitting.report import FitReport
from simulators.kernels.rng import Purpose, uniform_table
from simulators.parts.layout import Layout
from simulators.parts.memory import SessionMemory, Tables

__all__ = ["EnsembleSimulator"]

_COLUMN = "member"
_INDEX = 4096  # of the number that chooses a user's member: populations draw from the first few


class EnsembleSimulator:
    """Users who each answer as one member of an ensemble does, from the first page to the last.

    Which member is a function of (seed, user), kept in the user's hidden state: a planner that plays on from a copy,
    with a seed of its own, plays with the same member. `InspectableSimulator` and `UncertainSimulator` hold.

    Args:
        members: Simulators of the same shop and log, at least two.
        report: What the fits found, over all members.

    Raises:
        InputError: Fewer than two members, or members of different shops or logs.
    """

    def __init__(self, members: Sequence[FittedSimulator], report: FitReport) -> None:
        _check_members(members)
        self._fitted = tuple(members)
        self.report = report
        self.name = "ensemble"
        first = members[0]
        self.features = first.features
        self.context_names = first.context_names
        self.n_items, self.n_queries = first.n_items, first.n_queries
        self.context_size = first.context_size
        sizes = [member.slate_size for member in members if member.slate_size is not None]
        self.slate_size = min(sizes) if sizes else None
        self.layout = Layout.join(first.layout.widths, {_COLUMN: 1})
        self.memory = SessionMemory(Tables(self.features), self.layout, first.ring)
        self._inside: list[ComposedSimulator] = []
        for member in members:
            inside = copy.copy(member)
            inside.layout, inside.memory = self.layout, self.memory
            self._inside.append(inside)

    @property
    def n_members(self) -> int:
        """Members M."""
        return len(self._fitted)

    @property
    def members(self) -> tuple[FittedSimulator, ...]:
        """The members, each a simulator by itself: user u with some seed meets the same chance in all of them."""
        return self._fitted

    def member(self, i: int) -> FittedSimulator:
        """Member `i`."""
        return self._fitted[i]

    def one_visit(self) -> EnsembleSimulator:
        """The same users, each living a single visit; see `ComposedSimulator.one_visit`."""
        return EnsembleSimulator([member.one_visit() for member in self._fitted], self.report)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know before trusting the simulator."""
        return self.report.notes

    def member_of(self, state: SessionState) -> NDArray[np.int64]:
        """(B,) which member each user belongs to."""
        return self.layout.of(state.hidden, _COLUMN)[:, 0].astype(np.int64)

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        """The users `users` (B,) as they arrive, each from the population of its member."""
        users = np.require(users, np.int64, ["C"])
        n = len(users)
        u = uniform_table(seed, users, np.zeros(n, np.int32), Purpose.POPULATION, 1, start=_INDEX)[:, 0]
        of = np.minimum((u * self.n_members).astype(np.int64), self.n_members - 1)
        state: SessionState | None = None
        for m, rows in _groups(of):
            part = self._inside[m].begin(users[rows], seed=seed)
            if len(rows) == n:
                state = part
                break
            if state is None:
                state = part.take(np.zeros(n, np.int64))
            state.put(rows, part)
        if state is None:  # nobody
            state = self._inside[0].begin(users, seed=seed)
        self.layout.of(state.hidden, _COLUMN)[:, 0] = of
        return state

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        """Answer `slates` (B, K), each user as its member does; -1 marks an empty position."""
        slates = np.require(slates, np.int32, ["C", "W"])
        of = self.member_of(state)
        n = len(of)
        out: Feedback | None = None
        for m, rows in _groups(of):
            if len(rows) == n:
                return self._inside[m].respond(state, slates, seed=seed)
            part = state.take(rows)
            feedback = self._inside[m].respond(part, slates[rows], seed=seed)
            state.put(rows, part)
            out = _gathered(out, feedback, rows, n)
        return out if out is not None else self._inside[0].respond(state, slates, seed=seed)

    def appeal(self, state: SessionState, items: NDArray[np.int32]) -> ItemAppeal:
        """Click and purchase probability of `items` (B, M) if each stood first, to each user's own member."""
        items = np.require(items, np.int32, ["C", "W"])
        click, purchase = np.zeros(items.shape, np.float32), np.zeros(items.shape, np.float32)
        for m, rows in _groups(self.member_of(state)):
            found = self._inside[m].appeal(state.take(rows), items[rows])
            click[rows], purchase[rows] = found.click, found.purchase
        return ItemAppeal(click=click, purchase=purchase)

    def examination_weights(self, n_positions: int) -> NDArray[np.float32]:
        """(K,) average probability that a position is looked at, over the members."""
        weights = [member.examination_weights(n_positions) for member in self._fitted]
        return np.asarray(np.mean(weights, axis=0), np.float32)

    def page_values(
        self,
        state: SessionState,
        slates: NDArray[np.int32],
        *,
        click: float,
        purchase: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """(B, M) what each member expects of showing `slates` (B, K) now: weighted clicks and purchases of the page.

        All members look at the same session so far, whichever of them answered it. The state is not changed.

        Args:
            state: (B,) users before the page.
            slates: (B, K) catalogue rows; -1 marks an empty position.
            click: Worth of a click.
            purchase: (I,) worth of a purchase of each item, on top of its click.
        """
        slates = np.require(slates, np.int32, ["C", "W"])
        worth = np.where(slates >= 0, purchase[np.maximum(slates, 0)], 0.0)  # (B, K)
        out = np.zeros((len(slates), self.n_members))
        for m, member in enumerate(self._inside):
            logits = member.attractiveness.logits(state, self.memory, slates)
            chance = _click_probability(member, logits)  # (B, K)
            gain = click + worth * member.conversion.probability(state, self.memory, slates)
            for k in range(slates.shape[1]):  # position by position: the same bits in any batch
                out[:, m] += chance[:, k] * gain[:, k]
        return out


def _click_probability(member: ComposedSimulator, logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return member.examination.click_probability(logits)


def _groups(of: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Members that have users among `of` (B,), each with the rows of its users."""
    order = np.argsort(of, kind="stable")
    found, start = np.unique(of[order], return_index=True)
    yield from zip(found.tolist(), np.split(order, start[1:]), strict=len(found) > 0)


def _gathered(out: Feedback | None, part: Feedback, rows: NDArray[np.int64], n_users: int) -> Feedback:
    """`out` with the answers `part` of the users at `rows` written in."""
    if out is None:
        empty: dict[str, Any] = {
            name: None if array is None else np.zeros((n_users, *array.shape[1:]), array.dtype)
            for name, array in vars(part).items()
        }
        out = Feedback(**empty)
    for name, array in vars(part).items():
        if array is not None:
            getattr(out, name)[rows] = array
    return out


def _check_members(members: Sequence[FittedSimulator]) -> None:
    if len(members) < 2:
        raise InputError(
            f"{len(members)} members",
            where="EnsembleSimulator",
            mend="one fit alone has no spread: give two or more",
        )
    first = members[0]
    for i, member in enumerate(members):
        same = (
            member.features is first.features
            and member.context_names == first.context_names
            and member.layout.widths == first.layout.widths
            and member.ring == first.ring
        )
        if not same:
            raise InputError(
                f"member {i} is of another shop or log than member 0, or remembers otherwise",
                where="EnsembleSimulator",
                mend="fit all members to one log, with the same feature tables (the same object) and settings",
            )
