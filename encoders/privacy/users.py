"""The log person by person: what privacy protects is everything that one person did."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps

__all__ = ["UserPairs", "pairs_by_user"]


@dataclass(frozen=True, kw_only=True)
class UserPairs:
    """`U` people with at most `P` shown items each; what is missing has `known` 0 and numbers 0."""

    query: NDArray[np.int64]  # (U, P)
    item: NDArray[np.int64]  # (U, P)
    position: NDArray[np.int64]  # (U, P)
    click: NDArray[np.float32]  # (U, P)
    purchase: NDArray[np.float32]  # (U, P)
    known: NDArray[np.float32]  # (U, P) 1 where there is something

    @property
    def n_users(self) -> int:
        """People `U`."""
        return int(self.query.shape[0])

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> UserPairs:
        """The people at `rows` (a mask or row numbers)."""
        return UserPairs(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def pairs_by_user(
    steps: LoggedSteps, *, queries: NDArray[np.bool_], max_pairs: int = 32, seed: int = 0
) -> UserPairs:
    """Shown items of every person: clicked ones first, then others drawn at random, `max_pairs` at most.

    What is kept of a person depends on nobody else, as privacy by person requires.

    Args:
        steps: The log.
        queries: Which queries (Q,) to learn from.
        max_pairs: `P`.
        seed: Of the draw.

    Raises:
        InputError: Nothing is left.
    """
    if max_pairs < 1:
        raise InputError(
            f"max_pairs must be at least 1, found {max_pairs}", where="pairs_by_user(max_pairs=...)"
        )
    wanted = (steps.item >= 0) & (steps.query >= 0)[:, None] & queries[np.maximum(steps.query, 0)][:, None]
    row, position = np.nonzero(wanted)
    if not row.size:
        raise InputError(
            "the log shows nothing for the queries to learn from", where="pairs_by_user(queries=...)"
        )
    user, click = steps.user[row], steps.click[row, position].astype(np.float32)
    # One number per shown item, from seed, person, step and place: no other person moves it.
    mark = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    with np.errstate(over="ignore"):
        draw = _mixed(user.astype(np.uint64) ^ mark)
        for part in (steps.timestamp[row], steps.step[row], position):
            draw = _mixed(draw ^ part.astype(np.uint64))
    order = np.lexsort((draw, -click, user))
    people, first, count = np.unique(user[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(first, count)
    keep = place < max_pairs
    at = (np.repeat(np.arange(len(people)), count)[keep], place[keep])
    chosen = order[keep]

    def table(values: NDArray[np.generic], kind: type[np.generic]) -> NDArray[np.generic]:
        out = np.zeros((len(people), max_pairs), kind)
        out[at] = values[chosen]
        return out

    return UserPairs(
        query=table(steps.query[row], np.int64),  # type: ignore[arg-type]
        item=table(steps.item[row, position], np.int64),  # type: ignore[arg-type]
        position=table(position, np.int64),  # type: ignore[arg-type]
        click=table(click, np.float32),  # type: ignore[arg-type]
        purchase=table(steps.purchase[row, position], np.float32),  # type: ignore[arg-type]
        known=table(np.ones(len(row)), np.float32),  # type: ignore[arg-type]
    )


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed
