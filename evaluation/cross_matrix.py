"""The cross-simulator matrix: what policies trained in one simulator are worth in the others, and in the true store.

A policy that learned in a simulator may have learned its faults. Its value there, less its value where it did not
learn, is the **exploitation gap**. Two simulators also differ in level (one's users click more, whatever they are
shown), so the gap of a reference policy that learned in neither is taken off: what is left, the **excess**, is what
the training gained by knowing that one simulator.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from behavior.errors import InputError
from envs.world import TaskConfig, World
from evaluation.formatting import plus_minus, share
from evaluation.intervals import Interval, bootstrap_ratio, mean_interval
from evaluation.online import evaluate_online
from evaluation.outcomes import OnlineResult

if TYPE_CHECKING:
    from agents.base import Policy

__all__ = ["CrossCell", "CrossMatrix", "cross_matrix", "cross_results"]


@dataclass(frozen=True, kw_only=True)
class CrossCell:
    """One policy in one world."""

    policy: str
    """Its name."""
    world: str
    """Where it was judged."""
    home: str | None
    """Where it was trained; None for a policy that learned in no simulator."""
    value: Interval
    """Score per session here."""
    gap: Interval | None
    """Score at home minus score here, on users of the same numbers; None at home, and without one."""
    excess: Interval | None
    """The gap minus that of the reference policy; None where there is no gap or no reference."""
    kept: Interval | None
    """Gain over the reference here over the gain at home; None unless the gain at home is surely positive."""


@dataclass(frozen=True, kw_only=True)
class CrossMatrix:
    """`R` policies in `W` worlds."""

    policies: tuple[str, ...]
    """Rows."""
    worlds: tuple[str, ...]
    """Columns."""
    cells: Mapping[tuple[str, str], CrossCell]
    """By policy and world; what was not judged is missing."""
    reference: str | None
    """Policy whose own differences between worlds are taken off."""
    true_world: str | None
    """The world that is the truth, where there is one."""
    level: float
    """Confidence level."""
    n_users: int
    """Users that each policy served in each world, at most."""

    def cell(self, policy: str, world: str) -> CrossCell:
        """One cell.

        Raises:
            InputError: This policy was not judged in this world.
        """
        found = self.cells.get((policy, world))
        if found is None:
            raise InputError(
                f"{policy} was not judged in {world}",
                where="cross-simulator matrix",
                mend=f"policies: {', '.join(self.policies)}; worlds: {', '.join(self.worlds)}",
            )
        return found

    @property
    def gaps(self) -> tuple[CrossCell, ...]:
        """The cells with an exploitation gap, row by row; what was trained in the truth exploited nothing."""
        order = [(policy, world) for policy in self.policies for world in self.worlds]
        found = [self.cells[at] for at in order if at in self.cells]
        return tuple(cell for cell in found if cell.gap is not None and cell.home != self.true_world)

    def to_json(self) -> dict[str, Any]:
        """Plain data; None where there is no number."""
        return {
            "reference": self.reference,
            "true_world": self.true_world,
            "level": self.level,
            "n_users": self.n_users,
            "worlds": list(self.worlds),
            "cells": [
                {"policy": cell.policy, "world": cell.world, "home": cell.home}
                | {name: _plain(getattr(cell, name)) for name in ("value", "gap", "excess", "kept")}
                for cell in self.cells.values()
            ],
        }

    def values_table(self) -> Table:
        """Scores, a row per policy and a column per world; a policy's home is marked."""
        table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column("policy", no_wrap=True)
        for world in self.worlds:
            table.add_column(world, justify="right", no_wrap=True)
        for row in self.value_rows():
            table.add_row(*row)
        return table

    def gaps_table(self) -> Table:
        """The exploitation gaps, a row each."""
        table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for heading, justify in zip(self.gap_columns(), ("left", *("right",) * 4), strict=True):
            table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        for row in self.gap_rows():
            table.add_row(*row)
        return table

    def value_rows(self) -> list[tuple[str, ...]]:
        """Policy and its score in each world, as text; `*` stands at the policy's home."""
        rows = []
        for policy in self.policies:
            cells = [self.cells.get((policy, world)) for world in self.worlds]
            texts = [
                "" if cell is None else plus_minus(cell.value) + (" *" if cell.home == cell.world else "")
                for cell in cells
            ]
            rows.append((policy, *texts))
        return rows

    def gap_columns(self) -> tuple[str, ...]:
        """Headings of `gap_rows`."""
        rest = f"beyond {self.reference}'s" if self.reference else "excess"
        return ("policy", "judged in", "exploitation gap", rest, "gain kept")

    def gap_rows(self) -> list[tuple[str, ...]]:
        """Policy with its home, where it was judged, gap, excess, and the share of its gain that is left."""
        return [
            (
                f"{cell.policy} (trained in {cell.home})",
                cell.world,
                plus_minus(cell.gap),
                plus_minus(cell.excess),
                share(cell.kept),
            )
            for cell in self.gaps
        ]

    def sentence(self) -> str:
        """The worst drop in one plain sentence, that in the truth where it is known; empty without trained policies."""
        found = [cell for cell in self.gaps if self.true_world in (None, cell.world)] or list(self.gaps)
        if not found:
            return ""
        by_excess = [cell for cell in found if cell.excess is not None]
        if by_excess:
            worst = max(by_excess, key=lambda cell: cell.excess.value if cell.excess else -math.inf)
            drop, what = worst.excess, f"the gain of {worst.policy} over {self.reference}"
        else:
            worst = max(found, key=lambda cell: cell.gap.value if cell.gap else -math.inf)
            drop, what = worst.gap, f"the score of {worst.policy}"
        assert drop is not None
        much = f"{plus_minus(drop)} a session"
        if drop.low > 0:
            return f"{worst.home}, where it was trained, overstates {what} by {much} against {worst.world}."
        text = f"That {worst.home}, where it was trained, overstates {what} against {worst.world} is not sure"
        return f"{text}: by {much}."


def cross_matrix(
    policies: Mapping[str, Policy],
    home: Mapping[str, str],
    worlds: Mapping[str, World],
    task: TaskConfig,
    *,
    reference: str | None = "random",
    true_world: str | None = None,
    n_users: int = 1000,
    seed: int = 0,
    first_user: int = 10_000_000,
    level: float = 0.95,
    progress: bool = True,
) -> CrossMatrix:
    """Judges every policy in every world, on users of the same numbers.

    Args:
        policies: By name; some trained in one of the worlds, the reference, and any others.
        home: Name of the world that a policy was trained in, by policy; policies without one are left out.
        worlds: By name: simulators, an ensemble, the true store.
        task: Sizes and score.
        reference: Policy whose own differences between worlds are taken off; None: no excess.
        true_world: Name of the world that is the truth.
        n_users: Users that each policy serves in each world.
        seed: Key of the users' chance.
        first_user: The first user; none that a policy was trained or chosen on.
        level: Confidence level.
        progress: Whether to show bars.

    Raises:
        InputError: A name that is not there.
    """
    results = {
        name: evaluate_online(
            policies, world, task, n_users=n_users, seed=seed, first_user=first_user, progress=progress
        )
        for name, world in worlds.items()
    }
    return cross_results(results, home, reference=reference, true_world=true_world, level=level)


def cross_results(
    results: Mapping[str, OnlineResult],
    home: Mapping[str, str],
    *,
    reference: str | None = "random",
    true_world: str | None = None,
    level: float = 0.95,
    policies: Collection[str] = (),
) -> CrossMatrix:
    """The matrix of evaluations that were made already; arguments as for `cross_matrix`.

    Args:
        results: Evaluations by world, all of the same users.
        home: Home by policy.
        reference: As above.
        true_world: As above.
        level: As above.
        policies: Rows; all policies that were judged anywhere if empty.

    Raises:
        InputError: A name that is not there.
    """
    everyone = dict.fromkeys(name for result in results.values() for name in result.outcomes)
    rows = tuple(name for name in everyone if not policies or name in policies)
    _check(results, home, everyone, reference, true_world)
    cells = {}
    for policy in rows:
        for world, result in results.items():
            if policy in result.outcomes:
                cells[policy, world] = _cell(policy, world, results, home.get(policy), reference, level)
    return CrossMatrix(
        policies=rows,
        worlds=tuple(results),
        cells=cells,
        reference=reference,
        true_world=true_world,
        level=level,
        n_users=max(out.n_users for result in results.values() for out in result.outcomes.values()),
    )


def _cell(
    policy: str,
    world: str,
    results: Mapping[str, OnlineResult],
    home: str | None,
    reference: str | None,
    level: float,
) -> CrossCell:
    here = results[world][policy].score
    gap = excess = kept = None
    if home is not None and home != world and policy in results[home].outcomes:
        there = results[home][policy].score
        gap = mean_interval(_minus(there, here), level=level)
        if (
            reference is not None
            and reference != policy
            and all(reference in results[where].outcomes for where in (home, world))
        ):
            gain_there = _minus(there, results[home][reference].score)
            gain_here = _minus(here, results[world][reference].score)
            excess = mean_interval(_minus(gain_there, gain_here), level=level)
            if mean_interval(gain_there, level=level).low > 0:
                n = min(gain_here.size, gain_there.size)
                kept = bootstrap_ratio(gain_here[:n], gain_there[:n], level=level)
    return CrossCell(
        policy=policy,
        world=world,
        home=home,
        value=mean_interval(here, level=level),
        gap=gap,
        excess=excess,
        kept=kept,
    )


def _minus(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences by user, over the users that both hold (the first of them)."""
    n = min(first.size, second.size)
    return np.asarray(first[:n] - second[:n])


def _check(
    results: Mapping[str, OnlineResult],
    home: Mapping[str, str],
    everyone: Collection[str],
    reference: str | None,
    true_world: str | None,
) -> None:
    if not results:
        raise InputError("no worlds", where="cross-simulator matrix", mend="name at least one")
    users = {(result.seed, result.first_user) for result in results.values()}
    if len(users) > 1:
        raise InputError(
            "the worlds were served with other users or seeds",
            where="cross-simulator matrix",
            mend="evaluate with the same seed and first_user everywhere, so that users can be compared",
        )
    wrong = [
        f"policy {name}" for name in (*home, *([reference] if reference else [])) if name not in everyone
    ]
    places = (*home.values(), *([true_world] if true_world else []))
    wrong += [f"world {name}" for name in places if name not in results]
    if wrong:
        raise InputError(
            f"there is no {', no '.join(dict.fromkeys(wrong))}",
            where="cross-simulator matrix",
            mend=f"policies: {', '.join(everyone)}; worlds: {', '.join(results)}",
        )


def _plain(interval: Interval | None) -> dict[str, float | None] | None:
    if interval is None:
        return None
    return {
        key: float(value) if math.isfinite(value) else None
        for key in ("value", "low", "high")
        for value in [getattr(interval, key)]
    }
