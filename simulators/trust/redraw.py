"""Logged sessions, answered again: the same pages for simulated users, so that differences are due to the users.

Two ways, because they answer two questions:

- `redraw_pages`: each logged page once more, after what the log says happened before it. Clicks, purchases and
  leaving are the simulator's; the past is the log's. Where the simulator is right, page and answer have together
  exactly the law of the log, whatever policy made the pages.
- `redraw_sessions`: users start like the logged ones (first query, context, first page) and go their own way; they
  are shown the session's next logged page while they issue its query, and else some logged page of the query they
  issue. Only this shows lengths and totals of sessions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps, SessionEnd
from simulators.base import Feedback, SessionState, UserSimulator
from simulators.composed import ComposedSimulator
from simulators.fitting.replay import walk
from simulators.kernels.rng import Purpose, uniform_table
from simulators.parts.contract import Part
from simulators.rollout import simulate_steps

__all__ = ["Redrawn", "members_of", "mixture_given_above", "redraw_pages", "redraw_sessions", "why_no_redraw"]


@dataclass(frozen=True, kw_only=True)
class Redrawn:
    """Every logged page, answered by simulated users after its logged past, and how probable each answer was."""

    answers: LoggedSteps
    """(R * M,) pages: the log R times over, replicate by replicate, with drawn clicks, purchases and leaving."""
    before: NDArray[np.float64]
    """(M, K) probability of a click at each position, before anything of the page is known."""
    given_above: NDArray[np.float64]
    """(M, K) the same given the logged clicks above: their product is the likelihood of the page."""
    purchase: NDArray[np.float64]
    """(M, K) probability of a purchase if clicked."""


def members_of(simulator: UserSimulator) -> tuple[ComposedSimulator, ...]:
    """The simulators of parts that answer: itself, the members of an ensemble, or none."""
    members: tuple[UserSimulator, ...] = getattr(simulator, "members", (simulator,))
    composed = tuple(m for m in members if isinstance(m, ComposedSimulator))
    return composed if len(composed) == len(members) else ()


def why_no_redraw(simulator: UserSimulator) -> str:
    """Why single pages cannot be answered after their logged past; empty where they can."""
    members = members_of(simulator)
    if not members:
        return (
            "the simulator is not composed of parts: it tells no probabilities, and cannot be told what the log "
            "says happened before a page"
        )
    parts = [part for part in members[0].parts if isinstance(part, Part)]
    keeping = [type(part).__name__ for part in parts if len(part.columns) > 0]
    if keeping:
        return (
            f"{', '.join(keeping)} keeps something of its users that the log does not show, so what is known of a "
            "user before a page cannot be read from the log"
        )
    return ""


def redraw_pages(simulator: UserSimulator, steps: LoggedSteps, *, replicates: int, seed: int) -> Redrawn:
    """Answer each page of `steps` `replicates` times, given the logged past of its session.

    An ensemble answers with each member in turn, and its probabilities are those of a page drawn from any member.
    """
    members = members_of(simulator)
    n, shape = steps.n_steps, steps.item.shape
    click = np.zeros((replicates, *shape), np.uint8)
    purchase = np.zeros((replicates, *shape), np.uint8)
    left = np.zeros((replicates, n), np.bool_)
    before, given, chance = (np.zeros((len(members), *shape)) for _ in range(3))
    for m, member in enumerate(members):
        logits = np.full(shape, -np.inf)
        mine = range(m, replicates, len(members))
        for batch, state in _after_logged_past(member, steps):
            items = np.require(steps.item[batch], np.int32, ["C", "W"])
            logits[batch] = member.attractiveness.logits(state, member.memory, items)
            chance[m, batch] = member.conversion.probability(state, member.memory, items)
            for r in mine:
                own = state.copy()
                own.user = own.user + r * steps.n_steps  # the key of chance: every replicate is another user
                drawn = member.respond(own, items, seed=seed)
                click[r, batch], purchase[r, batch], left[r, batch] = drawn.click, drawn.purchase, drawn.left
        before[m] = member.examination.click_probability(logits)
        given[m] = member.examination.click_probability_given_above(logits, steps.click)
    again = steps.take(np.tile(np.arange(n), replicates))
    answers = replace(
        again,
        click=click.reshape(-1, shape[1]),
        purchase=purchase.reshape(-1, shape[1]),
        session_end=np.where(left.ravel(), int(SessionEnd.LEFT), int(SessionEnd.NO)).astype(np.int8),
    )
    return Redrawn(
        answers=answers,
        before=before.mean(axis=0),
        given_above=mixture_given_above(given, steps.click),
        purchase=chance.mean(axis=0),
    )


def mixture_given_above(given: NDArray[np.float64], click: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Chance (M, K) of a click given those above, of pages that any of the members (Z, M, K) answers, all alike often.

    The clicks above speak for the members that thought them probable: each weighs by its likelihood so far.
    """
    likely = np.where(click > 0, given, 1.0 - given)
    weight = np.ones_like(given)
    np.cumprod(likely[:, :, :-1], axis=2, out=weight[:, :, 1:])
    total = weight.sum(axis=0)
    # Where all members held the clicks above for impossible, they weigh alike.
    mixed = np.where(
        total > 0, (weight * given).sum(axis=0) / np.where(total > 0, total, 1.0), given.mean(axis=0)
    )
    return np.asarray(mixed)


def _after_logged_past(
    simulator: ComposedSimulator, steps: LoggedSteps
) -> Iterator[tuple[NDArray[np.int64], SessionState]]:
    """Pages (row numbers) of all sessions by their number in the session, with users who remember the logged past."""
    session = np.unique(steps.session, return_inverse=True)[1].astype(np.int64)
    batches = walk(steps)
    hidden = simulator.memory.begin(len(batches[0]))
    for t, batch in enumerate(batches):
        state = SessionState(
            user=session[batch],
            step=np.full(len(batch), t, np.int32),
            query=np.require(steps.query[batch], np.int32, ["C", "W", "O"]),
            context=np.require(steps.context[batch], np.float32, ["C", "W", "O"]),
            hidden=hidden[: len(batch)],
        )
        hidden = state.hidden
        yield batch, state
        simulator.memory.remember(
            state,
            np.require(steps.item[batch], np.int32, ["C", "W"]),
            np.require(steps.click[batch], np.uint8, ["C", "W"]),
            np.require(steps.purchase[batch], np.uint8, ["C", "W"]),
        )


def redraw_sessions(
    simulator: UserSimulator, steps: LoggedSteps, *, replicates: int, seed: int
) -> LoggedSteps:
    """Let users start like those of `steps`, `replicates` times over, and go their own way.

    Returns:
        Simulated sessions; number `s` stands beside logged session `s % S`. A simulator whose users cannot be started
        like logged ones (`why_no_redraw`) starts its own, and only the pages are those of the log.
    """
    usable = np.asarray((steps.item >= 0).all(axis=1) | bool(members_of(simulator)))
    first = np.flatnonzero(np.r_[True, steps.session[1:] != steps.session[:-1]])
    length = np.diff(np.append(first, steps.n_steps))
    users = simulator if why_no_redraw(simulator) else _StartedLike(simulator, steps, first)
    return simulate_steps(
        users,
        _SessionPages(steps, first, length, usable, simulator.n_queries),
        n_sessions=replicates * len(first),
        max_steps=int(length.max()),
        seed=seed,
        queries=steps.queries,
        context_names=steps.context_names if simulator.context_size else (),
    )


class _StartedLike:
    """A simulator whose user `u` arrives with first query and context of logged session `u % S`."""

    def __init__(self, simulator: UserSimulator, steps: LoggedSteps, first: NDArray[np.int64]) -> None:
        self.simulator = simulator
        self.n_items, self.n_queries = simulator.n_items, simulator.n_queries
        self.context_size, self.slate_size = simulator.context_size, simulator.slate_size
        self.query, self.context = steps.query[first], steps.context[first]

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        """Users (B,) as they arrive; a session whose first query is unknown starts with one of the simulator's."""
        state = self.simulator.begin(users, seed=seed)
        like = users % len(self.query)
        known = self.query[like] >= 0
        state.query[known] = self.query[like][known]
        if self.context_size:
            state.context[:] = self.context[like]
        return state

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        """As the simulator."""
        return self.simulator.respond(state, slates, seed=seed)


class _SessionPages:
    """The logged page at this step of session `u % S`, where the query is the same; else another of the query's pages.

    Those of the session itself are passed over, and none is shown twice before all have been: users who saw the same
    page again and again would behave otherwise. A query that the log does not hold gets a page of any query.
    """

    def __init__(
        self,
        steps: LoggedSteps,
        first: NDArray[np.int64],
        length: NDArray[np.int64],
        usable: NDArray[np.bool_],
        n_queries: int,
    ) -> None:
        self.steps, self.first, self.length, self.usable = steps, first, length, usable
        rows = np.flatnonzero(usable)
        self.pool = rows[np.argsort(steps.query[rows], kind="stable")]
        self.start = np.searchsorted(steps.query[self.pool], np.arange(n_queries + 1))
        self.key = steps.query[self.pool].astype(np.int64) * (steps.n_steps + 1) + self.pool  # rises

    def pages(self, state: SessionState, *, seed: int) -> NDArray[np.int32]:
        """Slates (B, K)."""
        like = state.user % len(self.first)
        row = self.first[like] + np.minimum(state.step, self.length[like] - 1)
        same = (state.step < self.length[like]) & (self.steps.query[row] == state.query) & self.usable[row]
        start, stop = self.start[state.query], self.start[state.query + 1]
        known = stop > start
        start, stop = np.where(known, start, 0), np.where(known, stop, len(self.pool))
        n = stop - start
        begin, end = self._own(like, state.query)
        own = end - begin
        # A random page of the query, and from there on, one further at every step; the session's own stand together.
        n_others = np.maximum(n - own, 1)
        u = uniform_table(seed, state.user, np.zeros_like(state.step), Purpose.POLICY, 1)[:, 0]
        place = ((u * n_others).astype(np.int64) + state.step) % n_others
        place = np.where(own > 0, end - start + place, place)
        other = self.pool[start + place % n]
        return np.ascontiguousarray(self.steps.item[np.where(same, row, other)])

    def _own(self, like: NDArray[np.int64], query: NDArray[np.int32]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Where the pages of sessions `like` stand among those of `query`: first and one past the last."""
        base = query.astype(np.int64) * (self.steps.n_steps + 1) + self.first[like]
        return np.searchsorted(self.key, base), np.searchsorted(self.key, base + self.length[like])
